//! The inbox and the log.

mod archive;
mod committer;
mod inbox;
mod store;
mod suite;
mod world;

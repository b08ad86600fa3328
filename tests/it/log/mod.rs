//! The inbox and the log.

mod archive;
mod committer;
mod inbox;
mod sealed;
mod store;
mod suite;
pub mod world;

//! The inbox and the log.

mod archive;
mod around;
mod backup;
mod committer;
pub mod damage;
mod facts;
mod followers;
mod inbox;
mod sealed;
mod store;
mod suite;
mod turns;
mod unread;
mod withheld;
pub mod world;

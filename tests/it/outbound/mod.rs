//! Calls to vendors and the guard of subscribers' addresses.

mod guard;
mod names;
pub mod receiver;
mod relay;
mod vendors;
mod webhooks;

//! Calls to vendors and the guard of subscribers' addresses.

mod guard;
pub mod receiver;
mod relay;
mod vendors;
mod webhooks;

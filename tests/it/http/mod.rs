//! The service API and the callback addresses.

mod keys;
mod lists;
mod parameters;
mod problems;

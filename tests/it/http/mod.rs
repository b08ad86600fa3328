//! The service API and the callback addresses.

mod keys;
mod lists;
mod openapi;
mod operations;
mod parameters;
mod problems;

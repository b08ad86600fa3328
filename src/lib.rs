//! Yizhan.

pub mod access;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod envelope;
pub mod event_type;
pub mod fanout;
pub mod http;
pub mod inbox;
pub mod operations;
pub mod outbound;
pub mod platform;
pub mod secret;
pub mod settings;
pub mod shutdown;
pub mod simulator;
pub mod store;
pub mod telemetry;
pub mod vault;

//! Yizhan.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::as_conversions,
        reason = "tests may stop at the first surprise"
    )
)]

pub mod access;
pub mod app;
pub mod clock;
pub mod config;
pub mod envelope;
pub mod event_type;
pub mod fanout;
pub mod inbox;
pub mod outbound;
pub mod platform;
pub mod secret;
pub mod settings;
pub mod shutdown;
pub mod store;
pub mod vault;

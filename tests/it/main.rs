//! Every test of the project, in one binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::as_conversions,
    clippy::allow_attributes,
    reason = "a test may stop at the first surprise"
)]

mod alipay;
mod at_rest;
mod attributes;
mod baidu;
mod capture;
mod cli;
mod clock;
mod config;
mod deployed;
mod douyin;
mod envelope;
mod event_type;
mod every_platform;
mod fanout;
mod faults;
mod former_stores;
mod fuzz;
mod hostile;
mod http;
mod image;
mod journeys;
mod kuaishou;
mod layers;
mod lives;
mod log;
mod operations;
mod outbound;
mod placeholder;
mod playbook;
mod reconcile;
mod robot;
mod rollout;
mod settings;
mod simulator;
mod sorted_envelope;
mod stopping;
mod telemetry;
mod twin_vendors;
mod vault;
mod versions;
mod world;

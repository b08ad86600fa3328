//! Subscriptions, signatures, schedule, workers, replays.

mod delivering;
mod exchange;
mod replays;
mod schedule;
mod signature;
mod subscriptions;
mod webhook;
mod world;

//! Subscriptions, signatures, schedule, workers, replays.

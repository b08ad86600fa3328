//! The log: accept, pages, outbox, rejected, replays, retention, crashes.

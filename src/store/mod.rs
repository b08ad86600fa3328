//! Where it is kept: the vault in sled, the log in fjall (`storage.md` of the design says why), both durable by our own fdatasync.
//!
//! Implements the ports that `inbox`, `vault` and `fanout` define. Knows concepts; no concept knows it.

pub mod archive;
pub mod at_rest;
pub mod commit;
pub mod fjall;
pub mod sled;

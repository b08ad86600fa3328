//! The inbox and the log.

mod archive;

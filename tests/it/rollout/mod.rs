//! Rollouts: the table, what a crash may do at any line, and stories on every platform.

mod advance;
mod crash;
mod steering;
mod stories;
mod weather;

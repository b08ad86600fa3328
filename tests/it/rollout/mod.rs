//! Rollouts: the table, what a crash may do at any line, and stories on every platform.

mod advance;
mod choice;
mod crash;
mod outage;
mod retention;
mod rollback;
mod steering;
mod stories;
mod waves;
mod weather;

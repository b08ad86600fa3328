//! Rollouts: the table, what a crash may do at any line, stories on every platform, and a thousand merchants.

mod advance;
mod choice;
mod crash;
mod hours;
mod outage;
mod retention;
mod retry;
mod rollback;
mod steering;
pub mod stories;
mod thousand;
mod unread;
mod verdicts;
mod waves;
mod weather;

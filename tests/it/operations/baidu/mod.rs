//! Baidu's operations against its twin.

mod answers;
mod lost;
mod rows;
mod shop;
mod steps;
mod story;

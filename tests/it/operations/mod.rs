//! The operations of every platform: rows, calls, twins, results.

pub mod alipay;
mod baidu;
mod desk;
mod douyin;
pub mod fake;
mod features;
mod idempotency;
pub mod kuaishou;
mod proxy;

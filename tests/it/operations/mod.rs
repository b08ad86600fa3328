//! The operations of every platform: rows, calls, twins, results.

mod alipay;
mod baidu;
mod desk;
mod douyin;
pub mod fake;
mod idempotency;
mod kuaishou;
mod proxy;

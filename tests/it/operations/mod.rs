//! The operations of every platform: rows, calls, twins, results.

mod alipay;
mod baidu;
mod douyin;
mod kuaishou;

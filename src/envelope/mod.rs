//! How vendors seal and sign: ciphers, digests and constant-time compares, pure functions over bytes.
//!
//! Called by `platform`; knows no vendor, no event and no network.

pub mod cbc;
pub mod digest;
pub mod equal;
pub mod rsa2;

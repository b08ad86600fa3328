//! Operations of Alipay.

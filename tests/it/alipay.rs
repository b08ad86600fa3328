//! Alipay: vectors, catalogue, tokens, twin.

//! Baidu: vectors, catalogue, tokens, twin.

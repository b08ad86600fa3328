//! Douyin: vectors, catalogue, tokens, twin.

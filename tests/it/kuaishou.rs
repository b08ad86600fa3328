//! Kuaishou: vectors, variants, catalogue, tokens, twin.

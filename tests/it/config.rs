//! The configuration: strict, all problems at once.

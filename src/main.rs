//! The `yizhan` command.

fn main() {}

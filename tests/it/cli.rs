//! The commands: exit code, stdout, stderr.

//! The vault: tickets, tokens, grants, recovery, crashes.

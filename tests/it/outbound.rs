//! Calls to vendors and the guard of subscribers' addresses.

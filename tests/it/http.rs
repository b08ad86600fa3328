//! The service API and the callback addresses.

//! Operations of Douyin.

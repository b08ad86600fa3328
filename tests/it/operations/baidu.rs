//! Operations of Baidu.

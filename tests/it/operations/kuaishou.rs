//! Operations of Kuaishou.

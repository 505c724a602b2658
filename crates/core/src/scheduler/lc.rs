//! Least connections: as [`super::wlc`], with all weights but 0 equal, as its list has them.
pub use super::wlc::pick;

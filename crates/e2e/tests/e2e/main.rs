//! Real clients and servers, the real daemon and kernel program between them.
//!
//! Each test has a laboratory of its own, so they run at the same time. All need root.
mod spread;
mod world;

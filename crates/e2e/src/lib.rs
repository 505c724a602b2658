//! The real `lvsd` and `lvs` in the laboratory: what the end-to-end tests and the demo share.
//!
//! A [`Director`] runs the daemon on the director of a site, with a file, a socket and pins of its
//! own, so that any number of them can run at the same time.
#![warn(missing_docs)]
#![expect(
    clippy::missing_errors_doc,
    reason = "errors are for a person who runs a test: they carry their context, nobody matches them"
)]

mod director;
mod programs;
mod service;

pub use director::{Director, Fields, Output};
pub use programs::Programs;
pub use service::{Protocol, Service};

//! Finds out which real servers are healthy.
//!
//! [`machine`] is one target's state, without sockets, clock or async; [`checker`] has one file
//! for each kind of probe; [`Driver`] runs a machine for every target and performs its probes.
//!
//! A new kind of check is one file in `checker/`, one variant of [`lvs_model::desired::Probe`] and
//! one row in [`checker::probe`].
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod checker;
mod error;
mod io;
pub mod machine;

pub use error::{Failure, Shortage};
pub use io::{Driver, Event, LastProbe, Status};

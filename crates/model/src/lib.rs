//! Services and servers as the operator thinks of them: plain data, no I/O.
//!
//! What the operator wants ([`desired`]) and what is observed ([`observed`]) go into
//! [`plan::plan`], which computes what the data plane's tables must hold ([`plan::Plan`]).
//! [`change`] edits the desired state at run time, [`diff`] compares two of them. The rules that
//! every desired state obeys are in [`validate`]; the words of the outside are in [`words`].
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod change;
pub mod desired;
pub mod diff;
pub mod duration;
pub mod nearest;
pub mod observed;
pub mod plan;
pub mod validate;
pub mod words;

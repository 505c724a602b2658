//! Routes, neighbours, addresses and links, as the director needs them.
//!
//! [`Resolver`] keeps the way to every real server current and reports each change of it;
//! [`Client`] answers single questions. What to ask and what a notification means is decided in
//! `cache`, which knows no socket; `wire` alone knows the kernel's messages.
#![warn(missing_docs)]

mod cache;
mod client;
mod error;
mod link;
mod neighbour;
mod resolver;
mod route;
mod socket;
mod wire;

pub use cache::{Change, Unresolved};
pub use client::Client;
pub use error::Error;
pub use link::{Link, Links, Mac};
pub use resolver::Resolver;
pub use route::{NextHop, Resolution, Unreachable};

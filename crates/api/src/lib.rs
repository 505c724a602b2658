//! The control API of lvsd: HTTP/1.1 and JSON on a Unix socket, versioned under `/v1`.
//!
//! [`types`] holds what travels, [`routes`] which request means what, [`server`] the daemon's end,
//! [`client`] a blocking client that starts quickly. A refusal is an [`error::ApiError`].
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod client;
pub mod error;
pub mod routes;
pub mod server;
pub mod types;

/// Where the daemon listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/lvs/lvsd.sock";

//! How servers are asked: one file for each kind of probe.
use lvs_model::{desired::Probe, observed::Target};

use crate::error::Failure;

pub mod http;
pub mod tcp;

/// Asks a target once. Takes as long as the server takes: the caller sets the limit.
///
/// # Errors
/// Why the target does not count as healthy.
pub async fn probe(target: &Target) -> Result<(), Failure> {
    match &target.check.probe {
        Probe::Tcp => tcp::probe(target.address).await,
        Probe::Http { path, host, status } => {
            http::probe(target.address, path, host.as_deref(), status).await
        }
    }
}

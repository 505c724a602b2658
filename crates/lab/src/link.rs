//! Virtual Ethernet cables.
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{
    namespace::Namespace,
    sys::{self, Feature},
};

/// One end of a cable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End<'a> {
    /// Where it is.
    pub(crate) namespace: &'a Namespace,
    /// The interface's name there.
    pub(crate) interface: &'a str,
}

/// Lays a cable between two namespaces; both ends are still down.
///
/// Three properties of veth matter to XDP. Checksums are computed by the sender, because nobody
/// completes them on a frame that XDP sends on. GRO makes an end poll, without which frames that
/// are redirected to the other end vanish (those sent there by `XDP_TX` need more, a program on this
/// end). And an end with a native program needs
/// as many receive queues as the other has transmit queues: both have one.
pub(crate) fn lay_cable(ends: [End<'_>; 2], mtu: u32) -> Result<()> {
    let [a, b] = ends;
    let mtu = mtu.to_string();
    let output = Command::new("ip")
        .args(["link", "add", "name", a.interface, "mtu", &mtu, "netns", a.namespace.name()])
        .args(["type", "veth", "peer", "name", b.interface, "mtu", &mtu])
        .args(["netns", b.namespace.name()])
        .output()
        .context("run ip link add")?;
    ensure!(
        output.status.success(),
        "cannot lay a cable from {} to {}: {}",
        a.namespace.name(),
        b.namespace.name(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    for end in ends {
        end.namespace.run(|| {
            sys::set_feature(end.interface, Feature::TransmitChecksum, false)
                .with_context(|| format!("turn off transmit checksums of {}", end.interface))
        })?;
    }
    Ok(())
}

/// Has an end poll, so that it receives what XDP at the other end sends.
pub(crate) fn receive_xdp(end: End<'_>) -> Result<()> {
    end.namespace.run(|| {
        sys::set_feature(end.interface, Feature::Gro, true)
            .with_context(|| format!("turn on GRO of {}", end.interface))
    })
}

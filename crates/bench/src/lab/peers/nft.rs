//! Connection tracking and translation by the kernel, as an nftables rule asks for it.
use std::{fmt::Write as _, fs, net::SocketAddr, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use lvs_core::forward::Method;
use lvs_lab::{Lab, Namespace, Process, find_program};

use super::route::know_servers;
use crate::{
    lab::cable::{Cable, SERVERS},
    place,
    table::port,
};

/// Connections of all rows and rounds.
pub(crate) const CONNECTIONS: u64 = 4 << 20;
/// Kernel parameters of the whole machine; the table is as large as its limit, for speed.
pub(crate) const LIMITS: [&str; 2] =
    ["net.netfilter.nf_conntrack_buckets", "net.netfilter.nf_conntrack_max"];

/// Translates the virtual address to the servers'.
pub(crate) fn add(lab: &Lab, cable: &Cable) -> Result<()> {
    for (name, value) in [
        // A network card has checked it already.
        ("checksum", "0"),
        // Nothing expires while it is measured.
        ("tcp_timeout_established", "86400"),
        ("tcp_timeout_unacknowledged", "86400"),
        ("tcp_timeout_syn_sent", "86400"),
    ] {
        cable.director.sysctl(&format!("net.netfilter.nf_conntrack_{name}"), value)?;
    }
    know_servers(cable)?;
    let servers = (0..SERVERS).map(|number| place::server(4, 0, number, port(Method::Nat)));
    balance(lab, &cable.director, place::virtual_address(4, 0), &servers.collect::<Vec<_>>())
}

/// Adds the rule that balances connections to an address over servers with one port.
pub(crate) fn balance(
    lab: &Lab,
    director: &Namespace,
    address: SocketAddr,
    servers: &[SocketAddr],
) -> Result<()> {
    let nft = find_program("nft").context("`nft` is missing: install nftables")?;
    let mut map = String::new();
    for (number, server) in servers.iter().enumerate() {
        let comma = if number == 0 { "" } else { ", " };
        write!(map, "{comma}{number} : {}", server.ip())?;
    }
    let rules = format!(
        "table ip balance {{\n\
         chain prerouting {{\n\
         type nat hook prerouting priority dstnat\n\
         ip daddr {} tcp dport {} dnat to jhash ip saddr . tcp sport mod {} map {{ {map} }} : {}\n\
         }}\n}}\n",
        address.ip(),
        address.port(),
        servers.len(),
        servers.first().context("no server")?.port(),
    );
    let directory = lab.temp_dir(&format!("nft-{}", director.role()))?;
    let file = directory.path().join("rules");
    fs::write(&file, rules)?;
    let mut command = Command::new(nft);
    command.arg("--file").arg(&file);
    let process = Process::start(director, command)?;
    let status = process.wait_for_exit(Duration::from_secs(10))?;
    ensure!(status.success(), "nft refuses the rules: {}", process.log());
    Ok(())
}

/// Connections that are tracked.
pub(crate) fn connections(cable: &Cable) -> Result<u64> {
    let file = Path::new("/proc/sys/net/netfilter/nf_conntrack_count");
    let text = cable.director.run(|| Ok(fs::read_to_string(file)?))?;
    text.trim().parse().with_context(|| format!("{}: {text}", file.display()))
}

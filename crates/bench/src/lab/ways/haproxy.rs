//! haproxy's configuration.
use std::net::SocketAddr;

/// One thread that passes TCP on.
pub(crate) fn tcp(service: SocketAddr, servers: &[SocketAddr]) -> String {
    let servers = servers.iter().zip(1..);
    let servers = servers.map(|(server, number)| format!("    server s{number} {server}\n"));
    format!(
        "global\n    nbthread 1\n\
         defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 5m\n    timeout server 5m\n\
         listen web\n    bind {service}\n    balance roundrobin\n{}",
        servers.collect::<String>()
    )
}

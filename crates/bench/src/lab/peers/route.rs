//! Routing by the kernel.
use anyhow::Result;

use crate::{
    lab::cable::{Cable, SERVERS},
    place,
};

/// Routes the virtual address to so many servers; more than one: by addresses and ports (ECMP).
pub(crate) fn add(cable: &Cable, hops: u16) -> Result<()> {
    // Otherwise by addresses only.
    cable.director.sysctl("net.ipv4.fib_multipath_hash_policy", "1")?;
    know_servers(cable)?;
    let address = place::virtual_address(4, 0).ip();
    let hops = (0..hops).map(|number| format!(" nexthop via {}", server(number)));
    cable.director.ip(&[format!("route add {address}/32{}", hops.collect::<String>())])
}

/// Has the director reach the servers on its link.
pub(crate) fn know_servers(cable: &Cable) -> Result<()> {
    let link = &cable.link;
    let mut commands = vec![format!("address add {}/24 dev {link}", server(200))];
    for number in 0..SERVERS {
        let address = server(number);
        let mac = place::server_mac(address).map(|byte| format!("{byte:02x}")).join(":");
        commands.push(format!("neigh add {address} lladdr {mac} dev {link} nud permanent"));
    }
    cable.director.ip(&commands)
}

fn server(number: u16) -> std::net::IpAddr {
    place::server(4, 0, number, 0).ip()
}

//! Brings a layout up, tells how to look around in it, and waits for Ctrl-C.
//!
//! `cargo run -p lvs-lab --example shell -- [lan|routed|two] [direct|tunnel|nat]...`
#![expect(clippy::print_stdout, reason = "this is a program for people")]
use std::{env, thread};

use anyhow::{Result, bail};
use lvs_lab::{Lab, Layout, Method, Ports, RealServer, Shape};

fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let shape = match arguments.next().as_deref() {
        None | Some("lan") => Shape::Lan,
        Some("routed") => Shape::RoutedLan,
        Some("two") => Shape::TwoNetworks,
        Some(other) => bail!("{other} is no layout: lan, routed or two"),
    };
    let mut methods = Vec::new();
    for argument in arguments {
        methods.push(match argument.as_str() {
            "direct" => Method::Direct,
            "tunnel" => Method::Tunnel,
            "nat" => Method::Nat,
            other => bail!("{other} is no forwarding method: direct, tunnel or nat"),
        });
    }
    if methods.is_empty() {
        methods = vec![Method::Direct; 3];
    }
    let lab = Lab::new("lvs")?;
    Lab::cleanup_on_signals()?;
    let site = Layout::new(shape, &methods).bring_up(&lab)?;
    let ports = Ports::default();
    let _servers = RealServer::start_all(&site, ports)?;
    print!("{}", site.describe()?);
    println!("each server: HTTP on port {}, UDP on port {}", ports.http, ports.udp);
    println!("look around: nsenter --net=/run/netns/{} sh", site.director()?.name());
    println!("Ctrl-C removes all of it");
    loop {
        thread::park();
    }
}

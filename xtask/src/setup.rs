//! What the laboratory needs of the machine: checked, installed where that is allowed, or named.
use std::{
    fs,
    io::Write,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use lvs_lab::{Lab, TestProgram, find_program};

use crate::screen::Screen;

/// Programs with the Debian packages that have them.
const NEEDED: [(&str, &str); 1] = [("ip", "iproute2")];
/// What the benchmark of the whole way compares with.
const PEERS: [(&str, &str); 3] =
    [("nft", "nftables"), ("haproxy", "haproxy"), ("nginx", "libnginx-mod-stream")];
/// Says whether packages may start services; absent: they may.
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// The oldest kernel that the data plane is made for.
const KERNEL: (u32, u32) = (6, 1);

/// Makes the machine ready, or tells what is missing and how to get it.
pub(crate) fn prepare(screen: &mut Screen, command: &str) -> Result<()> {
    check_root(command)?;
    check_kernel()?;
    for (program, package) in NEEDED {
        if find_program(program).is_none() {
            install(screen, program, package)?;
        }
    }
    probe()
}

/// Makes the machine ready to compare with others: as [`prepare`], and what they need.
pub(crate) fn prepare_peers(screen: &mut Screen, command: &str) -> Result<()> {
    prepare(screen, command)?;
    let missing = |(program, _): &&(&str, &str)| find_program(program).is_none();
    let missing: Vec<_> = PEERS.iter().filter(missing).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let _quiet = Quiet::new()?;
    missing.into_iter().try_for_each(|(program, package)| install(screen, program, package))
}

/// Keeps packages from starting services, as long as it lives.
struct Quiet {
    made: bool,
}

impl Quiet {
    fn new() -> Result<Self> {
        // An administrator's own policy stays.
        let made = !fs::exists(POLICY)?;
        if made {
            let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(POLICY);
            file.and_then(|mut file| file.write_all(b"#!/bin/sh\nexit 101\n"))
                .with_context(|| format!("write {POLICY}"))?;
        }
        Ok(Self { made })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if self.made {
            // What cannot be removed is an administrator's to see to.
            drop(fs::remove_file(POLICY));
        }
    }
}

fn check_root(command: &str) -> Result<()> {
    let owner = fs::metadata("/proc/self").context("read /proc")?.uid();
    ensure!(
        owner == 0,
        "root is missing: network namespaces and programs in the kernel need it\n\
         help: sudo -E env PATH=\"$PATH\" cargo xtask {command}"
    );
    Ok(())
}

fn check_kernel() -> Result<()> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").context("read /proc")?;
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let (major, minor) = KERNEL;
    ensure!(
        version >= KERNEL,
        "Linux {major}.{minor} or later is missing: this is {}",
        release.trim()
    );
    Ok(())
}

fn install(screen: &mut Screen, program: &str, package: &str) -> Result<()> {
    ensure!(
        find_program("apt-get").is_some(),
        "the program `{program}` is missing\nhelp: install the package that has it ({package} on Debian)"
    );
    screen.line(format_args!("`{program}` is missing: installing {package} with apt-get"));
    let apt = |arguments: &[&str]| -> Result<bool> {
        let mut command = Command::new("apt-get");
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null());
        Ok(command.status().context("run apt-get")?.success())
    };
    let wanted = ["install", "--yes", "--no-install-recommends", package];
    if apt(&wanted)? || (apt(&["update"])? && apt(&wanted)?) {
        return Ok(());
    }
    bail!("apt-get cannot install {package}\nhelp: install it by hand; it has `{program}`")
}

/// Does once what everything else does often.
fn probe() -> Result<()> {
    const PRIVILEGED: &str = "in a container, run it with --privileged";
    let lab = Lab::new("lvsprobe")?;
    let namespace = lab
        .namespace("probe")
        .map_err(|error| missing("network namespaces", PRIVILEGED, &error))?;
    namespace
        .ip(&["link add veth0 type veth peer name veth1"])
        .map_err(|error| missing("virtual Ethernet", "modprobe veth", &error))?;
    drop(TestProgram::pass(&namespace, "veth0").map_err(|error| {
        let help = "the kernel needs CONFIG_BPF_SYSCALL; in a container, run it with --privileged";
        missing("the right to load XDP programs", help, &error)
    })?);
    drop(
        lab.bpffs()
            .map_err(|error| missing("the right to mount a bpf filesystem", PRIVILEGED, &error))?,
    );
    Ok(())
}

fn missing(what: &str, help: &str, cause: &anyhow::Error) -> anyhow::Error {
    let cause = format!("{cause:#}");
    anyhow::anyhow!("{what}: missing here ({})\nhelp: {help}", cause.trim_end())
}

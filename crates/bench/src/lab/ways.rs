//! Ways from a client to real servers: what runs on the director.
mod haproxy;
mod lvs;
mod nginx;

use std::{fs, net::SocketAddr, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result};
use lvs_dataplane::Dataplane;
use lvs_lab::{Client, Lab, Method, Process, Site, TempDir, find_program, wait_for};

use super::peers::balance;

const START: Duration = Duration::from_secs(10);

/// What runs on the director.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Nothing: the client asks one of the servers, and the kernel routes.
    Routing,
    Lvs(Method),
    /// A rule of nftables that translates addresses.
    Nft,
    /// Haproxy in its TCP mode.
    Haproxy,
    /// Nginx as a proxy for TCP.
    NginxStream,
    /// Nginx as a proxy for HTTP that keeps its connections to servers.
    NginxHttp,
}

/// What was started.
pub(crate) enum Running {
    Kernel,
    Lvs { _dataplane: Box<Dataplane> },
    Proxy { process: Process, _directory: TempDir },
}

impl Way {
    /// Its name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Routing => "routing, not balanced",
            Self::Lvs(Method::Direct) => "lvs, direct",
            Self::Lvs(Method::Tunnel) => "lvs, tunnel",
            Self::Lvs(Method::Nat) => "lvs, nat",
            Self::Nft => "nft, dnat by jhash",
            Self::Haproxy => "haproxy, tcp",
            Self::NginxStream => "nginx, stream",
            Self::NginxHttp => "nginx, http",
        }
    }

    /// It is part of this project.
    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::Lvs(_))
    }

    /// Starts it, and waits until it balances.
    pub(crate) fn start(
        self,
        lab: &Lab,
        pins: &Path,
        site: &Site,
        service: SocketAddr,
        servers: &[SocketAddr],
    ) -> Result<Running> {
        let running = match self {
            Self::Routing => Running::Kernel,
            Self::Lvs(method) => lvs::start(pins, site, method, service, servers)?,
            Self::Nft => {
                balance(lab, site.director()?, service, servers)?;
                Running::Kernel
            }
            Self::Haproxy => {
                proxy(lab, site, &["haproxy", "-db", "-f"], &haproxy::tcp(service, servers))?
            }
            Self::NginxStream => {
                proxy(lab, site, &["nginx", "-c"], &nginx::stream(service, servers))?
            }
            Self::NginxHttp => proxy(lab, site, &["nginx", "-c"], &nginx::http(service, servers))?,
        };
        if self != Self::Routing {
            let client = Client::new(site.client(0)?);
            let answers = || client.http_get(service, "/").map(Some);
            wait_for(START, "the service answers", answers)?;
        }
        Ok(running)
    }
}

impl Running {
    /// For how long its own processes ran so far; what the kernel does with packets is not theirs.
    pub(crate) fn ran(&self) -> Result<Duration> {
        match self {
            Self::Kernel | Self::Lvs { .. } => Ok(Duration::ZERO),
            Self::Proxy { process, .. } => process.ran(),
        }
    }
}

/// Runs a command that ends with the file of its configuration.
fn proxy(lab: &Lab, site: &Site, command: &[&str], configuration: &str) -> Result<Running> {
    let (program, arguments) = command.split_first().context("no program")?;
    let found = find_program(program)
        .with_context(|| format!("`{program}` is missing: install the package of that name"))?;
    let directory = lab.temp_dir(&format!("{program}-{}", site.director()?.name()))?;
    let file = directory.path().join("configuration");
    let own = directory.path().display().to_string();
    fs::write(&file, configuration.replace("DIRECTORY", &own))?;
    let mut command = Command::new(found);
    command.args(arguments).arg(&file);
    let process = Process::start(site.director()?, command)?;
    Ok(Running::Proxy { process, _directory: directory })
}

//! A network namespace and what can be done in it.
use std::{
    fs::{self, File},
    io::Write,
    net::IpAddr,
    os::fd::AsFd,
    panic,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    thread::{self, JoinHandle},
};

use anyhow::{Context, Result, bail};

use crate::{
    cleanup::{NAMESPACES, Registration, Resource},
    stop::Stop,
    sys,
};

/// A network namespace; clones mean the same one. It is removed with its lab, or with its last
/// clone.
#[derive(Clone, Debug)]
pub struct Namespace(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    lab: u64,
    name: String,
    role: String,
    file: File,
    _registration: Registration,
}

impl Namespace {
    pub(crate) fn new(lab: u64, name: &str, role: &str) -> Result<Self> {
        let mut command = Command::new("ip");
        command.args(["netns", "add", name]);
        run_ip(command, "")?;
        let registration = Registration::new(lab, Resource::Namespace(name.to_owned()))?;
        let file = File::open(Path::new(NAMESPACES).join(name))
            .with_context(|| format!("open the namespace {name}"))?;
        let inner = Inner {
            lab,
            name: name.to_owned(),
            role: role.to_owned(),
            file,
            _registration: registration,
        };
        let namespace = Self(Arc::new(inner));
        namespace.ip(&["link set lo up"])?;
        Ok(namespace)
    }

    /// Its name for `ip netns`.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What it is in the experiment: `client`, `director`, ...
    pub fn role(&self) -> &str {
        &self.0.role
    }

    pub(crate) fn lab(&self) -> u64 {
        self.0.lab
    }

    /// Moves the calling thread into it, for the rest of the thread's life.
    pub(crate) fn enter(&self) -> Result<()> {
        sys::enter_network(self.0.file.as_fd())
            .with_context(|| format!("enter the namespace {}", self.name()))
    }

    /// Runs a closure inside it, on a thread of its own, and returns what the closure returns.
    ///
    /// Sockets made inside belong to the namespace and can be used outside. `/sys` stays the
    /// caller's; `/proc/sys/net` and `/proc/thread-self/net` are the namespace's.
    pub fn run<T: Send>(&self, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let inside = || {
            self.enter()?;
            act()
        };
        match thread::scope(|scope| scope.spawn(inside).join()) {
            Ok(result) => result,
            Err(panicked) => panic::resume_unwind(panicked),
        }
    }

    /// Starts a thread inside it that runs until the returned guard is dropped or the closure ends.
    pub(crate) fn spawn(
        &self,
        name: &str,
        act: impl FnOnce(&Stop) -> Result<()> + Send + 'static,
    ) -> Result<Task> {
        let stop = Stop::new()?;
        let registration = Registration::new(self.lab(), Resource::Threads(stop.clone()))?;
        let namespace = self.clone();
        let theirs = stop.clone();
        let thread = thread::Builder::new()
            .name(format!("{}-{name}", self.role()))
            .spawn(move || {
                namespace.enter()?;
                // A task that holds its own namespace would keep it alive after the lab.
                drop(namespace);
                act(&theirs)
            })
            .with_context(|| format!("start the thread {name}"))?;
        Ok(Task { stop, thread: Some(thread), _registration: registration })
    }

    /// Runs commands of iproute2 in it, one per item, without the leading `ip`.
    pub fn ip(&self, commands: &[impl AsRef<str>]) -> Result<()> {
        let mut command = Command::new("ip");
        command.args(["-n", self.name(), "-batch", "-"]);
        let lines: Vec<&str> = commands.iter().map(AsRef::as_ref).collect();
        run_ip(command, &lines.join("\n")).with_context(|| format!("in {}", self.name()))
    }

    /// Sets a kernel parameter, named with dots: `net.ipv4.ip_forward`.
    pub fn sysctl(&self, name: &str, value: &str) -> Result<()> {
        let path = Path::new("/proc/sys").join(name.replace('.', "/"));
        self.run(|| {
            fs::write(&path, value)
                .with_context(|| format!("set {name} = {value} in {}", self.name()))
        })
    }

    /// Sets a link up, or down as if its cable were pulled out.
    pub fn set_link(&self, interface: &str, up: bool) -> Result<()> {
        self.ip(&[format!("link set {interface} {}", if up { "up" } else { "down" })])
    }

    /// Changes the MAC address of a link; with `announce`, neighbours are told at once (gratuitous
    /// ARP and unsolicited neighbour advertisement).
    pub fn set_mac(&self, interface: &str, mac: [u8; 6], announce: bool) -> Result<()> {
        let value = if announce { "1" } else { "0" };
        self.sysctl(&format!("net.ipv4.conf.{interface}.arp_notify"), value)?;
        self.sysctl(&format!("net.ipv6.conf.{interface}.ndisc_notify"), value)?;
        let digits: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        self.ip(&[format!("link set {interface} address {}", digits.join(":"))])
    }

    /// The MAC address of a link.
    pub fn mac(&self, interface: &str) -> Result<[u8; 6]> {
        let output = Command::new("ip")
            .args(["-n", self.name(), "-o", "link", "show", interface])
            .output()
            .context("run ip link show")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mac = text.split_whitespace().skip_while(|word| *word != "link/ether").nth(1);
        let bytes: Vec<u8> = mac
            .with_context(|| format!("{interface} of {} has no MAC address", self.name()))?
            .split(':')
            .map(|digits| u8::from_str_radix(digits, 16))
            .collect::<Result<_, _>>()?;
        <[u8; 6]>::try_from(bytes).ok().context("a MAC address has six bytes")
    }

    /// Makes the namespace forget all neighbours (ARP and neighbour discovery) that it learned.
    pub fn forget_neighbours(&self) -> Result<()> {
        self.ip(&["neigh flush all"])
    }

    /// Adds an address with its prefix length, usable at once (no duplicate address detection).
    pub fn add_address(&self, interface: &str, address: IpAddr, prefix: u8) -> Result<()> {
        self.ip(&[address_command(interface, address, prefix)])
    }

    /// Puts one frame, Ethernet header included, onto the wire of a link.
    pub fn send_frame(&self, interface: &str, frame: &[u8]) -> Result<()> {
        self.run(|| send_all(interface, [frame]))
            .with_context(|| format!("send a frame on {interface} of {}", self.name()))
    }

    /// Puts frames onto the wire of a link, all from one CPU, each when the iterator has it. Of the
    /// queues of a link each belongs to a CPU, and the other end of a veth receives on that CPU.
    pub fn send_frames_from(
        &self,
        cpu: usize,
        interface: &str,
        frames: impl Iterator<Item = Vec<u8>> + Send,
    ) -> Result<()> {
        self.run(|| {
            sys::stay_on_cpu(cpu).context("keep a thread on one CPU")?;
            send_all(interface, frames)
        })
        .with_context(|| format!("send from CPU {cpu} on {interface} of {}", self.name()))
    }
}

fn send_all(interface: &str, frames: impl IntoIterator<Item: AsRef<[u8]>>) -> Result<()> {
    let (socket, index) = (sys::direct_socket()?, sys::interface_index(interface)?);
    for frame in frames {
        sys::send_frame(socket.as_fd(), index, frame.as_ref())?;
    }
    Ok(())
}

/// The iproute2 command that adds an address.
pub(crate) fn address_command(interface: &str, address: IpAddr, prefix: u8) -> String {
    let nodad = if address.is_ipv6() { " nodad" } else { "" };
    format!("address add {address}/{prefix} dev {interface}{nodad}")
}

fn run_ip(mut command: Command, input: &str) -> Result<()> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("run `ip` (from iproute2, which the laboratory needs)")?;
    if let Some(mut stdin) = child.stdin.take() {
        // `ip` may end early, at a wrong command; what it says about that is more useful.
        drop(stdin.write_all(input.as_bytes()));
    }
    let output = child.wait_with_output().context("wait for `ip`")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?} failed: {}\n{input}", said.trim());
    }
    Ok(())
}

/// A thread that ends, at the latest, when this guard is dropped.
#[derive(Debug)]
pub(crate) struct Task {
    stop: Stop,
    thread: Option<JoinHandle<Result<()>>>,
    _registration: Registration,
}

impl Task {
    /// Asks the thread to end, without waiting for it.
    pub(crate) fn stop(&self) {
        self.stop.raise();
    }

    /// Ends the thread and tells how it went.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.stop.raise();
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(panicked)) => panic::resume_unwind(panicked),
            None => Ok(()),
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.stop.raise();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

//! `[daemon]`: what concerns the daemon and not one service.
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use lvs_model::{desired::Desired, words::Word};

use crate::{
    error::Problem,
    section::{Place, Report, Section, string},
    settings::{
        CONNECTIONS, DAEMON_KEYS, FORMAT, INTERFACES, Key, LEVEL, LOG, LOG_KEYS, PIN_DIR, SERVERS,
        SERVICES, SOCKET, XDP_MODE,
    },
    source::Span,
};

/// The least capacity of the connection table.
pub const MIN_CONNECTIONS: u32 = 1024;
/// The largest capacity of the connection table.
pub const MAX_CONNECTIONS: u32 = 256 << 20;
/// The largest number of services.
pub const MAX_SERVICES: u32 = u16::MAX as u32;
/// The largest number of servers, over all services.
pub const MAX_SERVERS: u32 = (2 << 20) - 1;

// The tables are powers of two, and number 0 is nobody's.
const DEFAULT_SERVICES: u32 = 4095;
const DEFAULT_SERVERS: u32 = 65535;

/// Bytes of a name that the kernel takes, without the zero at its end.
const INTERFACE_NAME: usize = 15;

/// Settings of the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Daemon {
    /// Where packets arrive; at least one, each once.
    pub interfaces: Vec<String>,
    /// How the program is attached.
    pub xdp_mode: XdpMode,
    /// Capacity of the connection table.
    pub connections: u32,
    /// Capacity for services; never less than the file has.
    pub services: Room,
    /// Capacity for servers, over all services; never less than the file has.
    pub servers: Room,
    /// The control socket.
    pub socket: PathBuf,
    /// Where the tables are pinned, on a bpffs.
    pub pin_dir: PathBuf,
    /// Logging.
    pub log: Log,
}

/// For how many there is room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// The file says so.
    Written(u32),
    /// The file does not say.
    Default {
        /// What new tables get: the default, or twice what the file has where that is more.
        new: u32,
        /// What the file has: tables that there are already need no more.
        least: u32,
    },
}

impl Room {
    /// What new tables get.
    pub const fn new_tables(self) -> u32 {
        match self {
            Self::Written(room) | Self::Default { new: room, .. } => room,
        }
    }

    /// What tables that there are already must have room for; `None`: for exactly as many as the
    /// file says.
    pub const fn least(self) -> Option<u32> {
        match self {
            Self::Written(_) => None,
            Self::Default { least, .. } => Some(least),
        }
    }
}

/// Logging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// The least important messages that are written.
    pub level: LogLevel,
    /// How they look.
    pub format: LogFormat,
}

/// How the kernel program is attached to interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpMode {
    /// In the driver where it can, else generic.
    Auto,
    /// In the driver, or not at all.
    Native,
    /// In the network stack: slower, with every driver.
    Generic,
}

/// How important a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the usual five")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// How messages look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object for each line.
    Json,
}

impl Word for XdpMode {
    const WHAT: &'static str = "XDP mode";
    const TABLE: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("native", Self::Native), ("generic", Self::Generic)];
}

impl Word for LogLevel {
    const WHAT: &'static str = "log level";
    const TABLE: &'static [(&'static str, Self)] = &[
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
        ("trace", Self::Trace),
    ];
}

impl Word for LogFormat {
    const WHAT: &'static str = "log format";
    const TABLE: &'static [(&'static str, Self)] = &[("text", Self::Text), ("json", Self::Json)];
}

impl Daemon {
    /// The defaults for a file with these interfaces and this desired state.
    pub fn new(interfaces: Vec<String>, desired: &Desired) -> Self {
        Self {
            interfaces,
            xdp_mode: XdpMode::Auto,
            connections: 1_000_000,
            services: room(count_services(desired), DEFAULT_SERVICES, MAX_SERVICES),
            servers: room(count_servers(desired), DEFAULT_SERVERS, MAX_SERVERS),
            socket: "/run/lvs/lvsd.sock".into(),
            pin_dir: "/sys/fs/bpf/lvs".into(),
            log: Log { level: LogLevel::Info, format: LogFormat::Text },
        }
    }
}

fn room(count: usize, default: u32, most: u32) -> Room {
    let twice = count.saturating_mul(2).checked_next_power_of_two();
    let twice = twice.and_then(|twice| u32::try_from(twice).ok()).unwrap_or(most);
    let least = u32::try_from(count).unwrap_or(u32::MAX);
    Room::Default { new: twice.clamp(default, most), least }
}

fn count_services(desired: &Desired) -> usize {
    desired.services.len()
}

fn count_servers(desired: &Desired) -> usize {
    desired.services.iter().map(|service| service.servers.len()).sum()
}

/// Reads `[daemon]`; also tells where each interface is named.
pub(crate) fn read(
    section: &Section<'_>,
    desired: &Desired,
    report: &mut Report,
) -> (Daemon, Vec<Span>) {
    section.refuse_unknown(&DAEMON_KEYS, report);
    let (interfaces, spans) = read_interfaces(section, report);
    let mut daemon = Daemon::new(interfaces, desired);
    if let Some((mode, _)) = section.word(&XDP_MODE, &[], report) {
        daemon.xdp_mode = mode;
    }
    let (least, most) = (u64::from(MIN_CONNECTIONS), u64::from(MAX_CONNECTIONS));
    if let Some((connections, _)) = section.number(&CONNECTIONS, least, most, report) {
        daemon.connections = connections;
    }
    let (services, servers) = (count_services(desired), count_servers(desired));
    if let Some(capacity) = read_capacity(section, &SERVICES, MAX_SERVICES, services, report) {
        daemon.services = Room::Written(capacity);
    }
    if let Some(capacity) = read_capacity(section, &SERVERS, MAX_SERVERS, servers, report) {
        daemon.servers = Room::Written(capacity);
    }
    if let Some(path) = read_path(section, &SOCKET, report) {
        daemon.socket = path;
    }
    if let Some(path) = read_path(section, &PIN_DIR, report) {
        daemon.pin_dir = path;
    }
    if let Some(log) = section.section(&LOG, Place::Log, report) {
        log.refuse_unknown(&LOG_KEYS, report);
        if let Some((level, _)) = log.word(&LEVEL, &[], report) {
            daemon.log.level = level;
        }
        if let Some((format, _)) = log.word(&FORMAT, &[], report) {
            daemon.log.format = format;
        }
    }
    (daemon, spans)
}

fn read_interfaces(section: &Section<'_>, report: &mut Report) -> (Vec<String>, Vec<Span>) {
    let (mut names, mut spans) = (Vec::new(), Vec::new());
    section.require(&INTERFACES, report);
    let Some((array, span)) = section.array(&INTERFACES, "an array of strings", report) else {
        return (names, spans);
    };
    if array.is_empty() {
        report.add(Problem::NoInterface, span);
    }
    let mut seen = HashSet::new();
    for value in array {
        let Some((name, span)) = string(&INTERFACES, value, report) else {
            continue;
        };
        if !is_interface_name(name) {
            report.add(Problem::InterfaceName(name.to_owned()), span);
        } else if !seen.insert(name) {
            report.add(Problem::InterfaceTwice(name.to_owned()), span);
        } else {
            names.push(name.to_owned());
            spans.push(span);
        }
    }
    (names, spans)
}

/// What the kernel takes as a name.
fn is_interface_name(name: &str) -> bool {
    let bad = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
    !name.is_empty()
        && name.len() <= INTERFACE_NAME
        && !matches!(name, "." | "..")
        && !name.contains(bad)
}

fn read_capacity(
    section: &Section<'_>,
    key: &Key,
    most: u32,
    count: usize,
    report: &mut Report,
) -> Option<u32> {
    let (capacity, span) = section.number::<u32>(key, 1, u64::from(most), report)?;
    if usize::try_from(capacity).is_ok_and(|capacity| capacity < count) {
        report.add(Problem::Capacity { what: key.name, count, capacity }, span);
        return None;
    }
    Some(capacity)
}

fn read_path(section: &Section<'_>, key: &Key, report: &mut Report) -> Option<PathBuf> {
    let (text, span) = section.text(key, report)?;
    if !Path::new(text).is_absolute() || text.contains('\0') {
        report.add(Problem::NotAPath(key.name), span);
        return None;
    }
    Some(text.into())
}

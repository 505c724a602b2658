//! The keys of each section, and what later releases will have. Examples are what a remedy shows.

/// A key and a line that sets it.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) example: &'static str,
}

const fn key(name: &'static str, example: &'static str) -> Key {
    Key { name, example }
}

/// The keys that a section may have.
pub(crate) struct Keys {
    pub(crate) names: &'static [&'static str],
    /// Keys of later releases, for which "unknown" would be the wrong word.
    pub(crate) not_yet: &'static [&'static str],
}

pub(crate) const DAEMON: Key = key("daemon", "[daemon]");
pub(crate) const SERVICE: Key = key("service", "[[service]]");

pub(crate) const FILE_KEYS: Keys =
    Keys { names: &["daemon", "service"], not_yet: &["vrrp", "sync", "group"] };

pub(crate) const INTERFACES: Key = key("interfaces", "interfaces = [\"eth0\"]");
pub(crate) const XDP_MODE: Key = key("xdp_mode", "xdp_mode = \"auto\"");
pub(crate) const CONNECTIONS: Key = key("connections", "connections = 1_000_000");
pub(crate) const SERVICES: Key = key("services", "services = 4095");
pub(crate) const SERVERS: Key = key("servers", "servers = 65535");
pub(crate) const SOCKET: Key = key("socket", "socket = \"/run/lvs/lvsd.sock\"");
pub(crate) const PIN_DIR: Key = key("pin_dir", "pin_dir = \"/sys/fs/bpf/lvs\"");
pub(crate) const LOG: Key = key("log", "log = { level = \"info\" }");

pub(crate) const DAEMON_KEYS: Keys = Keys {
    names: &[
        "interfaces",
        "xdp_mode",
        "connections",
        "services",
        "servers",
        "socket",
        "pin_dir",
        "log",
    ],
    not_yet: &["metrics"],
};

pub(crate) const LEVEL: Key = key("level", "level = \"info\"");
pub(crate) const FORMAT: Key = key("format", "format = \"text\"");

pub(crate) const LOG_KEYS: Keys = Keys { names: &["level", "format"], not_yet: &[] };

pub(crate) const NAME: Key = key("name", "name = \"web\"");
pub(crate) const ADDRESS: Key = key("address", "address = \"192.0.2.10:80\"");
pub(crate) const PROTOCOL: Key = key("protocol", "protocol = \"tcp\"");
pub(crate) const SCHEDULER: Key = key("scheduler", "scheduler = \"wlc\"");
pub(crate) const FLAGS: Key = key("scheduler_flags", "scheduler_flags = [\"mh-port\"]");
pub(crate) const FORWARD: Key = key("forward", "forward = \"direct\"");
pub(crate) const STATE: Key = key("state", "state = \"all\"");
pub(crate) const STRAY: Key = key("stray", "stray = \"stack\"");
pub(crate) const ON_FAILURE: Key = key("on_failure", "on_failure = \"keep\"");
pub(crate) const TIMEOUTS: Key = key("timeouts", "timeouts = { established = \"15m\" }");
pub(crate) const CHECK: Key = key("check", "check = { type = \"tcp\" }");
pub(crate) const SERVER: Key = key("server", "[[service.server]]");

pub(crate) const SERVICE_KEYS: Keys = Keys {
    names: &[
        "name",
        "address",
        "protocol",
        "scheduler",
        "scheduler_flags",
        "forward",
        "state",
        "stray",
        "on_failure",
        "timeouts",
        "check",
        "server",
    ],
    not_yet: &["mark", "persistence", "quorum", "sorry_server", "one_packet"],
};

pub(crate) const ESTABLISHED: Key = key("established", "established = \"15m\"");
pub(crate) const FIN: Key = key("fin", "fin = \"2m\"");
pub(crate) const UDP: Key = key("udp", "udp = \"5m\"");

pub(crate) const TIMEOUTS_KEYS: Keys =
    Keys { names: &["established", "fin", "udp"], not_yet: &["sctp"] };

pub(crate) const TYPE: Key = key("type", "type = \"http\"");
pub(crate) const PATH: Key = key("path", "path = \"/healthz\"");
pub(crate) const HOST: Key = key("host", "host = \"www.example.org\"");
pub(crate) const STATUS: Key = key("status", "status = [200]");
pub(crate) const PORT: Key = key("port", "port = 8080");
pub(crate) const INTERVAL: Key = key("interval", "interval = \"2s\"");
pub(crate) const TIMEOUT: Key = key("timeout", "timeout = \"1s\"");
pub(crate) const RISE: Key = key("rise", "rise = 1");
pub(crate) const FALL: Key = key("fall", "fall = 2");

pub(crate) const CHECK_KEYS: Keys = Keys {
    names: &["type", "path", "host", "status", "port", "interval", "timeout", "rise", "fall"],
    not_yet: &[],
};

pub(crate) const SERVER_ADDRESS: Key = key("address", "address = \"10.0.0.11:80\"");
pub(crate) const WEIGHT: Key = key("weight", "weight = 1");
pub(crate) const DRAIN: Key = key("drain", "drain = true");

pub(crate) const SERVER_KEYS: Keys = Keys {
    names: &["address", "weight", "forward", "check", "drain"],
    not_yet: &["upper_threshold", "lower_threshold", "tunnel"],
};

pub(crate) const LATER_PROTOCOLS: &[&str] = &["sctp"];
pub(crate) const LATER_SCHEDULERS: &[&str] =
    &["lblc", "lblcr", "dh", "sed", "nq", "fo", "ovf", "twos"];
pub(crate) const LATER_METHODS: &[&str] = &["full-nat"];
pub(crate) const LATER_CHECKS: &[&str] =
    &["https", "udp", "dns", "smtp", "ping", "grpc", "command", "file", "bfd"];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const MANUAL: &str = include_str!("../../../docs/configuration.md");

    #[test]
    fn the_manual_has_every_key() {
        for keys in
            [&DAEMON_KEYS, &LOG_KEYS, &SERVICE_KEYS, &TIMEOUTS_KEYS, &CHECK_KEYS, &SERVER_KEYS]
        {
            for name in keys.names {
                assert!(MANUAL.contains(&format!("\n| `{name}` | ")), "{name}");
            }
        }
    }

    #[test]
    fn the_examples_of_the_manual_are_valid() {
        let examples: Vec<_> = MANUAL.split("```toml\n").skip(1).collect();
        assert!(examples.len() >= 5);
        for example in examples {
            let text = example.split("```").next().unwrap();
            if let Err(errors) = crate::parse(Path::new("configuration.md"), text) {
                panic!("{errors}");
            }
        }
    }
}

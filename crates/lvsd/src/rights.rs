//! Whether the process may do what a data plane needs.
use std::fs;

/// Capabilities that are needed, with their numbers (capabilities(7)).
const NEEDED: [(u32, &str); 3] = [(12, "CAP_NET_ADMIN"), (38, "CAP_PERFMON"), (39, "CAP_BPF")];
/// `CAP_SYS_ADMIN`, which stands for the latter two.
const SYS_ADMIN: u32 = 21;

/// Rights that are missing.
#[derive(Debug, thiserror::Error)]
#[error(
    "no right to load programs into the kernel: {} missing\nhelp: run lvsd as root, or by systemd \
     with dist/lvsd.service, or `setcap cap_net_admin,cap_perfmon,cap_bpf+ep` the program; in a \
     container, add these capabilities to it",
    .0.join(", ")
)]
pub(crate) struct Missing(Vec<&'static str>);

/// Checks the effective capabilities of this process.
pub(crate) fn check() -> Result<(), Missing> {
    // Without /proc nothing is known, and the kernel will tell.
    let Some(effective) = fs::read_to_string("/proc/self/status").ok().as_deref().and_then(held)
    else {
        return Ok(());
    };
    let missing = missing(effective);
    if missing.is_empty() { Ok(()) } else { Err(Missing(missing)) }
}

fn held(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn missing(effective: u64) -> Vec<&'static str> {
    let has = |number: u32| effective >> number & 1 == 1;
    let lacks = |number: u32| !(has(number) || number > 12 && has(SYS_ADMIN));
    NEEDED.iter().filter(|(number, _)| lacks(*number)).map(|(_, name)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let status = "Name:\tlvsd\nCapEff:\t000001ffffffffff\n";
        assert!(missing(held(status).unwrap()).is_empty());
        assert_eq!(missing(0), ["CAP_NET_ADMIN", "CAP_PERFMON", "CAP_BPF"]);
        // CAP_SYS_ADMIN stands for the others but not for CAP_NET_ADMIN.
        assert_eq!(missing(1 << SYS_ADMIN), ["CAP_NET_ADMIN"]);
        assert_eq!(missing(1 << SYS_ADMIN | 1 << 12), [""; 0]);
    }
}

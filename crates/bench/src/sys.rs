//! System calls that aya does not offer for descriptors of others.
#![expect(unsafe_code, reason = "raw system calls")]

use std::{
    collections::BTreeMap,
    ffi::CString,
    fs, io,
    os::fd::{AsRawFd as _, BorrowedFd},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

/// Puts a program into the first place of a program array.
pub(crate) fn set_program(map: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<()> {
    const BPF_MAP_UPDATE_ELEM: libc::c_int = 2;
    #[repr(C)]
    struct Update {
        map: u64,
        key: u64,
        value: u64,
        flags: u64,
    }
    let (key, value) = (0_u32, program.as_raw_fd());
    let attributes = Update {
        map: u64::from(map.as_raw_fd().unsigned_abs()),
        key: (&raw const key) as u64,
        value: (&raw const value) as u64,
        flags: 0,
    };
    // SAFETY: the attributes of this command; what they point to lives until it returns.
    let done = unsafe {
        let size = size_of::<Update>();
        libc::syscall(libc::SYS_bpf, BPF_MAP_UPDATE_ELEM, &raw const attributes, size)
    };
    ensure!(done == 0, "putting a program behind its wrapper: {}", io::Error::last_os_error());
    Ok(())
}

/// The number of an interface of this network namespace.
pub(crate) fn interface(name: &str) -> Result<u32> {
    let text = CString::new(name)?;
    // SAFETY: a valid string.
    let index = unsafe { libc::if_nametoindex(text.as_ptr()) };
    ensure!(index != 0, "{name}: {}", io::Error::last_os_error());
    Ok(index)
}

/// Interpreted programs are not what anybody wants to know the speed of.
pub(crate) fn check_jit() -> Result<()> {
    const FILE: &str = "/proc/sys/net/core/bpf_jit_enable";
    // Absent where the kernel always compiles; readable for root only.
    let Ok(setting) = fs::read_to_string(FILE) else { return Ok(()) };
    let setting: u32 = setting.trim().parse().context(FILE)?;
    ensure!(
        setting != 0,
        "the kernel interprets programs instead of compiling them: `echo 1 >{FILE}` as root"
    );
    Ok(())
}

/// Has this thread run on one CPU only.
pub(crate) fn stay_on(cpu: usize) -> Result<()> {
    // SAFETY: a set is plain bits, none of which is set; then one is, if there is such a bit.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        set
    };
    // SAFETY: the set is valid and as large as is said.
    let done = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
    ensure!(done == 0, "running on CPU {cpu}: {}", io::Error::last_os_error());
    Ok(())
}

/// CPU time that this thread has taken.
pub(crate) fn cpu_time() -> Result<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid place for the answer.
    let done = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    ensure!(done == 0, "reading the thread's clock: {}", io::Error::last_os_error());
    Ok(Duration::new(time.tv_sec.try_into()?, time.tv_nsec.try_into()?))
}

/// Bytes of all maps that this process has open.
pub(crate) fn map_memory() -> Result<u64> {
    let mut maps = BTreeMap::<u64, u64>::new();
    for entry in fs::read_dir("/proc/self/fdinfo")? {
        // The folder's own descriptor is gone when it is looked at.
        let Ok(text) = fs::read_to_string(entry?.path()) else { continue };
        let field =
            |name| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        if let (Some(map), Some(bytes)) = (field("map_id:"), field("memlock:")) {
            maps.insert(map, bytes);
        }
    }
    Ok(maps.values().sum())
}

/// Bytes of memory that this process alone has.
pub(crate) fn own_memory() -> Result<u64> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kilobytes: u64 =
        line.and_then(|line| line.split_whitespace().next()).context("RssAnon")?.parse()?;
    Ok(kilobytes << 10)
}

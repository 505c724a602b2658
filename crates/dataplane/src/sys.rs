//! System calls that neither the standard library nor aya offers.
#![expect(unsafe_code, reason = "raw system calls")]

use std::{
    io,
    os::fd::{FromRawFd as _, OwnedFd},
    time::Duration,
};

/// The monotonic clock at the precision of the scheduler's tick: what the kernel program reads.
pub(crate) fn coarse_clock() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writing.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Random keys.
pub(crate) fn random<const N: usize>() -> io::Result<[u64; N]> {
    let mut words = [0_u64; N];
    // SAFETY: `words` is valid for writing that many bytes. So few bytes are never cut short.
    let got = unsafe { libc::getrandom(words.as_mut_ptr().cast(), size_of_val(&words), 0) };
    if got < 0 { Err(io::Error::last_os_error()) } else { Ok(words) }
}

/// Waits until no CPU runs a kernel program that was started before the call: the barrier waits
/// for a grace period of RCU, under which XDP programs run.
pub(crate) fn wait_for_programs() {
    const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;
    // SAFETY: a call without pointers.
    let done = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if done != 0 {
        // A kernel without the call, or with isolated CPUs: no program runs for longer than this.
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Lets this process lock as much memory as it likes: kernels before 5.11 count BPF maps in.
pub(crate) fn unlimit_locked_memory() {
    let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `limit` is valid for reading. Where it fails and matters, making a map fails too.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) };
}

/// Makes a memory-mappable array map, without type information.
pub(crate) fn create_array(name: &str, value: u32, len: u32) -> io::Result<OwnedFd> {
    const BPF_MAP_CREATE: libc::c_long = 0;
    const BPF_MAP_TYPE_ARRAY: u32 = 2;
    const BPF_F_MMAPABLE: u32 = 1 << 10;
    /// The beginning of `union bpf_attr` for this command.
    #[repr(C)]
    struct Attributes {
        map_type: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        map_flags: u32,
        inner_map_fd: u32,
        numa_node: u32,
        map_name: [u8; 16],
    }
    let mut map_name = [0; 16];
    map_name.iter_mut().take(15).zip(name.bytes()).for_each(|(to, from)| *to = from);
    let attributes = Attributes {
        map_type: BPF_MAP_TYPE_ARRAY,
        key_size: 4,
        value_size: value,
        max_entries: len,
        map_flags: BPF_F_MMAPABLE,
        inner_map_fd: 0,
        numa_node: 0,
        map_name,
    };
    let size = size_of::<Attributes>();
    // SAFETY: the kernel reads `size` bytes of `attributes`.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_MAP_CREATE, &raw const attributes, size) };
    match i32::try_from(fd) {
        // SAFETY: a descriptor that the kernel just gave to this call alone.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

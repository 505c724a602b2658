//! System calls that neither the standard library nor aya offers.
#![expect(unsafe_code, reason = "raw system calls")]

use std::{
    cell::UnsafeCell,
    ffi::CString,
    io,
    mem::MaybeUninit,
    os::{
        fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
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

/// Commands of `bpf(2)`.
#[derive(Clone, Copy)]
#[repr(i64)]
enum Command {
    MapCreate = 0,
    ProgramLoad = 5,
    ObjPin = 6,
    ObjGet = 7,
    ProgramTestRun = 10,
    LinkCreate = 28,
    LinkUpdate = 29,
}

/// Calls `bpf(2)` with the beginning of `union bpf_attr` that the command reads.
///
/// # Safety
/// `T` is that beginning, and its pointers are valid.
unsafe fn bpf<T>(command: Command, attributes: &T) -> io::Result<i32> {
    let size = size_of::<T>();
    // SAFETY: the kernel reads `size` bytes; the rest is promised by the caller.
    let answer = unsafe {
        libc::syscall(libc::SYS_bpf, command as i64, std::ptr::from_ref(attributes), size)
    };
    match i32::try_from(answer) {
        Ok(answer) if answer >= 0 => Ok(answer),
        _ => Err(io::Error::last_os_error()),
    }
}

/// As [`bpf`], for commands that answer with a descriptor.
///
/// # Safety
/// As for [`bpf`]; and the command is one of those.
unsafe fn bpf_open<T>(command: Command, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: promised by the caller; the descriptor was just made for this call alone.
    unsafe { bpf(command, attributes).map(|fd| OwnedFd::from_raw_fd(fd)) }
}

/// Makes a descriptor refer to what another one refers to.
pub(crate) fn replace_descriptor(old: BorrowedFd<'_>, by: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: both are open; whoever owns `old` closes it as before.
    let done = unsafe { libc::dup3(by.as_raw_fd(), old.as_raw_fd(), libc::O_CLOEXEC) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Makes a memory-mappable array map, without type information.
pub(crate) fn create_array(name: &str, value: u32, len: u32) -> io::Result<OwnedFd> {
    const BPF_MAP_TYPE_ARRAY: u32 = 2;
    const BPF_F_MMAPABLE: u32 = 1 << 10;
    #[repr(C)]
    struct MapCreate {
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
    let attributes = MapCreate {
        map_type: BPF_MAP_TYPE_ARRAY,
        key_size: 4,
        value_size: value,
        max_entries: len,
        map_flags: BPF_F_MMAPABLE,
        inner_map_fd: 0,
        numa_node: 0,
        map_name,
    };
    // SAFETY: the attributes of this command; no pointers.
    unsafe { bpf_open(Command::MapCreate, &attributes) }
}

/// Loads a program that writes the kernel's jiffies into the first eight bytes of its packet.
pub(crate) fn load_jiffies() -> io::Result<OwnedFd> {
    // From the lowest bits on: operation (8), destination (4), source (4), offset (16), constant (32).
    const PROGRAM: [u64; 11] = [
        0x0000_0000_0000_16bf, // r6 = r1
        0x0000_0076_0000_0085, // r0 = bpf_jiffies64()
        0x0000_0000_0000_6261, // r2 = data
        0x0000_0000_0004_6361, // r3 = data_end
        0x0000_0000_0000_21bf, // r1 = r2
        0x0000_0008_0000_0107, // r1 += 8
        0x0000_0000_0001_312d, // if r1 > r3: skip
        0x0000_0000_0000_027b, // *(u64 *)r2 = r0
        0x0000_0002_0000_00b7, // r0 = XDP_PASS
        0x0000_0002_0000_00b7,
        0x0000_0000_0000_0095, // exit
    ];
    const XDP: u32 = 6;
    #[repr(C)]
    struct ProgramLoad {
        kind: u32,
        len: u32,
        instructions: u64,
        license: u64,
    }
    let attributes = ProgramLoad {
        kind: XDP,
        len: 11,
        instructions: PROGRAM.as_ptr() as u64,
        license: c"Dual MIT/GPL".as_ptr() as u64,
    };
    // SAFETY: the attributes of this command; the pointers are to constants.
    unsafe { bpf_open(Command::ProgramLoad, &attributes) }
}

/// What the program of [`load_jiffies`] says.
pub(crate) fn jiffies(program: BorrowedFd<'_>) -> io::Result<u64> {
    #[repr(C)]
    struct TestRun {
        program: u32,
        answer: u32,
        len_in: u32,
        len_out: u32,
        data_in: u64,
        data_out: u64,
        repeat: u32,
        duration: u32,
    }
    let mut packet = [0_u64; 8];
    let attributes = TestRun {
        program: number(program),
        answer: 0,
        len_in: 64,
        len_out: 64,
        data_in: packet.as_ptr() as u64,
        data_out: packet.as_mut_ptr() as u64,
        repeat: 1,
        duration: 0,
    };
    // The kernel writes into the attributes, too.
    let attributes = UnsafeCell::new(attributes);
    // SAFETY: the attributes of this command as far as it writes; the packet is copied in, then out.
    unsafe { bpf(Command::ProgramTestRun, &attributes) }?;
    let [jiffies, ..] = packet;
    Ok(jiffies)
}

#[repr(C)]
struct Object {
    pathname: u64,
    fd: u32,
    flags: u32,
}

fn path_of(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_nul| io::ErrorKind::InvalidInput.into())
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().unsigned_abs()
}

/// Gives a map or link a name in a bpffs.
pub(crate) fn pin(fd: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = path_of(path)?;
    let attributes = Object { pathname: path.as_ptr() as u64, fd: number(fd), flags: 0 };
    // SAFETY: the attributes of this command; the path lives until it returns.
    unsafe { bpf(Command::ObjPin, &attributes) }.map(|_zero| ())
}

/// Opens a map or link by its name in a bpffs.
pub(crate) fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = path_of(path)?;
    let attributes = Object { pathname: path.as_ptr() as u64, fd: 0, flags: 0 };
    // SAFETY: the attributes of this command; the path lives until it returns.
    unsafe { bpf_open(Command::ObjGet, &attributes) }
}

/// Attaches an XDP program to an interface for as long as the link lives.
pub(crate) fn attach(program: BorrowedFd<'_>, interface: u32, native: bool) -> io::Result<OwnedFd> {
    const BPF_XDP: u32 = 37;
    const XDP_FLAGS_SKB_MODE: u32 = 2;
    const XDP_FLAGS_DRV_MODE: u32 = 4;
    let flags = if native { XDP_FLAGS_DRV_MODE } else { XDP_FLAGS_SKB_MODE };
    let attributes = [number(program), interface, BPF_XDP, flags];
    // SAFETY: the attributes of this command; no pointers.
    unsafe { bpf_open(Command::LinkCreate, &attributes) }
}

/// Puts a program in the place of a link's, between two packets.
pub(crate) fn replace(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let attributes = [number(link), number(program), 0, 0];
    // SAFETY: the attributes of this command; no pointers.
    unsafe { bpf(Command::LinkUpdate, &attributes) }.map(|_zero| ())
}

/// The number of an interface of this network namespace.
pub(crate) fn interface(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: a valid string.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    (index != 0).then_some(index)
}

/// Whether a path lies in a bpffs.
pub(crate) fn is_bpffs(path: &Path) -> io::Result<bool> {
    let path = path_of(path)?;
    let mut status = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: valid pointers; the status is read only after it was written.
    unsafe {
        match libc::statfs(path.as_ptr(), status.as_mut_ptr()) {
            0 => Ok(status.assume_init().f_type == libc::BPF_FS_MAGIC),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Mounts a new bpffs.
pub(crate) fn mount_bpffs(at: &Path) -> io::Result<()> {
    let at = path_of(at)?;
    let kind = c"bpf".as_ptr();
    // SAFETY: valid strings.
    let done = unsafe { libc::mount(kind, at.as_ptr(), kind, 0, c"mode=0700".as_ptr().cast()) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

//! System calls that aya does not offer for descriptors of others.
#![expect(unsafe_code, reason = "raw system calls")]

use std::{
    ffi::CString,
    fs, io,
    os::fd::{AsRawFd as _, BorrowedFd},
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

//! Optimises and links the IR with rustc's own libLLVM.
#![expect(unsafe_code, reason = "the environment names the libLLVM to open")]

use std::{env, ffi::CString, path::Path};

use anyhow::{Result, ensure};
use bpf_linker::{Cpu, Linker, LinkerInput, LinkerOptions, OptLevel, OutputType};
use tracing_subscriber::filter::LevelFilter;

pub(crate) fn link(ir: &str, exports: &[&str], sysroot: &Path, out: &Path) -> Result<()> {
    // bpf-linker opens the first libLLVM it meets in LD_LIBRARY_PATH: it must be rustc's own.
    let library = sysroot.join("lib");
    // SAFETY: this runs in a build script, which has no other thread.
    #[expect(clippy::disallowed_methods, reason = "single-threaded, see above")]
    unsafe {
        env::set_var("LD_LIBRARY_PATH", library);
    }
    // LLVM's own complaints reach us only through `tracing`. A second subscriber is no harm.
    drop(
        tracing_subscriber::fmt()
            .with_max_level(LevelFilter::ERROR)
            .with_writer(std::io::stderr)
            .try_init(),
    );
    let linker = Linker::new(LinkerOptions {
        target: Some(CString::new("bpfel")?),
        cpu: Cpu::V3, // 32-bit ALU and atomics: Linux 5.12
        // Headers lie at any alignment: one load instead of one for each byte. The kernel allows it
        // for packets wherever the CPU does.
        cpu_features: CString::new("+allows-misaligned-mem-access")?,
        optimize: OptLevel::Aggressive,
        unroll_loops: false,
        ignore_inline_never: false,
        llvm_args: vec![],
        disable_expand_memcpy_in_order: false,
        disable_memory_builtins: false,
        btf: true,
        allow_bpf_trap: false,
    });
    let input = LinkerInput::new_from_buffer("host-ir", ir.as_bytes());
    linker.link_to_file([input], out, OutputType::Object, exports.iter().copied())?;
    ensure!(!linker.has_errors(), "bpf-linker reported errors");
    Ok(())
}

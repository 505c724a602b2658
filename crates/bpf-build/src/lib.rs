//! Compiles a kernel program written with aya-ebpf, with nothing but stable rustc.
//!
//! The crate is compiled *for the host* into one un-optimised LLVM IR file (fat LTO merges its
//! dependencies and `core`). The IR is re-labelled as BPF and handed to bpf-linker, used as a
//! library, which optimises it and generates code with the libLLVM that rustc itself ships. Needs a
//! little-endian 64-bit host (tried: `x86_64`).
//!
//! A second way checks the first: a rustc that has `core` for its own BPF target makes the IR, the
//! rest is the same. [`CARGO_VARIABLE`] chooses it.
mod ir;
mod link;
mod toolchain;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use toolchain::Toolchain;

/// The environment variable that names the cargo of a toolchain with a BPF target, to be used
/// instead of compiling for the host.
pub const CARGO_VARIABLE: &str = "LVS_BPF_CARGO";

/// A member of the workspace whose library is a kernel program.
#[derive(Clone, Copy, Debug)]
pub struct Package<'a> {
    /// Its name.
    pub name: &'a str,
    /// Features that it is to have.
    pub features: &'a [&'a str],
}

impl<'a> From<&'a str> for Package<'a> {
    fn from(name: &'a str) -> Self {
        Self { name, features: &[] }
    }
}

/// Builds the library target of `package`, a member of the workspace at `root`, into the BPF object
/// `out`. `target_dir` must not be the one that the calling cargo has locked.
///
/// # Errors
/// The host is not supported, cargo or the linker failed, or a file could not be read or written.
#[expect(clippy::print_stdout, reason = "this is how a build script speaks to cargo")]
pub fn build(root: &Path, package: Package<'_>, target_dir: &Path, out: &Path) -> Result<()> {
    println!("cargo::rerun-if-env-changed={CARGO_VARIABLE}");
    if let Some(cargo) = env::var_os(CARGO_VARIABLE) {
        return build_with(&PathBuf::from(cargo), root, package, target_dir, out);
    }
    ensure!(
        cfg!(all(target_endian = "little", target_pointer_width = "64")),
        "the kernel program can be built on little-endian 64-bit hosts only"
    );
    let calling = Toolchain::calling()?;
    assemble(&calling.emit_ir(root, package, target_dir)?, &calling, out)
}

/// As [`build`], but for the BPF target of the toolchain of `cargo`.
///
/// # Errors
/// The toolchain has no BPF target or too new an LLVM, or as [`build`].
pub fn build_with(
    cargo: &Path,
    root: &Path,
    package: Package<'_>,
    target_dir: &Path,
    out: &Path,
) -> Result<()> {
    let (calling, other) = (Toolchain::calling()?, Toolchain::with_bpf_target(cargo)?);
    let (reads, writes) = (calling.llvm()?, other.llvm()?);
    ensure!(
        writes <= reads,
        "the linker's LLVM is {reads} and may not read the IR of LLVM {writes}, which the rustc \
         beside {} has: an older one is needed",
        cargo.display()
    );
    // Its own directory: the two ways do not throw away each other's work.
    let target_dir = target_dir.join("bpf-target");
    assemble(&other.emit_ir(root, package, &target_dir)?, &calling, out)
}

/// Makes the object of the IR. Both ways share it, and so CPU, features and exports.
fn assemble(file: &Path, calling: &Toolchain, out: &Path) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let text = ir::relabel(&text);
    link::link(&text, &ir::exported_symbols(&text), &calling.sysroot()?, out)
}

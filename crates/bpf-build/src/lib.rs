//! Compiles a kernel program written with aya-ebpf, with nothing but stable rustc.
//!
//! The crate is compiled *for the host* into one un-optimised LLVM IR file (fat LTO merges its
//! dependencies and `core`). The IR is re-labelled as BPF and handed to bpf-linker, used as a
//! library, which optimises it and generates code with the libLLVM that rustc itself ships. Needs a
//! little-endian 64-bit host (tried: `x86_64`).
mod ir;
mod link;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

const RUSTFLAGS: &[&str] = &[
    "-Cdebuginfo=2", // becomes BTF: map definitions, function and line info
    "-Clto=fat",     // one module; needs a final artifact, hence `staticlib` below
    "-Cembed-bitcode=yes",
    "-Cno-prepopulate-passes", // x86-optimised IR is rejected by the verifier
    "-Copt-level=3",
    "-Ccodegen-units=1",
    "-Cpanic=abort",
    "-Crelocation-model=static",
];

/// Builds the library target of `package`, a member of the workspace at `root`, into the BPF object
/// `out`. `target_dir` must not be the one that the calling cargo has locked.
///
/// # Errors
/// The host is not supported, cargo or the linker failed, or a file could not be read or written.
pub fn build(root: &Path, package: &str, target_dir: &Path, out: &Path) -> Result<()> {
    ensure!(
        cfg!(all(target_endian = "little", target_pointer_width = "64")),
        "the kernel program can be built on little-endian 64-bit hosts only"
    );
    let file = emit_host_ir(root, package, target_dir)?;
    let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let text = ir::relabel(&text);
    link::link(&text, &ir::exported_symbols(&text), &rustc("sysroot")?, out)
}

/// Runs the inner cargo and returns the path of the `.ll` file.
fn emit_host_ir(root: &Path, package: &str, target_dir: &Path) -> Result<PathBuf> {
    let ir = target_dir.join(format!("{package}.ll"));
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(root)
        .args(["rustc", "--release", "--lib", "--crate-type=staticlib", "--locked"])
        .args(["--target", &rustc("host-tuple")?, "-p", package])
        .arg("--target-dir")
        .arg(target_dir)
        .arg("--")
        .arg(format!("--emit=llvm-ir={}", ir.display()))
        .env("CARGO_ENCODED_RUSTFLAGS", RUSTFLAGS.join("\x1f"));
    // A build script inherits its cargo's settings: clippy's wrapper, the profile, rustc ...
    for (key, _) in env::vars_os() {
        let name = key.to_string_lossy();
        let inherited = ["RUSTC", "RUSTDOC", "CARGO_PROFILE_", "CARGO_BUILD_", "CARGO_CFG_"];
        if inherited.iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(&key);
        }
    }
    let status = command.status().context("starting cargo")?;
    ensure!(status.success(), "compiling {package} to LLVM IR failed");
    Ok(ir)
}

fn rustc(print: &str) -> Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).args(["--print", print]).output().context("starting rustc")?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

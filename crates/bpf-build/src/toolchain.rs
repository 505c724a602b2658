//! The two compilers that can turn the kernel program into LLVM IR.
use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::Package;
use anyhow::{Context as _, Result, ensure};

const RUSTFLAGS: &[&str] = &[
    "-Cdebuginfo=2", // becomes BTF: map definitions, function and line info
    "-Clto=fat",     // one module; needs a final artifact, hence `staticlib` below
    "-Cembed-bitcode=yes",
    "-Cno-prepopulate-passes", // optimised IR of the host is rejected by the verifier
    "-Copt-level=3",
    "-Ccodegen-units=1",
    "-Cpanic=abort",
    "-Crelocation-model=static",
];

const BPF_TARGET: &str = "bpfel-unknown-none";

const HOW_TO_GET_IT: &str = "On Debian: `apt-get install --no-install-recommends rustc-web \
    cargo-web libstd-rust-web-dev-bpf` brings /usr/bin/cargo. With rustup: `rustup toolchain \
    install nightly --component rust-src`, then `rustup which --toolchain nightly cargo` names it.";

/// A cargo with its rustc, and the target that they compile the program for.
pub(crate) struct Toolchain {
    cargo: OsString,
    rustc: OsString,
    target: String,
    /// What a cargo other than the calling one is told besides.
    other: Option<Other>,
}

struct Other {
    /// `core` for the target is not there, but its source is.
    builds_core: bool,
}

impl Toolchain {
    /// The toolchain of the calling cargo, which compiles for the host.
    pub(crate) fn calling() -> Result<Self> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let target = print(&rustc, &["--print", "host-tuple"])?;
        Ok(Self { cargo, rustc, target, other: None })
    }

    /// The toolchain of another cargo, whose rustc, beside it, compiles for BPF.
    pub(crate) fn with_bpf_target(cargo: &Path) -> Result<Self> {
        let rustc = cargo.with_file_name("rustc");
        ensure!(
            cargo.is_file() && rustc.is_file(),
            "{} is not a cargo with a rustc beside it. {HOW_TO_GET_IT}",
            cargo.display()
        );
        let mut toolchain = Self {
            cargo: cargo.into(),
            rustc: rustc.into(),
            target: BPF_TARGET.to_owned(),
            other: None,
        };
        let libraries = ["--print", "target-libdir", "--target", BPF_TARGET];
        let has_core = has_core(Path::new(&print(&toolchain.rustc, &libraries)?));
        let has_source = toolchain.sysroot()?.join("lib/rustlib/src/rust/library").is_dir();
        ensure!(
            has_core || has_source,
            "the rustc beside {} has no `core` for {BPF_TARGET}. {HOW_TO_GET_IT}",
            cargo.display()
        );
        toolchain.other = Some(Other { builds_core: !has_core });
        Ok(toolchain)
    }

    /// Where rustc and its libLLVM lie.
    pub(crate) fn sysroot(&self) -> Result<PathBuf> {
        print(&self.rustc, &["--print", "sysroot"]).map(PathBuf::from)
    }

    /// The major version of rustc's LLVM.
    pub(crate) fn llvm(&self) -> Result<u32> {
        let versions = print(&self.rustc, &["--version", "--verbose"])?;
        let version = versions.lines().find_map(|line| line.strip_prefix("LLVM version: "));
        let major = version.and_then(|version| version.split('.').next());
        major.context("rustc does not tell its LLVM")?.parse().context("the version of LLVM")
    }

    /// Runs the inner cargo and returns the path of the `.ll` file.
    pub(crate) fn emit_ir(
        &self,
        root: &Path,
        package: Package<'_>,
        target_dir: &Path,
    ) -> Result<PathBuf> {
        let Package { name, features } = package;
        let ir = target_dir.join(format!("{name}.ll"));
        let mut command = Command::new(&self.cargo);
        command
            .current_dir(root)
            .args(["rustc", "--release", "--lib", "--crate-type=staticlib", "--locked"])
            .args(["--target", &self.target, "-p", name])
            .args(["--features", &features.join(",")])
            .arg("--target-dir")
            .arg(target_dir)
            .env("CARGO_ENCODED_RUSTFLAGS", RUSTFLAGS.join("\x1f"));
        // A build script inherits its cargo's settings: clippy's wrapper, the profile, rustc ...
        for (key, _) in env::vars_os() {
            let name = key.to_string_lossy();
            let inherited = ["RUSTC", "RUSTDOC", "CARGO_PROFILE_", "CARGO_BUILD_", "CARGO_CFG_"];
            if inherited.iter().any(|prefix| name.starts_with(prefix)) {
                command.env_remove(&key);
            }
        }
        if let Some(other) = &self.other {
            // `core` has no compare-and-exchange for this target: lvs-core asks LLVM for it, by a
            // feature that is not stable.
            command.env("RUSTC", &self.rustc).env("RUSTC_BOOTSTRAP", "1");
            // The calling cargo's libraries are not this rustc's.
            command.env_remove("LD_LIBRARY_PATH");
            if other.builds_core {
                command.arg("-Zbuild-std=core");
            }
        }
        command.arg("--").arg(format!("--emit=llvm-ir={}", ir.display()));
        let status = command.status().context("starting cargo")?;
        ensure!(status.success(), "compiling {name} to LLVM IR for {} failed", self.target);
        Ok(ir)
    }
}

fn has_core(libraries: &Path) -> bool {
    let mut files = fs::read_dir(libraries).into_iter().flatten().flatten();
    files.any(|file| file.file_name().to_string_lossy().starts_with("libcore-"))
}

fn print(rustc: &OsString, what: &[&str]) -> Result<String> {
    let output = Command::new(rustc).args(what).output().context("starting rustc")?;
    ensure!(output.status.success(), "`rustc {}` failed", what.join(" "));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

//! Builds the programs of the measurement beside the program that loads them.
use std::{
    env,
    error::Error,
    path::{Path, PathBuf},
};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    for watched in ["crates/bench-xdp", "crates/xdp", "crates/core", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    let target = out.join("target");
    lvs_bpf_build::build(&root, "lvs-bench-xdp".into(), &target, &out.join("bench.o"))?;
    let profile = lvs_bpf_build::Package { name: "lvs-xdp", features: &["profile"] };
    lvs_bpf_build::build(&root, profile, &target, &out.join("profile.o"))?;
    Ok(())
}

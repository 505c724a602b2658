//! Builds the programs of the measurement beside the program that loads them.
use std::{
    env,
    error::Error,
    path::{Path, PathBuf},
};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    for watched in ["crates/bench-xdp", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    lvs_bpf_build::build(&root, "lvs-bench-xdp", &out.join("target"), &out.join("bench.o"))?;
    Ok(())
}

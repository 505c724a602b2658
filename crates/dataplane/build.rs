//! Builds the kernel program beside the crate that embeds it.
use std::{
    env,
    error::Error,
    path::{Path, PathBuf},
};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    for watched in ["crates/xdp", "crates/core", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    // Its own target directory: the inner cargo must not wait for the outer one's lock.
    lvs_bpf_build::build(&root, "lvs-xdp", &out.join("target"), &out.join("lvs.o"))?;
    Ok(())
}

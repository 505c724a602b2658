//! Builds the kernel program beside the crate that embeds it; for the test that compares the two
//! ways of building, once more.
use std::{
    env,
    error::Error,
    path::{Path, PathBuf},
};

const SECOND_CARGO: &str = "LVS_TEST_SECOND_BUILD";

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    for watched in ["crates/xdp", "crates/core", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    // Its own target directory: the inner cargo must not wait for the outer one's lock.
    lvs_bpf_build::build(&root, "lvs-xdp".into(), &out.join("target"), &out.join("lvs.o"))?;
    // The test `toolchains` compares the embedded program with one built by this cargo.
    println!("cargo::rerun-if-env-changed={SECOND_CARGO}");
    println!("cargo::rustc-check-cfg=cfg(second_build)");
    if let Some(cargo) = env::var_os(SECOND_CARGO) {
        if env::var_os(lvs_bpf_build::CARGO_VARIABLE).is_some() {
            return Err(format!("{SECOND_CARGO} compares with what LVS_BPF_CARGO replaces").into());
        }
        let second = out.join("second.o");
        let cargo = Path::new(&cargo);
        lvs_bpf_build::build_with(cargo, &root, "lvs-xdp".into(), &out.join("target"), &second)
            .map_err(|error| format!("{SECOND_CARGO} asks for a second build: {error:#}"))?;
        println!("cargo::rustc-cfg=second_build");
        println!("cargo::rustc-env=LVS_SECOND_OBJECT={}", second.display());
    }
    Ok(())
}

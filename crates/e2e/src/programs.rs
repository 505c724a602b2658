//! Where the programs under test are.
use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use anyhow::{Context, Result, ensure};

/// Names the directory with programs that are built already.
const BUILT: &str = "LVS_PROGRAMS";

/// The programs under test.
#[derive(Clone, Debug)]
pub struct Programs {
    directory: PathBuf,
}

impl Programs {
    /// Those in a directory.
    pub fn in_directory(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Those that `$LVS_PROGRAMS` names; without it they are built, once for each run of tests.
    pub fn for_tests() -> Result<Self> {
        static DIRECTORY: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
        let found = DIRECTORY.get_or_init(|| find().map_err(|error| format!("{error:#}")));
        let directory = found.clone().map_err(anyhow::Error::msg)?;
        Ok(Self { directory })
    }

    /// The daemon.
    pub fn lvsd(&self) -> PathBuf {
        self.directory.join("lvsd")
    }

    /// The client.
    pub fn lvs(&self) -> PathBuf {
        self.directory.join("lvs")
    }
}

fn find() -> Result<PathBuf> {
    if let Some(directory) = env::var_os(BUILT) {
        return Ok(directory.into());
    }
    let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--package", "lvsd", "--package", "lvs"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .context("run cargo to build lvsd and lvs")?;
    ensure!(status.success(), "cargo cannot build lvsd and lvs");
    // A test is target/debug/deps/NAME.
    let test = env::current_exe().context("where this program is")?;
    let directory = test.ancestors().nth(2).context("a test lies below the target directory")?;
    Ok(directory.to_owned())
}

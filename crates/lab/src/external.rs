//! Servers and clients that are not the project's, where the machine has them.
use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{namespace::Namespace, process::Process, wait::wait_for};

/// The file that this program name means; `None` when it is not installed.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|directory| directory.join(name)).find(|file| file.is_file())
}

/// Starts `python3 -m http.server` on an address and waits until it answers; it serves the files of
/// a directory. `None` when there is no python3.
pub fn python_http(
    namespace: &Namespace,
    directory: &Path,
    bind: &str,
    port: u16,
) -> Result<Option<Process>> {
    let Some(python) = find_program("python3") else { return Ok(None) };
    let mut command = Command::new(python);
    command
        .args(["-u", "-m", "http.server", "--bind", bind, &port.to_string(), "--directory"])
        .arg(directory);
    let process = Process::start(namespace, command)?;
    process.wait_for_line(Duration::from_secs(20), "Serving HTTP")?;
    Ok(Some(process))
}

/// Gets a page with curl; `None` when there is no curl.
pub fn curl(namespace: &Namespace, url: &str) -> Result<Option<String>> {
    let Some(curl) = find_program("curl") else { return Ok(None) };
    let mut command = Command::new(curl);
    command.args(["-sS", "--fail", "--globoff", "--noproxy", "*", "--max-time", "20", url]);
    let process = Process::start(namespace, command)?;
    let status = process.wait_for_exit(Duration::from_secs(30))?;
    wait_for(Duration::ZERO, &format!("curl gets {url}: {}", process.log()), || {
        Ok(status.success().then(|| process.log()))
    })
    .map(Some)
    .context("curl")
}

//! Cargo, called from within cargo.
use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// A program that cargo built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Built {
    /// Name of its package.
    pub(crate) package: String,
    /// Name of the target: of a library, a program, or a file of tests.
    pub(crate) target: String,
    /// Folder of the package.
    pub(crate) folder: PathBuf,
    /// The program.
    pub(crate) program: PathBuf,
    /// It runs tests.
    pub(crate) is_test: bool,
}

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

/// A call of cargo in the root of the repository.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// Calls cargo, which shows its own output.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    let status = command(arguments).status().context("run cargo")?;
    ensure!(status.success(), "cargo {} failed", arguments.join(" "));
    Ok(())
}

/// Builds, and returns all programs that were asked for.
pub(crate) fn build(arguments: &[&str]) -> Result<Vec<Built>> {
    let mut command = command(arguments);
    command.arg("--message-format=json-render-diagnostics").stdout(Stdio::piped());
    let output = command.spawn().context("run cargo")?.wait_with_output()?;
    ensure!(output.status.success(), "cargo {} failed", arguments.join(" "));
    let text = String::from_utf8(output.stdout).context("read cargo's messages")?;
    let mut built = Vec::new();
    for line in text.lines() {
        let message: Value = serde_json::from_str(line).context("read a message of cargo")?;
        built.extend(read(&message));
    }
    Ok(built)
}

fn read(message: &Value) -> Option<Built> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let program = PathBuf::from(text(message.get("executable"))?);
    let manifest = PathBuf::from(text(message.get("manifest_path"))?);
    let target = text(message.get("target")?.get("name"))?;
    let is_test = message.get("profile")?.get("test")?.as_bool()?;
    let folder = manifest.parent()?.to_owned();
    // path+file:///home/me/lvs/crates/core#lvs-core@0.1.0, or ...crates/lvs#0.1.0 when the folder says it.
    let id = text(message.get("package_id"))?;
    let (path, fragment) = id.rsplit_once('#')?;
    let package = match fragment.split_once('@') {
        Some((name, _)) => name,
        None => path.rsplit('/').next()?,
    };
    Some(Built { package: package.to_owned(), target, folder, program, is_test })
}

/// The folder of a program that cargo built.
pub(crate) fn folder_of(built: &[Built], target: &str) -> Result<PathBuf> {
    let found = built.iter().find(|built| built.target == target && !built.is_test);
    match found.and_then(|built| built.program.parent()) {
        Some(folder) => Ok(folder.to_owned()),
        None => bail!("cargo built no {target}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_named_whatever_their_folder_is_called() {
        for (id, name) in [
            ("path+file:///w/crates/core#lvs-core@0.1.0", "lvs-core"),
            ("path+file:///w/lvs#0.1.0", "lvs"),
        ] {
            let message = serde_json::json!({
                "reason": "compiler-artifact", "package_id": id, "manifest_path": "/w/x/Cargo.toml",
                "target": { "name": "t" }, "profile": { "test": true }, "executable": "/w/target/t",
            });
            let built = read(&message).expect("has a program");
            assert_eq!((built.package.as_str(), built.folder.as_path()), (name, Path::new("/w/x")));
        }
        assert_eq!(read(&serde_json::json!({ "reason": "build-finished", "success": true })), None);
    }
}

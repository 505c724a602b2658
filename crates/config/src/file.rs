//! Putting a text into a file so that a reader sees the old or the new one, never half.
use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{MetadataExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

/// The mode of a file that was not there.
const NEW_MODE: u32 = 0o644;

/// Why a file was not written; the old one is untouched.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct WriteError {
    /// What failed.
    pub action: &'static str,
    /// On which file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Writes a file by way of another one beside it; mode, owner and symbolic links stay.
///
/// # Errors
/// When the directory or the new file cannot be written.
pub fn write_atomically(path: &Path, text: &str) -> Result<(), WriteError> {
    // Through a link the file that it names is replaced, not the link.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let failed = |action| {
        let path = path.clone();
        move |source| WriteError { action, path, source }
    };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    let mut new = tempfile::Builder::new()
        .prefix(".lvs-")
        .tempfile_in(directory)
        .map_err(failed("make a file beside"))?;
    new.write_all(text.as_bytes()).map_err(failed("write"))?;
    if let Ok(old) = fs::metadata(&path) {
        let own = new.as_file().metadata().map_err(failed("read the owner of"))?;
        if (own.uid(), own.gid()) != (old.uid(), old.gid()) {
            fchown(new.as_file(), Some(old.uid()), Some(old.gid()))
                .map_err(failed("keep the owner of"))?;
        }
        new.as_file().set_permissions(old.permissions()).map_err(failed("keep the mode of"))?;
    } else {
        let mode = fs::Permissions::from_mode(NEW_MODE);
        new.as_file().set_permissions(mode).map_err(failed("set the mode of"))?;
    }
    new.as_file().sync_all().map_err(failed("write"))?;
    new.persist(&path).map_err(|error| failed("replace")(error.error))?;
    // The new name survives a loss of power only once the directory is written, too.
    File::open(directory).and_then(|dir| dir.sync_all()).map_err(failed("write the directory of"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn keeps_mode_and_link_and_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("lvs.toml"), directory.path().join("link"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&file, &link).unwrap();
        write_atomically(&link, "new").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[test]
    fn says_what_failed() {
        let error = write_atomically(Path::new("/nonexistent/lvs.toml"), "x").unwrap_err();
        assert_eq!(error.to_string(), "cannot make a file beside /nonexistent/lvs.toml");
    }
}

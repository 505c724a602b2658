//! The folder in a bpffs in which tables and links outlive the daemon.
use std::{
    fs, io,
    os::fd::{BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use crate::{error::Error, sys};

/// The folder.
#[derive(Clone, Debug)]
pub(crate) struct Pins {
    folder: PathBuf,
}

/// How a link's pin begins.
const LINK: &str = "link-";
/// How the pin of the map begins that leads from stage to stage of one load of the program. The
/// kernel empties it when nothing pins it, and links go on after their daemon.
const STAGES: &str = "stages-";
/// How the name of the symbolic link begins that says in which mode a link is attached.
const MODE: &str = "mode-";

impl Pins {
    /// The folder, made if need be, in a bpffs, mounted if need be.
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        let pins = Self { folder: folder.to_owned() };
        let parent = folder.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(|source| error("make", parent, source))?;
        if !is_bpffs(folder) {
            // On the parent, as with /sys/fs/bpf, but only where that hides nothing.
            let empty = fs::read_dir(parent).is_ok_and(|mut entries| entries.next().is_none());
            let at = if empty && !folder.exists() { parent } else { folder };
            if at == folder {
                fs::create_dir_all(at).map_err(|source| error("make", at, source))?;
            }
            sys::mount_bpffs(at).map_err(|source| error("mount a bpffs on", at, source))?;
        }
        fs::create_dir_all(folder).map_err(|source| error("make", folder, source))?;
        Ok(pins)
    }

    /// The folder as it is.
    pub(crate) fn existing(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    pub(crate) fn table(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A pin's descriptor; `None`: there is none.
    pub(crate) fn get(&self, name: &str) -> Option<OwnedFd> {
        sys::open_pin(&self.table(name)).ok()
    }

    pub(crate) fn put(&self, name: &str, fd: BorrowedFd<'_>) -> Result<(), Error> {
        let path = self.table(name);
        sys::pin(fd, &path).map_err(|source| error("pin", &path, source))
    }

    pub(crate) fn remove(&self, name: &str) -> Result<(), Error> {
        let path = self.table(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(error("remove", &path, source))
            }
            _ => Ok(()),
        }
    }

    /// Interfaces that have a pinned link.
    pub(crate) fn linked(&self) -> Vec<String> {
        self.of_kind(LINK).iter().map(|rest| interface_of(rest)).collect()
    }

    /// What follows `kind` in the names of all pins that begin with it.
    fn of_kind(&self, kind: &str) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let rest = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            name.strip_prefix(kind).map(str::to_owned)
        };
        entries.filter_map(rest).collect()
    }

    /// Pins of all stages.
    pub(crate) fn stages(&self) -> Vec<String> {
        self.of_kind(STAGES).iter().map(|number| format!("{STAGES}{number}")).collect()
    }

    /// Pins a program's stages beside those of its predecessors, which work on.
    pub(crate) fn put_stages(&self, fd: BorrowedFd<'_>) -> Result<(), Error> {
        let numbers = self.of_kind(STAGES);
        let last = numbers.iter().filter_map(|number| number.parse::<u64>().ok()).max();
        self.put(&format!("{STAGES}{}", last.map_or(0, |last| last + 1)), fd)
    }

    pub(crate) fn link(&self, interface: &str) -> Option<OwnedFd> {
        self.get(&pin_of(LINK, interface))
    }

    /// Whether the link of an interface is in the driver, as far as is known.
    pub(crate) fn is_native(&self, interface: &str) -> Option<bool> {
        let mode = fs::read_link(self.table(&pin_of(MODE, interface))).ok()?;
        Some(mode == Path::new("native"))
    }

    pub(crate) fn put_link(
        &self,
        interface: &str,
        link: BorrowedFd<'_>,
        native: bool,
    ) -> Result<(), Error> {
        self.put(&pin_of(LINK, interface), link)?;
        let path = self.table(&pin_of(MODE, interface));
        let mode = if native { "native" } else { "generic" };
        std::os::unix::fs::symlink(mode, &path).map_err(|source| error("write", &path, source))
    }

    /// Removes the pins of an interface's link: it ends with its last descriptor.
    pub(crate) fn remove_link(&self, interface: &str) -> Result<(), Error> {
        self.remove(&pin_of(LINK, interface))?;
        self.remove(&pin_of(MODE, interface))
    }

    /// Removes the folder, unless something is left in it or mounted on it.
    pub(crate) fn remove_folder(&self) {
        drop(fs::remove_dir(&self.folder));
    }
}

/// bpffs admits no full stop, which interfaces of VLANs have in their names.
fn pin_of(kind: &str, interface: &str) -> String {
    format!("{kind}{}", interface.replace('.', "%"))
}

fn interface_of(pin: &str) -> String {
    pin.replace('%', ".")
}

/// Whether the nearest ancestor that exists lies in a bpffs.
fn is_bpffs(path: &Path) -> bool {
    let mut ancestors = path.ancestors();
    ancestors.find_map(|path| sys::is_bpffs(path).ok()).unwrap_or(false)
}

fn error(action: &'static str, path: &Path, source: io::Error) -> Error {
    let remedy = match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            "run it as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN"
        }
        Some(libc::EEXIST) => "another daemon uses this `pin_dir`: give each its own",
        _ => "set `pin_dir` to a folder in a bpffs, such as /sys/fs/bpf/lvs",
    };
    Error::Pin { action, path: path.to_owned(), remedy, source }
}

//! The owner of everything that an experiment makes.
use std::{
    fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::{Context, Result, ensure};

use crate::{
    cleanup::{self, Registration, Resource},
    namespace::Namespace,
    sys,
};

/// Owns namespaces, links, programs, threads and directories: dropping it removes them all.
///
/// Names are `PREFIX-PID-N-WHAT`, so that experiments of one program and of several can run at the
/// same time. Leftovers of a killed program with the same prefix are removed by the next
/// [`Lab::new`].
#[derive(Debug)]
pub struct Lab {
    id: u64,
    name: String,
}

impl Lab {
    /// An empty laboratory.
    pub fn new(prefix: &str) -> Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        ensure!(
            sys::is_root(),
            "the laboratory makes network namespaces and needs root: run it with sudo, for example \
             `sudo -E env PATH=\"$PATH\" cargo xtask test`"
        );
        cleanup::remove_stale(prefix);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Ok(Self { id, name: format!("{prefix}-{}-{id}", process::id()) })
    }

    /// Has SIGINT, SIGTERM and SIGHUP remove everything that any lab of this program made, before
    /// they end it.
    pub fn cleanup_on_signals() -> Result<()> {
        cleanup::on_signals()
    }

    /// How the names of all that it makes begin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes a network namespace with its loopback up.
    pub fn namespace(&self, role: &str) -> Result<Namespace> {
        Namespace::new(self.id, &format!("{}-{role}", self.name), role)
    }

    /// Makes an empty directory.
    pub fn temp_dir(&self, what: &str) -> Result<TempDir> {
        let path = std::env::temp_dir().join(format!("{}-{what}", self.name));
        fs::create_dir(&path).with_context(|| format!("make the directory {}", path.display()))?;
        let registration = Registration::new(self.id, Resource::Directory(path.clone()))?;
        Ok(TempDir { path, _registration: registration })
    }

    /// Raises a kernel parameter that only the whole machine has, named with dots, until the
    /// returned guard is dropped. What is as high already stays as it is.
    pub fn raise(&self, name: &str, value: u64) -> Result<Option<Raised>> {
        let path = Path::new("/proc/sys").join(name.replace('.', "/"));
        let before = fs::read_to_string(&path).with_context(|| format!("read {name}"))?;
        if before.trim().parse::<u64>().with_context(|| format!("{name} = {before}"))? >= value {
            return Ok(None);
        }
        let resource = Resource::Parameter(path.clone(), before);
        let registration = Registration::new(self.id, resource)?;
        fs::write(&path, value.to_string()).with_context(|| format!("set {name} = {value}"))?;
        Ok(Some(Raised { _registration: registration }))
    }

    /// Mounts an empty bpf filesystem for pins, away from `/sys`.
    pub fn bpffs(&self) -> Result<Bpffs> {
        let directory = self.temp_dir("bpf")?;
        sys::mount_bpf(directory.path())
            .with_context(|| format!("mount a bpf filesystem on {}", directory.path().display()))?;
        let mount = Resource::Mount(directory.path().to_owned());
        Ok(Bpffs { _mount: Registration::new(self.id, mount)?, directory })
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        cleanup::remove_lab(self.id);
    }
}

/// A kernel parameter that goes back to what it was.
#[derive(Debug)]
pub struct Raised {
    _registration: Registration,
}

/// A directory that is removed with all in it.
#[derive(Debug)]
pub struct TempDir {
    path: PathBuf,
    _registration: Registration,
}

impl TempDir {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A bpf filesystem of its own; what is pinned in it goes with it.
#[derive(Debug)]
pub struct Bpffs {
    _mount: Registration, // unmounted before the directory goes
    directory: TempDir,
}

impl Bpffs {
    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

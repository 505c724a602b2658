//! The listening socket: 0660 root:lvs, one daemon at a time.
use std::{
    ffi::OsString,
    fs::{self, File, Permissions, TryLockError},
    io,
    os::unix::fs::{FileTypeExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use tokio::net::{UnixListener, UnixStream};

/// Members of this group may use the socket.
const GROUP: &str = "lvs";

/// Why the socket could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// A live daemon has it.
    #[error("another lvsd runs and has the socket {0}")]
    AnotherRuns(PathBuf),
    /// A file that is no socket is in the way.
    #[error("{0} exists and is no socket")]
    InTheWay(PathBuf),
    /// The system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// A listening socket; its file is removed when it is dropped.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
    /// Held while the daemon lives. The kernel lets go of it however the daemon ends, which is how
    /// a successor knows that a socket file is stale.
    _lock: File,
}

impl Listener {
    /// Listens on `path`, in place of the socket that a dead daemon left.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When another daemon has the socket, or the system refuses.
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        let io = |action, path: &Path| {
            let path = path.to_path_buf();
            move |source| SocketError::Io { action, path, source }
        };
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            fs::create_dir_all(dir).map_err(io("create", dir))?;
        }
        let lock_path = beside(path, ".lock");
        let lock = File::create(&lock_path).map_err(io("create", &lock_path))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => SocketError::AnotherRuns(path.to_path_buf()),
            TryLockError::Error(source) => io("lock", &lock_path)(source),
        })?;
        if fs::symlink_metadata(path).is_ok_and(|found| !found.file_type().is_socket()) {
            return Err(SocketError::InTheWay(path.to_path_buf()));
        }
        // Made ready under another name, so that nobody meets it with other rights, then renamed
        // over what a dead daemon left.
        let fresh = beside(path, ".new");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io("remove", &fresh)(error));
            }
            Ok(()) | Err(_) => {}
        }
        let socket = UnixListener::bind(&fresh).map_err(io("listen on", path))?;
        fs::set_permissions(&fresh, Permissions::from_mode(0o660))
            .map_err(io("set the mode of", path))?;
        if let Some(group) = group_id(GROUP) {
            // Only root may give a file to another group; anyone else keeps the socket to himself.
            match chown(&fresh, None, Some(group)) {
                Err(error) if error.kind() != io::ErrorKind::PermissionDenied => {
                    return Err(io("give to group lvs", path)(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        fs::rename(&fresh, path).map_err(io("create", path))?;
        Ok(Self { socket, path: path.to_path_buf(), _lock: lock })
    }

    /// Waits for the next client.
    pub(super) async fn accept(&self) -> io::Result<UnixStream> {
        self.socket.accept().await.map(|(stream, _)| stream)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The lock is still held: the file is ours. Left behind, it would only be stale.
        drop(fs::remove_file(&self.path));
    }
}

/// `path` with `suffix` after its file name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// The number of a group of /etc/group. Groups from elsewhere (LDAP) are for the administrator's
/// own `chgrp`.
fn group_id(name: &str) -> Option<u32> {
    let groups = fs::read_to_string("/etc/group").ok()?;
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_live_daemon_keeps_its_socket_and_a_dead_ones_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/lvsd.sock");
        let first = Listener::bind(&path).unwrap();
        assert!(matches!(Listener::bind(&path), Err(SocketError::AnotherRuns(_))));
        drop(first);
        assert!(!path.exists());

        // What kill -9 leaves: the file, but nobody holds the lock.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let second = Listener::bind(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        let (client, server) = tokio::join!(UnixStream::connect(&path), second.accept());
        client.unwrap();
        server.unwrap();
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lvsd.sock");
        fs::write(&path, "mine").unwrap();
        assert!(matches!(Listener::bind(&path), Err(SocketError::InTheWay(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }
}

//! The client at the other end of a connection, as the task of a long answer knows it.
use std::{io, os::fd::AsFd as _, os::unix::net::UnixStream as StdStream};

use tokio::{io::Interest, net::UnixStream, sync::Notify};

/// A client.
pub(super) struct Peer {
    /// A second descriptor of the connection's socket.
    socket: UnixStream,
    hang_up: Notify,
}

impl Peer {
    pub(super) fn of(socket: &UnixStream) -> io::Result<Self> {
        let socket = StdStream::from(socket.as_fd().try_clone_to_owned()?);
        Ok(Self { socket: UnixStream::from_std(socket)?, hang_up: Notify::new() })
    }

    /// Waits until the client has closed its socket: the server does not see that while there is
    /// something to read, which it leaves until its answer is complete.
    pub(super) async fn left(&self) {
        while let Ok(found) = self.socket.ready(Interest::WRITABLE).await
            && !found.is_write_closed()
        {
            // That it takes more is of no interest here: only what comes next.
            let forget = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
            drop(self.socket.try_io(Interest::WRITABLE, forget));
        }
    }

    /// Asks for the end of the connection.
    pub(super) fn hang_up(&self) {
        self.hang_up.notify_one();
    }

    /// Waits until somebody does.
    pub(super) async fn is_over(&self) {
        self.hang_up.notified().await;
    }
}

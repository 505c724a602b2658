//! Telling threads to end, also while they wait for a socket.
use std::{
    io::{PipeReader, PipeWriter},
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::sys::{self, Interest};

/// A flag that can be polled together with sockets; its clones are one flag.
#[derive(Clone, Debug)]
pub(crate) struct Stop(Arc<Pipe>);

/// Raised means: the writing end is closed, so that every poll of the reading end returns.
#[derive(Debug)]
struct Pipe {
    reader: PipeReader,
    writer: Mutex<Option<PipeWriter>>,
}

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// The flag was raised.
    Stopped,
    /// The socket at this index is ready.
    Ready(usize),
    /// Neither happened in time.
    TimedOut,
}

impl Stop {
    /// A flag that is not raised.
    pub(crate) fn new() -> Result<Self> {
        let (reader, writer) = std::io::pipe().context("make a pipe")?;
        Ok(Self(Arc::new(Pipe { reader, writer: Mutex::new(Some(writer)) })))
    }

    /// Raises the flag, for ever.
    pub(crate) fn raise(&self) {
        drop(self.0.writer.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Whether it was raised.
    pub(crate) fn is_raised(&self) -> bool {
        self.0.writer.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Waits until one of `sockets` is ready or the flag is raised.
    pub(crate) fn wait(
        &self,
        sockets: &[(BorrowedFd<'_>, Interest)],
        timeout: Option<Duration>,
    ) -> Result<Woken> {
        let mut all = vec![(self.0.reader.as_fd(), Interest::Read)];
        all.extend_from_slice(sockets);
        let ready = sys::poll(&all, timeout).context("poll")?;
        Ok(match ready {
            None => Woken::TimedOut,
            Some(0) => Woken::Stopped,
            Some(socket) => Woken::Ready(socket - 1),
        })
    }

    /// Sleeps; `true` when the flag was raised meanwhile.
    pub(crate) fn sleep(&self, time: Duration) -> bool {
        !matches!(self.wait(&[], Some(time)), Ok(Woken::TimedOut))
    }
}

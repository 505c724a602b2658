//! A netlink socket under tokio: bytes out, bytes in.
use std::{io, os::fd::OwnedFd};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind,
        netlink::SocketAddrNetlink, recv, send, socket_with, sockopt,
    },
};
use tokio::io::{Interest, unix::AsyncFd};

use crate::error::Error;

/// The kernel never puts more than 32 KiB into one datagram of a listing.
const DATAGRAM: usize = 64 * 1024;

/// Room for the notifications of a storm (100,000 neighbours answering at once).
const RECEIVE_BUFFER: usize = 16 << 20;

pub(crate) struct Socket {
    fd: AsyncFd<OwnedFd>,
    datagram: Vec<u8>,
}

impl Socket {
    /// Opens a socket in the namespace of the calling thread, subscribed to `groups` (a bit mask).
    pub(crate) fn open(groups: u32) -> Result<Self, Error> {
        let failed = |call| move |error: Errno| Error::Open { call, source: error.into() };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)
            .map_err(failed("socket"))?;
        // Beyond the system's limit only with rights; a smaller buffer overflows sooner, no more.
        if sockopt::set_socket_recv_buffer_size_force(&fd, RECEIVE_BUFFER).is_err() {
            sockopt::set_socket_recv_buffer_size(&fd, RECEIVE_BUFFER)
                .map_err(failed("setsockopt"))?;
        }
        bind(&fd, &SocketAddrNetlink::new(0, groups)).map_err(failed("bind"))?;
        #[expect(unsafe_code, reason = "tokio's promise about the descriptor, see SAFETY")]
        // SAFETY: an owned descriptor of an open socket; it is neither replaced nor closed while
        // the `AsyncFd` lives, which drops it together with itself.
        let fd = unsafe { AsyncFd::register(fd) }
            .map_err(|error| Error::Open { call: "epoll_ctl", source: error.into() })?;
        Ok(Self { fd, datagram: vec![0; DATAGRAM] })
    }

    pub(crate) async fn send(&self, bytes: &[u8]) -> Result<(), Error> {
        self.fd
            .async_io(Interest::WRITABLE, |fd| Ok(send(fd, bytes, SendFlags::empty())?))
            .await
            .map(|_| ())
            .map_err(Error::Send)
    }

    /// The next datagram. Cancelling loses nothing.
    pub(crate) async fn receive(&mut self) -> Result<&[u8], Error> {
        let datagram = &mut self.datagram;
        let length = self
            .fd
            .async_io(Interest::READABLE, |fd| {
                let (_, length) = recv(fd, datagram.as_mut_slice(), RecvFlags::TRUNC)?;
                Ok(length)
            })
            .await
            .map_err(|error: io::Error| match Errno::from_io_error(&error) {
                Some(Errno::NOBUFS) => Error::Overflow,
                _ => Error::Receive(error),
            })?;
        // A longer datagram was cut off: as good as lost.
        self.datagram.get(..length).ok_or(Error::Overflow)
    }
}

//! A TCP connection is accepted.
use std::{io::ErrorKind, net::SocketAddr};

use tokio::net::TcpStream;

use crate::error::Failure;

/// Connects, and closes by a reset: a connection that is closed in peace is remembered for a minute
/// (TIME-WAIT), which with many checks is more of them than the kernel has room for.
///
/// # Errors
/// When the connection is not accepted.
pub async fn probe(address: SocketAddr) -> Result<(), Failure> {
    let stream = connect(address).await?;
    Ok(stream.set_zero_linger()?)
}

/// Connects to a server, never to oneself.
pub(super) async fn connect(address: SocketAddr) -> Result<TcpStream, Failure> {
    let stream = TcpStream::connect(address).await?;
    // A local server's port lies in the range of ephemeral ports and nobody listens: by chance
    // the kernel may pick it as our own, and connect us to ourselves (RFC 9293, 3.5).
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(Failure::Io(ErrorKind::ConnectionRefused));
    }
    Ok(stream)
}

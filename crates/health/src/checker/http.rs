//! `GET` over HTTP/1.1 is answered with an expected status.
//!
//! Nothing of the answer but its status is read, and nothing of it is trusted.
use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::tcp::connect;
use crate::error::Failure;

/// The status must come within this many bytes, interim answers (1xx) included.
const LIMIT: usize = 8192;

/// Why an answer is not HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It does not begin with `HTTP/` and a version.
    #[error("it does not begin with HTTP/1.x")]
    Version,
    /// No three digits follow the version.
    #[error("its first line has no status")]
    Status,
    /// The status did not come within the first bytes.
    #[error("no status within its first {LIMIT} bytes")]
    TooLong,
}

/// Asks for a path.
///
/// # Errors
/// When there is no answer, or not one of the expected ones.
pub async fn probe(
    address: SocketAddr,
    path: &str,
    host: Option<&str>,
    expected: &[u16],
) -> Result<(), Failure> {
    let mut stream = connect(address).await?;
    stream.write_all(request(address, path, host).as_bytes()).await?;
    let mut answer = vec![0; LIMIT];
    let mut length = 0;
    let got = loop {
        let room = answer.get_mut(length..).filter(|room| !room.is_empty());
        let count = stream.read(room.ok_or(Malformed::TooLong)?).await?;
        if count == 0 {
            return Err(Failure::Closed);
        }
        length += count;
        if let Some(status) = status(answer.get(..length).unwrap_or_default())? {
            break status;
        }
    };
    if expected.contains(&got) {
        Ok(())
    } else {
        Err(Failure::Status { got, expected: expected.to_vec() })
    }
}

fn request(address: SocketAddr, path: &str, host: Option<&str>) -> String {
    let host = host.map_or_else(|| host_of(address), str::to_owned);
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: lvs\r\nAccept: */*\r\n\
         Connection: close\r\n\r\n"
    )
}

/// The `Host` header for an address: without the port of HTTP, IPv6 in brackets (RFC 9110, 7.2).
fn host_of(address: SocketAddr) -> String {
    match (address.ip(), address.port()) {
        (IpAddr::V4(ip), 80) => ip.to_string(),
        (IpAddr::V6(ip), 80) => format!("[{ip}]"),
        (IpAddr::V4(ip), port) => format!("{ip}:{port}"),
        (IpAddr::V6(ip), port) => format!("[{ip}]:{port}"),
    }
}

/// The status of the final answer that begins with these bytes; `None`: more are needed.
fn status(mut bytes: &[u8]) -> Result<Option<u16>, Malformed> {
    loop {
        let Some(status) = status_line(bytes)? else { return Ok(None) };
        // Interim answers come before the final one; 101 is final (RFC 9110, 15.2).
        if !(100..200).contains(&status) || status == 101 {
            return Ok(Some(status));
        }
        match bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            Some(end) => bytes = bytes.get(end + 4..).unwrap_or_default(),
            None => return Ok(None),
        }
    }
}

/// The status in `HTTP/1.x NNN`, followed by a space or the line's end; `None`: more are needed.
fn status_line(bytes: &[u8]) -> Result<Option<u16>, Malformed> {
    /// `d` stands for a digit.
    const VERSION: &[u8] = b"HTTP/1.d ";
    let fits = |(byte, pattern): (&u8, &u8)| match pattern {
        b'd' => byte.is_ascii_digit(),
        _ => byte == pattern,
    };
    if !bytes.iter().zip(VERSION).all(fits) {
        return Err(Malformed::Version);
    }
    let rest = bytes.get(VERSION.len()..).unwrap_or_default();
    let mut status = 0;
    for digit in rest.iter().take(3) {
        if !digit.is_ascii_digit() {
            return Err(Malformed::Status);
        }
        status = status * 10 + u16::from(digit - b'0');
    }
    match rest.get(3) {
        None => Ok(None),
        Some(b' ' | b'\r' | b'\n') if status >= 100 => Ok(Some(status)),
        Some(_) => Err(Malformed::Status),
    }
}

#[cfg(test)]
mod tests;

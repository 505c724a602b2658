//! As much of HTTP/1.1 as answers of lvsd need (RFC 9112): a head, then a body that is chunked, of
//! a known length or up to the end of the connection.
use std::io::{self, BufRead, BufReader, Read};

/// Largest head, in bytes; lvsd's are a tenth of it.
const HEAD_LIMIT: usize = 8 << 10;
const HEADERS: usize = 32;

/// A body, read as the plain bytes that it carries.
#[derive(Debug)]
pub(super) struct Body<R> {
    stream: BufReader<R>,
    rest: Rest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// So many bytes are left.
    Length(u64),
    /// The size line of the first chunk follows.
    FirstChunk,
    /// So many bytes of the chunk are left; 0: a line end and the next size line follow.
    Chunk(u64),
    /// As many as come.
    ToEnd,
}

/// Reads the head of an answer; returns its status and the body.
pub(super) fn read_head<R: Read>(stream: R) -> Result<(u16, Body<R>), super::ClientError> {
    let mut stream = BufReader::new(stream);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let room = HEAD_LIMIT.saturating_sub(head.len());
        if stream.by_ref().take(room as u64).read_until(b'\n', &mut head)? == 0 {
            return Err(httparse::Error::Status.into());
        }
    }
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    response.parse(&head)?;
    let mut rest = Rest::ToEnd;
    for header in response.headers.iter() {
        let value = std::str::from_utf8(header.value).unwrap_or_default().trim();
        if header.name.eq_ignore_ascii_case("transfer-encoding")
            && value.eq_ignore_ascii_case("chunked")
        {
            rest = Rest::FirstChunk;
        } else if header.name.eq_ignore_ascii_case("content-length") && rest == Rest::ToEnd {
            rest = Rest::Length(value.parse().ok().ok_or(httparse::Error::HeaderValue)?);
        }
    }
    Ok((response.code.ok_or(httparse::Error::Status)?, Body { stream, rest }))
}

impl<R: Read> Body<R> {
    /// Reads up to the data of the next chunk; `Length(0)` follows the last one.
    fn next_chunk(&mut self) -> io::Result<()> {
        if self.rest != Rest::FirstChunk {
            self.line()?;
        }
        let line = self.line()?;
        let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
        let size = std::str::from_utf8(size)
            .ok()
            .and_then(|size| u64::from_str_radix(size.trim(), 16).ok())
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        self.rest = if size == 0 { Rest::Length(0) } else { Rest::Chunk(size) };
        Ok(())
    }

    fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        self.stream.by_ref().take(HEAD_LIMIT as u64).read_until(b'\n', &mut line)?;
        if line.ends_with(b"\n") { Ok(line) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Reads at most `left` bytes; an end before them is an error.
    fn some(&mut self, buffer: &mut [u8], left: u64) -> io::Result<u64> {
        match self.stream.by_ref().take(left).read(buffer)? {
            0 if !buffer.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            read => Ok(read as u64),
        }
    }
}

impl<R: Read> Read for Body<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if matches!(self.rest, Rest::FirstChunk | Rest::Chunk(0)) {
            self.next_chunk()?;
        }
        let read = match self.rest {
            Rest::ToEnd => return self.stream.read(buffer),
            // `next_chunk` leaves no first chunk behind.
            Rest::Length(0) | Rest::FirstChunk => 0,
            Rest::Length(left) => {
                let read = self.some(buffer, left)?;
                self.rest = Rest::Length(left - read);
                read
            }
            Rest::Chunk(left) => {
                let read = self.some(buffer, left)?;
                self.rest = Rest::Chunk(left - read);
                read
            }
        };
        Ok(usize::try_from(read).unwrap_or(buffer.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: &[u8]) -> Result<(u16, String), super::super::ClientError> {
        let (status, mut body) = read_head(answer)?;
        let mut text = String::new();
        body.read_to_string(&mut text)?;
        Ok((status, text))
    }

    #[test]
    fn each_kind_of_body_is_read_whole() {
        for (name, answer) in [
            ("length", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhellomore"),
            (
                "chunks",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                 2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
            ),
            ("to the end", "HTTP/1.1 200 OK\r\n\r\nhello"),
        ] {
            let (status, text) = read(answer.as_bytes()).unwrap();
            assert_eq!((status, text.as_str()), (200, "hello"), "{name}");
        }
    }

    #[test]
    fn an_answer_that_is_cut_short_is_an_error() {
        for answer in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhell",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
            "SSH-2.0-OpenSSH\r\n\r\n",
        ] {
            assert!(read(answer.as_bytes()).is_err(), "{answer:?}");
        }
    }
}

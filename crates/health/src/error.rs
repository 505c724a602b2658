//! Why a probe did not succeed.
use std::{io, time::Duration};

use crate::checker::http::Malformed;

/// Why a probe did not succeed, in words that an operator can act upon.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The server, or the network on the way, refused.
    #[error("{0}")]
    Io(io::ErrorKind),
    /// No answer in time.
    #[error("timed out after {0:?}")]
    TimedOut(Duration),
    /// The server closed the connection without an answer.
    #[error("the connection was closed without an answer")]
    Closed,
    /// The answer has another status.
    #[error("status {got}, expected {}", words(.expected))]
    Status {
        /// The status of the answer.
        got: u16,
        /// Those that count as healthy.
        expected: Vec<u16>,
    },
    /// The answer is not HTTP.
    #[error("the answer is not HTTP: {0}")]
    Malformed(#[from] Malformed),
    /// The probe could not be made: it says nothing about the server.
    #[error("not probed: the director is out of {0}")]
    Director(Shortage),
}

/// What the director itself lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Shortage {
    /// The limit of open files is reached (EMFILE, ENFILE).
    #[error("file descriptors")]
    Descriptors,
    /// No local port is free for the connection (EADDRNOTAVAIL).
    #[error("local ports or addresses")]
    Ports,
    /// The kernel has no memory for another socket (ENOMEM, ENOBUFS).
    #[error("memory")]
    Memory,
}

/// `errno` values that say something about this machine, not about the server.
const SHORTAGES: [(i32, Shortage); 5] = [
    (12, Shortage::Memory),      // ENOMEM
    (23, Shortage::Descriptors), // ENFILE
    (24, Shortage::Descriptors), // EMFILE
    (99, Shortage::Ports),       // EADDRNOTAVAIL
    (105, Shortage::Memory),     // ENOBUFS
];

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let shortage = SHORTAGES.iter().find(|(code, _)| error.raw_os_error() == Some(*code));
        shortage.map_or(Self::Io(error.kind()), |(_, shortage)| Self::Director(*shortage))
    }
}

fn words(statuses: &[u16]) -> String {
    let words: Vec<_> = statuses.iter().map(u16::to_string).collect();
    words.join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_to_look_for() {
        let io = |code| Failure::from(io::Error::from_raw_os_error(code));
        for (failure, words) in [
            (io(111), "connection refused"),
            (io(113), "host unreachable"),
            (io(104), "connection reset"),
            (io(24), "not probed: the director is out of file descriptors"),
            (Failure::TimedOut(Duration::from_secs(1)), "timed out after 1s"),
            (Failure::TimedOut(Duration::from_millis(250)), "timed out after 250ms"),
            (Failure::Status { got: 503, expected: vec![200] }, "status 503, expected 200"),
            (
                Failure::Status { got: 404, expected: vec![200, 204] },
                "status 404, expected 200 or 204",
            ),
        ] {
            assert_eq!(failure.to_string(), words);
        }
    }
}

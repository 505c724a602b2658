//! What can go wrong between the daemon and the kernel.
use rustix::io::Errno;

/// A failure of the netlink socket or of a whole request.
///
/// That an address cannot be reached is no error: see [`crate::Unreachable`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket could not be made.
    #[error("cannot open a netlink socket ({call})")]
    Open {
        /// The system call that failed.
        call: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A request could not be sent.
    #[error("cannot send to the kernel's routing socket")]
    Send(#[source] std::io::Error),
    /// An answer or a notification could not be read.
    #[error("cannot read from the kernel's routing socket")]
    Receive(#[source] std::io::Error),
    /// Notifications came faster than they were read, and some are lost.
    #[error("notifications of the kernel were lost")]
    Overflow,
    /// The kernel refused to list something.
    #[error("the kernel refused to list its {what}")]
    Refused {
        /// What was to be listed.
        what: &'static str,
        /// Why.
        source: Errno,
    },
}

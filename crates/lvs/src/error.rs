//! What can go wrong, and the exit status for it.
use std::{io, path::PathBuf, process::ExitCode};

use lvs_api::client::ClientError;
use lvs_model::words::ForeignFlag;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The daemon did not do it.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The output could not be written.
    #[error("cannot write the output")]
    Output(#[from] io::Error),
    /// A file could not be written.
    #[error("cannot write {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A flush without a filter.
    #[error("without a filter, every connection would be forgotten")]
    FlushAll,
    /// Settings of a check that is not there.
    #[error("`{service}` has no check whose settings could change")]
    NoCheck {
        /// The service, or the server.
        service: String,
    },
    /// A flag of another scheduler.
    #[error(transparent)]
    Flag(#[from] ForeignFlag),
    /// A setting that only a check over HTTP has.
    #[error("--check-path, --check-host and --check-status belong to a check of type http")]
    NotHttp,
}

impl CliError {
    /// 1 refused or failed, 2 wrong usage, 3 no daemon.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Client(ClientError::NoDaemon(_)) => 3,
            Self::Client(_) | Self::Output(_) | Self::File { .. } | Self::NoCheck { .. } => 1,
            Self::FlushAll | Self::NotHttp | Self::Flag(_) => 2,
        })
    }

    /// Whether it only says that nobody reads on.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Further lines about the cause.
    pub(crate) fn details(&self) -> Vec<String> {
        if let Self::Client(ClientError::Refused(refusal)) = self {
            return refusal.details.clone();
        }
        let mut causes = Vec::new();
        let mut error: &dyn std::error::Error = self;
        while let Some(cause) = error.source() {
            causes.push(cause.to_string());
            error = cause;
        }
        causes
    }

    /// What to do about it.
    pub(crate) fn remedy(&self) -> Option<String> {
        match self {
            Self::Client(ClientError::NoDaemon(_)) => Some(
                "start it with `systemctl start lvsd`, or as root with \
                 `lvsd -f /etc/lvs/lvs.toml`; if it has another socket, name it with --socket or \
                 $LVS_SOCKET"
                    .to_owned(),
            ),
            Self::Client(ClientError::NotPermitted(_)) => {
                Some("run as root, or as a member of the group lvs".to_owned())
            }
            Self::Client(ClientError::Refused(refusal)) => refusal.remedy.clone(),
            Self::FlushAll => {
                Some("narrow it down with --service, --server and so on, or say --all".to_owned())
            }
            Self::NoCheck { .. } => Some("give it one with --check tcp or --check http".to_owned()),
            Self::NotHttp => Some("add --check http".to_owned()),
            Self::Flag(_) => Some("name the scheduler with --scheduler".to_owned()),
            Self::Client(_) | Self::Output(_) | Self::File { .. } => None,
        }
    }
}

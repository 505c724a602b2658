//! Why a request was refused, as it travels.
use serde::{Deserialize, Serialize};

/// A refusal: what is wrong and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// The kind of refusal, for programs.
    pub code: Code,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// Further lines: places in a file, each cause of a failure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
}

impl ApiError {
    /// A refusal without remedy or details.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), remedy: None, details: Vec::new() }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Adds further lines.
    #[must_use]
    pub fn details(mut self, details: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(details);
        self
    }
}

/// The kind of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The request cannot be understood.
    BadRequest,
    /// No service, server or path of that name.
    NotFound,
    /// The path exists, the method does not fit it.
    WrongMethod,
    /// Another version of the API than the daemon speaks.
    UnsupportedVersion,
    /// The body is larger than the daemon reads.
    TooLarge,
    /// The change does not fit what is there.
    Refused,
    /// The configuration file has errors.
    Config,
    /// The data plane could not take the change; the old state still runs.
    Dataplane,
    /// The daemon is starting or leaving.
    Unavailable,
    /// As many do that as may at once.
    Busy,
    /// A defect of the daemon.
    Internal,
}

impl Code {
    /// The HTTP status that goes with it.
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::NotFound | Self::UnsupportedVersion => 404,
            Self::WrongMethod => 405,
            Self::Refused => 409,
            Self::TooLarge => 413,
            Self::Config => 422,
            Self::Dataplane | Self::Internal => 500,
            Self::Unavailable | Self::Busy => 503,
        }
    }
}

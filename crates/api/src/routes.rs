//! Which request means what; server and client share it.
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    error::{ApiError, Code},
    types::{ConnectionFilter, Question},
};

/// What need not be encoded in a segment of a path (RFC 3986, unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A request without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `GET /v1/status`
    Status,
    /// `GET /v1/services`
    Services,
    /// `GET /v1/services/NAME`
    Service(String),
    /// `POST /v1/changes?persist=BOOL`, the body is a `Change`
    Change {
        /// Write the change to the configuration file too.
        persist: bool,
    },
    /// `GET /v1/connections?FILTER&limit=N`
    Connections {
        /// Which.
        filter: ConnectionFilter,
        /// At most so many; `None`: all.
        limit: Option<u64>,
    },
    /// `GET /v1/connections/count?FILTER`
    Count(ConnectionFilter),
    /// `DELETE /v1/connections?FILTER`
    Flush(ConnectionFilter),
    /// `GET /v1/connections/watch?FILTER`
    Watch(ConnectionFilter),
    /// `GET /v1/stats`
    Stats,
    /// `POST /v1/reload`
    Reload,
    /// `GET /v1/diff`
    Diff,
    /// `GET /v1/config`
    Config,
    /// `GET /v1/explain?from=A:P&to=V:P&protocol=tcp`
    Explain(Question),
}

/// Why a request has no route.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RouteError {
    /// No such path.
    #[error("there is no {path}")]
    UnknownPath {
        /// As asked for.
        path: String,
    },
    /// The path belongs to another version of the API.
    #[error("this lvsd speaks /v1, not {path}")]
    UnsupportedVersion {
        /// As asked for.
        path: String,
    },
    /// The path has other methods.
    #[error("{path} does not take {method}")]
    WrongMethod {
        /// As asked for.
        path: String,
        /// As asked for.
        method: String,
        /// The methods that it has.
        allow: &'static str,
    },
    /// The query does not fit the path.
    #[error("the query is not what it should be")]
    Query(#[from] serde_urlencoded::de::Error),
}

impl RouteError {
    /// The methods that the path has, when it exists.
    pub fn allow(&self) -> Option<&'static str> {
        match self {
            Self::WrongMethod { allow, .. } => Some(allow),
            Self::UnknownPath { .. } | Self::UnsupportedVersion { .. } | Self::Query(_) => None,
        }
    }
}

impl From<RouteError> for ApiError {
    fn from(error: RouteError) -> Self {
        let message = error.to_string();
        match error {
            RouteError::UnknownPath { .. } => Self::new(Code::NotFound, message),
            RouteError::UnsupportedVersion { .. } => Self::new(Code::UnsupportedVersion, message)
                .remedy("use an lvs client of the daemon's version"),
            RouteError::WrongMethod { allow, .. } => {
                Self::new(Code::WrongMethod, message).remedy(format!("use {allow}"))
            }
            RouteError::Query(cause) => {
                Self::new(Code::BadRequest, message).details([cause.to_string()])
            }
        }
    }
}

#[derive(Serialize, Deserialize)]
struct ChangeQuery {
    #[serde(default)]
    persist: bool,
}

#[derive(Serialize, Deserialize)]
struct LimitQuery {
    limit: Option<u64>,
}

/// Splits `limit` off a query, whose other fields are a filter.
fn split_limit(query: &str) -> Result<(ConnectionFilter, Option<u64>), RouteError> {
    let (limit, filter): (Vec<&str>, Vec<&str>) =
        query.split('&').partition(|field| field.starts_with("limit="));
    Ok((read(&filter.join("&"))?, read::<LimitQuery>(&limit.join("&"))?.limit))
}

impl Route {
    /// The route of a request.
    ///
    /// # Errors
    /// When there is none.
    pub fn parse(method: &str, path: &str, query: &str) -> Result<Self, RouteError> {
        let unknown = || RouteError::UnknownPath { path: path.to_owned() };
        let Some(rest) = path.strip_prefix("/v1/") else {
            let version = path.strip_prefix("/v").and_then(|rest| rest.split('/').next());
            return Err(match version.map(str::parse::<u32>) {
                Some(Ok(_)) => RouteError::UnsupportedVersion { path: path.to_owned() },
                Some(Err(_)) | None => unknown(),
            });
        };
        let wrong = |allow| {
            Err(RouteError::WrongMethod { path: path.to_owned(), method: method.to_owned(), allow })
        };
        Ok(match (rest, method) {
            ("status", "GET") => Self::Status,
            ("services", "GET") => Self::Services,
            ("changes", "POST") => Self::Change { persist: read::<ChangeQuery>(query)?.persist },
            ("connections", "GET") => {
                let (filter, limit) = split_limit(query)?;
                Self::Connections { filter, limit }
            }
            ("connections", "DELETE") => Self::Flush(read(query)?),
            ("connections/count", "GET") => Self::Count(read(query)?),
            ("connections/watch", "GET") => Self::Watch(read(query)?),
            ("stats", "GET") => Self::Stats,
            ("reload", "POST") => Self::Reload,
            ("diff", "GET") => Self::Diff,
            ("config", "GET") => Self::Config,
            ("explain", "GET") => Self::Explain(read(query)?),
            (
                "status" | "services" | "connections/count" | "connections/watch" | "stats"
                | "diff" | "config" | "explain",
                _,
            ) => return wrong("GET"),
            ("changes" | "reload", _) => return wrong("POST"),
            ("connections", _) => return wrong("GET, DELETE"),
            (rest, method) => {
                let name = rest.strip_prefix("services/").ok_or_else(unknown)?;
                let name = percent_decode_str(name).decode_utf8().ok().ok_or_else(unknown)?;
                if name.is_empty() {
                    return Err(unknown());
                }
                if method != "GET" {
                    return wrong("GET");
                }
                Self::Service(name.into_owned())
            }
        })
    }

    /// The HTTP method.
    pub fn method(&self) -> &'static str {
        match self {
            Self::Change { .. } | Self::Reload => "POST",
            Self::Flush(_) => "DELETE",
            Self::Status
            | Self::Services
            | Self::Service(_)
            | Self::Connections { .. }
            | Self::Count(_)
            | Self::Watch(_)
            | Self::Stats
            | Self::Diff
            | Self::Config
            | Self::Explain(_) => "GET",
        }
    }

    /// Path and query.
    pub fn target(&self) -> String {
        match self {
            Self::Status => "/v1/status".to_owned(),
            Self::Services => "/v1/services".to_owned(),
            Self::Service(name) => {
                format!("/v1/services/{}", utf8_percent_encode(name, SEGMENT))
            }
            Self::Change { persist } => {
                with_query("/v1/changes", &[write(&ChangeQuery { persist: *persist })])
            }
            Self::Connections { filter, limit } => with_query(
                "/v1/connections",
                &[write(filter), write(&LimitQuery { limit: *limit })],
            ),
            Self::Count(filter) => with_query("/v1/connections/count", &[write(filter)]),
            Self::Watch(filter) => with_query("/v1/connections/watch", &[write(filter)]),
            Self::Flush(filter) => with_query("/v1/connections", &[write(filter)]),
            Self::Stats => "/v1/stats".to_owned(),
            Self::Reload => "/v1/reload".to_owned(),
            Self::Diff => "/v1/diff".to_owned(),
            Self::Config => "/v1/config".to_owned(),
            Self::Explain(question) => with_query("/v1/explain", &[write(question)]),
        }
    }
}

fn read<T: DeserializeOwned>(query: &str) -> Result<T, RouteError> {
    Ok(serde_urlencoded::from_str(query)?)
}

/// A query of plain fields cannot fail to be written.
fn write(query: &impl Serialize) -> String {
    serde_urlencoded::to_string(query).unwrap_or_default()
}

fn with_query(path: &str, parts: &[String]) -> String {
    let parts: Vec<&str> = parts.iter().map(String::as_str).filter(|p| !p.is_empty()).collect();
    if parts.is_empty() { path.to_owned() } else { format!("{path}?{}", parts.join("&")) }
}

#[cfg(test)]
mod tests;

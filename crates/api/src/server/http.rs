//! One HTTP request: its route, the call, the answer.
use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited, combinators::BoxBody};
use hyper::{
    Request, Response,
    body::{Frame, Incoming},
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
};
use lvs_model::change::Change;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use super::{Call, Reply};
use crate::{
    error::{ApiError, Code},
    routes::Route,
    types::{Connection, Count, Services, Toml},
};

/// Largest request body, in bytes: a change of a service with some thousand servers.
const BODY_LIMIT: usize = 1 << 20;
/// Connections that are turned into JSON at a time: what a chunk of the answer holds.
const BATCH: usize = 512;

type Body = BoxBody<Bytes, Infallible>;

/// Answers one request; a refusal is an answer too.
pub(super) async fn answer(
    request: Request<Incoming>,
    calls: mpsc::Sender<Call>,
) -> Response<Body> {
    let uri = request.uri();
    let route = Route::parse(request.method().as_str(), uri.path(), uri.query().unwrap_or(""));
    let route = match route {
        Ok(route) => route,
        Err(error) => {
            let allow = error.allow().map(HeaderValue::from_static);
            let mut response = refusal(&error.into());
            response.headers_mut().extend(allow.map(|allow| (ALLOW, allow)));
            return response;
        }
    };
    match dispatch(route, request, calls).await {
        Ok(response) => response,
        Err(error) => refusal(&error),
    }
}

fn refusal(error: &ApiError) -> Response<Body> {
    json(error.code.status(), error)
}

async fn dispatch(
    route: Route,
    request: Request<Incoming>,
    calls: mpsc::Sender<Call>,
) -> Result<Response<Body>, ApiError> {
    match route {
        Route::Status => Ok(json(200, &ask(&calls, Call::Status).await?)),
        Route::Services => {
            Ok(json(200, &Services { services: ask(&calls, Call::Services).await? }))
        }
        Route::Service(name) => {
            Ok(json(200, &ask(&calls, |reply| Call::Service(name, reply)).await?))
        }
        Route::Change { persist } => {
            let change = Box::new(body::<Change>(request).await?);
            let call = |reply| Call::Change { change, persist, reply };
            Ok(json(200, &ask(&calls, call).await?))
        }
        Route::Connections { filter, limit } => {
            let call = |reply| Call::Connections { filter, limit, reply };
            Ok(lines(ask(&calls, call).await?))
        }
        Route::Count(filter) => {
            let count = ask(&calls, |reply| Call::Count(filter, reply)).await?;
            Ok(json(200, &Count { count }))
        }
        Route::Flush(filter) => {
            let count = ask(&calls, |reply| Call::Flush(filter, reply)).await?;
            Ok(json(200, &Count { count }))
        }
        Route::Stats => Ok(json(200, &ask(&calls, Call::Stats).await?)),
        Route::Reload => Ok(json(200, &ask(&calls, Call::Reload).await?)),
        Route::Diff => Ok(json(200, &ask(&calls, Call::Diff).await?)),
        Route::Config => Ok(json(200, &Toml { toml: ask(&calls, Call::Config).await? })),
        Route::Explain(question) => {
            Ok(json(200, &ask(&calls, |reply| Call::Explain(question, reply)).await?))
        }
    }
}

/// Asks the engine and waits for its answer.
async fn ask<T>(
    calls: &mpsc::Sender<Call>,
    call: impl FnOnce(Reply<T>) -> Call,
) -> Result<T, ApiError> {
    let leaving = || ApiError::new(Code::Unavailable, "the daemon is leaving");
    let (reply, answer) = oneshot::channel();
    calls.send(call(reply)).await.ok().ok_or_else(leaving)?;
    answer.await.ok().ok_or_else(leaving)?
}

/// Reads a JSON body of bounded size.
async fn body<T: serde::de::DeserializeOwned>(request: Request<Incoming>) -> Result<T, ApiError> {
    let bytes = match Limited::new(request.into_body(), BODY_LIMIT).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            let message = format!("the body is larger than {BODY_LIMIT} bytes");
            return Err(ApiError::new(Code::TooLarge, message));
        }
        Err(error) => {
            return Err(ApiError::new(Code::BadRequest, format!("cannot read the body: {error}")));
        }
    };
    serde_json::from_slice(&bytes).map_err(|error| {
        ApiError::new(Code::BadRequest, format!("the body is not what it should be: {error}"))
    })
}

fn json(status: u16, value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(bytes) => response(status, "application/json", Full::from(bytes).boxed()),
        // Only a map with keys that are no strings could fail, and no type has one.
        Err(_) => response(500, "text/plain", Full::default().boxed()),
    }
}

/// One JSON object a line, made while it is sent: a million connections never exist as text at once.
struct Lines(std::vec::IntoIter<Connection>);

impl hyper::body::Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut text = Vec::new();
        for connection in self.0.by_ref().take(BATCH) {
            if serde_json::to_writer(&mut text, &connection).is_ok() {
                text.push(b'\n');
            }
        }
        Poll::Ready((!text.is_empty()).then(|| Ok(Frame::data(Bytes::from(text)))))
    }
}

fn lines(connections: Vec<Connection>) -> Response<Body> {
    response(200, "application/x-ndjson", Lines(connections.into_iter()).boxed())
}

fn response(status: u16, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() =
        hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

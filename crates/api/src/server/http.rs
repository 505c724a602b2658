//! One HTTP request: its route, the call, the answer.
use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited, combinators::BoxBody};
use hyper::{
    Request, Response,
    body::Incoming,
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
};
use lvs_model::change::Change;
use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::spawn_blocking,
};

use super::{
    Call, Later, Reply,
    lines::Lines,
    peer::Peer,
    stream::{list, watch},
};
use crate::{
    error::{ApiError, Code},
    routes::Route,
    types::{Count, Services, Toml},
};

/// Largest request body, in bytes: a change of a service with some thousand servers.
const BODY_LIMIT: usize = 1 << 20;

/// Lists and watches at the same time, of all clients: each has memory of its own.
pub(super) const STREAMS: usize = 64;

type Body = BoxBody<Bytes, Infallible>;

/// What the answers to a client need.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) calls: mpsc::Sender<Call>,
    pub(super) peer: Arc<Peer>,
    /// Places for [`STREAMS`].
    pub(super) streams: Arc<Semaphore>,
}

impl Client {
    /// A place for a list or watch.
    fn place(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let all_taken = || {
            let message =
                format!("{STREAMS} lists and watches of connections are under way already");
            ApiError::new(Code::Busy, message).remedy("end one of them, or try again later")
        };
        Arc::clone(&self.streams).try_acquire_owned().ok().ok_or_else(all_taken)
    }
}

/// Answers one request; a refusal is an answer too.
pub(super) async fn answer(request: Request<Incoming>, client: Client) -> Response<Body> {
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
    match dispatch(route, request, client).await {
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
    client: Client,
) -> Result<Response<Body>, ApiError> {
    let calls = &client.calls;
    match route {
        Route::Status => Ok(json(200, &ask(calls, Call::Status).await?)),
        Route::Services => Ok(json(200, &Services { services: ask(calls, Call::Services).await? })),
        Route::Service(name) => {
            Ok(json(200, &ask(calls, |reply| Call::Service(name, reply)).await?))
        }
        Route::Change { persist } => {
            let change = Box::new(body::<Change>(request).await?);
            let call = |reply| Call::Change { change, persist, reply };
            Ok(json(200, &ask(calls, call).await?))
        }
        Route::Connections { filter, limit } => {
            let call = |reply| Call::Connections { filter, limit, reply };
            let place = client.place()?;
            let lines = list(ask(calls, call).await?);
            Ok(stream(Lines::of(lines, client.peer, place)))
        }
        Route::Count(filter) => {
            let count = done(ask(calls, |reply| Call::Count(filter, reply)).await?).await?;
            Ok(json(200, &Count { count }))
        }
        Route::Flush(filter) => {
            let count = done(ask(calls, |reply| Call::Flush(filter, reply)).await?).await?;
            Ok(json(200, &Count { count }))
        }
        Route::Watch(filter) => {
            let place = client.place()?;
            let lines = watch(ask(calls, |reply| Call::Watch(filter, reply)).await?);
            Ok(stream(Lines::of(lines, client.peer, place)))
        }
        Route::Stats => Ok(json(200, &ask(calls, Call::Stats).await?)),
        Route::Reload => Ok(json(200, &ask(calls, Call::Reload).await?)),
        Route::Diff => Ok(json(200, &ask(calls, Call::Diff).await?)),
        Route::Config => Ok(json(200, &Toml { toml: ask(calls, Call::Config).await? })),
        Route::Explain(question) => {
            Ok(json(200, &ask(calls, |reply| Call::Explain(question, reply)).await?))
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

/// Has work done on a thread that may be busy for long.
async fn done<T: Send + 'static>(work: Later<T>) -> Result<T, ApiError> {
    let failed = || ApiError::new(Code::Unavailable, "the daemon failed at it");
    spawn_blocking(|| work.now()).await.ok().ok_or_else(failed)
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

/// An answer of one JSON object a line.
fn stream(lines: Lines) -> Response<Body> {
    response(200, "application/x-ndjson", lines.boxed())
}

fn response(status: u16, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() =
        hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

//! An answer of one JSON object a line, made while it is sent.
use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::Frame;
use serde::Serialize;
use tokio::{sync::mpsc, task::spawn_blocking};

/// Bytes of a chunk of the answer, or a little more.
const CHUNK: usize = 64 << 10;
/// Chunks that wait for the client before the work rests: however long the answer, no more of it is
/// ever in memory.
const AHEAD: usize = 4;

/// The body of such an answer.
pub(super) struct Lines(mpsc::Receiver<Bytes>);

impl From<mpsc::Receiver<Bytes>> for Lines {
    fn from(chunks: mpsc::Receiver<Bytes>) -> Self {
        Self(chunks)
    }
}

impl Lines {
    /// Those of an iterator, which runs on a thread of its own; it ends early if the client leaves.
    pub(super) fn of<T: Serialize>(values: impl Iterator<Item = T> + Send + 'static) -> Self {
        let (chunks, receiver) = mpsc::channel(AHEAD);
        drop(spawn_blocking(move || {
            let mut text = Vec::new();
            for value in values {
                append(&mut text, &value);
                if text.len() >= CHUNK && chunks.blocking_send(take(&mut text)).is_err() {
                    return;
                }
            }
            if !text.is_empty() {
                // Nobody to tell that the client has left.
                drop(chunks.blocking_send(text.into()));
            }
        }));
        Self(receiver)
    }
}

/// Appends a line.
pub(super) fn append(text: &mut Vec<u8>, value: &impl Serialize) {
    // Only a map with keys that are no strings could fail, and no type has one.
    if serde_json::to_writer(&mut *text, value).is_ok() {
        text.push(b'\n');
    }
}

/// What was written, leaving room for as much.
fn take(text: &mut Vec<u8>) -> Bytes {
    std::mem::replace(text, Vec::with_capacity(text.capacity())).into()
}

impl hyper::body::Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}

//! An answer that goes on until the client leaves: what is new, looked for again and again.
use std::{thread, time::Duration};

use bytes::Bytes;
use tokio::{sync::mpsc, task::spawn_blocking};

use super::{
    later::Watching,
    lines::{Lines, append},
};

/// Between two looks, when there was nothing new: the journal holds as much as comes in this time
/// with a million changes a second.
const PAUSE: Duration = Duration::from_millis(20);

/// The body of such an answer.
pub(super) fn stream(watching: Watching) -> Lines {
    let (chunks, receiver) = mpsc::channel(1);
    drop(spawn_blocking(move || follow(watching, &chunks)));
    Lines::from(receiver)
}

fn follow(mut watching: Watching, chunks: &mpsc::Sender<Bytes>) {
    let mut told = Vec::new();
    while !chunks.is_closed() {
        watching.look(&mut told);
        if told.is_empty() {
            thread::sleep(PAUSE);
            continue;
        }
        let mut text = Vec::new();
        told.drain(..).for_each(|value| append(&mut text, &value));
        // If the client has left, the channel is closed.
        drop(chunks.blocking_send(text.into()));
    }
}

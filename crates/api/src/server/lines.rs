//! An answer that is made while it is sent.
use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::Frame;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    task::spawn_blocking,
    time::{sleep, timeout},
};

use super::peer::Peer;

/// Pieces that wait for the client before the work rests: however long the answer, no more of it is
/// ever in memory.
const AHEAD: usize = 1;
/// A client that reads nothing for this time is hung up on: longer than somebody looks at a page.
const PATIENCE: Duration = Duration::from_mins(5);
/// Between two looks, when there was nothing new: the journal holds as much as comes in this time
/// with a million changes a second.
const PAUSE: Duration = Duration::from_millis(20);

/// What comes after a piece of an answer.
pub(super) enum Turn {
    /// The next one.
    More,
    /// The next one, but not at once.
    Later,
    /// Nothing.
    Over,
}

/// The body of such an answer.
pub(super) struct Lines(mpsc::Receiver<Bytes>);

impl Lines {
    /// Of the pieces that `work` appends, each on a thread that may be busy for long, until the client
    /// leaves; holds `place` as long.
    pub(super) fn of(
        work: impl FnMut(&mut Vec<u8>) -> Turn + Send + 'static,
        peer: Arc<Peer>,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let (pieces, receiver) = mpsc::channel(AHEAD);
        drop(tokio::spawn(async move {
            let _place = place;
            let is_whole = tokio::select! {
                is_whole = feed(work, &pieces) => is_whole,
                () = pieces.closed() => false,
                () = peer.left() => false,
            };
            if !is_whole {
                peer.hang_up();
                // Until then, it must not look as if the answer had come to its end.
                pieces.closed().await;
            }
        }));
        Self(receiver)
    }
}

/// Makes and sends one piece after the other; returns whether that was all.
async fn feed<W>(mut work: W, pieces: &mpsc::Sender<Bytes>) -> bool
where
    W: FnMut(&mut Vec<u8>) -> Turn + Send + 'static,
{
    loop {
        let piece = spawn_blocking(move || {
            let mut text = Vec::new();
            let turn = work(&mut text);
            (work, text, turn)
        });
        let Ok((back, text, turn)) = piece.await else { return false };
        work = back;
        if !text.is_empty()
            && !matches!(timeout(PATIENCE, pieces.send(text.into())).await, Ok(Ok(())))
        {
            return false;
        }
        match turn {
            Turn::More => {}
            Turn::Later => sleep(PAUSE).await,
            Turn::Over => return true,
        }
    }
}

impl hyper::body::Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        net::UnixStream,
        sync::Semaphore,
        time::{Instant, pause},
    };

    use super::*;

    #[tokio::test]
    async fn a_client_that_reads_nothing_is_hung_up_on() {
        let (_client, server) = UnixStream::pair().unwrap();
        let peer = Arc::new(Peer::of(&server).unwrap());
        let places = Arc::new(Semaphore::new(1));
        let place = Arc::clone(&places).try_acquire_owned().unwrap();
        pause();
        let began = Instant::now();
        let endless = |text: &mut Vec<u8>| {
            text.push(b'\n');
            Turn::More
        };
        // Nobody asks for its frames, as the server does not whose client does not read.
        let lines = Lines::of(endless, Arc::clone(&peer), place);
        peer.is_over().await;
        assert!(began.elapsed() >= PATIENCE);
        drop(lines);
        drop(places.acquire().await.unwrap());
    }
}

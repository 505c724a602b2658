//! What long answers consist of, made piece by piece: a list, and what is new, looked for again and
//! again.
use serde::Serialize;

use super::{
    later::{Listing, Watching},
    lines::Turn,
};

/// Bytes of a piece of a list, or a little more.
const PIECE: usize = 64 << 10;

/// Lists connections.
pub(super) fn list(mut listing: Listing) -> impl FnMut(&mut Vec<u8>) -> Turn + Send {
    move |text| {
        for connection in listing.by_ref() {
            append(text, &connection);
            if text.len() >= PIECE {
                return Turn::More;
            }
        }
        Turn::Over
    }
}

/// Tells what happens to connections, until the client leaves.
pub(super) fn watch(mut watching: Watching) -> impl FnMut(&mut Vec<u8>) -> Turn + Send {
    let mut told = Vec::new();
    move |text| {
        watching.look(&mut told);
        if told.is_empty() {
            return Turn::Later;
        }
        told.drain(..).for_each(|value| append(text, &value));
        Turn::More
    }
}

/// Appends a line.
fn append(text: &mut Vec<u8>, value: &impl Serialize) {
    // Only a map with keys that are no strings could fail, and no type has one.
    if serde_json::to_writer(&mut *text, value).is_ok() {
        text.push(b'\n');
    }
}

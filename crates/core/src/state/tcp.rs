//! TCP states: IPVS's table in its three directions, without `secure_tcp`.
//!
//! ```text
//!             SYN            ACK                FIN                 FIN/ACK of the other
//!   (nothing) ---> SYN_RECV ----> ESTABLISHED ----> CLOSE_WAIT ---------------------> TIME_WAIT
//!                     ^                 | FIN seen from the server (or the client alone): FIN_WAIT
//!                     |  SYN            | RST
//!                     +---- CLOSE <-----+
//! ```
use super::{Direction, State};
use crate::wire::tcp::Flags;

/// Next states on (SYN, FIN, ACK, RST), by the state before.
type Column = [[State; 4]; 16];

/// The state after a segment. Of several flags RST counts first, then SYN, FIN, ACK; a segment
/// with none of them closes.
#[inline(always)]
pub fn next(state: State, flags: Flags, direction: Direction) -> State {
    // By far the most packets; saves them the table.
    if state == State::ESTABLISHED
        && flags.0 & (Flags::SYN.0 | Flags::FIN.0 | Flags::RST.0) == 0
        && flags.has(Flags::ACK)
    {
        return state;
    }
    let event = if flags.has(Flags::RST) {
        3
    } else if flags.has(Flags::SYN) {
        0
    } else if flags.has(Flags::FIN) {
        1
    } else if flags.has(Flags::ACK) {
        2
    } else {
        return State::CLOSE;
    };
    let [client, server, client_only] = &TABLE;
    let column = match direction {
        Direction::Client => client,
        Direction::Server => server,
        Direction::ClientOnly => client_only,
    };
    let [syn, fin, ack, rst] = match column.get(usize::from(state.0 & 15)) {
        Some(row) => *row,
        None => return State::CLOSE,
    };
    match event {
        0 => syn,
        1 => fin,
        2 => ack,
        _ => rst,
    }
}

const ES: State = State::ESTABLISHED;
const SS: State = State::SYN_SENT;
const SR: State = State::SYN_RECV;
const FW: State = State::FIN_WAIT;
const TW: State = State::TIME_WAIT;
const CL: State = State::CLOSE;
const CW: State = State::CLOSE_WAIT;
const LA: State = State::LAST_ACK;
const LI: State = State::LISTEN;
/// Rows of numbers that are no TCP state.
const XX: [State; 4] = [CL; 4];

// `static`, so that the kernel program reads it in place instead of building it on its stack.
#[rustfmt::skip]
static TABLE: [Column; 3] = [
    // From the client, replies seen.
    // SYN FIN ACK RST
    [
        XX,
        [SR, CL, ES, CL], // NONE
        [ES, CW, ES, CL], // ESTABLISHED
        [ES, SS, SS, CL], // SYN_SENT
        [SR, TW, ES, SR], // SYN_RECV
        [SR, TW, FW, CL], // FIN_WAIT
        [SR, TW, TW, CL], // TIME_WAIT
        [SR, CL, CL, CL], // CLOSE
        [SR, CW, CW, CL], // CLOSE_WAIT
        [SR, LA, CL, LA], // LAST_ACK
        [SR, LI, LI, LI], // LISTEN
        [SR, TW, ES, SR], // SYNACK
        XX, XX, XX, XX,
    ],
    // From the server.
    [
        XX,
        [SS, TW, ES, CL],
        [ES, FW, ES, CL],
        [SS, SS, SS, SS],
        [SR, TW, ES, CL],
        [SS, FW, FW, CL],
        [SS, TW, TW, TW],
        [SS, CL, CL, CL],
        [SS, TW, CW, CL],
        [SS, LA, LA, CL],
        [LI, LI, ES, CL],
        [SR, TW, ES, CL],
        XX, XX, XX, XX,
    ],
    // From the client, replies not seen.
    [
        XX,
        [SR, CL, ES, CL],
        [ES, FW, ES, CL],
        [ES, SS, SS, CL],
        [SR, TW, ES, SR],
        [SR, FW, FW, CL],
        [SR, TW, TW, CL],
        [SR, CL, CL, CL],
        [SR, CW, CW, CL],
        [SR, LA, CL, LA],
        [SR, LI, LI, LI],
        [SR, TW, ES, CL],
        XX, XX, XX, XX,
    ],
];

#[cfg(test)]
mod tests;

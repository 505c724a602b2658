//! The whole table, row by row.
use super::*;

/// State; then next states on SYN, FIN, ACK and RST: from the client with replies seen, from the
/// server, from the client with replies not seen. As the real IPVS has it.
#[rustfmt::skip]
const IPVS: [(&str, [[&str; 4]; 3]); 11] = [
    ("NONE", [["SYN_RECV", "CLOSE", "ESTABLISHED", "CLOSE"], ["SYN_SENT", "TIME_WAIT", "ESTABLISHED", "CLOSE"], ["SYN_RECV", "CLOSE", "ESTABLISHED", "CLOSE"]]),
    ("ESTABLISHED", [["ESTABLISHED", "CLOSE_WAIT", "ESTABLISHED", "CLOSE"], ["ESTABLISHED", "FIN_WAIT", "ESTABLISHED", "CLOSE"], ["ESTABLISHED", "FIN_WAIT", "ESTABLISHED", "CLOSE"]]),
    ("SYN_SENT", [["ESTABLISHED", "SYN_SENT", "SYN_SENT", "CLOSE"], ["SYN_SENT", "SYN_SENT", "SYN_SENT", "SYN_SENT"], ["ESTABLISHED", "SYN_SENT", "SYN_SENT", "CLOSE"]]),
    ("SYN_RECV", [["SYN_RECV", "TIME_WAIT", "ESTABLISHED", "SYN_RECV"], ["SYN_RECV", "TIME_WAIT", "ESTABLISHED", "CLOSE"], ["SYN_RECV", "TIME_WAIT", "ESTABLISHED", "SYN_RECV"]]),
    ("FIN_WAIT", [["SYN_RECV", "TIME_WAIT", "FIN_WAIT", "CLOSE"], ["SYN_SENT", "FIN_WAIT", "FIN_WAIT", "CLOSE"], ["SYN_RECV", "FIN_WAIT", "FIN_WAIT", "CLOSE"]]),
    ("TIME_WAIT", [["SYN_RECV", "TIME_WAIT", "TIME_WAIT", "CLOSE"], ["SYN_SENT", "TIME_WAIT", "TIME_WAIT", "TIME_WAIT"], ["SYN_RECV", "TIME_WAIT", "TIME_WAIT", "CLOSE"]]),
    ("CLOSE", [["SYN_RECV", "CLOSE", "CLOSE", "CLOSE"], ["SYN_SENT", "CLOSE", "CLOSE", "CLOSE"], ["SYN_RECV", "CLOSE", "CLOSE", "CLOSE"]]),
    ("CLOSE_WAIT", [["SYN_RECV", "CLOSE_WAIT", "CLOSE_WAIT", "CLOSE"], ["SYN_SENT", "TIME_WAIT", "CLOSE_WAIT", "CLOSE"], ["SYN_RECV", "CLOSE_WAIT", "CLOSE_WAIT", "CLOSE"]]),
    ("LAST_ACK", [["SYN_RECV", "LAST_ACK", "CLOSE", "LAST_ACK"], ["SYN_SENT", "LAST_ACK", "LAST_ACK", "CLOSE"], ["SYN_RECV", "LAST_ACK", "CLOSE", "LAST_ACK"]]),
    ("LISTEN", [["SYN_RECV", "LISTEN", "LISTEN", "LISTEN"], ["LISTEN", "LISTEN", "ESTABLISHED", "CLOSE"], ["SYN_RECV", "LISTEN", "LISTEN", "LISTEN"]]),
    ("SYNACK", [["SYN_RECV", "TIME_WAIT", "ESTABLISHED", "SYN_RECV"], ["SYN_RECV", "TIME_WAIT", "ESTABLISHED", "CLOSE"], ["SYN_RECV", "TIME_WAIT", "ESTABLISHED", "CLOSE"]]),
];

fn state(name: &str) -> State {
    (1..=11).map(State).find(|state| state.name() == name).expect("a state of TCP")
}

#[test]
fn every_state_follows_ipvs_on_every_segment_in_every_direction() {
    for (from, directions) in IPVS {
        let columns = [Direction::Client, Direction::Server, Direction::ClientOnly];
        for (direction, nexts) in columns.into_iter().zip(directions) {
            let segments = [Flags::SYN, Flags::FIN, Flags::ACK, Flags::RST];
            for (flags, to) in segments.into_iter().zip(nexts) {
                let next = next(state(from), flags, direction);
                assert_eq!(next.name(), to, "{from} on {flags:?} from {direction:?}");
            }
        }
    }
}

#[test]
fn of_several_flags_rst_counts_first_and_none_closes() {
    let all = Flags(0x3f);
    for (flags, expected) in [
        (all, State::CLOSE),
        (Flags(all.0 & !Flags::RST.0), State::ESTABLISHED),
        (Flags::FIN.and(Flags::ACK), State::CLOSE_WAIT),
        (Flags::ACK, State::ESTABLISHED),
        (Flags(0x28), State::CLOSE), // URG, PSH
    ] {
        assert_eq!(next(State::ESTABLISHED, flags, Direction::Client), expected, "{flags:?}");
    }
}

#[test]
fn numbers_that_are_no_state_close() {
    for number in [0, 12, 13, 14, 15, 28] {
        assert_eq!(next(State(number), Flags::ACK, Direction::Client), State::CLOSE);
    }
}

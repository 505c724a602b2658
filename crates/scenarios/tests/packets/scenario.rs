//! What a scenario is.
use std::net::SocketAddr;

use lvs_core::{director::Action, state::State, tables::Event};
use lvs_model::{desired::ServiceKey, plan::Plan};

use crate::{
    frame::Frame,
    world::{CLIENTS, SERVERS},
};

/// A packet, what came before it, and what must become of it.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    /// For how many connections the tables have room.
    pub(crate) room: Room,
    /// What happens, in this order.
    pub(crate) steps: Vec<Step>,
    /// What the tables hold afterwards.
    pub(crate) after: Vec<Check>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Ample,
    /// One set of slots for each IP version.
    Four,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Plan(Plan),
    /// A packet arrives, and this becomes of it.
    Packet(Box<Arrival>),
    /// The client's connection has this many seconds less to live.
    Age(SocketAddr, u64),
    /// The client's connection is in this state.
    State(SocketAddr, State),
    /// The end of a server's drain.
    Reset(ServiceKey, SocketAddr),
    /// All connections are forgotten, as by the operator.
    Flush,
    Sweep,
}

#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) interface: u32,
    pub(crate) packet: Vec<u8>,
    pub(crate) expected: Expected,
}

#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) action: Action,
    /// What is counted, sorted.
    pub(crate) events: Vec<Event>,
    /// What leaves the director, or goes up its stack; `None`: nothing does.
    pub(crate) bytes: Option<Vec<u8>>,
}

#[derive(Clone, Debug)]
pub(crate) enum Check {
    /// The client has just this connection, and its last packet gave it this many seconds.
    Connection { client: SocketAddr, server: SocketAddr, state: State, seconds: u64 },
    /// The client has no connection.
    None(SocketAddr),
    /// What was counted for a server.
    Counters {
        service: ServiceKey,
        server: SocketAddr,
        connections: u64,
        packets: [u64; 2],
        bytes: [u64; 2],
    },
    /// Connections of a server, as counted: active, inactive.
    Load { service: ServiceKey, server: SocketAddr, load: [u32; 2] },
    /// How many slots hold a connection, expired or not.
    Slots(usize),
}

impl Scenario {
    pub(crate) fn new(name: impl Into<String>, plan: Plan) -> Self {
        let steps = vec![Step::Plan(plan)];
        Self { name: name.into(), room: Room::Ample, steps, after: Vec::new() }
    }

    pub(crate) fn room(mut self, room: Room) -> Self {
        self.room = room;
        self
    }

    pub(crate) fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    pub(crate) fn plan(self, plan: Plan) -> Self {
        self.step(Step::Plan(plan))
    }

    pub(crate) fn check(mut self, check: Check) -> Self {
        self.after.push(check);
        self
    }

    fn arrives(self, interface: u32, packet: &[u8], expected: Expected) -> Self {
        let packet = packet.to_vec();
        self.step(Step::Packet(Box::new(Arrival { interface, packet, expected })))
    }

    /// A client's packet goes out to a server as `expected`.
    pub(crate) fn goes(self, frame: &Frame, event: Event, expected: &Frame) -> Self {
        self.goes_out(CLIENTS, &frame.bytes(), SERVERS, &[event], &expected.bytes())
    }

    /// A client's packet goes out to a server, and this is counted on the way.
    pub(crate) fn goes_with(self, frame: &Frame, events: &[Event], expected: &Frame) -> Self {
        self.goes_out(CLIENTS, &frame.bytes(), SERVERS, events, &expected.bytes())
    }

    /// A server's packet goes out to a client as `expected`.
    pub(crate) fn returns(self, frame: &Frame, event: Event, expected: &Frame) -> Self {
        self.goes_out(SERVERS, &frame.bytes(), CLIENTS, &[event], &expected.bytes())
    }

    pub(crate) fn goes_out(
        self,
        from: u32,
        packet: &[u8],
        to: u32,
        events: &[Event],
        expected: &[u8],
    ) -> Self {
        let action = if from == to { Action::Transmit } else { Action::Redirect(to) };
        let expected = Expected { action, events: events.to_vec(), bytes: Some(expected.to_vec()) };
        self.arrives(from, packet, expected)
    }

    /// A client's packet is answered with `answer`.
    pub(crate) fn answered(self, frame: &Frame, event: Event, answer: &Frame) -> Self {
        self.goes_out(CLIENTS, &frame.bytes(), CLIENTS, &[event], &answer.bytes())
    }

    /// A client's packet goes up the stack as it is.
    pub(crate) fn passes(self, frame: &Frame, event: Event) -> Self {
        self.passes_bytes(CLIENTS, &frame.bytes(), event)
    }

    pub(crate) fn passes_bytes(self, interface: u32, packet: &[u8], event: Event) -> Self {
        let bytes = Some(packet.to_vec());
        let expected = Expected { action: Action::Pass, events: vec![event], bytes };
        self.arrives(interface, packet, expected)
    }

    /// A client's packet is thrown away.
    pub(crate) fn dropped(self, frame: &Frame, event: Event) -> Self {
        self.dropped_from(CLIENTS, frame, event)
    }

    pub(crate) fn dropped_from(self, interface: u32, frame: &Frame, event: Event) -> Self {
        let expected = Expected { action: Action::Drop, events: vec![event], bytes: None };
        self.arrives(interface, &frame.bytes(), expected)
    }
}

//! A large table that is filled through the kernel program, as packets would.
use anyhow::Result;
use lvs_core::{
    connection::{Narrow, Slot as _, Word},
    forward::Method,
    scheduler::Scheduler,
    tables::{Event, Tables as _},
    wire::Protocol,
};
use lvs_dataplane::{Capacity, Dataplane};
use lvs_model::{desired::Entries, plan::Plan};

use crate::{
    frame::{Frame, Kind, Order},
    place::{self, Place},
    scenario::Service,
    sys,
    table::{counted, planned},
    wrapper::{Run, Wrapper},
};

/// What all connections are to.
pub(crate) const SERVICE: Service = Service {
    method: Method::Tunnel,
    protocol: Protocol::Tcp,
    scheduler: Scheduler::Rr,
    version: 4,
    servers: 16,
    state: Entries::All,
};
/// The address of client 0; the others follow.
const CLIENT: u32 = 0x1000_0000;

/// A data plane, and who sends it packets.
pub(crate) struct Filled {
    pub(crate) dataplane: Dataplane,
    /// Bytes of its maps.
    pub(crate) mapped: u64,
    wrapper: Wrapper,
}

impl Filled {
    /// An empty table with room for so many connections.
    pub(crate) fn new(place: &Place, connections: u32) -> Result<Self> {
        let capacity = Capacity { connections, ..Capacity::default() };
        let others = sys::map_memory()?;
        let mut dataplane = Dataplane::load_detached(capacity)?;
        dataplane.apply(&Plan { services: vec![planned(place, SERVICE, 0)] })?;
        let mapped = sys::map_memory()?.saturating_sub(others);
        let wrapper = sender(&dataplane, place)?;
        Ok(Self { dataplane, mapped, wrapper })
    }

    /// Has clients, from number `first` on, send one packet each.
    pub(crate) fn send(&mut self, kind: Kind, first: u32, clients: u32) -> Result<Run> {
        let frame = frame(kind);
        let endless = Order { flows: 1 << 32, hot: None };
        let config = frame.config(CLIENT + first, endless, outer());
        self.wrapper.configure(frame, config)?;
        self.wrapper.run(clients)
    }

    /// How often an event was counted.
    pub(crate) fn counted(&self, event: Event) -> u64 {
        counted(&self.dataplane, event)
    }

    /// Calls `see` with each slot for IPv4, in their order.
    pub(crate) fn each_slot(&self, see: impl FnMut(&Narrow)) {
        let host = self.dataplane.host();
        let sets = (0..host.narrow_sets()).filter_map(|set| host.narrow(set));
        sets.flat_map(|set| &set.slots).for_each(see);
    }
}

/// Number of the client of a slot, if it holds a connection.
pub(crate) fn client(slot: &Narrow) -> Option<(u32, Word)> {
    let word = Word(slot.word().get());
    let address = u32::from_be(u32::try_from(slot.key() >> 32).ok()?);
    word.is_connection().then(|| (address.wrapping_sub(CLIENT), word))
}

/// Whoever sends packets of the connections of a table.
pub(crate) fn sender(dataplane: &Dataplane, place: &Place) -> Result<Wrapper> {
    Wrapper::new(dataplane.program()?, frame(Kind::Syn), place.interface)
}

/// Has a sender's packets be of so many of the established connections, a power of two.
pub(crate) fn known(sender: &mut Wrapper, flows: u64) -> Result<()> {
    let frame = frame(Kind::Ack);
    let config = frame.config(CLIENT, Order { flows, hot: None }, outer());
    sender.configure(frame, config)
}

fn frame(kind: Kind) -> Frame {
    let (client, to) = (place::client(4, CLIENT), place::virtual_address(4, 0));
    Frame::new(SERVICE.protocol, client, to, kind)
}

fn outer() -> u16 {
    SERVICE.method.overhead(SERVICE.version)
}

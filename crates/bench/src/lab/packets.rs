//! What one packet costs the director's CPU.
use std::{num::NonZero, ops::RangeInclusive, path::Path, thread};

use anyhow::{Context as _, Result, ensure};
use lvs_core::forward::Method::{Direct, Nat, Tunnel};
use lvs_lab::Lab;

use super::{
    cable::{Cable, Passage, SERVERS, Stream},
    peers::{Director, LIMITS, Peer, TRACKED},
};
use crate::{check, frame::Kind};

/// Packets that are sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flows {
    /// Of so many connections that are known.
    Known(u64),
    /// Each opens a connection.
    New,
}
use Flows::{Known, New};

const KI: u64 = 1 << 10;
const MI: u64 = 1 << 20;

/// Numbers of flows, their names.
type Many = &'static [(Flows, &'static str)];
/// For most.
const ALL: Many = &[
    (Known(1), "1 flow"),
    (Known(KI), "1 Ki"),
    (Known(64 * KI), "64 Ki"),
    (Known(MI), "1 Mi"),
    (New, "new flow each"),
];
/// For those who know no flows.
const SOME: Many = &[(Known(KI), "1 Ki")];

/// How the name of a row with two queues ends.
pub(crate) const ON_TWO: &str = ", on 2 queues";
/// Its flows.
const TWICE: Many = &[(Known(KI), "1 Ki"), (Known(MI), "1 Mi"), (New, "new flow each")];

/// What is measured, and with how many queues, each on a CPU of its own.
const PEERS: [(Peer, usize, Many); 8] = [
    (Peer::Floor, 1, SOME),
    (Peer::Lvs(Direct), 1, ALL),
    (Peer::Lvs(Tunnel), 1, ALL),
    (Peer::Lvs(Tunnel), 2, TWICE),
    (Peer::Lvs(Nat), 1, ALL),
    (Peer::Route(1), 1, SOME),
    (Peer::Route(SERVERS), 1, SOME),
    (Peer::Nft, 1, ALL),
];

/// The client of flow 0; those of new flows lie apart.
const CLIENT: u32 = 0x1000_0000;
const NEW_CLIENT: u32 = 0x2000_0000;
/// Packets before those that are measured: what a cache can hold, it holds then.
const WARM: RangeInclusive<u64> = 20_000..=1 << 16;
/// Of a million packets, so many may be lost.
const MOST_LOST: u64 = 100;

/// How much is measured.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    /// Packets in a round.
    pub(crate) packets: u32,
    /// Of the most flows there are.
    pub(crate) flows: u64,
}

/// One row of the table.
pub(crate) struct Row {
    pub(crate) peer: Peer,
    queues: usize,
    pub(crate) flows: Flows,
    pub(crate) name: String,
    /// Nanoseconds per packet in each round.
    pub(crate) nanos: Vec<f64>,
    /// Packets that did not arrive.
    pub(crate) lost: u64,
    stream: Stream,
}

impl Row {
    /// The same director can serve both.
    fn is_like(&self, other: &Self) -> bool {
        (self.peer, self.queues) == (other.peer, other.queues)
    }

    pub(crate) fn is_floor(&self) -> bool {
        self.peer == Peer::Floor
    }
}

/// A director, and the rows that are measured with it.
struct Stand {
    cable: Cable,
    director: Director,
    rows: Vec<Row>,
}

/// Measures all rows whose name is wanted, and the floor.
pub(crate) fn measure(
    lab: &Lab,
    pins: &Path,
    effort: Effort,
    wanted: impl Fn(&str) -> bool,
    progress: impl Fn(&str),
) -> Result<Vec<Row>> {
    let raised = LIMITS.map(|name| lab.raise(name, TRACKED));
    let raised: Vec<_> = raised.into_iter().collect::<Result<_>>()?;
    let rows = rows(effort.flows, wanted);
    let mut stands: Vec<Stand> = Vec::new();
    for row in rows {
        progress(&format!("prepare: {}", row.name));
        // A table that is filled with new connections is one's own.
        let same = |stand: &&mut Stand| {
            let first = stand.rows.first();
            first.is_some_and(|f| f.is_like(&row) && (f.flows == New) == (row.flows == New))
        };
        if let Some(stand) = stands.iter_mut().find(same) {
            stand.rows.push(row);
            continue;
        }
        let cable = Cable::lay(lab, stands.len(), row.queues)?;
        let director = row.peer.set_up(lab, pins, &cable)?;
        stands.push(Stand { cable, director, rows: vec![row] });
    }
    for stand in &mut stands {
        stand.prepare()?;
    }
    for round in 1..=effort.rounds {
        progress(&format!("packets: round {round} of {}", effort.rounds));
        for stand in &mut stands {
            stand.measure(effort.packets)?;
        }
    }
    let mut rows: Vec<Row> = stands.into_iter().flat_map(|stand| stand.rows).collect();
    let place = |row: &Row| {
        PEERS.iter().position(|(peer, queues, _)| (*peer, *queues) == (row.peer, row.queues))
    };
    rows.sort_by_key(place);
    drop(raised);
    Ok(rows)
}

fn rows(most: u64, wanted: impl Fn(&str) -> bool) -> Vec<Row> {
    let cpus = thread::available_parallelism().map_or(1, NonZero::get);
    let possible = PEERS.into_iter().filter(|(_, queues, _)| *queues <= cpus);
    let all = possible
        .flat_map(|(peer, queues, flows)| flows.iter().map(move |flows| (peer, queues, *flows)));
    let rows = all.map(|(peer, queues, (flows, flows_name))| {
        let known = |count| Stream { kind: Kind::Ack, client: CLIENT, flows: count, next: 0 };
        let stream = match flows {
            Known(count) => known(count),
            New => Stream { kind: Kind::Syn, client: NEW_CLIENT, flows: 1 << 32, next: 0 },
        };
        let name = match peer {
            Peer::Floor | Peer::Route(_) => peer.name(),
            Peer::Lvs(_) | Peer::Nft => format!("{}, {flows_name}", peer.name()),
        };
        let name = if queues == 1 { name } else { format!("{name}{ON_TWO}") };
        Row { peer, queues, flows, name, nanos: Vec::new(), lost: 0, stream }
    });
    let small = |row: &Row| row.flows == New || row.stream.flows <= most;
    rows.filter(|row| small(row) && (row.peer == Peer::Floor || wanted(&row.name))).collect()
}

impl Stand {
    /// Opens the connections, and looks at what becomes of packets.
    fn prepare(&mut self) -> Result<()> {
        let Self { cable, director, rows } = self;
        let Some(last) = rows.iter().max_by_key(|row| row.stream.flows) else { return Ok(()) };
        let (peer, name) = (last.peer, last.name.clone());
        if let Known(flows) = last.flows {
            let packets = u32::try_from(flows)?;
            for kind in peer.opening() {
                cable.send(&mut Stream { kind: *kind, ..last.stream }, packets)?;
            }
            if let Some(known) = director.connections(cable)? {
                ensure!(known <= flows, "{name}: {known} connections of {flows} flows");
                ensure!(known * 100 >= flows * 99, "{name}: only {known} of {flows} flows");
            }
        }
        let mut stream = last.stream;
        // The first packet may have to wait for what the next ones find.
        for _ in 0..2 {
            cable.send(&mut Stream { next: 0, ..stream }, 1)?;
        }
        let (sent, got) = (last.stream.first(), cable.sample()?);
        match peer.service() {
            None => ensure!(sent.bytes == got, "{name}: the packet changed"),
            Some(service) => {
                check::forwarded(service, 0, &sent.bytes, &got).context(name.clone())?;
            }
        }
        if let (Some(service), true) = (peer.service(), stream.flows >= KI) {
            let before = cable.by_server()?;
            cable.send(&mut stream, 1 << 14)?;
            let got = cable.by_server()?.into_iter().zip(before).map(|(now, before)| now - before);
            check_spread(&got.collect::<Vec<_>>(), service.servers).context(name)?;
        }
        // What was new is so only once.
        rows.iter_mut().filter(|row| row.flows == New).for_each(|row| row.stream = stream);
        Ok(())
    }

    fn measure(&mut self, packets: u32) -> Result<()> {
        let Self { cable, director, rows } = self;
        for row in rows {
            if row.flows == New {
                director.forget();
            }
            let elsewhere =
                |cable: &Cable| Ok::<_, anyhow::Error>(cable.by_server()?.first().copied());
            let warm = row.stream.flows.clamp(*WARM.start(), *WARM.end());
            cable.send(&mut row.stream, u32::try_from(warm)?)?;
            let (known, missed) = (director.connections(cable)?, elsewhere(cable)?);
            let Passage { arrived, ran } = cable.send(&mut row.stream, packets)?;
            let lost = u64::from(packets).saturating_sub(arrived);
            let name = &row.name;
            ensure!(
                lost * 1_000_000 <= u64::from(packets) * MOST_LOST,
                "{name}: {lost} of {packets} packets were lost: what is left is no measure"
            );
            ensure!(
                row.peer == Peer::Floor || missed == elsewhere(cable)?,
                "{name}: packets left that were for no server"
            );
            if let (New, Some(before), Some(now)) = (row.flows, known, director.connections(cable)?)
            {
                let made = now.saturating_sub(before);
                ensure!(
                    made * 100 >= arrived * 98,
                    "{name}: {arrived} packets made {made} connections"
                );
            }
            row.lost += lost;
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            row.nanos.push(ran.as_nanos() as f64 / arrived as f64);
        }
        Ok(())
    }
}

/// Each server must have got between half and twice its share.
fn check_spread(got: &[u64], servers: u16) -> Result<()> {
    let share = got.iter().sum::<u64>() / u64::from(servers);
    let got = got.iter().skip(1).take(servers.into());
    let uneven = got.clone().find(|got| **got < share / 2 || **got > share * 2);
    ensure!(uneven.is_none(), "the servers got {:?} packets", got.collect::<Vec<_>>());
    Ok(())
}

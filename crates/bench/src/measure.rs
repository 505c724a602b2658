//! Prepares all scenarios, then measures them in turns.
use std::{
    io::{self, Write as _},
    iter, thread,
};

use anyhow::{Context as _, Result, ensure};
use lvs_core::{tables::Event, wire::Protocol};
use lvs_dataplane::Filter;
use lvs_model::desired::Entries;

use crate::{
    check,
    frame::{Client, Frame, Kind, Order},
    place::{self, Place},
    scenario::{Scenario, Service, Subject, Traffic},
    table::{Located, Tables, port, until},
    wrapper::{Floors, Wrapper},
};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Times that each scenario is measured.
    pub(crate) rounds: usize,
    /// Packets each time.
    pub(crate) packets: u32,
}

/// A scenario and what was measured.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) scenario: Scenario,
    /// One for each round.
    pub(crate) times: Vec<Time>,
    /// Flows that found no room in the table.
    pub(crate) without_entry: u64,
}

/// Nanoseconds per packet in one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time {
    /// The scenario's.
    pub(crate) nanos: f64,
    /// Those of F and P for the same IP version, measured in between: others who use the machine come
    /// and go, and slow all three.
    pub(crate) floor: f64,
    pub(crate) practical: f64,
}

/// The client of flow 0.
const CLIENT: u32 = 0x1000_0000;
/// All addresses from the first client on.
const ENDLESS: Order = Order { flows: 1 << 32, hot: None };
/// So many packets, each of another flow, fill any cache.
const FILLING: u32 = 1 << 20;
/// So many before anything is timed.
const WARMING: u32 = 10_000;
/// Packets that are timed at once: what the machine does to others then, it does in turn to the
/// scenario and to its floors. No fewer: the kernel waits some 10 ms, unmeasured, before it begins, in
/// which others fill the caches.
const SLICE: u32 = 200_000;
const ONE: Order = Order { flows: 1, hot: None };

struct Case {
    outcome: Outcome,
    located: Option<Located>,
    wrapper: Wrapper,
    /// Those that run at the same time on other CPUs.
    others: Vec<Wrapper>,
    /// Verdict on each packet, and its length then.
    result: (u32, usize),
}

/// What a scenario is compared with.
struct Beside {
    floor: Case,
    practical: Case,
}

/// Measures everything.
pub(crate) fn run(place: &Place, scenarios: Vec<Scenario>, effort: Effort) -> Result<Vec<Outcome>> {
    let floors = Floors::load()?;
    let mut tables = Tables::default();
    let located = scenarios.iter().map(|scenario| match scenario.subject {
        Subject::Floor | Subject::Practical | Subject::Memory => Ok(None),
        Subject::Lvs(traffic) => tables.locate(traffic).map(Some),
    });
    let located: Vec<Option<Located>> = located.collect::<Result<_>>()?;
    tables.apply(place)?;
    let floors_of = |version| {
        [Subject::Floor, Subject::Practical]
            .map(|subject| prepare(place, &floors, &tables, Scenario::bare(subject, version), None))
    };
    let [floor_v4, practical_v4] = floors_of(4);
    let [floor_v6, practical_v6] = floors_of(6);
    let v4 = Beside { floor: floor_v4?, practical: practical_v4? };
    let v6 = Beside { floor: floor_v6?, practical: practical_v6? };
    let mut cases = Vec::new();
    for (scenario, located) in scenarios.into_iter().zip(located) {
        let name = scenario.name.clone();
        progress(&format!("prepare: {name}"));
        let case = prepare(place, &floors, &tables, scenario, located).context(name)?;
        cases.push(case);
    }
    for round in 1..=effort.rounds {
        progress(&format!("round {round} of {}", effort.rounds));
        for case in &mut cases {
            let beside = if case.outcome.scenario.version == 6 { &v6 } else { &v4 };
            let time = case
                .measure(&mut tables, beside, effort.packets)
                .with_context(|| case.outcome.scenario.name.clone())?;
            case.outcome.times.push(time);
        }
    }
    progress("");
    Ok(cases.into_iter().map(|case| case.outcome).collect())
}

/// Says what is under way, where a person may be looking.
pub(crate) fn progress(what: &str) {
    let mut out = io::stderr().lock();
    if io::IsTerminal::is_terminal(&out) {
        // Nobody to tell when even this fails.
        drop(write!(out, "\r\x1b[K{what}").and_then(|()| out.flush()));
    }
}

fn prepare(
    place: &Place,
    floors: &Floors,
    tables: &Tables,
    scenario: Scenario,
    located: Option<Located>,
) -> Result<Case> {
    let program = match (scenario.subject, located) {
        (Subject::Lvs(Traffic::Until(step, ..)), Some(located)) => {
            tables.get(located.table)?.dataplane.program_named(until(step))?
        }
        (Subject::Lvs(_), Some(located)) => tables.get(located.table)?.dataplane.program()?,
        (Subject::Practical, _) if scenario.version == 6 => floors.program("practical_v6")?,
        (Subject::Practical, _) => floors.program("practical_v4")?,
        (Subject::Memory, _) => floors.program("practical_read_v4")?,
        _ => floors.program("floor")?,
    };
    let number = located.map_or(0, |located| located.service);
    let (frame, order) = packets(&scenario, number);
    let mut wrapper = Wrapper::new(program, frame.clone(), place.interface)?;
    let mut without_entry = 0;
    if let (
        Subject::Lvs(
            Traffic::Known(service, order)
            | Traffic::Until(_, service, order)
            | Traffic::Reply(service, order),
        ),
        Some(located),
    ) = (scenario.subject, located)
    {
        without_entry = connect(place, tables, located, service, order)?;
    }
    let client = client_number(scenario.subject);
    wrapper.configure(frame.clone(), frame.config(client, order, scenario.outer()))?;
    let run = wrapper.run(1)?;
    check::outcome(scenario.subject, number, &frame.bytes, run.verdict, &run.bytes)?;
    let mut others = Vec::new();
    for cpu in 1..scenario.cpus {
        let mut other = Wrapper::new(program, frame.clone(), place.interface)?;
        let mut config = frame.config(client, order, scenario.outer());
        // Other flows at the same time.
        config.next = (u64::from(cpu) << 30) + order.flows / 2;
        other.configure(frame.clone(), config)?;
        others.push(other);
    }
    let outcome = Outcome { scenario, times: Vec::new(), without_entry };
    Ok(Case { outcome, located, wrapper, others, result: (run.verdict, run.bytes.len()) })
}

/// The client of flow 0: those of floods lie apart from all others.
fn client_number(subject: Subject) -> u32 {
    let opens = matches!(subject, Subject::Lvs(Traffic::New(_) | Traffic::Flood(_)));
    if opens { CLIENT + (1 << 24) } else { CLIENT }
}

/// The packets of a scenario.
fn packets(scenario: &Scenario, number: u8) -> (Frame, Order) {
    let version = scenario.version;
    let client = place::client(version, client_number(scenario.subject));
    let to = place::virtual_address(version, number);
    match scenario.subject {
        Subject::Memory => {
            (Frame::new(Protocol::Tcp, client, to, Kind::Ack), Order { flows: 1 << 20, hot: None })
        }
        Subject::Floor | Subject::Practical => {
            let order = Order { flows: 1 << 10, hot: None };
            (Frame::new(Protocol::Tcp, client, to, Kind::Ack), order)
        }
        Subject::Lvs(Traffic::Known(service, order) | Traffic::Until(_, service, order)) => {
            (Frame::new(service.protocol, client, to, Kind::Ack), order)
        }
        Subject::Lvs(Traffic::Reply(service, order)) => {
            let server = place::server(version, number, 0, port(service.method));
            let frame = Frame::new(service.protocol, server, client, Kind::Ack);
            (Frame { client: Client::Destination, ..frame }, order)
        }
        Subject::Lvs(Traffic::New(service) | Traffic::Flood(service)) => {
            (Frame::new(service.protocol, client, to, Kind::Syn), ENDLESS)
        }
        Subject::Lvs(Traffic::Foreign) => {
            let to = ([198, 51, 100, 9], 80).into();
            (Frame::new(Protocol::Tcp, client, to, Kind::Ack), Order { flows: 1 << 10, hot: None })
        }
        Subject::Lvs(Traffic::Arp) => (Frame::arp(), ONE),
    }
}

/// Has every flow connect; returns how many are not in the table afterwards.
fn connect(
    place: &Place,
    tables: &Tables,
    located: Located,
    service: Service,
    order: Order,
) -> Result<u64> {
    let table = tables.get(located.table)?;
    let outer = service.method.overhead(service.version);
    let (client, to) = (
        place::client(service.version, CLIENT),
        place::virtual_address(service.version, located.service),
    );
    let order = Order { hot: None, ..order };
    let kinds: &[Kind] = match service.protocol {
        Protocol::Tcp => &[Kind::Syn, Kind::Ack],
        Protocol::Udp => &[Kind::Ack],
    };
    for kind in kinds {
        let frame = Frame::new(service.protocol, client, to, *kind);
        let mut wrapper = Wrapper::new(table.dataplane.program()?, frame.clone(), place.interface)?;
        wrapper.configure(frame.clone(), frame.config(CLIENT, order, outer))?;
        let packets = if order.flows.is_power_of_two() { order.flows } else { 2 * order.flows };
        wrapper.run(u32::try_from(packets)?)?;
    }
    if service.state == Entries::Moved {
        return Ok(0);
    }
    let connections = table.connections(service, located.service);
    ensure!(connections <= order.flows, "{connections} connections of {} flows", order.flows);
    ensure!(connections * 100 >= order.flows * 99, "only {connections} of {} flows", order.flows);
    Ok(order.flows - connections)
}

impl Case {
    fn measure(&self, tables: &mut Tables, beside: &Beside, packets: u32) -> Result<Time> {
        let (Subject::Lvs(traffic), Some(located)) = (self.outcome.scenario.subject, self.located)
        else {
            let memory = self.outcome.scenario.subject == Subject::Memory;
            self.send(if memory { FILLING } else { WARMING })?;
            return self.timed(beside, packets);
        };
        match traffic {
            Traffic::New(_) => {
                tables.get_mut(located.table)?.dataplane.flush(Filter::default());
            }
            Traffic::Flood(_) => self.fill(tables, located)?,
            Traffic::Known(..)
            | Traffic::Until(..)
            | Traffic::Reply(..)
            | Traffic::Foreign
            | Traffic::Arp => {}
        }
        let table = tables.get(located.table)?;
        let event = event(traffic);
        let warm = warm_up(traffic);
        let before = table.counted(event);
        self.wrapper.run(warm)?;
        let time = self.timed(beside, packets)?;
        let counted = table.counted(event) - before;
        let sent = u64::from(warm) + u64::from(packets) * u64::from(self.outcome.scenario.cpus);
        // So often a flow without an entry may come among as many packets as there are flows.
        let times = if flows(traffic).is_power_of_two() { 1 } else { 2 };
        let rounds = sent.div_ceil(flows(traffic)) + 1;
        let missing = times * self.outcome.without_entry * rounds;
        ensure!(
            counted <= sent && counted + missing >= sent,
            "{counted} packets of {sent} were counted as {}",
            event.name()
        );
        Ok(time)
    }

    /// Measures in slices, and the floors between them.
    fn timed(&self, Beside { floor, practical }: &Beside, packets: u32) -> Result<Time> {
        // Two CPUs begin and end together only about: the fewer times, the better.
        let slices = if self.others.is_empty() { (packets / SLICE).max(1) } else { 1 };
        let mut time = Time { nanos: 0.0, floor: 0.0, practical: 0.0 };
        for _ in 0..slices {
            time.floor += floor.send(packets / slices)? / f64::from(slices);
            time.practical += practical.send(packets / slices)? / f64::from(slices);
            time.nanos += self.send(packets / slices)? / f64::from(slices);
        }
        Ok(time)
    }

    /// Nanoseconds per packet, of the slowest CPU, if the last packets came out as the first one did.
    fn send(&self, packets: u32) -> Result<f64> {
        let runs = thread::scope(|scope| {
            let others = self.others.iter().map(|other| scope.spawn(|| other.run(packets)));
            let others: Vec<_> = others.collect();
            let own = self.wrapper.run(packets);
            let others = others.into_iter().map(|other| match other.join() {
                Ok(run) => run,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            iter::once(own).chain(others).collect::<Result<Vec<_>>>()
        })?;
        for run in &runs {
            let result = (run.verdict, run.bytes.len());
            ensure!(result == self.result, "verdict and length became {result:?}");
        }
        Ok(runs.iter().map(|run| run.nanos).fold(0.0, f64::max))
    }

    /// Opens connections until each takes the place of another.
    fn fill(&self, tables: &Tables, located: Located) -> Result<()> {
        const STEP: u32 = 50_000;
        const MOST: u32 = 1000;
        let table = tables.get(located.table)?;
        let full = || table.counted(Event::Displaced) + table.counted(Event::TableFull);
        for _ in 0..MOST {
            let before = full();
            self.wrapper.run(STEP)?;
            if (full() - before) * 100 >= u64::from(STEP) * 98 {
                return Ok(());
            }
        }
        Err(anyhow::anyhow!("the table does not become full"))
    }
}

/// What each packet counts as.
fn event(traffic: Traffic) -> Event {
    match traffic {
        Traffic::Known(..) | Traffic::Until(..) => Event::Known,
        Traffic::Reply(..) => Event::Reply,
        Traffic::New(_) | Traffic::Flood(_) => Event::New,
        Traffic::Foreign => Event::NotOurs,
        Traffic::Arp => Event::NotIp,
    }
}

/// Distinct flows.
fn flows(traffic: Traffic) -> u64 {
    match traffic {
        Traffic::Known(_, order) | Traffic::Until(_, _, order) | Traffic::Reply(_, order) => {
            order.flows
        }
        Traffic::New(_) | Traffic::Flood(_) | Traffic::Foreign | Traffic::Arp => 1 << 32,
    }
}

/// Packets before those that are measured: what a cache can hold, it holds then.
fn warm_up(traffic: Traffic) -> u32 {
    match traffic {
        Traffic::Known(_, order) | Traffic::Until(_, _, order) | Traffic::Reply(_, order) => {
            u32::try_from(order.flows.clamp(WARMING.into(), FILLING.into())).unwrap_or(FILLING)
        }
        Traffic::New(_) | Traffic::Flood(_) | Traffic::Foreign | Traffic::Arp => WARMING,
    }
}

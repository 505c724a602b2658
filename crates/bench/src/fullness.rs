//! What becomes of new connections the fuller the table is.
use std::fmt::Write as _;

use anyhow::Result;
use lvs_core::{connection::Slot as _, tables::Event};

use crate::{
    filled::{Filled, client},
    frame::Kind,
    measure::progress,
    place::Place,
};

/// Room for so many connections; there are five slots for three of them.
const CAPACITY: u32 = 10 << 20;
const SLOTS: u32 = CAPACITY / 6 * 10;
/// Connections that were opened before, in percent of the capacity and of the slots.
const FULLNESS: [u32; 4] = [50, 80, 95, 120];
/// New connections that are looked at each time.
const NEW: u32 = 100_000;

/// What became of new connections.
#[derive(Default)]
struct Fates {
    nanos: f64,
    second: u32,
    moved: u32,
    displaced: u32,
    without: u32,
}

/// Measures, and tells.
pub(crate) fn run(place: &Place) -> Result<String> {
    let mut steps: Vec<(u32, String)> = Vec::new();
    for (whole, name) in [(CAPACITY, "capacity"), (SLOTS, "slots")] {
        steps.extend(
            FULLNESS.map(|percent| (whole / 100 * percent, format!("{percent} % of {name}"))),
        );
    }
    steps.sort();
    let mut text = format!(
        "opened before            {:>7} {:>7} {:>7} {:>9} {:>7} {:>5}\n",
        "first %", "second", "moving", "displaced", "without", "ns"
    );
    for (established, title) in [(true, "established"), (false, "half-open")] {
        writeln!(text, "all {title}:")?;
        let mut filled = Filled::new(place, CAPACITY)?;
        let mut opened = 0;
        for (clients, name) in &steps {
            progress(&format!("{title}, {name}"));
            open(&mut filled, opened, clients - opened, established)?;
            let fates = step(&mut filled, *clients, established)?;
            opened = clients + NEW;
            let share = |count: u32| 100.0 * f64::from(count) / f64::from(NEW);
            let Fates { nanos, second, moved, displaced, without } = fates;
            let first = NEW.saturating_sub(second + moved + displaced + without);
            writeln!(
                text,
                "{name:24} {:>7.2} {:>7.2} {:>7.2} {:>9.2} {:>7.2} {nanos:>5.0}",
                share(first),
                share(second),
                share(moved),
                share(displaced),
                share(without),
            )?;
        }
    }
    progress("");
    Ok(text)
}

fn open(filled: &mut Filled, first: u32, clients: u32, established: bool) -> Result<f64> {
    let nanos = filled.send(Kind::Syn, first, clients)?.nanos;
    if established {
        filled.send(Kind::Ack, first, clients)?;
    }
    Ok(nanos)
}

/// Opens more connections and finds out where they are.
fn step(filled: &mut Filled, opened: u32, established: bool) -> Result<Fates> {
    let mut keys = Vec::new();
    filled.each_slot(|slot| keys.push(slot.key()));
    let [displaced, without] =
        [Event::Displaced, Event::TableFull].map(|event| filled.counted(event));
    // The rest of the handshake changes nothing but the state.
    let nanos = filled.send(Kind::Syn, opened, NEW)?.nanos;
    let [displaced, without] = [(Event::Displaced, displaced), (Event::TableFull, without)]
        .map(|(event, before)| u32::try_from(filled.counted(event) - before).unwrap_or(u32::MAX));
    let mut fates = Fates { nanos, displaced, without, ..Fates::default() };
    let mut keys = keys.into_iter();
    filled.each_slot(|slot| {
        let was = keys.next();
        let Some((number, word)) = client(slot) else { return };
        let is_new = (opened..opened + NEW).contains(&number);
        fates.second += u32::from(is_new && word.is_second());
        fates.moved += u32::from(!is_new && was != Some(slot.key()));
    });
    if established {
        filled.send(Kind::Ack, opened, NEW)?;
    }
    Ok(fates)
}

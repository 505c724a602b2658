//! What the daemon's work on a table of ten million connections takes, of a CPU and of the packets
//! that come meanwhile.
use std::{
    fmt::Write as _,
    hint,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use lvs_dataplane::{Dataplane, Filter};

use crate::{
    filled::{self, Filled},
    frame::Kind,
    measure::progress,
    place::Place,
    sys,
    wrapper::Wrapper,
};

/// Connections, and room for as many.
const CONNECTIONS: u32 = 10 << 20;
/// Connections whose packets come meanwhile, and packets each time.
const FLOWS: u64 = 1 << 20;
const PACKETS: u32 = 1 << 20;

/// What the daemon does with the table.
struct Work {
    name: &'static str,
    does: fn(&mut Dataplane) -> Result<u64>,
}

const COUNT: Work = Work { name: "count", does: |tables| Ok(tables.count(Filter::default())) };
const LIST: Work = Work {
    name: "list",
    does: |tables| {
        let all = tables.connections(Filter::default());
        Ok(all.fold(0, |sum, connection| {
            hint::black_box(&connection);
            sum + 1
        }))
    },
};
const SNAPSHOT: Work = Work {
    name: "snapshot",
    does: |tables| {
        let mut copy = Vec::with_capacity(CONNECTIONS as usize);
        copy.extend(tables.shared().entries());
        Ok(hint::black_box(copy).len() as u64)
    },
};
const SWEEP: Work = Work { name: "sweep", does: |tables| Ok(tables.sweep()?.connections) };

/// Measures, and tells.
pub(crate) fn run(place: &Place, rounds: usize) -> Result<String> {
    progress("fill the table");
    let own = sys::own_memory()?;
    let mut filled = Filled::new(place, CONNECTIONS)?;
    for kind in [Kind::Syn, Kind::Ack] {
        filled.send(kind, 0, CONNECTIONS)?;
    }
    let entries = filled.dataplane.count(Filter::default());
    let mut text = format!("{entries} established connections in a table for {CONNECTIONS}\n\n");
    alone(&mut filled.dataplane, rounds, &mut text)?;
    let own = sys::own_memory()?.saturating_sub(own);
    let per = |bytes: u64| 0.1 * f64::from(u32::try_from(10 * bytes / entries).unwrap_or(u32::MAX));
    let (maps, own) = (per(filled.mapped), per(own));
    writeln!(text, "\nbytes per connection: {maps:.1} in maps, {own:.1} of the daemon's own\n")?;
    let mut sender = filled::sender(&filled.dataplane, place)?;
    filled::known(&mut sender, FLOWS)?;
    meanwhile(&mut filled.dataplane, &sender, rounds, &mut text)?;
    progress("");
    Ok(text)
}

/// What the work takes of a CPU.
fn alone(tables: &mut Dataplane, rounds: usize, text: &mut String) -> Result<()> {
    let mut rows = Vec::new();
    for work in [COUNT, LIST, SNAPSHOT, SWEEP] {
        rows.push((work.name, times(tables, &work, rounds)?));
    }
    writeln!(text, "{:18} {:>8} {:>8} {:>8}", "seconds of one CPU", "median", "least", "most")?;
    for (name, mut times) in rows {
        times.sort_unstable();
        let [median, least, most] = [times.len() / 2, 0, times.len() - 1]
            .map(|at| times.get(at).map_or(0.0, Duration::as_secs_f64));
        writeln!(text, "{name:18} {median:8.3} {least:8.3} {most:8.3}")?;
    }
    Ok(())
}

/// What packets cost while the work is done over and over.
fn meanwhile(
    tables: &mut Dataplane,
    sender: &Wrapper,
    rounds: usize,
    text: &mut String,
) -> Result<()> {
    writeln!(text, "{:18} {:>8}", "meanwhile", "ns per packet")?;
    writeln!(text, "{:18} {:8.1}", "nothing", beside(tables, sender, None, rounds)?)?;
    for work in [COUNT, LIST, SNAPSHOT, SWEEP] {
        let nanos = beside(tables, sender, Some(&work), rounds)?;
        writeln!(text, "{:18} {nanos:8.1}", work.name)?;
    }
    Ok(())
}

/// CPU time of each of some rounds.
fn times(tables: &mut Dataplane, work: &Work, rounds: usize) -> Result<Vec<Duration>> {
    progress(work.name);
    (0..rounds)
        .map(|_| {
            let before = sys::cpu_time()?;
            hint::black_box((work.does)(tables)?);
            Ok(sys::cpu_time()?.saturating_sub(before))
        })
        .collect()
}

/// Median of nanoseconds per packet on the last CPU, while the first one does some work over and over.
fn beside(
    tables: &mut Dataplane,
    sender: &Wrapper,
    work: Option<&Work>,
    rounds: usize,
) -> Result<f64> {
    progress(&format!("packets beside: {}", work.map_or("nothing", |work| work.name)));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let packets = scope.spawn(|| {
            let all = send(sender, rounds);
            over.store(true, Relaxed);
            all
        });
        let mut worked = sys::stay_on(0);
        while let Some(work) = work
            && worked.is_ok()
            && !over.load(Relaxed)
        {
            worked = (work.does)(tables).map(|seen| {
                hint::black_box(seen);
            });
        }
        let nanos = match packets.join() {
            Ok(nanos) => nanos?,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        worked?;
        nanos.get(nanos.len() / 2).copied().context("no round")
    })
}

fn send(sender: &Wrapper, rounds: usize) -> Result<Vec<f64>> {
    sys::stay_on(thread::available_parallelism()?.get() - 1)?;
    let mut nanos: Vec<f64> =
        (0..rounds).map(|_| Ok(sender.run(PACKETS)?.nanos)).collect::<Result<_>>()?;
    nanos.sort_unstable_by(f64::total_cmp);
    Ok(nanos)
}

//! A cable from the outside, where packets come from and arrive, to a director.
use std::{thread, time::Duration};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, EbpfLoader, TestRun as _, TestRunAttrs, TestRunOptions,
    maps::{Array, MapData, PerCpuArray},
    programs::{Xdp, XdpMode},
};
use lvs_core::wire::Protocol;
use lvs_lab::{Lab, Namespace, Poller, pin_here, wait_until};

use crate::{
    frame::{Frame, Kind, Order},
    place::{self, Place},
    sys,
    wrapper::{Config, OBJECT, Sample},
};

/// Frames that are sent at once: fewer than the 256 for which veth has room.
const BATCH: u32 = 128;
/// Frames between two rests. Where ordinary threads would wait for real-time ones for a second, the
/// kernel lets them go first for a while: then the generator would not wait for the director.
const BURST: u32 = 200 * BATCH;
const DIRECTOR_PRIORITY: u8 = 20;
const SINK_PRIORITY: u8 = 10;
/// A packet that has not arrived by then is lost.
const PATIENCE: Duration = Duration::from_millis(300);
/// Servers; their numbers begin with 1.
pub(crate) const SERVERS: u16 = 16;

/// Both ends, each in a namespace of its own, with as many queues as there are lanes.
pub(crate) struct Cable {
    outside: Namespace,
    /// The machine that sends packets on, by the interface by which they came.
    pub(crate) director: Namespace,
    /// That interface.
    pub(crate) link: String,
    /// Its place in the network.
    pub(crate) place: Place,
    lanes: Vec<Lane>,
    sink: Ebpf,
    /// Number of the outside's interface.
    interface: u32,
}

/// All that happens to the packets of one queue, on the CPU of its number, in turns: the director's
/// thread goes before the sink's, and that before the generator. So nobody ever finds a queue full, or
/// waits for a CPU that sleeps.
struct Lane {
    generator: Ebpf,
    director: Poller,
}

/// What packets are sent.
#[derive(Clone, Copy)]
pub(crate) struct Stream {
    pub(crate) kind: Kind,
    /// The client of flow 0.
    pub(crate) client: u32,
    pub(crate) flows: u64,
    /// Number of the next packet.
    pub(crate) next: u64,
}

/// What became of packets.
#[derive(Clone, Copy)]
pub(crate) struct Passage {
    /// Those that arrived at the sink.
    pub(crate) arrived: u64,
    /// For how long the director's threads ran.
    pub(crate) ran: Duration,
}

impl Stream {
    /// A packet of flow 0.
    pub(crate) fn first(self) -> Frame {
        Self::frame(self.kind, self.client)
    }

    fn frame(kind: Kind, client: u32) -> Frame {
        let (from, to) = (place::client(4, client), place::virtual_address(4, 0));
        Frame::new(Protocol::Tcp, from, to, kind)
    }

    fn config(self) -> (Vec<u8>, Config) {
        // The generator adds the client to checksums that leave it out.
        let frame = Self::frame(self.kind, 0);
        let config = frame.config(self.client, Order { flows: self.flows, hot: None }, 0);
        (frame.bytes, Config { next: self.next, ..config })
    }
}

impl Cable {
    /// Lays it. What the director does with packets is still to be set up.
    pub(crate) fn lay(lab: &Lab, number: usize, lanes: usize) -> Result<Self> {
        let director = lab.namespace(&format!("director{number}"))?;
        let outside = lab.namespace(&format!("outside{number}"))?;
        let (link, far) = (format!("d{number}"), format!("o{number}"));
        for (name, value) in [
            // Clients' addresses are from anywhere.
            ("rp_filter", "0"),
            // All packets leave by the interface by which they came, and that is right.
            ("send_redirects", "0"),
        ] {
            director.sysctl(&format!("net.ipv4.conf.all.{name}"), value)?;
            director.sysctl(&format!("net.ipv4.conf.default.{name}"), value)?;
        }
        let name = outside.name();
        let queues = format!("numtxqueues {lanes} numrxqueues {lanes}");
        let peer = format!("peer name {far} {queues} netns {name}");
        director.ip(&[format!("link add {link} {queues} type veth {peer}")])?;
        outside.ip(&[format!("link set {far} up")])?;
        let place = director.run(|| Place::on(&director, &link))?;
        let pollers = Poller::start_each(&director, &link, lanes)?;
        let sinks = Poller::start_each(&outside, &far, lanes)?;
        for (pollers, priority) in [(&pollers, DIRECTOR_PRIORITY), (&sinks, SINK_PRIORITY)] {
            for (cpu, poller) in pollers.iter().enumerate() {
                poller.pin(cpu)?;
                poller.prefer(priority)?;
            }
        }
        let (sink, interface) = outside.run(|| Ok((sink(&far)?, sys::interface(&far)?)))?;
        let lanes =
            pollers.into_iter().map(|director| Ok(Lane { generator: generator()?, director }));
        let lanes = lanes.collect::<Result<_>>()?;
        Ok(Self { outside, director, link, place, lanes, sink, interface })
    }

    /// Sends the next packets of a stream, each lane as many, and waits until all have arrived, or no
    /// more will.
    pub(crate) fn send(&mut self, stream: &mut Stream, packets: u32) -> Result<Passage> {
        let (before, ran) = (self.arrived(None)?, self.ran()?);
        let each = packets.div_ceil(u32::try_from(self.lanes.len())?);
        let shares = (0..packets).step_by(usize::try_from(each.max(1))?);
        let shares: Vec<u32> = shares.map(|from| each.min(packets - from)).collect();
        for (lane, share) in self.lanes.iter_mut().zip(&shares) {
            let map = lane.generator.map_mut("CONFIG").context("the generator lacks CONFIG")?;
            Array::<_, Config>::try_from(map)?.set(0, stream.config().1, 0)?;
            stream.next += u64::from(*share);
        }
        let (this, start) = (&*self, &stream.config().0);
        thread::scope(|scope| {
            let shares = shares.iter().enumerate();
            let lanes =
                shares.map(|(cpu, share)| scope.spawn(move || this.send_on(cpu, start, *share)));
            let lanes: Vec<_> = lanes.collect();
            lanes.into_iter().try_for_each(|lane| match lane.join() {
                Ok(sent) => sent,
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })?;
        let arrived = self.arrived(None)? - before;
        Ok(Passage { arrived, ran: self.ran()?.saturating_sub(ran) })
    }

    /// Sends packets by one lane.
    fn send_on(&self, cpu: usize, start: &[u8], packets: u32) -> Result<()> {
        let before = self.arrived(Some(cpu))?;
        let mut sent = 0;
        while sent < packets {
            let burst = BURST.min(packets - sent);
            self.outside.run(|| {
                pin_here(cpu)?;
                self.generate(cpu, start, burst)
            })?;
            sent += burst;
            let all = || self.arrived(Some(cpu)).is_ok_and(|now| now - before >= u64::from(sent));
            // Those that do not come are told as lost.
            drop(wait_until(PATIENCE, "all packets have arrived", all));
        }
        Ok(())
    }

    fn generate(&self, cpu: usize, start: &[u8], packets: u32) -> Result<()> {
        // `struct xdp_md`: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress.
        let words = [0, u32::try_from(start.len())?, 0, self.interface, 0, 0];
        let context: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
        let options = TestRunOptions {
            data_in: Some(start),
            ctx_in: Some(&context),
            repeat: packets,
            attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
            ..TestRunOptions::new()
        };
        let lane = self.lanes.get(cpu).context("no such lane")?;
        let generator = lane.generator.program("generator").context("no generator")?;
        let generator: &Xdp = generator.try_into()?;
        generator.test_run(options).context("BPF_PROG_TEST_RUN with live frames")?;
        Ok(())
    }

    fn ran(&self) -> Result<Duration> {
        self.lanes.iter().map(|lane| lane.director.ran()).sum()
    }

    /// Packets so far at each server; at 0: at none of them.
    pub(crate) fn by_server(&self) -> Result<Vec<u64>> {
        self.counts(|of_cpus| of_cpus.iter().sum())
    }

    /// Packets that arrived so far, by one lane or by all.
    fn arrived(&self, lane: Option<usize>) -> Result<u64> {
        let of_lane = |of_cpus: &[u64]| match lane {
            Some(cpu) => of_cpus.get(cpu).copied().unwrap_or(0),
            None => of_cpus.iter().sum(),
        };
        Ok(self.counts(of_lane)?.iter().sum())
    }

    fn counts(&self, of: impl Fn(&[u64]) -> u64) -> Result<Vec<u64>> {
        let map: PerCpuArray<&MapData, u64> =
            self.sink.map("ARRIVED").context("the sink lacks ARRIVED")?.try_into()?;
        (0..=SERVERS.into()).map(|server| Ok(of(&map.get(&server, 0)?))).collect()
    }

    /// The last frame that arrived by the first lane.
    pub(crate) fn sample(&self) -> Result<Vec<u8>> {
        let map: PerCpuArray<&MapData, Sample> =
            self.sink.map("SAMPLE").context("the sink lacks SAMPLE")?.try_into()?;
        let of_cpus = map.get(&0, 0)?;
        let Sample { start, rest } = of_cpus.first().context("no CPU")?;
        Ok(if *rest == [0; 20] { start.to_vec() } else { [&start[..], rest].concat() })
    }
}

fn program<'e>(ebpf: &'e mut Ebpf, name: &str) -> Result<&'e mut Xdp> {
    let program = ebpf.program_mut(name).with_context(|| format!("no {name}"))?;
    let program: &mut Xdp = program.try_into()?;
    program.load().with_context(|| format!("loading the {name}"))?;
    Ok(program)
}

/// The object without a floor's memory, which is not used here.
fn object() -> Result<Ebpf> {
    Ok(EbpfLoader::new().map_max_entries("MEMORY", 1).load(OBJECT)?)
}

fn generator() -> Result<Ebpf> {
    let mut ebpf = object()?;
    program(&mut ebpf, "generator")?;
    Ok(ebpf)
}

fn sink(link: &str) -> Result<Ebpf> {
    let mut ebpf = object()?;
    program(&mut ebpf, "sink")?.attach(link, XdpMode::Driver).context("attaching the sink")?;
    Ok(ebpf)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::peers::Peer;

    #[test]
    fn each_lane_of_two_passes_its_half_of_a_stream_on_a_cpu_of_its_own() {
        let lab = Lab::new("lvs-bench-test").expect("these tests need root");
        let pins = lab.bpffs().expect("mounts");
        // Threads are found by their interface, in whatever namespace it is.
        let mut cable = Cable::lay(&lab, 1, 2).expect("is laid");
        let _director = Peer::Floor.set_up(&lab, pins.path(), &cable).expect("attaches");
        let mut stream = Stream { kind: Kind::Ack, client: 1 << 28, flows: 1 << 12, next: 0 };
        let passage = cable.send(&mut stream, 1001).expect("sends");
        assert_eq!((passage.arrived, stream.next), (1001, 1001));
        let by_lane = [0, 1].map(|cpu| cable.arrived(Some(cpu)).expect("counts"));
        assert_eq!(by_lane, [501, 500]);
        let idle =
            cable.lanes.iter().find(|lane| lane.director.ran().is_ok_and(|ran| ran.is_zero()));
        assert!(idle.is_none(), "both of the director's threads did it");
    }

    #[test]
    fn every_packet_of_a_stream_passes_a_director_once() {
        let lab = Lab::new("lvs-bench-test").expect("these tests need root");
        let pins = lab.bpffs().expect("mounts");
        let mut cable = Cable::lay(&lab, 0, 1).expect("is laid");
        let hops = Peer::Route(SERVERS);
        let _director = hops.set_up(&lab, pins.path(), &cable).expect("routes");
        let mut stream = Stream { kind: Kind::Ack, client: 1 << 28, flows: 1 << 12, next: 0 };
        let passage = cable.send(&mut stream, 1000).expect("sends");
        assert_eq!((passage.arrived, stream.next), (1000, 1000));
        assert!(passage.ran > Duration::ZERO, "the director's thread did it");
        let by_server = cable.by_server().expect("counts");
        assert_eq!(by_server.iter().skip(1).sum::<u64>(), 1000, "{by_server:?}");
        assert!(by_server.iter().skip(1).all(|got| *got > 0), "flows differ: {by_server:?}");

        let first = Stream { next: 0, ..stream };
        cable.send(&mut Stream { next: 0, ..first }, 1).expect("sends");
        let service = hops.service().expect("sends on");
        let got = cable.sample().expect("kept");
        crate::check::forwarded(service, 0, &first.first().bytes, &got).expect("as a router does");
    }
}

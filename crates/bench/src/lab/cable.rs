//! A cable from the outside, where packets come from and arrive, to a director.
use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, EbpfLoader, TestRun as _, TestRunAttrs, TestRunOptions,
    maps::Array,
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
/// All that happens to packets happens here, in turns: the director's thread goes before the
/// sink's, and that before the generator. So nobody ever finds a queue full, or waits for a CPU
/// that sleeps.
const CPU: usize = 0;
const DIRECTOR_PRIORITY: u8 = 20;
const SINK_PRIORITY: u8 = 10;
/// A packet that has not arrived by then is lost.
const PATIENCE: Duration = Duration::from_millis(300);
/// Servers; their numbers begin with 1.
pub(crate) const SERVERS: u16 = 16;

/// Both ends, each in a namespace of its own.
pub(crate) struct Cable {
    outside: Namespace,
    /// The machine that sends packets on, by the interface by which they came.
    pub(crate) director: Namespace,
    /// That interface.
    pub(crate) link: String,
    /// Its place in the network.
    pub(crate) place: Place,
    poller: Poller,
    ebpf: Ebpf,
    /// Number of the outside's interface.
    interface: u32,
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
    /// For how long the director's thread ran.
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
    pub(crate) fn lay(lab: &Lab, number: usize) -> Result<Self> {
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
        director.ip(&[format!("link add {link} type veth peer name {far} netns {name}")])?;
        outside.ip(&[format!("link set {far} up")])?;
        let place = director.run(|| Place::on(&director, &link))?;
        let poller = Poller::start(&director, &link)?;
        let sink = Poller::start(&outside, &far)?;
        for (poller, priority) in [(&poller, DIRECTOR_PRIORITY), (&sink, SINK_PRIORITY)] {
            poller.pin(CPU)?;
            poller.prefer(priority)?;
        }
        let (ebpf, interface) = outside.run(|| Ok((load(&far)?, sys::interface(&far)?)))?;
        Ok(Self { outside, director, link, place, poller, ebpf, interface })
    }

    /// Sends the next packets of a stream and waits until all have arrived, or no more will.
    pub(crate) fn send(&mut self, stream: &mut Stream, packets: u32) -> Result<Passage> {
        let (start, config) = stream.config();
        let map = self.ebpf.map_mut("CONFIG").context("the generator lacks CONFIG")?;
        Array::<_, Config>::try_from(map)?.set(0, config, 0)?;
        stream.next += u64::from(packets);
        let (before, ran) = (self.arrived()?, self.poller.ran()?);
        let mut sent = 0;
        while sent < packets {
            let burst = BURST.min(packets - sent);
            self.outside.run(|| {
                pin_here(CPU)?;
                self.generate(&start, burst)
            })?;
            sent += burst;
            let all = || self.arrived().is_ok_and(|now| now - before >= u64::from(sent));
            // Those that do not come are told as lost.
            drop(wait_until(PATIENCE, "all packets have arrived", all));
        }
        let arrived = self.arrived()? - before;
        Ok(Passage { arrived, ran: self.poller.ran()?.saturating_sub(ran) })
    }

    fn generate(&self, start: &[u8], packets: u32) -> Result<()> {
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
        let generator: &Xdp = self.ebpf.program("generator").context("no generator")?.try_into()?;
        generator.test_run(options).context("BPF_PROG_TEST_RUN with live frames")?;
        Ok(())
    }

    /// Packets so far at each server; at 0: at none of them.
    pub(crate) fn by_server(&self) -> Result<Vec<u64>> {
        let map = self.ebpf.map("ARRIVED").context("the sink lacks ARRIVED")?;
        let map = Array::<_, u64>::try_from(map)?;
        (0..=SERVERS.into()).map(|server| Ok(map.get(&server, 0)?)).collect()
    }

    fn arrived(&self) -> Result<u64> {
        Ok(self.by_server()?.iter().sum())
    }

    /// The last frame that arrived.
    pub(crate) fn sample(&self) -> Result<Vec<u8>> {
        let map = self.ebpf.map("SAMPLE").context("the sink lacks SAMPLE")?;
        let Sample { start, rest } = Array::<_, Sample>::try_from(map)?.get(&0, 0)?;
        Ok(if rest == [0; 20] { start.to_vec() } else { [&start[..], &rest].concat() })
    }
}

/// Loads generator and sink, and attaches the sink.
fn load(link: &str) -> Result<Ebpf> {
    // A floor's memory, which is not used here.
    let mut ebpf = EbpfLoader::new().map_max_entries("MEMORY", 1).load(OBJECT)?;
    let generator: &mut Xdp = ebpf.program_mut("generator").context("no generator")?.try_into()?;
    generator.load().context("loading the generator")?;
    let sink: &mut Xdp = ebpf.program_mut("sink").context("no sink")?.try_into()?;
    sink.load().context("loading the sink")?;
    sink.attach(link, XdpMode::Driver).context("attaching the sink")?;
    Ok(ebpf)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::peers::Peer;

    #[test]
    fn every_packet_of_a_stream_passes_a_director_once() {
        let lab = Lab::new("lvs-bench-test").expect("these tests need root");
        let pins = lab.bpffs().expect("mounts");
        let mut cable = Cable::lay(&lab, 0).expect("is laid");
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

//! A program under test behind its wrapper.
#![expect(unsafe_code, reason = "the layout of a map's value is promised to aya")]

use std::os::fd::{AsFd as _, BorrowedFd};

use anyhow::{Context as _, Result, bail, ensure};
use aya::{
    Ebpf, TestRun as _, TestRunOptions,
    maps::{Array, Map},
    programs::Xdp,
};

use crate::{frame::Frame, sys};

#[expect(unreachable_pub, reason = "public in the other crate that it belongs to")]
#[path = "../../bench-xdp/src/config.rs"]
mod config;
pub(crate) use config::{Config, HEADER, Sample};

pub(crate) static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/bench.o"));

// SAFETY: whole words and bytes, without gaps.
unsafe impl aya::Pod for Config {}
// SAFETY: bytes only.
unsafe impl aya::Pod for Sample {}

/// The programs that others are compared with.
pub(crate) struct Floors(Ebpf);

impl Floors {
    pub(crate) fn load() -> Result<Self> {
        let mut ebpf = Ebpf::load(OBJECT).context("loading the floors")?;
        for name in ["floor", "practical_v4", "practical_v6", "practical_read_v4"] {
            xdp_mut(&mut ebpf, name)?.load().context(name)?;
        }
        Ok(Self(ebpf))
    }

    pub(crate) fn program(&self, name: &str) -> Result<BorrowedFd<'_>> {
        Ok(xdp(&self.0, name)?.fd()?.as_fd())
    }
}

/// One wrapper with its own configuration, and the program behind it.
pub(crate) struct Wrapper {
    ebpf: Ebpf,
    name: &'static str,
    frame: Frame,
    /// On which interface packets arrive.
    interface: u32,
}

/// What a run told.
pub(crate) struct Run {
    /// Nanoseconds of CPU time per packet. The kernel's own figure is a whole number.
    pub(crate) nanos: f64,
    /// Verdict on the last packet.
    pub(crate) verdict: u32,
    /// The last packet.
    pub(crate) bytes: Vec<u8>,
}

impl Wrapper {
    pub(crate) fn new(program: BorrowedFd<'_>, frame: Frame, interface: u32) -> Result<Self> {
        let name = if frame.version() == 6 { "wrapper_v6" } else { "wrapper_v4" };
        let mut ebpf = Ebpf::load(OBJECT).context("loading the wrapper")?;
        xdp_mut(&mut ebpf, name)?.load().context(name)?;
        let Some(Map::ProgramArray(programs)) = ebpf.map("PROGRAMS") else {
            bail!("the wrapper lacks PROGRAMS");
        };
        sys::set_program(programs.fd().as_fd(), program)?;
        Ok(Self { ebpf, name, frame, interface })
    }

    /// From now on, packets are these, and their flows in this order.
    pub(crate) fn configure(&mut self, frame: Frame, config: Config) -> Result<()> {
        self.frame = frame;
        let map = self.ebpf.map_mut("CONFIG").context("the wrapper lacks CONFIG")?;
        Ok(Array::<_, Config>::try_from(map)?.set(0, config, 0)?)
    }

    /// Number of the next packet.
    pub(crate) fn next(&self) -> Result<u64> {
        let map = self.ebpf.map("CONFIG").context("the wrapper lacks CONFIG")?;
        Ok(Array::<_, Config>::try_from(map)?.get(&0, 0)?.next)
    }

    /// Sends packets.
    pub(crate) fn run(&self, packets: u32) -> Result<Run> {
        // `struct xdp_md`: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress.
        let end = u32::try_from(self.frame.bytes.len())?;
        let words = [0, end, 0, self.interface, 0, 0];
        let context: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
        let mut bytes = vec![0; self.frame.bytes.len() + 256];
        let before = self.next()?;
        let options = TestRunOptions {
            data_in: Some(&self.frame.bytes),
            data_out: Some(&mut bytes),
            ctx_in: Some(&context),
            repeat: packets,
            ..TestRunOptions::new()
        };
        let program = xdp(&self.ebpf, self.name)?;
        let began = sys::cpu_time()?;
        let result = program.test_run(options).context("BPF_PROG_TEST_RUN")?;
        let took = sys::cpu_time()?.saturating_sub(began);
        let ran = self.next()? - before;
        ensure!(ran == u64::from(packets), "{ran} packets were sent instead of {packets}");
        bytes.truncate(usize::try_from(result.data_size_out)?);
        let nanos = took.as_secs_f64() * 1e9 / f64::from(packets.max(1));
        Ok(Run { nanos, verdict: result.return_value, bytes })
    }
}

fn xdp<'a>(ebpf: &'a Ebpf, name: &str) -> Result<&'a Xdp> {
    Ok(ebpf.program(name).with_context(|| format!("no program {name}"))?.try_into()?)
}

fn xdp_mut<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    Ok(ebpf.program_mut(name).with_context(|| format!("no program {name}"))?.try_into()?)
}

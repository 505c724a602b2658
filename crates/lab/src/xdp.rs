//! Small XDP programs for tests of the laboratory itself and for floors of measurements.
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::{namespace::Namespace, sys};

/// Frames of this type are what the programs act on; it is free for local experiments.
const EXPERIMENT: u16 = 0x88b5;

/// An XDP program that is attached in native mode while this lives.
#[derive(Debug)]
pub struct TestProgram {
    _link: OwnedFd,
}

impl TestProgram {
    /// Frames of this type (0x88b5) are what [`TestProgram::reflect`] and
    /// [`TestProgram::redirect`] act on; others pass.
    pub const ETHERTYPE: u16 = EXPERIMENT;

    /// Passes every frame.
    pub fn pass(namespace: &Namespace, interface: &str) -> Result<Self> {
        attach(namespace, interface, &[mov(R0, XDP_PASS), EXIT])
    }

    /// Sends a frame back to its sender, by `XDP_TX`.
    pub fn reflect(namespace: &Namespace, interface: &str) -> Result<Self> {
        let swap_addresses_and_send = [
            load(WORD, R0, R2, 0),
            load(HALF, R1, R2, 4),
            load(WORD, R4, R2, 6),
            load(HALF, R5, R2, 10),
            store(WORD, R2, R4, 0),
            store(HALF, R2, R5, 4),
            store(WORD, R2, R0, 6),
            store(HALF, R2, R1, 10),
            mov(R0, XDP_TX),
            EXIT,
        ];
        attach(namespace, interface, &only_experiments(&swap_addresses_and_send))
    }

    /// Redirects a frame from one interface to another.
    pub fn redirect(namespace: &Namespace, from: &str, to: &str) -> Result<Self> {
        let to = namespace.run(|| Ok(i32::try_from(sys::interface_index(to)?)?))?;
        let redirect = [mov(R1, to), mov(R2, 0), CALL_REDIRECT, EXIT];
        attach(namespace, from, &only_experiments(&redirect))
    }
}

/// The kernel takes a program off its interface a moment after its link was closed.
fn attach_when_free(program: BorrowedFd<'_>, interface: &str) -> io::Result<OwnedFd> {
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        match sys::attach_xdp(program, interface) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < until => {
                thread::sleep(Duration::from_millis(5));
            }
            done => return done,
        }
    }
}

fn attach(namespace: &Namespace, interface: &str, instructions: &[u64]) -> Result<TestProgram> {
    namespace.run(|| {
        let program = sys::load_xdp(instructions).context("load an XDP program")?;
        let link = attach_when_free(program.as_fd(), interface)
            .with_context(|| format!("attach an XDP program to {interface}"))?;
        Ok(TestProgram { _link: link })
    })
}

// Instructions of BPF: opcode, registers, offset, immediate value.

const R0: u8 = 0;
const R1: u8 = 1;
const R2: u8 = 2;
const R3: u8 = 3;
const R4: u8 = 4;
const R5: u8 = 5;
const WORD: u8 = 0x00;
const HALF: u8 = 0x08;
const XDP_PASS: i32 = 2;
const XDP_TX: i32 = 3;
const EXIT: u64 = 0x95;
const CALL_REDIRECT: u64 = instruction(0x85, 0, 0, 0, 23);

const fn instruction(opcode: u8, to: u8, from: u8, offset: i16, value: i32) -> u64 {
    let [o0, o1] = offset.to_le_bytes();
    let [v0, v1, v2, v3] = value.to_le_bytes();
    u64::from_le_bytes([opcode, to | from << 4, o0, o1, v0, v1, v2, v3])
}

const fn mov(to: u8, value: i32) -> u64 {
    instruction(0xb7, to, 0, 0, value)
}

const fn load(size: u8, to: u8, from: u8, offset: i16) -> u64 {
    instruction(0x61 | size, to, from, offset, 0)
}

const fn store(size: u8, to: u8, from: u8, offset: i16) -> u64 {
    instruction(0x63 | size, to, from, offset, 0)
}

/// Runs `act`, with the frame in R2, on frames of the experiment; others pass.
fn only_experiments(act: &[u64]) -> Vec<u64> {
    let ethertype = i32::from(EXPERIMENT.swap_bytes()); // as loaded on a little-endian machine
    let skip = i16::try_from(act.len()).unwrap_or(0);
    let mut program = vec![
        load(WORD, R2, R1, 0),                  // start of the frame
        load(WORD, R3, R1, 4),                  // its end
        instruction(0xbf, R4, R2, 0, 0),        // r4 = r2
        instruction(0x07, R4, 0, 0, 14),        // r4 += 14
        instruction(0x2d, R4, R3, skip + 2, 0), // shorter than a header: pass
        load(HALF, R5, R2, 12),
        instruction(0x55, R5, 0, skip, ethertype), // another type: pass
    ];
    program.extend_from_slice(act);
    program.extend([mov(R0, XDP_PASS), EXIT]);
    program
}

//! What passes a link: kept in memory, waited for, written to a file.
use std::{
    fs::File,
    io::{BufWriter, ErrorKind, Write},
    os::fd::{AsFd, OwnedFd},
    path::Path,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};

use crate::{
    namespace::{Namespace, Task},
    packet::{self, Parsed},
    stop::{Stop, Woken},
    sys::{self, Interest},
};

/// A frame that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// When it was read.
    pub at: SystemTime,
    /// The interface sent it; otherwise it received it.
    pub outgoing: bool,
    /// The whole frame, from its Ethernet header on, VLAN tags included.
    pub bytes: Vec<u8>,
}

impl Captured {
    /// Its headers, when it is an IP packet.
    pub fn parse(&self) -> Option<Parsed<'_>> {
        packet::parse(&self.bytes)
    }
}

/// A running capture on one interface.
///
/// It sees what the machine's stack sends and receives there. What XDP drops, sends back or
/// redirects there is never seen: capture at the other end of the cable ([`crate::Site::switch`]).
#[derive(Debug)]
pub struct Capture {
    seen: Arc<Seen>,
    where_: String,
    _running: Task,
}

#[derive(Debug, Default)]
struct Seen {
    frames: Mutex<Vec<Captured>>,
    more: Condvar,
}

impl Capture {
    /// Starts one; every later frame is seen.
    pub fn start(namespace: &Namespace, interface: &str) -> Result<Self> {
        let where_ = format!("{interface} of {}", namespace.role());
        let socket = namespace
            .run(|| Ok(sys::packet_socket(interface)?))
            .with_context(|| format!("capture on {where_}"))?;
        let seen = Arc::<Seen>::default();
        let theirs = Arc::clone(&seen);
        let running = namespace.spawn("capture", move |stop| collect(&socket, &theirs, stop))?;
        Ok(Self { seen, where_, _running: running })
    }

    /// All frames so far.
    pub fn frames(&self) -> Vec<Captured> {
        self.seen.frames.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Number of frames so far for which `wanted` holds.
    pub fn count(&self, wanted: impl Fn(&Captured) -> bool) -> usize {
        let frames = self.seen.frames.lock().unwrap_or_else(PoisonError::into_inner);
        frames.iter().filter(|frame| wanted(frame)).count()
    }

    /// Waits for a frame, also one that was seen already.
    ///
    /// `what` completes the sentence "waited 3s in vain for ...".
    pub fn wait_for(
        &self,
        deadline: Duration,
        what: &str,
        wanted: impl Fn(&Captured) -> bool,
    ) -> Result<Captured> {
        let end = Instant::now() + deadline;
        let mut frames = self.seen.frames.lock().unwrap_or_else(PoisonError::into_inner);
        let mut looked_at = 0;
        loop {
            let found = frames.iter().skip(looked_at).find(|frame| wanted(frame));
            if let Some(frame) = found {
                return Ok(frame.clone());
            }
            looked_at = frames.len();
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let at = &self.where_;
                bail!("waited {deadline:?} in vain for {what} on {at}; {looked_at} frames seen");
            }
            let waited = self.seen.more.wait_timeout(frames, left);
            frames = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Writes all frames so far to a file that tcpdump and Wireshark read.
    pub fn write_pcap(&self, path: &Path) -> Result<()> {
        let file = File::create(path).with_context(|| format!("make {}", path.display()))?;
        let mut file = BufWriter::new(file);
        write_pcap(&mut file, &self.frames())?;
        file.flush().with_context(|| format!("write {}", path.display()))
    }
}

fn collect(socket: &OwnedFd, seen: &Seen, stop: &Stop) -> Result<()> {
    let mut buffer = vec![0; 1 << 18]; // more than the largest frame that GRO makes
    loop {
        match stop.wait(&[(socket.as_fd(), Interest::Read)], None)? {
            Woken::Stopped => return Ok(()),
            Woken::TimedOut | Woken::Ready(_) => {}
        }
        let frame = match sys::receive_frame(socket.as_fd(), &mut buffer) {
            Ok(frame) => frame,
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(error) => bail!(anyhow::Error::from(error).context("capture")),
        };
        let mut bytes = buffer.get(..frame.length).unwrap_or_default().to_vec();
        if let Some((protocol, control)) = frame.vlan
            && bytes.len() >= 12
        {
            // The kernel keeps the outer tag beside the frame; on the wire it follows the addresses.
            let [p0, p1] = protocol.to_be_bytes();
            let [c0, c1] = control.to_be_bytes();
            bytes.splice(12..12, [p0, p1, c0, c1]);
        }
        let captured = Captured { at: SystemTime::now(), outgoing: frame.outgoing, bytes };
        seen.frames.lock().unwrap_or_else(PoisonError::into_inner).push(captured);
        seen.more.notify_all();
    }
}

/// Writes the classic format: microseconds, Ethernet.
fn write_pcap(output: &mut impl Write, frames: &[Captured]) -> Result<()> {
    let head: [u32; 6] = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 1 << 18, 1];
    for word in head {
        output.write_all(&word.to_le_bytes())?;
    }
    for frame in frames {
        let time = frame.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let length = u32::try_from(frame.bytes.len())?;
        for word in [u32::try_from(time.as_secs())?, time.subsec_micros(), length, length] {
            output.write_all(&word.to_le_bytes())?;
        }
        output.write_all(&frame.bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pcap_file_has_the_layout_that_tcpdump_reads() {
        let at = UNIX_EPOCH + Duration::new(7, 9000);
        let frame = Captured { at, outgoing: true, bytes: vec![0xaa; 60] };
        let mut file = Vec::new();
        write_pcap(&mut file, &[frame]).expect("memory is writable");
        assert_eq!(file.len(), 24 + 16 + 60);
        assert_eq!(file[..8], [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0]);
        assert_eq!(file[20..24], [1, 0, 0, 0], "link type Ethernet");
        assert_eq!(file[24..32], [7, 0, 0, 0, 9, 0, 0, 0], "time");
        assert_eq!(file[32..40], [60, 0, 0, 0, 60, 0, 0, 0], "lengths");
    }
}

//! The only way in which the director touches the bytes of a packet.
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The packet ends before the bytes that were asked for, or has no room for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncated;

/// A header as it stands in a packet: plain bytes without alignment.
pub trait Wire: FromBytes + IntoBytes + Immutable + KnownLayout + Unaligned {}
impl<T: FromBytes + IntoBytes + Immutable + KnownLayout + Unaligned> Wire for T {}

/// A packet: a window of bytes, starting with its Ethernet header.
pub trait Packet {
    /// The interface on which it arrived.
    fn interface(&self) -> u32;

    /// Bytes in all.
    fn len(&self) -> usize;

    /// Whether there is not a single byte.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `value`, of which the kernel's verifier no longer knows anything but that it is at most
    /// `limit`. Where many paths meet that differ in a number only, it then follows just one of
    /// them.
    #[inline(always)]
    fn forget(&self, value: usize, limit: usize) -> usize {
        value.min(limit)
    }

    /// The same packet, for a function that is not inlined: what that borrows must lie in memory, and
    /// would do so from the start; of a copy, only the copy must.
    fn apart(&mut self) -> impl Packet;

    /// Forgets how long the packet was seen to be. The compiler leaves out a check that earlier ones
    /// imply, also where the kernel's verifier does not see that they do.
    #[inline(always)]
    fn look_anew(&mut self) {}

    /// The header at byte `at`.
    ///
    /// # Errors
    /// The packet is too short for it.
    fn view<T: Wire>(&self, at: usize) -> Result<&T, Truncated>;

    /// The header at byte `at`, to be changed in place.
    ///
    /// # Errors
    /// The packet is too short for it.
    fn view_mut<T: Wire>(&mut self, at: usize) -> Result<&mut T, Truncated>;

    /// Writes `header` at byte `at`.
    ///
    /// # Errors
    /// The packet is too short for it.
    #[inline(always)]
    fn put<T: Wire>(&mut self, at: usize, header: T) -> Result<(), Truncated> {
        *self.view_mut(at)? = header;
        Ok(())
    }

    /// Moves the front by `by` bytes: outwards (room for an outer header) when positive.
    ///
    /// # Errors
    /// No room, or fewer bytes than are to go.
    fn grow_front(&mut self, by: i32) -> Result<(), Truncated>;

    /// Cuts the packet, or lengthens it with zeros, to `len` bytes.
    ///
    /// # Errors
    /// No room.
    fn resize(&mut self, len: usize) -> Result<(), Truncated>;
}

/// A packet in ordinary memory, with room in front as a driver leaves it: for tests and
/// `lvs explain`.
#[derive(Clone, Debug)]
pub struct Buffer {
    bytes: [u8; Self::SIZE],
    start: usize,
    end: usize,
    interface: u32,
}

impl Buffer {
    /// `XDP_PACKET_HEADROOM` of the kernel.
    const HEADROOM: usize = 256;
    const SIZE: usize = 4096;
    /// The longest packet that fits, in bytes.
    pub const MAX: usize = Self::SIZE - Self::HEADROOM;

    /// A copy of `packet`, cut to [`Self::MAX`] bytes, that arrives on `interface`.
    pub fn new(packet: &[u8], interface: u32) -> Self {
        let packet = packet.get(..Self::MAX).unwrap_or(packet);
        let mut bytes = [0; Self::SIZE];
        let end = Self::HEADROOM + packet.len();
        if let Some(room) = bytes.get_mut(Self::HEADROOM..end) {
            room.copy_from_slice(packet);
        }
        Self { bytes, start: Self::HEADROOM, end, interface }
    }

    /// The packet's bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or(&[])
    }
}

impl Packet for &mut Buffer {
    fn interface(&self) -> u32 {
        (**self).interface()
    }

    fn len(&self) -> usize {
        (**self).len()
    }

    fn apart(&mut self) -> impl Packet {
        &mut **self
    }

    fn view<T: Wire>(&self, at: usize) -> Result<&T, Truncated> {
        (**self).view(at)
    }

    fn view_mut<T: Wire>(&mut self, at: usize) -> Result<&mut T, Truncated> {
        (**self).view_mut(at)
    }

    fn grow_front(&mut self, by: i32) -> Result<(), Truncated> {
        (**self).grow_front(by)
    }

    fn resize(&mut self, len: usize) -> Result<(), Truncated> {
        (**self).resize(len)
    }
}

impl Packet for Buffer {
    fn apart(&mut self) -> impl Packet {
        self
    }

    fn interface(&self) -> u32 {
        self.interface
    }

    fn len(&self) -> usize {
        self.end - self.start
    }

    fn view<T: Wire>(&self, at: usize) -> Result<&T, Truncated> {
        let bytes = self.bytes().get(at..at + size_of::<T>()).ok_or(Truncated)?;
        T::ref_from_bytes(bytes).or(Err(Truncated))
    }

    fn view_mut<T: Wire>(&mut self, at: usize) -> Result<&mut T, Truncated> {
        let bytes = self.bytes.get_mut(self.start..self.end).ok_or(Truncated)?;
        let bytes = bytes.get_mut(at..at + size_of::<T>()).ok_or(Truncated)?;
        T::mut_from_bytes(bytes).or(Err(Truncated))
    }

    fn grow_front(&mut self, by: i32) -> Result<(), Truncated> {
        let start = self.start as i64 - i64::from(by);
        // As the kernel: at least an Ethernet header is left.
        if start < 0 || start + 14 > self.end as i64 {
            return Err(Truncated);
        }
        self.start = usize::try_from(start).or(Err(Truncated))?;
        Ok(())
    }

    fn resize(&mut self, len: usize) -> Result<(), Truncated> {
        let end = self.start + len;
        if end > Self::SIZE || len < 14 {
            return Err(Truncated);
        }
        if let Some(new) = self.bytes.get_mut(self.end..end) {
            new.fill(0);
        }
        self.end = end;
        Ok(())
    }
}

//! The data plane as a whole: its life from the first load to the last detachment.
use std::{fmt, os::fd::BorrowedFd, path::PathBuf, sync::Arc};

use lvs_core::{
    clock::Ticks,
    hash::Keys,
    tables::{Server, Service},
};
use lvs_model::desired::ServiceKey;

use crate::{
    attach::{Attached, Mode, Warning, attach_all, indices},
    error::Error,
    host::{Host, now},
    kernel::{Footprint, Kernel, OBJECT, Pinned, look_at},
    memory::{Anonymous, Memory, Table},
    mirror::Mirror,
    moved::Moves,
    pins::Pins,
    sizes::{Capacity, Meta, Sizes},
    spill::Spill,
    sys, takeover,
};

/// What the operator sets.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where packets arrive.
    pub interfaces: Vec<String>,
    /// How the program is attached there.
    pub mode: Mode,
    /// For how much there is room.
    pub capacity: Capacity,
    /// What tables of a predecessor must have room for.
    pub suffices: Suffices,
    /// The folder in a bpffs in which tables and links outlive the daemon.
    pub pin_dir: PathBuf,
}

/// For how many services and servers tables that there are already must have room, if not for exactly
/// as many as new ones would.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "said above")]
pub struct Suffices {
    pub services: Option<u32>,
    pub servers: Option<u32>,
}

/// What opening the data plane found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Whether the tables of a predecessor, with their connections and counters, go on.
    pub taken_over: bool,
    /// Whether there were tables of a predecessor, taken over or not.
    pub has_predecessor: bool,
    /// Where the program is attached.
    pub interfaces: Vec<Attached>,
    /// What the operator should know.
    pub warnings: Vec<Warning>,
}

/// The tables, and the kernel program that works with them if one is loaded.
///
/// Pinned tables and links stay when this is dropped: traffic goes on.
pub struct Dataplane {
    pub(crate) memory: Arc<Memory>,
    pub(crate) mirror: Mirror,
    pub(crate) spill: Spill,
    pub(crate) moves: Moves,
    /// The time, where it stands still.
    pub(crate) clock: Option<Ticks>,
    /// Sweeps so far.
    pub(crate) sweeps: u32,
    /// Waits until no packet sees what was replaced before the call.
    pub(crate) grace: Box<dyn Fn() + Send + Sync>,
    kernel: Option<Kernel>,
    pins: Option<Pins>,
}

impl Suffices {
    /// Whether such tables will do where new ones would have this capacity.
    fn by(self, there: &Sizes, new: Capacity, cpus: u32) -> bool {
        let fit = |least: Option<u32>, there, new| match least {
            Some(least) if least <= there => there,
            _ => new,
        };
        let services = fit(self.services, there.services(), new.services);
        let servers = fit(self.servers, there.servers(), new.servers);
        Sizes::new(Capacity { services, servers, ..new }, cpus).is_ok_and(|sizes| sizes == *there)
    }
}

impl fmt::Debug for Dataplane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dataplane").field("sizes", &self.memory.sizes).finish_non_exhaustive()
    }
}

impl Dataplane {
    /// Tables in this process's own memory, for packets that go through `lvs-core` on the host.
    /// `grace` must return only when no packet is under way that began before it was called.
    ///
    /// # Errors
    /// The capacity cannot be had.
    pub fn in_memory(
        capacity: Capacity,
        cpus: u32,
        keys: Keys,
        grace: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let sizes = Sizes::new(capacity, cpus)?;
        let memory = Arc::new(Memory::new(&Anonymous, sizes, keys)?);
        let mirror = Mirror::new(&sizes);
        let grace = Box::new(grace);
        Ok(Self::of(memory, mirror, grace, None, None))
    }

    /// Loads the program with new tables, attached and pinned nowhere: for tests and measurements.
    ///
    /// # Errors
    /// The kernel refuses, or the capacity cannot be had.
    pub fn load_detached(capacity: Capacity) -> Result<Self, Error> {
        Self::load_object(OBJECT, capacity, random_keys()?)
    }

    /// As [`Self::load_detached`], but another build of the program, and with these keys: to
    /// compare builds, or to measure parts.
    ///
    /// # Errors
    /// The object is none, the kernel refuses, or the capacity cannot be had.
    pub fn load_object(object: &[u8], capacity: Capacity, keys: Keys) -> Result<Self, Error> {
        let sizes = Sizes::new(capacity, cpus()?)?;
        Self::fresh(object, sizes, keys, None)
    }

    /// Takes over the data plane that is pinned, or makes a new one; then has the program of this
    /// build run on exactly the interfaces of the settings, without losing a packet.
    ///
    /// # Errors
    /// What cannot be done, and what to do about it.
    pub fn open(settings: &Settings) -> Result<(Self, Opened), Error> {
        let interfaces = indices(&settings.interfaces)?;
        let cpus = cpus()?;
        let sizes = Sizes::new(settings.capacity, cpus)?;
        let pins = Pins::open(&settings.pin_dir)?;
        let mut opened = Opened::default();
        let will_do = |there: &Sizes| settings.suffices.by(there, settings.capacity, cpus);
        let found = look_at(&pins, &sizes, will_do);
        opened.warnings.extend(warning(&found));
        opened.has_predecessor = !matches!(found, Pinned::Nothing);
        let dataplane = if let Pinned::Tables(sizes, keys) = found {
            opened.taken_over = true;
            Self::take_over(sizes, keys, pins.clone())?
        } else {
            Self::fresh(OBJECT, sizes, random_keys()?, Some(pins.clone()))?
        };
        let kernel = dataplane.kernel.as_ref().ok_or(Error::NotLoaded)?;
        let old_stages = pins.stages();
        pins.put_stages(kernel.stages()?)?;
        opened.interfaces =
            attach_all(&pins, kernel.fd()?, interfaces, settings.mode, &mut opened.warnings)?;
        // A packet may still be on its way through the old program.
        (dataplane.grace)();
        old_stages.iter().try_for_each(|pin| pins.remove(pin))?;
        Ok((dataplane, opened))
    }

    fn fresh(object: &[u8], sizes: Sizes, keys: Keys, pins: Option<Pins>) -> Result<Self, Error> {
        let kernel = Kernel::load(object, &sizes, keys, None)?;
        let memory = Memory::new(&kernel, sizes, keys)?;
        memory.meta.write(0, Meta { layout: 0, ..Meta::new(sizes, keys) });
        if let Some(pins) = &pins {
            // What a predecessor pinned goes only now that nothing else can fail; its program
            // works on until the new one is in its place.
            for table in Table::all(&sizes).iter().rev() {
                pins.remove(table.name)?;
            }
            kernel.pin(&sizes, pins)?;
        }
        memory.meta.write(0, Meta::new(sizes, keys));
        Ok(Self::with(memory, Mirror::new(&sizes), kernel, pins))
    }

    fn take_over(sizes: Sizes, keys: Keys, pins: Pins) -> Result<Self, Error> {
        let kernel = Kernel::load(OBJECT, &sizes, keys, Some(&pins))?;
        let memory = Memory::new(&kernel, sizes, keys)?;
        let mirror = takeover::rebuild(&memory);
        Ok(Self::with(memory, mirror, kernel, Some(pins)))
    }

    fn with(memory: Memory, mirror: Mirror, kernel: Kernel, pins: Option<Pins>) -> Self {
        let grace = Box::new(sys::wait_for_programs);
        let memory = Arc::new(memory);
        Self::of(memory, mirror, grace, Some(kernel), pins)
    }

    fn of(
        memory: Arc<Memory>,
        mirror: Mirror,
        grace: Box<dyn Fn() + Send + Sync>,
        kernel: Option<Kernel>,
        pins: Option<Pins>,
    ) -> Self {
        let (spill, moves, sweeps) = (Spill::default(), Moves::default(), 0);
        Self { memory, mirror, spill, moves, clock: None, sweeps, grace, kernel, pins }
    }

    /// Detaches the program everywhere and removes all pins: nothing is balanced any more.
    ///
    /// # Errors
    /// A pin cannot be removed.
    pub fn detach(self) -> Result<(), Error> {
        let Some(pins) = &self.pins else { return Ok(()) };
        remove_all(pins, &self.memory.sizes)
    }

    /// The program's descriptor.
    ///
    /// # Errors
    /// There is no program: the tables are in memory only.
    pub fn program(&self) -> Result<BorrowedFd<'_>, Error> {
        self.kernel.as_ref().ok_or(Error::NotLoaded)?.fd()
    }

    /// Loads one more program of the object: for profiles.
    ///
    /// # Errors
    /// There is no such program, or the kernel refuses.
    pub fn load_more(&mut self, name: &'static str) -> Result<(), Error> {
        self.kernel.as_mut().ok_or(Error::NotLoaded)?.load_more(name)
    }

    /// The descriptor of a program of the object.
    ///
    /// # Errors
    /// There is none of this name, or it is not loaded.
    pub fn program_named(&self, name: &'static str) -> Result<BorrowedFd<'_>, Error> {
        self.kernel.as_ref().ok_or(Error::NotLoaded)?.fd_of(name)
    }

    /// What each of the programs takes of the kernel's limits.
    ///
    /// # Errors
    /// There is no program, or the kernel does not tell.
    pub fn footprints(&self) -> Result<Vec<Footprint>, Error> {
        self.kernel.as_ref().ok_or(Error::NotLoaded)?.footprints()
    }

    /// Runs the program once, in the kernel, on a packet that arrives on `interface`: its verdict
    /// (`XDP_TX` ...) and the packet afterwards.
    ///
    /// # Errors
    /// There is no program, or no such interface in this network namespace.
    pub fn test_run(&self, packet: &[u8], interface: u32) -> Result<(u32, Vec<u8>), Error> {
        self.kernel.as_ref().ok_or(Error::NotLoaded)?.run(packet, interface)
    }

    /// The tables as `lvs_core::director::process` takes them.
    pub fn host(&self) -> Host<'_> {
        let host = Host::new(&self.memory);
        self.clock.map_or(host, |now| host.at(now))
    }

    /// Has changes, sweeps and [`Self::host`] see this time from now on: for tests.
    pub fn stop_clock(&mut self, at: Ticks) {
        self.clock = Some(at);
    }

    pub(crate) fn now(&self) -> Ticks {
        self.clock.unwrap_or_else(now)
    }

    /// The same tables for another thread.
    pub fn shared(&self) -> Shared {
        Shared(Arc::clone(&self.memory))
    }

    /// The record of a service that packets find.
    pub fn service(&self, key: &ServiceKey) -> Option<Service> {
        let held = self.mirror.services.get(key)?;
        self.memory.services.read(held.record)
    }

    /// The record of a server, by its number.
    pub fn server(&self, number: u32) -> Option<Server> {
        self.memory.server_of(number).copied()
    }
}

/// The tables as another thread reaches them.
#[derive(Clone, Debug)]
pub struct Shared(pub(crate) Arc<Memory>);

impl Shared {
    /// The tables as `lvs_core::director::process` takes them.
    pub fn host(&self) -> Host<'_> {
        Host::new(&self.0)
    }
}

/// Detaches the program everywhere and removes all pins, whatever put them there.
///
/// # Errors
/// A pin cannot be removed.
pub fn detach(pin_dir: &std::path::Path) -> Result<(), Error> {
    let sizes = Sizes::new(Capacity::default(), 1)?;
    remove_all(&Pins::existing(pin_dir), &sizes)
}

fn remove_all(pins: &Pins, sizes: &Sizes) -> Result<(), Error> {
    for interface in pins.linked() {
        pins.remove_link(&interface)?;
    }
    pins.stages().iter().try_for_each(|pin| pins.remove(pin))?;
    for table in Table::all(sizes).iter().rev() {
        pins.remove(table.name)?;
    }
    pins.remove_folder();
    Ok(())
}

fn warning(pinned: &Pinned) -> Option<Warning> {
    match pinned {
        Pinned::Nothing | Pinned::Tables(..) => None,
        Pinned::OtherLayout => Some(Warning::OtherLayout),
        Pinned::OtherCapacity => Some(Warning::OtherCapacity),
        Pinned::Incomplete => Some(Warning::Incomplete),
    }
}

/// Random keys for the hashes of new tables.
fn random_keys() -> Result<Keys, Error> {
    sys::random().map(Keys).map_err(|source| Error::System {
        call: "getrandom",
        what: "the keys of the hashes".to_owned(),
        remedy: "the kernel has no random numbers yet: try again later",
        source,
    })
}

/// One more than the highest number of a CPU that can ever run here.
fn cpus() -> Result<u32, Error> {
    const FILE: &str = "/sys/devices/system/cpu/possible";
    let text = std::fs::read_to_string(FILE).map_err(|source| Error::System {
        call: "read",
        what: FILE.to_owned(),
        remedy: "mount /sys",
        source,
    })?;
    // Such as `0-3` or `0,2-7`.
    let highest = text.trim().rsplit(['-', ',']).next().and_then(|last| last.parse::<u32>().ok());
    Ok(highest.map_or(1, |highest| highest + 1))
}

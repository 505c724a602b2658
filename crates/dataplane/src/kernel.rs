//! Loads the kernel program and its tables.
use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use aya::{
    Ebpf, EbpfLoader, TestRun as _, TestRunOptions,
    maps::{Map, MapData, MapError, ProgramArray},
    programs::{ProgramError, Xdp},
};
use lvs_core::{director::Stage, hash::Keys};

use crate::{
    clock::Clock,
    error::Error,
    memory::{Reach, Source, Table},
    pins::Pins,
    region::Region,
    sizes::{LAYOUT, Meta, Sizes},
    sys,
};

/// The kernel programs that are built in: one for each [`Stage`].
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/lvs.o"));
/// Of the CPUs of this machine.
const STORES_IN_ORDER: u32 = cfg!(any(target_arch = "x86_64", target_arch = "s390x")) as u32;
/// The map through which one stage jumps to the next.
const STAGES: &str = "STAGES";

/// The loaded programs and the descriptors of their tables.
pub(crate) struct Kernel {
    ebpf: Ebpf,
    tables: HashMap<&'static str, OwnedFd>,
}

impl Source for Kernel {
    fn map(&self, name: &'static str) -> Result<Option<BorrowedFd<'_>>, Error> {
        self.tables.get(name).map(|fd| Some(fd.as_fd())).ok_or(Error::Lacks(name))
    }
}

impl Kernel {
    /// Loads the program of `object` with the tables that are pinned, or with new ones.
    pub(crate) fn load(
        object: &[u8],
        sizes: &Sizes,
        keys: Keys,
        pinned: Option<&Pins>,
    ) -> Result<Self, Error> {
        sys::unlimit_locked_memory();
        let Clock { factor, offset } =
            Clock::measure().map_err(|source| system("BPF_PROG_LOAD", "jiffies", source))?;
        let clock = [factor, offset];
        let tables = Table::all(sizes);
        let limits = tables.map(|table| match table.reach {
            Reach::Direct => (format!("{}_MASK", table.name), table.mask()),
            Reach::Bounded | Reach::LookedUp | Reach::Unknown => {
                (format!("{}_LEN", table.name), table.len)
            }
        });
        let mut loader = EbpfLoader::new();
        loader
            .override_global("KEYS", keys.0.as_slice(), true)
            .override_global("CLOCK", clock.as_slice(), true)
            .override_global("SERVER_NUMBERS", &sizes.server_numbers, true)
            .override_global("RING", &sizes.ring, true)
            .override_global("STORES_IN_ORDER", &STORES_IN_ORDER, true);
        for (table, (name, limit)) in tables.iter().zip(&limits) {
            if table.reach != Reach::Unknown {
                loader.override_global(name, limit, true);
            }
        }
        let ebpf = loader
            .load(object)
            .map_err(|source| Error::Load { remedy: load_remedy(&source), source })?;
        let mut kernel = Self { ebpf, tables: HashMap::new() };
        for table in tables {
            let fd = match pinned.and_then(|pins| pins.get(table.name)) {
                Some(fd) => fd,
                None => create(&table)?,
            };
            kernel.give(&table, fd.as_fd())?;
            kernel.tables.insert(table.name, fd);
        }
        kernel.load_stages()?;
        Ok(kernel)
    }

    /// Lets the programs, which are not in the kernel yet, find a table where they expect one. They
    /// name it by the descriptor of a map that was made in its place and has one element.
    fn give(&self, table: &Table, fd: BorrowedFd<'_>) -> Result<(), Error> {
        let stand_in = match table.reach {
            Reach::Direct | Reach::Bounded => self.ebpf.map(&format!(".bss.{}", table.name)),
            Reach::LookedUp => self.ebpf.map(table.name),
            Reach::Unknown => return Ok(()),
        };
        let Some(Map::Array(stand_in)) = stand_in else { return Err(Error::Lacks(table.name)) };
        sys::replace_descriptor(stand_in.fd().as_fd(), fd)
            .map_err(|source| system("dup3", table.name, source))
    }

    /// Loads the program of each stage, and makes it known to the others.
    fn load_stages(&mut self) -> Result<(), Error> {
        for stage in Stage::ALL {
            let program = self.ebpf.program_mut(stage.name()).ok_or(Error::Lacks(stage.name()))?;
            let program: &mut Xdp = program.try_into().or(Err(Error::Lacks(stage.name())))?;
            program.load().map_err(program_error)?;
            let fd = program.fd().and_then(|fd| Ok(fd.try_clone()?)).map_err(program_error)?;
            let map = self.ebpf.map_mut(STAGES).ok_or(Error::Lacks(STAGES))?;
            ProgramArray::try_from(map)
                .and_then(|mut stages| stages.set(stage as u32, &fd, 0))
                .map_err(|error| system("BPF_MAP_UPDATE_ELEM", STAGES, io_error(error)))?;
        }
        Ok(())
    }

    /// Loads one more program of the object.
    pub(crate) fn load_more(&mut self, name: &'static str) -> Result<(), Error> {
        let program = self.ebpf.program_mut(name).ok_or(Error::Lacks(name))?;
        let program: &mut Xdp = program.try_into().or(Err(Error::Lacks(name)))?;
        program.load().map_err(program_error)
    }

    /// The descriptor of the program that interfaces get.
    pub(crate) fn fd(&self) -> Result<BorrowedFd<'_>, Error> {
        self.fd_of(Stage::Entry.name())
    }

    /// The descriptor of a program.
    pub(crate) fn fd_of(&self, name: &'static str) -> Result<BorrowedFd<'_>, Error> {
        Ok(self.xdp(name)?.fd().map_err(program_error)?.as_fd())
    }

    fn xdp(&self, name: &'static str) -> Result<&Xdp, Error> {
        let program = self.ebpf.program(name).ok_or(Error::Lacks(name))?;
        program.try_into().map_err(|_other_type| Error::Lacks(name))
    }

    /// What each program takes of the kernel's limits.
    pub(crate) fn footprints(&self) -> Result<Vec<Footprint>, Error> {
        let of = |stage: Stage| {
            let program = self.ebpf.program(stage.name()).ok_or(Error::Lacks(stage.name()))?;
            let info = program.info().map_err(program_error)?;
            let verified = info.verified_instruction_count().unwrap_or(0);
            Ok(Footprint { stage, verified, bytes: info.size_translated().unwrap_or(0) })
        };
        Stage::ALL.into_iter().map(of).collect()
    }

    /// The map through which one stage jumps to the next.
    pub(crate) fn stages(&self) -> Result<BorrowedFd<'_>, Error> {
        match self.ebpf.map(STAGES) {
            Some(Map::ProgramArray(data)) => Ok(data.fd().as_fd()),
            _ => Err(Error::Lacks(STAGES)),
        }
    }

    /// Pins all tables, the one that makes them valid last.
    pub(crate) fn pin(&self, sizes: &Sizes, pins: &Pins) -> Result<(), Error> {
        for table in Table::all(sizes) {
            if let Some(fd) = self.map(table.name)? {
                pins.put(table.name, fd)?;
            }
        }
        Ok(())
    }

    /// Runs the program once on a packet that arrives on `interface`.
    pub(crate) fn run(&self, packet: &[u8], interface: u32) -> Result<(u32, Vec<u8>), Error> {
        // `struct xdp_md`: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress.
        let end = u32::try_from(packet.len()).unwrap_or(u32::MAX);
        let words = [0, end, 0, interface, 0, 0];
        let context: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
        let mut out = vec![0; packet.len() + 256];
        let options = TestRunOptions {
            data_in: Some(packet),
            data_out: Some(&mut out),
            ctx_in: Some(&context),
            ..TestRunOptions::new()
        };
        let result = self.xdp(Stage::Entry.name())?.test_run(options).map_err(program_error)?;
        out.truncate(result.data_size_out as usize);
        Ok((result.return_value, out))
    }
}

/// What a program takes of the kernel's limits.
#[derive(Clone, Copy, Debug)]
pub struct Footprint {
    /// The stage that it is.
    pub stage: Stage,
    /// Instructions that the verifier followed; it gives up after a million.
    pub verified: u32,
    /// Size of the program.
    pub bytes: u32,
}

/// What is pinned, as far as a successor can use it.
pub(crate) enum Pinned {
    /// Nothing.
    Nothing,
    /// Tables that can be taken over: their sizes and keys.
    Tables(Sizes, Keys),
    /// Tables of another layout.
    OtherLayout,
    /// Tables of another size.
    OtherCapacity,
    /// Not all tables, or not as they should be.
    Incomplete,
}

/// Looks at what is pinned, beside what new tables would be; `will_do` says whether it is large enough.
pub(crate) fn look_at(pins: &Pins, new: &Sizes, will_do: impl Fn(&Sizes) -> bool) -> Pinned {
    let Some(meta) = pins.get("META") else {
        let any = Table::all(new).iter().any(|table| pins.get(table.name).is_some());
        return if any { Pinned::Incomplete } else { Pinned::Nothing };
    };
    let meta = Region::<Meta>::of_map(meta.as_fd(), 1).ok().and_then(|region| region.read(0));
    let Some(meta) = meta else { return Pinned::Incomplete };
    match meta.layout {
        LAYOUT if !will_do(&meta.sizes) => Pinned::OtherCapacity,
        LAYOUT if Table::all(&meta.sizes).iter().all(|table| is_as_it_should_be(pins, table)) => {
            Pinned::Tables(meta.sizes, Keys(meta.keys))
        }
        0 | LAYOUT => Pinned::Incomplete,
        _ => Pinned::OtherLayout,
    }
}

fn is_as_it_should_be(pins: &Pins, table: &Table) -> bool {
    let data = pins.get(table.name).and_then(|fd| MapData::from_fd(fd).ok());
    data.and_then(|data| data.info().ok())
        .is_some_and(|info| (info.value_size(), info.max_entries()) == table.map())
}

fn create(table: &Table) -> Result<OwnedFd, Error> {
    let (value, len) = table.map();
    sys::create_array(table.name, value, len)
        .map_err(|source| system("BPF_MAP_CREATE", table.name, source))
}

const NEEDS_RIGHTS: &str = "CAP_BPF and CAP_NET_ADMIN are needed: run it as root";

fn system(call: &'static str, what: &str, source: io::Error) -> Error {
    let remedy = match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => NEEDS_RIGHTS,
        Some(libc::ENOMEM) => "there is not enough memory: lower `connections` or `servers`",
        Some(libc::E2BIG) => "it is too large: lower `connections` or `servers`",
        _ => "Linux 6.1 or later with BPF is needed",
    };
    Error::System { call, what: format!("the table {what}"), remedy, source }
}

fn io_error(error: MapError) -> io::Error {
    if let MapError::SyscallError(error) = error { error.io_error } else { io::Error::other(error) }
}

fn load_remedy(error: &aya::EbpfError) -> &'static str {
    let aya::EbpfError::MapError(MapError::CreateError { io_error, .. }) = error else {
        return "this build is broken, or the kernel is older than Linux 6.1";
    };
    match io_error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => NEEDS_RIGHTS,
        _ => "Linux 6.1 or later with BPF is needed",
    }
}

fn program_error(error: ProgramError) -> Error {
    /// Of the thousands of lines that the verifier writes, the last ones tell.
    const LINES: usize = 12;
    if let ProgramError::LoadError { io_error, verifier_log } = &error
        && let Some(code) = io_error.raw_os_error()
        && code != libc::EPERM
    {
        let log = verifier_log.to_string();
        let lines: Vec<&str> = log.lines().filter(|line| !line.is_empty()).collect();
        let end = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or(&[]).join("\n");
        return Error::Verifier { end, source: io::Error::from_raw_os_error(code) };
    }
    Error::Program { remedy: NEEDS_RIGHTS, source: Box::new(error) }
}

//! The least that a director can do.
use anyhow::{Context as _, Result};
use aya::{
    Ebpf, EbpfLoader,
    programs::{Xdp, XdpMode},
};

use crate::{lab::cable::Cable, wrapper::OBJECT};

/// Has the driver send every packet back.
pub(crate) fn attach(cable: &Cable) -> Result<Ebpf> {
    let mut ebpf = EbpfLoader::new().map_max_entries("MEMORY", 1).load(OBJECT)?;
    let floor: &mut Xdp = ebpf.program_mut("floor").context("no floor")?.try_into()?;
    floor.load().context("loading the floor")?;
    cable.director.run(|| {
        floor.attach(&cable.link, XdpMode::Driver).context("attaching the floor")?;
        Ok(())
    })?;
    Ok(ebpf)
}

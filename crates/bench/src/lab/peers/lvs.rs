//! lvs itself: the data plane of the daemon, in the driver.
use std::path::Path;

use anyhow::Result;
use lvs_dataplane::{Capacity, Dataplane, Filter, Mode, Settings, Suffices};
use lvs_model::plan::Plan;

use crate::{lab::cable::Cable, scenario::Service, table::planned};

/// Twice as many as the flows of the largest row.
const CONNECTIONS: u32 = 2 << 20;

/// A running data plane.
pub(crate) struct Lvs(Dataplane);

impl Lvs {
    /// Attaches it; `pins` is a folder of a bpf filesystem.
    pub(crate) fn start(
        pins: &Path,
        cable: &Cable,
        services: impl Iterator<Item = Service>,
    ) -> Result<Self> {
        let settings = Settings {
            interfaces: vec![cable.link.clone()],
            mode: Mode::Native,
            capacity: Capacity { connections: CONNECTIONS, services: 64, servers: 1024 },
            suffices: Suffices::default(),
            pin_dir: pins.join(&cable.link),
        };
        let (mut dataplane, _) = cable.director.run(|| Ok(Dataplane::open(&settings)?))?;
        let services = services.zip(0..);
        let services = services.map(|(service, number)| planned(&cable.place, service, number));
        dataplane.apply(&Plan { services: services.collect() })?;
        Ok(Self(dataplane))
    }

    pub(crate) fn connections(&self) -> u64 {
        self.0.count(Filter::default())
    }

    pub(crate) fn forget(&mut self) {
        self.0.flush(Filter::default());
    }
}

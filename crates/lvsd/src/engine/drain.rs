//! The end of drains.
use tracing::info;

use super::{Engine, Tables, Watch};

impl<T: Tables, W: Watch> Engine<T, W> {
    /// Ends what is left on servers whose drain is over. They stay drained: only the operator gives
    /// them new connections again.
    pub(super) fn end_drains(&mut self, now: u64) {
        let overdue = |deadline: Option<u64>| deadline.is_some_and(|deadline| deadline <= now);
        let services = self.running.services.iter();
        let (names, servers): (Vec<_>, Vec<_>) = services
            .flat_map(|service| {
                let servers = service.servers.iter();
                let over = servers.filter(|s| s.drain.is_some_and(|drain| overdue(drain.deadline)));
                over.map(|server| (service.name.as_str(), (service.key, server.address)))
            })
            .unzip();
        if servers.is_empty() {
            return;
        }
        // With every tick again: a packet may have made an entry while the others were removed.
        let ended = self.tables.evict(&servers);
        for ((service, (_, server)), connections) in names.iter().zip(&servers).zip(ended) {
            if connections > 0 {
                info!(service, %server, connections, "the drain is over: connections ended");
            }
        }
    }
}

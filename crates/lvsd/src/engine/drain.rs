//! The end of drains.
use tracing::info;

use super::{Engine, Tables, Watch, seams::Filter};

impl<T: Tables, W: Watch> Engine<T, W> {
    /// Ends what is left on servers whose drain is over. They stay drained: only the operator gives
    /// them new connections again.
    pub(super) fn end_drains(&mut self, now: u64) {
        let overdue = |deadline: Option<u64>| deadline.is_some_and(|deadline| deadline <= now);
        let mut over = Vec::new();
        for service in &self.running.services {
            for server in &service.servers {
                if server.drain.is_some_and(|drain| overdue(drain.deadline)) {
                    let filter = Filter {
                        protocol: Some(service.key.protocol),
                        virtual_: Some(service.key.address),
                        server: Some(server.address),
                        ..Filter::default()
                    };
                    over.push((service.name.clone(), filter));
                }
            }
        }
        // With every tick again: a packet may have made an entry while the others were removed.
        for (service, filter) in over {
            let connections = self.tables.flush(&filter).now();
            if let Some(server) = filter.server.filter(|_| connections > 0) {
                info!(service, %server, connections, "the drain is over: connections ended");
            }
        }
    }
}

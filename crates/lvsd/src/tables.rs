//! The kernel's tables as the engine sees them.
use lvs_api::types::{Connection, Explained, Interface, Question};
use lvs_config::Daemon;
use lvs_model::plan::Plan;

use crate::engine::seams::{Counters, Filter, Tables};

#[derive(Debug, thiserror::Error)]
#[error("this build has none")]
pub(crate) struct OpenError;

/// What opening found.
pub(crate) struct Opened {
    pub(crate) taken_over: bool,
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) warnings: Vec<String>,
}

/// The data plane.
pub(crate) struct KernelTables(());

impl KernelTables {
    pub(crate) fn open(_daemon: &Daemon) -> Result<(Self, Opened), OpenError> {
        Err(OpenError)
    }

    pub(crate) fn detach(self) -> Result<(), OpenError> {
        Ok(())
    }
}

impl Tables for KernelTables {
    type Error = OpenError;
    fn apply(&mut self, _plan: &Plan) -> Result<(), OpenError> {
        Ok(())
    }
    fn sweep(&mut self) -> Result<(), OpenError> {
        Ok(())
    }
    fn counters(&self) -> Counters {
        Counters::default()
    }
    fn connections(&self, _filter: &Filter, _limit: Option<u64>) -> Vec<Connection> {
        Vec::new()
    }
    fn count(&self, _filter: &Filter) -> u64 {
        0
    }
    fn flush(&mut self, _filter: &Filter) -> u64 {
        0
    }
    fn explain(&self, _question: &Question) -> Explained {
        Explained {
            verdict: String::new(),
            service: None,
            server: None,
            forward: None,
            steps: Vec::new(),
        }
    }
}

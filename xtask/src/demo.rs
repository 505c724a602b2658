//! `cargo xtask demo`
use anyhow::Result;

use crate::{screen::Screen, setup};

/// Shows lvs at work.
#[derive(Debug, clap::Args)]
pub(crate) struct Demo {}

impl Demo {
    pub(crate) fn run(self) -> Result<()> {
        let Self {} = self;
        setup::prepare(&mut Screen::new(), "demo")
    }
}

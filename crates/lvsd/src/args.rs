//! The command line.
use std::path::PathBuf;

use clap::Parser;

/// The Linux Virtual Server daemon: balances connections in the kernel and keeps them balanced.
///
/// SIGHUP reads the configuration file again. SIGTERM ends the daemon and leaves the kernel's part
/// at work, so that traffic goes on and the next lvsd takes it over; with --detach it is removed.
#[derive(Debug, Parser)]
#[command(name = "lvsd", version, max_term_width = 100)]
#[command(after_help = "\
Examples:
  lvsd -f /etc/lvs/lvs.toml
  lvsd -t -f lvs.toml          checks the file; needs no rights and no interfaces

Exit status: 0 ended as told or the file is good, 1 failed or the file has errors, 2 wrong usage.")]
pub(crate) struct Args {
    /// Configuration file.
    #[arg(short, long, value_name = "FILE", default_value = "/etc/lvs/lvs.toml")]
    pub(crate) file: PathBuf,
    /// Only check the file.
    #[arg(short, long)]
    pub(crate) test: bool,
    /// On SIGTERM, take the program off the interfaces: nothing is balanced any more.
    #[arg(long)]
    pub(crate) detach: bool,
}

//! What can go wrong.
use std::{io, net::SocketAddr, path::PathBuf};

/// Why the data plane could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting is larger than the tables can be.
    #[error("`{setting} = {value}` is more than the tables can hold: at most {most}")]
    Setting {
        /// Name of the setting.
        setting: &'static str,
        /// What it was set to.
        value: u32,
        /// What it can be.
        most: u32,
    },
    /// The tables are too small for a plan. Nothing was changed.
    #[error(
        "no room for {what} with `{setting} = {room}`: set it to {needed} or more and start the \
         daemon anew"
    )]
    NoRoom {
        /// What does not fit.
        what: &'static str,
        /// The setting to raise.
        setting: &'static str,
        /// What it is now.
        room: u32,
        /// With this the plan fits into new tables.
        needed: u64,
    },
    /// Rings of hash schedulers take more than the tables can have. Nothing was changed.
    #[error(
        "no room for the rings of hash schedulers: {needed} places are needed and there are {places}; \
         give some services another scheduler than mh, or the state \"all\""
    )]
    Rings {
        /// Places that there are: all, or those that are free.
        places: u32,
        /// Places that are needed of these.
        needed: u64,
    },
    /// Too many services share one server behind NAT. Nothing was changed.
    #[error(
        "{services} services use the server {address} through NAT: at most {most} can; \
         give it more addresses or ports"
    )]
    Shared {
        /// The server's address.
        address: SocketAddr,
        /// Services that use it.
        services: usize,
        /// How many can.
        most: usize,
    },
    /// Memory for a table cannot be had.
    #[error("cannot map the table {table} into memory")]
    Map {
        /// Name of the table.
        table: &'static str,
        /// What the kernel says.
        source: io::Error,
    },
    /// The kernel refused a system call.
    #[error("{call} failed for {what}: {remedy}")]
    System {
        /// The system call.
        call: &'static str,
        /// What it was for.
        what: String,
        /// What to do.
        remedy: &'static str,
        /// What the kernel says.
        source: io::Error,
    },
    /// The program or its tables could not be loaded.
    #[error("the kernel program cannot be loaded: {remedy}")]
    Load {
        /// What to do.
        remedy: &'static str,
        /// What aya says.
        source: aya::EbpfError,
    },
    /// The kernel refused the program.
    #[error("the kernel refuses the program: {remedy}")]
    Program {
        /// What to do.
        remedy: &'static str,
        /// What aya says.
        source: Box<aya::programs::ProgramError>,
    },
    /// The verifier refused the program, and said why.
    #[error(
        "the kernel refuses the program: Linux 6.1 or later is needed; please report this:\n{end}"
    )]
    Verifier {
        /// The end of what the verifier said.
        end: String,
        /// What the call returned.
        source: io::Error,
    },
    /// The object that this build embeds lacks something.
    #[error("the embedded kernel program lacks `{0}`: this build is broken")]
    Lacks(&'static str),
    /// An interface is not there.
    #[error("there is no interface `{0}`: name one that `ip link` shows")]
    Interface(String),
    /// The program cannot be attached to an interface.
    #[error("cannot attach the program to `{interface}` ({mode}): {remedy}")]
    Attach {
        /// The interface.
        interface: String,
        /// How it was tried.
        mode: &'static str,
        /// What to do.
        remedy: &'static str,
        /// What the kernel says.
        source: io::Error,
    },
    /// A pin cannot be written, read or removed.
    #[error("cannot {action} {path}: {remedy}", path = path.display())]
    Pin {
        /// What was tried.
        action: &'static str,
        /// The pin.
        path: PathBuf,
        /// What to do.
        remedy: &'static str,
        /// What the kernel says.
        source: io::Error,
    },
    /// Only a loaded program can do this.
    #[error("no kernel program is loaded")]
    NotLoaded,
}

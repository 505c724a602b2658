//! The configuration file, `lvs.toml`: read with every mistake shown at its place, edited with its
//! comments kept, and written.
//!
//! [`parse`] reads a text, [`load`] a file, [`persist`] writes changes into a text, [`to_toml`]
//! makes a text, [`write_atomically`] puts it into the file. What the settings mean is in
//! `lvs-model`, and so are the rules between them; what they look like is here and in
//! docs/configuration.md.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod address;
mod config;
mod daemon;
mod date;
mod error;
mod file;
mod persist;
mod places;
mod section;
mod service;
mod settings;
mod source;
mod write;

pub use crate::{
    config::{Config, load, parse},
    daemon::{
        Daemon, Log, LogFormat, LogLevel, MAX_CONNECTIONS, MAX_SERVERS, MAX_SERVICES,
        MIN_CONNECTIONS, Room, XdpMode,
    },
    error::{ConfigError, Errors, Problem},
    file::{WriteError, write_atomically},
    persist::{PersistError, persist},
    write::{services_to_toml, to_toml},
};

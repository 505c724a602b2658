//! The file as a whole.
use std::{fs, io, path::Path};

use lvs_model::desired::Desired;
use toml::de::{DeTable, Error as TomlError};

use crate::{
    daemon::{self, Daemon},
    error::{ConfigError, DUPLICATE_KEY, Errors, Problem},
    places::locate,
    section::{Place, Report, Section},
    service,
    settings::{DAEMON, FILE_KEYS, NAME, SERVICE},
    source::{Source, Span},
};

/// What a file says; equal when it says the same, wherever it stands.
#[derive(Clone, Debug)]
pub struct Config {
    /// Settings of the daemon.
    pub daemon: Daemon,
    /// The services; they obey every rule of the model.
    pub desired: Desired,
    source: Source,
    /// Where each of `daemon.interfaces` is named.
    interface_spans: Vec<Span>,
}

impl PartialEq for Config {
    fn eq(&self, other: &Self) -> bool {
        self.daemon == other.daemon && self.desired == other.desired
    }
}

impl Config {
    /// The error that says that the system has no interface of this name, shown at its place.
    pub fn interface_error(&self, name: &str, existing: &[String]) -> Errors {
        let index = self.daemon.interfaces.iter().position(|known| known == name);
        let span = index.and_then(|index| self.interface_spans.get(index)).cloned();
        let problem =
            Problem::InterfaceMissing { name: name.to_owned(), existing: existing.to_vec() };
        Errors::new(self.source.clone(), vec![ConfigError { problem, span, related: None }])
    }
}

/// Reads a file.
///
/// # Errors
/// Every error of the file, or why it cannot be read.
pub fn load(path: &Path) -> Result<Config, Errors> {
    let unreadable = |error: io::Error| {
        Errors::of_file(path, Problem::Unreadable { kind: error.kind(), error: error.to_string() })
    };
    let bytes = fs::read(path).map_err(unreadable)?;
    match String::from_utf8(bytes) {
        Ok(text) => parse(path, &text),
        Err(_) => Err(Errors::of_file(path, Problem::NotText)),
    }
}

/// Reads a text; the path is where it is said to come from.
///
/// # Errors
/// Every error of the text. Where it is no TOML at all, the rest of it cannot be judged and only
/// the errors of syntax are told.
pub fn parse(path: &Path, text: &str) -> Result<Config, Errors> {
    let source = Source::new(path.to_owned(), text);
    let (root, syntax) = DeTable::parse_recoverable(text);
    let mut report = Report::default();
    for error in &syntax {
        let span = error.span().unwrap_or(0..0);
        report.add(Problem::Syntax(error.message().to_owned()), span);
    }
    if !syntax.iter().all(is_duplicate_key) {
        return Err(Errors::new(source, report.0));
    }
    let file = Section::new(Place::File, 0..0, root.get_ref());
    let (daemon, interface_spans, desired) = read_file(&file, &mut report);
    match daemon {
        Some(daemon) if report.0.is_empty() => {
            Ok(Config { daemon, desired, source, interface_spans })
        }
        Some(_) | None => Err(Errors::new(source, report.0)),
    }
}

/// The one error after which the rest of the file means what it says.
fn is_duplicate_key(error: &TomlError) -> bool {
    error.message() == DUPLICATE_KEY
}

fn read_file(file: &Section<'_>, report: &mut Report) -> (Option<Daemon>, Vec<Span>, Desired) {
    file.refuse_unknown(&FILE_KEYS, report);
    let mut desired = Desired::default();
    let mut places = Vec::new();
    for section in file.sections(&SERVICE, |s| Place::Service(s.peek(&NAME)), report) {
        if let Some((service, place)) = service::read(&section, report) {
            desired.services.push(service);
            places.push(place);
        }
    }
    let rules = desired.violations().into_iter();
    report.0.extend(rules.filter_map(|violation| locate(violation, &places)));
    file.require(&DAEMON, report);
    let daemon = file.section(&DAEMON, Place::Daemon, report);
    let daemon = daemon.map(|section| daemon::read(&section, &desired, report));
    let (daemon, spans) = daemon.unzip();
    (daemon, spans.unwrap_or_default(), desired)
}

//! What can be wrong with a file, told with its place and a remedy.
use std::{fmt, io, path::Path};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use lvs_model::{duration::DurationError, validate::Rule, words::UnknownWord};

use crate::{
    address::AddressError,
    source::{Source, Span},
};

/// So many errors are shown; a file with more has one cause for most of them.
const SHOWN: usize = 50;

/// What the TOML parser says of a key that is there already.
pub(crate) const DUPLICATE_KEY: &str = "duplicate key";

/// Every error of one file, in the order of their places.
///
/// `Display` shows them without colours, each with its line underlined.
#[derive(Clone, Debug)]
pub struct Errors {
    source: Source,
    errors: Vec<ConfigError>,
}

/// One error of a file.
#[derive(Clone, Debug)]
pub struct ConfigError {
    /// What is wrong.
    pub problem: Problem,
    /// Where; `None`: the file as a whole.
    pub(crate) span: Option<Span>,
    /// Another place that has to do with it, and what is there.
    pub(crate) related: Option<(Span, &'static str)>,
}

/// What is wrong. The message says it, [`Problem::remedy`] what to do.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Problem {
    /// The file cannot be read.
    #[error("cannot read the configuration: {error}")]
    Unreadable {
        /// What the system says, in its words.
        error: String,
        /// The kind of failure.
        kind: io::ErrorKind,
    },
    /// The file is not UTF-8.
    #[error("the file is not text in UTF-8")]
    NotText,
    /// The text is no TOML.
    #[error("{0}")]
    Syntax(String),
    /// A key that does not exist.
    #[error("unknown key `{key}` in {section}")]
    UnknownKey {
        /// The key.
        key: String,
        /// Where it stands.
        section: String,
        /// The key that may be meant.
        near: Option<&'static str>,
        /// All keys that exist there.
        known: &'static [&'static str],
    },
    /// Something that belongs to a later release.
    #[error("{what} is not supported yet")]
    NotYet {
        /// What it is.
        what: String,
    },
    /// A key that must be there.
    #[error("{section} has no `{key}`")]
    Missing {
        /// The key.
        key: &'static str,
        /// Where it belongs.
        section: String,
        /// The key with a value, as an example.
        example: &'static str,
    },
    /// A value of the wrong type.
    #[error("`{key}` must be {expected}, not {found}")]
    WrongType {
        /// The key.
        key: String,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: String,
        /// The key with a value, as an example.
        example: &'static str,
    },
    /// A number out of range.
    #[error("`{key}` is out of range")]
    OutOfRange {
        /// The key.
        key: String,
        /// The smallest allowed.
        least: u64,
        /// The largest allowed.
        most: u64,
    },
    /// A malformed address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A word that is none of the known.
    #[error("unknown {} `{}`", .0.what, .0.word)]
    Word(UnknownWord),
    /// A malformed duration.
    #[error("{0}")]
    Duration(#[from] DurationError),
    /// A drain's end that is no moment.
    #[error("the end of a drain must be a date and time with an offset")]
    Date,
    /// Settings that belong to another type of check.
    #[error("`{key}` does not belong to a check of type {kind}")]
    NotOfCheck {
        /// The setting.
        key: &'static str,
        /// The type.
        kind: &'static str,
    },
    /// `type = "service"` in the service's own check.
    #[error("a service cannot use the check of a service")]
    ServiceOfService,
    /// A flag of another scheduler.
    #[error("`{flag}` is no flag of the scheduler {scheduler}")]
    ForeignFlag {
        /// The flag.
        flag: &'static str,
        /// The scheduler.
        scheduler: &'static str,
        /// What to do.
        remedy: String,
    },
    /// A name that no interface can have.
    #[error("`{0}` is no name of an interface")]
    InterfaceName(String),
    /// An interface named twice.
    #[error("the interface `{0}` is named twice")]
    InterfaceTwice(String),
    /// No interface at all.
    #[error("no interface is named")]
    NoInterface,
    /// An interface that the system does not have.
    #[error("there is no interface `{name}`")]
    InterfaceMissing {
        /// The name.
        name: String,
        /// The interfaces that exist.
        existing: Vec<String>,
    },
    /// An empty path.
    #[error("`{0}` is not an absolute path")]
    NotAPath(&'static str),
    /// More services or servers than the file makes room for.
    #[error("the file has {count} {what}, and `{what} = {capacity}` makes room for fewer")]
    Capacity {
        /// `services` or `servers`.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// The capacity.
        capacity: u32,
    },
    /// A rule between settings.
    #[error("{0}")]
    Rule(Rule),
}

impl Problem {
    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Unreadable { kind: io::ErrorKind::NotFound, .. } => {
                "write the file, or name another one with `-f FILE`".into()
            }
            Self::Unreadable { .. } => {
                "make it readable, or name another one with `-f FILE`".into()
            }
            Self::NotText => "save it as UTF-8".into(),
            Self::Syntax(what) if what == DUPLICATE_KEY => "keep one of them".into(),
            Self::Syntax(_) => "write it as TOML (https://toml.io)".into(),
            Self::UnknownKey { near: Some(near), .. } => format!("did you mean `{near}`?"),
            Self::UnknownKey { near: None, known, .. } => {
                format!("known are {}", known.join(", "))
            }
            Self::NotYet { .. } => "leave it out".into(),
            Self::Missing { example, .. } => format!("add a line like `{example}`"),
            Self::WrongType { example, .. } => format!("write it like `{example}`"),
            Self::OutOfRange { least, most, .. } => {
                format!("write a number from {least} to {most}")
            }
            Self::Address(error) => error.remedy(),
            Self::Word(error) => error.remedy(),
            Self::Duration(_) => "write a duration like \"200ms\", \"2s\" or \"1h30m\"".into(),
            Self::Date => "write `drain = true`, or one like `drain = 2030-01-31T12:00:00Z`".into(),
            Self::NotOfCheck { .. } => "leave it out, or choose another type".into(),
            Self::ServiceOfService => "write `type = \"tcp\"` or `type = \"http\"`".into(),
            Self::ForeignFlag { remedy, .. } => remedy.clone(),
            Self::InterfaceName(_) => {
                "write the name that `ip link` shows: up to 15 characters without `/` or spaces"
                    .into()
            }
            Self::InterfaceTwice(_) => "leave one of them out".into(),
            Self::NoInterface => "name the interfaces where packets arrive, as in \
                                  `interfaces = [\"eth0\"]`"
                .into(),
            Self::InterfaceMissing { existing, .. } if existing.is_empty() => {
                "make the interface first".into()
            }
            Self::InterfaceMissing { existing, .. } => {
                format!("make the interface first, or name one of {}", existing.join(", "))
            }
            Self::NotAPath(_) => "write a path that begins with `/`".into(),
            Self::Capacity { what, count, .. } => {
                format!("leave `{what}` out of [daemon], or write {count} or more")
            }
            Self::Rule(rule) => rule.remedy(),
        }
    }
}

impl Errors {
    pub(crate) fn new(source: Source, mut errors: Vec<ConfigError>) -> Self {
        errors.sort_by_key(|error| error.span.as_ref().map(|span| span.start));
        Self { source, errors }
    }

    pub(crate) fn of_file(path: &Path, problem: Problem) -> Self {
        let error = ConfigError { problem, span: None, related: None };
        Self::new(Source::new(path.to_owned(), ""), vec![error])
    }

    /// The errors, in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.errors.iter()
    }

    /// Line and column of an error, both from 1; `None`: the file as a whole.
    pub fn place(&self, error: &ConfigError) -> Option<(usize, usize)> {
        error.span.as_ref().map(|span| self.source.line_and_column(span.start))
    }

    /// The errors as text, each with its line underlined.
    pub fn render(&self, colours: bool) -> String {
        let renderer = if colours { Renderer::styled() } else { Renderer::plain() };
        let mut shown: Vec<_> = self
            .errors
            .iter()
            .take(SHOWN)
            .map(|error| renderer.render(&[self.group(error)]).clone())
            .collect();
        if let Some(more @ 1..) = self.errors.len().checked_sub(SHOWN) {
            shown.push(format!("error: {more} more errors are not shown"));
        }
        shown.join("\n\n")
    }

    fn group(&self, error: &ConfigError) -> Group<'_> {
        let path = printable(&self.source.path.to_string_lossy());
        let remedy = printable(&error.problem.remedy());
        let title = Level::ERROR.primary_title(printable(&error.problem.to_string()));
        let snippet = |span: &Span, kind: AnnotationKind, label: String| {
            let window = self.source.window(span);
            Snippet::source(window.text)
                .line_start(window.line)
                .path(path.clone())
                .annotation(kind.span(window.span).label(label))
        };
        let Some(span) = &error.span else {
            return title
                .element(annotate_snippets::Origin::path(path))
                .element(Level::HELP.message(remedy));
        };
        let group = title.element(snippet(span, AnnotationKind::Primary, remedy));
        match &error.related {
            None => group,
            Some((span, label)) => {
                group.element(snippet(span, AnnotationKind::Context, (*label).to_owned()))
            }
        }
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Errors {}

/// Text from a file as it may be shown on a terminal: no control characters.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

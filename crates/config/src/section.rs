//! One table of the file: reads its keys, and reports what is wrong with them.
use std::{fmt, net::SocketAddr, time::Duration};

use lvs_model::{duration::parse_duration, nearest::nearest, words::Word};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    address,
    error::{ConfigError, Problem},
    settings::{Key, Keys},
    source::Span,
};

/// The errors found so far.
#[derive(Default)]
pub(crate) struct Report(pub(crate) Vec<ConfigError>);

impl Report {
    pub(crate) fn add(&mut self, problem: Problem, span: Span) {
        self.0.push(ConfigError { problem, span: Some(span), related: None });
    }
}

/// Which table a section is, as the operator wrote it.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    File,
    Daemon,
    Log,
    Service(Option<&'a str>),
    Timeouts,
    ServiceCheck,
    Server(Option<&'a str>),
    ServerCheck,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str("the file"),
            Self::Daemon => f.write_str("[daemon]"),
            Self::Log => f.write_str("[daemon.log]"),
            Self::Service(None) => f.write_str("[[service]]"),
            Self::Service(Some(name)) => write!(f, "[[service]] \"{name}\""),
            Self::Timeouts => f.write_str("[service.timeouts]"),
            Self::ServiceCheck => f.write_str("[service.check]"),
            Self::Server(None) => f.write_str("[[service.server]]"),
            Self::Server(Some(address)) => write!(f, "[[service.server]] \"{address}\""),
            Self::ServerCheck => f.write_str("the server's check"),
        }
    }
}

/// A value with its place.
pub(crate) type Found<T> = Option<(T, Span)>;

/// A table of the file.
#[derive(Clone)]
pub(crate) struct Section<'a> {
    pub(crate) place: Place<'a>,
    /// Its header, or all of it when it is written inline.
    pub(crate) span: Span,
    table: &'a DeTable<'a>,
}

impl<'a> Section<'a> {
    pub(crate) fn new(place: Place<'a>, span: Span, table: &'a DeTable<'a>) -> Self {
        Self { place, span, table }
    }

    pub(crate) fn value(&self, key: &Key) -> Option<&'a Spanned<DeValue<'a>>> {
        let found = self.table.iter().find(|(name, _)| name.get_ref() == key.name);
        found.map(|(_, value)| value)
    }

    /// The text of a key without a word about errors, to name the section.
    pub(crate) fn peek(&self, key: &Key) -> Option<&'a str> {
        self.value(key).and_then(|value| value.get_ref().as_str())
    }

    pub(crate) fn key_span(&self, key: &Key) -> Option<Span> {
        let found = self.table.iter().find(|(name, _)| name.get_ref() == key.name);
        found.map(|(name, _)| name.span())
    }

    pub(crate) fn refuse_unknown(&self, keys: &Keys, report: &mut Report) {
        for (name, _) in self.table {
            let key = name.get_ref().as_ref();
            if keys.names.contains(&key) {
                continue;
            }
            let problem = if keys.not_yet.contains(&key) {
                Problem::NotYet { what: format!("`{key}`") }
            } else {
                Problem::UnknownKey {
                    key: key.to_owned(),
                    section: self.place.to_string(),
                    near: nearest(key, keys.names.iter().copied()),
                    known: keys.names,
                }
            };
            report.add(problem, name.span());
        }
    }

    /// Reports a key that must be there and is not, unless a mistyped one stands for it.
    pub(crate) fn require(&self, key: &Key, report: &mut Report) {
        let meant = |error: &ConfigError| {
            let typed_here = error.span.as_ref().is_some_and(|at| self.has_key_at(at));
            typed_here
                && matches!(&error.problem, Problem::UnknownKey { near, .. } if *near == Some(key.name))
        };
        if self.value(key).is_none() && !report.0.iter().rev().take(self.table.len()).any(meant) {
            self.missing(key, report);
        }
    }

    fn has_key_at(&self, place: &Span) -> bool {
        self.table.iter().any(|(name, _)| name.span() == *place)
    }

    fn missing(&self, key: &Key, report: &mut Report) {
        let section = self.place.to_string();
        let problem = Problem::Missing { key: key.name, section, example: key.example };
        report.add(problem, self.span.clone());
    }

    pub(crate) fn text(&self, key: &Key, report: &mut Report) -> Found<&'a str> {
        let value = self.value(key)?;
        let DeValue::String(text) = value.get_ref() else {
            wrong_type(key, "a string", value, report);
            return None;
        };
        Some((text, value.span()))
    }

    pub(crate) fn number<T: TryFrom<i128>>(
        &self,
        key: &Key,
        least: u64,
        most: u64,
        report: &mut Report,
    ) -> Found<T> {
        let value = self.value(key)?;
        number(key, value, least, most, report).map(|number| (number, value.span()))
    }

    pub(crate) fn address(&self, key: &Key, report: &mut Report) -> Found<SocketAddr> {
        let (text, span) = self.text(key, report)?;
        parsed(address::parse(text), span, report)
    }

    pub(crate) fn duration(&self, key: &Key, report: &mut Report) -> Found<Duration> {
        let (text, span) = self.text(key, report)?;
        parsed(parse_duration(text), span, report)
    }

    /// A word of a table; words of later releases are not unknown.
    pub(crate) fn word<T: Word>(&self, key: &Key, later: &[&str], report: &mut Report) -> Found<T> {
        let (text, span) = self.text(key, report)?;
        word(text, later, span.clone(), report).map(|word| (word, span))
    }

    pub(crate) fn section(
        &self,
        key: &Key,
        place: Place<'a>,
        report: &mut Report,
    ) -> Option<Section<'a>> {
        let value = self.value(key)?;
        let DeValue::Table(table) = value.get_ref() else {
            wrong_type(key, "a table", value, report);
            return None;
        };
        Some(Section::new(place, value.span(), table))
    }

    /// The elements of an array with their places.
    pub(crate) fn array(
        &self,
        key: &Key,
        expected: &'static str,
        report: &mut Report,
    ) -> Found<&'a [Spanned<DeValue<'a>>]> {
        let value = self.value(key)?;
        let DeValue::Array(array) = value.get_ref() else {
            wrong_type(key, expected, value, report);
            return None;
        };
        Some((array, value.span()))
    }

    /// An array of tables.
    pub(crate) fn sections(
        &self,
        key: &Key,
        place: impl Fn(&Section<'a>) -> Place<'a>,
        report: &mut Report,
    ) -> Vec<Section<'a>> {
        let mut sections = Vec::new();
        let Some((array, _)) = self.array(key, "an array of tables", report) else {
            return sections;
        };
        for value in array {
            let DeValue::Table(table) = value.get_ref() else {
                wrong_type(key, "an array of tables", value, report);
                continue;
            };
            let mut section = Section::new(Place::File, value.span(), table);
            section.place = place(&section);
            sections.push(section);
        }
        sections
    }
}

/// A string of an array.
pub(crate) fn string<'a>(
    key: &Key,
    value: &'a Spanned<DeValue<'a>>,
    report: &mut Report,
) -> Found<&'a str> {
    let text = value.get_ref().as_str();
    if text.is_none() {
        wrong_type(key, "an array of strings", value, report);
    }
    text.map(|text| (text, value.span()))
}

/// A whole number in a range.
pub(crate) fn number<T: TryFrom<i128>>(
    key: &Key,
    value: &Spanned<DeValue<'_>>,
    least: u64,
    most: u64,
    report: &mut Report,
) -> Option<T> {
    let DeValue::Integer(integer) = value.get_ref() else {
        wrong_type(key, "a whole number", value, report);
        return None;
    };
    let range = i128::from(least)..=i128::from(most);
    let number = i128::from_str_radix(integer.as_str(), integer.radix())
        .ok()
        .filter(|number| range.contains(number))
        .and_then(|number| T::try_from(number).ok());
    if number.is_none() {
        let key = key.name.to_owned();
        report.add(Problem::OutOfRange { key, least, most }, value.span());
    }
    number
}

/// A word of a table.
pub(crate) fn word<T: Word>(
    text: &str,
    later: &[&str],
    span: Span,
    report: &mut Report,
) -> Option<T> {
    T::from_word(text)
        .map_err(|unknown| {
            let problem = if later.contains(&text) {
                Problem::NotYet { what: format!("{} `{text}`", T::WHAT) }
            } else {
                Problem::Word(unknown)
            };
            report.add(problem, span);
        })
        .ok()
}

pub(crate) fn wrong_type(
    key: &Key,
    expected: &'static str,
    value: &Spanned<DeValue<'_>>,
    report: &mut Report,
) {
    let found = match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    };
    let problem = Problem::WrongType {
        key: key.name.to_owned(),
        expected,
        found: found.to_owned(),
        example: key.example,
    };
    report.add(problem, value.span());
}

fn parsed<T, E: Into<Problem>>(result: Result<T, E>, span: Span, report: &mut Report) -> Found<T> {
    match result {
        Ok(value) => Some((value, span)),
        Err(error) => {
            report.add(error.into(), span);
            None
        }
    }
}

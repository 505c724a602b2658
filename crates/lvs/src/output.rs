//! The one place that prints: text in columns or JSON, with colour on terminals only.
use std::{
    env, fmt,
    io::{self, BufWriter, IsTerminal, Stdout, Write},
};

use serde::Serialize;

use crate::error::CliError;

pub(crate) mod table;
pub(crate) mod time;

use table::Table;

/// How to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// How a word is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Paint {
    /// As it is.
    #[default]
    Plain,
    /// Of titles.
    Bold,
    /// All is well.
    Good,
    /// On the way, or meant so.
    Notable,
    /// Something is broken.
    Bad,
}

impl Paint {
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Bold => Some("1"),
            Self::Good => Some("32"),
            Self::Notable => Some("33"),
            Self::Bad => Some("31"),
        }
    }
}

/// Stdout and stderr.
pub(crate) struct Out {
    stdout: BufWriter<Stdout>,
    format: Format,
    colour: bool,
}

impl Out {
    pub(crate) fn new(format: Format) -> Self {
        let stdout = io::stdout();
        let colour = stdout.is_terminal() && wants_colour();
        Self { stdout: BufWriter::new(stdout), format, colour }
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Prints a value as JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut self.stdout, value)?;
        writeln!(self.stdout)
    }

    /// Prints a value as JSON without line ends.
    pub(crate) fn json_value(&mut self, value: &impl Serialize) -> io::Result<()> {
        Ok(serde_json::to_writer(&mut self.stdout, value)?)
    }

    /// Prints a line of text.
    pub(crate) fn line(&mut self, line: impl fmt::Display) -> io::Result<()> {
        writeln!(self.stdout, "{line}")
    }

    /// Prints text as it is.
    pub(crate) fn text(&mut self, text: &[u8]) -> io::Result<()> {
        self.stdout.write_all(text)
    }

    /// Prints a table; the columns are as wide as what is in them.
    pub(crate) fn table(&mut self, table: &Table) -> io::Result<()> {
        table.write(&mut self.stdout, self.colour)
    }

    /// Prints the head line of a table whose rows are yet to come.
    pub(crate) fn head(&mut self, table: &Table, widths: &[usize]) -> io::Result<()> {
        table.write_head(&mut self.stdout, widths, self.colour)
    }

    /// Prints further rows of a table whose head is out already.
    pub(crate) fn rows(&mut self, table: &Table, widths: &[usize]) -> io::Result<()> {
        table.write_rows(&mut self.stdout, widths, self.colour)
    }

    /// Colours a text, where colours are wanted.
    pub(crate) fn paint(&self, text: &str, paint: Paint) -> String {
        painted(text, paint, self.colour)
    }

    /// Clears the terminal for the next picture.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        // To the corner, then everything below it: no flicker from an empty screen in between.
        write!(self.stdout, "\x1b[H\x1b[J")
    }

    /// Hands everything over.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.stdout.flush()
    }

    /// Tells what should be known although the command succeeded.
    pub(crate) fn warning(&mut self, text: &str) -> io::Result<()> {
        self.stdout.flush()?;
        writeln!(io::stderr(), "{} {text}", to_stderr("warning:", Paint::Notable))
    }

    /// Tells why the command failed.
    pub(crate) fn error(&mut self, error: &CliError) {
        // With stderr gone nobody is left to tell; the exit status still says it.
        drop(self.stdout.flush());
        let mut lines = vec![format!("{} {error}", to_stderr("error:", Paint::Bad))];
        for detail in error.details() {
            lines.extend(detail.lines().map(|line| format!("  {line}")));
        }
        if let Some(remedy) = error.remedy() {
            lines.push(format!("{} {remedy}", to_stderr("help:", Paint::Bold)));
        }
        let text = lines.join("\n") + "\n";
        drop(io::stderr().write_all(text.as_bytes()));
    }
}

fn to_stderr(text: &str, paint: Paint) -> String {
    painted(text, paint, io::stderr().is_terminal() && wants_colour())
}

/// <https://no-color.org>: set and not empty means no.
fn wants_colour() -> bool {
    env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn painted(text: &str, paint: Paint, colour: bool) -> String {
    match paint.code().filter(|_| colour) {
        Some(code) => format!("\x1b[{code}m{text}\x1b[0m"),
        None => text.to_owned(),
    }
}

//! The one place that prints.
use std::{
    env, fmt,
    io::{self, IsTerminal, Write},
};

/// How a text is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    /// Titles.
    Bold,
    /// What matters less.
    Faint,
    /// All is well.
    Good,
    /// On the way.
    Notable,
    /// Something is broken.
    Bad,
}

/// Standard output.
#[derive(Debug)]
pub(crate) struct Screen {
    terminal: bool,
    colour: bool,
    /// Lines of the picture that is redrawn in place.
    drawn: usize,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let terminal = io::stdout().is_terminal();
        Self { terminal, colour: terminal && wants_colour(), drawn: 0 }
    }

    /// Whether pictures are redrawn in place.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// A text in a colour, if colours are wanted.
    pub(crate) fn paint(&self, paint: Paint, text: impl fmt::Display) -> String {
        let code = match paint {
            Paint::Bold => 1,
            Paint::Faint => 2,
            Paint::Good => 32,
            Paint::Notable => 33,
            Paint::Bad => 31,
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    /// Prints a line below everything.
    pub(crate) fn line(&mut self, line: impl fmt::Display) {
        self.drawn = 0;
        write(format_args!("{line}\n"));
    }

    /// Prints a text that the next line follows on the same line, on terminals.
    pub(crate) fn begin(&mut self, text: impl fmt::Display) {
        if self.terminal {
            write(format_args!("{text}\r"));
        }
    }

    /// Draws lines over those that were drawn last; elsewhere than on terminals it does nothing.
    pub(crate) fn draw(&mut self, lines: &[String]) {
        if !self.terminal {
            return;
        }
        let mut text = if self.drawn > 0 { format!("\x1b[{}A", self.drawn) } else { String::new() };
        for line in lines {
            text += line;
            text += "\x1b[K\n";
        }
        self.drawn = lines.len();
        write(format_args!("{text}"));
    }
}

/// Tells on standard error why the command failed.
pub(crate) fn complain(error: &anyhow::Error) {
    let word = if io::stderr().is_terminal() && wants_colour() {
        "\x1b[1;31merror\x1b[0m"
    } else {
        "error"
    };
    // Nobody is left to tell; the exit status still says it.
    drop(writeln!(io::stderr(), "{word}: {error:#}"));
}

/// A reader that has gone is no failure: the exit status still tells how it went.
fn write(text: fmt::Arguments<'_>) {
    let mut stdout = io::stdout().lock();
    drop(stdout.write_fmt(text).and_then(|()| stdout.flush()));
}

fn wants_colour() -> bool {
    env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

//! The log: one event a line, on stderr.
use std::{env, io};

use lvs_config::{Log, LogFormat, LogLevel};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt;

/// Starts logging; only the first call has an effect.
pub(crate) fn start(log: Log) {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let builder = fmt().with_writer(io::stderr).with_max_level(level).with_target(false);
    // The journal has the time of every line already.
    let journal = env::var_os("JOURNAL_STREAM").is_some();
    let started = match log.format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text if journal => builder.compact().with_ansi(false).without_time().try_init(),
        LogFormat::Text => {
            let colours = io::IsTerminal::is_terminal(&io::stderr())
                && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            builder.compact().with_ansi(colours).try_init()
        }
    };
    // Refused only when it was started before.
    drop(started);
}

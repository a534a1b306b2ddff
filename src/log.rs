//! Logs: one line an event, to stderr.
//!
//! Holds: events carry no secrets; that is for those who write them, here is only the form.

use tracing_subscriber::{filter::LevelFilter, fmt, prelude::*};

use crate::config::{Log, LogFormat, LogLevel};

/// Sends the events of this process to stderr from now on.
pub fn start(log: &Log) {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // What libraries say below a warning is for those who ask for it.
    let libraries = level
        .into_level()
        .map_or(LevelFilter::OFF, |level| match level {
            tracing::Level::DEBUG | tracing::Level::INFO => LevelFilter::WARN,
            other => other.into(),
        });
    let filter = tracing_subscriber::filter::Targets::new()
        .with_targets(OURS.iter().map(|target| (*target, level)))
        .with_default(libraries);
    let registry = tracing_subscriber::registry();
    let lines = fmt::layer().with_writer(std::io::stderr);
    // A second call, as in tests, changes nothing.
    let _ = match log.format {
        LogFormat::Text => registry
            .with(lines.with_ansi(is_terminal()).with_filter(filter))
            .try_init(),
        LogFormat::Json => {
            let json = lines
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false);
            registry.with(json.with_filter(filter)).try_init()
        }
    };
}

const OURS: &[&str] = &[
    "posthorn",
    "acme",
    "jmap",
    "jmap_core",
    "net",
    "smtp",
    "store",
];

fn is_terminal() -> bool {
    use std::io::IsTerminal as _;
    std::io::stderr().is_terminal()
}

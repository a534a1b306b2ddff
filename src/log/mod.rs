//! Logs: each event is a record that goes to stderr, a file or journald, and for a while stays in memory to be looked at.
//!
//! Holds: events carry no secrets; that is for those who write them, here is only the form. A record is never lost without a trace: what can't
//! be written where it belongs goes to stderr.
//! Other half: `administration` shows records to administrators.

mod file;
mod journal;
mod recent;
mod record;
mod search;
#[cfg(test)]
mod tests;

use std::{
    io::{IsTerminal as _, Write as _},
    sync::{Arc, OnceLock},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    layer,
    prelude::*,
};

use self::{file::RotatingFile, journal::Journal};
pub use self::{
    recent::{Next, Recent},
    record::{Level, Record},
    search::{Found, Wanted},
};
use crate::{
    config::{Config, LogFormat, LogLevel, LogTarget},
    otlp::{GatherSpans, Spans},
};

/// Who may follow the log at once.
const FOLLOWERS_MAX: usize = 16;

/// The log of this process: like the subscriber of `tracing`, there is one.
static LOGS: OnceLock<Arc<Logs>> = OnceLock::new();

/// Where records are.
#[derive(Debug)]
pub struct Logs {
    pub recent: Recent,
    /// Where they are sent to a collector.
    pub spans: Option<Arc<Spans>>,
    file: Option<RotatingFile>,
    followers: Arc<Semaphore>,
}

impl Logs {
    /// Records as they are asked for, newest first. Reads files, so it blocks.
    pub fn search(&self, wanted: &Wanted) -> Found {
        let files = self.file.as_ref().map(RotatingFile::paths);
        search::search(&self.recent, &files.unwrap_or_default(), wanted)
    }

    /// A place among those who follow; `None`: there are too many.
    pub fn follow(&self) -> Option<OwnedSemaphorePermit> {
        self.followers.clone().try_acquire_owned().ok()
    }
}

/// The log of this process; `None` until it has begun.
pub fn logs() -> Option<&'static Arc<Logs>> {
    LOGS.get()
}

/// Opens the file anew, where logs go to one: somebody has moved it away.
pub fn reopen() {
    if let Some(file) = logs().and_then(|logs| logs.file.as_ref()) {
        file.reopen();
    }
}

/// Sends the events of a server to where its configuration says.
///
/// # Errors
/// When there is no such place: a sentence for the operator.
pub fn start_server(config: &Config) -> Result<(), String> {
    let log = &config.log;
    let sink = match log.to {
        LogTarget::Stderr => Sink::Stderr,
        LogTarget::Journald => Sink::Journal(Journal::connect(&log.journal_socket)?),
        LogTarget::File => Sink::File,
    };
    let file = match log.to {
        LogTarget::File => Some(RotatingFile::open(file::Rules {
            path: config.log_file(),
            octets_max: log.max_size.0,
            age_max: log.max_age.0,
            keep: log.keep,
        })?),
        LogTarget::Stderr | LogTarget::Journald => None,
    };
    let logs = Arc::new(Logs {
        recent: Recent::new(log.memory.as_usize()),
        spans: config.otlp.gathers_spans().then(Arc::default),
        file,
        followers: Arc::new(Semaphore::new(FOLLOWERS_MAX)),
    });
    // A second call, as in tests, changes nothing.
    let _ = LOGS.set(logs.clone());
    begin(log.level, Gather::new(sink, log.format, Some(logs)));
    Ok(())
}

/// Sends the events of a command to stderr.
pub fn start_command(level: LogLevel, format: LogFormat) {
    begin(level, Gather::new(Sink::Stderr, format, None));
}

fn begin(level: LogLevel, gather: Gather) {
    let level = match level {
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
    // It warns of each name that isn't in a zone without DNSSEC, with all of the answer. Who has asked says what came of it.
    let of_dnssec = match libraries {
        LevelFilter::WARN => LevelFilter::ERROR,
        other => other,
    };
    let filter = Targets::new()
        .with_targets(OURS.iter().map(|target| (*target, level)))
        .with_target("hickory_net::dnssec", of_dnssec)
        .with_default(libraries);
    let registry = tracing_subscriber::registry();
    let spans = gather.logs.as_ref().and_then(|logs| logs.spans.clone());
    let spans = spans.map(|spans| {
        let ours = Targets::new().with_target(jmap_core::span::TARGET, LevelFilter::INFO);
        GatherSpans(spans).with_filter(ours)
    });
    // A second call, as in tests, changes nothing.
    let _ = registry
        .with(gather.with_filter(filter))
        .with(spans)
        .try_init();
}

const OURS: &[&str] = &[
    "posthorn",
    "acme",
    "admin",
    "jmap",
    "jmap_core",
    "net",
    "smtp",
    "store",
];

/// Where records go, beside memory.
#[derive(Debug)]
enum Sink {
    Stderr,
    /// That of [`Logs`].
    File,
    Journal(Journal),
}

/// Makes records of events, and hands them on.
#[derive(Debug)]
struct Gather {
    sink: Sink,
    format: LogFormat,
    is_coloured: bool,
    /// Of a server.
    logs: Option<Arc<Logs>>,
    times: record::Times,
}

impl Gather {
    fn new(sink: Sink, format: LogFormat, logs: Option<Arc<Logs>>) -> Gather {
        Gather {
            is_coloured: matches!(sink, Sink::Stderr) && std::io::stderr().is_terminal(),
            sink,
            format,
            logs,
            times: record::Times::default(),
        }
    }

    fn line(&self, record: &Record) -> String {
        match self.format {
            LogFormat::Json => record.json_line(),
            LogFormat::Text => record.text_line(self.is_coloured),
        }
    }

    fn hand_on(&self, record: &Record) {
        let written = match &self.sink {
            Sink::Stderr => false,
            Sink::Journal(journal) => journal.send(record).is_ok(),
            Sink::File => {
                let file = self.logs.as_ref().and_then(|logs| logs.file.as_ref());
                file.is_some_and(|file| file.write(&self.line(record), record.time_us).is_ok())
            }
        };
        if !written {
            // Nobody is left to tell that stderr is closed.
            let _ = std::io::stderr().write_all(self.line(record).as_bytes());
        }
    }
}

impl<S: Subscriber> layer::Layer<S> for Gather {
    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        let record = Record::of(event, self.times.next());
        self.hand_on(&record);
        if let Some(logs) = &self.logs {
            logs.recent.push(record);
        }
    }
}

//! What xtask tells the person at the terminal, on stderr so that it never mixes with what a command prints.

use std::fmt;
use std::time::{Duration, Instant};

/// How often something long says that it is still at work.
pub const EVERY: Duration = Duration::from_secs(30);

/// One line: what is done now, or what was found.
pub fn step(what: fmt::Arguments) {
    eprintln!("xtask: {what}");
}

/// A duration as a person says it: `45 s`, `12 min 05 s`.
pub fn elapsed(time: Duration) -> String {
    match (time.as_secs() / 60, time.as_secs() % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, seconds) => format!("{minutes} min {seconds:02} s"),
    }
}

/// Says now and then that a long step is still running.
pub struct Ticker {
    every: Duration,
    started: Instant,
    last: Instant,
}

impl Ticker {
    pub fn start() -> Self {
        Self::every(EVERY)
    }

    pub fn every(every: Duration) -> Self {
        let now = Instant::now();
        Self {
            every,
            started: now,
            last: now,
        }
    }

    pub fn elapsed(&self) -> String {
        elapsed(self.started.elapsed())
    }

    /// Prints `what` and the time so far, when it is time again since the last line.
    pub fn tick(&mut self, what: impl FnOnce() -> String) {
        if self.last.elapsed() >= self.every {
            self.last = Instant::now();
            step(format_args!("{}, {} so far", what(), self.elapsed()));
        }
    }
}

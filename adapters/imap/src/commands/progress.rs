//! INPROGRESS (RFC 9585): a client whose command takes long is told that it is being worked on, and how far that is, where it is known.
//!
//! Holds: the work goes on while the client is told, however slow it is to read; nothing is said of what is done soon.
//! Other half: the commands that can take long: SEARCH, SORT, THREAD, ESEARCH, COPY, MOVE, STORE, EXPUNGE, CLOSE.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use net::reader::ReadError;
use tokio::time::{Instant, sleep_until};

use crate::encode::{Code, Status};
use crate::out::Out;
use crate::session::Session;

/// Of one command.
pub struct Progress {
    tag: String,
    every: Duration,
    /// When the client is told next.
    next: Instant,
    /// How much is done, and of how much.
    pub count: Option<(u32, u32)>,
}

impl Progress {
    pub fn new(session: &Session, tag: &str) -> Progress {
        let every = session.server.config.timeouts.progress;
        Progress {
            tag: tag.to_owned(),
            every,
            next: Instant::now() + every,
            count: None,
        }
    }

    /// Does a piece of the work.
    pub async fn wait<T>(
        &mut self,
        out: &mut Out,
        work: impl Future<Output = T>,
    ) -> Result<T, ReadError> {
        let mut work = pin!(work);
        loop {
            {
                let is_sending = AtomicBool::new(false);
                let mut report = pin!(self.report(out, &is_sending));
                tokio::select! {
                    biased;
                    done = &mut work => {
                        // What is half sent can't be left like that.
                        if is_sending.load(Ordering::Relaxed) {
                            report.await?;
                        }
                        return Ok(done);
                    }
                    told = &mut report => told?,
                }
            }
            self.next = Instant::now() + self.every;
        }
    }

    async fn report(&self, out: &mut Out, is_sending: &AtomicBool) -> Result<(), ReadError> {
        // A sleep is of a millisecond at the least.
        if Instant::now() < self.next {
            sleep_until(self.next).await;
        }
        is_sending.store(true, Ordering::Relaxed);
        let code = Code::InProgress {
            tag: Some(self.tag.clone()),
            done: self.count.map(|(done, _)| done),
            of: self.count.map(|(_, of)| of),
        };
        out.untagged(Status::Ok, Some(&code), "Still working on it");
        out.flush().await
    }
}

/// As the numbers of [`Progress`] are.
pub fn count(messages: usize) -> u32 {
    u32::try_from(messages).unwrap_or(u32::MAX)
}

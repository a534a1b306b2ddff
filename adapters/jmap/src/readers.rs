//! How fast a connection's client takes the responses that are sent to it.
//!
//! Holds: a response whose client takes less of it than the pace ends its connection, whether HTTP/1.1 holds it up or the
//! flow control of HTTP/2; what is a stream without an end has no pace.
//! Other half: `encode::body`, which tells what is taken; `connection`, which ends.

use std::{collections::HashMap, sync::Arc};

use net::{Meter, Pace};
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// What a client has to keep to.
pub const READER_PACE: Pace = Pace::WRITE;

/// The responses of one connection that are being sent.
#[derive(Debug, Default)]
pub struct Readers {
    state: Mutex<State>,
    begun: Notify,
}

#[derive(Debug, Default)]
struct State {
    open: HashMap<u64, Reader>,
    next: u64,
    /// Whether a timer runs: it is never later than what begins after it.
    timed: bool,
}

#[derive(Debug)]
struct Reader {
    meter: Meter,
    /// When something was taken last.
    heard: Instant,
}

/// One response that is being sent, until it is dropped.
#[derive(Debug)]
pub struct Reading {
    readers: Arc<Readers>,
    id: u64,
}

impl Readers {
    pub fn begin(self: &Arc<Self>) -> Arc<Reading> {
        let now = Instant::now();
        let mut state = self.state.lock();
        let id = state.next;
        state.next += 1;
        let meter = READER_PACE.begin(now);
        state.open.insert(id, Reader { meter, heard: now });
        if !state.timed {
            self.begun.notify_one();
        }
        Arc::new(Reading {
            readers: self.clone(),
            id,
        })
    }

    /// Returns when the client is too slow.
    pub async fn late(&self) {
        loop {
            match self.first_deadline() {
                None => self.begun.notified().await,
                Some(first) if first <= Instant::now() => return,
                Some(first) => sleep_until(first).await,
            }
        }
    }

    fn first_deadline(&self) -> Option<Instant> {
        let mut state = self.state.lock();
        let deadlines = state.open.values();
        let first = deadlines
            .map(|reader| reader.meter.deadline(reader.heard))
            .min();
        state.timed = first.is_some();
        first
    }
}

impl Reading {
    /// So many octets were taken.
    pub fn took(&self, octets: u64) {
        let now = Instant::now();
        if let Some(reader) = self.readers.state.lock().open.get_mut(&self.id) {
            reader.meter.moved(octets, now);
            reader.heard = now;
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.readers.state.lock().open.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{sleep, timeout};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_late_and_who_is_done_with_is_not() {
        let readers = Arc::new(Readers::default());
        assert!(timeout(HOUR, readers.late()).await.is_err(), "nothing sent");
        drop(readers.begin());
        assert!(timeout(HOUR, readers.late()).await.is_err(), "all is sent");
        let first = readers.begin();
        let soon = READER_PACE.stall - SECOND;
        assert!(timeout(soon, readers.late()).await.is_err());
        let _second = readers.begin();
        drop(first);
        assert!(timeout(soon, readers.late()).await.is_err());
        timeout(2 * SECOND, readers.late()).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_begins_while_somebody_watches_is_watched() {
        let readers = Arc::new(Readers::default());
        let watching = tokio::spawn({
            let readers = readers.clone();
            async move { readers.late().await }
        });
        sleep(HOUR).await;
        let (begun, _reading) = (Instant::now(), readers.begin());
        watching.await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), READER_PACE.stall.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_too_little_is_late() {
        let rate = READER_PACE.rate_min;
        for (octets, is_late) in [(rate * 60, false), (rate * 60 / 2, true)] {
            let readers = Arc::new(Readers::default());
            let reading = readers.begin();
            let taking = async {
                for _ in 0..60 {
                    sleep(60 * SECOND).await;
                    reading.took(octets);
                }
            };
            let late = tokio::select! {
                () = taking => false,
                () = readers.late() => true,
            };
            assert_eq!(late, is_late, "{octets} octets a minute");
        }
    }
}

//! The parts of a running server that work until it is stopped.
//!
//! Holds: a part that panics ends no other one; it is begun again after a pause, which grows as long as it goes on to panic; what has panicked is
//! counted, and told for as long as it isn't well.
//! Other half: [`Core::run_work`](crate::Core::run_work) and the binary keep their parts by it; `/healthz` and `/metrics` tell what it knows.

use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use parking_lot::Mutex;

use crate::clock::Clock;

/// So often in a row a part may panic before it isn't well even while it runs.
const PANICS_MAX: u32 = 3;

/// When a part is begun again, and when it is well again.
#[derive(Clone, Copy, Debug)]
struct Rules {
    /// After the first panic; doubled by each further one.
    pause_first: Duration,
    pause_max: Duration,
    /// Panics further apart aren't in a row.
    steady_after: Duration,
}

const RULES: Rules = Rules {
    pause_first: Duration::from_secs(1),
    pause_max: Duration::from_secs(60),
    steady_after: Duration::from_secs(300),
};

/// What has panicked, by the name of the part.
#[derive(Debug)]
pub struct Supervisor {
    rules: Rules,
    clock: Arc<dyn Clock>,
    parts: Mutex<BTreeMap<&'static str, Part>>,
}

/// A part that has panicked. There may be several of one name: the listeners of a service.
#[derive(Debug, Default)]
struct Part {
    panics: u64,
    in_a_row: u32,
    last: Option<Instant>,
    /// Those that wait to be begun again.
    down: u32,
}

impl Supervisor {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            rules: RULES,
            clock,
            parts: Mutex::default(),
        }
    }

    /// Runs a part until it ends by itself: after a panic, `begin` begins it again. Dropping it ends the part.
    pub async fn keep<F>(&self, name: &'static str, mut begin: impl FnMut() -> F)
    where
        F: Future<Output = ()>,
    {
        while self.once(name, async { begin().await }).await.is_none() {
            let down = Down::new(self, name);
            tokio::time::sleep(self.pause(name)).await;
            drop(down);
            tracing::info!(part = name, "a part of the server begins again");
        }
    }

    /// Does some work of a part that goes on whatever becomes of it. `None`: it panicked.
    pub async fn once<T>(&self, name: &'static str, work: impl Future<Output = T>) -> Option<T> {
        // What is behind locks is whole: they guard single steps. What the work itself held is dropped with it.
        let done = AssertUnwindSafe(work).catch_unwind().await.ok();
        if done.is_none() {
            let times = self.count(name);
            // What a panic says may quote mail; the process has put it onto stderr.
            tracing::error!(part = name, times, "a part of the server panicked");
        }
        done
    }

    /// Returns how often it has panicked in a row.
    fn count(&self, name: &'static str) -> u32 {
        let now = self.clock.monotonic();
        let mut parts = self.parts.lock();
        let part = parts.entry(name).or_default();
        if !part.is_restless(now, self.rules) {
            part.in_a_row = 0;
        }
        part.in_a_row = part.in_a_row.saturating_add(1);
        part.panics += 1;
        part.last = Some(now);
        part.in_a_row
    }

    fn pause(&self, name: &'static str) -> Duration {
        let parts = self.parts.lock();
        let in_a_row = parts.get(name).map_or(1, |part| part.in_a_row);
        let factor = 2_u32.saturating_pow(in_a_row.saturating_sub(1));
        let pause = self.rules.pause_first.saturating_mul(factor);
        pause.min(self.rules.pause_max)
    }

    /// The parts that are down, or that panic again and again.
    pub fn failing(&self) -> Vec<&'static str> {
        let now = self.clock.monotonic();
        let parts = self.parts.lock();
        let failing = parts.iter().filter(|(_, part)| {
            part.down > 0 || (part.in_a_row >= PANICS_MAX && part.is_restless(now, self.rules))
        });
        failing.map(|(name, _)| *name).collect()
    }

    /// How often each part has panicked, of those that have.
    pub fn panics(&self) -> Vec<(&'static str, u64)> {
        let parts = self.parts.lock();
        let panics = parts.iter().map(|(name, part)| (*name, part.panics));
        panics.collect()
    }
}

impl Part {
    fn is_restless(&self, now: Instant, rules: Rules) -> bool {
        let since = |last| now.saturating_duration_since(last);
        self.last
            .is_some_and(|last| since(last) < rules.steady_after)
    }
}

/// Counts a part that is down, for as long as somebody waits to begin it again.
struct Down<'s>(&'s Supervisor, &'static str);

impl<'s> Down<'s> {
    fn new(supervisor: &'s Supervisor, name: &'static str) -> Self {
        supervisor.parts.lock().entry(name).or_default().down += 1;
        Self(supervisor, name)
    }
}

impl Drop for Down<'_> {
    fn drop(&mut self) {
        if let Some(part) = self.0.parts.lock().get_mut(self.1) {
            part.down = part.down.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::clock::{TestClock, UtcMillis};

    const SOON: Rules = Rules {
        pause_first: Duration::from_millis(1),
        pause_max: Duration::from_millis(4),
        ..RULES
    };

    fn supervisor(rules: Rules) -> (Arc<TestClock>, Supervisor) {
        let clock = Arc::new(TestClock::new(UtcMillis(0)));
        let supervisor = Supervisor {
            rules,
            ..Supervisor::new(clock.clone())
        };
        (clock, supervisor)
    }

    #[tokio::test]
    async fn one_that_panics_is_begun_again_and_ends_no_other() {
        let (_, supervisor) = supervisor(SOON);
        let begun = AtomicU32::new(0);
        let shaky = supervisor.keep("shaky", || async {
            if begun.fetch_add(1, Ordering::Relaxed) < 2 {
                panic!("the work fails");
            }
        });
        let sound = AtomicU32::new(0);
        let steady = supervisor.keep("sound", || async {
            for _ in 0..20 {
                tokio::time::sleep(Duration::from_millis(1)).await;
                sound.fetch_add(1, Ordering::Relaxed);
            }
        });
        tokio::join!(shaky, steady);
        assert_eq!(begun.into_inner(), 3);
        assert_eq!(sound.into_inner(), 20);
        assert_eq!(supervisor.panics(), [("shaky", 2)]);
        assert_eq!(supervisor.failing(), [""; 0]);
    }

    #[tokio::test]
    async fn one_that_cannot_even_begin_is_begun_again() {
        let (_, supervisor) = supervisor(SOON);
        let mut begun = 0;
        let late = supervisor.keep("late", || {
            begun += 1;
            assert!(begun > 1, "not yet");
            std::future::ready(())
        });
        late.await;
        assert_eq!(begun, 2);
    }

    #[tokio::test]
    async fn one_that_is_down_is_told_and_so_is_one_that_goes_on_to_panic() {
        let (clock, supervisor) = supervisor(RULES);
        let mut broken = Box::pin(supervisor.keep("broken", || async { panic!("no") }));
        assert!(futures_util::poll!(&mut broken).is_pending());
        assert_eq!(supervisor.failing(), ["broken"]);
        drop(broken);
        assert_eq!(supervisor.failing(), [""; 0]);

        let panics = || supervisor.once("broken", async { panic!("no") });
        for _ in 0..2 {
            clock.advance(RULES.steady_after / 2);
            assert_eq!(panics().await, None::<()>);
        }
        assert_eq!(supervisor.failing(), ["broken"]);
        clock.advance(RULES.steady_after);
        assert_eq!(supervisor.failing(), [""; 0]);
        assert_eq!(panics().await, None);
        assert_eq!(supervisor.failing(), [""; 0]);
        assert_eq!(supervisor.panics(), [("broken", 4)]);
    }

    #[tokio::test]
    async fn pauses_grow_up_to_a_minute() {
        let (_, supervisor) = supervisor(RULES);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            supervisor.count("broken");
            pauses.push(supervisor.pause("broken").as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    }
}

//! When nobody wants anything, the memory that work has taken is given back.
//!
//! Holds: nothing is forgotten that the store doesn't have; while there is work, this costs nothing;
//! a server that nobody calls isn't woken by it.

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::Core;

/// Gives the memory that the allocators keep for later back to the system.
pub type AtRest = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// Calls and deliveries that leave enough behind to be worth it: giving it back writes a file.
const TOUCHES_MIN: u64 = 500;

/// When the server is at rest, and what stays.
#[derive(Debug, Clone, Copy)]
struct Rules {
    /// How often calls and deliveries are looked for.
    look: Duration,
    /// After so many looks that found none it is at rest.
    quiet_looks: u32,
    /// After so many also one that had little to do is, where that little took a large view.
    quiet_looks_of_few: u32,
    /// Octets of views that stay: those used last.
    views_octets_max: usize,
}

const RULES: Rules = Rules {
    // A quarter of a minute, and five.
    look: Duration::from_secs(5),
    quiet_looks: 3,
    quiet_looks_of_few: 60,
    // A small one takes a millisecond to load again, so this keeps most servers as they are; one of 100,000 emails
    // takes 20 MB, and is what a server at rest would be seen to hold.
    views_octets_max: 8 << 20,
};

/// Works until it is dropped.
pub(super) async fn run(core: &Core, at_rest: &AtRest) {
    rest_by(RULES, core.clone(), at_rest).await;
}

async fn rest_by(rules: Rules, core: Core, at_rest: impl Fn() -> BoxFuture<'static, ()>) {
    let mut done = core.accounts.touches();
    loop {
        core.accounts.touched().await;
        let mut seen = core.accounts.touches();
        let mut quiet_looks = 0;
        let is_worth_it = loop {
            tokio::time::sleep(rules.look).await;
            let now = core.accounts.touches();
            if now != seen || core.search_pending() > 0 {
                (seen, quiet_looks) = (now, 0);
                continue;
            }
            quiet_looks += 1;
            if quiet_looks < rules.quiet_looks {
                continue;
            }
            if seen - done >= TOUCHES_MIN {
                break true;
            }
            // One look into a large inbox is enough for a large view.
            if core.accounts.gauges().view_octets <= rules.views_octets_max {
                break false;
            }
            if quiet_looks >= rules.quiet_looks_of_few {
                break true;
            }
        };
        if is_worth_it {
            core.give_back_memory(rules.views_octets_max).await;
            at_rest().await;
            done = seen;
        }
    }
}

impl Core {
    /// Forgets what is remembered of messages, and views but for so many octets, and has the engine write down what it
    /// has in memory.
    pub(crate) async fn give_back_memory(&self, views_octets_max: usize) {
        self.accounts.shrink(views_octets_max);
        self.summaries.clear();
        self.directory.forget_list();
        self.search.forget_texts();
        self.engine.trim_memory().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use jmap_types::AccountId;

    use super::*;
    use crate::mail::email::tests::{Bench, OWNER};

    const SOON: Rules = Rules {
        look: Duration::from_millis(10),
        quiet_looks: 2,
        quiet_looks_of_few: 4,
        views_octets_max: 0,
    };

    /// The view is looked at so often; then: how often the server rests within a second at most, and how many views
    /// it has.
    async fn rests(rules: Rules, looks: u64) -> (usize, usize) {
        let core = Bench::new().await.core;
        let rested = Arc::new(AtomicUsize::new(0));
        let counter = rested.clone();
        let at_rest: AtRest = Box::new(move || {
            counter.fetch_add(1, Ordering::Relaxed);
            Box::pin(async {})
        });
        let resting = tokio::spawn(rest_by(rules, core.clone(), at_rest));
        // So that none of the looks was before it began to count.
        tokio::time::sleep(rules.look).await;
        for _ in 0..looks {
            let handle = core.accounts.handle(AccountId::new(OWNER));
            drop(handle.view().await.expect("a view"));
        }
        for _ in 0..100 {
            tokio::time::sleep(rules.look).await;
            if rested.load(Ordering::Relaxed) > 0 {
                break;
            }
        }
        resting.abort();
        let rested = rested.load(Ordering::Relaxed);
        (rested, core.accounts.gauges().views)
    }

    #[tokio::test]
    async fn after_much_work_large_views_go() {
        let rules = Rules {
            quiet_looks_of_few: u32::MAX,
            ..SOON
        };
        assert_eq!(rests(rules, TOUCHES_MIN).await, (1, 0));
    }

    #[tokio::test]
    async fn after_little_work_large_views_go() {
        assert_eq!(rests(SOON, 1).await, (1, 0));
    }

    #[tokio::test]
    async fn after_little_work_small_views_stay() {
        let rules = Rules {
            views_octets_max: 1 << 20,
            ..SOON
        };
        assert_eq!(rests(rules, 1).await, (0, 1));
    }
}

//! When nobody wants anything, the memory that work has taken is given back.
//!
//! Holds: nothing is forgotten that the store doesn't have; while there is work, this costs nothing;
//! a server that nobody calls isn't woken by it.

use std::time::Duration;

use crate::Core;

/// After so long without a call or a delivery the server is at rest.
const QUIET: Duration = Duration::from_secs(15);
/// Calls and deliveries that leave enough behind to be worth it: giving it back writes a file.
const TOUCHES_MIN: u64 = 500;

/// Works until it is dropped.
pub(super) async fn run(core: Core, at_rest: fn()) {
    let mut done = core.accounts.touches();
    loop {
        core.accounts.touched().await;
        let mut seen = core.accounts.touches();
        loop {
            tokio::time::sleep(QUIET).await;
            let now = core.accounts.touches();
            if now == seen && core.search_pending() == 0 {
                break;
            }
            seen = now;
        }
        if seen - done >= TOUCHES_MIN {
            core.give_back_memory().await;
            at_rest();
            done = seen;
        }
    }
}

impl Core {
    /// Forgets what is remembered of messages, and has the engine write down what it has in memory.
    pub(crate) async fn give_back_memory(&self) {
        self.summaries.clear();
        self.search.forget_texts();
        self.engine.trim_memory().await;
    }
}

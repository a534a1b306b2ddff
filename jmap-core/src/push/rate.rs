//! How many verifications may be asked for: each is a request to a URL that nobody has vouched for.
//!
//! Holds: memory is bounded; what is forgotten first is what was not asked for lately.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jmap_types::AccountId;
use quick_cache::unsync::Cache;

/// Verifications of one account within [`WINDOW`].
pub const PER_ACCOUNT: u32 = 60;
/// Verifications to one host within [`WINDOW`], over all accounts: the large push services are a host each.
pub const PER_HOST: u32 = 600;
pub const WINDOW: Duration = Duration::from_secs(3600);
/// Accounts and hosts that are remembered.
const ENTRIES_MAX: usize = 10_000;

#[derive(Clone, PartialEq, Eq, Hash)]
enum Of {
    Account(AccountId),
    Host(Arc<str>),
}

/// When counting began, and how many there were since.
type Count = (Instant, u32);

pub(super) struct VerificationRate(Cache<Of, Count>);

impl Default for VerificationRate {
    fn default() -> Self {
        Self(Cache::new(ENTRIES_MAX))
    }
}

impl std::fmt::Debug for VerificationRate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("VerificationRate(..)")
    }
}

impl VerificationRate {
    /// Counts a verification, unless there were too many.
    pub fn take(&mut self, account: AccountId, host: &Arc<str>, now: Instant) -> bool {
        let limits = [
            (Of::Account(account), PER_ACCOUNT),
            (Of::Host(host.clone()), PER_HOST),
        ];
        let counts = limits.map(|(of, limit)| (self.count(&of, now), of, limit));
        if counts.iter().any(|((_, count), _, limit)| count >= limit) {
            return false;
        }
        for ((since, count), of, _) in counts {
            self.0.insert(of, (since, count + 1));
        }
        true
    }

    fn count(&self, of: &Of, now: Instant) -> Count {
        match self.0.get(of) {
            Some(&(since, count)) if now.saturating_duration_since(since) < WINDOW => {
                (since, count)
            }
            _ => (now, 0),
        }
    }
}

//! How many recipients an account may send to: a login that was stolen must not make a spammer's relay of the server.
//!
//! Holds: memory is bounded, what is forgotten first is what was not asked for lately; what was refused isn't counted.
//! Each node counts for itself, and from its start on.
//! Other half: `set` and `inproc::submit` ask before anything is staged.

use std::time::{Duration, Instant};

use jmap_types::{AccountId, SetError, SetErrorKind};
use parking_lot::Mutex;
use quick_cache::unsync::Cache;

/// Accounts that are remembered.
pub const SENDERS_MAX: usize = 65_536;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// Recipients since a window began.
#[derive(Clone, Copy)]
struct Window {
    began: Instant,
    recipients: u64,
}

/// Recipients that may be sent to; 0: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Budget {
    pub hour: u64,
    pub day: u64,
}

/// Whose recipients are counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Sender {
    Account(AccountId),
    /// All accounts of a domain together.
    Domain(String),
}

/// What is known of a sender.
#[derive(Clone)]
struct Counted {
    windows: [Window; 2],
    /// Of an account: the domain that it was counted for, too.
    domain: Option<String>,
}

pub(crate) struct SendingRate(Mutex<Cache<Sender, Counted>>);

impl Default for SendingRate {
    fn default() -> Self {
        Self(Mutex::new(Cache::new(SENDERS_MAX)))
    }
}

impl std::fmt::Debug for SendingRate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SendingRate(..)")
    }
}

/// Too many recipients within one of the windows; there is room again after this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SentTooMuch(pub Duration);

impl SentTooMuch {
    /// A whole number: more than the time that is left.
    pub fn minutes(self) -> u64 {
        self.0.as_secs() / 60 + 1
    }
}

impl From<SentTooMuch> for SetError {
    fn from(error: SentTooMuch) -> Self {
        let minutes = error.minutes();
        let why =
            format!("You have sent to too many recipients lately; try again in {minutes} minutes.");
        SetError::describe(SetErrorKind::RateLimit, why)
    }
}

impl SendingRate {
    /// Counts the recipients of a message, for the account and for its domain where that has a budget, unless they are too many.
    pub fn take(
        &self,
        account: AccountId,
        recipients: u64,
        own: Budget,
        domain: Option<(String, Budget)>,
        now: Instant,
    ) -> Result<(), SentTooMuch> {
        let mut senders = self.0.lock();
        let account = Sender::Account(account);
        let of_account = counted(&senders, &account, recipients, own, now);
        let of_domain = domain.map(|(name, budget)| {
            let sender = Sender::Domain(name.clone());
            let windows = counted(&senders, &sender, recipients, budget, now);
            (name, sender, windows)
        });
        let windows = of_account?;
        let mut name = None;
        if let Some((of, sender, windows)) = of_domain {
            let counted = Counted {
                windows: windows?,
                domain: None,
            };
            senders.insert(sender, counted);
            name = Some(of);
        }
        let counted = Counted {
            windows,
            domain: name,
        };
        senders.insert(account, counted);
        Ok(())
    }

    /// The message was not sent after all.
    pub fn give_back(&self, account: AccountId, recipients: u64) {
        if recipients == 0 {
            return;
        }
        let mut senders = self.0.lock();
        let mut of = Some(Sender::Account(account));
        while let Some(sender) = of {
            let Some(mut counted) = senders.get(&sender).cloned() else {
                return;
            };
            for window in &mut counted.windows {
                window.recipients = window.recipients.saturating_sub(recipients);
            }
            of = counted.domain.clone().map(Sender::Domain);
            senders.insert(sender, counted);
        }
    }
}

/// A sender's windows with so many recipients more.
fn counted(
    senders: &Cache<Sender, Counted>,
    sender: &Sender,
    recipients: u64,
    budget: Budget,
    now: Instant,
) -> Result<[Window; 2], SentTooMuch> {
    let fresh = Window {
        began: now,
        recipients: 0,
    };
    let known = senders.peek(sender).map(|counted| counted.windows);
    let mut windows = known.unwrap_or([fresh; 2]);
    let mut refused = None;
    for (window, (length, max)) in windows
        .iter_mut()
        .zip([(HOUR, budget.hour), (DAY, budget.day)])
    {
        if now.saturating_duration_since(window.began) >= length {
            *window = fresh;
        }
        let sum = window.recipients.saturating_add(recipients);
        if max != 0 && sum > max {
            let left = length.saturating_sub(now.saturating_duration_since(window.began));
            refused = Some(SentTooMuch(left)).max(refused);
        }
        window.recipients = sum;
    }
    refused.map_or(Ok(windows), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: AccountId = AccountId::new(1);

    fn limits(hour: u64, day: u64) -> Budget {
        Budget { hour, day }
    }

    #[test]
    fn one_past_the_hour_and_one_past_the_day() {
        let (rate, start) = (SendingRate::default(), Instant::now());
        let limits = limits(3, 5);
        let at = |minutes: u64| start + Duration::from_secs(minutes * 60);
        let take = |recipients, minutes| rate.take(ANN, recipients, limits, None, at(minutes));
        assert_eq!(take(3, 0), Ok(()));
        assert_eq!(take(1, 20), Err(SentTooMuch(Duration::from_secs(40 * 60))));
        assert_eq!(
            rate.take(AccountId::new(2), 3, limits, None, at(20)),
            Ok(())
        );
        assert_eq!(take(2, 60), Ok(()), "what was refused isn't counted");
        let rest = Duration::from_secs((24 * 60 - 120) * 60);
        assert_eq!(take(1, 120), Err(SentTooMuch(rest)), "the day");
        assert_eq!(take(3, 24 * 60), Ok(()));
        assert!(take(4, 48 * 60).is_err(), "a message alone");
    }

    #[test]
    fn one_account_past_those_that_are_remembered() {
        let (rate, now) = (SendingRate::default(), Instant::now());
        for n in 0..=SENDERS_MAX as u64 {
            assert_eq!(
                rate.take(AccountId::new(n), 1, limits(1, 1), None, now),
                Ok(())
            );
        }
        let kept = rate.0.lock().len();
        assert!((SENDERS_MAX / 2..=SENDERS_MAX).contains(&kept), "{kept}");
        // Each of them has sent what it may, but for those that are forgotten.
        let last = AccountId::new(SENDERS_MAX as u64);
        assert!(rate.take(last, 1, limits(1, 1), None, now).is_err());
    }

    #[test]
    fn what_was_not_sent_is_given_back_and_no_limit_is_none() {
        let (rate, now) = (SendingRate::default(), Instant::now());
        assert_eq!(rate.take(ANN, 3, limits(3, 0), None, now), Ok(()));
        rate.give_back(ANN, 3);
        assert_eq!(rate.take(ANN, 3, limits(3, 0), None, now), Ok(()));
        assert!(rate.take(ANN, 1, limits(3, 0), None, now).is_err());
        assert_eq!(rate.take(ANN, u64::MAX, limits(0, 0), None, now), Ok(()));
    }

    #[test]
    fn a_domain_has_a_budget_of_its_own() {
        let (rate, now) = (SendingRate::default(), Instant::now());
        let bob = AccountId::new(2);
        let domain = || Some(("example.org".to_owned(), limits(5, 0)));
        let take =
            |account, recipients, domain| rate.take(account, recipients, limits(4, 0), domain, now);
        assert_eq!(take(ANN, 3, domain()), Ok(()));
        assert!(take(ANN, 2, domain()).is_err(), "the account");
        assert!(take(bob, 3, domain()).is_err(), "the domain");
        assert_eq!(take(bob, 2, domain()), Ok(()));
        assert!(take(bob, 1, domain()).is_err());
        // What is given back is given back to both.
        rate.give_back(ANN, 3);
        assert_eq!(take(bob, 2, domain()), Ok(()));
        assert_eq!(take(bob, 0, None), Ok(()));
        assert!(take(ANN, 2, domain()).is_err(), "the domain has 1 left");
        assert_eq!(take(ANN, 1, domain()), Ok(()));
    }
}

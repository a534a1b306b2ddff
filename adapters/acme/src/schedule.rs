//! When the next order is due.
//!
//! Holds: after an order that came to nothing the next one waits, twice as long each time, and never less than
//! [`RETRY_FIRST_MIN`]; no two servers that failed together try again together.
//! Other half: `worker`.

use std::time::Duration;

use jmap_core::{
    inproc::certificates::{CertificateOrigin, CertificateRecord},
    rng::Rng,
};

/// The shortest wait after a failure.
pub const RETRY_FIRST_MIN: Duration = Duration::from_secs(1);
/// Certificates are renewed when so much of their time is over.
const RENEWED_AFTER: (i64, i64) = (2, 3);
/// What part of its time is left at least, whatever the server says.
const LEFT_AT_LEAST: i64 = 10;

/// A certificate that isn't wanted is forgotten so long after the next try for it was due, in seconds: whoever wants it makes that try at once.
const FORGOTTEN_AFTER: i64 = 86_400;

/// How long to wait after orders that came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// After the first.
    pub first: Duration,
    /// At most.
    pub longest: Duration,
}

impl Retry {
    /// The wait after so many failures, 1 and up: doubled each time, then made up to a quarter longer or shorter.
    pub fn wait(&self, failures: u32, rng: &dyn Rng) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let doubled = self.first.saturating_mul(1 << doublings);
        let millis = doubled.min(self.longest).max(RETRY_FIRST_MIN).as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX / 2);
        let half = millis / 2;
        let dice = rng.next_u64().checked_rem(half).unwrap_or(0);
        let wait = Duration::from_millis((millis - half / 2).saturating_add(dice));
        wait.max(RETRY_FIRST_MIN)
    }
}

/// When to order a certificate for these names, in seconds since 1970, as `now`. What is past is now.
pub fn due(record: Option<&CertificateRecord>, wanted: &[String], now: i64, retry: &Retry) -> i64 {
    let Some(record) = record else {
        return 0;
    };
    let due = match covers(record, wanted) {
        true => {
            let chosen = record.renew_at.unwrap_or_else(|| renewal(record));
            chosen.min(latest(record))
        }
        false => 0,
    };
    // No wait is longer: the clock was ahead when that was noted.
    let longest = (retry.longest.as_secs() / 4)
        .saturating_mul(5)
        .saturating_add(5);
    let next_try = record.next_try.unwrap_or(0);
    match next_try > now.saturating_add_unsigned(longest) {
        true => due,
        false => due.max(next_try),
    }
}

/// Whether there is a certificate with all the names.
pub fn covers(record: &CertificateRecord, wanted: &[String]) -> bool {
    !record.chain.is_empty() && wanted.iter().all(|name| record.names.contains(name))
}

/// Whoever says when to renew: while the certificate is still good, with time for more than one try.
fn latest(record: &CertificateRecord) -> i64 {
    let lifetime = record.not_after.saturating_sub(record.not_before).max(0);
    record.not_after.saturating_sub(lifetime / LEFT_AT_LEAST)
}

/// When two thirds of a certificate's time are over.
fn renewal(record: &CertificateRecord) -> i64 {
    let (part, whole) = RENEWED_AFTER;
    let lifetime = record.not_after.saturating_sub(record.not_before).max(0);
    record
        .not_before
        .saturating_add(lifetime / whole * part + lifetime % whole * part / whole)
}

/// What is to be done with a certificate that this node isn't to order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwanted {
    /// Another node may want it, or its time isn't over.
    Stays,
    /// Nobody tries to renew it any more; what went wrong with that concerns nobody.
    IsNotTried,
    /// There is no certificate, or its time is over, and nobody tries to have one.
    Goes,
}

/// What becomes of a certificate that isn't wanted. `now`: seconds since 1970.
pub fn unwanted(record: &CertificateRecord, now: i64) -> Unwanted {
    let is_past = |time: i64| time.saturating_add(FORGOTTEN_AFTER) < now;
    if record.origin != CertificateOrigin::Acme || !is_past(record.next_try.unwrap_or(0)) {
        return Unwanted::Stays;
    }
    match record.chain.is_empty() || is_past(record.not_after) {
        true => Unwanted::Goes,
        false if record.failures > 0 => Unwanted::IsNotTried,
        false => Unwanted::Stays,
    }
}

/// A moment of the window that the server suggests (RFC 9773 §4.2), in seconds since 1970. One that was chosen before
/// stays, as long as it is in the window.
pub fn in_window(start: i64, end: i64, before: Option<i64>, rng: &dyn Rng) -> i64 {
    if let Some(before) = before.filter(|before| (start..=end).contains(before)) {
        return before;
    }
    let width = u64::try_from(end.saturating_sub(start)).unwrap_or(0);
    let dice = rng.next_u64().checked_rem(width).unwrap_or(0);
    start.saturating_add_unsigned(dice)
}

#[cfg(test)]
mod tests {
    use jmap_core::rng::SeededRng;
    use minicbor::bytes::ByteVec;

    use super::*;

    const RETRY: Retry = Retry {
        first: Duration::from_secs(60),
        longest: Duration::from_secs(3600),
    };

    fn check_wait(retry: Retry, failures: u32, around: u64) {
        let rng = SeededRng::new(u64::from(failures));
        let waits: Vec<u64> = (0..200)
            .map(|_| retry.wait(failures, &rng).as_millis() as u64)
            .collect();
        let (least, most) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
        assert!(
            *least >= around * 750 && *most <= around * 1250,
            "{failures}: {least} to {most}"
        );
        assert!(most - least > around * 300, "{failures}: all at {least}");
    }

    #[test]
    fn waits_grow_to_a_limit_and_are_spread() {
        let rows = [
            (1, 60),
            (2, 120),
            (3, 240),
            (6, 1920),
            (7, 3600),
            (u32::MAX, 3600),
        ];
        for (failures, around) in rows {
            check_wait(RETRY, failures, around);
        }
    }

    #[test]
    fn nobody_hammers() {
        let none = Retry {
            first: Duration::ZERO,
            longest: Duration::ZERO,
        };
        let rng = SeededRng::new(1);
        for failures in 0..50 {
            assert!(none.wait(failures, &rng) >= RETRY_FIRST_MIN);
        }
    }

    fn record(names: &[&str]) -> CertificateRecord {
        CertificateRecord {
            names: names.iter().map(|&name| name.into()).collect(),
            chain: vec![ByteVec::from(vec![1])],
            not_before: 1000,
            not_after: 1900,
            ..CertificateRecord::default()
        }
    }

    fn check_due(record: Option<CertificateRecord>, wanted: &[&str], want: i64) {
        let wanted: Vec<String> = wanted.iter().map(|&name| name.into()).collect();
        let due = due(record.as_ref(), &wanted, 1000, &RETRY);
        assert_eq!(due, want, "{record:?}");
    }

    #[test]
    fn what_is_due_when() {
        let of = record(&["a", "b"]);
        check_due(None, &["a"], 0);
        check_due(Some(of.clone()), &["a", "b"], 1600);
        check_due(Some(of.clone()), &["b"], 1600);
        // Another name is wanted.
        check_due(Some(of.clone()), &["a", "c"], 0);
        let with = |change: fn(&mut CertificateRecord)| {
            let mut of = of.clone();
            change(&mut of);
            Some(of)
        };
        check_due(with(|of| of.chain.clear()), &["a"], 0);
        check_due(with(|of| of.renew_at = Some(1200)), &["a"], 1200);
        check_due(with(|of| of.next_try = Some(1700)), &["a"], 1700);
        check_due(with(|of| of.next_try = Some(1100)), &["a"], 1600);
        // A failure is waited after in any case.
        check_due(with(|of| of.next_try = Some(1100)), &["c"], 1100);
        // Not after its end, whatever the server has said.
        check_due(with(|of| of.renew_at = Some(5000)), &["a"], 1810);
        // The clock was ahead.
        check_due(with(|of| of.next_try = Some(1000 + 4500)), &["a"], 5500);
        check_due(with(|of| of.next_try = Some(1000 + 4506)), &["a"], 1600);
        check_due(with(|of| of.next_try = Some(1000 + 4506)), &["c"], 0);
        check_due(
            with(|of| of.not_after = i64::MAX),
            &["a"],
            1000 + (i64::MAX - 1000) / 3 * 2,
        );
        check_due(with(|of| of.not_after = 999), &["a"], 999);
    }

    #[test]
    fn what_is_not_wanted_goes_when_nobody_tries_it() {
        let row = |change: fn(&mut CertificateRecord), now, want| {
            let mut of = record(&["a"]);
            change(&mut of);
            assert_eq!(unwanted(&of, now), want, "{of:?}");
        };
        let day = FORGOTTEN_AFTER;
        row(|of| of.chain.clear(), 2000 + day, Unwanted::Goes);
        row(|_| (), 1900 + day, Unwanted::Stays);
        row(|_| (), 1901 + day, Unwanted::Goes);
        // Another node tries.
        let tried = |of: &mut CertificateRecord| {
            of.chain.clear();
            of.next_try = Some(2000);
        };
        row(tried, 2000 + day, Unwanted::Stays);
        row(tried, 2001 + day, Unwanted::Goes);
        let failed = |of: &mut CertificateRecord| {
            (of.failures, of.next_try) = (3, Some(1500));
            of.not_after = 9 * FORGOTTEN_AFTER;
        };
        row(failed, 1500 + day, Unwanted::Stays);
        row(failed, 1501 + day, Unwanted::IsNotTried);
        let imported = |of: &mut CertificateRecord| of.origin = CertificateOrigin::Imported;
        row(imported, 9 * day, Unwanted::Stays);
    }

    #[test]
    fn a_moment_of_the_window_is_kept() {
        let rng = SeededRng::new(3);
        let chosen = in_window(100, 200, None, &rng);
        assert!((100..200).contains(&chosen));
        assert_eq!(in_window(100, 200, Some(chosen), &rng), chosen);
        assert!((300..400).contains(&in_window(300, 400, Some(chosen), &rng)));
        assert_eq!(in_window(100, 100, None, &rng), 100);
        assert_eq!(in_window(100, 50, None, &rng), 100);
    }
}

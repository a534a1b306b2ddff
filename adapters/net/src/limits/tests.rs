use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// `steps`: milliseconds since the start, and what a take says: `ok`, or the milliseconds to wait.
fn check(rate: Rate, steps: &[(u64, Result<(), u64>)]) {
    let limiter = RateLimiter::new(rate, 10);
    let start = Instant::now();
    for (at_ms, want) in steps {
        let got = limiter.take(&"key", start + Duration::from_millis(*at_ms));
        let want = want.map_err(|ms| RetryAfter(Duration::from_millis(ms)));
        assert_eq!(got, want, "at {at_ms} ms");
    }
}

#[test]
fn burst_then_steady() {
    let rate = Rate::new(2, SECOND);
    check(
        rate,
        &[
            (0, Ok(())),
            (0, Ok(())),
            (0, Err(500)),
            (499, Err(1)),
            (500, Ok(())),
            (500, Err(500)),
            (60_000, Ok(())),
            (60_000, Ok(())),
            (60_000, Err(500)),
        ],
    );
}

#[test]
fn nothing_is_allowed_when_the_burst_is_zero() {
    check(Rate::new(0, SECOND), &[(0, Err(1000)), (5000, Err(1000))]);
}

#[test]
fn time_going_backwards_is_harmless() {
    check(
        Rate::new(1, SECOND),
        &[(10_000, Ok(())), (0, Err(11_000)), (11_000, Ok(()))],
    );
}

#[test]
fn more_than_the_burst_is_never_allowed() {
    let limiter = RateLimiter::new(Rate::new(5, SECOND), 10);
    let now = Instant::now();
    assert!(limiter.take_many(&1, 6, now).is_err());
    assert!(limiter.take_many(&1, 5, now).is_ok());
    assert!(limiter.take_many(&1, 1, now).is_err());
    assert!(limiter.take_many(&1, u32::MAX, now).is_err());
}

#[test]
fn failures_are_charged_after_the_fact() {
    let limiter = RateLimiter::new(Rate::new(2, SECOND), 10);
    let now = Instant::now();
    for _ in 0..5 {
        assert!(limiter.check(&1, now).is_ok());
    }
    limiter.charge(&1, 1, now);
    assert!(limiter.check(&1, now).is_ok());
    limiter.charge(&1, 100, now);
    assert!(limiter.check(&1, now).is_err());
    // However much was charged, it is forgotten after one period.
    assert!(limiter.check(&1, now + SECOND).is_ok());
    limiter.charge(&1, 2, now);
    limiter.forget(&1);
    assert!(limiter.check(&1, now).is_ok());
}

#[test]
fn another_rate_begins_anew() {
    let limiter = RateLimiter::new(Rate::new(1, 3600 * SECOND), 10);
    let now = Instant::now();
    limiter.take(&1, now).unwrap();
    limiter.set_rate(Rate::new(1, 3600 * SECOND));
    limiter.take(&1, now).unwrap_err();
    limiter.set_rate(Rate::new(2, SECOND));
    limiter.take_many(&1, 2, now).unwrap();
    assert_eq!(limiter.take(&1, now), Err(RetryAfter(SECOND / 2)));
}

#[test]
fn memory_is_bounded_and_the_least_recently_used_goes_first() {
    let limiter = RateLimiter::new(Rate::new(1, SECOND), 3);
    let now = Instant::now();
    for key in [1, 2, 3] {
        limiter.take(&key, now).unwrap();
    }
    limiter.check(&1, now).unwrap_err();
    limiter.take(&4, now).unwrap();
    assert_eq!(limiter.len(), 3);
    assert!(limiter.check(&1, now).is_err(), "used lately");
    assert!(limiter.check(&2, now).is_ok(), "forgotten");
    for key in 0..10_000 {
        let _ = limiter.take(&key, now);
    }
    assert_eq!(limiter.len(), 3);
    assert!(limiter.buckets.lock().full.slots.len() <= 3);
}

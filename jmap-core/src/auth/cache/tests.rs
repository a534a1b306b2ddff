use super::*;
use crate::clock::{TestClock, UtcMillis};
use crate::rng::SeededRng;

fn cache(entries_max: usize) -> (VerifiedCache<u8>, Arc<TestClock>) {
    let clock = Arc::new(TestClock::new(UtcMillis(0)));
    let rng = SeededRng::new(1);
    let cache = VerifiedCache::with_limits(&rng, clock.clone(), VERIFIED_FOR, entries_max);
    (cache, clock)
}

#[test]
fn only_the_same_is_found() {
    let (cache, _) = cache(10);
    cache.put("ann", &"secret".into(), 7, 42);
    let rows = [
        ("ann", "secret", Some(42)),
        ("ann", "Secret", None),
        ("ann", "", None),
        ("bob", "secret", None),
        ("anns", "ecret", None),
        ("", "annsecret", None),
    ];
    for (login, password, want) in rows {
        assert_eq!(
            cache.get(login, &password.into(), 7),
            want,
            "{login} {password}"
        );
    }
}

#[test]
fn another_generation_ends_it() {
    let (cache, _) = cache(10);
    cache.put("ann", &"secret".into(), 7, 42);
    assert_eq!(cache.get("ann", &"secret".into(), 8), None);
    // And it does not come back with the old one.
    assert_eq!(cache.get("ann", &"secret".into(), 7), None);
}

#[test]
fn time_ends_it() {
    let (cache, clock) = cache(10);
    cache.put("ann", &"secret".into(), 7, 42);
    clock.advance(VERIFIED_FOR - Duration::from_millis(1));
    assert_eq!(cache.get("ann", &"secret".into(), 7), Some(42));
    // Use does not prolong it, and the wall clock has no part in it.
    clock.set(UtcMillis(-1_000_000));
    clock.advance(Duration::from_millis(1));
    assert_eq!(cache.get("ann", &"secret".into(), 7), None);
}

#[test]
fn it_is_bounded_and_can_be_cleared() {
    let (cache, _) = cache(100);
    for number in 0..10_000 {
        cache.put(&format!("user{number}"), &"secret".into(), 0, 1);
    }
    assert!(cache.entries.len() <= 100, "{cache:?}");
    cache.put("ann", &"secret".into(), 0, 1);
    cache.clear();
    assert_eq!(cache.get("ann", &"secret".into(), 0), None);
}

#[test]
fn it_can_be_switched_off() {
    let clock = Arc::new(TestClock::new(UtcMillis(0)));
    let cache = VerifiedCache::with_limits(&SeededRng::new(1), clock, Duration::ZERO, 10);
    cache.put("ann", &"secret".into(), 0, 1);
    assert_eq!(cache.get("ann", &"secret".into(), 0), None);
}

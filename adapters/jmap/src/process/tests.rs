use super::*;
use crate::parse::request;

fn parsed(json: &str) -> Request {
    request::json(json.as_bytes())
        .and_then(request::request)
        .unwrap()
}

fn check_request(json: &str, expected: Result<(), &str>) {
    let checked = check(&parsed(json), |uri| uri == "known", 3);
    assert_eq!(
        checked.map_err(|error| error.urn()),
        expected.map_err(|kind| match kind {
            "limit" => "urn:ietf:params:jmap:error:limit",
            _ => "urn:ietf:params:jmap:error:unknownCapability",
        }),
        "{json}"
    );
}

#[test]
fn what_is_refused_as_a_whole() {
    let calls = |count: usize| {
        format!(
            r#"{{"using":["known"],"methodCalls":[{}]}}"#,
            vec![r#"["x",{},"0"]"#; count].join(",")
        )
    };
    check_request(&calls(3), Ok(()));
    check_request(&calls(4), Err("limit"));
    check_request(&calls(10_000), Err("limit"));
    check_request(r#"{"using":["known","known"],"methodCalls":[]}"#, Ok(()));
    check_request(r#"{"using":[],"methodCalls":[]}"#, Ok(()));
    check_request(
        r#"{"using":["known","other"],"methodCalls":[]}"#,
        Err("unknownCapability"),
    );
}

#[tokio::test]
async fn a_panic_is_the_calls_own() {
    let outcome = caught("Test/panic", async { panic!("on purpose") }).await;
    assert_eq!(outcome.unwrap_err().kind, MethodErrorKind::ServerFail);
}

#[tokio::test(start_paused = true)]
async fn answers_take_room_and_small_ones_are_kept_without() {
    use std::time::Duration;

    use jmap_types::AccountId;
    use tokio::time::Instant;

    use crate::room::Room;

    let wait = Duration::from_secs(10);
    let large = 4 * RESPONSE_WAITING_OCTETS_MAX;
    let room = Room::new(2 * large as usize, wait);
    let space = |account| Space {
        room: room.of(AccountId::new(account)),
        octets: 0,
        is_full: false,
    };
    let mut first = space(1);
    assert!(first.admits(RESPONSE_FREE_OCTETS).await);
    assert_eq!(first.room.octets(), 0, "as much as is free");
    assert!(first.admits(1).await);
    assert_eq!(first.room.octets(), RESPONSE_FREE_OCTETS + 1);
    assert!(first.admits(large - RESPONSE_FREE_OCTETS - 1).await);
    // The account has its part. What is large doesn't stay in memory to wait.
    let mut second = space(1);
    let begun = Instant::now();
    assert!(!second.admits(RESPONSE_WAITING_OCTETS_MAX + 1).await);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert!(second.is_full && second.octets == 0);
    assert!(second.admits(RESPONSE_FREE_OCTETS).await, "a small one");
    assert!(!second.admits(RESPONSE_FREE_OCTETS + 1).await);
    let mut third = space(1);
    assert!(!third.admits(RESPONSE_WAITING_OCTETS_MAX).await);
    assert!(begun.elapsed() >= wait);
    // Others have theirs.
    let mut other = space(2);
    assert!(other.admits(large).await);
    drop((first, second, third, other));
    assert_eq!(room.free_octets(), 2 * large);
}

#[test]
fn who_has_changed_something_hears_that() {
    for method in ["Email/set", "Email/import", "EmailSubmission/set"] {
        let kind = no_room_for(method).kind;
        assert_eq!(kind, MethodErrorKind::ServerPartialFail, "{method}");
    }
    for method in ["Email/get", "Email/queryChanges", "Core/echo", "error"] {
        let kind = no_room_for(method).kind;
        let expected = match method {
            "error" => MethodErrorKind::ServerPartialFail,
            _ => MethodErrorKind::ServerUnavailable,
        };
        assert_eq!(kind, expected, "{method}");
    }
}

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

use super::*;
use crate::{bounds::REFERENCE_OCTETS_MAX, parse::ijson};

fn map(json: &str) -> Map {
    ijson::parse(json.as_bytes())
        .unwrap()
        .into_object()
        .unwrap()
}

fn answers() -> Answers {
    let mut answers = Answers::new(REFERENCE_OCTETS_MAX);
    let thread = r#"{"list":[{"id":"t1","emailIds":["e1","e2"]},{"id":"t2","emailIds":["e3"]},{"id":"t3","emailIds":[]}],
        "deep":[[[1,2],[3]],[[4]]],"none":[],"*":"star","a/b":{"m~n":7},"":"empty","n":null,"mixed":[1,[2,[3]]]}"#;
    answers.push("Thread/get", map(thread), "t0".into());
    answers.push("error", map(r#"{"type":"serverFail"}"#), "t1".into());
    answers.push(
        "Email/copy",
        map(r#"{"created":{"k":{"id":"e9"}}}"#),
        "t2".into(),
    );
    answers.push("Email/set", map(r#"{"destroyed":["e1"]}"#), "t2".into());
    answers
}

fn check(reference: &str, expected: Result<&str, &str>) {
    let resolved = answers().resolve(map(&format!(
        "{{\"accountId\":\"a1\",\"#ids\":{reference}}}"
    )));
    match expected {
        Ok(json) => {
            let expected = format!("{{\"accountId\":\"a1\",\"ids\":{json}}}");
            let resolved = resolved.unwrap_or_else(|error| panic!("{reference}: {error}"));
            assert_eq!(
                serde_json::to_string(&resolved).unwrap(),
                expected,
                "{reference}"
            );
        }
        Err(kind) => assert_eq!(resolved.unwrap_err().kind.as_str(), kind, "{reference}"),
    }
}

fn check_path(path: &str, expected: Result<&str, &str>) {
    let path = serde_json::to_string(path).unwrap();
    check(
        &format!(r#"{{"resultOf":"t0","name":"Thread/get","path":{path}}}"#),
        expected,
    );
}

#[test]
fn paths() {
    let lost = Err("invalidResultReference");
    check_path("/list/*/emailIds", Ok(r#"["e1","e2","e3"]"#));
    check_path("/list/*/id", Ok(r#"["t1","t2","t3"]"#));
    check_path("/list/0/emailIds/1", Ok(r#""e2""#));
    check_path("/list/1", Ok(r#"{"id":"t2","emailIds":["e3"]}"#));
    check_path("/deep/*/*", Ok("[1,2,3,4]"));
    check_path("/deep/*/*/*", Ok("[1,2,3,4]"));
    check_path("/deep/*", Ok("[[1,2],[3],[4]]"));
    check_path("/deep/*/0", Ok("[1,2,4]"));
    check_path("/mixed/*", Ok("[1,2,[3]]"));
    check_path("/none/*/whatever", Ok("[]"));
    check_path("/*", Ok(r#""star""#));
    check_path("/a~1b/m~0n", Ok("7"));
    check_path("/", Ok(r#""empty""#));
    check_path("/n", Ok("null"));
    check_path("/list/3", lost);
    check_path("/list/-", lost);
    check_path("/list/00", lost);
    check_path("/list/01", lost);
    check_path("/list/+1", lost);
    check_path("/list/", lost);
    check_path("/list/99999999999999999999999", lost);
    check_path("/list/*/nothing", lost);
    check_path("/list/*/id/0", lost);
    check_path("/list/id", lost);
    check_path("/n/x", lost);
    check_path("/nothing", lost);
    check_path("list", lost);
    check_path("/a~2b", lost);
    check_path(&"/x".repeat(33), lost);
    check_path(&"/*".repeat(100_000), lost);
}

#[test]
fn references() {
    let lost = Err("invalidResultReference");
    let to = |id: &str, name: &str, path: &str| {
        format!(r#"{{"resultOf":"{id}","name":"{name}","path":"{path}"}}"#)
    };
    check(&to("t2", "Email/copy", "/created/k/id"), Ok(r#""e9""#));
    // The first response of a call is meant, whatever its name.
    check(&to("t2", "Email/set", "/destroyed"), lost);
    check(&to("t1", "error", "/type"), Ok(r#""serverFail""#));
    check(&to("t1", "Thread/get", "/list"), lost);
    check(&to("t9", "Thread/get", "/list"), lost);
    check(&to("t1", "error", ""), Ok(r#"{"type":"serverFail"}"#));
    for malformed in [
        "null",
        "[]",
        "\"t0\"",
        "{}",
        r#"{"resultOf":"t0","name":"Thread/get"}"#,
        r#"{"resultOf":"t0","name":"Thread/get","path":1}"#,
    ] {
        check(malformed, lost);
    }
}

#[test]
fn a_name_is_given_once() {
    let both = r##"{"ids":null,"#ids":{"resultOf":"t0","name":"Thread/get","path":"/none"}}"##;
    let error = answers().resolve(map(both)).unwrap_err();
    assert_eq!(error.kind, MethodErrorKind::InvalidArguments);
    let unknown = r##"{"foo":1,"#foo":{"resultOf":"x","name":"y","path":"/z"}}"##;
    let error = answers().resolve(map(unknown)).unwrap_err();
    assert_eq!(error.kind, MethodErrorKind::InvalidArguments);
    // Only the arguments themselves can be references.
    let inner = r##"{"x":{"#ids":1},"y":["#ids"]}"##;
    let resolved = answers().resolve(map(inner)).unwrap();
    assert_eq!(resolved, map(inner));
}

#[test]
fn references_cant_double_themselves() {
    let mut answers = Answers::new(REFERENCE_OCTETS_MAX);
    answers.push(
        "Core/echo",
        map(&format!(r#"{{"x":"{}"}}"#, "x".repeat(1 << 20))),
        "0".into(),
    );
    for n in 0..100 {
        let reference = format!(r#"{{"resultOf":"{n}","name":"Core/echo","path":""}}"#);
        let arguments = map(&format!("{{\"#a\":{reference},\"#b\":{reference}}}"));
        match answers.resolve(arguments) {
            Ok(resolved) => answers.push("Core/echo", resolved, (n + 1).to_string().into()),
            Err(error) => {
                assert_eq!(error.kind, MethodErrorKind::RequestTooLarge);
                assert!((3..8).contains(&n), "{n}");
                return;
            }
        }
    }
    panic!("no limit");
}

#[test]
fn one_octet_past_what_references_may_copy() {
    let list = r#"{"list":["e1","e2","e3"]}"#;
    let octets = weight(map(list).get(&key("list")).unwrap());
    let reference = r##"{"#ids":{"resultOf":"0","name":"Foo/query","path":"/list"}}"##;
    // As often as the room is enough for, and in the end by one octet too little.
    for (room, times) in [(3 * octets, 3), (3 * octets - 1, 2), (octets - 1, 0)] {
        let mut answers = Answers::new(room);
        answers.push("Foo/query", map(list), "0".into());
        for n in 0..times {
            let resolved = answers.resolve(map(reference));
            assert!(resolved.is_ok(), "{room} octets, reference {n}");
        }
        let error = answers.resolve(map(reference)).unwrap_err();
        assert_eq!(error.kind, MethodErrorKind::RequestTooLarge, "{room}");
    }
}

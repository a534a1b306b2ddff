use base64::{Engine, prelude::BASE64_STANDARD};
use jmap_core::auth::credentials::AUTHORIZATION_OCTETS_MAX;

use super::*;

fn credentials_of(field: &str) -> String {
    match HeaderValue::try_from(field)
        .ok()
        .and_then(|value| credentials(&value))
    {
        None => "none".into(),
        Some(Credentials::Password { login, password }) => {
            format!("{login} / {}", password.expose())
        }
        Some(Credentials::Bearer { token, .. }) => format!("bearer {}", token.expose()),
        Some(Credentials::Factors { .. }) => "with a code".into(),
        Some(Credentials::Passkey { .. }) => "by a passkey".into(),
    }
}

#[test]
fn authorization() {
    let basic = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
    let rows = [
        (basic("ann@example.org:secret"), "ann@example.org / secret"),
        (basic("ann:a:b"), "ann / a:b"),
        (basic("änn:ß"), "änn / ß"),
        (basic(":"), " / "),
        (basic("ann"), "none"),
        ("basic  YTpi ".into(), "a / b"),
        ("Basic YTpi=".into(), "none"),
        ("Basic /w==".into(), "none"),
        ("Bearer abc.def-_~+/=".into(), "bearer abc.def-_~+/="),
        ("Bearer".into(), "none"),
        ("Bearer ".into(), "none"),
        ("Bearer a b".into(), "none"),
        ("Digest x".into(), "none"),
        (
            format!("Bearer {}", "x".repeat(AUTHORIZATION_OCTETS_MAX)),
            "none",
        ),
    ];
    for (field, expected) in rows {
        assert_eq!(credentials_of(&field), expected, "{field:.80}");
    }
}

#[test]
fn media_types() {
    let rows = [
        ("text/plain", Some("text/plain")),
        (
            " text/html; charset=utf-8 ",
            Some("text/html; charset=utf-8"),
        ),
        ("application/vnd.a+json", Some("application/vnd.a+json")),
        ("text", None),
        ("text/", None),
        ("/plain", None),
        ("text/pl ain", None),
        ("text/plain\r\nX: y", None),
        ("text/plain; n=\u{e9}", None),
    ];
    for (text, expected) in rows {
        assert_eq!(media_type(text), expected, "{text:?}");
    }
    let json = |text| is_json(Some(&HeaderValue::from_static(text)));
    assert!(json("application/json") && json("Application/JSON ; charset=utf-8"));
    assert!(!json("text/json") && !json("application/jsonx") && !is_json(None));
}

#[test]
fn file_names() {
    let rows = [
        ("a.txt", r#"attachment; filename="a.txt""#),
        ("a b.txt", r#"attachment; filename="a b.txt""#),
        ("", "attachment"),
        ("\r\n", "attachment"),
        ("a\r\nX: y", r#"attachment; filename="aX: y""#),
        (
            "ä\".txt",
            r#"attachment; filename="__.txt"; filename*=UTF-8''%C3%A4%22.txt"#,
        ),
        (
            "../x",
            r#"attachment; filename=".._x"; filename*=UTF-8''..%2Fx"#,
        ),
    ];
    for (name, expected) in rows {
        assert_eq!(attachment(name).to_str().unwrap(), expected, "{name:?}");
    }
    let long = attachment(&"ä".repeat(1000));
    assert!(long.len() < 8 * FILE_NAME_OCTETS_MAX);
}

#[test]
fn ranges() {
    use Range::*;
    let rows = [
        ("bytes=0-0", Part(0, 0)),
        ("bytes=0-99", Part(0, 9)),
        ("bytes=9-", Part(9, 9)),
        ("bytes=-3", Part(7, 9)),
        ("bytes=-30", Part(0, 9)),
        ("bytes=10-", Unsatisfiable),
        ("bytes=-0", Unsatisfiable),
        ("bytes=99999999999999999999999-", Unsatisfiable),
        ("bytes=5-4", Whole),
        ("bytes=0-1,3-4", Whole),
        ("bytes=a-b", Whole),
        ("bytes=-", Whole),
        ("bytes=+1-2", Whole),
        ("lines=0-1", Whole),
        ("", Whole),
    ];
    for (field, expected) in rows {
        assert_eq!(range(Some(field), 10), expected, "{field}");
    }
    assert_eq!(range(Some("bytes=0-"), 0), Unsatisfiable);
    assert_eq!(range(None, 10), Whole);
}

#[test]
fn codings_and_etags() {
    let rows = [
        ("gzip, deflate, br, zstd", Coding::Zstd),
        ("gzip", Coding::Gzip),
        ("zstd;q=0, gzip;q=0.5", Coding::Gzip),
        ("gzip;q=0", Coding::Identity),
        ("*;q=0", Coding::Identity),
        ("*", Coding::Zstd),
        ("zstd;q=0, *", Coding::Gzip),
        ("br", Coding::Identity),
        ("", Coding::Identity),
    ];
    for (field, expected) in rows {
        let mut headers = HeaderMap::new();
        headers.insert(
            http::header::ACCEPT_ENCODING,
            HeaderValue::from_static(field),
        );
        assert_eq!(accepted_coding(&headers), expected, "{field}");
    }
    assert!(matches_etag("*", "\"a\"") && matches_etag("\"b\", W/\"a\"", "\"a\""));
    assert!(!matches_etag("\"ab\"", "\"a\""));
}

//! A second factor on the running server: enrolled by the API, asked for on the page, refused elsewhere.

use std::time::{Duration, SystemTime};

use aws_lc_rs::hmac;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use e2e::{
    PASSWORD, Server,
    http::{Answer, Http},
    imap::Imap,
};
use serde_json::Value;

use crate::{
    ALICE, asked,
    browser::{Browser, parameter},
    provider, redeem, register, submission,
};

fn ask(server: &Server, method: &str, path: &str, fields: &[(&str, &str)], body: &str) -> Answer {
    let basic = BASE64_STANDARD.encode(format!("{ALICE}:{PASSWORD}"));
    let authorization = format!("Basic {basic}");
    let mut headers = vec![
        ("Authorization", authorization.as_str()),
        ("Content-Type", "application/json"),
    ];
    headers.extend(fields);
    let path = format!("/api/v1{path}");
    Http::new(server.home.http)
        .request(method, &path, &headers, body.as_bytes())
        .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
}

/// What a device does (RFC 6238), `steps` from now.
fn code(secret: &str, steps: i64) -> String {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut octets = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for letter in secret.chars() {
        let value = LETTERS.find(letter).expect("base 32");
        bits = bits << 5 | u32::try_from(value).expect("small");
        count += 5;
        if count >= 8 {
            count -= 8;
            octets.push(u8::try_from(bits >> count & 0xff).expect("an octet"));
        }
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let step = i64::try_from(now.expect("a time").as_secs() / 30).expect("a step") + steps;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &octets);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let offset = usize::from(tag[19] & 15);
    let four: [u8; 4] = tag[offset..offset + 4].try_into().expect("four");
    format!(
        "{:06}",
        (u32::from_be_bytes(four) & 0x7fff_ffff) % 1_000_000
    )
}

/// Waits, if need be, for a step that won't end at once.
fn in_a_fresh_step() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let left = 30 - now.expect("a time").as_secs() % 30;
    if left < 10 {
        std::thread::sleep(Duration::from_secs(left));
    }
}

/// Secret and recovery codes of alice.
fn enrolled(server: &Server) -> (String, Vec<Value>) {
    let answer = ask(server, "POST", "/me/totp", &[], "");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let enrolment = answer.json();
    let secret = enrolment["secret"].as_str().expect("a secret").to_owned();
    let uri = enrolment["uri"].as_str().expect("a URI");
    assert!(uri.starts_with("otpauth://totp/mail.example.org:alice%40example.org?secret="));
    assert!(
        enrolment["picture"]
            .as_str()
            .expect("a picture")
            .contains("<svg")
    );
    let path = "/me/totp/confirmation";
    let wrong = ask(server, "POST", path, &[], r#"{"code": "12345x"}"#);
    assert_eq!(wrong.status, 422);
    let body = format!(r#"{{"code": "{}"}}"#, code(&secret, -1));
    let answer = ask(server, "POST", path, &[], &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let codes = answer.json()["codes"].as_array().expect("codes").clone();
    assert_eq!(codes.len(), 10);
    (secret, codes)
}

#[test]
fn with_a_device_the_password_alone_opens_nothing() {
    let mut server = provider();
    let client = register(&server);
    in_a_fresh_step();
    let (secret, codes) = enrolled(&server);
    let answer = ask(&server, "GET", "/me", &[], "");
    assert_eq!(answer.status, 403);
    assert!(answer.text().contains("second-factor"), "{}", answer.text());
    let refused = Imap::try_login(server.home.imap, ALICE, PASSWORD);
    let refused = refused.expect("no connection").expect_err("it was taken");
    assert!(
        refused.contains("[ALERT]") && refused.contains("app password"),
        "{refused}"
    );
    let refused = submission(&server, &[PASSWORD]);
    assert!(refused.starts_with("534 5.7.9"), "{refused}");
    let basic = BASE64_STANDARD.encode(format!("{ALICE}:{PASSWORD}"));
    let fields = [("Authorization", &*format!("Basic {basic}"))];
    let answer = Http::new(server.home.http).get("/.well-known/jmap", &fields);
    assert_eq!(answer.status, 401);

    // The console: with a code, once.
    let now = code(&secret, 0);
    let fields = [("One-Time-Code", now.as_str())];
    assert_eq!(ask(&server, "GET", "/me", &fields, "").status, 200);
    assert_eq!(ask(&server, "GET", "/me", &fields, "").status, 401);
    // Also after a crash it was used.
    server.kill();
    server.restart();
    assert_eq!(ask(&server, "GET", "/me", &fields, "").status, 401);

    // The page: password, then a code.
    let mut browser = Browser::new(&server);
    let page = browser.open(&asked(&client, &[]));
    let page = browser.send(&page, &[("login", ALICE), ("password", PASSWORD)]);
    assert!(page.text().contains("one-time-code"), "{}", page.text());
    let again = browser.send(&page, &[("code", &now)]);
    assert!(again.text().contains("used already"), "{}", again.text());
    let page = browser.send(&page, &[("code", &code(&secret, 1))]);
    assert!(page.text().contains("Allow access?"), "{}", page.text());
    let answer = browser.send(&page, &[("decision", "allow")]);
    let location = answer.header("location").expect("an address");
    let granted = redeem(
        &server,
        &client,
        &parameter(location, "code").expect("a code"),
    );
    assert_eq!(granted.status, 200, "{}", granted.text());

    // Without the device: a recovery code, and the second factor goes.
    let recovery = codes[0].as_str().expect("a code");
    let fields = [("One-Time-Code", recovery)];
    assert_eq!(ask(&server, "DELETE", "/me/totp", &fields, "").status, 204);
    assert_eq!(ask(&server, "GET", "/me", &[], "").status, 200);
    let log = server.log();
    for text in [secret.as_str(), recovery, &now] {
        assert!(!log.contains(text), "a secret is in the log");
    }
}

/// Whoever has a session of somebody's, and no more, takes no factor away.
#[test]
fn a_factor_goes_with_the_word_of_its_person() {
    let server = provider();
    let body = r#"{"kind": "token", "description": "a session"}"#;
    let answer = ask(&server, "POST", "/accounts/me/credentials", &[], body);
    let token = answer.json()["secret"]
        .as_str()
        .expect("a token")
        .to_owned();
    in_a_fresh_step();
    let (secret, codes) = enrolled(&server);
    let by_session = |method: &str, path: &str, code: Option<&str>| {
        let bearer = format!("Bearer {token}");
        let mut fields = vec![("Authorization", bearer.as_str())];
        fields.extend(code.map(|code| ("One-Time-Code", code)));
        let path = format!("/api/v1{path}");
        let answer = Http::new(server.home.http).request(method, &path, &fields, b"");
        answer.expect("no answer")
    };
    let renewal = "/me/totp/recovery-codes";
    let listed = by_session("GET", "/accounts/me/credentials", None).json();
    let items = listed["items"].as_array().expect("a list");
    let device = items.iter().find(|of| of["kind"] == "totp").expect("it");
    let credential = format!("/accounts/me/credentials/{}", device["number"]);
    for (method, path) in [
        ("DELETE", "/me/totp"),
        ("DELETE", credential.as_str()),
        ("POST", renewal),
    ] {
        let answer = by_session(method, path, None);
        assert_eq!(answer.status, 403, "{path}: {}", answer.text());
        assert!(answer.text().contains("confirmation-needed"), "{path}");
        let answer = by_session(method, path, Some("000000"));
        assert_eq!(answer.status, 422, "{path}: {}", answer.text());
    }
    let now = code(&secret, 0);
    let answer = by_session("POST", renewal, Some(&now));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let newer = answer.json()["codes"][0]
        .as_str()
        .expect("a code")
        .to_owned();
    // Neither a code that was used nor one that was renewed.
    let old = codes[0].as_str().expect("a code");
    for used in [now.as_str(), old] {
        assert_eq!(by_session("DELETE", "/me/totp", Some(used)).status, 422);
    }
    assert_eq!(by_session("DELETE", "/me/totp", Some(&newer)).status, 204);
    assert_eq!(ask(&server, "GET", "/me", &[], "").status, 200);
}

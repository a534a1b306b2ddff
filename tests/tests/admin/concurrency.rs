//! Nobody overwrites what they have not seen; what was asked for once is made once, also through `kill -9`.

use std::thread;

use serde_json::json;

use crate::client::{Api, problem, staffed};

#[test]
fn a_change_names_the_version_that_it_is_meant_for() {
    let server = staffed();
    let mut root = Api::new(&server, "root");
    let id = root.id_of("alice@example.org");
    let path = format!("/accounts/{id}");
    let seen = root.get(&path);
    let tag = seen.header("etag").expect("a tag").to_owned();
    let known = root.ask("GET", &path, &[("If-None-Match", &tag)], None);
    assert_eq!((known.status, known.body.len()), (304, 0));
    // Several at the same time: one is first.
    let changes: Vec<_> = (0..6)
        .map(|n| {
            let (path, tag) = (path.clone(), tag.clone());
            let mut api = Api::new(&server, "root");
            thread::spawn(move || {
                let body = json!({"description": n.to_string()});
                api.ask("PATCH", &path, &[("If-Match", &tag)], Some(body))
                    .status
            })
        })
        .collect();
    let mut statuses: Vec<u16> = changes
        .into_iter()
        .map(|change| change.join().expect("an answer"))
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412, 412, 412, 412, 412]);
    let body = || Some(json!({"description": "x"}));
    for field in [&*tag, "\"0\"", "W/\"x\"", "nonsense"] {
        let answer = root.ask("PATCH", &path, &[("If-Match", field)], body());
        assert_eq!(problem(&answer), "changed", "{field}");
    }
    let answer = root.ask("DELETE", &path, &[("If-Match", &tag)], None);
    assert_eq!(problem(&answer), "changed");
    let now = root.get(&path);
    let now = now.header("etag").expect("a tag");
    let several = format!("{tag}, {now}");
    let answer = root.ask("PATCH", &path, &[("If-Match", &several)], body());
    assert_eq!(answer.status, 200);
    let any = root.ask("PATCH", &path, &[("If-Match", "*")], body());
    assert_eq!(any.status, 200);
}

#[test]
fn a_request_is_made_once_also_through_kill_9() {
    let mut server = staffed();
    let mut root = Api::new(&server, "root");
    let alice = root.id_of("alice@example.org");
    let places = [
        ("/domains".to_owned(), json!({"name": "once.example"})),
        ("/accounts".to_owned(), json!({"name": "once@example.org"})),
        (
            "/groups".to_owned(),
            json!({"name": "oncegroup@example.org"}),
        ),
        (
            "/aliases".to_owned(),
            json!({"address": "oncealias@example.org", "to": ["bob@example.org"]}),
        ),
        (
            "/lists".to_owned(),
            json!({"address": "oncelist@example.org", "owner": "bob@example.org", "members": []}),
        ),
        (
            format!("/accounts/{alice}/credentials"),
            json!({"kind": "token", "description": "once"}),
        ),
    ];
    let mut first = Vec::new();
    for (n, (path, body)) in places.iter().enumerate() {
        let key = format!("key-{n}");
        let answer = root.ask(
            "POST",
            path,
            &[("Idempotency-Key", &key)],
            Some(body.clone()),
        );
        assert_eq!(answer.status, 201, "{path}: {}", answer.text());
        first.push(answer);
    }
    server.kill();
    server.restart();
    let mut root = Api::new(&server, "root");
    for (n, (path, body)) in places.iter().enumerate() {
        let key = format!("key-{n}");
        let again = root.ask(
            "POST",
            path,
            &[("Idempotency-Key", &key)],
            Some(body.clone()),
        );
        assert_eq!(again.status, 201, "{path}: {}", again.text());
        assert_eq!(again.header("location"), first[n].header("location"));
        // But for the secret, which is shown once.
        let mut was = first[n].json();
        if let Some(secret) = was.get_mut("secret") {
            assert!(secret.is_string());
            *secret = json!(null);
        }
        assert_eq!(again.json(), was, "{path}");
        // Another request with the same key is a mistake; another key is another request.
        let mut other = body.clone();
        match path.as_str() {
            "/domains" => other["name"] = json!("other.example"),
            _ => other["description"] = json!("other"),
        }
        let reused = root.ask("POST", path, &[("Idempotency-Key", &key)], Some(other));
        assert_eq!(problem(&reused), "idempotency-key-reused", "{path}");
    }
    let credentials = root.shown(&format!("/accounts/{alice}/credentials"));
    let tokens = credentials["items"].as_array().expect("a list");
    let tokens = tokens.iter().filter(|item| item["kind"] == "token");
    assert_eq!(tokens.count(), 1);
    let other = root.ask(
        "POST",
        "/accounts",
        &[("Idempotency-Key", "other")],
        Some(json!({"name": "once@example.org"})),
    );
    assert_eq!(problem(&other), "already-exists");
    server.home.check();
}

#[test]
fn requests_at_the_same_time_with_one_key_make_one_thing() {
    let server = staffed();
    let mut root = Api::new(&server, "root");
    let alice = root.id_of("alice@example.org");
    let path = format!("/accounts/{alice}/credentials");
    let asked: Vec<_> = (0..6)
        .map(|_| {
            let (path, mut api) = (path.clone(), Api::new(&server, "root"));
            thread::spawn(move || {
                let body = json!({"kind": "app-password", "description": "phone"});
                let answer = api.ask("POST", &path, &[("Idempotency-Key", "k")], Some(body));
                assert_eq!(answer.status, 201, "{}", answer.text());
                answer.json()
            })
        })
        .collect();
    let answers: Vec<_> = asked
        .into_iter()
        .map(|asked| asked.join().expect("an answer"))
        .collect();
    let secrets = answers.iter().filter(|answer| answer["secret"].is_string());
    assert_eq!(secrets.count(), 1);
    let numbers = answers
        .iter()
        .map(|answer| answer["credential"]["number"].clone());
    let numbers: std::collections::BTreeSet<String> = numbers.map(|n| n.to_string()).collect();
    assert_eq!(numbers.len(), 1);
}

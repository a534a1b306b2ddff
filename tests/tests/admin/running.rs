//! What goes on in a server: mail on its way, what happened to it, keys, deleted mail, long work.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::client::{Api, problem, staffed, staffed_home};

const PATIENCE: Duration = Duration::from_secs(120);

/// Asks until there is an answer.
pub fn wait<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(200));
    }
}

pub fn deliver(server: &e2e::Server, to: &str, subject: &str) {
    let octets = format!("From: c@example.com\r\nTo: {to}\r\nSubject: {subject}\r\n\r\nx\r\n");
    let reply = server.lmtp().send("c@example.com", to, octets.as_bytes());
    assert!(reply.expect("no answer").is_ok());
}

#[test]
fn mail_on_its_way_is_seen_and_stopped_by_whose_it_is() {
    let server = staffed();
    let mut root = Api::new(&server, "root");
    let mut carol = Api::new(&server, "carol@example.org");
    assert_eq!(root.put("/queue/holds/far.example", None).status, 204);
    let holds = root.shown("/queue/holds");
    assert_eq!(holds["items"][0]["destination"], json!("far.example"));
    for domain in ["example.org", "example.net"] {
        root.made(
            "/aliases",
            json!({"address": format!("out@{domain}"), "to": ["x@far.example"]}),
        );
        deliver(&server, &format!("out@{domain}"), "Out");
    }
    let all = wait("two messages", || {
        let all = root.shown("/queue/messages");
        (all["total"] == json!(2)).then_some(all)
    });
    // What is held back isn't tried, however often it is asked for.
    let places = root.all("/queue/destinations");
    let far = places.iter().find(|of| of["name"] == json!("far.example"));
    assert_eq!(far.map(|of| &of["held"]), Some(&json!(true)), "{places:?}");
    let all_tried = root.post("/queue/retry", json!({"domain": "far.example"}));
    assert_eq!(all_tried.status, 200, "{}", all_tried.text());
    thread::sleep(Duration::from_secs(2));
    let untried = root.shown("/queue/messages");
    for of in untried["items"].as_array().expect("a list") {
        assert_eq!(of["state"], json!("waiting"), "{of}");
        assert_eq!(of["recipients"][0]["attempts"], json!(0), "{of}");
    }
    for (query, count) in [
        ("q=OUT@example.net", 1),
        ("q=far.example", 2),
        ("q=nobody", 0),
        ("state=waiting", 2),
        ("state=deferred", 0),
        ("domain=far.example", 2),
        ("domain=near.example", 0),
    ] {
        let found = root.shown(&format!("/queue/messages?{query}"));
        assert_eq!(found["total"], json!(count), "{query}");
    }
    let pages = root.all("/queue/messages?q=out");
    assert_eq!(pages.len(), 2);
    let first = root.shown("/queue/messages?limit=1");
    let cursor = first["next"].as_str().expect("a cursor");
    let second = root.shown(&format!("/queue/messages?limit=1&cursor={cursor}"));
    assert_ne!(first["items"][0]["account"], second["items"][0]["account"]);
    // What is of her domain alone.
    let seen = carol.shown("/queue/messages");
    assert_eq!(seen["total"], json!(1), "{seen}");
    let own = &seen["items"][0];
    assert_eq!(own["accountName"], json!("out@example.org"));
    assert_eq!(own["recipients"][0]["address"], json!("x@far.example"));
    let place = |of: &Value| {
        let text = |name: &str| of[name].as_str().expect("a text").to_owned();
        format!("/queue/messages/{}/{}", text("account"), text("submission"))
    };
    let others = all["items"].as_array().expect("a list");
    let other = others
        .iter()
        .find(|of| of["accountName"] == json!("out@example.net"));
    let other = place(other.expect("the other one"));
    assert_eq!(problem(&carol.get(&other)), "not-found");
    assert_eq!(problem(&carol.delete(&other)), "not-found");
    assert_eq!(
        problem(&carol.post(&format!("{other}/retry"), json!({}))),
        "not-found"
    );
    let own = place(own);
    assert_eq!(carol.get(&own).status, 200);
    let retried = carol.ask("POST", &format!("{own}/retry"), &[], None);
    assert_eq!(retried.json(), json!({"messages": 1}), "{}", retried.text());
    assert_eq!(carol.delete(&format!("{own}?tell=false")).status, 204);
    wait("it is given up", || {
        (carol.shown("/queue/messages")["total"] == json!(0)).then_some(())
    });
    // What was passed on leaves nothing behind.
    assert_eq!(problem(&carol.get(&own)), "not-found");
    assert_eq!(problem(&carol.delete(&own)), "not-found");
    assert_eq!(root.shown("/queue/messages")["total"], json!(1));
    assert_eq!(root.delete("/queue/holds/far.example").status, 204);
    wait("it is tried", || {
        let left = root.shown(&other);
        (left["recipients"][0]["attempts"].as_u64() > Some(0)).then_some(())
    });
    let audit = root.shown("/audit?operation=queue");
    let audit = audit["items"].as_array().expect("a list").len();
    // Held, all retried, one retried, cancelled, released.
    assert_eq!(audit, 5);
}

#[test]
fn one_message_is_held_and_released() {
    let mut server = staffed();
    let mut root = Api::new(&server, "root");
    let mut carol = Api::new(&server, "carol@example.org");
    for to in ["x", "y"] {
        root.made(
            "/aliases",
            json!({"address": format!("{to}@example.org"), "to": [format!("{to}@far.example")]}),
        );
        deliver(&server, &format!("{to}@example.org"), "Out");
    }
    let all = wait("two messages that were tried", || {
        let all = root.shown("/queue/messages?state=deferred");
        (all["total"] == json!(2)).then_some(all)
    });
    let first = &all["items"][0];
    let text = |name: &str| first[name].as_str().expect("a text").to_owned();
    let message = format!("/queue/messages/{}/{}", text("account"), text("submission"));
    let tries = first["recipients"][0]["attempts"].clone();
    let hold = format!("{message}/hold");
    assert_eq!(carol.put(&hold, None).status, 204);
    let held = carol.shown(&message);
    assert_eq!(
        (&held["state"], &held["due"]),
        (&json!("on-hold"), &Value::Null)
    );
    assert!(held["heldSince"].is_string(), "{held}");
    // A retry of everything leaves it alone, and one of its own is refused.
    let retried = root.post("/queue/retry", json!({}));
    assert_eq!(retried.json(), json!({"messages": 1}));
    let retried = carol.ask("POST", &format!("{message}/retry"), &[], None);
    assert_eq!(problem(&retried), "in-use");
    // Also a server that was killed goes on to hold it.
    server.kill();
    server.restart();
    let mut root = Api::new(&server, "root");
    let held = root.shown("/queue/messages?state=on-hold");
    assert_eq!(held["total"], json!(1), "{held}");
    assert_eq!(held["items"][0]["recipients"][0]["attempts"], tries);
    let named = format!("{}/{}", text("account"), text("submission"));
    let list = server.home.cli(&["queue", "list"], "");
    assert!(list.contains("on-hold"), "{list}");
    let told = server.home.cli(&["queue", "release", &named], "");
    assert!(told.contains("is tried now"), "{told}");
    wait("it is tried again", || {
        let now = root.shown(&message);
        (now["recipients"][0]["attempts"].as_u64() > tries.as_u64()).then_some(())
    });
    let told = server.home.cli(&["queue", "hold", &named], "");
    assert!(told.contains("until it is released"), "{told}");
    assert_eq!(root.delete(&hold).status, 204);
    let states = root.all("/audit?operation=queue.change");
    let states: Vec<&Value> = states
        .iter()
        .filter_map(|row| row["changes"].as_array())
        .flatten()
        .filter(|change| change["field"] == json!("state"))
        .map(|change| &change["after"])
        .collect();
    for state in ["on hold", "released"] {
        let count = states.iter().filter(|of| ***of == json!(state)).count();
        assert_eq!(count, 2, "{states:?}");
    }
}

#[test]
fn what_happened_is_told_to_whose_it_is() {
    let server = staffed();
    let mut root = Api::new(&server, "root");
    for to in ["alice@example.org", "eve@example.net", "bob@example.org"] {
        deliver(&server, to, "Hello");
    }
    let traces = |api: &mut Api, query: &str| -> Vec<Value> { api.all(&format!("/traces{query}")) };
    let all = wait("three events", || {
        let all = traces(&mut root, "?event=received");
        (all.len() >= 3).then_some(all)
    });
    assert_eq!(all.len(), 3);
    assert_eq!(
        traces(&mut Api::new(&server, "help"), "?event=received").len(),
        3
    );
    let mut carol = Api::new(&server, "carol@example.org");
    let own = traces(&mut carol, "?event=received");
    assert_eq!(own.len(), 2, "{own:?}");
    assert!(!json!(own).to_string().contains("eve@"));
    assert_eq!(traces(&mut carol, "?to=@example.net").len(), 0);
    let one = traces(&mut carol, "?to=alice@example.org&from=c@example.com");
    assert_eq!(one.len(), 1);
}

#[test]
fn keys_are_rotated() {
    let server = staffed();
    let mut carol = Api::new(&server, "carol@example.org");
    let keys = |of: &Value, state: &str| {
        let items = of["items"].as_array().expect("a list").iter();
        items.filter(|key| key["state"] == json!(state)).count()
    };
    let path = "/domains/example.org/dkim-keys";
    let before = carol.shown(path);
    assert_eq!(
        (keys(&before, "active"), keys(&before, "waiting")),
        (2, 0),
        "{before}"
    );
    let ask = |api: &mut Api, what: &str| api.ask("POST", &format!("{path}/{what}"), &[], None);
    let prepared = ask(&mut carol, "prepare");
    assert_eq!(keys(&prepared.json(), "waiting"), 2, "{}", prepared.text());
    let again = ask(&mut carol, "prepare");
    assert_eq!(again.json(), prepared.json());
    let active = ask(&mut carol, "activate");
    assert_eq!(active.status, 200, "{}", active.text());
    let after = carol.shown(path);
    assert_eq!(
        (keys(&after, "active"), keys(&after, "retired")),
        (2, 2),
        "{after}"
    );
    assert_eq!(problem(&ask(&mut carol, "activate")), "not-found");
    // Those that have retired can go, and those that sign can't.
    for key in after["items"].as_array().expect("a list") {
        let selector = key["selector"].as_str().expect("a selector");
        let removed = carol.delete(&format!("{path}/{selector}"));
        match key["state"].as_str() {
            Some("retired") => assert_eq!(removed.status, 204, "{}", removed.text()),
            _ => assert_eq!(problem(&removed), "in-use"),
        }
    }
    let left = carol.shown(path);
    assert_eq!((keys(&left, "active"), keys(&left, "retired")), (2, 0));
    assert_eq!(problem(&carol.delete(&format!("{path}/no"))), "not-found");
    assert!(!after.to_string().contains("PRIVATE"));
    let records = carol.shown("/domains/example.org/dns-records").to_string();
    assert!(records.contains("_domainkey.example.org"), "{records}");
    let findings = carol.shown("/domains/example.org/dns-check");
    let status = &findings["items"][0]["status"];
    assert_eq!(*status, json!("unknown"), "{findings}");
}

#[test]
fn deleted_mail_comes_back() {
    let server = staffed();
    deliver(&server, "alice@example.org", "Gone");
    let mut jmap = server.jmap("alice");
    let ids = wait("the mail", || {
        let ids = jmap.query_all(json!({"subject": "Gone"}));
        (!ids.is_empty()).then_some(ids)
    });
    jmap.call("Email/set", json!({"destroy": ids}));
    let mut carol = Api::new(&server, "carol@example.org");
    let alice = carol.id_of("alice@example.org");
    let path = format!("/accounts/{alice}/deleted");
    let listed = carol.shown(&path);
    assert_eq!(listed["items"][0]["subject"], json!("Gone"), "{listed}");
    assert_eq!(carol.shown(&format!("{path}?q=nothing"))["total"], json!(0));
    let id = listed["items"][0]["id"].as_str().expect("an id");
    let restored = carol.post(&format!("{path}/{id}/restore"), json!({}));
    assert_eq!(restored.status, 200, "{}", restored.text());
    assert_eq!(jmap.query_all(json!({"subject": "Gone"})).len(), 1);
    let again = carol.post(&format!("{path}/{id}/restore"), json!({}));
    assert_eq!(problem(&again), "not-found");
    let audit = carol.shown("/audit?operation=deleted.restore");
    assert_eq!(audit["items"][0]["object"], json!("alice@example.org"));
}

#[test]
fn long_work_is_begun_watched_and_over() {
    let home = staffed_home();
    let repository = home.path().join("backups");
    let place = format!("to = {:?}", repository.to_str().expect("a path"));
    let server = e2e::Server::start_in(home.set("backup", &place));
    let mut root = Api::new(&server, "root");
    for kind in ["check", "repair", "backup"] {
        let begun = root.post("/jobs", json!({"kind": kind}));
        assert_eq!(begun.status, 202, "{}", begun.text());
        let id = begun.json()["id"].as_str().expect("an id").to_owned();
        let over = wait("it ends", || {
            let job = root.shown(&format!("/jobs/{id}"));
            (job["state"] != json!("running")).then_some(job)
        });
        assert_eq!(over["state"], json!("done"), "{over}");
        assert_eq!(over["by"], json!("root"));
        assert_eq!(over["findings"], json!([]), "{over}");
        assert_eq!(problem(&root.delete(&format!("/jobs/{id}"))), "in-use");
    }
    let list = root.shown("/jobs");
    assert_eq!(list["items"].as_array().map(Vec::len), Some(3));
    assert!(repository.is_dir());
    let numbers = root.shown("/metrics");
    assert_eq!(numbers["writable"], json!(true));
    assert_eq!(numbers["domains"], json!(2));
    assert_eq!(root.shown("/nodes")["items"], json!([]));
    assert_eq!(root.shown("/quarantine")["total"], json!(0));
    assert_eq!(
        root.shown("/reports?days=30&domain=example.org")["total"],
        json!(0)
    );
}

/// A record of nobody, in the database of a server that doesn't run.
fn damage(home: &e2e::Home) {
    let runtime = tokio::runtime::Runtime::new().expect("no runtime");
    runtime.block_on(async {
        let engine = e2e::dump::open(&home.data);
        let mut batch = store::engine::Batch::new();
        batch.put(vec![0xee, 1, 2], "of nobody");
        engine.commit(batch).await.expect("not written");
    });
}

#[test]
fn a_check_finds_what_is_wrong_and_a_repair_puts_it_aside() {
    let home = staffed_home();
    damage(&home);
    let server = e2e::Server::start_in(home);
    let mut root = Api::new(&server, "root");
    let mut run = |kind: &str| {
        let begun = root.post("/jobs", json!({"kind": kind, "fast": true}));
        assert_eq!(begun.status, 202, "{}", begun.text());
        let place = begun.header("location").expect("a place").to_owned();
        let path = place.strip_prefix("/api/v1").expect("ours").to_owned();
        wait("it ends", || {
            let job = root.shown(&path);
            (job["state"] != json!("running")).then_some(job)
        })
    };
    let checked = run("check");
    assert_eq!(checked["state"], json!("done"), "{checked}");
    assert_eq!(checked["wrong"], json!(true), "{checked}");
    let findings = checked["findings"].as_array().expect("a list");
    assert_eq!(findings.len(), 1, "{checked}");
    for name in ["code", "record", "sentence", "meaning", "remedy"] {
        assert!(
            findings[0][name]
                .as_str()
                .is_some_and(|text| !text.is_empty())
        );
    }
    let repaired = run("repair");
    assert_eq!(repaired["wrong"], json!(false), "{repaired}");
    assert_eq!(run("check")["wrong"], json!(false));
    let aside = root.shown("/quarantine");
    assert_eq!(aside["total"], json!(1), "{aside}");
    let key = aside["items"][0]["key"].as_str().expect("a key");
    assert_eq!(key, "ee0102");
    assert_eq!(aside["items"][0]["octets"], json!(9));
    assert!(!aside.to_string().contains("of nobody"));
    assert_eq!(root.delete(&format!("/quarantine/{key}")).status, 204);
    assert_eq!(root.shown("/quarantine")["total"], json!(0));
    assert_eq!(
        problem(&root.delete(&format!("/quarantine/{key}"))),
        "not-found"
    );
}

#[test]
fn deleted_mail_of_others_is_not_there() {
    let server = staffed();
    deliver(&server, "eve@example.net", "Elsewhere");
    let mut jmap = e2e::Jmap::login(server.home.http, "eve@example.net", e2e::PASSWORD);
    let ids = wait("the mail", || {
        let ids = jmap.query_all(json!({}));
        (!ids.is_empty()).then_some(ids)
    });
    jmap.call("Email/set", json!({"destroy": ids}));
    let mut root = Api::new(&server, "root");
    let eve = root.id_of("eve@example.net");
    let path = format!("/accounts/{eve}/deleted");
    let listed = root.shown(&path);
    assert_eq!(listed["total"], json!(1));
    let id = listed["items"][0]["id"].as_str().expect("an id");
    for login in ["carol@example.org", "alice@example.org"] {
        let mut api = Api::new(&server, login);
        let expected = match login {
            "carol@example.org" => "not-found",
            _ => "forbidden",
        };
        assert_eq!(problem(&api.get(&path)), expected);
        let restored = api.post(&format!("{path}/{id}/restore"), json!({}));
        assert_eq!(problem(&restored), expected);
    }
    let mut own = Api::new(&server, "eve@example.net");
    assert_eq!(own.shown(&path)["total"], json!(1));
    let restored = own.post(&format!("{path}/{id}/restore"), json!({}));
    assert_eq!(restored.status, 200, "{}", restored.text());
}

//! What goes on in a server: mail on its way, what happened to it, keys, deleted mail, long work.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::client::{Api, problem, staffed};

const PATIENCE: Duration = Duration::from_secs(120);

/// Asks until there is an answer.
fn wait<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(200));
    }
}

fn deliver(server: &e2e::Server, to: &str, subject: &str) {
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
    assert_eq!(carol.get(&own).json()["state"], json!("done"));
    assert_eq!(problem(&carol.delete(&own)), "not-found");
    assert_eq!(root.shown("/queue/messages")["total"], json!(1));
    assert_eq!(root.delete("/queue/holds/far.example").status, 204);
    let audit = root.shown("/audit?operation=queue");
    let audit = audit["items"].as_array().expect("a list").len();
    // Held, retried, cancelled, released.
    assert_eq!(audit, 4);
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
    assert!(!json!(own).to_string().contains("example.net"));
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
    let home = crate::client::staffed_home();
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

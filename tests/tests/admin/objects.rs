//! A day of an administrator: objects are made, shown, changed and removed, and mail is where they say.

use serde_json::json;

use crate::client::{Api, problem, staffed};

#[test]
fn a_domain_with_all_that_belongs_to_it() {
    let server = staffed();
    let mut root = Api::new(&server, "root");
    let domain = root.made("/domains", json!({"name": "Bücher.example"}));
    assert_eq!(domain["name"], json!("xn--bcher-kva.example"));
    let place = "/domains/b%C3%BCcher.example";
    let changed = root.patch(place, json!({"accountsMax": 2, "quotaOctets": 1_000_000}));
    assert_eq!(changed.json()["accountsMax"], json!(2));
    let cleared = root.patch(place, json!({"quotaOctets": null}));
    assert_eq!(cleared.json()["quotaOctets"], json!(null));
    assert_eq!(cleared.json()["accountsMax"], json!(2));
    let domain = "xn--bcher-kva.example";
    let name = |local: &str| format!("{local}@{domain}");
    let ann = root.made(
        "/accounts",
        json!({"name": name("ann"), "password": e2e::PASSWORD, "description": "Ann"}),
    );
    let ann = ann["id"].as_str().expect("an id").to_owned();
    root.made("/groups", json!({"name": name("team")}));
    let third = root.post("/accounts", json!({"name": name("ben")}));
    assert_eq!(problem(&third), "limit-reached");
    let account = format!("/accounts/{ann}");
    for _ in 0..2 {
        let path = format!("{account}/addresses/{}", name("a"));
        assert_eq!(root.put(&path, None).status, 204);
    }
    let renamed = root.patch(&account, json!({"name": name("anna"), "disabled": false}));
    let addresses = &renamed.json()["addresses"];
    assert_eq!(*addresses, json!([name("anna"), name("ann"), name("a")]));
    assert_eq!(
        problem(&root.delete(&format!("{account}/addresses/{}", name("anna")))),
        "in-use"
    );
    let forwarding = json!({"forwarding": {"to": ["bob@example.org"], "keepsCopy": true}});
    let forwards = root.patch(&account, forwarding.clone());
    assert_eq!(forwards.json()["forwarding"], forwarding["forwarding"]);
    let none = root.patch(&account, json!({"forwarding": null}));
    assert_eq!(none.json()["forwarding"], json!(null));
    let path = format!("{account}/quota");
    let quota = root.put(
        &path,
        Some(json!({"quotaOctets": 500, "recipientsPerDay": 9})),
    );
    assert_eq!(quota.json()["effectiveOctets"], json!(500));
    assert_eq!(quota.json()["recipientsPerDay"], json!(9));
    assert_eq!(problem(&root.delete(place)), "in-use");
    // It is no group, and no alias.
    for other in ["groups", "aliases", "lists"] {
        let answer = root.get(&format!("/{other}/{ann}"));
        assert_eq!(problem(&answer), "not-found", "{other}");
        let answer = root.delete(&format!("/{other}/{ann}"));
        assert_eq!(problem(&answer), "not-found", "{other}");
    }
    server.home.check();
}

#[test]
fn mail_goes_where_aliases_and_lists_say() {
    let server = staffed();
    let mut root = Api::new(&server, "root");
    root.made(
        "/aliases",
        json!({"address": "sales@example.org", "to": ["bob@example.org"]}),
    );
    root.made(
        "/lists",
        json!({"address": "all@example.org", "owner": "alice@example.org", "posters": "anyone", "members": ["alice@example.org", "bob@example.org"]}),
    );
    for to in ["sales@example.org", "all@example.org"] {
        let octets = format!("From: c@example.com\r\nTo: {to}\r\nSubject: {to}\r\n\r\nx\r\n");
        let reply = server.lmtp().send("c@example.com", to, octets.as_bytes());
        assert!(reply.expect("no answer").is_ok());
    }
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    for (name, count) in [("bob", 2), ("alice", 1)] {
        let mut jmap = server.jmap(name);
        while jmap.query_all(json!({})).len() < count {
            assert!(std::time::Instant::now() < end, "{name} has not got it");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
}

#[test]
fn people_look_after_their_own_credentials() {
    let server = staffed();
    let mut alice = Api::new(&server, "alice@example.org");
    let me = alice.shown("/me");
    assert_eq!(me["role"], json!("user"));
    let account = format!("/accounts/{}", me["id"].as_str().expect("an id"));
    let over = alice.post(
        &format!("{account}/credentials"),
        json!({"kind": "token", "expires": "2001-01-01T00:00:00Z"}),
    );
    assert_eq!(problem(&over), "invalid-value");
    let made = alice.made(
        &format!("{account}/credentials"),
        json!({"kind": "app-password", "description": "phone", "expires": "2999-01-01T00:00:00Z"}),
    );
    assert_eq!(made["credential"]["expires"], json!("2999-01-01T00:00:00Z"));
    let listed = alice.shown(&format!("{account}/credentials"));
    assert_eq!(listed["items"][1], made["credential"]);
    assert_eq!(alice.shown("/accounts/me/credentials"), listed);
    assert!(!listed.to_string().contains("secret"));
    let new = json!({"password": "another horse 77"});
    let answer = alice.put(&format!("{account}/password"), Some(new));
    assert_eq!(answer.status, 204);
    assert_eq!(alice.get("/me").status, 401);
    let mut alice = Api::with(&server, "alice@example.org", "another horse 77");
    assert_eq!(alice.get(&account).status, 200);
}

#[test]
fn failed_logins_count_here_as_everywhere() {
    let server = staffed();
    let mut wrong = Api::with(&server, "alice@example.org", "wrong");
    let statuses: Vec<u16> = (0..30).map(|_| wrong.get("/me").status).collect();
    assert_eq!(statuses.first(), Some(&401));
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
    let answer = wrong.get("/me");
    assert_eq!(problem(&answer), "too-many-requests");
    assert!(answer.header("retry-after").is_some());
}

//! Each change leaves a row: by whichever way it came; none has a secret in it.

use e2e::{PASSWORD, Server};
use serde_json::{Value, json};

use crate::client::{Api, problem, staffed};

/// Rows as lines, newest first.
fn lines(api: &mut Api, query: &str) -> Vec<String> {
    let rows = api.all(&format!("/audit{query}"));
    let line = |row: &Value| {
        let text = |name: &str| row[name].as_str().unwrap_or("-").to_owned();
        format!(
            "{} {} {} by {} ({}) by way of {}",
            text("outcome"),
            text("operation"),
            text("object"),
            text("name"),
            text("role"),
            text("way")
        )
    };
    rows.iter().map(line).collect()
}

#[test]
fn each_change_leaves_a_row() {
    let server = staffed();
    let mut root = Api::new(&server, "root");
    let me = root.shown("/me")["id"].as_str().expect("an id").to_owned();
    let secrets = ["another horse 77", "third horse 88"];
    root.made("/domains", json!({"name": "third.example"}));
    root.patch("/domains/third.example", json!({"accountsMax": 3}));
    let made = root.made(
        "/accounts",
        json!({"name": "new@third.example", "password": secrets[0]}),
    );
    let id = made["id"].as_str().expect("an id").to_owned();
    let account = format!("/accounts/{id}");
    root.patch(&account, json!({"description": "New", "quotaOctets": 5}));
    root.put(&format!("{account}/quota"), Some(json!({"quotaOctets": 6})));
    root.put(&format!("{account}/addresses/more@third.example"), None);
    root.delete(&format!("{account}/addresses/more@third.example"));
    root.put(
        &format!("{account}/password"),
        Some(json!({"password": secrets[1]})),
    );
    let issued = root.made(
        &format!("{account}/credentials"),
        json!({"kind": "token", "description": "phone"}),
    );
    let number = &issued["credential"]["number"];
    root.delete(&format!("{account}/credentials/{number}"));
    let group = root.made("/groups", json!({"name": "g@third.example"}));
    let group = format!("/groups/{}", group["id"].as_str().expect("an id"));
    root.put(&format!("{group}/members/{id}"), None);
    root.delete(&format!("{group}/members/{id}"));
    root.delete(&group);
    root.delete(&account);
    root.delete("/domains/third.example");
    let lines = lines(&mut root, &format!("?by={me}"));
    let deeds: Vec<&str> = lines
        .iter()
        .rev()
        .map(|line| line.split(" by ").next().unwrap_or_default())
        .collect();
    assert_eq!(
        deeds,
        [
            "done domain.add third.example",
            "done domain.limit third.example",
            "done account.add new@third.example",
            "done account.quota new@third.example",
            "done account.quota new@third.example",
            "done account.change new@third.example",
            "done account.change new@third.example",
            "done credential.password new@third.example",
            "done credential.add new@third.example",
            "done credential.revoke new@third.example",
            "done account.add g@third.example",
            "done group.members g@third.example",
            "done group.members g@third.example",
            "done account.remove g@third.example",
            "done account.remove new@third.example",
            "done domain.remove third.example",
        ]
    );
    assert!(lines.iter().all(|line| line.ends_with("by way of admin")));
    let rows = root.all("/audit");
    for row in rows.iter().filter(|row| row["account"] == json!(me)) {
        assert_eq!(row["address"], json!("127.0.0.1"), "{row}");
    }
    // No secret is in any row, nor in the log.
    let text = json!(rows).to_string() + &server.log();
    let token = issued["secret"].as_str().expect("a secret");
    for secret in [secrets[0], secrets[1], token, PASSWORD] {
        assert!(!text.contains(secret));
    }
    // What was changed is told: from what, to what.
    let quota = rows
        .iter()
        .find(|row| row["operation"] == json!("account.quota"))
        .expect("a row");
    let change = json!({"field": "quotaOctets", "before": "5", "after": "6"});
    assert_eq!(quota["changes"], json!([change]));
    server.home.check();
}

#[test]
fn refusals_are_noted_and_reading_is_not() {
    let server = staffed();
    let mut alice = Api::new(&server, "alice@example.org");
    let answer = alice.post("/domains", json!({"name": "mine.example"}));
    assert_eq!(problem(&answer), "forbidden");
    assert_eq!(problem(&alice.get("/domains")), "forbidden");
    let mut root = Api::new(&server, "root");
    let refused = lines(&mut root, "?outcome=refused");
    assert_eq!(
        refused,
        ["refused domain.add - by alice@example.org (user) by way of admin"]
            .map(|line| line.replace("- by", " by"))
    );
}

#[test]
fn the_command_line_is_audited_too() {
    let mut server: Server = staffed();
    server
        .home
        .cli(&["account", "describe", "bob@example.org", "Bob"], "");
    server.stop();
    server
        .home
        .cli(&["account", "describe", "bob@example.org", "Bobby"], "");
    let listed = server
        .home
        .cli(&["audit", "--of", "bob@example.org", "--limit", "2"], "");
    assert!(listed.contains("from control-socket"), "{listed}");
    assert!(listed.contains("from command-line"), "{listed}");
    assert!(listed.contains("from \"Bob\" to \"Bobby\""), "{listed}");
    let json = server
        .home
        .cli(&["--json", "audit", "--operation", "domain"], "");
    let rows: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(rows.as_array().map(Vec::len), Some(2), "{rows}");
    server.restart();
    // Roles are shown, and given.
    let shown = server
        .home
        .cli(&["account", "show", "carol@example.org"], "");
    assert!(
        shown.contains("domain administrator of example.org"),
        "{shown}"
    );
    let refused = server.home.try_cli(
        &["account", "role", "bob@example.org", "domain-administrator"],
        "",
    );
    assert!(!refused.status.success());
}

//! Alerts: something is wrong, and then it isn't.

use std::{
    thread,
    time::{Duration, Instant},
};

use e2e::{
    Home, Jmap, PASSWORD, Server,
    home::free_port,
    knot::Knot,
    receiver::{Received, Receiver},
};
use serde_json::{Value, json};

use crate::client::{Api, problem, staffed_home};

const PATIENCE: Duration = Duration::from_secs(60);

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what} has not come");
        thread::sleep(Duration::from_millis(100));
    }
}

/// Subjects of an account's mail.
fn subjects(jmap: &mut Jmap) -> Vec<String> {
    let ids = jmap.query_all(json!({}));
    let found = jmap.get_emails(&ids, &["subject"]);
    let subject = |email: &Value| email["subject"].as_str().unwrap_or_default().to_owned();
    found.iter().map(subject).collect()
}

#[test]
fn what_is_wrong_is_mailed_told_and_shown_until_it_is_over() {
    let receiver = Receiver::start();
    let home = staffed_home();
    let authority = home.path().join("receiver.pem");
    std::fs::write(&authority, &receiver.certificate_pem).expect("not written");
    let home = home
        .with_variable("SSL_CERT_FILE", authority)
        .without("alerts", "disk")
        .set("webhooks", "private-services = true")
        .set("alerts", "every = \"1s\"")
        .set("alerts", "calm = \"1s\"");
    home.cli(&["settings", "set", "alerts.disk", "0"], "");
    let server = Server::start_in(home);
    let mut root = Api::new(&server, "root");
    root.made(
        "/webhooks",
        json!({"url": receiver.url(), "events": ["alert.raised", "alert.cleared"]}),
    );
    let set = |key: &str, value: &str| drop(server.home.cli(&["settings", "set", key, value], ""));
    assert_eq!(root.all("/alerts"), Vec::<Value>::new());
    // Every disk is that full.
    set("alerts.disk", "1");
    let alerts = wait_for("an alert", || {
        let all = root.all("/alerts");
        all.first()
            .is_some_and(|of| of["mailed"].is_string())
            .then_some(all)
    });
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert_eq!(alerts[0]["kind"], "disk-full");
    assert!(
        alerts[0]["sentence"]
            .as_str()
            .expect("a sentence")
            .contains("MiB left")
    );
    let is_of = |kind: &'static str| move |of: &Received| of.json()["type"] == kind;
    let raised = receiver.wait_for(1, is_of("alert.raised")).remove(0).json();
    assert_eq!(raised["data"]["kind"], "disk-full");
    let mut inbox = Jmap::login(server.home.http, "root", PASSWORD);
    let begun = wait_for("a mail", || {
        let found = subjects(&mut inbox);
        (!found.is_empty()).then_some(found)
    });
    assert_eq!(begun.len(), 1, "{begun:?}");
    assert!(
        begun[0].starts_with("[mail.example.org] alert: disk-full ("),
        "{begun:?}"
    );
    let metrics = |server: &Server| {
        e2e::http::Http::new(server.home.http)
            .get("/metrics", &[])
            .text()
    };
    wait_for("the gauge", || {
        metrics(&server)
            .contains("posthorn_alerts 1\n")
            .then_some(())
    });
    set("alerts.disk", "0");
    wait_for("the end", || root.all("/alerts").is_empty().then_some(()));
    receiver.wait_for(1, is_of("alert.cleared"));
    let both = wait_for("the mail of the end", || {
        let found = subjects(&mut inbox);
        (found.len() > 1).then_some(found)
    });
    assert_eq!(both.len(), 2, "{both:?}");
    assert!(
        both.iter()
            .any(|subject| subject.contains("over: disk-full")),
        "{both:?}"
    );
    // The help desk is told nothing.
    let mut help = Jmap::login(server.home.http, "help", PASSWORD);
    assert_eq!(subjects(&mut help), Vec::<String>::new());
    // What is still wrong comes back when somebody dismisses it.
    set("alerts.mail", "false");
    set("alerts.disk", "1");
    let again = wait_for("an alert", || root.all("/alerts").first().cloned());
    let path = format!("/alerts/{}", again["number"]);
    assert_eq!(root.delete(&path).status, 204);
    wait_for("it to come back", || root.all("/alerts").first().cloned());
    assert_eq!(problem(&root.delete("/alerts/5")), "not-found");
    assert_eq!(subjects(&mut inbox).len(), 2);
    server.home.check();
}

/// An address of the server in a list, by a real name server, until it isn't any more.
#[test]
fn a_listed_address_is_told() {
    let port = free_port();
    let home = Home::with_people();
    let add_admin = ["account", "add", "root", "--admin", "--password-stdin"];
    home.cli(&add_admin, PASSWORD);
    let home = home
        .set(
            "authentication",
            &format!("resolvers = [\"127.0.0.1:{port}\"]"),
        )
        .set("dns", "dnssec = false")
        .set("alerts", "every = \"1s\"")
        .set("alerts", "calm = \"1s\"")
        .set("alerts", "blocklist-every = \"1s\"")
        .set("alerts", "blocklists = [\"list.test\"]")
        .set(
            "alerts",
            "addresses = [\"192.0.2.25\", \"192.0.2.26\", \"2001:db8::1\"]",
        );
    let zone = |more: &str| {
        format!(
            "list.test. 1 IN SOA ns.list.test. hostmaster.list.test. 1 3600 600 86400 1\nlist.test. 1 IN NS ns.list.test.\nns.list.test. 1 IN A 127.0.0.1\n{more}"
        )
    };
    let listed = zone(
        "25.2.0.192.list.test. 1 IN A 127.0.0.2\n25.2.0.192.list.test. 1 IN TXT \"spam came from there\"\n26.2.0.192.list.test. 1 IN A 127.255.255.254\n",
    );
    let knot = Knot::start(home.path(), port, &[("list.test", &listed)]);
    let server = Server::start_in(home);
    let mut root = Api::new(&server, "root");
    let alert = wait_for("an alert", || root.all("/alerts").first().cloned());
    assert_eq!(alert["kind"], "blocklisted");
    assert_eq!(alert["subject"], "192.0.2.25 list.test");
    let sentence = alert["sentence"].as_str().expect("a sentence");
    assert!(sentence.contains("spam came from there"), "{sentence}");
    assert_eq!(root.all("/alerts").len(), 1);
    // A list that doesn't answer takes nothing back.
    drop(knot);
    thread::sleep(Duration::from_secs(5));
    assert_eq!(root.all("/alerts").len(), 1);
    let _knot = Knot::start(server.home.path(), port, &[("list.test", &zone(""))]);
    wait_for("the end", || root.all("/alerts").is_empty().then_some(()));
}

/// Whoever doesn't look at the log hears of backups that don't even find their repository.
#[test]
fn a_backup_that_finds_no_repository_raises_the_alert() {
    let outer = tempfile::tempdir().expect("no folder");
    // A file where the folder would be.
    let place = outer.path().join("backups");
    std::fs::write(&place, "no folder").expect("not written");
    let home = staffed_home()
        .set("alerts", "every = \"1s\"")
        .set("alerts", "calm = \"1s\"")
        .set("backup", &format!("to = \"{}\"", place.display()))
        .set("backup", "every = \"1s\"");
    let server = Server::start_in(home);
    let mut root = Api::new(&server, "root");
    let failed = |root: &mut Api| {
        let all = root.all("/alerts");
        all.into_iter().find(|of| of["kind"] == "backup-failed")
    };
    let alert = wait_for("the alert", || failed(&mut root));
    let sentence = alert["sentence"].as_str().expect("a sentence");
    assert!(
        sentence.contains(&place.display().to_string()),
        "{sentence}"
    );
    let status = server.home.cli(&["backup", "status", "--json"], "");
    assert!(status.contains("failure"), "{status}");
    std::fs::remove_file(&place).expect("not removed");
    wait_for("the end", || failed(&mut root).is_none().then_some(()));
    // What stood for the repository that wasn't there has gone.
    let status = server.home.cli(&["backup", "status", "--json"], "");
    let status: Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(status.as_array().map(Vec::len), Some(1), "{status}");
}

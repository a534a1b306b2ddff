//! Alerts: something is wrong, and then it isn't.

use std::{
    thread,
    time::{Duration, Instant},
};

use e2e::{
    Jmap, PASSWORD, Server,
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
        .set("webhooks", "private-services = true")
        .set("alerts", "every = \"1s\"")
        .set("alerts", "calm = \"1s\"");
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

//! A queue that was in a backup: what it had sent since isn't sent again, unless an administrator lets it.

use std::{
    thread,
    time::{Duration, Instant},
};

use e2e::{Home, Jmap, PASSWORD, Server, home::free_port, jmap::string};
use serde_json::{Value, json};

use crate::{folder, json, text};

const WAIT: Duration = Duration::from_secs(120);
/// How often a queue is looked at that must not move.
const LOOKS: usize = 10;

/// Waits until it is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + WAIT;
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Mail for these domains goes to these ports.
fn routes(of: &[(&str, u16)]) -> String {
    let route = |(domain, port): &(&str, u16)| {
        format!(
            "{{ domains = [\"{domain}\"], host = \"127.0.0.1\", port = {port}, tls = \"none\" }}"
        )
    };
    let routes: Vec<String> = of.iter().map(route).collect();
    format!("route = [{}]", routes.join(", "))
}

/// Sends a message of alice's.
fn submit(server: &Server, to: &str, subject: &str) {
    let mut jmap = server.jmap("alice");
    let drafts = jmap.mailbox("drafts");
    let draft = json!({
        "mailboxIds": {&drafts: true},
        "from": [{"email": "alice@example.org"}],
        "to": [{"email": to}],
        "subject": subject,
        "textBody": [{"partId": "1", "type": "text/plain"}],
        "bodyValues": {"1": {"value": "Hello"}},
    });
    let made = jmap.call("Email/set", json!({"create": {"d": draft}}));
    let email = string(&made["created"]["d"]["id"]);
    let identities = jmap.call("Identity/get", json!({"ids": null}));
    let identity = string(&identities["list"][0]["id"]);
    let submission = json!({"emailId": email, "identityId": identity});
    let sent = jmap.call("EmailSubmission/set", json!({"create": {"s": submission}}));
    assert!(sent["created"]["s"].is_object(), "{sent}");
}

/// `[(recipient, the message's name)]`, and what is paused.
fn queue(home: &Home) -> (Vec<(String, String)>, Value) {
    let list = json(home, &["queue", "list"]);
    let messages = list["messages"].as_array().expect("a list").iter();
    let row = |message: &Value| {
        let to = string(&message["recipients"][0]["address"]);
        (to, string(&message["message"]))
    };
    let mut rows: Vec<_> = messages.map(row).collect();
    rows.sort();
    (rows, list["paused"].clone())
}

/// Subjects of what an account of the peer has got.
fn received(peer: &Server, login: &str) -> Vec<String> {
    let mut jmap = Jmap::login(peer.home.http, login, PASSWORD);
    let ids = jmap.query_all(json!({}));
    let emails = jmap.get_emails(&ids, &["subject"]);
    emails.iter().map(|of| string(&of["subject"])).collect()
}

/// Two messages are under way when the backup is made; one of them is sent before the server is lost. The restored server sends nothing by
/// itself; the administrator takes the one out that was sent, and lets the other one go.
#[test]
fn a_queue_that_is_held_sends_nothing_twice() {
    // Other domains of the same accounts, so that the peer is one server.
    let peer = Home::with_people();
    for domain in ["example.net", "example.com"] {
        peer.cli(&["domain", "add", domain], "");
        let dave = format!("dave@{domain}");
        peer.cli(&["account", "add", &dave, "--password-stdin"], PASSWORD);
    }
    let (nobody, peer_port) = (free_port(), peer.smtp);
    let first = [("example.net", peer_port), ("example.com", nobody)];
    let mut server = Server::start_in(Home::with_people().set("delivery", &routes(&first)));
    submit(&server, "dave@example.net", "sent before the end");
    submit(&server, "dave@example.com", "not sent before the end");
    let (before, _) = queue(&server.home);
    assert_eq!(before.len(), 2, "{before:?}");
    let repository = folder(&server.home, "backup");
    json(&server.home, &["backup", text(&repository)]);
    let mut peer = Server::start_in(peer);
    until("the first message isn't sent", || {
        server.home.cli(&["queue", "retry", "--all"], "");
        queue(&server.home).0.len() == 1
    });
    assert_eq!(queue(&server.home).0, before[..1], "example.com is first");
    server.kill();

    let both = [("example.net", peer_port), ("example.com", peer_port)];
    let home = Home::new().set("delivery", &routes(&both));
    let restored = json(&home, &["restore", text(&repository), "--hold-queue"]);
    assert_eq!(restored["isQueueHeld"], json!(true));
    home.check();
    let mut server = Server::start_in(home);
    for look in 0..LOOKS {
        // Also if all of it is due, and after a restart.
        server.home.cli(&["queue", "retry", "--all"], "");
        if look == LOOKS / 2 {
            server.stop();
            server.restart();
        }
        let (held, paused) = queue(&server.home);
        assert_eq!(paused, json!([""]));
        let to = |rows: &[(String, String)]| rows.iter().map(|of| of.0.clone()).collect();
        let (held, before): (Vec<String>, Vec<String>) = (to(&held), to(&before));
        assert_eq!(held, before);
    }
    let (held, _) = queue(&server.home);
    let sent = held.iter().find(|(to, _)| to == "dave@example.net");
    let (_, sent) = sent.expect("it is in the backup");
    server.home.cli(&["queue", "cancel", sent], "");
    server.home.cli(&["queue", "resume"], "");
    until("the queue isn't empty", || {
        server.home.cli(&["queue", "retry", "--all"], "");
        let (rows, paused) = queue(&server.home);
        rows.is_empty() && paused == json!([])
    });
    assert_eq!(received(&peer, "dave@example.net"), ["sent before the end"]);
    assert_eq!(
        received(&peer, "dave@example.com"),
        ["not sent before the end"]
    );
    server.home.check();
    peer.stop();
}

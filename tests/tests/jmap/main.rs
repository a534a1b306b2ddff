//! JMAP from outside, against the running binary: one module a family of methods.
//!
//! Holds: each test has a server of its own; what is refused is refused by the name that the RFC has for it.
//! Other half: `jmap_http`, which has the envelope over an adapter in this process.

mod blob;
mod email;
mod errors;
mod mdn;
mod push;
mod quota;
mod sharing;
mod submission;

use std::{
    thread,
    time::{Duration, Instant},
};

use e2e::{Home, Jmap, Server, corpus, jmap::string};
use serde_json::{Value, json};

const WAIT: Duration = Duration::from_secs(30);

/// A message of lines that end in LF.
fn message(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

/// A simple message, in the inbox: its id.
fn mail(jmap: &mut Jmap, subject: &str) -> String {
    let inbox = jmap.mailbox("inbox");
    let id = format!("{}@jmap.example", subject.replace(' ', "."));
    jmap.import(&corpus::message(&id, subject, "the body"), &inbox)
}

/// The type of the SetError of an item, or "ok".
fn outcome<'a>(response: &'a Value, item: &str) -> &'a str {
    let errors = [
        "notCreated",
        "notUpdated",
        "notDestroyed",
        "notSent",
        "notCopied",
    ];
    let error = errors.iter().find_map(|name| response[name].get(item));
    error.map_or("ok", |error| error["type"].as_str().unwrap_or_default())
}

/// Asks until there is an answer.
fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + WAIT;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < end, "{what}: not after {WAIT:?}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// The email with a subject, once it has arrived.
fn arrival(jmap: &mut Jmap, subject: &str) -> String {
    eventually(subject, || {
        let inbox = jmap.mailbox("inbox");
        jmap.query_all(json!({"inMailbox": inbox, "subject": subject}))
            .pop()
    })
}

/// A server with a group, `team@example.org`, that alice is a member of; alice, and the group's account.
fn with_team() -> (Server, Jmap, String) {
    let home = Home::with_people();
    home.cli(&["group", "add", "team@example.org"], "");
    let (team, alice) = ("team@example.org", "alice@example.org");
    home.cli(&["group", "member", "add", team, alice], "");
    let server = Server::start_in(home);
    let jmap = server.jmap("alice");
    let accounts = jmap.session["accounts"].as_object().expect("no accounts");
    let others = accounts.keys().find(|id| **id != jmap.account);
    let team = others.expect("no account of a group").clone();
    (server, jmap, team)
}

/// The inbox of another account.
fn inbox_of(jmap: &mut Jmap, account: &str) -> String {
    let query = json!({"accountId": account, "filter": {"role": "inbox"}});
    string(&jmap.call("Mailbox/query", query)["ids"][0])
}

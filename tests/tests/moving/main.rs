//! Mail moves in and out: from a Dovecot, from files, from another Posthorn, into files, and from database to database; with everybody killed on
//! the way.
//!
//! What counts is what is there at the end: each message in each of its mailboxes, by the hash of its octets, with its keywords and its date.

mod copies;
mod files;
mod imap;

use std::{
    collections::BTreeMap,
    process::Output,
    time::{Duration, Instant},
};

use e2e::{Corpus, Jmap, Server, corpus::message, home::Home};
use serde_json::{Value, json};

const WAIT: Duration = Duration::from_secs(120);
/// Messages of a test that is cut in the middle.
const MANY: usize = 300;

/// A message in a mailbox: the mailbox, the hash of its octets, its keywords, its date.
type Row = (String, String, Vec<String>, String);

/// All messages of an account, in each of their mailboxes.
fn rows(jmap: &mut Jmap) -> Vec<Row> {
    let mailboxes = jmap.call("Mailbox/get", json!({"ids": null}));
    let list = mailboxes["list"].as_array().expect("no list").clone();
    let by_id: BTreeMap<&str, &Value> = list
        .iter()
        .map(|row| (row["id"].as_str().expect("no id"), row))
        .collect();
    let path = |id: &str| {
        let mut levels = Vec::new();
        let mut at = by_id.get(id);
        while let Some(row) = at {
            levels.push(row["name"].as_str().expect("no name").to_owned());
            at = row["parentId"].as_str().and_then(|id| by_id.get(id));
        }
        levels.reverse();
        levels.join("/")
    };
    let ids = jmap.query_all(json!({}));
    let properties = ["blobId", "mailboxIds", "keywords", "receivedAt"];
    let mut rows = Vec::new();
    for email in jmap.get_emails(&ids, &properties) {
        let octets = jmap.download(email["blobId"].as_str().expect("no blob"));
        let names = |value: &Value| -> Vec<String> {
            value
                .as_object()
                .expect("no object")
                .keys()
                .cloned()
                .collect()
        };
        let mut keywords = names(&email["keywords"]);
        keywords.sort();
        for mailbox in names(&email["mailboxIds"]) {
            rows.push((
                path(&mailbox),
                hash(&octets),
                keywords.clone(),
                email["receivedAt"].as_str().expect("no date").to_owned(),
            ));
        }
    }
    rows.sort();
    rows
}

/// What one side has and the other has not is shown.
fn assert_same(found: &[Row], expected: &[Row]) {
    let missing: Vec<&Row> = expected.iter().filter(|row| !found.contains(row)).collect();
    let surplus: Vec<&Row> = found.iter().filter(|row| !expected.contains(row)).collect();
    let (first_missing, first_surplus) = (missing.first(), surplus.first());
    assert!(
        found == expected,
        "{} rows in place of {}; {} missing: {first_missing:?}; {} too many: {first_surplus:?}",
        found.len(),
        expected.len(),
        missing.len(),
        surplus.len()
    );
}

fn hash(octets: &[u8]) -> String {
    blake3::hash(octets).to_hex().to_string()
}

/// Mails of the corpus, no two alike.
fn mails(count: usize) -> Vec<Vec<u8>> {
    let mut mails: Vec<Vec<u8>> = Corpus::load()
        .mails
        .into_iter()
        .map(|mail| mail.octets)
        .filter(|octets| {
            octets.len() < 200_000
                && !octets.contains(&0)
                && octets.first().is_some_and(u8::is_ascii_alphabetic)
        })
        .collect();
    mails.sort();
    mails.dedup();
    // A few of each kind, not all of one sender.
    let step = (mails.len() / count).max(1);
    let mut some: Vec<Vec<u8>> = mails.into_iter().step_by(step).take(count).collect();
    let mut number = 0;
    while some.len() < count {
        number += 1;
        let id = format!("more-{number}@example.net");
        some.push(message(
            &id,
            &format!("number {number}"),
            "One more.\nFrom here on.\n",
        ));
    }
    some
}

/// What a command has printed with `--json`; its exit code is 0.
fn answer(home: &Home, args: &[&str]) -> Value {
    let printed = home.cli(&[&["--json"], args].concat(), "");
    serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Waits until an account has at least so many emails.
fn wait_for_emails(server: &Server, name: &str, count: usize) {
    let end = Instant::now() + WAIT;
    let mut jmap = server.jmap(name);
    loop {
        let arguments = json!({"calculateTotal": true, "limit": 1});
        let total = jmap.call("Email/query", arguments)["total"].as_u64();
        if total.expect("no total") >= count as u64 {
            return;
        }
        assert!(Instant::now() < end, "{total:?} of {count} emails came");
        std::thread::sleep(Duration::from_millis(20));
    }
}

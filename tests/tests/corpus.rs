//! Real mail through the real server: what went in by SMTP comes out by JMAP, octet for octet and at once.
//!
//! Holds: nothing is known of how the server keeps it; only what it answers counts.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use e2e::{
    Corpus, Server,
    corpus::{Mail, message},
    dice::number_from_env,
    jmap::{ALL_EMAIL_PROPERTIES, string, strings},
};
use serde_json::{Value, json};

const CONNECTIONS: usize = 4;
/// Of the corpus, so many mails in one run; `POSTHORN_CORPUS_MAILS` for another number.
const MAILS: usize = 800;
/// Of those, one in so many is read again in the moment it was acknowledged.
const READ_AT_ONCE_EVERY: usize = 8;
const EMAILS_PER_GET: usize = 50;

/// Takes mails evenly from all of the corpus.
fn chosen() -> Vec<Mail> {
    let mails = Corpus::load().mails;
    let count = number_from_env("POSTHORN_CORPUS_MAILS", MAILS).clamp(1, mails.len());
    (0..count)
        .map(|n| mails[n * mails.len() / count].clone())
        .collect()
}

#[test]
fn every_mail_of_the_corpus_comes_out_as_it_went_in() {
    let mails = chosen();
    let mut server = Server::start();
    deliver_all(&server, &mails);

    let mut jmap = server.jmap("alice");
    let ids = jmap.query_all(json!({}));
    assert_eq!(
        ids.len(),
        mails.len(),
        "emails in the account and mails sent"
    );
    check_contents(&mut jmap, &ids, &mails);
    check_all_properties(&mut jmap, &ids);
    check_totals(&mut jmap, &ids);
    jmap.check_counts();

    server.home.check();
    server.stop();
    server.home.check();
    server.restart();
    assert_eq!(
        server.jmap("alice").query_all(json!({})).len(),
        mails.len(),
        "emails after a restart"
    );
}

/// Over several connections; some are read again by the one that has just got its 250.
fn deliver_all(server: &Server, mails: &[Mail]) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let (mut smtp, mut jmap) = (server.smtp(), server.jmap("alice"));
                while let Some((n, mail)) = claim(&next, mails) {
                    let at_once = n % READ_AT_ONCE_EVERY == 0;
                    let before = at_once.then(|| jmap.email_state());
                    let reply = smtp.send("sender@example.net", "alice@example.org", &mail.octets);
                    let reply = reply.unwrap_or_else(|error| panic!("{}: {error}", mail.name));
                    assert_eq!(reply.code, 250, "{}: {}", mail.name, reply.text);
                    if let Some(before) = before {
                        read_at_once(&mut jmap, &before, mail);
                    }
                }
            });
        }
    });
}

fn claim<'m>(next: &AtomicUsize, mails: &'m [Mail]) -> Option<(usize, &'m Mail)> {
    let n = next.fetch_add(1, Ordering::Relaxed);
    mails.get(n).map(|mail| (n, mail))
}

/// Among what has come since `before` is the mail: an acknowledged message is there for the very next request.
fn read_at_once(jmap: &mut e2e::Jmap, before: &str, mail: &Mail) {
    let (created, ..) = jmap.email_changes(before);
    let ids: Vec<String> = created.into_iter().collect();
    let is_there = jmap.get_emails(&ids, &["blobId"]).into_iter().any(|email| {
        let octets = jmap.download(&string(&email["blobId"]));
        octets.ends_with(&mail.octets)
    });
    assert!(
        is_there,
        "{} was acknowledged, and the next request does not see it",
        mail.name
    );
}

/// Each mail sent is there as often as it was sent, behind trace fields of the server and nothing else.
fn check_contents(jmap: &mut e2e::Jmap, ids: &[String], mails: &[Mail]) {
    let mut sent: BTreeMap<&[u8], isize> = BTreeMap::new();
    mails
        .iter()
        .for_each(|mail| *sent.entry(&mail.octets).or_default() += 1);
    for email in jmap.get_emails(ids, &["blobId", "size"]) {
        let octets = jmap.download(&string(&email["blobId"]));
        assert_eq!(
            email["size"],
            json!(octets.len()),
            "the size of {}",
            email["id"]
        );
        let content = without_trace(&octets);
        let count = sent.get_mut(content);
        match count {
            Some(count) => *count -= 1,
            None => panic!(
                "{} is none of the mails sent:\n{}",
                email["id"],
                head_of(&octets)
            ),
        }
    }
    let missing = mails
        .iter()
        .filter(|mail| sent[mail.octets.as_slice()] != 0);
    let missing: Vec<&str> = missing.map(|mail| mail.name.as_str()).collect();
    assert!(
        missing.is_empty(),
        "sent and not there as often: {missing:?}"
    );
}

/// What comes behind the Return-Path, Authentication-Results and Received fields that the server has put in front.
fn without_trace(octets: &[u8]) -> &[u8] {
    let mut rest = octets;
    for name in [
        &b"Return-Path: <sender@example.net>\r\n"[..],
        b"Authentication-Results: mail.example.org; none\r\n",
        b"Received: from client.example.net",
    ] {
        assert!(
            rest.starts_with(name),
            "no {}:\n{}",
            String::from_utf8_lossy(name),
            head_of(octets)
        );
        loop {
            let end = rest
                .iter()
                .position(|&octet| octet == b'\n')
                .map_or(rest.len(), |at| at + 1);
            rest = &rest[end..];
            if !matches!(rest.first(), Some(b' ' | b'\t')) {
                break;
            }
        }
    }
    // Where a mail has no header at all, an empty line keeps it apart from ours.
    match rest.strip_prefix(b"\r\n") {
        Some(stripped) if !has_header(stripped) => stripped,
        _ => rest,
    }
}

fn has_header(octets: &[u8]) -> bool {
    let line = octets
        .split(|&octet| octet == b'\n')
        .next()
        .unwrap_or_default();
    let name = line
        .split(|&octet| octet == b':')
        .next()
        .unwrap_or_default();
    line.contains(&b':') && name.trim_ascii_end().iter().all(u8::is_ascii_graphic)
}

fn head_of(octets: &[u8]) -> String {
    String::from_utf8_lossy(&octets[..octets.len().min(600)]).into_owned()
}

/// Whatever the mail is like, Email/get can say all of it.
fn check_all_properties(jmap: &mut e2e::Jmap, ids: &[String]) {
    for ids in ids.chunks(EMAILS_PER_GET) {
        let response = jmap.call(
            "Email/get",
            json!({
                "ids": ids, "properties": ALL_EMAIL_PROPERTIES, "fetchAllBodyValues": true, "maxBodyValueBytes": 20_000,
                "bodyProperties": ["partId", "blobId", "size", "headers", "name", "type", "charset", "disposition",
                    "cid", "language", "location", "subParts"],
            }),
        );
        let list = response["list"].as_array().expect("no list");
        assert_eq!(
            list.len(),
            ids.len(),
            "Email/get with all properties leaves some out"
        );
        for email in list {
            for name in ALL_EMAIL_PROPERTIES {
                assert!(email.get(*name).is_some(), "{} has no {name}", email["id"]);
            }
            // RFC 8621 §4.1.4: at most 256 characters.
            assert!(
                email["preview"]
                    .as_str()
                    .is_some_and(|text| text.chars().count() <= 256),
                "{}",
                email["preview"]
            );
        }
    }
}

fn check_totals(jmap: &mut e2e::Jmap, ids: &[String]) {
    let response = jmap.call("Mailbox/get", json!({"ids": null}));
    let inbox = response["list"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|mailbox| mailbox["role"] == "inbox");
    let total = inbox.map_or(Value::Null, |inbox| inbox["totalEmails"].clone());
    assert_eq!(total, json!(ids.len()), "totalEmails of the inbox");
    let response = jmap.call(
        "Email/query",
        json!({"filter": {}, "limit": 0, "calculateTotal": true}),
    );
    assert_eq!(response["total"], json!(ids.len()), "total of Email/query");
}

#[test]
fn a_search_finds_a_message_in_the_request_after_its_250() {
    const MESSAGES: usize = 60;
    let server = Server::start();
    let missed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let (missed, server) = (&missed, &server);
            scope.spawn(move || {
                let (mut smtp, mut jmap) = (server.smtp(), server.jmap("alice"));
                for n in 0..MESSAGES / CONNECTIONS {
                    let word = format!("needle{connection}x{n}");
                    let (subject, body) = if n % 2 == 0 {
                        (word.as_str(), "hay")
                    } else {
                        ("hay", word.as_str())
                    };
                    let mail = message(&format!("{word}@example.net"), subject, body);
                    let reply = smtp
                        .send("sender@example.net", "alice@example.org", &mail)
                        .expect("no reply");
                    assert_eq!(reply.code, 250, "{}", reply.text);
                    let found = jmap.call("Email/query", json!({"filter": {"text": word}}));
                    if strings(&found["ids"]).len() != 1 {
                        missed.lock().expect("a thread failed").push(word);
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().expect("a thread failed");
    assert!(
        missed.is_empty(),
        "acknowledged, and not found by the next request: {missed:?}"
    );
}

//! Stores of former versions are opened, upgraded, found sound, and read through the protocols.
//!
//! `POSTHORN_UPDATE_FIXTURES=1` writes those of the current format anew (`tests/fixtures/README.md`).

use std::{collections::BTreeSet, fs, path::PathBuf};

use e2e::{Home, PASSWORD, Server, corpus::message, databases::TestStore, dump};
use jmap_types::DataType;
use minicbor::Decoder;
use serde_json::json;
use store::keys::{self, Subspace};

const CURRENT: &str = "format-1.dump";
const FIRST: &str = "format-1-first.dump";
/// Octets of all of them.
const OCTETS_MAX: u64 = 200 << 10;
const SUBJECTS: [&str; 4] = ["Question", "Re: Question", "Großes", "Seen"];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().expect("no runtime")
}

/// A store that a server has written, with records of as many kinds as a session brings about.
fn written() -> dump::Rows {
    let home = Home::with_people();
    home.cli(&["group", "add", "team@example.org"], "");
    home.cli(
        &[
            "group",
            "member",
            "add",
            "team@example.org",
            "bob@example.org",
        ],
        "",
    );
    home.cli(&["credential", "token", "alice@example.org"], "");
    home.cli(
        &[
            "alias",
            "add",
            "info@example.org",
            "--to",
            "alice@example.org",
        ],
        "",
    );
    let mut server = Server::start_in(home);
    let send = |id: &str, subject: &str, extra: &str| {
        let octets = message(&format!("{id}@example.net"), subject, "A plover.");
        let octets = [extra.as_bytes(), &octets].concat();
        let reply = server
            .lmtp()
            .send("carol@example.net", "alice@example.org", &octets);
        assert!(reply.expect("no answer").is_ok());
    };
    send("1", SUBJECTS[0], "");
    send("2", SUBJECTS[1], "In-Reply-To: <1@example.net>\r\n");
    send("3", "=?utf-8?q?Gro=C3=9Fes?=", "");
    send("4", SUBJECTS[3], "");
    let both = ["alice@example.org", "bob@example.org"];
    let octets = message("5@example.net", "For both", "A plover.");
    let replies = server.lmtp().send_to("carol@example.net", &both, &octets);
    assert!(
        replies
            .expect("no answer")
            .iter()
            .all(|reply| reply.is_ok())
    );
    let mut imap = server.imap("alice");
    imap.ok("SELECT INBOX");
    imap.ok("STORE 4 +FLAGS (\\Seen $Work)");
    imap.ok("CREATE Shelf");
    imap.ok("COPY 1 Shelf");
    imap.ok("STORE 2 +FLAGS (\\Deleted)");
    imap.ok("SETMETADATA Shelf (/shared/comment \"mine\")");
    let mut jmap = server.jmap("alice");
    let blob = jmap.upload(b"keep;", "application/sieve");
    jmap.call(
        "SieveScript/set",
        json!({"create": {"s": {"name": "mine", "blobId": blob}}, "onSuccessActivateScript": "#s"}),
    );
    jmap.call(
        "VacationResponse/set",
        json!({"update": {"singleton": {"isEnabled": false, "textBody": "Away."}}}),
    );
    jmap.upload(b"an upload that waits", "text/plain");
    let shelf = jmap.call("Mailbox/query", json!({"filter": {"name": "Shelf"}}));
    let accounts = server
        .home
        .cli(&["account", "show", "bob@example.org", "--id"], "");
    jmap.call(
        "Mailbox/set",
        json!({"update": {shelf["ids"][0].as_str().expect("no mailbox"): {"shareWith": {accounts.trim(): {"mayReadItems": true}}}}}),
    );
    let identities = jmap.call("Identity/get", json!({"ids": null}));
    server.home.cli(&["queue", "pause", "far.invalid"], "");
    let drafts = jmap.mailbox("drafts");
    let draft = jmap.import(
        b"From: alice@example.org\r\nTo: x@far.invalid\r\nSubject: Out\r\n\r\nThe plover goes.\r\n",
        &drafts,
    );
    let sent = jmap.call(
        "EmailSubmission/set",
        json!({"create": {"k": {"identityId": identities["list"][0]["id"], "emailId": draft,
            "envelope": {"mailFrom": {"email": "alice@example.org"},
                "rcptTo": [{"email": "x@far.invalid", "parameters": null}]}}}}),
    );
    assert!(sent["created"]["k"].is_object(), "{sent}");
    server.stop();
    server.home.check();
    runtime().block_on(async { dump::rows_of(&dump::open(&server.home.data)).await })
}

/// The first `count` fields of a record.
fn first_fields(record: &[u8], count: usize) -> Vec<u8> {
    let mut decoder = Decoder::new(record);
    let fields = decoder.array().ok().flatten().expect("no record") as usize;
    let begin = decoder.position();
    let kept = fields.min(count);
    for _ in 0..kept {
        decoder.skip().expect("no field");
    }
    [&array(kept)[..], &record[begin..decoder.position()]].concat()
}

fn array(fields: usize) -> Vec<u8> {
    let mut header = Vec::new();
    let mut encoder = minicbor::Encoder::new(&mut header);
    encoder.array(fields as u64).expect("written to memory");
    header
}

/// An email whose places don't know `\Deleted`, except where they have it: those were written later.
fn first_email(record: &[u8]) -> Vec<u8> {
    const PLACES: usize = 4;
    let mut decoder = Decoder::new(record);
    let fields = decoder.array().ok().flatten().expect("no record") as usize;
    let mut written = array(fields);
    for field in 0..fields {
        let begin = decoder.position();
        if field != PLACES {
            decoder.skip().expect("no field");
            written.extend(&record[begin..decoder.position()]);
            continue;
        }
        let places = decoder.array().ok().flatten().expect("no places") as usize;
        written.extend(array(places));
        for _ in 0..places {
            let begin = decoder.position();
            decoder.skip().expect("no place");
            let place = &record[begin..decoder.position()];
            // CBOR's `true`, in the last field.
            let is_deleted = place.last() == Some(&0xf5);
            written.extend(match is_deleted {
                true => place.to_vec(),
                false => first_fields(place, 3),
            });
        }
    }
    written
}

/// The rows as the first version of format 1 had them.
fn first(rows: &dump::Rows) -> dump::Rows {
    let is = |key: &[u8], subspace: Subspace| key.first() == Some(&(subspace as u8));
    let later = [
        Subspace::Structure,
        Subspace::QueueLength,
        Subspace::Metadata,
        Subspace::Trace,
        Subspace::TraceMessage,
        Subspace::TraceAccount,
    ];
    let object = |key: &[u8]| keys::decode_object(key).map(|(_, data_type, _)| data_type);
    let mut first: dump::Rows = Vec::new();
    for (key, value) in rows {
        if later.iter().any(|subspace| is(key, *subspace)) || *key == keys::meta("traces") {
            continue;
        }
        let value = match object(key) {
            Some(DataType::Email) => first_email(value),
            Some(DataType::EmailSubmission) => first_fields(value, 15),
            _ if is(key, Subspace::Head) => first_fields(value, 5),
            _ if is(key, Subspace::Account) => first_fields(value, 11),
            _ if is(key, Subspace::Domain) => first_fields(value, 3),
            _ if is(key, Subspace::Credential) => first_fields(value, 7),
            _ if is(key, Subspace::Log) => first_fields(value, 1),
            _ => value.clone(),
        };
        first.push((key.clone(), value));
    }
    // Before there was a record of it, the quarantine had bad octets alone.
    first.push((keys::quarantine(&keys::report_waiting(3)), b"bad".to_vec()));
    first.sort();
    first
}

/// Puts a store into a data folder, without the search index that belongs to it.
fn open(name: &str) -> Home {
    let file = folder().join(name);
    let octets = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut rows = dump::read(&octets).expect("it is no dump");
    rows.retain(|(key, _)| key.first() != Some(&(Subspace::SearchCursor as u8)));
    let heads: Vec<_> = rows
        .iter()
        .filter_map(|(key, _)| keys::decode_head(key))
        .collect();
    for account in heads {
        let row = (keys::search_pending(account), store::numbers(&[1]).to_vec());
        rows.retain(|(key, _)| *key != row.0);
        rows.push(row);
    }
    let home = Home::new();
    runtime().block_on(async { dump::fill(&dump::open(&home.data), &rows).await });
    home
}

#[test]
fn stores_of_former_versions_are_opened_and_read() {
    if !TestStore::is_rocksdb_for("stores_of_former_versions_are_opened_and_read") {
        return;
    }
    if std::env::var_os("POSTHORN_UPDATE_FIXTURES").is_some() {
        let rows = written();
        for (name, rows) in [(CURRENT, &rows), (FIRST, &first(&rows))] {
            let octets = dump::write(rows).expect("no dump");
            fs::write(folder().join(name), octets).expect("it can't be written");
        }
    }
    for name in [CURRENT, FIRST] {
        println!("{name}");
        let home = open(name);
        home.cli(&["upgrade", "--check"], "");
        home.cli(&["upgrade"], "");
        home.check();
        let mut server = Server::start_in(home);
        read(&server);
        server.stop();
        server.home.check();
    }
    let files = fs::read_dir(folder()).expect("no folder");
    let octets = files.map(|file| {
        file.and_then(|file| file.metadata())
            .expect("no file")
            .len()
    });
    assert!(octets.sum::<u64>() <= OCTETS_MAX);
}

/// What was written is there.
fn read(server: &Server) {
    let mut jmap = server.jmap("alice");
    let ids = jmap.query_all(json!({}));
    let found = jmap.get_emails(&ids, &["subject", "keywords", "threadId", "bodyValues"]);
    let subject = |email: &serde_json::Value| email["subject"].as_str().map(str::to_owned);
    let subjects: BTreeSet<String> = found.iter().filter_map(subject).collect();
    let mut expected: BTreeSet<String> = SUBJECTS.map(str::to_owned).into();
    expected.extend(["For both", "Out"].map(str::to_owned));
    // It has \Deleted in its one mailbox.
    expected.remove(SUBJECTS[1]);
    assert_eq!(subjects, expected);
    let seen = jmap.query_all(json!({"hasKeyword": "$work"}));
    assert_eq!(seen.len(), 1);
    assert_eq!(
        jmap.query_all(json!({"text": "plover"})).len(),
        expected.len()
    );
    let mut imap = server.imap("alice");
    let selected = imap.ok("SELECT INBOX");
    let is_five = selected
        .untagged
        .iter()
        .any(|line| line.text.contains("5 EXISTS"));
    assert!(is_five, "{selected:?}");
    let deleted = imap.ok("SEARCH DELETED").untagged;
    let has = deleted
        .iter()
        .any(|line| line.text.trim_end().ends_with(" 2"));
    assert!(has, "{deleted:?}");
    let body = imap.ok("FETCH 3 (BODYSTRUCTURE BODY.PEEK[])");
    let mut literals = body.untagged.iter().flat_map(|line| &line.literals);
    let text = |octets: &Vec<u8>| String::from_utf8_lossy(octets).into_owned();
    assert!(
        literals.any(|octets| text(octets).contains("plover")),
        "{body:?}"
    );
    imap.ok("SELECT Shelf");
    let listed = server.home.cli(&["queue", "list"], "");
    assert!(listed.contains("far.invalid"), "{listed}");
    let octets = message("new@example.net", "New", "Anew.");
    let reply = server
        .lmtp()
        .send("carol@example.net", "alice@example.org", &octets);
    assert!(reply.expect("no answer").is_ok());
    assert_eq!(jmap.query_all(json!({"subject": "New"})).len(), 1);
    jmap.check_counts();
    // The passwords are still those.
    let bob = e2e::Jmap::login(server.home.http, "bob@example.org", PASSWORD);
    drop(bob);
}

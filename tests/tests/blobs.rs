//! Blobs outside of the database and encrypted: mail comes in and is read, the object store is lost and comes back, the server
//! is killed, keys are changed; nothing is lost, and nothing can be read by who has the disk or the bucket.
//!
//! What the store does about it has tests of its own in the crate `store`; `cargo xtask test --blobs NAME` runs all
//! end-to-end tests over one kind of place.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use e2e::{
    Home, Jmap, Server, blobs::TestBlobs, corpus::message, databases::TestStore, jmap::string,
    server::start_that_fails,
};
use serde_json::{Value, json};
use store::blob::s3_server::{S3Fault, walk};

const ALICE: &str = "alice@example.org";
/// Far behind what a preview shows.
const SECRET: &str = "the treasure lies under the third oak";
const KEY: &str = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";

fn body(number: usize) -> String {
    let line = format!("line of message {number}, with some words to search for\n");
    format!(
        "{}{SECRET} {number}\n",
        line.repeat(40 + 300 * (number % 3))
    )
}

fn mail(number: usize) -> Vec<u8> {
    let id = format!("{number}@blobs.example");
    message(&id, &format!("message {number}"), &body(number))
}

fn deliver(server: &Server, number: usize) -> u16 {
    let mail = mail(number);
    let reply = server.smtp().send("carol@example.net", ALICE, &mail);
    reply.expect("no answer").code
}

/// Emails by the number in their subject, with their blobs.
fn emails(jmap: &mut Jmap) -> BTreeMap<usize, String> {
    let ids = jmap.query_all(json!({}));
    let emails = jmap.get_emails(&ids, &["subject", "blobId"]);
    let number = |email: &Value| {
        let subject = string(&email["subject"]);
        let number = subject.rsplit(' ').next().and_then(|n| n.parse().ok());
        (number.expect("no number"), string(&email["blobId"]))
    };
    let found: BTreeMap<_, _> = emails.iter().map(number).collect();
    assert_eq!(found.len(), ids.len(), "a message is there twice");
    found
}

/// All of a mail, behind the header fields that the server has put in front.
fn check_octets(jmap: &mut Jmap, number: usize, blob: &str) {
    let octets = jmap.download(blob);
    let octets = String::from_utf8_lossy(&octets).into_owned();
    let mail = String::from_utf8(mail(number)).expect("a text");
    assert!(octets.ends_with(&mail), "message {number} is another one");
}

fn status(home: &Home) -> Value {
    let text = home.cli(&["--json", "blobs", "status"], "");
    serde_json::from_str(&text).expect("no JSON")
}

/// `[(place, key)]` of all blobs.
fn places(status: &Value) -> Vec<(String, Option<String>)> {
    let rows = status["rows"].as_array().expect("no rows");
    let place = |row: &Value| {
        (
            string(&row["place"]),
            row["key"].as_str().map(str::to_owned),
        )
    };
    rows.iter().map(place).collect()
}

fn has_secret(folder: &Path) -> Option<String> {
    let mut files = Vec::new();
    walk(folder, &mut files);
    assert!(!files.is_empty(), "{} is empty", folder.display());
    let is_in = |file: &std::path::PathBuf| {
        let octets = fs::read(file).unwrap_or_default();
        octets
            .windows(SECRET.len())
            .any(|part| part == SECRET.as_bytes())
    };
    let found = files.iter().find(|file| is_in(file));
    found.map(|file| file.display().to_string())
}

#[test]
fn mail_is_in_the_bucket_and_nobody_can_read_it_there() {
    let mut server = Server::start_in(Home::with_people_and_blobs(TestBlobs::S3));
    for number in 0..6 {
        assert_eq!(deliver(&server, number), 250);
    }
    let mut jmap = server.jmap("alice");
    let attachment = vec![7; 3 << 20];
    let upload = jmap.upload(&attachment, "application/octet-stream");
    assert_eq!(jmap.download(&upload), attachment);
    for (number, blob) in emails(&mut jmap) {
        check_octets(&mut jmap, number, &blob);
    }
    let found = jmap.query_all(json!({"text": "treasure"}));
    assert_eq!(found.len(), 6);
    let mut imap = server.imap("alice");
    imap.ok("SELECT INBOX");
    let mut fetch = |what: &str| {
        let answer = imap.ok(&format!("FETCH 2 {what}"));
        String::from_utf8_lossy(&answer.untagged[0].literals[0]).into_owned()
    };
    let whole = fetch("BODY.PEEK[TEXT]");
    assert!(whole.ends_with(&format!("{SECRET} 1\r\n\r\n")), "{whole}");
    assert_eq!(fetch("BODY.PEEK[TEXT]<5.10>"), "of message");
    let now = status(&server.home);
    assert_eq!(
        places(&now),
        [("outside".to_owned(), Some("test".to_owned()))]
    );
    assert_eq!(now["keys"], json!(["test"]));
    server.home.check();
    server.stop();
    server.home.check();
    assert_eq!(has_secret(&server.home.data), None);
    let bucket = server.home.blobs.s3().bucket();
    assert_eq!(has_secret(&bucket), None);
    assert!(server.home.blobs.s3().objects().len() >= 7);
    // The same in the database alone, without a key: the search for it is one that finds.
    let mut server = Server::start_in(Home::with_people_and_blobs(TestBlobs::Folder));
    assert_eq!(deliver(&server, 1), 250);
    server.stop();
    let store = server.home.blobs.config();
    let url = store[0].1[0]
        .split('"')
        .nth(1)
        .expect("a folder")
        .to_owned();
    assert!(has_secret(Path::new(&url)).is_some());
}

#[test]
fn a_lost_object_store_means_later_and_loses_nothing() {
    let home = Home::with_people_and_blobs(TestBlobs::S3)
        .set("store.blobs", "timeout = \"2s\"")
        .set("store.blobs", "cache = 0");
    let server = Server::start_in(home);
    for number in 0..3 {
        assert_eq!(deliver(&server, number), 250);
    }
    let s3 = server.home.blobs.s3();
    let mut jmap = server.jmap("alice");
    let before = emails(&mut jmap);
    for fault in [
        S3Fault::Down,
        S3Fault::Failing,
        S3Fault::Slow(Duration::from_secs(90)),
    ] {
        s3.set(fault);
        assert_eq!(deliver(&server, 3), 451, "{fault:?}");
        let mut imap = server.imap("alice");
        imap.ok("SELECT INBOX");
        let fetched = imap.say("FETCH 1 BODY.PEEK[TEXT]");
        assert!(
            fetched.end.starts_with("NO [UNAVAILABLE]"),
            "{fault:?}: {fetched:?}"
        );
        let ids = jmap.query_all(json!({}));
        assert_eq!(ids.len(), 3, "{fault:?}: what needs no octets goes on");
        let arguments = json!({"ids": [ids[0]], "properties": ["bodyValues", "textBody"], "fetchTextBodyValues": true});
        let error = jmap.error_of("Email/get", arguments);
        assert_eq!(error, "serverUnavailable", "{fault:?}");
        let answer = jmap.try_download(&before[&0]);
        assert!(answer.status >= 500, "{fault:?}: {}", answer.status);
    }
    s3.set(S3Fault::None);
    assert_eq!(deliver(&server, 3), 250);
    let found = emails(&mut jmap);
    assert_eq!(found.len(), 4);
    for (number, blob) in &found {
        check_octets(&mut jmap, *number, blob);
    }
    server.home.check();
}

#[test]
fn acknowledged_mail_is_in_the_bucket_after_kill_9() {
    const KILLS: usize = 4;
    const CONNECTIONS: usize = 4;
    let mut server = Server::start_in(Home::with_people_and_blobs(TestBlobs::S3));
    let (next, acknowledged) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    for kill in 0..KILLS {
        let stop = AtomicBool::new(false);
        let port = server.home.smtp;
        let before = acknowledged.lock().unwrap().len();
        thread::scope(|scope| {
            for _ in 0..CONNECTIONS {
                scope.spawn(|| {
                    let Ok(mut smtp) = e2e::Smtp::connect(port, false) else {
                        return;
                    };
                    while !stop.load(Ordering::Relaxed) {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let Ok(reply) = smtp.send("carol@example.net", ALICE, &mail(number)) else {
                            return;
                        };
                        assert_eq!(reply.code, 250, "{}", reply.text);
                        acknowledged.lock().unwrap().push(number);
                    }
                });
            }
            // At least some are acknowledged before each kill, on any machine.
            let end = Instant::now() + Duration::from_secs(60);
            let is_enough = || acknowledged.lock().unwrap().len() >= before + 5 + 3 * kill;
            while !is_enough() && Instant::now() < end {
                thread::sleep(Duration::from_millis(5));
            }
            server.kill();
            stop.store(true, Ordering::Relaxed);
        });
        assert!(
            acknowledged.lock().unwrap().len() > before,
            "no mail came in"
        );
        server.restart();
        let mut jmap = server.jmap("alice");
        let found = emails(&mut jmap);
        for number in acknowledged.lock().unwrap().iter() {
            assert!(found.contains_key(number), "message {number} is lost");
        }
        for (number, blob) in &found {
            check_octets(&mut jmap, *number, blob);
        }
    }
    server.home.check();
    server.stop();
    server.home.check();
}

#[test]
fn keys_are_changed_while_mail_comes_in() {
    let mut server = Server::start_in(Home::with_people_and_blobs(TestBlobs::S3));
    for number in 0..40 {
        assert_eq!(deliver(&server, number), 250);
    }
    let file = server.home.path().join("second-key");
    fs::write(&file, KEY).expect("a key can't be written");
    let first = server.home.blobs.config()[1].1[0].clone();
    let second = format!("{{ id = \"second\", file = \"{}\" }}", file.display());
    let both = first.replace(" }]", &format!(" }}, {second}]"));
    // Neither without the key that blobs need, nor with other octets under its id, nor with a file that isn't there.
    let alone = format!("keys = [{second}]");
    let other = alone.replace("id = \"second\"", "id = \"test\"");
    for (lines, why) in [
        (&alone, "the key \"test\", which isn't configured"),
        (
            &other,
            "the key \"test\" of store.encryption.keys is not the one",
        ),
        (&both.replace("second-key", "no-key"), "no-key"),
    ] {
        server.home.replace("store.encryption", lines);
        let refused = server.home.try_cli(&["blobs", "load-keys"], "");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains(why), "{said}");
    }
    assert_eq!(deliver(&server, 40), 250);
    let now = status(&server.home);
    assert_eq!(
        places(&now),
        [("outside".to_owned(), Some("test".to_owned()))]
    );
    // The server goes on while it is told of the second key.
    server.home.replace("store.encryption", &both);
    let said = server.home.cli(&["blobs", "load-keys"], "");
    assert!(said.contains("encrypted by \"second\""), "{said}");
    let (next, stop) = (AtomicUsize::new(41), AtomicBool::new(false));
    let output = thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let number = next.fetch_add(1, Ordering::Relaxed);
                assert_eq!(deliver(&server, number), 250);
            }
        });
        let output = server.home.try_cli(&["blobs", "rewrite"], "");
        stop.store(true, Ordering::Relaxed);
        output
    });
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("the key \"test\" isn't needed any more"),
        "{said} {output:?}"
    );
    let now = status(&server.home);
    assert_eq!(
        places(&now),
        [("outside".to_owned(), Some("second".to_owned()))]
    );
    assert_eq!(now["keys"], json!(["second"]));
    server.stop();
    // Without the old key; and not without the new one.
    let second = format!("keys = [{second}]");
    server.home.replace("store.encryption", &second);
    server.restart();
    let mut jmap = server.jmap("alice");
    let found = emails(&mut jmap);
    assert_eq!(found.len(), next.load(Ordering::Relaxed));
    for (number, blob) in &found {
        check_octets(&mut jmap, *number, blob);
    }
    server.home.check();
    server.stop();
    server.home.replace("store.encryption", "keys = []");
    let failed = start_that_fails(&server.home);
    assert_eq!(failed.code, 1);
    assert!(
        failed
            .output
            .contains("the key \"second\", which isn't configured"),
        "{}",
        failed.output
    );
    // Another key under the same id.
    fs::write(&file, KEY.replace('f', "0")).expect("a key can't be written");
    server.home.replace("store.encryption", &second);
    let failed = start_that_fails(&server.home);
    assert!(
        failed.output.contains("the key \"second\""),
        "{}",
        failed.output
    );
    assert!(!failed.output.contains(&KEY[2..12]));
}

#[test]
fn blobs_move_between_the_database_and_a_folder() {
    let mut server = Server::start_in(Home::with_people_and_blobs(TestBlobs::Inline));
    for number in 0..10 {
        assert_eq!(deliver(&server, number), 250);
    }
    assert_eq!(places(&status(&server.home)), [("engine".to_owned(), None)]);
    server.stop();
    server.home.change("store.blobs", "url = \"octets\"");
    server.home.change("store.blobs", "threshold = 0");
    server.restart();
    server.home.cli(&["blobs", "rewrite"], "");
    assert_eq!(
        places(&status(&server.home)),
        [("outside".to_owned(), None)]
    );
    let mut jmap = server.jmap("alice");
    let found = emails(&mut jmap);
    for (number, blob) in &found {
        check_octets(&mut jmap, *number, blob);
    }
    // A disk that has changed an octet: the check says so, and nobody gets it.
    let mut files = Vec::new();
    walk(&server.home.data.join("octets"), &mut files);
    let is_object =
        |file: &std::path::PathBuf| file.file_name().is_some_and(|name| name.len() == 96);
    files.retain(is_object);
    assert!(files.len() >= 10, "{files:?}");
    let original = fs::read(&files[0]).expect("an object can't be read");
    let mut changed = original.clone();
    changed[50] ^= 1;
    fs::write(&files[0], changed).expect("an object can't be written");
    let checked = server.home.try_cli(&["check"], "");
    assert_eq!(checked.status.code(), Some(1));
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(
        said.contains("blob/octets: ") && said.contains("not those that were stored"),
        "{said}"
    );
    let statuses = found.values().map(|blob| jmap.try_download(blob).status);
    assert_eq!(statuses.filter(|status| *status == 503).count(), 1);
    fs::write(&files[0], original).expect("an object can't be written");
    for (number, blob) in &found {
        check_octets(&mut jmap, *number, blob);
    }
    server.stop();
    server.home.change("store.blobs", "outside = false");
    server.restart();
    server.home.cli(&["blobs", "rewrite"], "");
    assert_eq!(places(&status(&server.home)), [("engine".to_owned(), None)]);
    let mut jmap = server.jmap("alice");
    for (number, blob) in &found {
        check_octets(&mut jmap, *number, blob);
    }
}

#[test]
fn two_servers_share_a_database_and_a_bucket() {
    let home = Home::on(TestStore::Postgres).with_blobs(TestBlobs::S3);
    home.add_people();
    let beside = home.beside();
    let (one, two) = (Server::start_in(home), Server::start_in(beside));
    for number in 0..12 {
        let server = if number % 2 == 0 { &one } else { &two };
        assert_eq!(deliver(server, number), 250);
    }
    for server in [&one, &two] {
        let mut jmap = server.jmap("alice");
        let found = emails(&mut jmap);
        assert_eq!(found.len(), 12);
        for (number, blob) in &found {
            check_octets(&mut jmap, *number, blob);
        }
    }
    one.home.check();
}

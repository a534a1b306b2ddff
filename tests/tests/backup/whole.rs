//! A whole server: backed up while mail comes in, killed in the middle of it, and restored elsewhere.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use e2e::{Home, Server, databases::TestStore};
use serde_json::{Value, json};

use crate::{
    deliver, folder, json,
    model::{Model, make_it_various, validities},
    number, text, text_of,
};

/// Messages before the first backup, and between the last two.
const MESSAGES: usize = 300;
const MORE: usize = 10;

#[test]
fn a_server_is_backed_up_under_load_and_restored_on_an_empty_machine() {
    let mut server = Server::start();
    deliver(server.home.smtp, 0..MESSAGES);
    make_it_various(&server);
    let repository = folder(&server.home, "backup");
    let place = text(&repository);
    let first = under_load(&server, place);
    assert!(number(&first, "newBlobs") >= MESSAGES as u64, "{first}");
    deliver(server.home.smtp, 20_000..20_100);
    let second = json(&server.home, &["backup", place]);
    deliver(server.home.smtp, 30_000..30_000 + MORE);
    // Who looks for identities for the first time makes them, which is to be before the backup.
    let before = ["alice", "bob"].map(|name| Model::of(&server, name));
    let third = json(&server.home, &["backup", place]);
    println!("first:  {first}\nsecond: {second}\nthird:  {third}");
    assert_eq!(number(&third, "newBlobs"), MORE as u64, "{third}");
    assert!(
        number(&third, "addedOctets") * 3 < number(&first, "addedOctets"),
        "{third}"
    );
    let validity = validities(&server, "alice");
    let state = server.jmap("alice").email_state();
    let report = json(&server.home, &["backup", "verify", place, "--read-all"]);
    assert_eq!(number(&report, "snapshots"), 3, "{report}");
    assert_eq!(report["problems"], json!([]));
    let listed = json(&server.home, &["backup", "list", place]);
    assert_eq!(listed.as_array().expect("no list").len(), 3);
    // What happens after the backup is lost with the machine.
    deliver(server.home.smtp, 40_000..40_005);
    let lost_state = server.jmap("alice").email_state();
    server.kill();

    let home = Home::new();
    let restored = json(&home, &["restore", place]);
    assert_eq!(number(&restored, "restoredBlobs"), number(&third, "blobs"));
    home.check();
    let again = home.try_cli(&["restore", place], "");
    assert!(!again.status.success() && text_of(&again).contains("isn't empty"));
    let server = Server::start_in(home);
    for (name, before) in ["alice", "bob"].iter().zip(&before) {
        assert!(before.emails() > 100, "{}", before.emails());
        assert_eq!(&Model::of(&server, name), before);
    }
    for (mailbox, after) in validities(&server, "alice") {
        assert!(after > validity[&mailbox], "{mailbox}");
    }
    // A client of the server that was lost begins anew.
    let mut jmap = server.jmap("alice");
    for state in [state, lost_state] {
        let error = jmap.error_of("Email/changes", json!({"sinceState": state}));
        assert_eq!(error, "cannotCalculateChanges");
    }
    let found = jmap.query_all(json!({"subject": "message 30003"}));
    assert_eq!(found.len(), 1);
    let known: Vec<String> = jmap.query_all(json!({}));
    deliver(server.home.smtp, 50_000..50_001);
    let new = jmap.query_all(json!({"subject": "message 50000"}));
    assert!(new.len() == 1 && !known.contains(&new[0]));
    server.home.check();
}

/// Backs up while mail comes in over several connections.
pub fn under_load(server: &Server, place: &str) -> Value {
    let stop = AtomicBool::new(false);
    let next = AtomicUsize::new(1000);
    let port = server.home.smtp;
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    deliver(port, number..number + 1);
                }
            });
        }
        let made = json(&server.home, &["backup", place]);
        stop.store(true, Ordering::Relaxed);
        made
    })
}

/// Without a server the command works on the data folder itself; killed, it is gone on with.
#[test]
fn a_backup_that_is_killed_is_gone_on_with() {
    let mut server = Server::start();
    deliver(server.home.smtp, 0..MESSAGES);
    let before = Model::of(&server, "alice");
    server.stop();
    let repository = folder(&server.home, "backup");
    let place = text(&repository);
    let mut killed = 0;
    for wait_ms in [30, 80, 150, 250, 400, 600] {
        let mut child = server.home.command(&["backup", place]);
        let mut child = child.spawn().expect("the binary can't be started");
        thread::sleep(std::time::Duration::from_millis(wait_ms));
        killed += u32::from(child.try_wait().expect("no status").is_none());
        let _ = child.kill();
        let _ = child.wait();
        if repository.exists() && repository.join("repository").exists() {
            server
                .home
                .cli(&["backup", "verify", place, "--read-all"], "");
        }
    }
    assert!(killed > 0, "the backup was always faster");
    let made = json(&server.home, &["backup", place]);
    let report = json(&server.home, &["backup", "verify", place, "--read-all"]);
    assert_eq!(report["problems"], json!([]), "{made}");
    let home = Home::new();
    json(&home, &["restore", place]);
    let server = Server::start_in(home);
    assert_eq!(Model::of(&server, "alice"), before);
}

/// A restore that is killed leaves a store that no server works on, and the same command goes on with it.
#[test]
fn a_restore_that_is_killed_is_gone_on_with() {
    let server = Server::start();
    deliver(server.home.smtp, 0..MESSAGES);
    let before = Model::of(&server, "alice");
    let repository = folder(&server.home, "backup");
    let place = text(&repository);
    json(&server.home, &["backup", place]);
    let home = Home::new();
    let mut killed = 0;
    for wait_ms in [60, 120, 200, 300, 400] {
        let mut child = home.command(&["restore", place]);
        let mut child = child.spawn().expect("the binary can't be started");
        thread::sleep(std::time::Duration::from_millis(wait_ms));
        let is_over = child.try_wait().expect("no status").is_some();
        let _ = child.kill();
        let _ = child.wait();
        if is_over {
            break;
        }
        killed += 1;
        if has_begun(&home) {
            let status = home.try_cli(&["status"], "");
            if status.status.success() {
                // It was over a moment before.
                break;
            }
            let why = text_of(&status);
            assert!(why.contains("posthorn restore"), "{why}");
        }
    }
    println!("killed {killed} times");
    let last = home.try_cli(&["restore", place], "");
    assert!(
        last.status.success() || text_of(&last).contains("isn't empty"),
        "{}",
        text_of(&last)
    );
    home.check();
    let server = Server::start_in(home);
    assert_eq!(Model::of(&server, "alice"), before);
}

/// Whether something was written to the log of the embedded database: a new one that is only opened writes less.
fn has_begun(home: &Home) -> bool {
    let Ok(files) = std::fs::read_dir(home.data.join("db")) else {
        return false;
    };
    let octets = files
        .filter_map(Result::ok)
        .filter(|file| file.path().extension().is_some_and(|of| of == "log"))
        .filter_map(|file| file.metadata().ok())
        .map(|file| file.len());
    octets.sum::<u64>() > 4096
}

/// From each kind of database into each other that is a file of its own.
#[test]
fn a_server_moves_to_another_database() {
    let ways = [
        (TestStore::RocksDb, TestStore::Sqlite),
        (TestStore::Sqlite, TestStore::RocksDb),
    ];
    for (from, to) in ways {
        let server = Server::start_in(Home::with_people_on(from));
        deliver(server.home.smtp, 0..60);
        make_it_various(&server);
        let before = Model::of(&server, "alice");
        let repository = folder(&server.home, "backup");
        json(&server.home, &["backup", text(&repository)]);
        let home = Home::on(to);
        json(&home, &["restore", text(&repository)]);
        home.check();
        let server = Server::start_in(home);
        assert_eq!(Model::of(&server, "alice"), before, "{from:?} to {to:?}");
    }
}

//! From database to database.

use std::fs;

use e2e::{
    Home, Server,
    databases::{OwnDatabase, TestStore},
    server::start_that_fails,
};
use serde_json::json;

use super::*;

/// A home over the database that a copy of `from` went to; its data folder is `data`.
fn home_over(from: &Home, data: std::path::PathBuf, database: OwnDatabase) -> Home {
    let mut home = Home::on(TestStore::RocksDb).with_data(data);
    home.database = database;
    // Each database has a folder of its own there.
    home.blobs = from.blobs.clone();
    home
}

#[test]
fn everything_goes_from_database_to_database() {
    let mut server = Server::start_in(Home::with_people_on(TestStore::RocksDb));
    let mut jmap = server.jmap("alice");
    let inbox = jmap.mailbox("inbox");
    for mail in mails(60) {
        jmap.import(&mail, &inbox);
    }
    jmap.import(
        &message("word@example.net", "a word", "A cuckooflower."),
        &inbox,
    );
    let expected = rows(&mut jmap);
    drop(jmap);
    // A server that runs is not copied.
    let first = server.home.path().join("first");
    fs::create_dir(&first).expect("no folder");
    let sqlite = format!("sqlite:{}", first.join("mail.db").display());
    let refused = server.home.try_cli(&["copy", "--to", &sqlite], "");
    assert!(
        text(&refused).contains("stop it first"),
        "{}",
        text(&refused)
    );
    server.stop();
    // Cut in the middle, no server is served from it, and the same command goes on.
    let mut child = server.home.start_cli(&["copy", "--to", &sqlite]);
    let end = Instant::now() + WAIT;
    // The mark comes before the first record.
    let octets = || {
        let files = ["mail.db", "mail.db-wal"].map(|name| fs::metadata(first.join(name)));
        let files = files.into_iter().flatten();
        files.map(|file| file.len()).sum::<u64>()
    };
    while octets() < 100_000 && matches!(child.try_wait(), Ok(None)) {
        assert!(Instant::now() < end, "nothing is copied");
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let is_cut = !child.wait().expect("not waited for").success();
    let home = home_over(&server.home, first.clone(), OwnDatabase::Sqlite);
    if is_cut && is_marked(&home) {
        home.write_config();
        let failed = start_that_fails(&home);
        assert!(
            failed.output.contains("copy that was not finished"),
            "{}",
            failed.output
        );
    }
    // On a fast machine it was not cut.
    if is_cut {
        let copied = answer(&server.home, &["copy", "--to", &sqlite]);
        assert!(copied["new"].as_u64() > Some(60), "{copied}");
    }
    check(home, &expected, |home| {
        // SQLite to PostgreSQL, and that to a new folder.
        let database = OwnDatabase::new(TestStore::Postgres);
        let config = home.path().join("postgres.toml");
        let data = home.path().join("second").display().to_string();
        let store = database.config().join("\n");
        let mut written = format!("data = {data:?}\n[store]\n{store}\n");
        for (table, lines) in home.blobs.config() {
            written += &format!("[{table}]\n{}\n", lines.join("\n"));
        }
        fs::write(&config, written).expect("not written");
        answer(
            home,
            &["copy", "--to-config", config.to_str().expect("a path")],
        );
        let data = home.path().join("second");
        check(home_over(home, data, database), &expected, |home| {
            let third = home.path().join("third");
            answer(home, &["copy", "--to", third.to_str().expect("a path")]);
            // What is there is not copied over.
            let again = home.try_cli(&["copy", "--to", third.to_str().expect("a path")], "");
            assert!(text(&again).contains("isn't empty"), "{}", text(&again));
            let third = home_over(home, third, OwnDatabase::RocksDb);
            check(third, &expected, |_| {});
        });
    });
}

fn is_marked(home: &Home) -> bool {
    let output = home.try_cli(&["status"], "");
    text(&output).contains("copy that was not finished")
}

/// A server over a copy has all there was, also for a search; then, with the server stopped, what comes next.
fn check(home: Home, expected: &[Row], next: impl FnOnce(&Home)) {
    let mut server = Server::start_in(home);
    let mut jmap = server.jmap("alice");
    assert_same(&rows(&mut jmap), expected);
    let found = jmap.query_all(json!({"text": "cuckooflower"}));
    assert_eq!(found.len(), 1);
    drop(jmap);
    server.home.check();
    server.stop();
    next(&server.home);
}

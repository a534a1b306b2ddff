//! The server over each kind of database: mail comes in, is read, changed and searched, and is there after a kill; and what
//! is said where the database is the trouble.
//!
//! What a database has to do is tested by the store's own suite; `cargo xtask test --store NAME` runs all end-to-end tests
//! over one of them.

use e2e::{Home, Server, corpus::message, databases::TestStore, server::start_that_fails};
use serde_json::json;
use store::engine::sql::servers::{DatabaseServer, ServerKind};

const MESSAGES: usize = 20;

fn check_store(store: TestStore) {
    let mut server = Server::start_in(Home::with_people_on(store));
    for number in 0..MESSAGES {
        let id = format!("{number}@example.net");
        let mail = message(&id, &format!("number {number}"), "A cuckooflower.");
        let to = ["alice@example.org", "bob@example.org"];
        let replies = server.smtp().send_to("carol@example.net", &to, &mail);
        let replies = replies.expect("no answer");
        assert!(replies.iter().all(|reply| reply.is_ok()), "{replies:?}");
    }
    let mut jmap = server.jmap("alice");
    let ids = jmap.query_all(json!({}));
    assert_eq!(ids.len(), MESSAGES, "{store:?}");
    let (flagged, gone) = (ids[3].clone(), ids[4].clone());
    let patch = json!({flagged.as_str(): {"keywords/$flagged": true}});
    let done = jmap.call("Email/set", json!({"update": patch, "destroy": [gone]}));
    assert_eq!(done["destroyed"], json!([gone]), "{store:?} {done}");
    let state = jmap.email_state();
    server.kill();
    server.restart();
    let mut jmap = server.jmap("alice");
    assert_eq!(jmap.email_state(), state, "{store:?}");
    assert_eq!(jmap.query_all(json!({})).len(), MESSAGES - 1, "{store:?}");
    let found = jmap.query_all(json!({"hasKeyword": "$flagged", "text": "cuckooflower"}));
    assert_eq!(found, [flagged], "{store:?}");
    jmap.check_counts();
    let selected = server.imap("bob").ok("SELECT INBOX");
    let exists = format!("* {MESSAGES} EXISTS");
    assert!(
        selected
            .untagged
            .iter()
            .any(|line| line.text == exists || line.text == exists[2..]),
        "{selected:?}"
    );
    let large = vec![b'x'; 10 << 20];
    let mail = message(
        "large@example.net",
        "large",
        &String::from_utf8_lossy(&large),
    );
    let reply = server
        .lmtp()
        .send("carol@example.net", "bob@example.org", &mail);
    assert!(reply.expect("no answer").is_ok(), "{store:?}");
    server.home.check();
    server.stop();
    server.home.check();
}

#[test]
fn a_server_over_sqlite() {
    check_store(TestStore::Sqlite);
}

#[test]
fn a_server_over_postgres() {
    check_store(TestStore::Postgres);
}

#[test]
fn a_server_over_mariadb() {
    check_store(TestStore::MariaDb);
}

#[test]
fn two_servers_do_not_share_a_file() {
    let server = Server::start_in(Home::with_people_on(TestStore::Sqlite));
    let second = Home::on(TestStore::Sqlite).with_data(server.home.data.clone());
    second.write_config();
    let failed = start_that_fails(&second);
    assert!(failed.output.contains("in use"), "{}", failed.output);
}

/// What is wrong with the database is said, and its password is not.
#[test]
fn a_database_that_cannot_be_opened_is_said() {
    let rows = [
        (
            "postgres://me:secret@127.0.0.1:9/db",
            "postgres://me@127.0.0.1:9/db",
        ),
        (
            "mysql://me:secret@127.0.0.1:9/db",
            "mysql://me@127.0.0.1:9/db",
        ),
        ("oracle://me:secret@127.0.0.1/db", "store.url"),
    ];
    for (url, word) in rows {
        let home = Home::on(TestStore::RocksDb)
            .set("store", &format!("url = \"{url}\""))
            .set("store", "timeout = \"3s\"");
        home.write_config();
        let failed = start_that_fails(&home);
        assert!(failed.output.contains(word), "{url}: {}", failed.output);
        assert!(!failed.output.contains("secret"), "{}", failed.output);
    }
}

/// Mail is refused for now while the database doesn't answer, and taken again afterwards.
#[test]
fn mail_is_put_off_while_the_database_is_away() {
    let mut database = DatabaseServer::start(ServerKind::Postgres, true);
    let url = {
        // It goes with its server.
        let own = std::mem::ManuallyDrop::new(database.database());
        own.url()
    };
    let home = Home::on(TestStore::RocksDb)
        .set("store", &format!("url = \"{url}\""))
        .set("store", "timeout = \"3s\"");
    home.write_config();
    let people = |args: &[&str], input: &str| {
        let config = home.config_file();
        let config = config.to_str().expect("a path");
        home.cli(&[&["--config", config], args].concat(), input);
    };
    people(&["domain", "add", "example.org"], "");
    people(
        &["account", "add", "alice@example.org", "--password-stdin"],
        e2e::PASSWORD,
    );
    let server = Server::start_in(home);
    let mail = |number: usize| message(&format!("{number}@example.net"), "a mail", "A text.");
    let send = |number: usize| {
        let reply = server
            .smtp()
            .send("carol@example.net", "alice@example.org", &mail(number));
        reply.expect("no answer")
    };
    assert!(send(1).is_ok());
    database.kill();
    let reply = send(2);
    assert!(reply.code / 100 == 4, "{reply:?}");
    database.start_again();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !send(3).is_ok() {
        assert!(std::time::Instant::now() < end, "{}", server.log_tail());
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let subjects = server.jmap("alice").query_all(json!({}));
    assert_eq!(subjects.len(), 2);
}

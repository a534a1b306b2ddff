//! Backups of databases that are servers, and from one kind to another.

use e2e::{Home, Server, databases::TestStore};
use serde_json::json;

use crate::{
    deliver, folder, json, mail,
    model::{Model, make_it_various},
    text,
    whole::under_load,
};

const MESSAGES: usize = 100;

/// PostgreSQL, backed up while mail comes in; MariaDB made of it, and backed up; RocksDB made of that.
#[test]
fn a_server_goes_from_postgresql_by_mariadb_to_rocksdb() {
    let server = Server::start_in(Home::with_people_on(TestStore::Postgres));
    deliver(server.home.smtp, 0..MESSAGES);
    make_it_various(&server);
    let repository = folder(&server.home, "backup");
    under_load(&server, text(&repository));
    let loaded = Home::on(TestStore::MariaDb);
    json(&loaded, &["restore", text(&repository)]);
    loaded.check();
    // What was acknowledged before it began is whole; of what came meanwhile, some are there.
    let loaded = Server::start_in(loaded);
    let whole = json!({"subject": "message"});
    let mut jmap = loaded.jmap("alice");
    let ids = jmap.query_all(whole);
    let emails = jmap.get_emails(&ids, &["subject", "blobId"]);
    let mut numbers = Vec::new();
    for email in &emails {
        let subject = email["subject"].as_str().expect("a subject");
        let number = subject.rsplit(' ').next().expect("a number");
        let number: usize = number.parse().expect("a number");
        let octets = jmap.download(email["blobId"].as_str().expect("a blob"));
        assert!(octets.ends_with(&mail(number)), "message {number}");
        numbers.push(number);
    }
    numbers.sort_unstable();
    assert!(numbers.windows(2).all(|two| two[0] != two[1]), "doubled");
    assert!((0..MESSAGES).eq(numbers.iter().copied().take(MESSAGES)));
    drop(loaded);

    // At rest, all is the same at each step.
    let before = ["alice", "bob"].map(|name| Model::of(&server, name));
    let hashes = |server: &Server| {
        let names = ["alice", "bob"].iter().zip(&before);
        let of = names.map(|(name, model)| model.hashes(server, name));
        of.collect::<Vec<_>>()
    };
    let octets = hashes(&server);
    let mut last = server;
    for (step, kind) in [TestStore::MariaDb, TestStore::RocksDb]
        .into_iter()
        .enumerate()
    {
        let repository = folder(&last.home, &format!("step{step}"));
        json(&last.home, &["backup", text(&repository)]);
        let report = json(
            &last.home,
            &["backup", "verify", text(&repository), "--read-all"],
        );
        assert_eq!(report["problems"], json!([]));
        let home = Home::on(kind);
        json(&home, &["restore", text(&repository)]);
        home.check();
        last = Server::start_in(home);
        let after = ["alice", "bob"].map(|name| Model::of(&last, name));
        assert_eq!(after, before, "{kind:?}");
        assert_eq!(hashes(&last), octets, "{kind:?}");
    }
}

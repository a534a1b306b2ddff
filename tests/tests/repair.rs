//! Stores that are damaged, in a real database: the server serves what is left, `posthorn check --repair` puts right what is wrong, with the
//! server stopped or running, and whatever is killed meanwhile.

use std::{
    collections::BTreeSet,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use e2e::{
    Dice, Home, Server,
    corpus::message,
    databases::{OwnDatabase, TestStore},
    dice::number_from_env,
    dump,
    home::binary,
};
use jmap_types::{AccountId, DataType};
use serde_json::{Value, json};
use store::{
    engine::{
        Batch, Engine, Page,
        sql::{SqlOptions, open_sql},
    },
    keys,
};

const ALICE: u64 = 1;
const MAILS: usize = 12;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().expect("no runtime")
}

fn mail(id: &str) -> Vec<u8> {
    let text = format!("The word of this mail is kestrel{id}.");
    message(&format!("{id}@example.net"), &format!("Mail {id}"), &text)
}

fn deliver(server: &Server, to: &str, id: &str) {
    let reply = server.lmtp().send("carol@example.net", to, &mail(id));
    let reply = reply.expect("no answer");
    assert!(reply.is_ok(), "{reply:?}\n{}", server.log_tail());
}

/// A server with mail, stopped.
fn with_mail() -> Server {
    let server = Server::start();
    for number in 0..MAILS {
        deliver(&server, "alice@example.org", &number.to_string());
        deliver(&server, "bob@example.org", &number.to_string());
    }
    stopped(server)
}

fn stopped(mut server: Server) -> Server {
    server.stop();
    server
}

/// Changes rows of a database over which no server runs.
fn change(home: &Home, damage: impl AsyncFnOnce(&dyn Engine, &mut Batch)) {
    runtime().block_on(async {
        let engine = dump::open(&home.data);
        let mut batch = Batch::new();
        damage(&*engine, &mut batch).await;
        engine.commit(batch).await.expect("not written");
    });
}

async fn emails(engine: &dyn Engine, account: u64) -> Vec<Vec<u8>> {
    let range = keys::objects(AccountId::new(account), DataType::Email);
    let rows = engine
        .scan(Page::first(range, 1000))
        .await
        .expect("no rows");
    rows.into_iter().map(|(key, _)| key.to_vec()).collect()
}

/// Damages records of many kinds, of alice's account and of the server.
fn damage(home: &Home) {
    change(home, damage_rows);
}

async fn damage_rows(engine: &dyn Engine, batch: &mut Batch) {
    let alice = AccountId::new(ALICE);
    let emails = emails(engine, ALICE).await;
    batch.put(emails[0].clone(), &b"\xff\xffdamaged"[..]);
    batch.delete(emails[1].clone());
    batch.put(keys::mailbox_uid(alice, 1), "x");
    batch.put(keys::object(alice, DataType::Mailbox, 2), "x");
    let blobs = engine
        .scan(Page::first(keys::all(keys::Subspace::Summary), 1000))
        .await
        .expect("no rows");
    batch.put(blobs[0].0.to_vec(), "x");
    batch.delete(keys::log(alice, 4));
    batch.put(vec![0xee, 1, 2], "of nobody");
}

/// The answer of a command for machines, and whether it has succeeded.
fn json_of(home: &Home, args: &[&str]) -> (Value, bool) {
    let args = [&["--json"], args].concat();
    let output = home.try_cli(&args, "");
    let answer = serde_json::from_slice(&output.stdout);
    let text = String::from_utf8_lossy(&output.stderr);
    (
        answer.unwrap_or_else(|error| panic!("{args:?}: {error}: {text}")),
        output.status.success(),
    )
}

fn codes(problems: &Value) -> BTreeSet<String> {
    let problems = problems.as_array().expect("no list").iter();
    problems
        .map(|problem| problem["code"].as_str().expect("no code").to_owned())
        .collect()
}

/// All mails of an account, by their ids of the test, whichever mailbox they are in.
fn subjects(server: &Server, name: &str) -> BTreeSet<String> {
    let mut jmap = server.jmap(name);
    let ids = jmap.query_all(json!({}));
    let found = jmap.get_emails(&ids, &["subject"]);
    let subjects = found.iter().filter_map(|email| email["subject"].as_str());
    subjects.map(str::to_owned).collect()
}

/// Waits until it is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(100));
    }
}

fn all_subjects() -> BTreeSet<String> {
    (0..MAILS).map(|number| format!("Mail {number}")).collect()
}

#[test]
fn a_stopped_store_is_repaired_and_nothing_is_lost() {
    if !TestStore::is_rocksdb_for("a_stopped_store_is_repaired_and_nothing_is_lost") {
        return;
    }
    let mut server = with_mail();
    damage(&server.home);
    let (found, is_sound) = json_of(&server.home, &["check"]);
    assert!(!is_sound);
    let codes = codes(&found["problems"]);
    for code in [
        "key/unknown-subspace",
        "record/unreadable",
        "email/lost",
        "log/gap",
        "summary/missing",
    ] {
        assert!(codes.contains(code), "{code} is not among {codes:?}");
    }
    let first = &found["problems"][0];
    for field in ["key", "record", "sentence", "meaning", "remedy"] {
        assert!(first[field].is_string(), "{first}");
    }
    let (repair, is_done) = json_of(&server.home, &["check", "--repair"]);
    assert!(is_done, "{repair:#}");
    assert_eq!(repair["repair"]["remaining"], json!([]));
    server.home.check();
    let (again, _) = json_of(&server.home, &["check", "--repair"]);
    assert_eq!(again["repair"]["records"], 0, "{again:#}");
    server.restart();
    assert_eq!(subjects(&server, "alice"), all_subjects());
    assert_eq!(subjects(&server, "bob"), all_subjects());
    let mut imap = server.imap("alice");
    let names = imap.names();
    assert!(names.iter().any(|name| name == "Recovered"), "{names:?}");
    let selected = imap.ok("SELECT Recovered");
    let has_two = |line: &str| line.contains("2 EXISTS");
    assert!(selected.untagged.iter().any(|line| has_two(&line.text)));
    // Mail comes in again, with UIDs of its own.
    deliver(&server, "alice@example.org", "later");
    server.jmap("alice").check_counts();
    server.home.check();
}

#[test]
fn a_damaged_store_is_served_and_repaired_while_mail_comes_in() {
    if !TestStore::is_rocksdb_for("a_damaged_store_is_served_and_repaired_while_mail_comes_in") {
        return;
    }
    let mut server = with_mail();
    damage(&server.home);
    server.restart();
    // The rest of the account is served, and all of the other.
    assert!(subjects(&server, "alice").len() >= MAILS - 2);
    assert_eq!(subjects(&server, "bob"), all_subjects());
    let is_over = AtomicBool::new(false);
    let sent = thread::scope(|scope| {
        let server = &server;
        let sending = scope.spawn(|| {
            let mut sent = BTreeSet::new();
            while !is_over.load(Ordering::Relaxed) {
                for to in ["alice", "bob"] {
                    let id = format!("{to}{}", sent.len());
                    let address = format!("{to}@example.org");
                    let reply = server.lmtp().send("c@example.net", &address, &mail(&id));
                    if reply.is_ok_and(|reply| reply.is_ok()) {
                        sent.insert((to, format!("Mail {id}")));
                    }
                }
            }
            sent
        });
        let (repair, is_done) = json_of(&server.home, &["check", "--repair"]);
        assert!(is_done, "{repair:#}");
        // What waits is given a moment to come in after it.
        let end = Instant::now() + Duration::from_secs(30);
        let refused_before = || {
            let reply = server
                .lmtp()
                .send("c@example.net", "alice@example.org", &mail("probe"));
            !reply.is_ok_and(|reply| reply.is_ok())
        };
        while refused_before() {
            assert!(Instant::now() < end, "alice gets no mail after the repair");
        }
        is_over.store(true, Ordering::Relaxed);
        sending.join().expect("sending failed")
    });
    for name in ["alice", "bob"] {
        let there = subjects(&server, name);
        let missing: Vec<_> = sent
            .iter()
            .filter(|(to, subject)| *to == name && !there.contains(subject))
            .collect();
        assert!(missing.is_empty(), "{name} misses {missing:?}");
        assert!(there.is_superset(&all_subjects()), "{there:?}");
        server.jmap(name).check_counts();
    }
    server.home.check();
    // What was put aside is there for the operator, until it is deleted.
    let (rows, _) = json_of(&server.home, &["quarantine", "list"]);
    let rows = rows["rows"].as_array().expect("no rows").clone();
    let of_nobody = rows.iter().find(|row| row["key"] == "ee0102");
    assert_eq!(of_nobody.expect("not there")["octets"], 9, "{rows:#?}");
    let (shown, _) = json_of(&server.home, &["quarantine", "show", "ee0102"]);
    assert_eq!(shown["rows"][0]["reason"], "key/unknown-subspace");
    let file = server.home.path().join("exported");
    let path = file.display().to_string();
    server
        .home
        .cli(&["quarantine", "export", "ee0102", &path], "");
    assert_eq!(std::fs::read(&file).expect("no file"), b"of nobody");
    server.home.cli(&["quarantine", "delete", "ee0102"], "");
    let gone = server.home.try_cli(&["quarantine", "show", "ee0102"], "");
    assert!(!gone.status.success());
    server.stop();
    server.home.check();
}

/// Two servers over one PostgreSQL that is damaged: one serves and takes mail, and the command is given where the other one was.
#[test]
fn a_database_of_several_servers_is_repaired_while_one_of_them_serves() {
    let home = Home::with_people_on(TestStore::Postgres);
    let OwnDatabase::Server(database) = &home.database else {
        panic!("it is a server");
    };
    let url = database.url();
    let beside = home.beside();
    let (mut stopped, mut serving) = (Server::start_in(home), Server::start_in(beside));
    for number in 0..MAILS {
        let server = if number % 2 == 0 { &stopped } else { &serving };
        deliver(server, "alice@example.org", &number.to_string());
        deliver(server, "bob@example.org", &number.to_string());
    }
    stopped.stop();
    serving.stop();
    runtime().block_on(async {
        let options = SqlOptions {
            durable: false,
            ..SqlOptions::new(url)
        };
        let engine = open_sql(&options, std::path::Path::new("")).await;
        let engine = engine.expect("the database can't be opened");
        let mut batch = Batch::new();
        damage_rows(&*engine, &mut batch).await;
        engine.commit(batch).await.expect("not written");
    });
    serving.restart();
    assert_eq!(subjects(&serving, "bob"), all_subjects());
    assert!(subjects(&serving, "alice").len() >= MAILS - 2);
    let is_over = AtomicBool::new(false);
    let taken = thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut taken = BTreeSet::new();
            while !is_over.load(Ordering::Relaxed) {
                for to in ["alice", "bob"] {
                    let id = format!("{to}{}", taken.len());
                    let address = format!("{to}@example.org");
                    let reply = serving.lmtp().send("c@example.net", &address, &mail(&id));
                    if reply.is_ok_and(|reply| reply.is_ok()) {
                        taken.insert((to, format!("Mail {id}")));
                    }
                }
                // The repair looks at an account again that has changed while it was looked at.
                thread::sleep(Duration::from_millis(50));
            }
            taken
        });
        // It works on the database itself: nobody serves with this data folder.
        let output = stopped.home.try_cli(&["check", "--repair"], "");
        is_over.store(true, Ordering::Relaxed);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(output.status.success(), "{said}");
        sending.join().expect("sending failed")
    });
    assert!(taken.iter().any(|(to, _)| *to == "bob"), "{taken:?}");
    until("alice gets no mail after the repair", || {
        let sent = serving
            .lmtp()
            .send("c@example.net", "alice@example.org", &mail("later"));
        sent.is_ok_and(|reply| reply.is_ok())
    });
    stopped.restart();
    for server in [&serving, &stopped] {
        server.home.check();
        for name in ["alice", "bob"] {
            let there = subjects(server, name);
            assert!(there.is_superset(&all_subjects()), "{name}: {there:?}");
            let of = taken.iter().filter(|(to, _)| *to == name);
            let missing: Vec<_> = of.filter(|(_, of)| !there.contains(of)).collect();
            assert!(missing.is_empty(), "{name} misses {missing:?}");
            server.jmap(name).check_counts();
        }
    }
    assert_eq!(subjects(&serving, "alice"), subjects(&stopped, "alice"));
}

#[test]
fn a_repair_that_is_killed_is_gone_on_from() {
    if !TestStore::is_rocksdb_for("a_repair_that_is_killed_is_gone_on_from") {
        return;
    }
    let mut dice = Dice(number_from_env("POSTHORN_SEED", 1) as u64);
    let mut server = with_mail();
    damage(&server.home);
    for _ in 0..6 {
        let mut repair = Command::new(binary())
            .arg("--data")
            .arg(&server.home.data)
            .args(["check", "--repair"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary can't be started");
        thread::sleep(Duration::from_millis(50 + dice.below(600) as u64));
        repair.kill().expect("it can't be killed");
        repair.wait().expect("it can't be waited for");
    }
    let (repair, is_done) = json_of(&server.home, &["check", "--repair"]);
    assert!(is_done, "{repair:#}");
    server.home.check();
    server.restart();
    assert_eq!(subjects(&server, "alice"), all_subjects());
}

#[test]
fn without_its_own_secrets_a_server_starts_after_a_repair() {
    if !TestStore::is_rocksdb_for("without_its_own_secrets_a_server_starts_after_a_repair") {
        return;
    }
    let mut server = with_mail();
    change(&server.home, async |_, batch| {
        batch.put(keys::meta("scram"), "short");
        batch.put(keys::meta("format"), "x");
    });
    let refused = server.home.try_cli(&["check"], "");
    assert!(!refused.status.success());
    server.home.cli(&["check", "--repair"], "");
    server.home.check();
    server.restart();
    assert_eq!(subjects(&server, "alice"), all_subjects());
}

#[test]
fn while_an_account_is_indexed_anew_its_mail_is_found() {
    let server = Server::start();
    for number in 0..MAILS {
        deliver(&server, "alice@example.org", &number.to_string());
    }
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let (server, is_over) = (&server, &is_over);
        let searching = scope.spawn(move || {
            let mut jmap = server.jmap("alice");
            let mut next = MAILS;
            while !is_over.load(Ordering::Relaxed) || next < MAILS + 5 {
                deliver(server, "alice@example.org", &next.to_string());
                for number in [next, next % MAILS] {
                    let found = jmap.query_all(json!({"text": format!("kestrel{number}")}));
                    assert_eq!(found.len(), 1, "kestrel{number}");
                }
                next += 1;
            }
        });
        server.home.cli(&["reindex", "alice@example.org"], "");
        server.home.cli(&["reindex"], "");
        is_over.store(true, Ordering::Relaxed);
        searching.join().expect("searching failed");
    });
    server.home.check();
}

#[test]
fn a_newer_format_is_refused_with_what_to_do() {
    if !TestStore::is_rocksdb_for("a_newer_format_is_refused_with_what_to_do") {
        return;
    }
    let server = with_mail();
    let told = server.home.cli(&["upgrade", "--check"], "");
    assert!(told.contains("which is that of this version"), "{told}");
    server.home.cli(&["upgrade"], "");
    change(&server.home, async |_, batch| {
        batch.put(keys::meta("format"), store::numbers(&[99]));
    });
    for args in [&["status"][..], &["upgrade"], &["check", "--repair"]] {
        let refused = server.home.try_cli(args, "");
        let why = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success());
        assert!(
            why.contains("format 99") && why.contains("install"),
            "{why}"
        );
    }
}

//! Encrypted repositories, object stores, pruning, and backups that nobody asks for.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use e2e::{Home, PASSWORD, Server};
use serde_json::{Value, json};

use crate::{deliver, folder, json, model::Model, number, text, text_of};

/// Runs a program that has to succeed, for its standard output.
fn run(program: &str, args: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| {
        panic!("{program} can't be started ({error}); `cargo xtask setup` installs it")
    });
    assert!(output.status.success(), "{program}: {}", text_of(&output));
    output.stdout
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("no folder") {
        let path = entry.expect("no entry").path();
        match path.is_dir() {
            true => files.extend(self::files(&path)),
            false => files.push(path),
        }
    }
    files
}

/// The tool `age` opens what was encrypted to its key; the server adds to it without the key.
#[test]
fn what_is_encrypted_is_read_by_age() {
    let server = Server::start();
    deliver(server.home.smtp, 0..30);
    let before = Model::of(&server, "alice");
    let key = server.home.path().join("key.txt");
    run("age-keygen", &["-o", text(&key)]);
    let recipient = String::from_utf8(run("age-keygen", &["-y", text(&key)])).expect("no text");
    let repository = folder(&server.home, "backup");
    let place = text(&repository);
    let encrypted = ["backup", place, "--encrypt-to", recipient.trim()];
    let first = json(&server.home, &encrypted);
    deliver(server.home.smtp, 100..103);
    let second = json(&server.home, &["backup", place]);
    assert_eq!(number(&second, "newBlobs"), 3, "{first} {second}");
    let closed = json(&server.home, &["backup", "list", place]);
    assert_eq!(closed[0]["content"], Value::Null);
    let refused = Home::new().try_cli(&["restore", place], "");
    assert!(
        text_of(&refused).contains("--identity"),
        "{}",
        text_of(&refused)
    );

    let mut magics = std::collections::BTreeSet::new();
    let sealed = files(&repository.join("packs"));
    for file in sealed.iter().chain(&files(&repository.join("snapshots"))) {
        let content = run("age", &["-d", "-i", text(&key), text(file)]);
        // A pack begins with the length of its head.
        let at = if file.starts_with(repository.join("packs")) {
            4
        } else {
            0
        };
        magics.insert(content[at..at + 8].to_vec());
    }
    assert_eq!(magics, [b"phpack01".to_vec(), b"phsnap01".to_vec()].into());
    let blob = fs::read(&sealed[0]).expect("no pack");
    assert!(blob.starts_with(b"age-encryption.org/v1\n"));

    let identity = ["--identity", text(&key)];
    let report = json(
        &server.home,
        &[&["backup", "verify", place, "--read-all"], &identity[..]].concat(),
    );
    assert_eq!(report["problems"], json!([]));
    let home = Home::new();
    let snapshot = first["snapshot"].as_str().expect("no id");
    let args = ["restore", place, "--snapshot", snapshot];
    json(&home, &[&args, &identity[..]].concat());
    home.check();
    let server = Server::start_in(home);
    assert_eq!(Model::of(&server, "alice"), before);
}

#[test]
fn a_passphrase_opens_what_it_closed() {
    let server = Server::start();
    deliver(server.home.smtp, 0..5);
    let file = server.home.path().join("passphrase");
    fs::write(&file, "correct horse battery\n").expect("no file");
    let repository = folder(&server.home, "backup");
    let place = text(&repository);
    let passphrase = ["--passphrase-file", text(&file)];
    json(
        &server.home,
        &[&["backup", place], &passphrase[..]].concat(),
    );
    let report = json(
        &server.home,
        &[&["backup", "verify", place, "--read-all"], &passphrase[..]].concat(),
    );
    assert_eq!(
        (&report["problems"], &report["isClosed"]),
        (&json!([]), &json!(false))
    );
    fs::write(&file, "wrong\n").expect("no file");
    let args = [&["backup", "list", place], &passphrase[..]].concat();
    let refused = server.home.try_cli(&args, "");
    assert!(!refused.status.success(), "{}", text_of(&refused));
}

/// Each file once: a flipped octet is found, and the exit code tells.
#[test]
fn damage_is_found() {
    let server = Server::start();
    deliver(server.home.smtp, 0..10);
    let repository = folder(&server.home, "backup");
    let place = text(&repository);
    json(&server.home, &["backup", place]);
    for file in files(&repository) {
        let whole = fs::read(&file).expect("no file");
        let mut damaged = whole.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        fs::write(&file, &damaged).expect("not written");
        let found = server
            .home
            .try_cli(&["backup", "verify", place, "--read-all"], "");
        assert_eq!(found.status.code(), Some(1), "{}", file.display());
        fs::write(&file, &whole).expect("not written");
    }
    server
        .home
        .cli(&["backup", "verify", place, "--read-all"], "");
}

#[test]
fn old_snapshots_go_and_what_only_they_need() {
    let server = Server::start();
    let repository = folder(&server.home, "backup");
    let place = text(&repository);
    for round in 0..3 {
        deliver(server.home.smtp, round * 100..round * 100 + 5);
        json(&server.home, &["backup", place]);
    }
    let nothing = server.home.try_cli(&["backup", "prune", place], "");
    assert!(!nothing.status.success());
    let pruned = json(
        &server.home,
        &["backup", "prune", place, "--keep-last", "1"],
    );
    assert_eq!(
        pruned["removed"].as_array().map(Vec::len),
        Some(2),
        "{pruned}"
    );
    let report = json(&server.home, &["backup", "verify", place, "--read-all"]);
    assert_eq!(report["problems"], json!([]));
    assert_eq!(
        (number(&report, "snapshots"), number(&report, "unusedFiles")),
        (1, 0)
    );
}

#[test]
fn backups_are_made_without_being_asked_for() {
    let outer = tempfile::tempdir().expect("no folder");
    let repository = outer.path().join("backup");
    let home = Home::with_people()
        .set("backup", &format!("to = \"{}\"", repository.display()))
        .set("backup", "every = \"1s\"")
        .set("backup", "keep-last = 2");
    let server = Server::start_in(home);
    deliver(server.home.smtp, 0..5);
    let end = Instant::now() + Duration::from_secs(120);
    loop {
        let status = json(&server.home, &["backup", "status"]);
        let is_kept = repository.join("snapshots").is_dir()
            && files(&repository.join("snapshots")).len() == 2;
        if is_kept && status[0]["success"]["at"].is_i64() {
            println!("{status}");
            break;
        }
        assert!(Instant::now() < end, "{status}\n{}", server.log_tail());
        thread::sleep(Duration::from_millis(200));
    }
    let metrics = e2e::http::Http::new(server.home.http).get("/metrics", &[]);
    assert!(
        metrics
            .text()
            .contains("posthorn_backup_last_success_time_seconds")
    );
    assert!(!metrics.text().contains(PASSWORD));
}

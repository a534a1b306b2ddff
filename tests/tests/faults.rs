//! What can be wrong where the server runs: folders, disks, configurations. Whoever reads the error can act on it.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use e2e::{
    Home, Server,
    blobs::TestBlobs,
    corpus::message,
    databases::TestStore,
    server::{Trouble, start_that_fails},
};
use serde_json::json;
use store::engine::{Batch, RocksEngine, RocksOptions};

const MIB: u64 = 1 << 20;

/// The start fails, and what it says has all of these words.
fn check_fails(home: &Home, words: &[&str]) {
    let failed = start_that_fails(home);
    assert!(
        failed.code != 0 && failed.code < 128,
        "ended with {}:\n{}",
        failed.code,
        failed.output
    );
    assert!(!failed.output.contains("panicked"), "{}", failed.output);
    for word in words {
        assert!(
            failed.output.contains(word),
            "the error does not say \"{word}\":\n{}",
            failed.output
        );
    }
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    if !TestStore::is_in_the_folder_for("a_second_server_on_the_same_data_is_refused") {
        return;
    }
    let mut server = Server::start();
    let second = Home::new().with_data(server.home.data.clone());
    second.write_config();
    check_fails(&second, &[&second.data.display().to_string(), "in use"]);
    assert!(server.is_running(), "the first server goes on");
    server.jmap("alice");
    server.stop();
}

#[test]
fn a_data_folder_of_a_newer_format_is_refused() {
    if !TestStore::is_rocksdb_for("a_data_folder_of_a_newer_format_is_refused") {
        return;
    }
    let home = Home::with_people();
    home.write_config();
    let runtime = tokio::runtime::Runtime::new().expect("no runtime");
    runtime.block_on(async {
        let engine = RocksEngine::open(home.data.join("db"), &RocksOptions::default());
        let engine = engine.expect("the database can't be opened");
        let mut batch = Batch::new();
        batch.put(
            store::keys::meta("format"),
            store::numbers(&[store::format::FORMAT + 1]),
        );
        engine.commit(batch).await.expect("not committed");
    });
    drop(runtime);
    check_fails(&home, &[&home.data.display().to_string(), "newer"]);
}

#[test]
fn what_is_no_data_folder_is_refused() {
    let home = Home::new();
    home.write_config();
    let file = home.path().join("a-file");
    fs::write(&file, b"").expect("not written");
    let home = home.with_data(file);
    check_fails(&home, &["a-file", "not a folder"]);
}

/// A file system that is read-only, mounted for a test; only root can do that.
struct Mount<'p>(&'p Path);

impl<'p> Mount<'p> {
    fn tmpfs(path: &'p Path, options: &str) -> Option<Mount<'p>> {
        fs::create_dir_all(path).ok()?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(path)
            .output()
            .ok()?;
        mounted.status.success().then_some(Mount(path))
    }

    fn remount(&self, options: &str) {
        let status = Command::new("mount")
            .args(["-o", &format!("remount,{options}")])
            .arg(self.0)
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "not mounted again: {options}"
        );
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).output();
    }
}

#[test]
fn a_data_folder_that_cannot_be_written_is_refused() {
    let home = Home::new();
    let place = home.path().join("read-only");
    let home = home.with_data(place.clone());
    home.write_config();
    // Root writes where permissions forbid it, and only root may mount: so one way or the other.
    let mount = Mount::tmpfs(&place, "size=1m,ro");
    if mount.is_none() {
        fs::create_dir_all(&place).expect("not made");
        fs::set_permissions(&place, fs::Permissions::from_mode(0o500)).expect("no permissions");
    }
    check_fails(&home, &["read-only", "can't be written"]);
    drop(mount);
    let _ = fs::set_permissions(&place, fs::Permissions::from_mode(0o700));
}

#[test]
fn errors_in_the_configuration_name_file_line_and_key() {
    let rows: &[(&str, &str, &[&str])] = &[
        (
            "hostname = \"a.example\"\nhost = \"b\"\n",
            "line 2",
            &["host"],
        ),
        (
            "[smtp]\nlisten = [\"nonsense\"]\n",
            "line 2",
            &["listen", "nonsense"],
        ),
        (
            "[limits]\n\nmax-size-message = \"ten\"\n",
            "line 3",
            &["max-size-message", "ten"],
        ),
        ("[smtp]\nconnections = -1\n", "line 2", &["connections"]),
        ("[nonsense]\na = 1\n", "line 1", &["nonsense"]),
        ("hostname = \n", "line 1", &[]),
        (
            "[tls]\ncertificate = \"a.pem\"\n",
            "line 2",
            &["tls.certificate", "tls.key"],
        ),
    ];
    let home = Home::new();
    for (text, line, words) in rows {
        fs::write(home.config_file(), text).expect("not written");
        let file = home.config_file().display().to_string();
        let mut all = vec![file.as_str(), line];
        all.extend(*words);
        check_fails(&home, &all);
    }
    fs::remove_file(home.config_file()).expect("not removed");
    check_fails(
        &home,
        &[&home.config_file().display().to_string(), "can't be read"],
    );
}

#[test]
fn a_port_that_is_taken_is_named() {
    let home = Home::with_people();
    home.write_config();
    let _taken = std::net::TcpListener::bind(("127.0.0.1", home.smtp)).expect("not bound");
    check_fails(&home, &[&home.smtp.to_string(), "in use"]);
}

/// Sends until the server refuses; returns how many were acknowledged.
fn fill(server: &Server, from: usize, until: usize) -> (usize, Option<u16>) {
    let body = "words that take room on the disk \n".repeat(4000);
    let mut smtp = server.smtp();
    for n in from..until {
        // Not the same twice: it would be stored once.
        let mail = message(
            &format!("{n}@full.example"),
            &format!("message {n}"),
            &format!("{n} {}", scrambled(&body, n)),
        );
        let reply = smtp
            .send("a@example.net", "alice@example.org", &mail)
            .expect("no reply");
        if reply.code != 250 {
            return (n - from, Some(reply.code));
        }
    }
    (until - from, None)
}

/// Text that doesn't compress to nothing.
fn scrambled(text: &str, seed: usize) -> String {
    let mut dice = e2e::Dice(seed as u64);
    text.split('\n')
        .map(|_| format!("{:016x}{:016x}\n", dice.next_u64(), dice.next_u64()))
        .collect()
}

fn check_all_there(server: &Server, count: usize) {
    let mut jmap = server.jmap("alice");
    let ids = jmap.query_all(json!({}));
    let emails = jmap.get_emails(&ids, &["messageId", "blobId", "size"]);
    let there: std::collections::BTreeSet<String> = emails
        .iter()
        .filter_map(|email| email["messageId"][0].as_str().map(str::to_owned))
        .collect();
    let missing: Vec<usize> = (0..count)
        .filter(|n| !there.contains(&format!("{n}@full.example")))
        .collect();
    assert!(missing.is_empty(), "acknowledged and lost: {missing:?}");
    for email in emails.iter().step_by(7) {
        let octets = jmap.download(email["blobId"].as_str().unwrap_or_default());
        assert_eq!(email["size"], json!(octets.len()));
    }
    jmap.check_counts();
}

/// What whoever watches the server sees.
fn check_health(server: &Server, status: u16, metric: &str) {
    let mut http = e2e::http::Http::new(server.home.http);
    let health = http.get("/healthz", &[]);
    assert_eq!(health.status, status, "{}", health.text());
    let metrics = http.get("/metrics", &[]).text();
    assert!(metrics.contains(metric), "no \"{metric}\" in\n{metrics}");
}

#[test]
fn room_on_the_disk_is_found_without_anybody_writing() {
    const NAME: &str = "room_on_the_disk_is_found_without_anybody_writing";
    if !TestStore::is_in_the_folder_for(NAME) || !TestBlobs::is_inline_for(NAME) {
        return;
    }
    let home = Home::new();
    let place = home.path().join("small");
    let Some(mount) = Mount::tmpfs(&place, "size=40m") else {
        // Where nothing can be mounted, a full disk that gets room again can't be made.
        return;
    };
    let home = home.with_data(place.join("data"));
    fs::create_dir(&home.data).expect("not made");
    home.add_people();
    let server = Server::start_in(home);
    let (_, code) = fill(&server, 0, 600);
    assert!(code.is_some(), "it is not full");
    check_health(&server, 503, "posthorn_store_failing 1");
    mount.remount("size=256m");
    let mut http = e2e::http::Http::new(server.home.http);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while http.get("/healthz", &[]).status != 200 {
        assert!(std::time::Instant::now() < end, "still not healthy");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    drop(server);
    drop(mount);
}

#[test]
fn on_a_full_disk_mail_is_put_off_and_nothing_is_lost() {
    const NAME: &str = "on_a_full_disk_mail_is_put_off_and_nothing_is_lost";
    let blobs = TestBlobs::of_all_tests();
    // A bucket is on no disk of this machine.
    if !TestStore::is_in_the_folder_for(NAME)
        || (blobs == TestBlobs::S3 && !TestBlobs::is_inline_for(NAME))
    {
        return;
    }
    const MESSAGES: usize = 600;
    let mut home = Home::new();
    if blobs == TestBlobs::Folder {
        home.change("store.blobs", "url = \"blobs\"");
    }
    let place = home.path().join("small");
    let Some(mount) = Mount::tmpfs(&place, "size=48m") else {
        return full_by_file_size();
    };
    let home = home.with_data(place.join("data"));
    fs::create_dir(&home.data).expect("not made");
    home.add_people();
    let mut server = Server::start_in(home);
    let (taken, code) = fill(&server, 0, MESSAGES);
    let code = code.unwrap_or_else(|| panic!("{taken} messages fit on a disk of 48 MB"));
    assert!(matches!(code, 451 | 452), "on a full disk: {code}");
    println!("the disk was full after {taken} messages: {code}");
    // What the blobs are too large for, the database may still have room for.
    if blobs == TestBlobs::Inline {
        check_health(&server, 503, "posthorn_store_failing 1");
    }
    check_all_there(&server, taken);

    // Room again: the server goes on, without being started anew, or at least after that.
    mount.remount("size=256m");
    let mut more = 0;
    for _ in 0..100 {
        let (now, refused) = fill(&server, taken, taken + 1);
        more = now;
        if refused.is_none() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(
        more,
        1,
        "mail is still refused 10 seconds after there is room\n{}",
        server.log_tail()
    );
    check_health(&server, 200, "posthorn_store_failing 0");
    check_all_there(&server, taken + 1);
    server.kill();
    server.restart();
    check_all_there(&server, taken + 1);
    server.stop();
    server.home.check();
    drop(server);
    drop(mount);
}

#[test]
fn when_a_sync_fails_nothing_is_acknowledged_until_the_server_is_started_again() {
    if !TestStore::is_rocksdb_for(
        "when_a_sync_fails_nothing_is_acknowledged_until_the_server_is_started_again",
    ) {
        return;
    }
    let home = Home::with_people();
    let trigger = home.path().join("syncs-fail");
    let trouble = Trouble::FailingSyncWhile(trigger.clone());
    let mut server = Server::start_with(home, Some(trouble));
    assert_eq!(fill(&server, 0, 5), (5, None));
    fs::write(&trigger, b"").expect("not written");
    let (taken, code) = fill(&server, 5, 6);
    assert_eq!(taken, 0, "acknowledged without being on disk");
    assert!(matches!(code, Some(451 | 452)), "{code:?}");
    if TestBlobs::of_all_tests() == TestBlobs::Folder {
        return when_the_folder_of_blobs_can_t_sync(server, &trigger);
    }
    check_health(&server, 503, "posthorn_store_failing 1");
    check_all_there(&server, 5);
    // The system may have thrown away what it could not write, and says so once: a later sync that works proves nothing.
    fs::remove_file(&trigger).expect("not removed");
    let (taken, code) = fill(&server, 6, 7);
    assert_eq!(
        taken, 0,
        "acknowledged after a write that was lost: {code:?}"
    );
    check_all_there(&server, 5);
    server.kill();
    server.restart_with(None);
    check_all_there(&server, 5);
    let there = server.jmap("alice").query_all(json!({})).len();
    assert_eq!(there, 5, "what was refused came after all");
    assert_eq!(fill(&server, 5, 7), (2, None));
    check_all_there(&server, 7);
    check_health(&server, 200, "posthorn_store_failing 0");
    server.stop();
    server.home.check();
}

/// Blobs come before the database, which may not have been written then. Each try of a message is a file of its own: what could not be
/// synced is used by nobody.
fn when_the_folder_of_blobs_can_t_sync(mut server: Server, trigger: &std::path::Path) {
    let metrics = e2e::http::Http::new(server.home.http)
        .get("/metrics", &[])
        .text();
    assert!(metrics.contains("posthorn_blobs_failing 1"), "{metrics}");
    check_all_there(&server, 5);
    fs::remove_file(trigger).expect("not removed");
    // The database had something of its own to write meanwhile, it may be, and then takes nothing until it is started again.
    server.kill();
    server.restart_with(None);
    check_all_there(&server, 5);
    let there = server.jmap("alice").query_all(json!({})).len();
    assert_eq!(there, 5, "what was refused came after all");
    assert_eq!(fill(&server, 5, 7), (2, None));
    check_health(&server, 200, "posthorn_blobs_failing 0");
    check_all_there(&server, 7);
    server.stop();
    server.home.check();
}

/// Where nothing can be mounted: no file of the server grows beyond a few MB.
fn full_by_file_size() {
    let mut server = Server::start_with(Home::with_people(), Some(Trouble::FileOctetsMax(4 * MIB)));
    let (taken, code) = fill(&server, 0, 600);
    let code = code.unwrap_or_else(|| panic!("{taken} messages fit in files of 4 MB"));
    assert!(matches!(code, 451 | 452), "files can't grow: {code}");
    check_health(&server, 503, "posthorn_store_failing 1");
    check_all_there(&server, taken);
    server.kill();
    server.restart_with(None);
    check_all_there(&server, taken);
    assert_eq!(fill(&server, taken, taken + 1), (1, None));
    server.stop();
    server.home.check();
}

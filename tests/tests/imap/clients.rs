//! Clients that others wrote, against the running binary: Python's imaplib, curl, getmail and gsasl. `sync` has those that synchronize.

use std::process::{Command, Stdio};

use e2e::{PASSWORD, Server, corpus::message};

const PYTHON: &str = include_str!("imaplib_client.py");

fn run(command: &mut Command) -> String {
    let output = command
        .stdin(Stdio::null())
        .output()
        .expect("it can't be run");
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    assert!(output.status.success(), "{out}{err}");
    out
}

#[test]
fn imaplib_logs_in_and_manages_mailboxes() {
    let server = Server::start();
    let python = std::env::var("POSTHORN_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let said = run(Command::new(python)
        .args(["-c", PYTHON])
        .arg(server.home.imap.to_string())
        .arg(server.home.imaps.to_string())
        .arg(PASSWORD));
    assert!(said.ends_with("done\n"), "{said}");
}

#[test]
fn curl_lists_mailboxes() {
    let server = Server::start();
    let login = format!("alice@example.org:{PASSWORD}");
    let curl = |args: &[&str]| {
        run(Command::new("curl")
            .args(["-s", "-k", "--max-time", "60", "-u", &login])
            .args(args))
    };
    let plain = format!("imap://127.0.0.1:{}", server.home.imap);
    let tls = format!("imaps://127.0.0.1:{}", server.home.imaps);
    for url in [&plain, &tls] {
        let listed = curl(&[url]);
        assert!(listed.contains("\"/\" INBOX"), "{listed}");
    }
    curl(&["--ssl-reqd", &plain, "-X", "CREATE From/curl"]);
    let listed = curl(&[&tls, "-X", "LIST \"\" \"From/*\""]);
    assert!(listed.contains("From/curl"), "{listed}");
    let status = curl(&[&tls, "-X", "STATUS From/curl (MESSAGES)"]);
    assert!(status.contains("(MESSAGES 0)"), "{status}");
}

#[test]
fn curl_files_finds_and_fetches_messages() {
    let server = Server::start();
    let login = format!("alice@example.org:{PASSWORD}");
    let curl = |args: &[&str]| {
        run(Command::new("curl")
            .args(["-sS", "-k", "--max-time", "60", "-u", &login])
            .args(args))
    };
    let inbox = format!("imaps://127.0.0.1:{}/INBOX", server.home.imaps);
    let mail = message("curl@example.net", "filed", "by curl");
    let file = server.home.path().join("mail");
    std::fs::write(&file, &mail).expect("not written");
    curl(&["-T", &file.to_string_lossy(), &inbox]);
    let whole = curl(&[&format!("{inbox};UID=1")]);
    assert_eq!(whole.as_bytes(), mail);
    let part = curl(&[&format!("{inbox};UID=1;SECTION=TEXT")]);
    assert_eq!(part, "by curl\r\n");
    let found = curl(&[&format!("{inbox}?SUBJECT%20filed")]);
    assert_eq!(found.trim_end(), "* SEARCH 1");
    for mechanism in ["PLAIN", "LOGIN"] {
        let options = format!("AUTH={mechanism}");
        let exists = curl(&["--login-options", &options, &inbox, "-X", "NOOP"]);
        assert!(!exists.contains("BAD"), "{exists}");
    }
    curl(&[&inbox, "-X", "STORE 1 +FLAGS.SILENT (\\Deleted)"]);
    curl(&[&inbox, "-X", "EXPUNGE"]);
    let found = curl(&[&format!("{inbox}?ALL")]);
    assert_eq!(found.trim_end(), "* SEARCH");
}

#[test]
fn getmail_fetches_and_removes() {
    let server = Server::start();
    let folder = server.home.path();
    let fetched = folder.join("fetched");
    std::fs::create_dir(&fetched).expect("no folder");
    // A Maildir it would not write to as root.
    let rc = format!(
        "[retriever]\ntype = SimpleIMAPRetriever\nserver = 127.0.0.1\nport = {}\nusername = alice@example.org\npassword = {PASSWORD}\n\
         mailboxes = (\"INBOX\",)\n\
         [destination]\ntype = MDA_external\npath = /bin/sh\n\
         arguments = (\"-c\", \"cat > $(mktemp {}/XXXXXX)\")\nallow_root_commands = true\n\
         [options]\nread_all = false\ndelete = DELETE\n",
        server.home.imap,
        fetched.display()
    );
    let fetch = |delete: &str| {
        let rc = rc.replace("DELETE", delete);
        std::fs::write(folder.join("getmailrc"), rc).expect("not written");
        run(Command::new("getmail").args(["--getmaildir", &folder.to_string_lossy(), "-q"]));
        std::fs::read_dir(&fetched).expect("no folder").count()
    };
    let deliver = |id: &str| {
        let mail = message(&format!("{id}@example.net"), id, "text");
        let reply = server
            .smtp()
            .send("carol@example.net", "alice@example.org", &mail);
        assert_eq!(reply.expect("not delivered").code, 250);
    };
    deliver("one");
    deliver("two");
    assert_eq!(fetch("false"), 2);
    deliver("three");
    assert_eq!(fetch("false"), 3, "a message came twice");
    assert_eq!(fetch("true"), 3);
    let mut jmap = server.jmap("alice");
    assert!(jmap.query_all(serde_json::json!(null)).is_empty());
}

#[test]
fn gsasl_logs_in_with_a_proof() {
    let server = Server::start();
    let rows: [&[&str]; 3] = [
        &["--mechanism", "SCRAM-SHA-256-PLUS"],
        // With something to bind to, it doesn't want it without.
        &["--mechanism", "SCRAM-SHA-256", "--no-cb"],
        &["--mechanism", "PLAIN"],
    ];
    for options in rows {
        for (password, expected) in [(PASSWORD, " OK "), ("wrong", " NO [AUTHENTICATIONFAILED] ")] {
            let output = Command::new("gsasl")
                .args(["--imap", "--starttls", "--verbose"])
                .args(["--authentication-id", "alice@example.org"])
                .args(["--authorization-id", "alice@example.org"])
                .args(["--password", password])
                .args(options)
                .args(["--x509-ca-file", "", "127.0.0.1"])
                .arg(server.home.imap.to_string())
                .stdin(Stdio::null())
                .output()
                .expect("gsasl can't be run; it is a Debian package");
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert_eq!(output.status.success(), password == PASSWORD, "{said}");
            assert!(said.contains(expected), "{options:?}: {said}");
        }
    }
}

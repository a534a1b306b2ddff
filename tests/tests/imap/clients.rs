//! Clients that others wrote, against the running binary: Python's imaplib and curl.

use std::process::{Command, Stdio};

use e2e::{PASSWORD, Server};

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

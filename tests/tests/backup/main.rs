//! Backup and restore with the real binary: what is restored is what was backed up, by JMAP and by IMAP.

mod databases;
mod model;
mod parts;
mod places;
mod queue;
mod s3;
mod whole;

use std::{
    path::{Path, PathBuf},
    process::Output,
};

use e2e::{Home, Smtp, corpus::message};
use serde_json::Value;

/// Runs `posthorn backup` or `posthorn restore` for its JSON.
fn json(home: &Home, args: &[&str]) -> Value {
    let text = home.cli(&[&["--json"], args].concat(), "");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// What a command has printed that went well.
fn json_of(output: Output) -> Value {
    assert!(output.status.success(), "{}", text_of(&output));
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn number(value: &Value, name: &str) -> u64 {
    let number = value[name].as_u64();
    number.unwrap_or_else(|| panic!("no number {name} in {value}"))
}

fn text_of(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    format!("{out}{error}")
}

/// A folder for a repository, in that of a test.
fn folder(home: &Home, name: &str) -> PathBuf {
    home.path().join(name)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the path is no text")
}

/// Delivers messages with these numbers to alice, and every third one to bob as well.
fn deliver(smtp_port: u16, numbers: std::ops::Range<usize>) {
    let mut smtp = Smtp::connect(smtp_port, false).expect("no SMTP connection");
    for number in numbers {
        let both: &[&str] = &["alice@example.org", "bob@example.org"];
        let to = match number % 3 {
            0 => both,
            _ => &both[..1],
        };
        let mail = mail(number);
        let replies = smtp.send_to("sender@example.net", to, &mail);
        for reply in replies.expect("the connection broke") {
            assert_eq!(reply.code, 250, "{}", reply.text);
        }
    }
}

fn mail(number: usize) -> Vec<u8> {
    let lines = [1, 20, 200][number % 3];
    // Text that can't be compressed to nothing.
    let line = |line: usize| format!("{}\n", blake3::hash(format!("{number} {line}").as_bytes()));
    let body: String = (0..lines).map(line).collect();
    message(
        &format!("{number}@backup.example"),
        &format!("message {number}"),
        &body,
    )
}

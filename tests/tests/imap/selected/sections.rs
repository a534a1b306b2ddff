//! Parts of messages, as Python's `email` finds them.

use std::process::Command;

use e2e::corpus::Corpus;

use super::Server;
use crate::fixture::PASSWORD;

/// Mails that are compared.
const SAMPLE: usize = 400;

#[tokio::test(flavor = "multi_thread")]
async fn parts_are_what_python_finds() {
    let python = std::env::var("POSTHORN_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let server = Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    let corpus = Corpus::load();
    let step = (corpus.mails.len() / SAMPLE).max(1);
    for (at, mail) in corpus.mails.iter().step_by(step).enumerate() {
        std::fs::write(folder.path().join(format!("{at:05}.eml")), &mail.octets).unwrap();
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/imap_sections.py");
    let port = server.0.address().port().to_string();
    let path = folder.path().to_owned();
    let run = tokio::task::spawn_blocking(move || {
        Command::new(python)
            .arg(script)
            .args([&port, "bob@example.org", PASSWORD])
            .arg(path)
            .output()
            .unwrap()
    });
    let output = run.await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
}

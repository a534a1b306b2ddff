//! The mails of the tests: a folder of real ones, or generated ones.
//!
//! Holds: they are what is in the files, with the line ends of the network.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::Dice;

const GENERATED: usize = 200;
const WORDS: &[&str] = &[
    "harbour",
    "lantern",
    "meeting",
    "invoice",
    "größe",
    "Straße",
    "письмо",
    "日本語",
    "report",
    "river",
    "evening",
    "number",
    "paper",
    "garden",
    "winter",
    "engine",
    "station",
    "copper",
    "window",
    "answer",
];

/// A mail, with CRLF lines.
#[derive(Clone, Debug)]
pub struct Mail {
    pub name: String,
    pub octets: Vec<u8>,
}

#[derive(Debug)]
pub struct Corpus {
    pub mails: Vec<Mail>,
}

impl Corpus {
    /// From `$POSTHORN_CORPUS`, or `../shared/corpus` beside the workspace, or generated.
    pub fn load() -> Corpus {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let usual = workspace.join("../shared/corpus");
        let folder = std::env::var_os("POSTHORN_CORPUS").map_or(usual, PathBuf::from);
        let mut files = Vec::new();
        collect(&folder, &mut files);
        files.sort();
        if files.is_empty() {
            println!(
                "no mails (*.eml) below {}: {GENERATED} are generated",
                folder.display()
            );
            return Corpus::generate(GENERATED);
        }
        let read = |file: &PathBuf| Mail {
            name: file
                .strip_prefix(&folder)
                .unwrap_or(file)
                .display()
                .to_string(),
            octets: to_crlf(
                &fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display())),
            ),
        };
        Corpus {
            mails: files.iter().map(read).collect(),
        }
    }

    /// Mails of several shapes, the same ones each time.
    pub fn generate(count: usize) -> Corpus {
        Corpus {
            mails: (0..count)
                .map(|n| Mail {
                    name: format!("generated {n}"),
                    octets: generated(n),
                })
                .collect(),
        }
    }
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "eml") {
            into.push(path);
        }
    }
}

/// Lines end with CRLF, the last one too; CR or LF elsewhere becomes one.
pub fn to_crlf(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() + octets.len() / 32);
    let mut rest = octets.iter().copied().peekable();
    while let Some(octet) = rest.next() {
        match octet {
            b'\r' => {
                rest.next_if_eq(&b'\n');
                out.extend_from_slice(b"\r\n");
            }
            b'\n' => out.extend_from_slice(b"\r\n"),
            other => out.push(other),
        }
    }
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// A message with a Message-ID and words of its own.
pub fn message(id: &str, subject: &str, body: &str) -> Vec<u8> {
    let text = format!(
        "From: Carol <carol@example.net>\nTo: alice@example.org\nSubject: {subject}\nMessage-ID: <{id}>\n\
         Date: Mon, 2 Feb 2026 10:00:00 +0100\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n{body}\n"
    );
    to_crlf(text.as_bytes())
}

fn generated(n: usize) -> Vec<u8> {
    let mut dice = Dice(n as u64 + 1);
    let mut text = |words: usize| {
        let each = (0..words).map(|i| {
            if i % 12 == 11 {
                "\n".to_owned()
            } else {
                format!("{} ", dice.one_of(WORDS))
            }
        });
        each.collect::<String>()
    };
    let (plain, html, subject) = (text(80), text(60), text(4));
    let head = format!(
        "From: Sender {n} <sender{n}@example.net>\nTo: alice@example.org\nSubject: {subject}{n}\n\
         Message-ID: <{n}@generated.example>\nDate: Mon, 2 Feb 2026 10:{:02}:{:02} +0000\nMIME-Version: 1.0\n",
        n / 60 % 60,
        n % 60
    );
    let body = match n % 4 {
        0 => format!("Content-Type: text/plain; charset=utf-8\n\n{plain}\n.\n..a dot\n"),
        1 => format!("Content-Type: text/html; charset=utf-8\n\n<p>{html}</p>\n"),
        2 => format!(
            "Content-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/plain; charset=utf-8\n\n{plain}\n\
             --b\nContent-Type: text/html; charset=utf-8\n\n<p>{html}</p>\n--b--\n"
        ),
        _ => format!(
            "Content-Type: multipart/mixed; boundary=m\n\n--m\nContent-Type: text/plain; charset=utf-8\n\n{plain}\n--m\n\
             Content-Type: application/pdf; name=file{n}.pdf\nContent-Disposition: attachment\n\
             Content-Transfer-Encoding: base64\n\nJVBERi0xLjQKJcOkw7zDtsOfCg==\n--m--\n"
        ),
    };
    to_crlf(format!("{head}{body}").as_bytes())
}

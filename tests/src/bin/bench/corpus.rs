//! The mails that are sent: a folder of real ones, or generated ones.
//! Holds: variant N of a mail has a Message-ID and a subject of its own and is otherwise the mail; it costs the client one copy,
//! so that the load is the server's and not the client's.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::Fail;

/// As many as are held in memory.
const MAILS_MAX: usize = 4000;
/// A larger mail would measure the disk alone.
const MAIL_OCTETS_MAX: u64 = 1 << 20;
const GENERATED: usize = 300;

/// A mail cut where the variant's number goes; in CRLF lines, dots already doubled for SMTP (RFC 5321 §4.5.2).
struct Template {
    /// To the end of the subject.
    head: Vec<u8>,
    /// From there to the end, with the final CRLF.
    tail: Vec<u8>,
}

pub struct Corpus {
    templates: Vec<Template>,
    source: String,
}

impl Corpus {
    /// From `$POSTHORN_CORPUS`, else `../shared/corpus`, else generated.
    pub fn load() -> Result<Self, Fail> {
        let named = std::env::var_os("POSTHORN_CORPUS").map(PathBuf::from);
        let folder = named.clone().unwrap_or_else(|| "../shared/corpus".into());
        let mut paths = Vec::new();
        collect(&folder, &mut paths);
        paths.sort();
        paths.truncate(MAILS_MAX);
        if paths.is_empty() && named.is_some() {
            return Err(format!("no *.eml below {}", folder.display()).into());
        }
        if paths.is_empty() {
            let templates = (0..GENERATED)
                .map(|n| Template::new(&generated(n)))
                .collect();
            return Ok(Self {
                templates,
                source: "the generator".into(),
            });
        }
        let mut templates = Vec::new();
        for path in &paths {
            let bytes = fs::read(path)?;
            // RFC 5321 §2.3.1: a mail has no NUL; a server may refuse one that does.
            if !bytes.is_empty() && !bytes.contains(&0) {
                templates.push(Template::new(&bytes));
            }
        }
        Ok(Self {
            templates,
            source: folder.display().to_string(),
        })
    }

    pub fn len(&self) -> usize {
        self.templates.len()
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    pub fn mean_octets(&self) -> usize {
        let octets = |template: &Template| template.head.len() + template.tail.len();
        self.templates.iter().map(octets).sum::<usize>() / self.len().max(1)
    }

    /// Writes variant `n`, ready to follow DATA, with the closing dot.
    pub fn write(&self, n: usize, into: &mut Vec<u8>) {
        let template = &self.templates[n % self.templates.len()];
        into.extend_from_slice(format!("Message-ID: <{n}.variant@bench.example>\r\n").as_bytes());
        into.extend_from_slice(&template.head);
        into.extend_from_slice(format!(" [{n}]").as_bytes());
        into.extend_from_slice(&template.tail);
        into.extend_from_slice(b".\r\n");
    }

    /// Words to search for, the rare first: one in about 1 of 200 mails, one in about 1 of 20.
    pub fn words(&self) -> Vec<String> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for template in &self.templates {
            let text = String::from_utf8_lossy(&template.tail);
            let mut seen: Vec<String> = text
                .split(|c: char| !c.is_ascii_alphabetic())
                .filter(|word| {
                    (5..=9).contains(&word.len()) && word.chars().all(|c| c.is_ascii_lowercase())
                })
                .map(str::to_owned)
                .collect();
            seen.sort();
            seen.dedup();
            for word in seen {
                *counts.entry(word).or_default() += 1;
            }
        }
        let nearest = |want: usize| {
            let nearest = counts
                .iter()
                .min_by_key(|(_, count)| count.abs_diff(want.max(1)));
            nearest.map(|(word, _)| word.clone()).unwrap_or_default()
        };
        vec![nearest(self.len() / 200), nearest(self.len() / 20)]
    }
}

impl Template {
    fn new(mail: &[u8]) -> Self {
        let mut head = Vec::new();
        let mut tail = Vec::new();
        let mut in_header = true;
        let mut has_subject = false;
        let mut field = Vec::new();
        let mail = mail.strip_suffix(b"\n").unwrap_or(mail);
        for line in mail.split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !in_header {
                push_line(&mut tail, line);
            } else if line.starts_with(b" ") || line.starts_with(b"\t") {
                field.extend_from_slice(b"\r\n");
                field.extend_from_slice(line);
            } else {
                has_subject |= finish_field(&mut field, &mut head, &mut tail, has_subject);
                if line.is_empty() {
                    in_header = false;
                    push_line(&mut tail, line);
                }
                field.extend_from_slice(line);
            }
        }
        has_subject |= finish_field(&mut field, &mut head, &mut tail, has_subject);
        if !has_subject {
            // All of the mail is in `tail` so far: a subject of its own goes before it.
            head.extend_from_slice(b"Subject: mail");
            tail.splice(0..0, *b"\r\n");
        }
        Self { head, tail }
    }
}

/// Puts a header field where it belongs: before the cut up to the subject, which itself has no line end yet, after it
/// from there on. Returns whether it was the first subject.
fn finish_field(
    field: &mut Vec<u8>,
    head: &mut Vec<u8>,
    tail: &mut Vec<u8>,
    has_subject: bool,
) -> bool {
    let field = std::mem::take(field);
    let name = field.split(|byte| *byte == b':').next().unwrap_or_default();
    let name = name.trim_ascii().to_ascii_lowercase();
    // What the last delivery wrote, and what the variant writes anew.
    let dropped = [&b"return-path"[..], b"delivered-to", b"message-id"].contains(&&name[..]);
    if dropped || field.is_empty() || field.starts_with(b"From ") {
        return false;
    }
    if name == b"subject" && !has_subject {
        // All before the subject has been kept in `tail`.
        head.append(tail);
        head.extend_from_slice(&field);
        tail.extend_from_slice(b"\r\n");
        return true;
    }
    push_line(tail, &field);
    false
}

fn push_line(into: &mut Vec<u8>, line: &[u8]) {
    if line.starts_with(b".") {
        into.push(b'.');
    }
    into.extend_from_slice(line);
    into.extend_from_slice(b"\r\n");
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let small = entry
            .metadata()
            .is_ok_and(|meta| meta.len() <= MAIL_OCTETS_MAX);
        if path.is_dir() {
            collect(&path, into);
        } else if small && path.extension().is_some_and(|end| end == "eml") {
            into.push(path);
        }
    }
}

/// A mail of 1 to 30 KB: text, and for some an HTML part and an attachment.
fn generated(n: usize) -> Vec<u8> {
    let mut dice = Dice::new(n as u64 + 1);
    let words = |dice: &mut Dice, count: usize| {
        let mut text = String::new();
        for at in 0..count {
            let syllable =
                |dice: &mut Dice| ["ka", "lo", "mi", "re", "tu", "san", "ver", "po"][dice.below(8)];
            let word: String = (0..2 + dice.below(3)).map(|_| syllable(dice)).collect();
            text.push_str(&word);
            text.push_str(if at % 12 == 11 { "\r\n" } else { " " });
        }
        text
    };
    let body_words = 50 + dice.below(600);
    let body = words(&mut dice, body_words);
    let head = format!(
        "From: Sender {n} <sender{n}@peer.example>\r\nTo: Somebody <somebody@example.org>\r\n\
         Date: Tue, 1 Jul 2003 10:{:02}:37 +0200\r\nSubject: {}\r\nMIME-Version: 1.0\r\n",
        n % 60,
        words(&mut dice, 5).trim(),
    );
    if !n.is_multiple_of(3) {
        return format!("{head}Content-Type: text/plain; charset=utf-8\r\n\r\n{body}\r\n")
            .into_bytes();
    }
    let line = "UG9zdGhvcm4gaXMgYSBtYWlsIHNlcnZlciB3aXRoIG9uZSBjb3JlIGFuZCBtYW55IGVkZ2VzLg==\r\n";
    let attachment = line.repeat(10 + dice.below(300));
    format!(
        "{head}Content-Type: multipart/mixed; boundary=cut\r\n\r\n--cut\r\nContent-Type: text/html; charset=utf-8\r\n\r\n\
         <p>{body}</p>\r\n--cut\r\nContent-Type: application/octet-stream; name=a.bin\r\nContent-Transfer-Encoding: base64\r\n\
         \r\n{attachment}--cut--\r\n"
    )
    .into_bytes()
}

/// Numbers that look random and are the same each run (xorshift64*).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mail: &str, want: &str) {
        let corpus = Corpus {
            templates: vec![Template::new(mail.as_bytes())],
            source: String::new(),
        };
        let mut written = Vec::new();
        corpus.write(7, &mut written);
        assert_eq!(String::from_utf8(written).unwrap(), want);
    }

    #[test]
    fn a_variant_has_its_own_id_and_subject() {
        check(
            "Return-Path: <x>\nFrom: a\nSubject: long\n one\nMessage-Id: <old@x>\nTo: b\n\nHello\n.dot\n",
            "Message-ID: <7.variant@bench.example>\r\nFrom: a\r\nSubject: long\r\n one [7]\r\nTo: b\r\n\r\nHello\r\n..dot\r\n.\r\n",
        );
        check(
            "From: a\n\nHello",
            "Message-ID: <7.variant@bench.example>\r\nSubject: mail [7]\r\nFrom: a\r\n\r\nHello\r\n.\r\n",
        );
    }
}

use super::{Dice, check_summary};
use crate::mail::message::{wire::tests::check_structure, *};

/// The mails of the corpus, or some that are made here when there is no corpus.
fn mails(count_max: usize) -> Vec<Vec<u8>> {
    let found = crate::corpus::mails(count_max);
    if found.is_empty() { generated() } else { found }
}

fn generated() -> Vec<Vec<u8>> {
    let mut dice = Dice(42);
    let lines = [
        "From: A <a@b.c>",
        "Subject: =?utf-8?Q?=C3=A4?= x",
        "Date: 1 Jan 2020 00:00:00 +0100",
        "Content-Type: multipart/mixed; boundary=b",
        "Content-Type: text/html; charset=iso-8859-1",
        "",
        "--b",
        "--b--",
        "Content-Transfer-Encoding: base64",
        "aGFsbG8=",
        "<p>hello</p>",
        " fold",
    ];
    let one = |dice: &mut Dice| {
        let count = 5 + dice.below(40);
        let picked: Vec<&str> = (0..count).map(|_| lines[dice.below(lines.len())]).collect();
        picked.join("\r\n").into_bytes()
    };
    (0..200).map(|_| one(&mut dice)).collect()
}

#[test]
fn every_mail_parses() {
    let mut encoded = 0;
    let mails = mails(10_000);
    for raw in &mails {
        let (summary, text) = Summary::parse_with_text(raw);
        check_summary(raw, &summary);
        check_structure(&WireStructure::new(raw, &summary));
        assert!(!text.body.contains('\0') || raw.contains(&0));
        let head = &raw[..summary.header_len() as usize];
        for field in &summary.fields {
            for form in [
                Form::Raw,
                Form::Text,
                Form::Addresses,
                Form::MessageIds,
                Form::Date,
                Form::Urls,
            ] {
                form.parse(field.value(head));
            }
        }
        Terms::parse("free the").preview(&text.body);
        encoded += summary.encode().len();
    }
    assert!(
        encoded / mails.len() < 1024,
        "{} octets a summary",
        encoded / mails.len()
    );
}

/// Mutations by seed: no input panics, and every summary keeps what it promises.
#[test]
fn mutated_mails() {
    let pieces: [&[u8]; 12] = [
        b"\r\n",
        b"\n",
        b"--",
        b":",
        b"=?utf-8?Q?",
        b"\"",
        b"(",
        b"<",
        b"=",
        b"\0",
        b"\xff",
        b"\r\n\r\n",
    ];
    let mails = mails(300);
    for seed in 0..4_000u64 {
        let mut dice = Dice(seed);
        let mut raw = mails[dice.below(mails.len())].clone();
        raw.truncate(40_000);
        for _ in 0..1 + dice.below(8) {
            let at = dice.below(raw.len().min(6_000) + 1).min(raw.len());
            match dice.below(4) {
                0 if at < raw.len() => raw[at] = dice.next() as u8,
                1 => raw.truncate(at.max(raw.len() / 2)),
                2 => {
                    let end = (at + dice.below(60)).min(raw.len());
                    raw.drain(at..end);
                }
                _ => {
                    let piece = pieces[dice.below(pieces.len())];
                    raw.splice(at..at, piece.iter().copied());
                }
            }
        }
        let outcome = std::panic::catch_unwind(|| {
            let (summary, text) = Summary::parse_with_text(&raw);
            check_summary(&raw, &summary);
            mdn::Mdn::parse(&raw, &summary);
            Terms::parse("the a").preview(&text.body);
        });
        assert!(outcome.is_ok(), "seed {seed}");
    }
}

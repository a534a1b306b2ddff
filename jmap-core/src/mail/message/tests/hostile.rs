use super::{Dice, check_summary};
use crate::mail::message::*;
use std::time::{Duration, Instant};

/// Far above what linear work takes in a debug build on a busy machine, far below quadratic work.
const TIME_MAX: Duration = Duration::from_secs(20);

fn check(name: &str, raw: &[u8]) -> Summary {
    let start = Instant::now();
    let (summary, text) = Summary::parse_with_text(raw);
    assert!(text.body.len() <= SEARCH_TEXT_OCTETS_MAX);
    check_summary(raw, &summary);
    assert!(start.elapsed() < TIME_MAX, "{name}: {:?}", start.elapsed());
    summary
}

/// Messages in messages are not taken apart: no depth of them can exhaust the stack.
#[test]
fn nested_messages() {
    for depth in [10_000, 100_000] {
        let raw = "Content-Type: message/rfc822\r\n\r\n".repeat(depth);
        assert_eq!(check("nested", raw.as_bytes()).parts.len(), 1);
        let raw = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n".repeat(depth);
        let summary = check("one boundary", raw.as_bytes());
        assert!(summary.is_cut);
        let mut raw = String::new();
        for at in 0..depth {
            raw += &format!("Content-Type: multipart/mixed; boundary=b{at}\r\n\r\n--b{at}\r\n");
        }
        check("many boundaries", raw.as_bytes());
    }
}

#[test]
fn many_parts() {
    let head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
    let raw = format!("{head}{}", "--b\r\n\r\nx\r\n".repeat(300_000));
    let summary = check("parts", raw.as_bytes());
    assert_eq!(summary.parts.len(), MIME_PARTS_MAX);
    assert!(summary.is_cut);
    // Nothing is lost: the last part holds the rest.
    let last = summary.parts.last().unwrap();
    assert_eq!(last.body_end as usize, raw.len());
    assert!(summary.encode().len() < 128 * 1024);
    check(
        "no headers",
        format!("{head}{}", "--b\n".repeat(700_000)).as_bytes(),
    );
}

#[test]
fn headers_without_end() {
    check("fields", "X: y\r\n".repeat(300_000).as_bytes());
    assert!(check("fields", "X: y\r\n".repeat(2_000).as_bytes()).is_cut);
    check(
        "folds",
        format!("Subject: {}\r\n\r\nx", "a\r\n ".repeat(500_000)).as_bytes(),
    );
    check(
        "words",
        format!("Subject: {}\r\n\r\nx", "=?utf-8?Q?a?= ".repeat(200_000)).as_bytes(),
    );
    check(
        "blobs",
        format!("Subject: {}\r\n\r\nx", "[a]".repeat(500_000)).as_bytes(),
    );
    check(
        "comments",
        format!("From: {}\r\n\r\nx", "(".repeat(2_000_000)).as_bytes(),
    );
    check(
        "groups",
        format!("To: {}\r\n\r\nx", "a:b@c;".repeat(300_000)).as_bytes(),
    );
    check(
        "angles",
        format!("To: {}\r\n\r\nx", "<".repeat(2_000_000)).as_bytes(),
    );
    check(
        "quotes",
        format!("To: {}\r\n\r\nx", "\"<\"(".repeat(500_000)).as_bytes(),
    );
    check(
        "ids",
        format!("References: {}\r\n\r\nx", "<a@b> (".repeat(300_000)).as_bytes(),
    );
    check(
        "params",
        format!("Content-Type: a/b{}\r\n\r\nx", ";a*0*=%".repeat(300_000)).as_bytes(),
    );
    check("no colon", "abc\r\n".repeat(500_000).as_bytes());
}

#[test]
fn html_without_end() {
    for piece in [
        "<p",
        "<!--",
        "<style>",
        "&amp",
        "&",
        "<head>",
        "</",
        "<script></",
        "<a href=\"",
    ] {
        let raw = format!("Content-Type: text/html\r\n\r\n{}", piece.repeat(300_000));
        check(piece, raw.as_bytes());
    }
}

#[test]
fn odd_octets() {
    let mut dice = Dice(1);
    for size in 0..300 {
        let raw: Vec<u8> = (0..size).map(|_| dice.next() as u8).collect();
        check("random", &raw);
    }
    for raw in [
        "\n", "\r\n", "\r", ":", ": x", " ", "\n\n", "--", "a:\n b", "a:", "\0",
    ] {
        check(raw, raw.as_bytes());
    }
}

//! At each limit a message is taken apart whole; one past it something stays together, or is left out.

use super::{check_summary, mail};
use crate::mail::message::{subject::base_subject, *};

fn parsed(raw: &str) -> Summary {
    let summary = Summary::parse(raw.as_bytes());
    check_summary(raw.as_bytes(), &summary);
    summary
}

/// Multiparts in each other, and a text in the innermost.
fn nested(depth: usize) -> Summary {
    let multipart =
        |n: usize| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n");
    let multiparts: String = (0..depth).map(multipart).collect();
    parsed(&format!("{multiparts}\r\nx\r\n"))
}

#[test]
fn depth_of_multiparts() {
    let deepest = nested(MIME_DEPTH_MAX);
    assert!(!deepest.is_cut);
    assert_eq!(deepest.parts.len(), MIME_DEPTH_MAX + 1);
    assert_eq!(deepest.parts[MIME_DEPTH_MAX].media_type, "text/plain");
    let deeper = nested(MIME_DEPTH_MAX + 1);
    assert!(deeper.is_cut);
    assert_eq!(deeper.parts.len(), MIME_DEPTH_MAX + 1);
    let last = &deeper.parts[MIME_DEPTH_MAX];
    assert_eq!(last.media_type, "application/octet-stream");
}

#[test]
fn parts() {
    let of = |count: usize| {
        let leaves = "--b\r\n\r\nx\r\n".repeat(count - 1);
        parsed(&format!(
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n{leaves}--b--\r\n"
        ))
    };
    // The last one is for all that is left.
    let most = of(MIME_PARTS_MAX - 1);
    assert_eq!((most.parts.len(), most.is_cut), (MIME_PARTS_MAX - 1, false));
    for count in [MIME_PARTS_MAX, MIME_PARTS_MAX + 1] {
        let more = of(count);
        assert_eq!((more.parts.len(), more.is_cut), (MIME_PARTS_MAX, true));
        let last = &more.parts[MIME_PARTS_MAX - 1];
        assert_eq!(last.media_type, "application/octet-stream");
    }
}

#[test]
fn header_fields_and_octets() {
    for (count, is_cut) in [(HEADER_COUNT_MAX, false), (HEADER_COUNT_MAX + 1, true)] {
        let summary = parsed(&format!("{}\r\nx", "X: y\r\n".repeat(count)));
        assert_eq!(summary.fields.len(), HEADER_COUNT_MAX);
        assert_eq!(summary.is_cut, is_cut, "{count} fields");
    }
    for (octets, subject) in [
        (HEADER_OCTETS_MAX, Some("s")),
        (HEADER_OCTETS_MAX + 1, None),
    ] {
        let before = format!("X: {}\r\n", "y".repeat(octets - 5));
        let summary = parsed(&format!("{before}Subject: s\r\n\r\nx"));
        assert_eq!(summary.subject.as_deref(), subject, "{octets} before it");
        assert_eq!(summary.is_cut, subject.is_none());
    }
}

#[test]
fn values_of_header_fields() {
    let text = |octets: usize| format!("{}z", "x".repeat(octets - 1));
    for (octets, is_whole) in [
        (HEADER_VALUE_OCTETS_MAX, true),
        (HEADER_VALUE_OCTETS_MAX + 1, false),
    ] {
        let value = text(octets);
        let HeaderValue::Text(found) = Form::Text.parse(value.as_bytes()) else {
            panic!("no text");
        };
        assert_eq!(found.ends_with('z'), is_whole, "{octets}");
        // The value begins with its space.
        let summary = parsed(&format!("Subject: {}\r\n\r\n", text(octets - 1)));
        let subject = summary.subject.unwrap();
        assert_eq!(subject.ends_with('z'), is_whole, "{octets}");
        let HeaderValue::Text(raw) = Form::Raw.parse(value.as_bytes()) else {
            panic!("no text");
        };
        assert_eq!(raw, value, "the Raw form is whole");
    }
}

#[test]
fn parameters() {
    // The name is the last one.
    let named = |count: usize| {
        let others: String = (1..count).map(|n| format!("; a{n}=b")).collect();
        let summary = parsed(&format!("Content-Type: a/b{others}; name=n\r\n\r\n"));
        summary.parts[0].name.clone()
    };
    assert_eq!(named(MIME_PARAMS_MAX).as_deref(), Some("n"));
    assert_eq!(named(MIME_PARAMS_MAX + 1), None);
    for octets in [MIME_PARAM_OCTETS_MAX, MIME_PARAM_OCTETS_MAX + 1] {
        let long = "x".repeat(octets);
        let summary = parsed(&format!(
            "Content-Type: a/b; name={long}\r\nContent-ID: <{long}>\r\n\r\n"
        ));
        let part = &summary.parts[0];
        let name = part.name.as_deref().map(str::len);
        assert_eq!(name, Some(MIME_PARAM_OCTETS_MAX));
        let cid = part.cid.as_deref().map(str::len);
        assert_eq!(cid, Some(MIME_PARAM_OCTETS_MAX));
    }
}

#[test]
fn previews() {
    let preview = |kind: &str, body: &str| {
        let raw = mail(&[&format!("Content-Type: text/{kind}"), "", body]);
        Summary::parse(&raw).preview
    };
    for characters in [PREVIEW_CHARS_MAX, PREVIEW_CHARS_MAX + 1] {
        let found = preview("plain; charset=utf-8", &"ä".repeat(characters));
        assert_eq!(found.chars().count(), PREVIEW_CHARS_MAX);
    }
    // A comment, and a letter after it.
    let html = |octets: usize| format!("<!--{}-->x", " ".repeat(octets - 8));
    assert_eq!(preview("html", &html(PREVIEW_SOURCE_OCTETS_MAX)), "x");
    assert_eq!(preview("html", &html(PREVIEW_SOURCE_OCTETS_MAX + 1)), "");
}

#[test]
fn texts_for_the_search_and_subjects() {
    for (octets, is_whole) in [
        (SEARCH_TEXT_OCTETS_MAX, true),
        (SEARCH_TEXT_OCTETS_MAX + 1, false),
    ] {
        let raw = format!("Subject: s\r\n\r\n{}z", "x".repeat(octets - 1));
        let (_, text) = Summary::parse_with_text(raw.as_bytes());
        assert!(text.body.len() <= SEARCH_TEXT_OCTETS_MAX);
        assert_eq!(text.body.ends_with('z'), is_whole, "{octets}");
    }
    for octets in [SUBJECT_OCTETS_MAX, SUBJECT_OCTETS_MAX + 1] {
        assert_eq!(base_subject(&"x".repeat(octets)).len(), SUBJECT_OCTETS_MAX);
    }
}

//! Replies, dates and trace fields as octets.

use expect_test::{Expect, expect};
use jmap_core::clock::UtcMillis;

use super::date::date_time;
use super::trace::{Protocol, Received, return_path};
use super::*;

fn check(reply: Reply, expected: Expect) {
    expected.assert_eq(&String::from_utf8_lossy(&reply.encode()).replace("\r\n", "|"));
}

#[test]
fn replies() {
    check(
        Reply::plain(220, "mx.example.org ESMTP"),
        expect!["220 mx.example.org ESMTP|"],
    );
    check(Reply::new(550, "5.1.1", "No"), expect!["550 5.1.1 No|"]);
    let ehlo = Reply::plain(250, "mx.example.org")
        .and_line("SIZE 10")
        .and_line("CHUNKING");
    check(
        ehlo,
        expect!["250-mx.example.org|250-SIZE 10|250 CHUNKING|"],
    );
    let two = Reply::new(550, "5.7.1", "One").and_line("two");
    check(two, expect!["550-5.7.1 One|550 5.7.1 two|"]);
    check(
        Reply::new(250, "2.0.0", "a\r\n250 b\0"),
        expect!["250 2.0.0 a??250 b?|"],
    );
    check(Reply::plain(334, ""), expect!["334 |"]);
}

#[test]
fn a_reply_line_is_within_512_octets() {
    let reply = Reply::new(550, "5.1.10", "x".repeat(REPLY_TEXT_OCTETS_MAX + 1));
    assert_eq!(
        reply.encode().len(),
        "550 5.1.10 ".len() + REPLY_TEXT_OCTETS_MAX + 2
    );
    assert!(reply.encode().len() <= 512);
}

#[test]
fn dates() {
    let rows = [
        (0, "Thu, 1 Jan 1970 00:00:00 +0000"),
        (-1, "Wed, 31 Dec 1969 23:59:59 +0000"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 +0000"),
        (1_077_926_399, "Fri, 27 Feb 2004 23:59:59 +0000"),
        (1_795_460_337, "Mon, 23 Nov 2026 18:58:57 +0000"),
        (4_107_542_400, "Mon, 1 Mar 2100 00:00:00 +0000"),
    ];
    for (seconds, expected) in rows {
        assert_eq!(date_time(UtcMillis(seconds * 1000)), expected);
    }
    for extreme in [i64::MIN, i64::MAX] {
        assert!(date_time(UtcMillis(extreme)).ends_with(" +0000"));
    }
}

const PLAIN: Protocol = Protocol {
    lmtp: false,
    extended: true,
    smtputf8: false,
    tls: false,
    authenticated: false,
};

#[test]
fn trace_fields() {
    let mut received = Received {
        from: "client.example",
        peer: Some("192.0.2.1".parse().unwrap()),
        by: "mx.example.org",
        with: PLAIN,
        tls: None,
        id: "0123456789abcdef",
        recipient: Some("bob@example.org"),
        priority: None,
        at: UtcMillis(0),
    };
    expect![[r#"
        Received: from client.example ([192.0.2.1])
        	by mx.example.org with ESMTP
        	id 0123456789abcdef for <bob@example.org>;
        	Thu, 1 Jan 1970 00:00:00 +0000
    "#]]
    .assert_eq(&received.encode().replace("\r\n", "\n"));
    received.peer = Some("2001:db8::1".parse().unwrap());
    received.tls = Some(("TLSv1.3", "TLS_AES_128_GCM_SHA256"));
    received.with.tls = true;
    received.recipient = None;
    expect![[r#"
        Received: from client.example ([IPv6:2001:db8::1])
        	by mx.example.org with ESMTPS (TLSv1.3 TLS_AES_128_GCM_SHA256)
        	id 0123456789abcdef;
        	Thu, 1 Jan 1970 00:00:00 +0000
    "#]]
    .assert_eq(&received.encode().replace("\r\n", "\n"));
    received.priority = Some("-3");
    assert!(
        received
            .encode()
            .contains("0123456789abcdef PRIORITY -3;\r\n")
    );
    received.peer = None;
    assert!(
        received
            .encode()
            .starts_with("Received: from client.example\r\n\tby ")
    );
    assert_eq!(return_path(None), "Return-Path: <>\r\n");
    assert_eq!(return_path(Some("a@b")), "Return-Path: <a@b>\r\n");
}

#[test]
fn protocols() {
    let secure = Protocol { tls: true, ..PLAIN };
    let authenticated = Protocol {
        authenticated: true,
        ..secure
    };
    let rows = [
        (
            Protocol {
                extended: false,
                ..secure
            },
            "SMTP",
        ),
        (PLAIN, "ESMTP"),
        (secure, "ESMTPS"),
        (authenticated, "ESMTPSA"),
        (
            Protocol {
                smtputf8: true,
                ..authenticated
            },
            "UTF8SMTPSA",
        ),
        (
            Protocol {
                lmtp: true,
                ..PLAIN
            },
            "LMTP",
        ),
        (
            Protocol {
                lmtp: true,
                smtputf8: true,
                ..secure
            },
            "UTF8LMTPS",
        ),
    ];
    for (protocol, name) in rows {
        assert_eq!(protocol.name(), name);
    }
}

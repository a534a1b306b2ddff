//! Every condition, over a small mailbox.

use super::*;

const ONE: &str = "From: \"J\u{f6}rg M\u{fc}ller\" <joerg@example.org>
To: team@example.com, \"Doe, John\" <john.doe@example.net>
Cc: Friends: a@x.example, b@y.example;
Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= from
 Linux
Date: Mon, 31 Dec 2018 23:30:00 -0800
Message-ID: <one@example.org>
X-Mailer: Sneaky/1.0

The quarterly report
is attached; see GNU/Linux.
";

const TWO: &str = "From: bob@example.net
Bcc: hidden@example.net
Subject: Re: plan
Date: Tue, 1 Jan 2019 00:30:00 +0900
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

preamble
--b
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: base64

Q2Fm6SBhdSBsYWl0
--b
Content-Type: text/html
Content-Disposition: attachment; filename*=utf-8''r%C3%A9sum%C3%A9.html

<p class=\"fancy\">Hidden <b>tre</b>asure &amp; more</p>
--b
Content-Type: message/rfc822

From: inner@example.com
Subject: nested subject

nested body text
--b--
";

const THREE: &str = "From: carol@example.com
Subject:

\u{691c}\u{7d22}\u{30a8}\u{30f3}\u{30b8}\u{30f3}
";

async fn mailbox() -> Inbox {
    Inbox::new(&[ONE, TWO, THREE]).await
}

fn text(text: &str) -> Condition {
    Condition::Text(text.to_owned())
}

fn body(text: &str) -> Condition {
    Condition::Body(text.to_owned())
}

fn header(name: &str, text: &str) -> Condition {
    Condition::Header {
        name: name.to_owned(),
        text: text.to_owned(),
    }
}

fn address(field: AddressField, text: &str) -> Condition {
    Condition::Address(field, text.to_owned())
}

#[tokio::test]
async fn texts_are_found_anywhere() {
    let inbox = mailbox().await;
    let rows = [
        (text("inu"), "1"),
        (text("LINUX"), "1"),
        (text(""), "1 2 3"),
        (body(""), "1 2 3"),
        (body("quarterly report is"), "1"),
        (body("uarterly rep"), "1"),
        (body("quarter report"), ""),
        (body("from linux"), ""),
        (text("gr\u{fc}sse FROM linux"), "1"),
        (body("caf\u{e9}"), "2"),
        (body("CAF\u{c9} AU"), "2"),
        (body("preamble"), ""),
        (body("hidden treasure & more"), "2"),
        (body("fancy"), ""),
        (body("nested body"), "2"),
        (body("nested subject"), ""),
        (text("nested subject"), "2"),
        (text("r\u{e9}sum\u{e9}.html"), "2"),
        (body("r\u{e9}sum\u{e9}"), ""),
        (text("x-mailer: sneaky/1"), "1"),
        (text("message/rfc822"), "2"),
        (body("\u{7d22}\u{30a8}"), "3"),
        (body("\u{691c}\u{7d22}"), "3"),
        (body("\u{691c}"), "3"),
        (body("/"), "1"),
        (body("zebra"), ""),
        (
            body("the quarterly report is attached; see gnu/linux.zebra"),
            "",
        ),
    ];
    for (condition, want) in rows {
        inbox.check(condition, want).await;
    }
}

#[tokio::test]
async fn header_fields_are_decoded() {
    use AddressField::{Bcc, Cc, From, To};
    let inbox = mailbox().await;
    let rows = [
        (address(From, "m\u{fc}ller"), "1"),
        (address(From, "J\u{d6}RG"), "1"),
        (address(From, "example"), "1 2 3"),
        (address(From, "inner"), ""),
        (address(To, "doe, john"), "1"),
        (address(To, "john.doe"), "1"),
        (address(Cc, "friends"), "1"),
        (address(Cc, "y.exam"), "1"),
        (address(Bcc, "hidden@"), "2"),
        (address(Bcc, ""), "2"),
        (
            Condition::Subject("gr\u{fc}\u{df}e from linux".to_owned()),
            "1",
        ),
        (Condition::Subject("la".to_owned()), "2"),
        (Condition::Subject(String::new()), "1 2 3"),
        (header("subject", ""), "1 2 3"),
        (header("X-MAILER", ""), "1"),
        (header("X-Mail", ""), ""),
        (header("x-mailer", "sneak"), "1"),
        (header("x-mailer", "one"), ""),
        (header("message-id", "<one@example.org>"), "1"),
        (header("Message-Id", "one@"), "1"),
        (header("to", "\"doe, john\" <"), "1"),
        (header("content-type", "html"), ""),
        (header("content-type", "multipart"), "2"),
    ];
    for (condition, want) in rows {
        inbox.check(condition, want).await;
    }
}

const DAY: i64 = 86_400;
/// 2018-12-31, as days since 1970.
const SILVESTER: i64 = 17_896;

#[tokio::test]
async fn what_the_view_knows() {
    let inbox = mailbox().await;
    let received = 1_577_934_245;
    let span = |from, before| Span { from, before };
    let size = |number: &str| number.replace('\n', "\r\n").len() as u64;
    let emails = inbox.emails.clone();
    let rows = [
        (Condition::And(vec![]), "1 2 3"),
        (Condition::Or(vec![]), ""),
        (
            Condition::Not(Box::new(Condition::OneOf(vec![emails[1]]))),
            "1 3",
        ),
        (Condition::OneOf(vec![emails[0], emails[2]]), "1 3"),
        (Condition::Keyword("$seen".to_owned()), "1 2 3"),
        (Condition::Keyword("$flagged".to_owned()), ""),
        (Condition::Deleted, ""),
        (Condition::Larger(size(ONE)), "2"),
        (Condition::Larger(size(ONE) - 1), "1 2"),
        (Condition::Smaller(size(ONE)), "3"),
        (Condition::Smaller(size(ONE) + 1), "1 3"),
        (Condition::ChangedSince(u64::MAX), ""),
        (Condition::ChangedSince(0), "1 2 3"),
        (Condition::Thread(u64::MAX), ""),
        // The first is in the last hour of the year where it was written, the second in the first hour.
        (Condition::Sent(span(SILVESTER, SILVESTER + 1)), "1"),
        (Condition::Sent(span(SILVESTER + 1, SILVESTER + 2)), "2"),
        (Condition::Sent(span(i64::MIN, SILVESTER + 1)), "1"),
        (Condition::Sent(span(SILVESTER, i64::MAX)), "1 2"),
        (Condition::Sent(span(SILVESTER + 40, i64::MAX)), ""),
        (Condition::Saved(span(0, i64::MAX)), "1 2 3"),
        (Condition::Received(span(0, received - 10 * DAY)), ""),
    ];
    for (condition, want) in rows {
        inbox.check(condition, want).await;
    }
}

#[tokio::test]
async fn conditions_are_combined() {
    let inbox = mailbox().await;
    let not = |condition| Condition::Not(Box::new(condition));
    let rows = [
        (not(text("linux")), "2 3"),
        (not(not(text("linux"))), "1"),
        (
            Condition::And(vec![text("example"), not(body("nested"))]),
            "1 3",
        ),
        (
            Condition::Or(vec![text("linux"), address(AddressField::From, "carol")]),
            "1 3",
        ),
        (
            Condition::And(vec![Condition::Subject("re".to_owned()), body("au lait")]),
            "2",
        ),
        (
            Condition::Or(vec![Condition::ChangedSince(0), body("zebra")]),
            "1 2 3",
        ),
    ];
    for (condition, want) in rows {
        inbox.check(condition, want).await;
    }
}

#[tokio::test]
async fn others_find_nothing() {
    let inbox_of = mailbox().await;
    let who = caller(crate::mail::email::tests::OTHER, &[]);
    let core = &inbox_of.bench.core;
    let found = core
        .view_search(&who, inbox(), &inbox_of.emails, text("linux"))
        .await;
    assert!(found.is_err(), "{found:?}");
    let sorted = core.view_sort(&who, inbox(), &inbox_of.emails, &[]).await;
    assert!(sorted.is_err(), "{sorted:?}");
}

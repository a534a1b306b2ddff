//! The whole server: what a user sends goes through the queue to Postfix, as the signed zone of its domain wants it.

use std::time::{Duration, Instant};

use e2e::{
    Server,
    jmap::{string, strings},
};
use serde_json::json;

use crate::{
    names,
    policies::tlsa,
    postfix::Postfix,
    site::{self, send, status},
};

const MESSAGE: &str = "From: alice@example.org\r\nTo: bob@b.test\r\nSubject: through it all\r\n\r\nGr\u{fc}n.\r\n.\r\n";

#[test]
fn a_message_goes_through_the_queue_to_postfix() {
    if !e2e::home::is_root_for("Postfix") {
        return;
    }
    let postfix = Postfix::start("");
    let port = postfix.port;
    let root = format!(
        "b.test. MX 10 mail.b.test.\nmail.b.test. A 127.0.0.1\n_{port}._tcp.mail.b.test. {}\n\
         bad.test. MX 10 mail.bad.test.\nmail.bad.test. A 127.0.0.1\n_{port}._tcp.mail.bad.test. TLSA 3 1 1 {}\n\
         null.test. MX 0 .\n",
        tlsa(3, 1, &postfix.certificate),
        "00".repeat(32)
    );
    let names = names::start(&root, &[]);
    let home = site::home(&names, port);
    let mut server = Server::start_in(home);
    let mut alice = server.jmap("alice");
    let all = [
        "bob@b.test",
        "nobody@b.test",
        "x@bad.test",
        "y@null.test",
        "z@none.test",
    ];
    let id = send(&mut alice, MESSAGE, &all);
    let status = status(&server, &mut alice, &id);
    let rows = [
        ("bob@b.test", "250 2.0.0 Ok", "unknown"),
        ("nobody@b.test", "550 5.1.1", "no"),
        ("x@bad.test", "451 4.7.5", "queued"),
        ("y@null.test", "556 5.1.10", "no"),
        ("z@none.test", "550 5.1.2", "no"),
    ];
    for (recipient, begin, delivered) in rows {
        let of = &status[recipient];
        assert!(
            string(&of["smtpReply"]).starts_with(begin),
            "{recipient}: {status}"
        );
        assert_eq!(of["delivered"], delivered, "{recipient}: {status}");
    }
    let arrived = postfix.arrived(1);
    assert_eq!(arrived.len(), 1);
    assert!(
        arrived[0].contains("Return-Path: <alice@example.org>"),
        "{}",
        arrived[0]
    );
    assert!(arrived[0].contains("with ESMTPS"), "{}", arrived[0]);
    assert!(
        arrived[0].ends_with("\n\nGr\u{fc}n.\n.\n"),
        "{}",
        arrived[0]
    );
    // Who can't have it is told to its sender, once the others have their answer too.
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let inbox = alice.mailbox("inbox");
        let found = alice.call("Email/query", json!({"filter": {"inMailbox": inbox}}));
        if !strings(&found["ids"]).is_empty() {
            break;
        }
        assert!(Instant::now() < end, "no report: {}", server.log_tail());
        std::thread::sleep(Duration::from_millis(50));
    }
    server.stop();
    server.home.check();
    // What waits is sent to nobody whose certificate isn't the one.
    assert_eq!(postfix.arrived(1).len(), 1);
}

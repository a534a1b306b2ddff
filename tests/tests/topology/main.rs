//! The deployment of compose.yaml, started from Debian's packages with its very files: two nodes over one PostgreSQL and one object store,
//! and HAProxy in front.

mod objects;
mod site;

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use e2e::{PASSWORD, Smtp, corpus::message};

use crate::site::{Site, add_people, curl, login, swaks, until};

/// Each protocol goes through the balancer, and knows whose connection it is.
#[test]
fn every_protocol_goes_through_the_balancer() {
    let site = Site::start();
    add_people(&site);
    assert_eq!(site.cli(1, &["health"], "").trim(), "all is well");
    let people = ["--from", "bob@example.net", "--to", "alice@example.org"];
    swaks(site.port("2525"), &people);
    let text = curl(
        &format!("imaps://127.0.0.1:{}/INBOX;UID=1", site.port("2993")),
        &[],
    );
    assert!(text.contains("peer.example.net ([127.0.0.1])"), "{text}");
    assert!(!text.contains(&format!("{}.", site.network)), "{text}");
    // A proxy that nobody has named says whose connection it is, in vain.
    let mut direct = TcpStream::connect(site.node_address(0, 2525)).expect("a connection");
    direct
        .write_all(b"PROXY TCP4 192.0.2.7 192.0.2.8 1 25\r\nQUIT\r\n")
        .expect("written");
    let mut answer = String::new();
    direct.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("220 "), "{answer}");
    assert!(
        answer.lines().any(|line| line.starts_with("50")),
        "{answer}"
    );
    // And the balancer itself has to say it.
    let submission = [
        "--from",
        "alice@example.org",
        "--to",
        "bob@example.org",
        "--auth-user",
    ];
    let password = ["alice@example.org", "--auth-password", PASSWORD];
    let starttls = [&submission[..], &password, &["--tls"]].concat();
    swaks(site.port("2587"), &starttls);
    let tls = [&submission[..], &password, &["--tls-on-connect"]].concat();
    swaks(site.port("2465"), &tls);
    until("what Alice has sent hasn't arrived", || {
        let mut bob = login(site.port("2143"), "bob@example.org");
        bob.ok("STATUS INBOX (MESSAGES)").number_after("MESSAGES ") == Some(2)
    });
    let text = curl(&format!("pop3s://127.0.0.1:{}/1", site.port("2995")), &[]);
    assert!(text.contains("([127.0.0.1])"), "{text}");
    let text = curl(
        &format!("pop3://127.0.0.1:{}/1", site.port("2110")),
        &["--ssl-reqd"],
    );
    assert!(text.contains("([127.0.0.1])"), "{text}");
    let session = format!("https://127.0.0.1:{}/.well-known/jmap", site.port("2443"));
    let session = curl(&session, &[]);
    assert!(session.contains("urn:ietf:params:jmap:mail"), "{session}");
    let mut sieve = TcpStream::connect(("127.0.0.1", site.port("2190"))).expect("a connection");
    sieve.write_all(b"LOGOUT\r\n").expect("written");
    let mut answer = String::new();
    sieve.read_to_string(&mut answer).expect("an answer");
    assert!(answer.contains("\"STARTTLS\""), "{answer}");
    for node in 0..2 {
        // A node gathers what it has to tell for a second; the other one can't see it before that.
        let mut trace = String::new();
        until("a node doesn't know of the message", || {
            trace = site.said(node, &["trace", "--to", "alice@example.org"]);
            trace.contains("127.0.0.1")
        });
        assert!(!trace.contains(&site.network), "{trace}");
    }
    site.cli(0, &["check"], "");
}

/// One node is killed, and another one told to stop, while mail comes in: clients go on at the other, and nothing is lost.
#[test]
fn the_balancer_goes_on_with_the_other_node() {
    let mut site = Site::start();
    add_people(&site);
    site.deliver("first");
    let port = site.port("2143");
    let login = || login(port, "alice@example.org");
    let mut waiting = login();
    waiting.ok("SELECT INBOX");
    waiting.idle();
    let node = site.node_of_imap();
    site.nodes[node].kill();
    assert!(waiting.try_line().is_err(), "the connection is still there");
    let mut waiting = login();
    waiting.ok("SELECT INBOX");
    waiting.idle();
    site.deliver("second");
    assert_eq!(waiting.line(), "* 2 EXISTS");
    waiting.done();
    drop(waiting);
    site.start_again(node);
    // Who comes from one address is at one node, so that they are at the first one again.
    until("the balancer doesn't use the node again", || {
        let _again = login();
        site.has_imap(node)
    });
    // Now it goes in order, while mail comes in without a pause.
    let mut waiting = login();
    waiting.ok("SELECT INBOX");
    waiting.idle();
    let node = site.node_of_imap();
    let is_over = AtomicBool::new(false);
    let delivered = thread::scope(|scope| {
        let (smtp, over) = (site.port("2525"), &is_over);
        let sending = scope.spawn(move || send_all_the_time(smtp, over));
        site.nodes[node].terminate();
        // The lines of mail that comes in go before its farewell.
        let mut line = waiting.line();
        while line.ends_with(" EXISTS") || line.ends_with(" RECENT") {
            line = waiting.line();
        }
        assert!(line.starts_with("* BYE"), "{line}");
        let mut again = login();
        again.ok("SELECT INBOX");
        is_over.store(true, Ordering::Relaxed);
        sending.join().expect("sent")
    });
    site.nodes[node].wait();
    assert!(delivered > 0);
    let mut alice = login();
    let total = alice.ok("STATUS INBOX (MESSAGES)");
    assert_eq!(total.number_after("MESSAGES "), Some(2 + delivered));
    site.cli(1 - node, &["check"], "");
}

/// Sends mails, each until it is taken; how many.
fn send_all_the_time(port: u16, is_over: &AtomicBool) -> u64 {
    let mut sent = 0;
    while !is_over.load(Ordering::Relaxed) {
        let octets = message(&format!("drain{sent}@example.net"), "a mail", "A meadow.");
        until("the mail is not taken", || {
            let answer = Smtp::connect(port, false)
                .and_then(|mut smtp| smtp.send("bob@example.net", "alice@example.org", &octets));
            answer.is_ok_and(|reply| reply.is_ok())
        });
        sent += 1;
    }
    sent
}

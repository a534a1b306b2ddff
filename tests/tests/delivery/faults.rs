//! Every fault at every stage: what the queue is told, and whether the next host is tried.

use std::time::Duration;

use jmap_core::inproc::outbound::Fate;
use smtp::client::Settings;

use crate::{
    harness::{MESSAGE, client, is_accepted, job, only, send, settings},
    peer::{Act, Peer, Script},
};

const PLAIN: &[&str] = &[];
const PIPELINING: &[&str] = &["PIPELINING", "8BITMIME", "SIZE 100000000"];
const CHUNKING: &[&str] = &["PIPELINING", "CHUNKING", "8BITMIME"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    Accepted,
    Refused(&'static str),
    Later(&'static str),
}

use Act::{Close, Flood, Say, SayAndClose, Silence};
use Want::{Accepted, Later, Refused};

/// Where, what is done there, what is told, and whether another host may be tried after it.
fn rows() -> Vec<(&'static str, Act, Want, bool)> {
    vec![
        ("NOTHING", Close, Accepted, false),
        (
            "GREETING",
            Say("554 5.7.1 No service for you"),
            Refused("554 5.7.1"),
            true,
        ),
        (
            "GREETING",
            SayAndClose("421 4.3.2 Not now"),
            Later("421 4.3.2"),
            true,
        ),
        ("GREETING", Close, Later("451 4.4.2"), true),
        ("GREETING", Silence, Later("451 4.4.2"), true),
        ("GREETING", Flood, Later("451 4.4.2"), true),
        (
            "GREETING",
            Say("HTTP/1.1 400 Bad Request"),
            Later("451 4.4.2"),
            true,
        ),
        ("EHLO", Say("502 5.5.1 What"), Accepted, false),
        (
            "EHLO",
            SayAndClose("421 4.3.2 Not now"),
            Later("421 4.3.2"),
            true,
        ),
        ("EHLO", Close, Later("451 4.4.2"), true),
        ("EHLO", Flood, Later("451 4.4.2"), true),
        (
            "MAIL",
            Say("451 4.7.1 Greylisted"),
            Later("451 4.7.1"),
            true,
        ),
        (
            "MAIL",
            Say("550 5.7.1 Not from you"),
            Refused("550 5.7.1"),
            false,
        ),
        (
            "MAIL",
            SayAndClose("421 4.3.2 Not now"),
            Later("421 4.3.2"),
            true,
        ),
        ("MAIL", Close, Later("451 4.4.2"), true),
        ("MAIL", Silence, Later("451 4.4.2"), true),
        (
            "RCPT",
            Say("450 4.2.1 Greylisted"),
            Later("450 4.2.1"),
            false,
        ),
        ("RCPT", Say("452 4.5.3 Too many"), Later("452 4.5.3"), false),
        ("RCPT", Say("550 5.1.1 Nobody"), Refused("550 5.1.1"), false),
        (
            "RCPT",
            SayAndClose("421 4.3.2 Not now"),
            Later("421 4.3.2"),
            true,
        ),
        ("RCPT", Close, Later("451 4.4.2"), true),
        ("RCPT", Silence, Later("451 4.4.2"), true),
        ("DATA", Say("451 4.3.0 Not now"), Later("451 4.3.0"), false),
        ("DATA", Say("554 5.6.0 Never"), Refused("554 5.6.0"), false),
        (
            "DATA",
            SayAndClose("421 4.3.2 Not now"),
            Later("421 4.3.2"),
            true,
        ),
        ("DATA", Say("250 Done"), Later("451 4.4.2"), true),
        ("DATA", Close, Later("451 4.4.2"), true),
        ("DATA", Silence, Later("451 4.4.2"), true),
        (".", Say("451 4.3.0 Not now"), Later("451 4.3.0"), false),
        (".", Say("554 5.7.1 Spam"), Refused("554 5.7.1"), false),
        (
            ".",
            SayAndClose("421 4.3.2 Not now"),
            Later("421 4.3.2"),
            false,
        ),
        // RFC 1047: it may have been taken, so nobody else gets it.
        (
            ".",
            Close,
            Later("451 4.4.2 After the whole message"),
            false,
        ),
        (
            ".",
            Silence,
            Later("451 4.4.2 After the whole message"),
            false,
        ),
        (
            ".",
            Flood,
            Later("451 4.4.2 After the whole message"),
            false,
        ),
        (
            ".",
            Say("xyz"),
            Later("451 4.4.2 After the whole message"),
            false,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_at_every_stage() {
    let mut all = tokio::task::JoinSet::new();
    for extensions in [PLAIN, PIPELINING, CHUNKING] {
        for (stage, act, want, is_next) in rows() {
            // There is no such command with BDAT.
            if stage == "DATA" && extensions == CHUNKING {
                continue;
            }
            all.spawn(one_fault(extensions, stage, act, want, is_next));
        }
    }
    while let Some(result) = all.join_next().await {
        result.expect("a row fails");
    }
}

/// On a busy machine a peer that does answer takes its time: only where none comes is it waited for in vain.
fn patient(act: &Act, port: u16) -> Settings {
    let time = match act {
        Silence | Flood => Duration::from_secs(5),
        _ => Duration::from_secs(60),
    };
    let mut settings = settings(port);
    settings.timeouts.greeting = time;
    settings.timeouts.command = time;
    settings.timeouts.data = time;
    settings.timeouts.end = time;
    settings
}

async fn one_fault(
    extensions: &'static [&'static str],
    stage: &'static str,
    act: Act,
    want: Want,
    is_next: bool,
) {
    let what = format!("{extensions:?} {stage} {act:?}");
    let first = Peer::start(Script::new(extensions).on(stage, act.clone())).await;
    let alone = client(&[first.ip()], patient(&act, first.port()));
    let attempt = send(&alone, &job(&["bob@b.test"])).await;
    let (fate, reply) = only(&attempt);
    match want {
        Accepted => assert!(matches!(fate, Fate::Accepted { .. }), "{what}: {attempt:?}"),
        Refused(begin) => {
            assert_eq!(fate, Fate::Refused, "{what}: {reply}");
            assert!(reply.starts_with(begin), "{what}: {reply}");
        }
        Later(begin) => {
            assert_eq!(fate, Fate::Later, "{what}: {reply}");
            assert!(reply.starts_with(begin), "{what}: {reply}");
        }
    }
    // With a second host that is well.
    let first = Peer::start(Script::new(extensions).on(stage, act.clone())).await;
    let second = Peer::start_at(2, first.port(), vec![Script::new(extensions)]).await;
    let both = client(&[first.ip(), second.ip()], patient(&act, first.port()));
    let attempt = send(&both, &job(&["bob@b.test"])).await;
    assert_eq!(
        second.seen.lock().messages.len(),
        usize::from(is_next),
        "{what}: {attempt:?}"
    );
    assert_eq!(
        is_accepted(&attempt.outcomes[0]),
        is_next || want == Accepted,
        "{what}: {attempt:?}"
    );
}

#[tokio::test]
async fn what_arrives_is_what_was_sent() {
    for extensions in [PLAIN, PIPELINING, CHUNKING] {
        let peer = Peer::start(Script::new(extensions)).await;
        let client = client(&[peer.ip()], settings(peer.port()));
        let attempt = send(&client, &job(&["bob@b.test"])).await;
        assert!(is_accepted(&attempt.outcomes[0]), "{attempt:?}");
        assert_eq!(peer.seen.lock().text(0), MESSAGE);
        // More than a buffer, and more than a chunk.
        let mut large = job(&["bob@b.test"]);
        large.message = format!(
            "Subject: large\r\n\r\n{}",
            "..dots.\r\n.\r\n".repeat(250_000)
        )
        .into();
        let attempt = send(&client, &large).await;
        assert!(is_accepted(&attempt.outcomes[0]), "{attempt:?}");
        assert!(
            peer.seen.lock().messages[1] == large.message,
            "{extensions:?}"
        );
    }
}

#[tokio::test]
async fn nobody_listens() {
    let peer = Peer::start_at(2, 0, vec![Script::default()]).await;
    let down = "127.0.0.1".parse().expect("an address");
    let alone = client(&[down], settings(peer.port()));
    let attempt = send(&alone, &job(&["bob@b.test"])).await;
    assert_eq!(only(&attempt).0, Fate::Later);
    assert!(only(&attempt).1.starts_with("451 4.4.1"), "{attempt:?}");
    let both = client(&[down, peer.ip()], settings(peer.port()));
    let attempt = send(&both, &job(&["bob@b.test"])).await;
    assert!(is_accepted(&attempt.outcomes[0]), "{attempt:?}");
    let hosts: Vec<&str> = attempt
        .hosts
        .iter()
        .map(|tried| tried.host.as_str())
        .collect();
    assert_eq!(hosts, ["mx1.b.test", "mx2.b.test"]);
}

#[tokio::test]
async fn replies_belong_to_their_recipients() {
    for extensions in [PLAIN, PIPELINING, CHUNKING] {
        let script = Script::new(extensions)
            .on("RCPT TO:<two@", Say("550 5.1.1 Nobody"))
            .on("RCPT TO:<four@", Say("450 4.2.1 Full"));
        let peer = Peer::start(script).await;
        let client = client(&[peer.ip()], settings(peer.port()));
        let names = ["one@b.test", "two@b.test", "three@b.test", "four@b.test"];
        let attempt = send(&client, &job(&names)).await;
        let mut outcomes = attempt.outcomes.clone();
        outcomes.sort_by_key(|outcome| outcome.at);
        let replies: Vec<&str> = outcomes
            .iter()
            .map(|outcome| outcome.reply.as_str())
            .collect();
        let want = [
            "250 2.0.0 Taken",
            "550 5.1.1 Nobody",
            "250 2.0.0 Taken",
            "450 4.2.1 Full",
        ];
        assert_eq!(replies, want, "{extensions:?}");
        assert_eq!(outcomes[1].fate, Fate::Refused);
        assert_eq!(outcomes[3].fate, Fate::Later);
        assert!(
            outcomes
                .iter()
                .all(|outcome| outcome.remote.as_deref() == Some("mx1.b.test"))
        );
        assert_eq!(peer.seen.lock().messages.len(), 1);
    }
}

#[tokio::test]
async fn what_has_no_room_goes_with_the_next() {
    // By a reply in the middle, by what the peer announces, and by our own limit.
    let full = Script::new(PIPELINING)
        .on("RCPT TO:<c@", Say("452 4.5.3 Too many"))
        .on("RCPT TO:<d@", Say("452 Too many"));
    let limits = Script::new(&["PIPELINING", "LIMITS RCPTMAX=2"]);
    let names = ["a@b.test", "b@b.test", "c@b.test", "d@b.test"];
    for (script, own) in [(full, 100), (limits, 100), (Script::new(PIPELINING), 2)] {
        let peer = Peer::start(script).await;
        let mut settings = settings(peer.port());
        settings.limits.recipients_max = own;
        let client = client(&[peer.ip()], settings);
        let attempt = send(&client, &job(&names)).await;
        let told: Vec<usize> = attempt.outcomes.iter().map(|outcome| outcome.at).collect();
        assert_eq!(told, [0, 1], "{attempt:?}");
        assert!(attempt.outcomes.iter().all(is_accepted));
    }
}

#[tokio::test]
async fn more_recipients_than_are_sent_at_once() {
    let peer = Peer::start(Script::new(PIPELINING)).await;
    let mut settings = settings(peer.port());
    settings.limits.recipients_max = 1000;
    let client = client(&[peer.ip()], settings);
    let names: Vec<String> = (0..230).map(|n| format!("user{n}@b.test")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let attempt = send(&client, &job(&names)).await;
    assert_eq!(attempt.outcomes.len(), 230);
    assert!(attempt.outcomes.iter().all(is_accepted));
    assert_eq!(peer.seen.lock().count("RCPT"), 230);
}

#[tokio::test]
async fn an_envelope_ends_in_time() {
    // Each reply comes in time, and all of them don't.
    let peer = Peer::start(Script::new(PIPELINING).on("RCPT", Act::Wait(100))).await;
    let mut settings = settings(peer.port());
    settings.timeouts.envelope = std::time::Duration::from_millis(1500);
    let client = client(&[peer.ip()], settings);
    let names: Vec<String> = (0..40).map(|n| format!("user{n}@b.test")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let attempt = send(&client, &job(&names[..5])).await;
    assert!(attempt.outcomes.iter().all(is_accepted), "{attempt:?}");
    let attempt = send(&client, &job(&names)).await;
    assert!(
        attempt
            .outcomes
            .iter()
            .all(|outcome| outcome.fate == Fate::Later),
        "{attempt:?}"
    );
    assert_eq!(peer.seen.lock().messages.len(), 1);
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let peer = Peer::start(Script::new(PIPELINING)).await;
    let mut settings = settings(peer.port());
    settings.limits.messages_max = 3;
    let client = client(&[peer.ip()], settings);
    for _ in 0..5 {
        let attempt = send(&client, &job(&["bob@b.test"])).await;
        assert!(is_accepted(&attempt.outcomes[0]), "{attempt:?}");
    }
    let seen = peer.seen.lock();
    assert_eq!((seen.connections, seen.messages.len()), (2, 5));
    assert_eq!(seen.count("RSET"), 0);
}

#[tokio::test]
async fn a_peer_says_how_many_messages_it_takes() {
    let peer = Peer::start(Script::new(&["LIMITS MAILMAX=1"])).await;
    let client = client(&[peer.ip()], settings(peer.port()));
    for _ in 0..3 {
        assert!(is_accepted(
            &send(&client, &job(&["bob@b.test"])).await.outcomes[0]
        ));
    }
    assert_eq!(peer.seen.lock().connections, 3);
}

#[tokio::test]
async fn a_dead_connection_is_no_attempt() {
    // The peer ends the connection after a message: by a word, without one, or when the next is begun.
    let rows = [
        Script::new(PLAIN)
            .on("MAIL", Say("250 Ok"))
            .on("MAIL", Close),
        Script::new(PLAIN)
            .on("MAIL", Say("250 Ok"))
            .on("MAIL", SayAndClose("421 4.4.2 Too late")),
        Script::new(PIPELINING).on(".", SayAndClose("250 2.0.0 Taken\r\n421 4.4.2 Bye")),
        Script::new(PIPELINING).on(".", SayAndClose("250 2.0.0 Taken")),
    ];
    for script in rows {
        let peer = Peer::start_at(0, 0, vec![script, Script::new(PLAIN)]).await;
        let client = client(&[peer.ip()], settings(peer.port()));
        assert!(is_accepted(
            &send(&client, &job(&["bob@b.test"])).await.outcomes[0]
        ));
        let attempt = send(&client, &job(&["bob@b.test"])).await;
        assert!(is_accepted(&attempt.outcomes[0]), "{attempt:?}");
        assert_eq!(attempt.hosts.len(), 1, "{attempt:?}");
        assert_eq!(peer.seen.lock().messages.len(), 2);
    }
}

#[tokio::test]
async fn a_transaction_leaves_nothing_to_the_next() {
    let script = Script::new(PIPELINING).on("RCPT TO:<nobody@", Say("550 5.1.1 Nobody"));
    let peer = Peer::start(script).await;
    let client = client(&[peer.ip()], settings(peer.port()));
    let attempt = send(&client, &job(&["nobody@b.test"])).await;
    assert_eq!(only(&attempt).0, Fate::Refused);
    // The reset is under way by itself.
    while client.idle_connections() == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert!(is_accepted(
        &send(&client, &job(&["bob@b.test"])).await.outcomes[0]
    ));
    let seen = peer.seen.lock();
    assert_eq!((seen.connections, seen.count("RSET")), (1, 1));
}

#[tokio::test]
async fn idle_connections_end() {
    let peer = Peer::start(Script::new(PIPELINING)).await;
    let mut settings = settings(peer.port());
    settings.timeouts.idle = std::time::Duration::from_millis(100);
    let client = client(&[peer.ip()], settings);
    assert!(is_accepted(
        &send(&client, &job(&["bob@b.test"])).await.outcomes[0]
    ));
    assert_eq!(client.idle_connections(), 1);
    while peer.seen.lock().count("QUIT") == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(client.idle_connections(), 0);
}

#[tokio::test]
async fn we_do_not_send_to_ourselves() {
    let peer = Peer::start(Script::default().on("EHLO", Say("250 us.example.org"))).await;
    let client = client(&[peer.ip()], settings(peer.port()));
    let attempt = send(&client, &job(&["bob@b.test"])).await;
    assert_eq!(only(&attempt).0, Fate::Refused);
    assert!(only(&attempt).1.starts_with("554 5.4.6"), "{attempt:?}");
    assert_eq!(peer.seen.lock().count("MAIL"), 0);
}

#[tokio::test]
async fn nobodys_records_lead_to_this_machine() {
    let peer = Peer::start(Script::default()).await;
    let mut settings = settings(peer.port());
    settings.allow_private = false;
    let client = client(&[peer.ip()], settings);
    for domain in ["b.test", "[127.0.0.1]", "[IPv6:::1]"] {
        let attempt = send(&client, &crate::harness::job_for(domain, &["bob@b.test"])).await;
        assert_eq!(only(&attempt).0, Fate::Refused, "{attempt:?}");
        assert!(only(&attempt).1.starts_with("550 5.4.4"), "{attempt:?}");
    }
    assert_eq!(peer.seen.lock().connections, 0);
}

#[tokio::test]
async fn a_peer_that_has_enough_says_why() {
    // It closes in the middle of the message; its reply came first.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("no socket");
    let at = listener.local_addr().expect("no address");
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = listener.accept().await.expect("nobody");
        let mut buffer = [0; 4096];
        for reply in [
            "220 a\r\n",
            "250 a\r\n",
            "250 a\r\n",
            "250 a\r\n",
            "354 a\r\n",
        ] {
            stream
                .write_all(reply.as_bytes())
                .await
                .expect("not written");
            let _ = stream.read(&mut buffer).await;
        }
        stream
            .write_all(b"552 5.3.4 Too much\r\n")
            .await
            .expect("not written");
        let _ = stream.shutdown().await;
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    });
    let client = client(&[at.ip()], settings(at.port()));
    let mut large = job(&["bob@b.test"]);
    large.message = format!(
        "Subject: large\r\n\r\n{}",
        "text text\r\n".repeat(3_000_000)
    )
    .into();
    let attempt = send(&client, &large).await;
    assert_eq!(only(&attempt).0, Fate::Refused, "{attempt:?}");
    assert!(only(&attempt).1.starts_with("552 5.3.4"), "{attempt:?}");
}

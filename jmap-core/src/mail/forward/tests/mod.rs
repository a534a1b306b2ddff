//! What goes on, to whom, from whom, and what comes back.

mod lists;
mod success;

use bytes::Bytes;
use jmap_types::DataType;
use store::{Record as _, engine::Page, keys};

use super::srs::{DAYS_MAX, Srs, SrsError};
use crate::{
    Limits,
    directory::{Account, DirectoryError, Forward, ListChange, NewList, Posters},
    inproc::{
        deliver::{Arrival, DeliverError, Inbound, RecipientError},
        origin::Author,
    },
    mail::submission::{
        records::{Delivered, SubmissionRecord},
        stage,
        tests::{ANN, BOB, Server},
    },
    rng::{Rng as _, SeededRng},
};

const FAR: &str = "Far <far@example.net>";
const HELLO: &str = "From: Far <far@example.net>\nTo: bob@example.org\nSubject: hello\nMessage-ID: <1@x>\n\nHi there\n";

/// Codes as another program makes them: Python's `hmac` with SHA-256 over the lower-case fields, each with a NUL after it.
#[test]
fn known_addresses() {
    let srs = Srs::new(b"the key of a test");
    let rows = [
        ("far@example.net", 19_675, VECTOR_0),
        ("Far@Example.NET", 19_675, VECTOR_CASE),
        (VECTOR_0_ELSEWHERE, 19_675, VECTOR_1),
    ];
    for (sender, day, want) in rows {
        assert_eq!(
            srs.local_part(sender, day).as_deref(),
            Some(want),
            "{sender}"
        );
        let back = srs.sender(want, day).unwrap();
        assert!(back.eq_ignore_ascii_case(sender), "{back}");
    }
    // A third hop: the first one is told, the second one skipped.
    let second = format!("{VECTOR_1}@example.org");
    let third = Srs::new(b"another key")
        .local_part(&second, 19_675)
        .unwrap();
    assert!(
        third.starts_with("SRS1=") && third.contains("=hop.example==AAAAAAAA="),
        "{third}"
    );
    let back = Srs::new(b"another key").sender(&third, 19_675);
    assert_eq!(back.unwrap(), VECTOR_0_ELSEWHERE);
    // RFC 5321 §4.5.3.1.1: one past the longest.
    let room = 64 - "SRS0=12345678=TT==a".len();
    let domain = |length: usize| format!("a@{}", "d".repeat(length));
    assert!(srs.local_part(&domain(room), 1).is_some());
    assert!(srs.local_part(&domain(room + 1), 1).is_none());
}

const VECTOR_0: &str = "SRS0=VIBAX77P=G3=example.net=far";
const VECTOR_CASE: &str = "SRS0=VIBAX77P=G3=Example.NET=Far";
const VECTOR_0_ELSEWHERE: &str = "SRS0=AAAAAAAA=TH=example.com=joe@hop.example";
const VECTOR_1: &str = "SRS1=CWDGDK25=hop.example==AAAAAAAA=TH=example.com=joe";

#[test]
fn forged_and_old_addresses() {
    let srs = Srs::new(b"the key of a test");
    let made = srs.local_part("far@example.net", 100).unwrap();
    assert_eq!(
        srs.sender(&made, 100 + DAYS_MAX),
        Ok("far@example.net".into())
    );
    assert_eq!(srs.sender(&made, 101 + DAYS_MAX), Err(SrsError::Age));
    assert_eq!(srs.sender(&made, 99), Err(SrsError::Age), "from tomorrow");
    // A lost letter case counts for nothing.
    let lower = made.to_ascii_lowercase();
    assert_eq!(srs.sender(&lower, 100), Ok("far@example.net".into()));
    for text in [
        "SRS0=",
        "SRS0=a=b=c",
        "SRS0====",
        "SRS1=a=b",
        "SRS1=a=b=",
        "SRS1===x",
        "SRS2=a",
        "far",
    ] {
        assert!(srs.sender(text, 100).is_err(), "{text}");
    }
    // Whatever octet is another one, the address isn't ours.
    let rng = SeededRng::new(7);
    for at in 4..made.len() {
        let mut octets = made.clone().into_bytes();
        let other = b"abcdefghijklmnopqrstuvwxyz234567"[(rng.next_u64() % 32) as usize];
        if octets[at].eq_ignore_ascii_case(&other) {
            continue;
        }
        octets[at] = other;
        let text = String::from_utf8(octets).unwrap();
        assert!(srs.sender(&text, 100).is_err(), "{text}");
    }
    assert_eq!(
        Srs::new(b"another key").sender(&made, 100),
        Err(SrsError::Code)
    );
}

async fn arrives(
    server: &Server,
    mail_from: Option<&str>,
    to: &[&str],
    message: &str,
) -> Vec<Result<(), DeliverError>> {
    let arrival = Arrival {
        author: Author::Trusted,
        ..Arrival::default()
    };
    arrives_as(server, mail_from, to, message, arrival).await
}

async fn arrives_as(
    server: &Server,
    mail_from: Option<&str>,
    to: &[&str],
    message: &str,
    arrival: Arrival,
) -> Vec<Result<(), DeliverError>> {
    let mut recipients = Vec::new();
    for to in to {
        recipients.push(server.core.resolve_recipient(to).await.unwrap());
    }
    let inbound = Inbound {
        mail_from: mail_from.map(str::to_owned),
        recipients,
        message: Bytes::from(message.replace('\n', "\r\n")),
        arrival,
        peer: None,
        answers_each: false,
        is_junk: false,
    };
    server.core.deliver(inbound).await
}

/// All submissions there are: `reverse-path -> recipients`, and their octets.
async fn queued(server: &Server) -> Vec<(String, Bytes)> {
    let range = keys::all(keys::Subspace::Object);
    let rows = server
        .core
        .engine
        .scan(Page::first(range, 10_000))
        .await
        .unwrap();
    let mut queued = Vec::new();
    for (key, bytes) in rows {
        let is_submission = keys::decode_object(&key)
            .is_some_and(|(_, data_type, _)| data_type == DataType::EmailSubmission);
        if !is_submission {
            continue;
        }
        let record = SubmissionRecord::from_bytes(&key, &bytes).unwrap();
        if !record.is_hidden {
            // What a user has submitted.
            continue;
        }
        let to: Vec<&str> = record
            .recipients
            .iter()
            .map(|r| &*r.address.email)
            .collect();
        let line = format!("{} -> {}", record.mail_from.email, to.join(" "));
        let octets = store::blob::get(&server.core.engine, &record.blob)
            .await
            .unwrap()
            .unwrap();
        queued.push((line, octets));
    }
    queued
}

async fn lines(server: &Server) -> Vec<String> {
    queued(server)
        .await
        .into_iter()
        .map(|(line, _)| line)
        .collect()
}

/// A line with the code and day of an address of ours left out.
fn without_code(line: &str) -> String {
    match line.split_once("SRS0=") {
        Some((before, rest)) => {
            format!("{before}SRS0={}", rest.get("12345678=TT=".len()..).unwrap())
        }
        None => line.to_owned(),
    }
}

async fn forward(server: &Server, to: &[&str], keep: bool) -> Result<Account, DirectoryError> {
    let forward = Forward {
        to: to.iter().map(|to| (*to).to_owned()).collect(),
        keep,
    };
    server
        .core
        .set_forward(&crate::Caller::server(), server.bob.account, Some(forward))
        .await
}

async fn check(server: &Server) {
    let report = server
        .core
        .check(Default::default(), &|_| ())
        .await
        .unwrap();
    let problems: Vec<String> = report.problems.into_iter().map(|p| p.sentence).collect();
    assert_eq!(problems, Vec::<String>::new());
}

#[tokio::test]
async fn an_account_forwards() {
    let server = Server::new().await;
    forward(
        &server,
        &["x@Example.NET", "y@example.net", "X@example.net"],
        false,
    )
    .await
    .unwrap();
    let message = format!("Return-Path: <far@example.net>\n{HELLO}");
    assert_eq!(
        arrives(&server, Some("far@example.net"), &[BOB], &message).await,
        [Ok(())]
    );
    let queue = queued(&server).await;
    assert_eq!(
        without_code(&queue[0].0),
        "SRS0=example.net=far@example.org -> x@example.net y@example.net"
    );
    let text = String::from_utf8_lossy(&queue[0].1).replace("\r\n", "\n");
    assert_eq!(
        text,
        format!("Delivered-To: bob@example.org\n{HELLO}"),
        "{FAR}"
    );
    assert!(server.inbox(&server.bob).await.is_empty());
    // With a copy; a null reverse-path stays one; a sender of ours stays the sender.
    forward(&server, &["x@example.net"], true).await.unwrap();
    arrives(&server, None, &[BOB], HELLO).await;
    arrives(&server, Some(ANN), &[BOB, ANN], HELLO).await;
    assert_eq!(
        lines(&server).await[1..],
        [" -> x@example.net", "ann@example.org -> x@example.net"]
    );
    assert_eq!(server.inbox(&server.bob).await, ["hello", "hello"]);
    assert_eq!(server.inbox(&server.ann).await, ["hello"]);
    // Another domain for the reverse-path.
    let admin = crate::Caller::server();
    server.core.add_domain(&admin, "srs.example").await.unwrap();
    let change = crate::directory::DomainChange {
        srs_domain: Some(Some("srs.example".into())),
        ..Default::default()
    };
    server
        .core
        .set_domain(&admin, "example.org", change)
        .await
        .unwrap();
    arrives(&server, Some("far@example.net"), &[BOB], HELLO).await;
    assert!(lines(&server).await[3].contains("@srs.example -> "));
    check(&server).await;
}

#[tokio::test]
async fn where_an_account_may_forward_to() {
    let server = Server::new().await;
    let refused = [
        &["bob@example.org"][..],
        &["nobody@example.org"],
        &["x"],
        &["a b@example.net"],
        &[],
    ];
    for to in refused {
        assert!(forward(&server, to, true).await.is_err(), "{to:?}");
    }
    let many: Vec<String> = (0..=20).map(|n| format!("x{n}@example.net")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let error = forward(&server, &many, true).await.unwrap_err();
    assert!(matches!(error, DirectoryError::TooMany(_)), "{error}");
    forward(&server, &many[1..], true).await.unwrap();
    let off = server
        .core
        .set_forward(&crate::Caller::server(), server.bob.account, None)
        .await;
    assert_eq!(off.unwrap().record.forward, None);
    // People say it of themselves, and of nobody else.
    let own = server
        .core
        .set_forward(&server.bob, server.bob.account, None)
        .await;
    own.unwrap();
    let of_another = server
        .core
        .set_forward(&server.bob, server.ann.account, None)
        .await;
    assert!(matches!(of_another, Err(DirectoryError::Forbidden)));
}

#[tokio::test]
async fn a_message_that_was_here_goes_round_in_circles() {
    let server = Server::new().await;
    forward(&server, &["x@example.net"], false).await.unwrap();
    let again = format!("Delivered-To: Bob@example.org\n{HELLO}");
    assert_eq!(
        arrives(&server, Some(ANN), &[BOB], &again).await,
        [Err(DeliverError::Loop)]
    );
    // One past the hops that a message may have.
    let hops = |count: usize| format!("{}{HELLO}", "Received: from x by y\n".repeat(count));
    assert_eq!(
        arrives(&server, Some(ANN), &[BOB], &hops(50)).await,
        [Ok(())]
    );
    assert_eq!(
        arrives(&server, Some(ANN), &[BOB], &hops(51)).await,
        [Err(DeliverError::Loop)]
    );
    assert_eq!(lines(&server).await.len(), 1);
    // With several recipients there is one answer: it is kept.
    assert_eq!(
        arrives(&server, Some(ANN), &[BOB, ANN], &again).await,
        [Ok(()), Ok(())]
    );
    assert_eq!(server.inbox(&server.bob).await, ["hello"]);
    // Two of ours that forward to each other.
    forward(&server, &[ANN], false).await.unwrap();
    let to_bob = Forward {
        to: vec![BOB.into()],
        keep: false,
    };
    let admin = crate::Caller::server();
    server
        .core
        .set_forward(&admin, server.ann.account, Some(to_bob))
        .await
        .unwrap();
    arrives(&server, Some("eve@example.org"), &[BOB], HELLO).await;
    for _ in 0..6 {
        server.core.send_due().await.unwrap();
    }
    assert_eq!(
        server.inbox(&server.eve).await,
        ["Your message could not be delivered"]
    );
    check(&server).await;
}

#[tokio::test]
async fn failures_come_back_to_the_sender() {
    let server = Server::new().await;
    forward(&server, &["x@example.net"], false).await.unwrap();
    arrives(&server, Some("far@example.net"), &[BOB], HELLO).await;
    let (line, _) = queued(&server).await.remove(0);
    let address = line.split(' ').next().unwrap().to_owned();
    // At RCPT: ours, forged, too old.
    let target = server.core.resolve_recipient(&address).await.unwrap();
    assert_eq!(target.targets, []);
    let forged = address.replace("=far@", "=fay@");
    assert_eq!(
        server.core.resolve_recipient(&forged).await,
        Err(RecipientError::NoSuchMailbox)
    );
    let report = "From: MAILER-DAEMON@example.net\nSubject: failed\n\nNo.\n";
    let answer = arrives(&server, Some("spam@example.com"), &[&address], report).await;
    assert!(
        matches!(answer[..], [Err(DeliverError::Refused(_))]),
        "{answer:?}"
    );
    assert_eq!(
        arrives(&server, None, &[&address, BOB], report).await,
        [Ok(()), Ok(())]
    );
    assert!(
        lines(&server)
            .await
            .contains(&" -> far@example.net".to_owned())
    );
    let again = format!("Delivered-To: {address}\n{report}");
    assert_eq!(
        arrives(&server, None, &[&address], &again).await,
        [Err(DeliverError::Loop)]
    );
    // A second one needs no second account.
    let accounts = server
        .core
        .accounts(&crate::Caller::server())
        .await
        .unwrap();
    assert_eq!(accounts.len(), 3, "the server's own isn't shown");
    check(&server).await;
    server.pass((DAYS_MAX + 1) * 86_400);
    assert_eq!(
        server.core.resolve_recipient(&address).await,
        Err(RecipientError::NoSuchMailbox)
    );
}

#[tokio::test]
async fn reports_of_the_queue_go_to_the_sender() {
    let server = Server::new().await;
    let admin = crate::Caller::server();
    server
        .core
        .add_account(
            &admin,
            crate::directory::NewAccount::person("gone@example.org", None),
        )
        .await
        .unwrap();
    forward(&server, &["gone@example.org"], false)
        .await
        .unwrap();
    arrives(&server, Some("far@example.net"), &[BOB], HELLO).await;
    arrives(&server, Some(ANN), &[BOB], HELLO).await;
    let gone = server.core.account_named("gone@example.org").await.unwrap();
    server.core.remove_account(&admin, gone.id).await.unwrap();
    for _ in 0..4 {
        server.core.send_due().await.unwrap();
    }
    assert_eq!(
        server.inbox(&server.ann).await,
        ["Your message could not be delivered"]
    );
    assert!(server.inbox(&server.bob).await.is_empty());
    assert_eq!(lines(&server).await, [" -> far@example.net"]);
}

fn team(posters: Posters, members: &[&str]) -> NewList {
    NewList {
        address: "team@example.org".into(),
        owner: ANN.into(),
        description: "The team".into(),
        posters,
        members: members.iter().map(|member| (*member).to_owned()).collect(),
    }
}

#[tokio::test]
async fn each_member_of_a_list_gets_a_copy() {
    let server = Server::new().await;
    let admin = crate::Caller::server();
    let list = server
        .core
        .add_list(
            &admin,
            team(
                Posters::Members,
                &[BOB, "eve@example.org", "far@example.net"],
            ),
        )
        .await
        .unwrap();
    let message = format!(
        "List-Id: <other.example>\nX-Kept: a\n b\nList-Post: <mailto:x@y>,\n <mailto:z@y>\n{HELLO}"
    );
    assert_eq!(
        arrives(
            &server,
            Some("far@example.net"),
            &["team@example.org"],
            &message
        )
        .await,
        [Ok(())]
    );
    let queue = queued(&server).await;
    assert_eq!(
        queue[0].0,
        "team-owner@example.org -> bob@example.org eve@example.org far@example.net"
    );
    server.core.send_due().await.unwrap();
    for who in [&server.bob, &server.eve] {
        let got = server.inbox_messages(who).await;
        let text = String::from_utf8_lossy(&got[0]).replace("\r\n", "\n");
        let want = format!(
            "Return-Path: <team-owner@example.org>\nList-Id: \"The team\" <team.example.org>\nList-Post: <mailto:team@example.org>\n\
             List-Owner: <mailto:team-owner@example.org>\n\
             List-Unsubscribe: <mailto:team+unsubscribe@example.org?subject=unsubscribe>\n\
             Delivered-To: team@example.org\nX-Kept: a\n b\n{HELLO}"
        );
        assert_eq!(text, want);
    }
    // Who isn't a member, and what was here.
    let stranger = HELLO.replace("far@", "fay@");
    let answer = arrives(
        &server,
        Some("far@example.net"),
        &["team@example.org"],
        &stranger,
    )
    .await;
    assert!(
        matches!(answer[..], [Err(DeliverError::Refused(_))]),
        "{answer:?}"
    );
    let again = format!("Delivered-To: team@example.org\n{HELLO}");
    assert_eq!(
        arrives(&server, Some(BOB), &["team@example.org"], &again).await,
        [Err(DeliverError::Loop)]
    );
    // Together with others, the sender gets a report.
    assert_eq!(
        arrives(&server, Some(BOB), &["team@example.org", ANN], &stranger).await,
        [Ok(()), Ok(())]
    );
    server.core.send_due().await.unwrap();
    assert_eq!(
        server.inbox(&server.bob).await,
        ["hello", "Your message could not be delivered"]
    );
    // What comes to the owner address is the owner's, such as a failure.
    arrives(
        &server,
        None,
        &["team-owner@example.org"],
        "Subject: failed\n\n",
    )
    .await;
    assert_eq!(server.inbox(&server.ann).await, ["hello", "failed"]);
    let txn = server
        .core
        .accounts
        .handle(list.id)
        .writer
        .begin()
        .await
        .unwrap();
    let open = txn
        .scan(keys::objects(list.id, DataType::EmailSubmission))
        .await
        .unwrap();
    let (_, _, id) = keys::decode_object(&open[0].0).unwrap();
    let record = stage::read(&txn, id).await.unwrap().unwrap();
    let states: Vec<Delivered> = record.recipients.iter().map(|r| r.delivered).collect();
    assert_eq!(states, [Delivered::Yes, Delivered::Yes, Delivered::Queued]);
    check(&server).await;
}

#[tokio::test]
async fn lists_and_who_may_write_to_them() {
    let server = Server::new().await;
    let (core, admin) = (&server.core, crate::Caller::server());
    let list = core
        .add_list(&admin, team(Posters::Domain, &[]))
        .await
        .unwrap();
    let change = |posters, add: &[&str], remove: &[&str]| ListChange {
        members: None,
        description: None,
        posters,
        add: add.iter().map(|a| (*a).to_owned()).collect(),
        remove: remove.iter().map(|a| (*a).to_owned()).collect(),
    };
    core.set_list(&admin, list.id, change(None, &[BOB], &[]))
        .await
        .unwrap();
    core.add_alias(&admin, server.bob.account, "robert@example.org")
        .await
        .unwrap();
    let rows = [
        (Posters::Domain, "a@example.org", true),
        (Posters::Domain, "a@sub.example.org", false),
        (Posters::Members, "BOB@example.org", true),
        (Posters::Members, "robert@example.org", true),
        (Posters::Members, ANN, false),
        (Posters::Anyone, "x@example.com", true),
    ];
    for (posters, from, may) in rows {
        core.set_list(&admin, list.id, change(Some(posters), &[], &[]))
            .await
            .unwrap();
        let message = HELLO.replace("far@example.net", from);
        let answer = arrives(
            &server,
            Some("x@example.com"),
            &["team@example.org"],
            &message,
        )
        .await;
        assert_eq!(answer[0].is_ok(), may, "{posters:?} {from}");
    }
    let missing = core
        .set_list(&admin, list.id, change(None, &[], &["x@y.example"]))
        .await;
    assert!(matches!(missing, Err(DirectoryError::NotFound(_))));
    // One member past the most that there are.
    let many: Vec<String> = (0..1000).map(|n| format!("m{n}@example.net")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let error = core
        .set_list(&admin, list.id, change(None, &many, &[]))
        .await;
    assert!(matches!(error, Err(DirectoryError::TooMany(_))));
    core.set_list(&admin, list.id, change(None, &many[1..], &[]))
        .await
        .unwrap();
    arrives(&server, Some(BOB), &["team@example.org"], HELLO).await;
    let sent = lines(&server).await;
    let copies: usize = sent
        .iter()
        .filter(|line| line.contains("m1@") || line.contains("@example.net"))
        .map(|line| line.matches("@example.net").count())
        .sum();
    assert_eq!(copies, 999);
    // Nobody logs in, and the owner stays.
    assert!(
        core.set_password(&admin, list.id, &crate::auth::Secret::from("correct horse"))
            .await
            .is_err()
    );
    assert!(matches!(
        core.remove_account(&admin, server.ann.account).await,
        Err(DirectoryError::InUse(_))
    ));
    core.remove_list(&admin, list.id).await.unwrap();
    let answer = core.resolve_recipient("team-owner@example.org").await;
    assert_eq!(answer, Err(RecipientError::NoSuchMailbox));
    core.remove_account(&admin, server.ann.account)
        .await
        .unwrap();
    // What waits in the queue of the list goes on.
    core.send_due().await.unwrap();
    check(&server).await;
}

#[tokio::test]
async fn an_address_alone_forwards() {
    let limits = Limits {
        max_submissions: 3,
        ..Limits::default()
    };
    let server = Server::with(store::engine::MemoryEngine::new(), limits).await;
    let admin = crate::Caller::server();
    let to = vec![BOB.to_owned(), "x@example.net".to_owned()];
    server
        .core
        .add_forwarding_alias(&admin, "info@example.org", to)
        .await
        .unwrap();
    let send = || {
        arrives(
            &server,
            Some("far@example.net"),
            &["info@example.org"],
            HELLO,
        )
    };
    assert_eq!(send().await, [Ok(())]);
    server.core.send_due().await.unwrap();
    let got = server.inbox_messages(&server.bob).await;
    assert!(
        got[0].starts_with(b"Return-Path: <far@example.net>\r\n"),
        "{got:?}"
    );
    assert_eq!(send().await, [Ok(())]);
    // One past what may wait: the peer tries again.
    assert_eq!(send().await, [Err(DeliverError::Temporary)]);
    check(&server).await;
}

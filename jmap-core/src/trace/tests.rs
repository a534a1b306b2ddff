//! The bytes of every version, the limits and one past each, and who sees what.

use expect_test::expect;
use jmap_types::{
    method::{Get, Query},
    trace::MessageTrace,
};
use serde_json::json;
use store::{
    Record as _,
    engine::{Engine as _, FaultPlan, FaultyEngine, MemoryEngine, Page},
    keys::{self, Subspace},
};

use super::{write::first_id, *};
use crate::{
    Caller, Limits,
    inproc::deliver::{Arrival, Inbound},
    mail::submission::{
        parameters,
        records::EnvelopeAddress,
        tests::{ANN, BOB, HELLO, Server},
    },
    work::check::CheckOptions,
};

fn whole() -> TraceRecord {
    TraceRecord {
        kind: TraceKind::Attempted,
        message_id: Some("m@x".into()),
        mail_from: Some("a@b.c".into()),
        recipients: vec![TraceRecipient {
            address: "b@c.d".into(),
            reply: "250 ok".into(),
            places: vec![TracePlace {
                account: 1,
                mailboxes: vec![2],
                actions: vec!["keep".into()],
                problem: Some("p".into()),
            }],
            remote: Some("mx".into()),
        }],
        more_recipients: Some(3),
        size: Some(4),
        session: Some(TraceSession {
            peer: "192.0.2.1".into(),
            hello: "h".into(),
            protocol: "ESMTPS".into(),
            tls: Some("TLSv1.3".into()),
            id: "i".into(),
            authentication: Some("spf=pass".into()),
        }),
        submission: Some(TraceSubmission {
            account: 5,
            id: 6,
            who: Some("w".into()),
            hold_until: Some(7),
        }),
        hosts: Some(vec![TraceHost {
            when: 8,
            host: "mx".into(),
            address: Some("192.0.2.2".into()),
            tls: Some("t".into()),
            result: "r".into(),
        }]),
        note: Some("n".into()),
    }
}

#[test]
fn version_1() {
    let bytes = whole().to_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    expect!["8a04636d4078656140622e638184656240632e6466323530206f6b818401810281646b6565706170626d78030486693139322e302e322e3161686645534d54505367544c5376312e336169687370663d70617373840506617707818508626d78693139322e302e322e3261746172616e"]
    .assert_eq(&hex);
    assert_eq!(TraceRecord::from_bytes(b"", &bytes).unwrap(), whole());
}

#[test]
fn one_past_the_limits_of_a_record() {
    let recipient = whole().recipients.remove(0);
    let host = whole().hosts.unwrap_or_default().remove(0);
    let record = |recipients: usize, hosts: usize, text: usize| {
        let record = TraceRecord {
            recipients: vec![recipient.clone(); recipients],
            hosts: Some(vec![host.clone(); hosts]),
            note: Some("ü".repeat(text / 2)),
            more_recipients: None,
            ..whole()
        };
        record.shortened()
    };
    let most = record(RECIPIENTS_MAX, HOSTS_MAX, TEXT_OCTETS_MAX);
    assert_eq!(most.more_recipients, None);
    let more = record(RECIPIENTS_MAX + 1, HOSTS_MAX + 1, TEXT_OCTETS_MAX + 2);
    assert_eq!(more.more_recipients, Some(1));
    assert_eq!(more.recipients, most.recipients);
    assert_eq!((more.hosts, more.note), (most.hosts, most.note));
}

#[test]
fn message_ids() {
    let rows: [(&[u8], Option<&str>); 7] = [
        (b"Subject: x\r\nMessage-ID: <a@b>\r\n\r\nbody", Some("a@b")),
        (b"message-id:\r\n <a@b>\r\nX: y\r\n", Some("a@b")),
        (b"Message-ID: a@b\r\n\r\n", None),
        (b"Message-ID: <>\r\n\r\n", None),
        (b"Subject: x\r\n\r\nMessage-ID: <body@b>\r\n", None),
        (b"Message-ID: <a", None),
        (b"", None),
    ];
    for (message, id) in rows {
        assert_eq!(id_in(message).as_deref(), id, "{}", message.escape_ascii());
    }
}

async fn arrives(server: &Server, from: &str, to: &[&str], message: &str, arrival: Arrival) {
    let mut recipients = Vec::new();
    for to in to {
        recipients.push(server.core.resolve_recipient(to).await.unwrap());
    }
    let inbound = Inbound {
        mail_from: Some(from.to_owned()),
        recipients,
        message: message.replace('\n', "\r\n").into(),
        peer: None,
        is_junk: false,
        answers_each: false,
        arrival,
    };
    let results = server.core.deliver(inbound).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}

const MAIL: &str =
    "From: Carol <carol@example.net>\nMessage-ID: <one@example.net>\nSubject: hi\n\nHi\n";

async fn all(server: &Server, filter: TraceFilter) -> Vec<Traced> {
    let found = server.core.trace(&Caller::server(), &filter, 1000).await;
    found.unwrap()
}

#[tokio::test]
async fn what_arrives_is_told_to_administrators_and_of_their_own_to_people() {
    let server = Server::new().await;
    let arrival = Arrival {
        session: whole().session,
        ..Arrival::default()
    };
    arrives(&server, "carol@example.net", &[ANN, BOB], MAIL, arrival).await;
    let by_id = TraceFilter {
        message_id: Some("<one@example.net>".into()),
        ..TraceFilter::default()
    };
    let found = all(&server, by_id.clone()).await;
    let [traced] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(traced.when, 1_700_000_000_000);
    let record = &traced.record;
    assert_eq!(record.kind, TraceKind::Received);
    assert_eq!(record.session, whole().session);
    let addresses: Vec<_> = record
        .recipients
        .iter()
        .map(|r| r.address.as_str())
        .collect();
    assert_eq!(addresses, [ANN, BOB]);
    assert_eq!(record.recipients[1].places[0].mailboxes, [1]);
    assert_eq!(record.recipients[1].places[0].actions, ["keep"]);
    // Nobody else reads it by that way.
    assert!(server.core.trace(&server.ann, &by_id, 10).await.is_err());
    let rows = [
        (
            TraceFilter {
                to: Some("BOB@example.org".into()),
                ..TraceFilter::default()
            },
            1,
        ),
        (
            TraceFilter {
                to: Some("@example.org".into()),
                ..TraceFilter::default()
            },
            1,
        ),
        (
            TraceFilter {
                to: Some("eve@example.org".into()),
                ..TraceFilter::default()
            },
            0,
        ),
        (
            TraceFilter {
                from: Some("carol@example.net".into()),
                ..TraceFilter::default()
            },
            1,
        ),
        (
            TraceFilter {
                account: Some(server.bob.account),
                ..TraceFilter::default()
            },
            1,
        ),
        (
            TraceFilter {
                account: Some(server.eve.account),
                ..TraceFilter::default()
            },
            0,
        ),
        (
            TraceFilter {
                since: Some(1_700_000_000_000),
                ..TraceFilter::default()
            },
            1,
        ),
        (
            TraceFilter {
                since: Some(1_700_000_000_001),
                ..TraceFilter::default()
            },
            0,
        ),
        (
            TraceFilter {
                until: Some(1_700_000_000_000),
                ..TraceFilter::default()
            },
            0,
        ),
        (
            TraceFilter {
                kind: Some(TraceKind::Refused),
                ..TraceFilter::default()
            },
            0,
        ),
    ];
    for (filter, count) in rows {
        assert_eq!(
            all(&server, filter.clone()).await.len(),
            count,
            "{filter:?}"
        );
    }
    // By JMAP: bob sees himself, and not that ann has it too.
    let got = server
        .call::<Get<MessageTrace>>(&server.bob, json!({"ids": null}))
        .await;
    let recipients = &got["list"][0]["recipients"];
    assert_eq!(recipients.as_array().unwrap().len(), 1, "{got}");
    assert_eq!(recipients[0]["address"], BOB);
    assert_eq!(recipients[0]["mailboxIds"], json!(["m1"]));
    assert_eq!(got["list"][0]["session"]["authentication"], "spf=pass");
    let id = got["list"][0]["id"].clone();
    let none = server
        .call::<Get<MessageTrace>>(&server.eve, json!({"ids": [id]}))
        .await;
    assert_eq!(
        (&none["list"], &none["notFound"]),
        (&json!([]), &json!([id]))
    );
    for (filter, count) in [
        (json!(null), 1),
        (
            json!({"messageId": "one@example.net", "event": "received"}),
            1,
        ),
        (json!({"address": "carol@example.net"}), 1),
        (json!({"address": ANN}), 0),
        (json!({"event": "refused"}), 0),
        (json!({"after": "2030-01-01T00:00:00Z"}), 0),
    ] {
        let found = server
            .call::<Query<MessageTrace>>(&server.bob, json!({"filter": filter}))
            .await;
        assert_eq!(found["ids"].as_array().unwrap().len(), count, "{filter}");
    }
    let report = server.core.check(CheckOptions::default(), &|_| {}).await;
    assert_eq!(report.unwrap().problems, []);
}

#[tokio::test]
async fn a_submission_and_what_became_of_it() {
    let server = Server::new().await;
    let message = HELLO.replace("Subject", "Message-ID: <two@example.org>\nSubject");
    let to = vec![EnvelopeAddress::plain(BOB)];
    let message = message.replace('\n', "\r\n").into();
    let core = &server.core;
    core.submit(&server.ann, EnvelopeAddress::plain(ANN), to, message, None)
        .await
        .unwrap();
    core.send_due().await.unwrap();
    let found = all(
        &server,
        TraceFilter {
            message_id: Some("two@example.org".into()),
            ..TraceFilter::default()
        },
    )
    .await;
    let kinds: Vec<_> = found.iter().map(|traced| traced.record.kind).collect();
    assert_eq!(kinds, [TraceKind::Submitted, TraceKind::Delivered]);
    let of = found[0].record.submission.as_ref().unwrap();
    assert_eq!(of.who.as_deref(), Some(ANN));
    // The sender sees what she sent, the recipient what came.
    for (who, event) in [(&server.ann, "submitted"), (&server.bob, "delivered")] {
        let got = server
            .call::<Get<MessageTrace>>(who, json!({"ids": null}))
            .await;
        let list = got["list"].as_array().unwrap();
        assert_eq!(list.len(), 1, "{got}");
        assert_eq!(list[0]["event"], event);
    }
}

#[tokio::test]
async fn who_wants_to_see_waits_for_what_is_being_written() {
    let engine = FaultyEngine::new(FaultPlan::default());
    let server = Server::with(engine.clone(), Limits::default()).await;
    server.core.flush_traces().await.unwrap();
    server.core.note_trace(whole());
    let second = async {
        server.core.flush_traces().await.unwrap();
        let page = Page::first(keys::all(Subspace::Trace), 10);
        engine.scan(page).await.unwrap().len()
    };
    let (first, seen) = tokio::join!(server.core.flush_traces(), second);
    first.unwrap();
    assert_eq!(seen, 1);
}

#[tokio::test]
async fn what_is_old_or_too_much_goes() {
    let limits = Limits {
        trace_seconds: 100,
        max_traces: 5,
        ..Limits::default()
    };
    let server = Server::with(MemoryEngine::new(), limits).await;
    let note = || server.core.note_trace(whole());
    let left = async || all(&server, TraceFilter::default()).await.len();
    (0..5).for_each(|_| note());
    server.core.flush_traces().await.unwrap();
    assert!(!server.core.purge_traces().await.unwrap());
    assert_eq!(left().await, 5);
    note();
    assert_eq!(left().await, 6);
    server.core.purge_traces().await.unwrap();
    assert_eq!(left().await, 5);
    server.pass(99);
    note();
    server.pass(2);
    server.core.flush_traces().await.unwrap();
    server.core.purge_traces().await.unwrap();
    assert_eq!(left().await, 1);
    let report = server.core.check(CheckOptions::default(), &|_| {}).await;
    assert_eq!(report.unwrap().problems, []);
}

#[tokio::test]
async fn one_past_what_waits_is_lost_and_off_is_off() {
    let server = Server::new().await;
    for _ in 0..=WAITING_MAX {
        server.core.note_trace(TraceRecord::default());
    }
    assert_eq!(server.core.metrics.traces_lost.get(), 1);
    let limits = Limits {
        trace_seconds: 0,
        ..Limits::default()
    };
    let server = Server::with(MemoryEngine::new(), limits).await;
    server.core.note_trace(whole());
    assert_eq!(all(&server, TraceFilter::default()).await, []);
}

#[test]
fn ids_say_when() {
    for ms in [0, 1, 1_700_000_000_000] {
        assert_eq!(write::when(first_id(ms)), ms as i64);
    }
}

async fn reports(server: &Server, notify: &str) -> Vec<String> {
    let given = |name: &str, value: Option<&str>| parameters::of_mail(name, value).unwrap();
    let arrival = Arrival {
        mail: vec![given("ENVID", Some("env 1")), given("REQUIRETLS", None)],
        recipients: vec![vec![
            parameters::of_rcpt("NOTIFY", Some(notify)).unwrap(),
            parameters::of_rcpt("ORCPT", Some("rfc822;Bob@old.example")).unwrap(),
        ]],
        ..Arrival::default()
    };
    // The sender is here, so that what is queued for them can be read.
    arrives(server, "eve@example.org", &[BOB], MAIL, arrival).await;
    server.core.send_due().await.unwrap();
    let messages = server.inbox_messages(&server.eve).await;
    let text = |octets: &bytes::Bytes| String::from_utf8_lossy(octets).into_owned();
    messages.iter().map(text).collect()
}

#[tokio::test]
async fn who_asks_hears_of_success_once() {
    let server = Server::new().await;
    assert_eq!(reports(&server, "NEVER").await, [""; 0]);
    assert_eq!(reports(&server, "FAILURE,DELAY").await, [""; 0]);
    let reports = reports(&server, "SUCCESS").await;
    let [report] = &reports[..] else {
        panic!("{reports:?}");
    };
    for line in [
        "Return-Path: <>",
        "Subject: Your message was delivered",
        "Original-Envelope-Id: env 1",
        "Original-Recipient: rfc822; Bob@old.example",
        "Final-Recipient: rfc822; bob@example.org",
        "Action: delivered",
        "Status: 2.0.0",
        "Message-ID: <one@example.net>",
    ] {
        assert!(
            report.lines().any(|other| other == line),
            "{line}: {report}"
        );
    }
    let told = TraceFilter {
        kind: Some(TraceKind::Reported),
        ..TraceFilter::default()
    };
    assert_eq!(all(&server, told).await.len(), 1);
    let kinds = all(&server, TraceFilter::default()).await;
    let kinds: Vec<_> = kinds.iter().map(|traced| traced.record.kind).collect();
    assert_eq!(kinds[2..4], [TraceKind::Received, TraceKind::Reported]);
}

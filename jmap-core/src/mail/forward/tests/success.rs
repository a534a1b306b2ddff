//! What senders hear who want to hear of success (RFC 3461 §5.2.7), and what comes back once.

use super::*;
use crate::mail::submission::{parameters, records::EnvelopeAddress};
use store::engine::{FaultPlan, FaultyEngine};

const INFO: &str = "info@example.org";

/// Parameters of a RCPT.
fn rcpt(given: &[(&str, &str)]) -> Vec<crate::mail::submission::records::Parameter> {
    let one = |(name, value): &(&str, &str)| parameters::of_rcpt(name, Some(value)).unwrap();
    given.iter().map(one).collect()
}

async fn alias(server: &Server, to: &[&str]) {
    let admin = crate::Caller::server();
    let to = to.iter().map(|to| (*to).to_owned()).collect();
    let made = server.core.add_forwarding_alias(&admin, INFO, to);
    made.await.unwrap();
}

/// What is in the queue after a message with NOTIFY=SUCCESS,FAILURE from elsewhere: reverse-path and recipients, each with parameters.
async fn asked(server: &Server, to: &str) -> (Vec<String>, Vec<String>) {
    let arrival = Arrival {
        mail: vec![
            parameters::of_mail("ENVID", Some("env")).unwrap(),
            parameters::of_mail("RET", Some("HDRS")).unwrap(),
        ],
        recipients: vec![rcpt(&[
            ("NOTIFY", "SUCCESS,FAILURE"),
            ("ORCPT", "rfc822;orig@old.example"),
        ])],
        author: Author::Trusted,
        ..Arrival::default()
    };
    let from = Some("far@example.net");
    let answers = arrives_as(server, from, &[to], HELLO, arrival).await;
    assert_eq!(answers, [Ok(())], "{to}");
    let range = keys::all(keys::Subspace::Object);
    let page = Page::first(range, 10_000);
    let (mut sent, mut reports) = (Vec::new(), Vec::new());
    for (key, bytes) in server.core.engine.scan(page).await.unwrap() {
        if !matches!(
            keys::decode_object(&key),
            Some((_, DataType::EmailSubmission, _))
        ) {
            continue;
        }
        let record = SubmissionRecord::from_bytes(&key, &bytes).unwrap();
        if record.mail_from.email.is_empty() {
            let octets = store::blob::get(&server.core.engine, &record.blob).await;
            let text = String::from_utf8_lossy(&octets.unwrap().unwrap()).into_owned();
            let is_told = |line: &&str| {
                [
                    "Action: ",
                    "Original-Envelope-Id",
                    "Original-Rec",
                    "Final-Rec",
                ]
                .iter()
                .any(|start| line.starts_with(start))
            };
            let lines: Vec<&str> = text.lines().filter(is_told).collect();
            reports.push(lines.join(" | "));
            continue;
        }
        let words = |address: &EnvelopeAddress| {
            let all = address.parameters.iter().flatten();
            let each = all.map(|p| format!(" {}={}", p.name, p.value.as_deref().unwrap_or("")));
            each.collect::<String>()
        };
        let mail = words(&record.mail_from);
        for to in &record.recipients {
            sent.push(format!(
                "{}{} {}",
                to.address.email,
                words(&to.address),
                mail
            ));
        }
    }
    sent.sort();
    (sent, reports)
}

#[tokio::test]
async fn a_list_has_it_and_asks_for_nothing() {
    let server = Server::new().await;
    let admin = crate::Caller::server();
    let new = team(Posters::Members, &["far@example.net", "x@example.net"]);
    server.core.add_list(&admin, new).await.unwrap();
    let (sent, reports) = asked(&server, "team@example.org").await;
    assert_eq!(sent, ["far@example.net ", "x@example.net "]);
    assert_eq!(
        reports,
        [
            "Original-Envelope-Id: env | Original-Recipient: rfc822; orig@old.example | Final-Recipient: rfc822; team@example.org | Action: delivered"
        ]
    );
}

#[tokio::test]
async fn what_a_list_refuses_was_not_delivered() {
    let server = Server::new().await;
    let admin = crate::Caller::server();
    let new = team(Posters::Members, &[BOB]);
    server.core.add_list(&admin, new).await.unwrap();
    let asks = rcpt(&[("NOTIFY", "SUCCESS,FAILURE")]);
    let arrival = Arrival {
        recipients: vec![asks, Vec::new()],
        ..Arrival::default()
    };
    let to = ["team@example.org", ANN];
    arrives_as(&server, Some("far@example.net"), &to, HELLO, arrival).await;
    let [(_, report)] = &queued(&server).await[..] else {
        panic!("one report");
    };
    assert!(String::from_utf8_lossy(report).contains("Action: failed"));
}

#[tokio::test]
async fn one_address_behind_another_answers_itself() {
    let server = Server::new().await;
    alias(&server, &["x@example.net"]).await;
    let (sent, reports) = asked(&server, INFO).await;
    let want =
        "x@example.net NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;orig@old.example  ENVID=env RET=HDRS";
    assert_eq!(sent, [want]);
    assert_eq!(reports, [""; 0]);
}

#[tokio::test]
async fn several_addresses_are_an_expansion() {
    let server = Server::new().await;
    alias(&server, &["x@example.net", "y@example.net"]).await;
    let (sent, reports) = asked(&server, INFO).await;
    let rest = "NOTIFY=FAILURE ORCPT=rfc822;orig@old.example  ENVID=env RET=HDRS";
    assert_eq!(
        sent,
        [
            format!("x@example.net {rest}"),
            format!("y@example.net {rest}")
        ]
    );
    assert_eq!(
        reports,
        [
            "Original-Envelope-Id: env | Original-Recipient: rfc822; orig@old.example | Final-Recipient: rfc822; info@example.org | Action: expanded"
        ]
    );
}

/// The reports that ann has after a message with NOTIFY=SUCCESS to `to`, and what her deliveryStatus says.
async fn told(server: &Server, to: &str) -> Vec<String> {
    let message = HELLO.replace(FAR, ANN).replace('\n', "\r\n");
    let to = vec![parameters::with(to, rcpt(&[("NOTIFY", "SUCCESS")]))];
    let from = EnvelopeAddress::plain(ANN);
    let sent = server
        .core
        .submit(&server.ann, from, to, message.into(), None);
    sent.await.unwrap();
    for _ in 0..4 {
        server.core.send_due().await.unwrap();
    }
    let reports = server.inbox_messages(&server.ann).await;
    let told = |octets: &Bytes| {
        let text = String::from_utf8_lossy(octets).into_owned();
        let is_told = |line: &&str| line.starts_with("Action: ") || line.starts_with("Final-Rec");
        let lines: Vec<&str> = text.lines().filter(is_told).collect();
        lines.join(" | ")
    };
    let mut told: Vec<String> = reports.iter().map(told).collect();
    told.sort();
    told
}

#[tokio::test]
async fn senders_here_hear_the_same() {
    let server = Server::new().await;
    let admin = crate::Caller::server();
    let new = team(Posters::Members, &[ANN, BOB]);
    server.core.add_list(&admin, new).await.unwrap();
    let got = told(&server, "team@example.org").await;
    // One of the two is the list's message itself.
    assert_eq!(
        got,
        [
            "",
            "Final-Recipient: rfc822; team@example.org | Action: delivered"
        ]
    );

    let server = Server::new().await;
    alias(&server, &[BOB]).await;
    let got = told(&server, INFO).await;
    assert_eq!(
        got,
        ["Final-Recipient: rfc822; bob@example.org | Action: delivered"]
    );

    let server = Server::new().await;
    alias(&server, &[BOB, "eve@example.org"]).await;
    let got = told(&server, INFO).await;
    assert_eq!(
        got,
        ["Final-Recipient: rfc822; info@example.org | Action: expanded"]
    );
    check(&server).await;
}

/// A report of ann's server comes back to two addresses of the scheme by the queue, which stops at commit number `at`, and goes on after a
/// restart.
async fn comes_back(at: u64) -> bool {
    let engine = FaultyEngine::new(FaultPlan {
        seed: at,
        ..FaultPlan::default()
    });
    let server = Server::with(engine.clone(), Limits::default()).await;
    let day = 1_700_000_000 / 86_400;
    let back = |sender: &str| {
        let local = server.core.srs.local_part(sender, day).unwrap();
        EnvelopeAddress::plain(format!("{local}@example.org"))
    };
    let to = vec![back("far@example.net"), back("x@example.com")];
    let envelope = crate::mail::submission::envelope::Envelope {
        mail_from: EnvelopeAddress::default(),
        recipients: to,
    };
    let account = server.core.accounts.handle(server.ann.account);
    let mut txn = account.writer.begin().await.unwrap();
    let octets = Bytes::from_static(b"Subject: failed\r\n\r\n");
    assert!(
        stage::automatic(&server.core, &mut txn, envelope, octets)
            .await
            .unwrap()
    );
    txn.commit().await.unwrap();
    // It is there from here on.
    server.core.service_account().await.unwrap();
    drop(server);

    let engine = engine.restart_with(FaultPlan {
        seed: at,
        crash_at_commit: Some(at),
        ..FaultPlan::default()
    });
    let (core, clock, _folder) =
        crate::mail::submission::tests::core_over(engine.clone(), 2, Limits::default()).await;
    clock.advance(std::time::Duration::from_secs(3600));
    let _ = core.send_due().await;
    let crashed = engine.is_crashed();
    drop(core);

    let engine = engine.restart_with(FaultPlan::default());
    let (core, clock, _folder) =
        crate::mail::submission::tests::core_over(engine, 3, Limits::default()).await;
    for _ in 0..2 {
        clock.advance(std::time::Duration::from_secs(7200));
        core.send_due().await.unwrap();
    }
    let service = core.service_account().await.unwrap();
    let range = keys::objects(service, DataType::EmailSubmission);
    let rows = core.engine.scan(Page::first(range, 100)).await.unwrap();
    let mut to: Vec<String> = rows
        .iter()
        .map(|(key, bytes)| SubmissionRecord::from_bytes(key, bytes).unwrap())
        .map(|record| record.recipients[0].address.email.clone())
        .collect();
    to.sort();
    assert_eq!(
        to,
        ["far@example.net", "x@example.com"],
        "crash at commit {at}"
    );
    // What was noted for that is gone.
    let noted = keys::all(keys::Subspace::Delivered);
    let rows = core.engine.scan(Page::first(noted, 100)).await.unwrap();
    assert!(rows.is_empty(), "{rows:?}");
    crashed
}

#[tokio::test]
async fn a_report_comes_back_once() {
    let mut crashes = 0;
    for at in 1..12 {
        crashes += usize::from(comes_back(at).await);
    }
    assert!(crashes >= 3, "only {crashes} runs were interrupted");
}

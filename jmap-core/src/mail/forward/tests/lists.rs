//! Whom a list believes, how a member leaves it, and what it never sends on.

use super::*;
use crate::mail::submission::records::EnvelopeAddress;

const TEAM: &str = "team@example.org";
const LEAVE: &str = "team+unsubscribe@example.org";

async fn list(server: &Server, posters: Posters, members: &[&str]) -> Account {
    let admin = crate::Caller::server();
    let new = team(posters, members);
    server.core.add_list(&admin, new).await.unwrap()
}

async fn members(server: &Server, list: &Account) -> Vec<String> {
    let admin = crate::Caller::server();
    let account = server.core.account(&admin, list.id).await.unwrap();
    account.record.forward.as_ref().unwrap().to.clone()
}

async fn says(server: &Server, author: Author, to: &[&str], message: &str) -> String {
    let arrival = Arrival {
        author,
        ..Arrival::default()
    };
    let answers = arrives_as(server, Some("far@example.net"), to, message, arrival).await;
    match &answers[0] {
        Ok(()) => "ok".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn domain(name: &str) -> Author {
    Author::Domain(name.to_owned())
}

#[tokio::test]
async fn whom_a_list_believes() {
    let server = Server::new().await;
    list(
        &server,
        Posters::Members,
        &["far@example.net", "ü@exämple.net", BOB],
    )
    .await;
    let two = "Far <far@example.net>, evil@example.com";
    let rows = [
        (Author::Trusted, FAR, "ok"),
        (Author::Here, BOB, "ok"),
        (domain("example.net"), FAR, "ok"),
        (domain("example.net"), "FAR@Example.NET", "ok"),
        (domain("xn--exmple-cua.net"), "ü@exämple.net", "ok"),
        // Who has signed isn't who is named.
        (domain("example.com"), FAR, "neither DKIM nor SPF"),
        (domain("example.net"), two, "neither DKIM nor SPF"),
        (domain("example.com"), two, "neither DKIM nor SPF"),
        (domain("example.net"), "fay@example.net", "may not write"),
        (Author::Unknown, FAR, "neither DKIM nor SPF"),
        (Author::Unknown, BOB, "neither DKIM nor SPF"),
        (Author::Unanswered, FAR, "temporary failure"),
    ];
    for (author, from, want) in rows {
        let message = HELLO.replace(FAR, from);
        let got = says(&server, author.clone(), &[TEAM], &message).await;
        assert!(got.contains(want), "{author:?} {from}: {got}");
    }
    assert_eq!(lines(&server).await.len(), 5);
    // With others there is one answer, and nobody is asked again: the sender gets a report.
    let got = says(&server, Author::Unanswered, &[TEAM, ANN], HELLO).await;
    assert_eq!(got, "ok");
    let report = queued(&server).await.pop().unwrap();
    assert_eq!(report.0, " -> far@example.net");
    let text = String::from_utf8_lossy(&report.1);
    assert!(
        text.contains("550 5.7.1 the recipient refuses the message: Nothing shows"),
        "{text}"
    );
    check(&server).await;
}

#[tokio::test]
async fn what_was_known_of_an_author_goes_on() {
    let server = Server::new().await;
    list(&server, Posters::Members, &[ANN, "far@example.net"]).await;
    let admin = crate::Caller::server();
    let to = vec![TEAM.to_owned()];
    let alias = server
        .core
        .add_forwarding_alias(&admin, "info@example.org", to);
    alias.await.unwrap();
    // By an alias, and by way of the queue.
    says(&server, Author::Unknown, &["info@example.org"], HELLO).await;
    server.core.send_due().await.unwrap();
    assert_eq!(lines(&server).await, [" -> far@example.net"], "a report");
    says(&server, domain("example.net"), &["info@example.org"], HELLO).await;
    server.core.send_due().await.unwrap();
    let sent = lines(&server).await;
    assert!(
        sent.iter()
            .any(|line| line.starts_with("team-owner@example.org -> ")),
        "{sent:?}"
    );
    // A member here writes, and one who isn't; both have logged in.
    for (who, name, count) in [(&server.ann, ANN, 3), (&server.bob, BOB, 3)] {
        let message = HELLO.replace(FAR, name).replace('\n', "\r\n");
        let to = vec![EnvelopeAddress::plain(TEAM)];
        let from = EnvelopeAddress::plain(name);
        let sent = server.core.submit(who, from, to, message.into(), None);
        sent.await.unwrap();
        server.core.send_due().await.unwrap();
        let lines = lines(&server).await;
        let sent = lines.iter().filter(|line| line.starts_with("team-owner"));
        assert_eq!(sent.count(), count - 1, "{name}: {lines:?}");
    }
    assert_eq!(
        server.inbox(&server.bob).await,
        ["Your message could not be delivered"]
    );
    // One that was accepted for many, and is delivered after a crash.
    check(&server).await;
}

fn leaving(from: &str) -> String {
    format!("From: {from}\nTo: {LEAVE}\nSubject: unsubscribe\n\n")
}

#[tokio::test]
async fn a_member_leaves() {
    let server = Server::new().await;
    let list = list(&server, Posters::Members, &["Far@example.net", BOB, ANN]).await;
    // Nobody leaves in somebody else's name.
    let rows = [
        (Author::Unknown, leaving(FAR), "neither DKIM nor SPF"),
        (domain("example.com"), leaving(FAR), "neither DKIM nor SPF"),
        (Author::Unanswered, leaving(FAR), "temporary failure"),
        (
            domain("example.net"),
            leaving("far@example.net, fay@example.net"),
            "neither DKIM nor SPF",
        ),
        // What was signed for another purpose, and sent here once more.
        (domain("example.net"), HELLO.to_owned(), "in its To field"),
        (
            domain("example.net"),
            format!("To: {LEAVE}\n{HELLO}"),
            "in its To field",
        ),
    ];
    for (author, message, want) in rows {
        let got = says(&server, author.clone(), &[LEAVE], &message).await;
        assert!(got.contains(want), "{author:?} {message}: {got}");
    }
    assert_eq!(members(&server, &list).await.len(), 3);
    assert_eq!(lines(&server).await, [""; 0]);

    let upper = "TEAM+UnSubscribe@example.org";
    let message = leaving(FAR).replace(LEAVE, upper);
    let got = says(&server, domain("example.net"), &[upper], &message).await;
    assert_eq!(got, "ok");
    assert_eq!(members(&server, &list).await, [BOB, ANN]);
    let (line, octets) = queued(&server).await.pop().unwrap();
    assert_eq!(line, " -> far@example.net");
    let text = String::from_utf8_lossy(&octets);
    for want in [
        "From: \"The team\" <team-owner@example.org>\r\n",
        "Auto-Submitted: auto-replied\r\n",
        "far@example.net gets no mail of the list team@example.org any more,\r\n",
    ] {
        assert!(text.contains(want), "{want}: {text}");
    }
    // By another address of the same account.
    let admin = crate::Caller::server();
    let robert = "robert@example.org";
    let core = &server.core;
    core.add_alias(&admin, server.bob.account, robert)
        .await
        .unwrap();
    let message = leaving(robert).replace('\n', "\r\n");
    let to = vec![EnvelopeAddress::plain(LEAVE)];
    let from = EnvelopeAddress::plain(BOB);
    let sent = core.submit(&server.bob, from, to, message.into(), None);
    sent.await.unwrap();
    core.send_due().await.unwrap();
    core.send_due().await.unwrap();
    assert_eq!(members(&server, &list).await, [ANN]);
    let got = server.inbox(&server.bob).await;
    assert_eq!(got, ["You are not on the list team@example.org any more"]);
    // Whoever isn't there is told the same, and nothing happens.
    assert_eq!(
        says(&server, domain("example.net"), &[LEAVE], &leaving(FAR)).await,
        "ok"
    );
    assert_eq!(members(&server, &list).await, [ANN]);
    check(&server).await;
}

#[tokio::test]
async fn leaving_is_offered_where_it_works() {
    let server = Server::new().await;
    list(&server, Posters::Anyone, &["far@example.net"]).await;
    let admin = crate::Caller::server();
    let bob = server.bob.account;
    let core = &server.core;
    core.add_alias(&admin, bob, LEAVE).await.unwrap();
    says(&server, Author::Unknown, &[TEAM], HELLO).await;
    let (_, octets) = queued(&server).await.pop().unwrap();
    assert!(!String::from_utf8_lossy(&octets).contains("List-Unsubscribe"));
}

#[tokio::test]
async fn what_a_list_never_sends_on() {
    let server = Server::new().await;
    list(&server, Posters::Anyone, &["far@example.net"]).await;
    let rows = [
        ("List-Id: The <Team.example.org>", "in circles"),
        ("List-Id: <team.example.org.other.example>", "ok"),
        (
            "Auto-Submitted: auto-replied (vacation)",
            "no automatic replies",
        ),
        ("Auto-Submitted: auto-generated", "ok"),
        ("Auto-Submitted: no", "ok"),
    ];
    for (field, want) in rows {
        let message = format!("{field}\n{HELLO}");
        let got = says(&server, Author::Unknown, &[TEAM], &message).await;
        assert!(got.contains(want), "{field}: {got}");
    }
    let answers = arrives(&server, None, &[TEAM], HELLO).await;
    assert!(
        matches!(answers[..], [Err(DeliverError::Refused(_))]),
        "{answers:?}"
    );
    let answers = arrives(&server, None, &[LEAVE], &leaving(FAR)).await;
    assert!(
        matches!(answers[..], [Err(DeliverError::Refused(_))]),
        "{answers:?}"
    );
}

//! What is done with each extension of a peer, and without it.

use std::sync::Arc;

use bytes::Bytes;
use jmap_core::{
    inproc::outbound::{Fate, Job},
    mail::submission::records::EnvelopeAddress,
};
use net::Secret;
use smtp::client::{Client, Login, Protocol, Route, RouteTls};

use crate::{
    harness::{Measuring, Names, address, client, is_accepted, job, only, parts, send, settings},
    peer::{Act, Certificates, Peer, Script},
};

fn message(text: &str) -> Job {
    let mut job = job(&["bob@b.test"]);
    job.message = Bytes::from(text.to_owned());
    job
}

const EIGHT: &str = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGr\u{fc}n\r\n";

#[tokio::test]
async fn eight_bits_for_those_who_take_them() {
    let peer = Peer::start(Script::new(&["8BITMIME"])).await;
    let to = client(&[peer.ip()], settings(peer.port()));
    assert!(is_accepted(&send(&to, &message(EIGHT)).await.outcomes[0]));
    assert_eq!(peer.seen.lock().text(0), EIGHT);
    assert_eq!(
        peer.seen
            .lock()
            .count("MAIL FROM:<ann@example.org> BODY=8BITMIME"),
        1
    );

    // The others get seven, and what is signed is what they get.
    let peer = Peer::start(Script::default()).await;
    let mut parts = parts(Names::of(&[peer.ip()]), settings(peer.port()));
    parts.signer = Some(Arc::new(Measuring));
    let to = Client::new(parts).expect("no client");
    assert!(is_accepted(&send(&to, &message(EIGHT)).await.outcomes[0]));
    let got = peer.seen.lock().text(0);
    let (signed, rest) = got.split_once("\r\n").expect("a line");
    assert_eq!(signed, format!("X-Signed: ann@example.org {}", rest.len()));
    assert!(
        rest.ends_with("Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BCn\r\n"),
        "{rest}"
    );
    assert_eq!(peer.seen.lock().count("MAIL FROM:<ann@example.org>"), 1);
    let attempt = send(&to, &message("Subject: \u{fc}\r\n\r\nx\r\n")).await;
    assert_eq!(only(&attempt).0, Fate::Refused);
    assert!(only(&attempt).1.starts_with("554 5.6.3"), "{attempt:?}");
}

#[tokio::test]
async fn utf8_addresses_are_not_changed() {
    let mut utf8 = message("Subject: u\r\n\r\nx\r\n");
    utf8.mail_from = address("ann@example.org", &[("SMTPUTF8", None)]);
    let mut names = utf8.clone();
    names.recipients = job(&["b\u{f8}b@b.test", "bob@b.test"]).recipients;
    let mut sender = utf8.clone();
    sender.mail_from = address("\u{e5}nn@example.org", &[("SMTPUTF8", None)]);
    let mut header = utf8.clone();
    header.message = Bytes::from("Subject: \u{fc}\r\n\r\nx\r\n");

    let peer = Peer::start(Script::new(&["8BITMIME", "SMTPUTF8"])).await;
    let to = client(&[peer.ip()], settings(peer.port()));
    for job in [&names, &sender, &header] {
        let attempt = send(&to, job).await;
        assert!(attempt.outcomes.iter().all(is_accepted), "{attempt:?}");
    }
    let lines = peer.seen.lock().commands.clone();
    let mails: Vec<&String> = lines
        .iter()
        .filter(|line| line.starts_with("MAIL"))
        .collect();
    assert!(
        mails.iter().all(|line| line.contains(" SMTPUTF8")),
        "{mails:?}"
    );
    // Nothing needs it: it isn't asked for.
    assert!(is_accepted(&send(&to, &utf8).await.outcomes[0]));
    assert_eq!(
        peer.seen
            .lock()
            .commands
            .iter()
            .filter(|line| line.contains("SMTPUTF8"))
            .count(),
        3
    );

    let peer = Peer::start(Script::new(&["8BITMIME"])).await;
    let to = client(&[peer.ip()], settings(peer.port()));
    assert!(is_accepted(&send(&to, &utf8).await.outcomes[0]));
    for job in [&sender, &header] {
        let attempt = send(&to, job).await;
        assert_eq!(only(&attempt).0, Fate::Refused);
        assert!(only(&attempt).1.starts_with("553 5.6.7"), "{attempt:?}");
    }
    // Of two recipients, one can be told.
    let attempt = send(&to, &names).await;
    let fates: Vec<bool> = attempt.outcomes.iter().map(is_accepted).collect();
    assert_eq!(fates, [false, true], "{attempt:?}");
    assert!(attempt.outcomes[0].reply.starts_with("553 5.6.7"));
}

#[tokio::test]
async fn a_size_is_compared_before_anything_is_sent() {
    let peer = Peer::start(Script::new(&["SIZE 100"])).await;
    let to = client(&[peer.ip()], settings(peer.port()));
    let of = |octets: usize| message(&format!("a: b\r\n\r\n{}\r\n", "x".repeat(octets - 10)));
    assert!(is_accepted(&send(&to, &of(100)).await.outcomes[0]));
    let attempt = send(&to, &of(101)).await;
    assert!(only(&attempt).1.starts_with("552 5.3.4"), "{attempt:?}");
    assert_eq!(only(&attempt).0, Fate::Refused);
    assert_eq!(
        peer.seen
            .lock()
            .count("MAIL FROM:<ann@example.org> SIZE=100"),
        1
    );
    assert_eq!(peer.seen.lock().count("MAIL"), 1);
}

#[tokio::test]
async fn reports_of_success_are_whose_part() {
    let mut job = message("a: b\r\n\r\nx\r\n");
    job.mail_from = address("", &[("RET", Some("HDRS")), ("ENVID", Some("e 1"))]);
    job.recipients[0].address = address("bob@b.test", &[("NOTIFY", Some("SUCCESS"))]);
    for (extensions, tells) in [(&["DSN"][..], true), (&[], false)] {
        let peer = Peer::start(Script::new(extensions)).await;
        let to = client(&[peer.ip()], settings(peer.port()));
        let attempt = send(&to, &job).await;
        assert_eq!(
            only(&attempt).0,
            Fate::Accepted {
                tells_success: tells
            }
        );
        let seen = peer.seen.lock();
        let (mail, rcpt) = match tells {
            true => (
                "MAIL FROM:<> RET=HDRS ENVID=e+201",
                "RCPT TO:<bob@b.test> NOTIFY=SUCCESS",
            ),
            false => ("MAIL FROM:<>", "RCPT TO:<bob@b.test>"),
        };
        assert!(
            seen.commands.iter().any(|line| line == mail),
            "{:?}",
            seen.commands
        );
        assert!(
            seen.commands.iter().any(|line| line == rcpt),
            "{:?}",
            seen.commands
        );
    }
}

#[tokio::test]
async fn binary_goes_by_bdat_or_is_encoded() {
    let binary = "MIME-Version: 1.0\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: binary\r\n\r\na\0b\nc";
    let mut job = message(binary);
    job.mail_from = address("ann@example.org", &[("BODY", Some("BINARYMIME"))]);
    let peer = Peer::start(Script::new(&["8BITMIME", "BINARYMIME", "CHUNKING"])).await;
    let to = client(&[peer.ip()], settings(peer.port()));
    assert!(is_accepted(&send(&to, &job).await.outcomes[0]));
    assert_eq!(peer.seen.lock().text(0), binary);
    assert_eq!(
        peer.seen
            .lock()
            .count("MAIL FROM:<ann@example.org> BODY=BINARYMIME"),
        1
    );
    let peer = Peer::start(Script::new(&["8BITMIME"])).await;
    let to = client(&[peer.ip()], settings(peer.port()));
    assert!(is_accepted(&send(&to, &job).await.outcomes[0]));
    let got = peer.seen.lock().text(0);
    assert!(
        got.ends_with("Content-Transfer-Encoding: base64\r\n\r\nYQBiCmM=\r\n"),
        "{got}"
    );
    // Bare line ends of a message that isn't binary are no way to smuggle another one (RFC 5321 §2.3.8).
    let peer = Peer::start(Script::default()).await;
    let to = client(&[peer.ip()], settings(peer.port()));
    assert!(is_accepted(
        &send(&to, &message("a: b\r\n\r\nx\n.\nMAIL FROM:<>\r.\r\n"))
            .await
            .outcomes[0]
    ));
    assert_eq!(
        peer.seen.lock().text(0),
        "a: b\r\n\r\nx\r\n.\r\nMAIL FROM:<>\r\n.\r\n"
    );
}

#[tokio::test]
async fn any_certificate_is_better_than_none() {
    let (tls, _) = Certificates::new().server(&["somebody.else"]);
    let peer = Peer::start(Script::new(&["PIPELINING"]).with_tls(&tls)).await;
    let to = client(&[peer.ip()], settings(peer.port()));
    let attempt = send(&to, &job(&["bob@b.test"])).await;
    assert!(is_accepted(&attempt.outcomes[0]), "{attempt:?}");
    assert_eq!(
        attempt.hosts[0].tls.as_deref(),
        Some("TLSv1.3, the certificate is not verified")
    );
    assert_eq!(
        attempt.hosts[0].evaluation.as_ref().expect("one").failure,
        None
    );
    assert_eq!(peer.seen.lock().count("EHLO"), 2);

    // TLS that fails, or is refused, costs no mail.
    let broken =
        Script::new(&["STARTTLS"]).on("STARTTLS", Act::SayAndClose("220 Go ahead\r\n220 and"));
    let closing = Script::new(&["STARTTLS"]).on("STARTTLS", Act::SayAndClose("220 Go ahead"));
    let refusing = Script::new(&["STARTTLS"]).on("STARTTLS", Act::Say("454 4.7.0 Not now"));
    for (script, hosts) in [(broken, 2), (closing, 2), (refusing, 1)] {
        let peer = Peer::start(script).await;
        let to = client(&[peer.ip()], settings(peer.port()));
        let attempt = send(&to, &job(&["bob@b.test"])).await;
        assert!(is_accepted(&attempt.outcomes[0]), "{attempt:?}");
        assert_eq!(attempt.hosts.len(), hosts, "{attempt:?}");
        let last = attempt.hosts.last().expect("a host");
        assert_eq!(last.tls, None);
        let evaluation = last.evaluation.clone().expect("an evaluation");
        assert_eq!(
            evaluation.failure.expect("a failure").result_type,
            "starttls-not-supported"
        );
    }
}

#[tokio::test]
async fn a_server_that_insists_on_tls_may_have_it_later() {
    let insisting = Act::Say("530 5.7.0 Must issue a STARTTLS command first");
    let broken = Script::new(&["STARTTLS"])
        .on("STARTTLS", Act::SayAndClose("220 Go ahead"))
        .on("MAIL", insisting.clone());
    let peer = Peer::start(broken).await;
    let attempt = send(
        &client(&[peer.ip()], settings(peer.port())),
        &job(&["bob@b.test"]),
    )
    .await;
    assert_eq!(only(&attempt).0, Fate::Later, "{attempt:?}");
    // What it wants is something else, that nobody here has.
    let peer =
        Peer::start(Script::default().on("MAIL", Act::Say("530 5.7.0 Authentication required")))
            .await;
    let attempt = send(
        &client(&[peer.ip()], settings(peer.port())),
        &job(&["bob@b.test"]),
    )
    .await;
    assert_eq!(only(&attempt).1, "530 5.7.0 Authentication required");
}

fn route(peer: &Peer, tls: RouteTls) -> Route {
    Route {
        domains: vec!["*".to_owned()],
        host: peer.ip().to_string(),
        port: peer.port(),
        protocol: Protocol::Smtp,
        tls,
        login: None,
    }
}

fn login() -> Option<Login> {
    Some(Login {
        user: "us".to_owned(),
        password: Secret::new("secret".to_owned()),
    })
}

#[tokio::test]
async fn relays_are_logged_in_at() {
    let rows = [
        (
            Script::new(&["AUTH LOGIN PLAIN"]).on("AUTH PLAIN", Act::Say("235 2.7.0 Ok")),
            &["AUTH PLAIN AHVzAHNlY3JldA=="][..],
        ),
        (
            Script::new(&["AUTH LOGIN"])
                .on("AUTH LOGIN", Act::Say("334 VXNlcm5hbWU6"))
                .on("dXM=", Act::Say("334 UGFzc3dvcmQ6"))
                .on("c2VjcmV0", Act::Say("235 2.7.0 Ok")),
            &["AUTH LOGIN", "dXM=", "c2VjcmV0"],
        ),
    ];
    for (script, lines) in rows {
        let peer = Peer::start(script).await;
        let mut settings = settings(1);
        settings.routes = vec![Route {
            login: login(),
            ..route(&peer, RouteTls::None)
        }];
        let to = client(&[], settings);
        let attempt = send(&to, &job(&["bob@b.test"])).await;
        assert!(is_accepted(&attempt.outcomes[0]), "{attempt:?}");
        let seen = peer.seen.lock();
        for line in lines {
            assert!(
                seen.commands.iter().any(|other| other == line),
                "{:?}",
                seen.commands
            );
        }
        assert_eq!(attempt.hosts[0].evaluation, None);
    }
    // A login that fails is the operator's mistake: no mail is lost by it.
    for script in [
        Script::new(&["AUTH PLAIN"]).on("AUTH", Act::Say("535 5.7.8 No")),
        Script::new(&["AUTH GSSAPI"]),
        Script::default(),
    ] {
        let peer = Peer::start(script).await;
        let mut settings = settings(1);
        settings.routes = vec![Route {
            login: login(),
            ..route(&peer, RouteTls::None)
        }];
        let attempt = send(&client(&[], settings), &job(&["bob@b.test"])).await;
        assert_eq!(only(&attempt).0, Fate::Later);
        assert!(only(&attempt).1.starts_with("451 4.7.0"), "{attempt:?}");
        assert!(!only(&attempt).1.contains("secret"));
        assert_eq!(peer.seen.lock().count("MAIL"), 0);
    }
}

#[tokio::test]
async fn lmtp_answers_for_each_recipient() {
    for extensions in [&["PIPELINING"][..], &["PIPELINING", "CHUNKING"]] {
        let mut script = Script::new(extensions)
            .on("RCPT TO:<c@", Act::Say("550 5.1.1 Nobody"))
            .on(".", Act::Say("250 2.0.0 One"))
            .on(".", Act::Say("452 4.2.2 Full"))
            .on(".", Act::Say("250 2.0.0 Three"));
        script.is_lmtp = true;
        let peer = Peer::start(script).await;
        let mut settings = settings(1);
        settings.routes = vec![Route {
            protocol: Protocol::Lmtp,
            ..route(&peer, RouteTls::None)
        }];
        let to = client(&[], settings);
        let attempt = send(&to, &job(&["a@b.test", "b@b.test", "c@b.test", "d@b.test"])).await;
        let mut outcomes = attempt.outcomes.clone();
        outcomes.sort_by_key(|outcome| outcome.at);
        let replies: Vec<&str> = outcomes
            .iter()
            .map(|outcome| outcome.reply.as_str())
            .collect();
        assert_eq!(
            replies,
            [
                "250 2.0.0 One",
                "452 4.2.2 Full",
                "550 5.1.1 Nobody",
                "250 2.0.0 Three"
            ]
        );
        assert_eq!(outcomes[1].fate, Fate::Later);
        assert_eq!(peer.seen.lock().count("LHLO us.example.org"), 1);
    }
}

#[tokio::test]
async fn require_tls_is_kept_or_the_message_comes_back() {
    let certificates = Certificates::new();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, certificates.authority_pem()).expect("not written");
    let (tls, _) = certificates.server(&["127.0.0.1"]);
    let mut required = job(&["bob@b.test"]);
    required.mail_from = address("ann@example.org", &[("REQUIRETLS", None)]);
    let by_route = async |script: Script, how: RouteTls| {
        let peer = Peer::start(script).await;
        let mut settings = settings(peer.port());
        settings.routes = vec![route(&peer, how)];
        let mut parts = parts(Names::of(&[]), settings);
        parts.roots = smtp::client::Roots::of_file(&file).expect("roots");
        let attempt = send(&Client::new(parts).expect("a client"), &required).await;
        let sent = peer
            .seen
            .lock()
            .count("MAIL FROM:<ann@example.org> REQUIRETLS");
        (attempt, sent)
    };
    let (attempt, sent) = by_route(
        Script::new(&["REQUIRETLS"]).with_tls(&tls),
        RouteTls::Required,
    )
    .await;
    assert!(is_accepted(&attempt.outcomes[0]), "{attempt:?}");
    assert_eq!(
        (sent, attempt.hosts[0].tls.as_deref()),
        (1, Some("TLSv1.3, verified"))
    );
    let rows = [
        (
            Script::default().with_tls(&tls),
            RouteTls::Required,
            "550 5.7.30",
        ),
        (
            Script::new(&["REQUIRETLS"]),
            RouteTls::Required,
            "550 5.7.10",
        ),
        (
            Script::new(&["REQUIRETLS"]).with_tls(&certificates.server(&["other"]).0),
            RouteTls::Required,
            "550 5.7.10",
        ),
        (
            Script::new(&["REQUIRETLS"]).with_tls(&tls),
            RouteTls::None,
            "550 5.7.10",
        ),
    ];
    for (script, how, begin) in rows {
        let (attempt, sent) = by_route(script, how).await;
        assert_eq!((only(&attempt).0, sent), (Fate::Refused, 0), "{attempt:?}");
        assert!(only(&attempt).1.starts_with(begin), "{attempt:?}");
    }
    // Nothing vouches for the hosts of a domain whose DNS isn't signed.
    let peer = Peer::start(Script::new(&["REQUIRETLS"]).with_tls(&tls)).await;
    let attempt = send(&client(&[peer.ip()], settings(peer.port())), &required).await;
    assert!(only(&attempt).1.starts_with("550 5.7.10"), "{attempt:?}");
    assert_eq!(peer.seen.lock().connections, 0);
}

#[tokio::test]
async fn an_address_that_is_none_harms_nobody() {
    let peer = Peer::start(Script::new(&["PIPELINING"])).await;
    let to = client(&[peer.ip()], settings(peer.port()));
    let mut job = job(&["bob@b.test", "x"]);
    job.recipients[1].address = EnvelopeAddress::plain("x>\r\nRSET@b.test");
    let attempt = send(&to, &job).await;
    let mut fates: Vec<(usize, bool)> = attempt
        .outcomes
        .iter()
        .map(|o| (o.at, is_accepted(o)))
        .collect();
    fates.sort();
    assert_eq!(fates, [(0, true), (1, false)], "{attempt:?}");
    assert_eq!(peer.seen.lock().count("RSET"), 0);
}

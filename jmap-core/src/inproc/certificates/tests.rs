//! Records, limits, and nodes that work on the same certificate.

use std::{sync::Arc, time::Duration};

use expect_test::{Expect, expect};
use minicbor::bytes::ByteVec;
use store::{
    Record,
    engine::{Engine, MemoryEngine},
    search::{SearchIndex, SearchOptions},
};

use super::*;
use crate::{
    Limits, Parts,
    auth::Secret,
    clock::{TestClock, UtcMillis},
    cluster::Settings,
    directory::tests::Server,
    rng::SeededRng,
};

fn golden<R: Record + PartialEq + std::fmt::Debug>(record: &R, want: Expect) {
    let bytes = record.to_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    want.assert_eq(&hex);
    assert_eq!(&R::from_bytes(b"", &bytes).unwrap(), record);
}

fn certificate(name: &str) -> CertificateRecord {
    CertificateRecord {
        names: vec![name.to_owned(), "b".to_owned()],
        origin: CertificateOrigin::Imported,
        chain: vec![ByteVec::from(vec![1, 2]), ByteVec::from(vec![3])],
        private_key: Secret::new(vec![4, 5]),
        not_before: 6,
        not_after: 7,
        renew_at: Some(8),
        failures: 9,
        next_try: Some(10),
        problem: Some("x".to_owned()),
    }
}

fn challenge(certificate: &str, name: &str, expires: i64) -> Challenge {
    Challenge {
        kind: ChallengeKind::Dns01,
        name: name.to_owned(),
        record: ChallengeRecord {
            certificate: certificate.to_owned(),
            answer: vec![1],
            at: Some("c".to_owned()),
            expires,
        },
    }
}

#[test]
fn records_have_golden_bytes() {
    golden(
        &certificate("a"),
        expect!["8a826161616201824201024103420405060708090a6178"],
    );
    golden(&CertificateRecord::default(), expect!["88800080400000f600"]);
    let account = AcmeAccountRecord {
        url: "u".to_owned(),
        private_key: Secret::new(vec![1]),
        contact: vec!["mailto:a@b".to_owned()],
        created: 2,
    };
    golden(&account, expect!["8461754101816a6d61696c746f3a61406202"]);
    golden(&challenge("a", "b", 3).record, expect!["8461614101616303"]);
}

#[test]
fn no_private_key_is_shown() {
    let mut record = certificate("a");
    record.private_key = Secret::new(b"very secret".to_vec());
    let account = AcmeAccountRecord {
        url: "u".to_owned(),
        private_key: record.private_key.clone(),
        contact: Vec::new(),
        created: 2,
    };
    let shown = format!("{record:?} {account:?}");
    assert!(
        shown.contains("Secret(..)") && !shown.contains("118, 101, 114, 121"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_certificate_comes_goes_and_is_counted() {
    let server = Server::new().await;
    let (core, admin) = (&server.core, &server.admin);
    assert_eq!(core.certificate_changes().await.unwrap(), 0);
    let record = certificate("a.example");
    core.import_certificate(admin, record.clone())
        .await
        .unwrap();
    assert_eq!(core.certificate_changes().await.unwrap(), 1);
    let all = core.certificates(admin).await.unwrap();
    assert_eq!(all, [("a.example".to_owned(), record.clone())]);

    core.renew_certificate(admin, "a.example").await.unwrap();
    let marked = core.certificate(admin, "a.example").await.unwrap().unwrap();
    let of = (marked.renew_at, marked.next_try, marked.failures);
    assert_eq!(of, (Some(0), None, 0));
    assert_eq!(marked.private_key, record.private_key);

    core.remove_certificate(admin, "a.example").await.unwrap();
    assert_eq!(core.certificates(admin).await.unwrap(), []);
    assert_eq!(core.certificate_changes().await.unwrap(), 3);
    for name in ["a.example", ""] {
        let gone = core.remove_certificate(admin, name).await.unwrap_err();
        assert!(matches!(gone, CertificateError::NotFound(_)), "{gone}");
        let gone = core.renew_certificate(admin, name).await.unwrap_err();
        assert!(matches!(gone, CertificateError::NotFound(_)), "{gone}");
    }
    let nameless = CertificateRecord::default();
    let refused = core.import_certificate(admin, nameless).await.unwrap_err();
    assert!(matches!(refused, CertificateError::NoName), "{refused}");
}

#[tokio::test]
async fn only_administrators_do() {
    let server = Server::with_domain().await;
    server.person_with_password("alice@example.org").await;
    let alice = server.login("alice@example.org", crate::directory::tests::PASSWORD);
    let (core, alice) = (&server.core, &alice.await.unwrap());
    let is_forbidden = |error: CertificateError| matches!(error, CertificateError::Forbidden);
    assert!(is_forbidden(core.certificates(alice).await.unwrap_err()));
    assert!(is_forbidden(
        core.certificate(alice, "a").await.unwrap_err()
    ));
    let import = core.import_certificate(alice, certificate("a")).await;
    assert!(is_forbidden(import.unwrap_err()));
    assert!(is_forbidden(
        core.remove_certificate(alice, "a").await.unwrap_err()
    ));
    assert!(is_forbidden(
        core.renew_certificate(alice, "a").await.unwrap_err()
    ));
}

#[tokio::test]
async fn one_too_many() {
    let server = Server::new().await;
    let (core, admin) = (&server.core, &server.admin);
    let small = |name: String| CertificateRecord {
        names: vec![name],
        ..CertificateRecord::default()
    };
    for number in 0..CERTIFICATES_MAX {
        core.import_certificate(admin, small(format!("{number}.example")))
            .await
            .unwrap();
    }
    let more = core.import_certificate(admin, small("more.example".to_owned()));
    let more = more.await.unwrap_err();
    assert!(matches!(more, CertificateError::TooMany(_)), "{more}");
    assert_eq!(
        core.certificates(admin).await.unwrap().len(),
        CERTIFICATES_MAX
    );
    // In place of one that is there.
    core.import_certificate(admin, small("0.example".to_owned()))
        .await
        .unwrap();

    let names = |count: usize| CertificateRecord {
        names: vec!["0.example".to_owned(); count],
        ..CertificateRecord::default()
    };
    core.import_certificate(admin, names(CERTIFICATE_NAMES_MAX))
        .await
        .unwrap();
    let more = core.import_certificate(admin, names(CERTIFICATE_NAMES_MAX + 1));
    let more = more.await.unwrap_err();
    assert!(matches!(more, CertificateError::TooMany(_)), "{more}");

    let large = |octets: usize| CertificateRecord {
        names: vec!["0.example".to_owned()],
        chain: vec![ByteVec::from(vec![0; octets - 1])],
        private_key: Secret::new(vec![0]),
        ..CertificateRecord::default()
    };
    core.import_certificate(admin, large(CERTIFICATE_OCTETS_MAX))
        .await
        .unwrap();
    let more = core.import_certificate(admin, large(CERTIFICATE_OCTETS_MAX + 1));
    let more = more.await.unwrap_err();
    assert!(matches!(more, CertificateError::TooLarge), "{more}");
}

#[test]
fn problems_are_cut() {
    let long = "é".repeat(PROBLEM_CHARS_MAX);
    assert_eq!(short(&long), long);
    assert_eq!(short(&format!("{long}x")), long);
    assert_eq!(short("a\nb\u{1b}"), "a b ");
}

#[tokio::test]
async fn challenges_are_answered_until_they_expire() {
    let server = Server::new().await;
    let core = &server.core;
    let lease = core.lease_certificate("a").await.unwrap().unwrap();
    let now = 1_700_000_000;
    let long = "n".repeat(CHALLENGE_NAME_OCTETS_MAX);
    let longer = "n".repeat(CHALLENGE_NAME_OCTETS_MAX + 1);
    let of_a = [
        challenge("a", "t", now + 60),
        challenge("a", &long, now + 60),
    ];
    core.put_challenges(&lease, &of_a).await.unwrap();
    core.put_challenges(&lease, &[challenge("b", &longer, now + 60)])
        .await
        .unwrap();
    let ask = async |kind, name: &str| core.challenge(kind, name).await.unwrap();
    assert_eq!(
        ask(ChallengeKind::Dns01, "t").await,
        Some(of_a[0].record.clone())
    );
    assert!(ask(ChallengeKind::Dns01, &long).await.is_some());
    assert_eq!(ask(ChallengeKind::Dns01, &longer).await, None);
    assert_eq!(ask(ChallengeKind::Http01, "t").await, None);
    assert_eq!(ask(ChallengeKind::Dns01, "").await, None);
    server.clock.advance(Duration::from_secs(60));
    assert_eq!(ask(ChallengeKind::Dns01, "t").await, None);
    // Whoever has to clear away still finds them.
    let mut found = core.challenges_of("a").await.unwrap();
    found.sort_by_key(|challenge| std::cmp::Reverse(challenge.name.clone()));
    assert_eq!(found, of_a);
    core.remove_challenges(&lease, &of_a).await.unwrap();
    assert_eq!(core.challenges_of("a").await.unwrap(), []);
    assert_eq!(core.challenges_of("b").await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_first_account_counts() {
    let server = Server::new().await;
    let (core, url) = (&server.core, "https://acme.example/directory");
    let account = |url: &str| AcmeAccountRecord {
        url: url.to_owned(),
        private_key: Secret::new(vec![1]),
        contact: Vec::new(),
        created: 0,
    };
    assert_eq!(core.acme_account(url).await.unwrap(), None);
    let kept = core
        .keep_acme_account(url, None, account("1"))
        .await
        .unwrap();
    assert_eq!(kept, account("1"));
    let kept = core
        .keep_acme_account(url, None, account("2"))
        .await
        .unwrap();
    assert_eq!(kept, account("1"));
    core.forget_acme_account(url, &account("2")).await.unwrap();
    assert_eq!(core.acme_account(url).await.unwrap(), Some(account("1")));
    core.forget_acme_account(url, &account("1")).await.unwrap();
    assert_eq!(core.acme_account(url).await.unwrap(), None);
}

/// A node over an engine.
async fn node(
    engine: &Arc<dyn Engine>,
    clock: &Arc<TestClock>,
    folder: &tempfile::TempDir,
    seed: u64,
) -> Core {
    let options = SearchOptions {
        shards: 1,
        ..SearchOptions::default()
    };
    let search = SearchIndex::open(&folder.path().join("search"), &options).unwrap();
    let parts = Parts {
        engine: engine.clone(),
        search: Arc::new(search),
        push: Default::default(),
        clock: clock.clone(),
        rng: Arc::new(SeededRng::new(seed)),
        limits: Limits::default(),
        hostname: "mail.example.org".into(),
    };
    let settings = Settings::new(folder.path().to_owned(), &format!("n{seed}"));
    Core::open_node(parts, settings).await.unwrap()
}

#[tokio::test]
async fn a_node_that_was_taken_for_dead_writes_nothing_more() {
    let engine: Arc<dyn Engine> = MemoryEngine::new();
    let clock = Arc::new(TestClock::new(UtcMillis(1_700_000_000_000)));
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let a = node(&engine, &clock, &folders[0], 1).await;
    let b = node(&engine, &clock, &folders[1], 2).await;
    let lease = a.lease_certificate("x").await.unwrap().unwrap();
    assert!(b.lease_certificate("x").await.unwrap().is_none());
    assert!(b.lease_certificate("y").await.unwrap().is_some());
    let failed = |record: &mut CertificateRecord| record.failures += 1;
    a.change_certificate(&lease, failed).await.unwrap();
    // An operator's change in between is seen, and isn't lost.
    let who = &Caller::server();
    b.renew_certificate(who, "x").await.unwrap();
    a.change_certificate(&lease, failed).await.unwrap();
    let record = b.certificate(who, "x").await.unwrap().unwrap();
    assert_eq!((record.failures, record.renew_at), (1, Some(0)));

    // A goes, and B goes on; what A still has to say comes too late.
    a.leave_cluster().await.unwrap();
    let cluster = b.cluster().unwrap();
    cluster.look_around().await.unwrap();
    assert!(b.lease_certificate("x").await.unwrap().is_some());
    let late = a.change_certificate(&lease, failed).await.unwrap_err();
    assert!(
        matches!(late, CertificateError::Store(store::Error::Conflict)),
        "{late}"
    );
    let late = a
        .put_challenges(&lease, &[challenge("x", "t", i64::MAX)])
        .await;
    assert!(late.is_err());
    let record = b.certificate(who, "x").await.unwrap().unwrap();
    assert_eq!(record.failures, 1);
}

//! What is full, and what is asked of lists.

use jmap_core::{Caller, alert::AlertKind, clock::Clock as _, inproc::backup::OutcomeRecord};

use super::{Looking, blocklist, blocklist::Blocklists, disk};
use crate::{config::Config, tls, wire::clock};

/// One place had another repository before: which one is found first says nothing.
#[tokio::test]
async fn of_several_repositories_at_a_place_the_last_backup_counts() {
    let folder = tempfile::tempdir().unwrap();
    let text = "hostname = \"mail.example.org\"\n[backup]\nto = \"/backups\"\n";
    let config = Config::parse(text, folder.path()).unwrap();
    let place = config.backup.to.as_ref().unwrap().to_string();
    let now = clock().now().seconds();
    let at = |ago: i64| {
        Some(OutcomeRecord {
            at: now - ago,
            sentence: "x".into(),
            ..OutcomeRecord::default()
        })
    };
    let year = 365 * 86_400;
    // Success and failure of two repositories, so long ago.
    let rows = [
        ([Some(year), None], [Some(60), None], None),
        ([Some(year), Some(year / 2)], [Some(60), None], None),
        (
            [Some(60), None],
            [Some(year), Some(30)],
            Some(AlertKind::BackupFailed),
        ),
        (
            [Some(year), None],
            [Some(year / 2), None],
            Some(AlertKind::BackupMissing),
        ),
    ];
    for (one, other, want) in rows {
        for ids in [[1, 2], [2, 1]] {
            let folder = tempfile::tempdir().unwrap();
            let core = tls::tests::core(folder.path()).await;
            for (id, [success, failure]) in ids.into_iter().zip([one, other]) {
                let id = [id; store::keys::REPOSITORY_OCTETS];
                let who = Caller::server();
                let noted = core.note_backup(&who, &id, |record| {
                    record.place = place.clone();
                    record.success = success.and_then(at);
                    record.failure = failure.and_then(at);
                });
                noted.await.unwrap();
            }
            let looking = Looking {
                certificates: tls::tests::open(folder.path(), Vec::new()).await,
                core,
                blocklists: Blocklists::default(),
            };
            let found = looking.backups(&config).await.unwrap();
            let kinds: Vec<AlertKind> = found.iter().map(|of| of.kind).collect();
            assert_eq!(kinds, Vec::from_iter(want), "{one:?} {other:?}");
        }
    }
}

#[test]
fn disks() {
    for (free, all, percent, want) in [
        (10, 100, 90, true),
        (11, 100, 90, false),
        (0, 100, 100, true),
        (1, 100, 100, false),
        (0, 0, 90, false),
        (u64::MAX, u64::MAX, 1, false),
        (0, u64::MAX, 100, true),
    ] {
        assert_eq!(
            disk::is_full(free, all, percent),
            want,
            "{free} {all} {percent}"
        );
    }
}

#[test]
fn questions_to_lists() {
    for (address, want) in [
        ("192.0.2.99", "99.2.0.192.list.example"),
        (
            "2001:db8:1:2:3:4:567:89ab",
            "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.list.example",
        ),
    ] {
        assert_eq!(
            blocklist::question(address.parse().unwrap(), "list.example"),
            want
        );
    }
    for (answer, want) in [
        ("127.0.0.2", true),
        ("127.0.0.11", true),
        ("127.255.255.254", false),
        ("192.0.2.1", false),
        ("::1", false),
    ] {
        assert_eq!(
            blocklist::is_listed(&answer.parse().unwrap()),
            want,
            "{answer}"
        );
    }
}

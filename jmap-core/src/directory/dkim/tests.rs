//! Keys of domains, with a clock that the test moves and a DNS of its own.

use std::{collections::HashSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_lc_rs::{rsa, signature::Ed25519KeyPair};
use expect_test::expect;
use parking_lot::Mutex;
use store::{Record as _, engine::MemoryEngine, keys};

use super::{
    DkimKey, Published, SigningSettings, date,
    records::{DkimAlgorithm, DkimKeyRecord, DkimState},
};
use crate::{
    auth::Secret,
    directory::{DirectoryError, DomainChange, tests::Server},
    work::check::CheckOptions,
};

const DAY: Duration = Duration::from_secs(86_400);

/// The names that are published.
#[derive(Debug, Default)]
struct Zone(Mutex<HashSet<(String, String)>>);

impl Zone {
    fn publish(&self, keys: &[DkimKey]) {
        let records = keys.iter().map(|key| (key.name(), key.txt()));
        self.0.lock().extend(records);
    }
}

#[async_trait]
impl Published for Zone {
    async fn is_published(&self, name: &str, record: &str) -> bool {
        self.0
            .lock()
            .contains(&(name.to_owned(), record.to_owned()))
    }
}

async fn server() -> (Server, Arc<Zone>) {
    let (server, zone) = (Server::new().await, Arc::new(Zone::default()));
    sign_with(&server, &zone);
    server
        .core
        .add_domain(&server.admin, "example.org")
        .await
        .unwrap();
    (server, zone)
}

fn sign_with(server: &Server, zone: &Arc<Zone>) {
    server.core.sign_with(SigningSettings {
        rotate_every: Some(DAY * 90),
        publish_before: DAY * 2,
        publish_after: DAY * 14,
        published: Some(zone.clone()),
    });
}

async fn all(server: &Server, domain: &str) -> Vec<DkimKey> {
    server.core.dkim_keys(&server.admin, domain).await.unwrap()
}

/// Selectors and states.
async fn states(server: &Server) -> Vec<(String, DkimState)> {
    let keys = all(server, "example.org").await;
    keys.into_iter()
        .map(|key| (key.selector, key.record.state))
        .collect()
}

fn rows(rows: &[(&str, DkimState)]) -> Vec<(String, DkimState)> {
    rows.iter()
        .map(|(name, state)| ((*name).to_owned(), *state))
        .collect()
}

/// What a server does hour by hour.
async fn days(server: &Server, count: u32) {
    server.clock.advance(DAY * count);
    server.core.keep_dkim_keys().await.unwrap();
}

#[tokio::test]
async fn a_domain_has_two_keys_from_the_start() {
    let (server, _) = server().await;
    let keys = server.core.signing_keys("Example.ORG.").await.unwrap();
    let [rsa, ed25519] = &keys[..] else {
        panic!("{} keys", keys.len());
    };
    assert_eq!(rsa.name(), "rsa-20231114._domainkey.example.org");
    assert_eq!(ed25519.name(), "ed25519-20231114._domainkey.example.org");
    assert!(
        rsa.txt()
            .starts_with("v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A")
    );
    assert_eq!(ed25519.txt().len(), "v=DKIM1; k=ed25519; p=".len() + 44);
    let private = rsa.record.private_key.expose();
    assert_eq!(
        rsa::KeyPair::from_pkcs8(private)
            .unwrap()
            .public_modulus_len(),
        256
    );
    Ed25519KeyPair::from_pkcs8(ed25519.record.private_key.expose()).unwrap();
    // Invariant 6.
    let shown = format!("{keys:?}");
    assert!(
        shown.contains("Secret(..)") && shown.len() < 3000,
        "{shown}"
    );
}

#[tokio::test]
async fn an_alias_has_its_own_and_they_go_with_the_domain() {
    let (server, _) = server().await;
    let (core, admin) = (&server.core, &server.admin);
    core.add_domain(admin, "example.net").await.unwrap();
    let alias = DomainChange {
        alias_of: Some(Some("example.org".to_owned())),
        ..DomainChange::default()
    };
    core.set_domain(admin, "example.net", alias).await.unwrap();
    let keys = core.signing_keys("example.net").await.unwrap();
    assert_eq!(keys.len(), 2);
    assert!(keys.iter().all(|key| key.domain == "example.net"));
    core.remove_domain(admin, "example.net").await.unwrap();
    assert!(core.signing_keys("example.net").await.unwrap().is_empty());
    let error = core.dkim_keys(admin, "example.net").await.unwrap_err();
    assert!(matches!(error, DirectoryError::NotFound(_)));
    assert_eq!(all(&server, "example.org").await.len(), 2);
    let report = core.check(CheckOptions::default(), &|_| {}).await.unwrap();
    assert_eq!(report.problems, []);
}

#[tokio::test]
async fn a_domain_of_older_data_gets_keys_with_the_first_round() {
    let server = Server::with_domain().await;
    assert!(all(&server, "example.org").await.is_empty());
    server.core.keep_dkim_keys().await.unwrap();
    assert!(all(&server, "example.org").await.is_empty());
    sign_with(&server, &Arc::default());
    server.core.keep_dkim_keys().await.unwrap();
    assert_eq!(
        server.core.signing_keys("example.org").await.unwrap().len(),
        2
    );
}

#[tokio::test]
async fn keys_are_replaced_with_overlap() {
    use DkimState::{Active, Retired, Waiting};
    let (server, zone) = server().await;
    let first = [("ed25519-20231114", Active), ("rsa-20231114", Active)];
    days(&server, 89).await;
    assert_eq!(states(&server).await, rows(&first));
    // The next pair is made, and doesn't sign yet.
    days(&server, 1).await;
    let next = [
        ("ed25519-20231114", Active),
        ("ed25519-20240212", Waiting),
        ("rsa-20231114", Active),
        ("rsa-20240212", Waiting),
    ];
    assert_eq!(states(&server).await, rows(&next));
    // Nor while it isn't published, however long that takes; and no third pair is made.
    days(&server, 200).await;
    assert_eq!(states(&server).await, rows(&next));
    let signing = server.core.signing_keys("example.org").await.unwrap();
    assert!(
        signing
            .iter()
            .all(|key| key.selector.ends_with("-20231114"))
    );
    // Half of it is not enough.
    let mut keys = all(&server, "example.org").await;
    keys.retain(|key| key.record.state == Waiting);
    zone.publish(&keys[..1]);
    days(&server, 1).await;
    assert_eq!(states(&server).await, rows(&next));
    zone.publish(&keys);
    days(&server, 1).await;
    let retiring = [
        ("ed25519-20231114", Retired),
        ("ed25519-20240212", Active),
        ("rsa-20231114", Retired),
        ("rsa-20240212", Active),
    ];
    assert_eq!(states(&server).await, rows(&retiring));
    days(&server, 13).await;
    assert_eq!(states(&server).await, rows(&retiring));
    days(&server, 1).await;
    let second = [("ed25519-20240212", Active), ("rsa-20240212", Active)];
    assert_eq!(states(&server).await, rows(&second));
}

#[tokio::test]
async fn a_new_key_waits_also_when_it_is_published_at_once() {
    let (server, zone) = server().await;
    days(&server, 90).await;
    zone.publish(&all(&server, "example.org").await);
    days(&server, 1).await;
    let waiting = |states: Vec<(String, DkimState)>| {
        states
            .into_iter()
            .filter(|(_, state)| *state == DkimState::Waiting)
            .count()
    };
    assert_eq!(waiting(states(&server).await), 2);
    days(&server, 1).await;
    assert_eq!(waiting(states(&server).await), 0);
}

#[tokio::test]
async fn an_operator_replaces_keys_at_will() {
    use DkimState::{Active, Retired};
    let (server, _) = server().await;
    let (core, admin) = (&server.core, &server.admin);
    let nothing = core.activate_dkim_keys(admin, "example.org").await;
    assert!(matches!(nothing, Err(DirectoryError::NotFound(_))));
    let waiting = core.prepare_dkim_keys(admin, "example.org").await.unwrap();
    let names: Vec<&str> = waiting.iter().map(|key| &*key.selector).collect();
    // On the same day.
    assert_eq!(names, ["ed25519-20231114-2", "rsa-20231114-2"]);
    // Again: those that wait.
    assert_eq!(
        core.prepare_dkim_keys(admin, "example.org").await.unwrap(),
        waiting
    );
    let active = core.activate_dkim_keys(admin, "example.org").await.unwrap();
    assert_eq!(active.len(), 2);
    let want = [
        ("ed25519-20231114", Retired),
        ("ed25519-20231114-2", Active),
        ("rsa-20231114", Retired),
        ("rsa-20231114-2", Active),
    ];
    assert_eq!(states(&server).await, rows(&want));
}

#[tokio::test]
async fn a_key_that_does_not_sign_can_be_removed() {
    let (server, _) = server().await;
    let (core, admin) = (&server.core, &server.admin);
    let remove = async |selector: &str| core.remove_dkim_key(admin, "Example.ORG", selector).await;
    for key in all(&server, "example.org").await {
        let refused = remove(&key.selector).await;
        assert!(
            matches!(refused, Err(DirectoryError::InUse(_))),
            "{refused:?}"
        );
    }
    let refused = remove("none").await;
    assert!(matches!(refused, Err(DirectoryError::NotFound(_))));
    let waiting = core.prepare_dkim_keys(admin, "example.org").await.unwrap();
    assert_eq!(waiting.len(), 2);
    remove(&waiting[0].selector).await.unwrap();
    core.activate_dkim_keys(admin, "example.org").await.unwrap();
    let retired = all(&server, "example.org").await;
    let retired = retired
        .iter()
        .find(|key| key.record.state == DkimState::Retired);
    remove(&retired.unwrap().selector).await.unwrap();
    let left = states(&server).await;
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left.iter().all(|(_, state)| *state == DkimState::Active));
}

#[tokio::test]
async fn two_nodes_make_one_pair() {
    let engine = MemoryEngine::new();
    let (one, two) = (
        Server::over(engine.clone(), 1).await,
        Server::over(engine.clone(), 2).await,
    );
    let zone = Arc::default();
    sign_with(&one, &zone);
    one.core
        .add_domain(&one.admin, "example.org")
        .await
        .unwrap();
    sign_with(&two, &zone);
    for server in [&one, &two] {
        server.clock.advance(DAY * 90);
    }
    let (first, second) = tokio::join!(one.core.keep_dkim_keys(), two.core.keep_dkim_keys());
    first.unwrap();
    second.unwrap();
    assert_eq!(states(&one).await.len(), 4);
    // Without the lease as well: the second finds that it is done.
    let both = tokio::join!(
        one.core.prepare_dkim_keys(&one.admin, "example.org"),
        two.core.prepare_dkim_keys(&two.admin, "example.org"),
    );
    assert_eq!(both.0.unwrap(), both.1.unwrap());
    assert_eq!(states(&two).await.len(), 4);
}

#[tokio::test]
async fn a_key_without_its_domain_is_a_problem() {
    let (server, _) = server().await;
    let mut batch = store::engine::Batch::new();
    batch.delete(keys::domain("example.org"));
    server.core.engine.commit(batch).await.unwrap();
    let report = server
        .core
        .check(CheckOptions::default(), &|_| {})
        .await
        .unwrap();
    let sentences: Vec<String> = report.problems.into_iter().map(|p| p.sentence).collect();
    assert_eq!(
        sentences,
        [
            "the DKIM key ed25519-20231114 is of example.org, whose mail isn't kept here",
            "the DKIM key rsa-20231114 is of example.org, whose mail isn't kept here",
        ]
    );
}

#[test]
fn golden() {
    let record = DkimKeyRecord {
        algorithm: DkimAlgorithm::Ed25519,
        private_key: Secret::new(vec![1, 2, 3]),
        public_key: vec![4, 5],
        created: 1_700_000_000,
        state: DkimState::Retired,
        since: 1_700_000_001,
    };
    let bytes = record.to_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    expect!["8601430102034204051a6553f100021a6553f101"].assert_eq(&hex);
    assert_eq!(DkimKeyRecord::from_bytes(b"", &bytes).unwrap(), record);
}

#[test]
fn days_have_names() {
    assert_eq!(date(1_700_000_000), (2023, 11, 14));
    assert_eq!(date(951_782_400), (2000, 2, 29));
}

mod allowance;
mod factors;
mod golden;
mod limits;
mod login;
mod outside;
mod resolve;
mod scopes;
mod scram;

use std::{net::IpAddr, sync::Arc, time::Duration};

use jmap_types::AccountId;
use store::{
    engine::{Engine, MemoryEngine},
    search::{SearchIndex, SearchOptions},
};

use super::{DirectoryError, DomainChange, NewAccount};
use crate::{
    Caller, Core, Limits, Parts,
    auth::{AuthError, Credentials, Origin, Protocol, Secret},
    clock::{TestClock, UtcMillis},
    rng::SeededRng,
};

pub(crate) const PASSWORD: &str = "correct horse";

/// A server over an engine, with a clock that the test moves.
pub(crate) struct Server {
    pub core: Core,
    pub clock: Arc<TestClock>,
    pub admin: Caller,
    _search: tempfile::TempDir,
}

impl Server {
    pub async fn new() -> Self {
        Self::over(MemoryEngine::new(), 1).await
    }

    pub async fn over(engine: Arc<dyn Engine>, seed: u64) -> Self {
        Self::with_limits(engine, seed, Limits::default()).await
    }

    pub async fn with_limits(engine: Arc<dyn Engine>, seed: u64, limits: Limits) -> Self {
        let clock = Arc::new(TestClock::new(UtcMillis(1_700_000_000_000)));
        let folder = tempfile::tempdir().unwrap();
        let search = SearchIndex::open(
            folder.path(),
            &SearchOptions {
                shards: 1,
                ..SearchOptions::default()
            },
        );
        let parts = Parts {
            engine,
            search: Arc::new(search.unwrap()),
            push: Default::default(),
            clock: clock.clone(),
            rng: Arc::new(SeededRng::new(seed)),
            limits,
            hostname: "mail.example.org".into(),
        };
        let core = Core::open(parts).await.unwrap();
        Self {
            core,
            clock,
            admin: Caller::server(),
            _search: folder,
        }
    }

    /// With the domain example.org.
    pub async fn with_domain() -> Self {
        let server = Self::new().await;
        server
            .core
            .add_domain(&server.admin, "example.org")
            .await
            .unwrap();
        server
    }

    pub async fn person(&self, name: &str) -> AccountId {
        let account = self
            .core
            .add_account(&self.admin, NewAccount::person(name, None))
            .await;
        account.unwrap().id
    }

    pub async fn person_with_password(&self, name: &str) -> AccountId {
        let new = NewAccount::person(name, Some(Secret::from(PASSWORD)));
        self.core.add_account(&self.admin, new).await.unwrap().id
    }

    pub async fn login(&self, login: &str, password: &str) -> Result<Caller, AuthError> {
        let credentials = Credentials::Password {
            login: login.into(),
            password: Secret::from(password),
        };
        self.core.login(credentials, origin()).await
    }

    pub async fn bearer(&self, token: &Secret<String>) -> Result<Caller, AuthError> {
        self.core
            .login(
                Credentials::Bearer {
                    authzid: None,
                    token: token.clone(),
                },
                origin(),
            )
            .await
    }

    /// A login by another protocol.
    pub async fn login_by(
        &self,
        protocol: Protocol,
        credentials: Credentials,
    ) -> Result<Caller, AuthError> {
        let origin = Origin {
            protocol,
            ..origin()
        };
        self.core.login(credentials, origin).await
    }

    pub fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

fn origin() -> Origin {
    Origin {
        ip: IpAddr::from([192, 0, 2, 7]),
        protocol: Protocol::Jmap,
        tls: true,
    }
}

#[tokio::test]
async fn names_are_taken_once() {
    let server = Server::with_domain().await;
    let (core, admin) = (&server.core, &server.admin);
    let ann = server.person("Ann@Example.ORG").await;
    assert_eq!(ann, AccountId::new(1));
    for taken in ["ann@example.org", "ANN@example.org.", "\"ann\"@example.org"] {
        let result = core
            .add_account(admin, NewAccount::person(taken, None))
            .await;
        assert!(
            matches!(result, Err(DirectoryError::AlreadyExists(_))),
            "{taken}: {result:?}"
        );
    }
    let bob = server.person("bob@example.org").await;
    core.add_alias(admin, bob, "robert@example.org")
        .await
        .unwrap();
    for result in [
        core.add_alias(admin, ann, "robert@example.org")
            .await
            .map(drop),
        core.add_domain(admin, "EXAMPLE.org").await.map(drop),
        core.rename_account(admin, ann, "bob@example.org")
            .await
            .map(drop),
    ] {
        assert!(
            matches!(result, Err(DirectoryError::AlreadyExists(_))),
            "{result:?}"
        );
    }
    let elsewhere = core
        .add_account(admin, NewAccount::person("eve@example.com", None))
        .await;
    assert!(
        matches!(elsewhere, Err(DirectoryError::NotFound(_))),
        "{elsewhere:?}"
    );
}

#[tokio::test]
async fn domains_have_one_form() {
    let rows = [
        ("Example.ORG", Ok("example.org")),
        ("bücher.example", Ok("xn--bcher-kva.example")),
        ("BÜCHER.example", Ok("xn--bcher-kva.example")),
        ("xn--bcher-kva.example.", Ok("xn--bcher-kva.example")),
        ("", Err(())),
        (".", Err(())),
        ("a..b", Err(())),
        ("-a.example", Err(())),
        ("a_b.example", Err(())),
        ("192.0.2.1", Err(())),
        ("[192.0.2.1]", Err(())),
        ("xn--zzzzzzzz\u{fffd}.example", Err(())),
        ("a b.example", Err(())),
    ];
    for (text, want) in rows {
        let got = super::names::domain(text);
        assert_eq!(got.as_deref().map_err(|_| ()), want, "{text}");
    }
    assert!(super::names::domain(&"a.".repeat(200)).is_err());
}

#[tokio::test]
async fn a_domain_in_use_stays() {
    let server = Server::with_domain().await;
    let (core, admin) = (&server.core, &server.admin);
    let ann = server.person("ann@example.org").await;
    core.add_domain(admin, "example.net").await.unwrap();
    let alias = DomainChange {
        alias_of: Some(Some("example.org".into())),
        ..DomainChange::default()
    };
    core.set_domain(admin, "example.net", alias).await.unwrap();
    let in_use = |result: Result<(), DirectoryError>| {
        assert!(matches!(result, Err(DirectoryError::InUse(_))))
    };
    in_use(core.remove_domain(admin, "example.org").await);
    core.remove_account(admin, ann).await.unwrap();
    in_use(core.remove_domain(admin, "example.org").await);
    core.remove_domain(admin, "example.net").await.unwrap();
    core.remove_domain(admin, "example.org").await.unwrap();
    assert!(core.domains(admin).await.unwrap().is_empty());
}

#[tokio::test]
async fn users_change_nothing() {
    let server = Server::with_domain().await;
    let core = &server.core;
    let bob = server.person("bob@example.org").await;
    server.person_with_password("ann@example.org").await;
    let ann = &server.login("ann@example.org", PASSWORD).await.unwrap();
    for result in [
        core.add_domain(ann, "example.net").await.map(drop),
        core.remove_domain(ann, "example.org").await,
        core.add_account(ann, NewAccount::person("eve@example.org", None))
            .await
            .map(drop),
        core.remove_account(ann, bob).await,
        core.set_disabled(ann, bob, true).await.map(drop),
        core.set_password(ann, bob, &Secret::from("another horse"))
            .await,
        core.add_token(ann, bob, "", None).await.map(drop),
        core.accounts(ann).await.map(drop),
    ] {
        assert!(
            matches!(result, Err(DirectoryError::Forbidden)),
            "{result:?}"
        );
    }
    core.add_token(ann, ann.account, "mine", None)
        .await
        .unwrap();
}

#[tokio::test]
async fn two_nodes_give_a_name_once() {
    for seed in 0..8 {
        let engine = MemoryEngine::new();
        let (one, two) = (
            Server::over(engine.clone(), seed).await,
            Server::over(engine, seed + 100).await,
        );
        one.core
            .add_domain(&one.admin, "example.org")
            .await
            .unwrap();
        let add = |server: &Server, name: &str| {
            let (core, admin) = (server.core.clone(), server.admin.clone());
            let new = NewAccount::person(name, None);
            tokio::spawn(async move {
                core.add_account(&admin, new)
                    .await
                    .map(|account| account.id)
            })
        };
        let (a, b) = (add(&one, "ann@example.org"), add(&two, "ann@example.org"));
        let (c, d) = (add(&one, "bob@example.org"), add(&two, "cid@example.org"));
        let same = [a.await.unwrap(), b.await.unwrap()];
        assert_eq!(
            same.iter().filter(|result| result.is_ok()).count(),
            1,
            "seed {seed}: {same:?}"
        );
        let mut ids: Vec<AccountId> = same.into_iter().flatten().collect();
        ids.extend([c.await.unwrap().unwrap(), d.await.unwrap().unwrap()]);
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 3, "seed {seed}");
    }
}

#[tokio::test]
async fn a_new_account_has_its_mailboxes() {
    let server = Server::with_domain().await;
    let ann = server.person("ann@example.org").await;
    let handle = server.core.accounts.handle(ann);
    let view = handle.view().await.unwrap();
    assert_eq!(
        view.mailbox_by_role("inbox"),
        Some(crate::mail::write::INBOX)
    );
}

#[tokio::test]
async fn a_removed_account_leaves_nothing() {
    let server = Server::with_domain().await;
    let (core, admin) = (&server.core, &server.admin);
    let ann = server.person_with_password("ann@example.org").await;
    let token = core
        .add_token(admin, ann, "phone", None)
        .await
        .unwrap()
        .secret;
    let group = core
        .add_account(admin, NewAccount::group("team@example.org"))
        .await
        .unwrap()
        .id;
    core.add_member(admin, group, ann).await.unwrap();
    let caller = server.bearer(&token).await.unwrap();
    core.write_blob(&caller, ann, "octets".into(), "text/plain")
        .await
        .unwrap();
    core.remove_account(admin, ann).await.unwrap();
    assert_eq!(server.bearer(&token).await.unwrap_err(), AuthError::Invalid);
    assert!(core.members(admin, group).await.unwrap().is_empty());
    let number = ann.number().to_be_bytes();
    let rows = core.rows(vec![0]..vec![0xff], true).await.unwrap();
    let left: Vec<_> = rows
        .iter()
        .filter(|(key, _)| key.get(1..9) == Some(&number[..]) && key[0] != 0x03 && key[0] != 0x04)
        .collect();
    assert!(left.is_empty(), "{left:?}");
    // Ids are never given again, names are.
    assert_eq!(server.person("ann@example.org").await, AccountId::new(3));
}

#[tokio::test]
async fn the_first_administrator_brings_the_domain() {
    let server = Server::new().await;
    let admin = server
        .core
        .bootstrap_admin("admin@example.org", Secret::from(PASSWORD))
        .await
        .unwrap();
    let caller = server.login("admin@example.org", PASSWORD).await.unwrap();
    assert_eq!(
        (caller.account, caller.role),
        (admin.id, crate::Role::Administrator)
    );
    server
        .core
        .bootstrap_admin("root", Secret::from(PASSWORD))
        .await
        .unwrap();
    assert!(server.login("ROOT", PASSWORD).await.is_ok());
    let weak = server
        .core
        .bootstrap_admin("other", Secret::from("other"))
        .await;
    assert!(
        matches!(weak, Err(DirectoryError::WeakPassword(_))),
        "{weak:?}"
    );
}

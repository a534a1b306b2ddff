//! People of a directory beside the internal one, who have a second factor here.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use async_trait::async_trait;
use jmap_types::AccountId;
use parking_lot::Mutex;

use super::Server;
use crate::{
    Caller, Role,
    auth::{AuthError, Credentials, Protocol, Scopes, Secret, totp},
    directory::{
        DomainChange, Grant,
        external::{Away, Chosen, ExternalDirectory, GoodToken, Person, ROLE_FOR},
        names::Address,
    },
    inproc::deliver::RecipientError,
};

const NAME: &str = "ann@example.org";
const PASSWORD: &str = "known elsewhere";
const TOKEN: &str = "made.elsewhere";

/// It knows ann.
#[derive(Debug, Default)]
struct Elsewhere {
    /// What it says of her role; `None`: it tells none.
    role: Mutex<Option<Role>>,
    /// Her addresses, in the order of the day; none: the one that she has.
    addresses: Mutex<Vec<&'static str>>,
    /// She isn't there any more.
    is_gone: AtomicBool,
    is_away: AtomicBool,
}

#[async_trait]
impl ExternalDirectory for Elsewhere {
    fn name(&self) -> &str {
        "elsewhere"
    }

    async fn check_password(
        &self,
        _: &Address,
        password: &Secret<String>,
    ) -> Result<Option<Person>, Away> {
        Ok(self.ann().filter(|_| password.expose() == PASSWORD))
    }

    async fn find(&self, _: &Address) -> Result<Option<Person>, Away> {
        match self.is_away.load(Relaxed) {
            true => Err(Away("it is away".to_owned())),
            false => Ok(self.ann()),
        }
    }

    fn tells_roles(&self) -> bool {
        self.role.lock().is_some()
    }

    async fn check_token(&self, token: &Secret<String>) -> Result<Option<GoodToken>, Away> {
        let ann = self.ann().filter(|_| token.expose() == TOKEN);
        Ok(ann.map(|person| GoodToken {
            person,
            expires: None,
        }))
    }
}

impl Elsewhere {
    async fn server() -> Server {
        Self::telling(None).await.0
    }

    async fn telling(role: Option<Role>) -> (Server, Arc<Self>) {
        let server = Server::with_domain().await;
        let directory = Arc::new(Self::default());
        *directory.role.lock() = role;
        server.core.use_directories(vec![Chosen {
            directory: directory.clone(),
            domains: vec!["example.org".to_owned()],
        }]);
        (server, directory)
    }

    fn ann(&self) -> Option<Person> {
        let addresses = self.addresses.lock();
        let mut addresses = addresses.iter().map(|of| (*of).to_owned());
        (!self.is_gone.load(Relaxed)).then(|| Person {
            address: addresses.next().unwrap_or_else(|| NAME.to_owned()),
            aliases: addresses.collect(),
            role: *self.role.lock(),
            ..Person::default()
        })
    }
}

/// What ann's device shows, `steps` from now.
async fn code(server: &Server, account: AccountId, steps: i64) -> Secret<String> {
    let records = server.core.credential_records(account).await.unwrap();
    let totp = records.iter().find_map(|(_, record)| record.totp.clone());
    let step = server.core.clock.now().seconds() / 30 + steps;
    let secret = totp.unwrap().secret;
    Secret::new(totp::hotp(secret.expose(), u64::try_from(step).unwrap()))
}

async fn enrol(server: &Server, who: &Caller) -> Secret<String> {
    server.core.enrol_totp(who).await.unwrap();
    let shown = code(server, who.account, 0).await;
    server.core.confirm_totp(who, &shown).await.unwrap();
    shown
}

#[tokio::test]
async fn their_password_alone_is_not_enough_either() {
    let server = Elsewhere::server().await;
    let who = server.login(NAME, PASSWORD).await.unwrap();
    let shown = enrol(&server, &who).await;
    let with = |code: Secret<String>| Credentials::Factors {
        login: NAME.into(),
        password: Secret::from(PASSWORD),
        code,
    };
    // Twice: the second time it is remembered that the password is right.
    for _ in 0..2 {
        let alone = server.login(NAME, PASSWORD).await;
        assert_eq!(alone.unwrap_err(), AuthError::SecondFactor);
    }
    // A code that was used, and one that wasn't.
    let again = server.login_by(Protocol::OAuth, with(shown)).await;
    assert_eq!(again.unwrap_err(), AuthError::Invalid);
    let next = code(&server, who.account, 1).await;
    server.login_by(Protocol::OAuth, with(next)).await.unwrap();
}

#[tokio::test]
async fn their_tokens_open_mail_alone() {
    let server = Elsewhere::server().await;
    let by = async |protocol| {
        let token = Secret::from(TOKEN);
        let shown = Credentials::Bearer {
            authzid: None,
            token,
        };
        server.login_by(protocol, shown).await
    };
    for protocol in [
        Protocol::Imap,
        Protocol::Pop3,
        Protocol::Submission,
        Protocol::Jmap,
        Protocol::ManageSieve,
        Protocol::Admin,
        Protocol::OAuth,
        Protocol::Dav,
    ] {
        let is_mail = !matches!(protocol, Protocol::Admin | Protocol::OAuth | Protocol::Dav);
        // Twice: the second time it is remembered.
        for _ in 0..2 {
            match by(protocol).await {
                Ok(who) => {
                    assert!(is_mail, "{protocol}");
                    assert!(!who.scopes().contains(Scopes::API));
                }
                Err(error) => {
                    assert!(!is_mail, "{protocol}: {error}");
                    assert_eq!(error, AuthError::OutOfScope);
                }
            }
        }
    }
    // A password of here, and then a second factor with it, which a token of theirs has not seen.
    let who = by(Protocol::Jmap).await.unwrap();
    let own = Secret::from("correct horse");
    let set = server.core.set_password(&server.admin, who.account, &own);
    set.await.unwrap();
    assert!(by(Protocol::Jmap).await.is_ok());
    let who = server.login(NAME, own.expose()).await.unwrap();
    enrol(&server, &who).await;
    for _ in 0..2 {
        let refused = by(Protocol::Jmap).await;
        assert_eq!(refused.unwrap_err(), AuthError::SecondFactor);
    }
}

#[tokio::test]
async fn a_role_of_theirs_goes_with_its_person() {
    let (server, directory) = Elsewhere::telling(Some(Role::Administrator)).await;
    let core = &server.core;
    let who = server.login(NAME, PASSWORD).await.unwrap();
    assert_eq!(who.role, Role::Administrator);
    let token = core.add_token(&server.admin, who.account, "a script", None);
    let token = token.await.unwrap().secret;
    // A password of here changes nothing about where the role is from.
    let own = Secret::from("correct horse");
    core.set_password(&server.admin, who.account, &own)
        .await
        .unwrap();
    let by_token = async |protocol| {
        let token = token.clone();
        let shown = Credentials::Bearer {
            authzid: None,
            token,
        };
        server.login_by(protocol, shown).await.map(|who| who.role)
    };
    let by_password = async || {
        let shown = Credentials::Password {
            login: NAME.into(),
            password: own.clone(),
        };
        let who = server.login_by(Protocol::Admin, shown).await;
        who.map(|who| who.role)
    };
    assert_eq!(by_token(Protocol::Admin).await, Ok(Role::Administrator));
    // It was asked a moment ago.
    directory.is_away.store(true, Relaxed);
    assert_eq!(by_token(Protocol::Admin).await, Ok(Role::Administrator));
    server.clock.advance(ROLE_FOR);
    let unavailable = Err(AuthError::Unavailable);
    assert_eq!(by_token(Protocol::Admin).await, unavailable);
    assert_eq!(by_password().await, unavailable);
    // Mail doesn't depend on it.
    assert!(by_token(Protocol::Jmap).await.is_ok());
    directory.is_away.store(false, Relaxed);
    *directory.role.lock() = Some(Role::HelpDesk);
    assert_eq!(by_password().await, Ok(Role::HelpDesk));
    directory.is_gone.store(true, Relaxed);
    server.clock.advance(ROLE_FOR);
    assert_eq!(by_token(Protocol::Admin).await, Ok(Role::User));
    assert_eq!(by_password().await, Ok(Role::User));
    // Nor does it come back by itself.
    directory.is_gone.store(false, Relaxed);
    assert_eq!(by_token(Protocol::Admin).await, Ok(Role::User));
}

#[tokio::test]
async fn a_role_that_was_given_here_stays() {
    let (server, directory) = Elsewhere::telling(Some(Role::User)).await;
    directory.is_gone.store(true, Relaxed);
    let core = &server.core;
    // The first administrator, whom the directory doesn't know.
    core.bootstrap_admin("root@example.org", Secret::from("correct horse"))
        .await
        .unwrap();
    let role = async |login: &str| {
        let shown = Credentials::Password {
            login: login.into(),
            password: Secret::from("correct horse"),
        };
        let who = server.login_by(Protocol::Admin, shown).await;
        who.map(|who| who.role)
    };
    assert_eq!(role("root@example.org").await, Ok(Role::Administrator));
    let bob = server.person_with_password("bob@example.org").await;
    let grant = Grant {
        role: Role::HelpDesk,
        domains: Vec::new(),
    };
    core.set_role(&server.admin, bob, grant).await.unwrap();
    assert_eq!(role("bob@example.org").await, Ok(Role::HelpDesk));
}

#[tokio::test]
async fn who_looks_after_domains_goes_on_to() {
    let (server, directory) = Elsewhere::telling(Some(Role::User)).await;
    let who = server.login(NAME, PASSWORD).await.unwrap();
    let grant = Grant {
        role: Role::DomainAdministrator,
        domains: vec!["example.org".to_owned()],
    };
    let given = server.core.set_role(&server.admin, who.account, grant);
    given.await.unwrap();
    // What was right a moment ago is not remembered any more.
    server.clock.advance(ROLE_FOR);
    let who = server.login(NAME, PASSWORD).await.unwrap();
    assert_eq!(who.role, Role::DomainAdministrator);
    assert_eq!(who.domains, ["example.org"]);
    // More than that counts.
    *directory.role.lock() = Some(Role::Administrator);
    server.clock.advance(2 * ROLE_FOR);
    let who = server.login(NAME, PASSWORD).await.unwrap();
    assert_eq!(who.role, Role::Administrator);
}

#[tokio::test]
async fn addresses_in_another_order_are_of_the_same_person() {
    let (server, directory) = Elsewhere::telling(None).await;
    let told = |addresses: &[&'static str]| {
        *directory.addresses.lock() = addresses.to_vec();
        // What was right a moment ago is not remembered any more.
        server.clock.advance(ROLE_FOR);
    };
    let other = "a.miller@example.org";
    told(&[NAME, other]);
    let account = server.login(NAME, PASSWORD).await.unwrap().account;
    told(&[other, NAME]);
    for login in [NAME, other] {
        let who = server.login(login, PASSWORD).await.unwrap();
        assert_eq!((who.account, who.name.as_str()), (account, NAME), "{login}");
    }
    // The address of somebody else here is theirs, whatever else is told.
    let bob = server.person("bob@example.org").await;
    let added = server
        .core
        .add_alias(&server.admin, bob, "b.ann@example.org");
    added.await.unwrap();
    told(&["b.ann@example.org", NAME]);
    let refused = server.login("b.ann@example.org", PASSWORD).await;
    assert_eq!(refused.unwrap_err(), AuthError::Invalid);
    assert!(server.login(NAME, PASSWORD).await.is_err());
}

/// Whoever is asked for is known, and all have an alias together.
#[derive(Debug)]
struct Everybody;

fn sharer(address: &Address) -> Person {
    Person {
        address: address.to_string(),
        aliases: vec!["all@example.org".to_owned()],
        ..Person::default()
    }
}

#[async_trait]
impl ExternalDirectory for Everybody {
    fn name(&self) -> &str {
        "everybody"
    }

    async fn check_password(
        &self,
        address: &Address,
        _: &Secret<String>,
    ) -> Result<Option<Person>, Away> {
        Ok(Some(sharer(address)))
    }

    async fn find(&self, address: &Address) -> Result<Option<Person>, Away> {
        Ok(Some(sharer(address)))
    }

    async fn check_token(&self, _: &Secret<String>) -> Result<Option<GoodToken>, Away> {
        Ok(None)
    }
}

async fn with_everybody() -> Server {
    let server = Server::with_domain().await;
    server.core.use_directories(vec![Chosen {
        directory: Arc::new(Everybody),
        domains: vec!["example.org".to_owned()],
    }]);
    server
}

#[tokio::test]
async fn an_alias_of_somebody_else_changes_nothing() {
    let server = with_everybody().await;
    for name in [NAME, "bob@example.org"] {
        server.login(name, PASSWORD).await.unwrap();
    }
    let generation = server.core.directory.generation();
    // Another password isn't remembered, and the directory is asked.
    server.login("bob@example.org", "another").await.unwrap();
    assert_eq!(server.core.directory.generation(), generation);
}

#[tokio::test]
async fn who_is_known_waits_for_room() {
    let server = with_everybody().await;
    server.login(NAME, PASSWORD).await.unwrap();
    let full = DomainChange {
        accounts_max: Some(Some(1)),
        ..DomainChange::default()
    };
    let (core, admin) = (&server.core, &server.admin);
    core.set_domain(admin, "example.org", full).await.unwrap();
    let generation = core.directory.generation();
    let answer = core.resolve_recipient("bob@example.org").await;
    assert_eq!(answer, Err(RecipientError::Temporary));
    assert_eq!(core.directory.generation(), generation);
    let refused = server.login("bob@example.org", PASSWORD).await;
    assert_eq!(refused.unwrap_err(), AuthError::Unavailable);
}

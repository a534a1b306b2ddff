//! People of a directory beside the internal one, who have a second factor here.

use std::sync::Arc;

use async_trait::async_trait;

use super::Server;
use crate::{
    auth::{AuthError, Credentials, Protocol, Secret, totp},
    directory::{
        DomainChange,
        external::{Away, Chosen, ExternalDirectory, GoodToken, Person},
        names::Address,
    },
    inproc::deliver::RecipientError,
};

const NAME: &str = "ann@example.org";
const PASSWORD: &str = "known elsewhere";

/// It knows ann.
#[derive(Debug)]
struct Elsewhere;

fn ann() -> Person {
    Person {
        address: NAME.to_owned(),
        ..Person::default()
    }
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
        Ok((password.expose() == PASSWORD).then(ann))
    }

    async fn find(&self, _: &Address) -> Result<Option<Person>, Away> {
        Ok(Some(ann()))
    }

    async fn check_token(&self, _: &Secret<String>) -> Result<Option<GoodToken>, Away> {
        Ok(None)
    }
}

#[tokio::test]
async fn their_password_alone_is_not_enough_either() {
    let server = Server::with_domain().await;
    server.core.use_directories(vec![Chosen {
        directory: Arc::new(Elsewhere),
        domains: vec!["example.org".to_owned()],
    }]);
    let who = server.login(NAME, PASSWORD).await.unwrap();
    server.core.enrol_totp(&who).await.unwrap();
    let code = |steps: i64| {
        let server = &server;
        let account = who.account;
        async move {
            let records = server.core.credential_records(account).await.unwrap();
            let totp = records.iter().find_map(|(_, record)| record.totp.clone());
            let step = server.core.clock.now().seconds() / 30 + steps;
            let secret = totp.unwrap().secret;
            Secret::new(totp::hotp(secret.expose(), u64::try_from(step).unwrap()))
        }
    };
    let shown = code(0).await;
    server.core.confirm_totp(&who, &shown).await.unwrap();
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
    let next = code(1).await;
    server.login_by(Protocol::OAuth, with(next)).await.unwrap();
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

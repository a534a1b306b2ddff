//! People of a directory beside the internal one, who have a second factor here.

use std::sync::Arc;

use async_trait::async_trait;
use jmap_types::AccountId;

use super::Server;
use crate::{
    Caller,
    auth::{AuthError, Credentials, Protocol, Scopes, Secret, totp},
    directory::{
        external::{Away, Chosen, ExternalDirectory, GoodToken, Person},
        names::Address,
    },
};

const NAME: &str = "ann@example.org";
const PASSWORD: &str = "known elsewhere";
const TOKEN: &str = "made.elsewhere";

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

    async fn check_token(&self, token: &Secret<String>) -> Result<Option<GoodToken>, Away> {
        Ok((token.expose() == TOKEN).then(|| GoodToken {
            person: ann(),
            expires: None,
        }))
    }
}

impl Elsewhere {
    async fn server() -> Server {
        let server = Server::with_domain().await;
        server.core.use_directories(vec![Chosen {
            directory: Arc::new(Self),
            domains: vec!["example.org".to_owned()],
        }]);
        server
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
        let shown = Credentials::Bearer { token };
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

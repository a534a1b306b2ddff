//! What credentials are good for, by each protocol, and until when.

use super::{PASSWORD, Server};
use crate::{
    access,
    admin::Terms,
    auth::{AuthError, Credentials, Protocol, Scopes, Secret},
    clock::UtcMillis,
    directory::{CredentialKind, DirectoryError, NewCredential},
};

const PROTOCOLS: [Protocol; 6] = [
    Protocol::Imap,
    Protocol::Pop3,
    Protocol::Submission,
    Protocol::Jmap,
    Protocol::ManageSieve,
    Protocol::Admin,
];

fn new(kind: CredentialKind, scopes: Scopes, expires: Option<i64>) -> NewCredential<'static> {
    NewCredential {
        kind,
        description: "a program",
        expires: expires.map(UtcMillis),
        scopes,
    }
}

fn credentials(kind: CredentialKind, secret: &Secret<String>) -> Credentials {
    match kind {
        CredentialKind::Token => Credentials::Bearer {
            authzid: None,
            token: secret.clone(),
        },
        _ => Credentials::Password {
            login: "ann@example.org".into(),
            password: secret.clone(),
        },
    }
}

#[tokio::test]
async fn each_protocol_takes_what_is_for_it() {
    let server = Server::with_domain().await;
    let ann = server.person_with_password("ann@example.org").await;
    let terms = Terms::default();
    for kind in [CredentialKind::AppPassword, CredentialKind::Token] {
        let mut sets: Vec<Scopes> = Scopes::NAMES.iter().map(|(_, scope)| *scope).collect();
        sets.push(Scopes::IMAP.union(Scopes::SUBMISSION));
        sets.push(Scopes::ALL);
        for scopes in sets {
            let made = new(kind, scopes, None);
            let issued = server
                .core
                .issue_credential(&server.admin, ann, made, &terms);
            let issued = issued.await.unwrap();
            assert_eq!(issued.credential.scopes, scopes);
            for protocol in PROTOCOLS {
                // Twice: the second time it is remembered.
                for _ in 0..2 {
                    let shown = credentials(kind, &issued.secret);
                    let result = server.login_by(protocol, shown).await;
                    match scopes.contains(Scopes::of(protocol)) {
                        true => assert_eq!(result.unwrap().scopes(), scopes),
                        false => assert_eq!(result.unwrap_err(), AuthError::OutOfScope),
                    }
                }
            }
            // What is for programs never opens the pages that make new credentials, even if it is good for everything.
            if kind == CredentialKind::AppPassword {
                let shown = credentials(kind, &issued.secret);
                let result = server.login_by(Protocol::OAuth, shown).await;
                assert_eq!(result.unwrap_err(), AuthError::OutOfScope);
            }
        }
    }
    let password = Secret::from(PASSWORD);
    let shown = credentials(CredentialKind::Password, &password);
    assert!(server.login_by(Protocol::OAuth, shown).await.is_ok());
}

#[tokio::test]
async fn that_one_has_expired_is_told_to_whoever_has_it() {
    let server = Server::with_domain().await;
    let ann = server.person_with_password("ann@example.org").await;
    let terms = Terms::default();
    let ends = server.core.clock.now().0 + 60_000;
    for kind in [CredentialKind::AppPassword, CredentialKind::Token] {
        let made = new(kind, Scopes::IMAP, Some(ends));
        let issued = server
            .core
            .issue_credential(&server.admin, ann, made, &terms);
        let secret = issued.await.unwrap().secret;
        let shown = || credentials(kind, &secret);
        assert!(server.login_by(Protocol::Imap, shown()).await.is_ok());
        server.clock.set(UtcMillis(ends));
        let result = server.login_by(Protocol::Imap, shown()).await;
        assert_eq!(result.unwrap_err(), AuthError::Expired);
        let result = server.login_by(Protocol::Jmap, shown()).await;
        assert_eq!(result.unwrap_err(), AuthError::Expired);
        server.clock.set(UtcMillis(ends - 60_000));
    }
}

#[tokio::test]
async fn nobody_gives_more_than_they_have() {
    let server = Server::with_domain().await;
    let ann = server.person_with_password("ann@example.org").await;
    let terms = Terms::default();
    let made = new(CredentialKind::Token, Scopes::API, None);
    let issued = server
        .core
        .issue_credential(&server.admin, ann, made, &terms);
    let shown = credentials(CredentialKind::Token, &issued.await.unwrap().secret);
    let who = server.login_by(Protocol::Admin, shown).await.unwrap();
    for (scopes, want) in [
        (Scopes::API, true),
        (Scopes::IMAP, false),
        (Scopes::ALL, false),
    ] {
        let made = new(CredentialKind::AppPassword, scopes, None);
        let result = server.core.issue_credential(&who, ann, made, &terms).await;
        assert_eq!(result.is_ok(), want, "{scopes}");
        assert!(want || matches!(result, Err(DirectoryError::Forbidden)));
    }
    let made = new(CredentialKind::AppPassword, Scopes::NONE, None);
    let result = server
        .core
        .issue_credential(&server.admin, ann, made, &terms)
        .await;
    assert!(matches!(result, Err(DirectoryError::InvalidName { .. })));
}

#[tokio::test]
async fn within_jmap_sending_is_a_scope_of_its_own() {
    let server = Server::with_domain().await;
    let ann = server.person_with_password("ann@example.org").await;
    let terms = Terms::default();
    let may = async |scopes| {
        let made = new(CredentialKind::Token, scopes, None);
        let issued = server
            .core
            .issue_credential(&server.admin, ann, made, &terms);
        let shown = credentials(CredentialKind::Token, &issued.await.unwrap().secret);
        let who = server.login_by(Protocol::Jmap, shown).await.unwrap();
        [
            "Email/get",
            "Email/set",
            "EmailSubmission/set",
            "SieveScript/set",
        ]
        .map(|method| access::may_use(&who, method).is_ok())
    };
    assert_eq!(may(Scopes::JMAP).await, [true, true, false, false]);
    let sends = Scopes::JMAP.union(Scopes::SUBMISSION);
    assert_eq!(may(sends).await, [true, true, true, false]);
    assert_eq!(may(Scopes::ALL).await, [true; 4]);
}

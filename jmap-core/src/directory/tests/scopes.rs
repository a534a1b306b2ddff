//! What credentials are good for, by each protocol, and until when.

use super::{PASSWORD, Server, origin};
use crate::{
    Caller, access,
    admin::Terms,
    auth::{AuthError, Credentials, Protocol, Scopes, Secret, totp},
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
async fn within_jmap_some_things_are_scopes_of_their_own() {
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
            "MDN/send",
            "VacationResponse/get",
            "VacationResponse/set",
            "SieveScript/get",
            "SieveScript/query",
            "SieveScript/validate",
            "SieveScript/set",
        ]
        .map(|method| access::may_use(&who, method).is_ok())
    };
    let reads = [
        true, true, false, false, true, false, false, false, false, false,
    ];
    let with = |more: &[usize]| {
        let mut may = reads;
        for at in more {
            may[*at] = true;
        }
        may
    };
    assert_eq!(may(Scopes::JMAP).await, reads);
    let sends = Scopes::JMAP.union(Scopes::SUBMISSION);
    assert_eq!(may(sends).await, with(&[2, 3, 5]));
    let is_away = Scopes::JMAP.union(Scopes::VACATION);
    assert_eq!(may(is_away).await, with(&[5]));
    let sorts = Scopes::JMAP.union(Scopes::SIEVE);
    assert_eq!(may(sorts).await, with(&[6, 7, 8, 9]));
    assert_eq!(may(Scopes::ALL).await, [true; 10]);
}

/// Ann's own password, and a second factor of hers; the number of that.
async fn with_second_factor(server: &Server) -> (Caller, u64) {
    server.person_with_password("ann@example.org").await;
    let who = server.login("ann@example.org", PASSWORD).await.unwrap();
    server.core.enrol_totp(&who).await.unwrap();
    let records = server.core.credential_records(who.account).await.unwrap();
    let totp = records.iter().find_map(|(_, record)| record.totp.clone());
    let step = u64::try_from(server.core.clock.now().seconds() / 30).unwrap();
    let code = Secret::new(totp::hotp(totp.unwrap().secret.expose(), step));
    server.core.confirm_totp(&who, &code).await.unwrap();
    let state = server.core.totp(&who).await.unwrap();
    (who, state.credential.unwrap())
}

/// Whoever logs in with a credential that is made for this.
async fn with(server: &Server, protocol: Protocol, made: NewCredential<'_>) -> Caller {
    let ann = server.core.account_named("ann@example.org").await.unwrap();
    let issued = server
        .core
        .issue_credential(&server.admin, ann.id, made, &Terms::default())
        .await;
    let shown = credentials(made.kind, &issued.unwrap().secret);
    server.login_by(protocol, shown).await.unwrap()
}

#[tokio::test]
async fn what_is_for_programs_does_not_take_its_account_over() {
    let server = Server::with_domain().await;
    let (owner, factor) = with_second_factor(&server).await;
    let core = &server.core;
    let word = core.confirm(&owner, None, &origin()).await;
    let word = &word.unwrap().unwrap();
    let all_but_one = Scopes(u32::MAX - 1);
    let kinds = [
        (CredentialKind::Token, Scopes::API, false),
        (CredentialKind::Token, all_but_one, false),
        (CredentialKind::AppPassword, Scopes::ALL, false),
        // That of the console.
        (CredentialKind::Token, Scopes::ALL, true),
    ];
    for (kind, scopes, want) in kinds {
        // Also by a protocol that the API has nothing to do with: the credential counts.
        let protocol = match kind {
            CredentialKind::AppPassword => Protocol::Imap,
            _ => Protocol::Admin,
        };
        let who = &with(&server, protocol, new(kind, scopes, None)).await;
        let is_forbidden = |result: Result<(), DirectoryError>, what: &str| {
            let is = matches!(result, Err(DirectoryError::Forbidden));
            assert_eq!(is, !want, "{kind:?} {scopes}: {what}: {result:?}");
        };
        let password = Secret::from("another horse");
        let set = core.set_password(who, who.account, &password).await;
        is_forbidden(set, "password");
        let codes = core.renew_recovery_codes(who, word).await.map(drop);
        is_forbidden(codes, "recovery codes");
        is_forbidden(core.enrol_totp(who).await.map(drop), "another device");
        let revoke = async |number| core.revoke_credential(who, who.account, number).await;
        if !want {
            is_forbidden(core.remove_totp(who, word).await, "second factor");
            is_forbidden(revoke(factor).await, "second factor");
            is_forbidden(revoke(1).await, "the password itself");
        }
        // Programs are let in and turned away as before.
        let made = new(CredentialKind::Token, Scopes::API, None);
        let issued = core
            .issue_credential(who, who.account, made, &Terms::default())
            .await;
        match scopes.contains(Scopes::API) {
            true => revoke(issued.unwrap().credential.number).await.unwrap(),
            false => assert!(issued.is_err()),
        }
    }
}

#[tokio::test]
async fn where_a_code_is_asked_for_an_app_password_is_not_enough() {
    let server = Server::with_domain().await;
    let (who, factor) = with_second_factor(&server).await;
    let made = new(CredentialKind::AppPassword, Scopes::ALL, None);
    let issued = server
        .core
        .issue_credential(&server.admin, who.account, made, &Terms::default())
        .await;
    let secret = issued.unwrap().secret;
    let by = async |protocol| {
        let shown = credentials(CredentialKind::AppPassword, &secret);
        server.login_by(protocol, shown).await.map(drop)
    };
    // Twice: the second time it is remembered.
    for _ in 0..2 {
        assert_eq!(by(Protocol::Admin).await, Err(AuthError::OutOfScope));
        assert_eq!(by(Protocol::Imap).await, Ok(()));
    }
    let removed = server
        .core
        .revoke_credential(&server.admin, who.account, factor);
    removed.await.unwrap();
    assert_eq!(by(Protocol::Admin).await, Ok(()));
}

#[tokio::test]
async fn what_a_program_makes_does_not_outlive_it() {
    let server = Server::with_domain().await;
    server.person_with_password("ann@example.org").await;
    let ends = server.core.clock.now().0 + 60_000;
    for (kind, scopes, is_bound) in [
        (CredentialKind::Token, Scopes::API, true),
        (CredentialKind::AppPassword, Scopes::ALL, true),
        // The console makes what lasts: that is what it is for.
        (CredentialKind::Token, Scopes::ALL, false),
    ] {
        let who = with(&server, Protocol::Admin, new(kind, scopes, Some(ends))).await;
        for wanted in [None, Some(ends - 1), Some(ends + 1)] {
            let made = new(CredentialKind::Token, Scopes::API, wanted);
            let issued = server
                .core
                .issue_credential(&who, who.account, made, &Terms::default())
                .await;
            let got = issued.unwrap().credential.expires.map(|of| of.0);
            let bound = wanted.map_or(ends, |wanted| wanted.min(ends));
            assert_eq!(got, if is_bound { Some(bound) } else { wanted });
        }
    }
}

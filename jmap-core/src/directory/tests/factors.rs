//! Second factors: enrolled, used once, over nodes, refused where there is no way to show one.

use std::time::Duration;

use store::{Record as _, engine::MemoryEngine, keys};

use super::{PASSWORD, Server, origin};
use crate::{
    Caller,
    auth::{AuthError, Confirmed, Credentials, Origin, Protocol, Secret, totp},
    directory::{CredentialKind, DirectoryError, records::CredentialRecord},
};

const NAME: &str = "ann@example.org";

/// What the device of an account shows, `steps` from now.
async fn code(server: &Server, who: &Caller, steps: i64) -> Secret<String> {
    let records = server.core.credential_records(who.account).await.unwrap();
    let totp = records.iter().find_map(|(_, record)| record.totp.clone());
    let step = server.core.clock.now().seconds() / 30 + steps;
    let step = u64::try_from(step).unwrap();
    Secret::new(totp::hotp(totp.unwrap().secret.expose(), step))
}

async fn login(server: &Server, protocol: Protocol, code: &Secret<String>) -> Option<AuthError> {
    let credentials = Credentials::Factors {
        login: NAME.into(),
        password: Secret::from(PASSWORD),
        code: code.clone(),
    };
    server.login_by(protocol, credentials).await.err()
}

/// With a device of ann's, and her recovery codes.
async fn enrolled(server: &Server) -> (Caller, Vec<Secret<String>>) {
    server.person_with_password(NAME).await;
    let who = server.login(NAME, PASSWORD).await.unwrap();
    let enrolment = server.core.enrol_totp(&who).await.unwrap();
    assert!(enrolment.uri.expose().contains(enrolment.secret.expose()));
    let code = code(server, &who, 0).await;
    let codes = server.core.confirm_totp(&who, &code).await.unwrap();
    (who, codes)
}

/// The word of who has logged in by the password.
async fn by_password(server: &Server, who: &Caller) -> Confirmed {
    let confirmed = server.core.confirm(who, None, &origin()).await;
    confirmed.unwrap().unwrap()
}

#[tokio::test]
async fn a_session_alone_takes_no_factor_away() {
    let server = Server::with_domain().await;
    let (who, codes) = enrolled(&server).await;
    let admin = &server.admin;
    let token = server
        .core
        .add_token(admin, who.account, "console", None)
        .await
        .unwrap();
    let bearer = Credentials::Bearer {
        authzid: None,
        token: token.secret.clone(),
    };
    let session = server.login_by(Protocol::Admin, bearer).await.unwrap();
    let number = server
        .core
        .totp(&session)
        .await
        .unwrap()
        .credential
        .unwrap();
    let confirm = |code: Option<Secret<String>>| {
        let (core, session) = (server.core.clone(), session.clone());
        async move { core.confirm(&session, code.as_ref(), &origin()).await }
    };
    assert!(confirm(None).await.unwrap().is_none());
    let refused = server.core.revoke_own(&session, number, None).await;
    assert!(matches!(refused, Err(DirectoryError::ConfirmationNeeded)));
    let id = who.account;
    let refused = server.core.revoke_credential(&session, id, number).await;
    assert!(matches!(refused, Err(DirectoryError::ConfirmationNeeded)));
    // Somebody who guesses is made to wait, and each code is good once.
    let wrong = confirm(Some("000000".into())).await;
    assert_eq!(wrong.unwrap_err(), AuthError::Invalid);
    let shown = code(&server, &who, 1).await;
    assert!(confirm(Some(shown.clone())).await.unwrap().is_some());
    assert!(confirm(Some(shown)).await.is_err());
    for _ in 0..200 {
        let guess = confirm(Some("000000".into())).await;
        if matches!(guess, Err(AuthError::TooManyAttempts { .. })) {
            break;
        }
        assert_eq!(guess.unwrap_err(), AuthError::Invalid);
    }
    let late = confirm(Some(codes[0].clone())).await;
    assert!(matches!(late, Err(AuthError::TooManyAttempts { .. })));
    server.pass(86_400);
    let word = confirm(Some(codes[0].clone())).await.unwrap().unwrap();
    server.core.remove_totp(&session, &word).await.unwrap();
    assert!(server.login(NAME, PASSWORD).await.is_ok());
    // What is no factor goes as before: signing out, for one.
    let token = token.credential.number;
    server.core.revoke_own(&session, token, None).await.unwrap();
}

/// By their role, and with a row of the audit as for any credential.
#[tokio::test]
async fn an_administrator_takes_the_factor_of_others_away() {
    let server = Server::with_domain().await;
    let (who, _) = enrolled(&server).await;
    let number = server.core.totp(&who).await.unwrap().credential.unwrap();
    let admin = &server.admin;
    server
        .core
        .revoke_credential(admin, who.account, number)
        .await
        .unwrap();
    assert!(server.login(NAME, PASSWORD).await.is_ok());
}

#[tokio::test]
async fn a_device_is_asked_once_it_has_shown_that_it_works() {
    let server = Server::with_domain().await;
    server.person_with_password(NAME).await;
    let who = server.login(NAME, PASSWORD).await.unwrap();
    server.core.enrol_totp(&who).await.unwrap();
    assert!(server.login(NAME, PASSWORD).await.is_ok());
    // One that was begun is none yet.
    assert_eq!(server.core.totp(&who).await.unwrap().credential, None);
    let listed = server.core.credentials(&who, who.account).await.unwrap();
    assert_eq!(listed.len(), 1);
    let wrong = server.core.confirm_totp(&who, &"000000".into()).await;
    assert!(matches!(wrong, Err(DirectoryError::WrongCode)));
    // A second beginning takes the place of the first.
    server.core.enrol_totp(&who).await.unwrap();
    let shown = code(&server, &who, 0).await;
    let codes = server.core.confirm_totp(&who, &shown).await.unwrap();
    assert_eq!(codes.len(), totp::RECOVERY_CODES);
    let state = server.core.totp(&who).await.unwrap();
    assert_eq!(state.recovery_codes, 10);
    let again = server.core.enrol_totp(&who).await;
    assert!(matches!(again, Err(DirectoryError::AlreadyExists(_))));
    // What was remembered of the password counts no more.
    let result = server.login(NAME, PASSWORD).await;
    assert_eq!(result.unwrap_err(), AuthError::SecondFactor);
    // A wrong password is a wrong password.
    let result = server.login(NAME, "wrong horse").await;
    assert_eq!(result.unwrap_err(), AuthError::Invalid);
}

#[tokio::test]
async fn the_password_alone_opens_nothing() {
    let server = Server::with_domain().await;
    let (who, _) = enrolled(&server).await;
    let protocols = [
        Protocol::Imap,
        Protocol::Pop3,
        Protocol::Submission,
        Protocol::Jmap,
        Protocol::ManageSieve,
        Protocol::Dav,
        Protocol::Admin,
        Protocol::OAuth,
    ];
    for protocol in protocols {
        for _ in 0..2 {
            let credentials = Credentials::Password {
                login: NAME.into(),
                password: Secret::from(PASSWORD),
            };
            let result = server.login_by(protocol, credentials).await;
            assert_eq!(result.unwrap_err(), AuthError::SecondFactor, "{protocol}");
        }
        // A code is taken by the console and the pages alone.
        server.pass(60);
        let code = code(&server, &who, 0).await;
        let error = login(&server, protocol, &code).await;
        match protocol {
            Protocol::Admin | Protocol::OAuth => assert_eq!(error, None),
            _ => assert_eq!(error, Some(AuthError::SecondFactor), "{protocol}"),
        }
    }
    let app = server
        .core
        .add_app_password(&server.admin, who.account, "phone", None)
        .await
        .unwrap();
    assert!(server.login(NAME, app.secret.expose()).await.is_ok());
}

#[tokio::test]
async fn a_code_counts_once_on_all_nodes() {
    let engine = MemoryEngine::new();
    let one = Server::over(engine.clone(), 1).await;
    one.core
        .add_domain(&one.admin, "example.org")
        .await
        .unwrap();
    let (who, codes) = enrolled(&one).await;
    let two = Server::over(engine, 2).await;
    two.clock.set(one.core.clock.now());
    // The code that it was confirmed with was used.
    let used = code(&one, &who, 0).await;
    assert_eq!(
        login(&two, Protocol::Admin, &used).await,
        Some(AuthError::Invalid)
    );
    let next = code(&one, &who, 1).await;
    let (first, second) = tokio::join!(
        login(&one, Protocol::Admin, &next),
        login(&two, Protocol::Admin, &next)
    );
    assert!(first.is_none() != second.is_none(), "{first:?} {second:?}");
    let recovery = &codes[0];
    assert_eq!(login(&two, Protocol::OAuth, recovery).await, None);
    assert_eq!(
        login(&one, Protocol::OAuth, recovery).await,
        Some(AuthError::Invalid)
    );
    // Another process over the same store knows it too.
    let state = two.core.totp(&who).await.unwrap();
    assert_eq!(state.recovery_codes, 9);
}

#[tokio::test]
async fn guessing_codes_is_limited_as_guessing_passwords_is() {
    let server = Server::with_domain().await;
    enrolled(&server).await;
    let mut refused = 0;
    for _ in 0..20 {
        match login(&server, Protocol::Admin, &"000000".into()).await {
            Some(AuthError::Invalid) => {}
            Some(AuthError::TooManyAttempts { .. }) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(refused >= 10, "{refused}");
}

#[tokio::test]
async fn guessing_codes_from_many_networks_is_no_more_than_from_one() {
    let server = Server::with_domain().await;
    let (who, _) = enrolled(&server).await;
    let app = server
        .core
        .add_app_password(&server.admin, who.account, "phone", None);
    let app = app.await.unwrap().secret;
    let from = async |network: u8, code: Secret<String>| {
        let credentials = Credentials::Factors {
            login: NAME.into(),
            password: Secret::from(PASSWORD),
            code,
        };
        let origin = Origin {
            ip: [198, 51, 100, network].into(),
            protocol: Protocol::Admin,
            tls: true,
        };
        server.core.login(credentials, origin).await.err()
    };
    for network in 0..11 {
        let wrong = from(network, "000000".into()).await;
        assert_eq!(wrong, Some(AuthError::Invalid), "{network}");
        // What the phone does in between changes nothing.
        assert!(server.login(NAME, app.expose()).await.is_ok());
    }
    let shown = code(&server, &who, 1).await;
    let retry_after = match from(12, shown).await {
        Some(AuthError::TooManyAttempts { retry_after }) => retry_after,
        other => panic!("{other:?}"),
    };
    assert!(retry_after <= Duration::from_secs(900));
    server.clock.advance(retry_after);
    let shown = code(&server, &who, 0).await;
    assert_eq!(from(12, shown).await, None);
}

#[tokio::test]
async fn it_is_taken_away() {
    let server = Server::with_domain().await;
    let (who, codes) = enrolled(&server).await;
    let word = by_password(&server, &who).await;
    let newer = server.core.renew_recovery_codes(&who, &word).await.unwrap();
    assert_ne!(newer[0].expose(), codes[0].expose());
    assert_eq!(
        login(&server, Protocol::Admin, &codes[0]).await,
        Some(AuthError::Invalid)
    );
    assert_eq!(login(&server, Protocol::Admin, &newer[0]).await, None);
    server.core.remove_totp(&who, &word).await.unwrap();
    assert!(server.login(NAME, PASSWORD).await.is_ok());
    let gone = server.core.remove_totp(&who, &word).await;
    assert!(matches!(gone, Err(DirectoryError::NotFound(_))));
}

#[tokio::test]
async fn a_proof_of_the_password_is_not_enough_either() {
    let server = Server::with_domain().await;
    let (who, _) = enrolled(&server).await;
    let result = super::scram::login(&server, NAME, PASSWORD).await;
    assert_eq!(result.unwrap_err(), AuthError::SecondFactor);
    let word = by_password(&server, &who).await;
    server.core.remove_totp(&who, &word).await.unwrap();
    assert!(super::scram::login(&server, NAME, PASSWORD).await.is_ok());
}

#[tokio::test]
async fn what_is_kept_of_it_says_no_secret() {
    let server = Server::with_domain().await;
    let (who, codes) = enrolled(&server).await;
    let state = server.core.totp(&who).await.unwrap();
    let key = keys::credential(who.account, state.credential.unwrap());
    let bytes = server.core.engine.get(&key).await.unwrap().unwrap();
    let record = CredentialRecord::from_bytes(&key, &bytes).unwrap();
    assert_eq!(record.kind, CredentialKind::Totp);
    for code in codes {
        let text = code.expose().as_bytes();
        assert!(!bytes.windows(text.len()).any(|part| part == text));
    }
}

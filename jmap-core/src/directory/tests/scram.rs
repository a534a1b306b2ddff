//! Logins by proof: two steps, and everything that could go wrong in between.

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use store::{Record as _, keys};

use super::{PASSWORD, Server, origin};
use crate::{
    auth::{AuthError, ScramAttempt, Secret},
    caller::Caller,
    directory::records::{self, CredentialRecord},
};

/// What a client does with a password (RFC 5802 §3).
fn proof(password: &str, attempt: &ScramAttempt, signed: &[u8]) -> Vec<u8> {
    let sign =
        |key: &[u8], message: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    let mut salted = [0; 32];
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        NonZeroU32::new(attempt.iterations()).unwrap(),
        attempt.salt(),
        password.as_bytes(),
        &mut salted,
    );
    let client_key = sign(&salted, b"Client Key");
    let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
    let signature = sign(stored_key.as_ref(), signed);
    let pairs = client_key.as_ref().iter().zip(signature.as_ref());
    pairs.map(|(a, b)| a ^ b).collect()
}

pub(super) async fn login(
    server: &Server,
    name: &str,
    password: &str,
) -> Result<Caller, AuthError> {
    let attempt = server.core.scram_begin(name, origin()).await?;
    let signed = format!("message with {}", attempt.nonce());
    let proof = proof(password, &attempt, signed.as_bytes());
    let finished = server.core.scram_finish(attempt, signed.as_bytes(), &proof);
    finished.await.map(|(caller, _)| caller)
}

#[tokio::test]
async fn who_may_log_in() {
    let server = Server::with_domain().await;
    let ann = server.person_with_password("ann@example.org").await;
    server.person("bob@example.org").await;
    let rows = [
        ("ann@example.org", PASSWORD, true),
        (" ANN@Example.org ", PASSWORD, true),
        ("ann@example.org", "wrong horse", false),
        ("bob@example.org", PASSWORD, false),
        ("nobody@example.org", PASSWORD, false),
        ("", "", false),
    ];
    for (name, password, want) in rows {
        match login(&server, name, password).await {
            Ok(caller) => assert!(want && caller.account == ann, "{name}"),
            Err(error) => assert!(!want && error == AuthError::Invalid, "{name}: {error}"),
        }
    }
}

#[tokio::test]
async fn salts_stay_and_nonces_do_not() {
    let server = Server::with_domain().await;
    server.person_with_password("ann@example.org").await;
    server.person("bob@example.org").await;
    for name in ["ann@example.org", "bob@example.org", "nobody@example.org"] {
        let first = server.core.scram_begin(name, origin()).await.unwrap();
        let second = server.core.scram_begin(name, origin()).await.unwrap();
        assert_eq!(first.salt(), second.salt(), "{name}");
        assert_eq!(first.salt().len(), 16, "{name}");
        assert_eq!(first.iterations(), second.iterations(), "{name}");
        assert_ne!(first.nonce(), second.nonce(), "{name}");
    }
}

#[tokio::test]
async fn a_password_that_changes_meanwhile_ends_the_login() {
    let server = Server::with_domain().await;
    let ann = server.person_with_password("ann@example.org").await;
    let attempt = server
        .core
        .scram_begin("ann@example.org", origin())
        .await
        .unwrap();
    let proof = proof(PASSWORD, &attempt, b"signed");
    let new = Secret::from("battery staple");
    let changed = server.core.set_password(&server.admin, ann, &new);
    changed.await.unwrap();
    let finished = server.core.scram_finish(attempt, b"signed", &proof).await;
    assert_eq!(finished.err(), Some(AuthError::Invalid));
    assert!(
        login(&server, "ann@example.org", "battery staple")
            .await
            .is_ok()
    );
    assert!(login(&server, "ann@example.org", PASSWORD).await.is_err());
}

#[tokio::test]
async fn failures_count_like_others() {
    let server = Server::with_domain().await;
    server.person_with_password("ann@example.org").await;
    // Begun before the limit, finished after it.
    let early = server
        .core
        .scram_begin("ann@example.org", origin())
        .await
        .unwrap();
    for _ in 0..6 {
        let _ = login(&server, "ann@example.org", "wrong horse").await;
    }
    let begun = server.core.scram_begin("ann@example.org", origin()).await;
    assert!(matches!(
        begun.err(),
        Some(AuthError::TooManyAttempts { .. })
    ));
    let proof = proof(PASSWORD, &early, b"signed");
    let finished = server.core.scram_finish(early, b"signed", &proof).await;
    assert!(matches!(
        finished.err(),
        Some(AuthError::TooManyAttempts { .. })
    ));
    let shown = server.login("ann@example.org", PASSWORD).await;
    assert!(matches!(
        shown.err(),
        Some(AuthError::TooManyAttempts { .. })
    ));
}

#[tokio::test]
async fn the_next_login_by_password_makes_what_is_missing() {
    let server = Server::with_domain().await;
    let ann = server.person_with_password("ann@example.org").await;
    let key = keys::credential(ann, records::PASSWORD);
    let stored = server.core.engine.get(&key).await.unwrap().unwrap();
    let old = CredentialRecord {
        scram: None,
        ..CredentialRecord::from_bytes(&key, &stored).unwrap()
    };
    let mut batch = store::engine::Batch::new();
    batch.put(key.clone(), old.to_bytes());
    server.core.engine.commit(batch).await.unwrap();
    assert!(login(&server, "ann@example.org", PASSWORD).await.is_err());
    server.login("ann@example.org", PASSWORD).await.unwrap();
    assert!(login(&server, "ann@example.org", PASSWORD).await.is_ok());
    let stored = server.core.engine.get(&key).await.unwrap().unwrap();
    let new = CredentialRecord::from_bytes(&key, &stored).unwrap();
    assert_eq!(new.password_hash, old.password_hash);
}

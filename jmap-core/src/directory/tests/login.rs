use std::time::Instant;

use super::{PASSWORD, Server};
use crate::{
    auth::{AuthError, Credentials, Protocol, Secret},
    clock::UtcMillis,
    directory::NewAccount,
};

#[tokio::test]
async fn a_token_is_for_its_own_account() {
    let server = Server::with_domain().await;
    let (core, admin) = (&server.core, &server.admin);
    let ann = server.person_with_password("ann@example.org").await;
    server.person_with_password("bob@example.org").await;
    core.add_alias(admin, ann, "anna@example.org")
        .await
        .unwrap();
    let token = core.add_token(admin, ann, "phone", None).await.unwrap();
    let act_as = |authzid: Option<&str>| {
        let credentials = Credentials::Bearer {
            authzid: authzid.map(str::to_owned),
            token: token.secret.clone(),
        };
        server.login_by(Protocol::Imap, credentials)
    };
    for own in [
        None,
        Some("ann@example.org"),
        Some("Ann@EXAMPLE.org"),
        Some("anna@example.org"),
    ] {
        assert_eq!(act_as(own).await.unwrap().account, ann, "{own:?}");
    }
    for other in [
        "bob@example.org",
        "nobody@example.org",
        "ann",
        "a b",
        "",
        "@",
    ] {
        let refused = act_as(Some(other)).await;
        assert_eq!(refused.unwrap_err(), AuthError::Invalid, "{other}");
    }
}

#[tokio::test]
async fn who_may_log_in() {
    let server = Server::with_domain().await;
    let ann = server.person_with_password("ann@example.org").await;
    server.person("bob@example.org").await;
    server
        .core
        .add_account(&server.admin, NewAccount::group("team@example.org"))
        .await
        .unwrap();
    let rows = [
        ("ann@example.org", PASSWORD, true),
        (" ANN@Example.org ", PASSWORD, true),
        ("ann@example.org", "wrong horse", false),
        ("bob@example.org", PASSWORD, false),
        ("team@example.org", PASSWORD, false),
        ("nobody@example.org", PASSWORD, false),
        ("", "", false),
    ];
    for (login, password, want) in rows {
        match server.login(login, password).await {
            Ok(caller) => assert!(want && caller.account == ann, "{login}"),
            Err(error) => assert!(!want && error == AuthError::Invalid, "{login}: {error}"),
        }
    }
    assert!(server.login(&"é".repeat(100_000), PASSWORD).await.is_err());
}

#[tokio::test]
async fn revocation_counts_at_once() {
    let server = Server::with_domain().await;
    let (core, admin) = (&server.core, &server.admin);
    let ann = server.person_with_password("ann@example.org").await;
    let token = core.add_token(admin, ann, "phone", None).await.unwrap();
    let app = core
        .add_app_password(admin, ann, "mail", None)
        .await
        .unwrap();
    for _ in 0..2 {
        assert!(server.bearer(&token.secret).await.is_ok());
        assert!(
            server
                .login("ann@example.org", app.secret.expose())
                .await
                .is_ok()
        );
        assert!(server.login("ann@example.org", PASSWORD).await.is_ok());
    }
    core.revoke_credential(admin, ann, token.credential.number)
        .await
        .unwrap();
    core.revoke_credential(admin, ann, app.credential.number)
        .await
        .unwrap();
    assert_eq!(
        server.bearer(&token.secret).await.unwrap_err(),
        AuthError::Invalid
    );
    assert_eq!(
        server
            .login("ann@example.org", app.secret.expose())
            .await
            .unwrap_err(),
        AuthError::Invalid
    );
    core.set_password(admin, ann, &Secret::from("battery staple"))
        .await
        .unwrap();
    assert_eq!(
        server.login("ann@example.org", PASSWORD).await.unwrap_err(),
        AuthError::Invalid
    );
    assert!(
        server
            .login("ann@example.org", "battery staple")
            .await
            .is_ok()
    );
    core.set_disabled(admin, ann, true).await.unwrap();
    assert_eq!(
        server
            .login("ann@example.org", "battery staple")
            .await
            .unwrap_err(),
        AuthError::Disabled
    );
    core.set_disabled(admin, ann, false).await.unwrap();
    assert!(
        server
            .login("ann@example.org", "battery staple")
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn credentials_expire_also_when_remembered() {
    let server = Server::with_domain().await;
    let (core, admin) = (&server.core, &server.admin);
    let ann = server.person("ann@example.org").await;
    let expires = Some(UtcMillis(1_700_000_000_000 + 60_000));
    let token = core
        .add_token(admin, ann, "", expires)
        .await
        .unwrap()
        .secret;
    let app = core
        .add_app_password(admin, ann, "", expires)
        .await
        .unwrap()
        .secret;
    assert!(server.bearer(&token).await.is_ok());
    assert!(server.login("ann@example.org", app.expose()).await.is_ok());
    server.pass(60);
    assert!(server.bearer(&token).await.is_err());
    assert!(server.login("ann@example.org", app.expose()).await.is_err());
}

#[tokio::test]
async fn groups_are_seen_at_once() {
    let server = Server::with_domain().await;
    let (core, admin) = (&server.core, &server.admin);
    let ann = server.person_with_password("ann@example.org").await;
    let team = core
        .add_account(admin, NewAccount::group("team@example.org"))
        .await
        .unwrap()
        .id;
    assert!(
        server
            .login("ann@example.org", PASSWORD)
            .await
            .unwrap()
            .groups
            .is_empty()
    );
    core.add_member(admin, team, ann).await.unwrap();
    let caller = server.login("ann@example.org", PASSWORD).await.unwrap();
    assert_eq!(caller.groups, [team]);
    let info = core.account_info(&caller, team).await.unwrap().unwrap();
    assert!(!info.is_personal);
    core.remove_member(admin, team, ann).await.unwrap();
    assert!(
        server
            .login("ann@example.org", PASSWORD)
            .await
            .unwrap()
            .groups
            .is_empty()
    );
}

#[tokio::test]
async fn too_many_failures_are_refused() {
    let server = Server::with_domain().await;
    server.person_with_password("ann@example.org").await;
    let mut refused = false;
    for _ in 0..8 {
        let error = server
            .login("ann@example.org", "wrong horse")
            .await
            .unwrap_err();
        refused |= matches!(error, AuthError::TooManyAttempts { .. });
    }
    assert!(refused);
    server.pass(3600);
    assert!(server.login("ann@example.org", PASSWORD).await.is_ok());
}

#[tokio::test]
async fn a_remembered_password_costs_no_hash() {
    let server = Server::with_domain().await;
    server.person_with_password("ann@example.org").await;
    server.login("ann@example.org", PASSWORD).await.unwrap();
    let start = Instant::now();
    for _ in 0..1000 {
        server.login("ann@example.org", PASSWORD).await.unwrap();
    }
    // A thousand hashes take more than ten seconds.
    assert!(start.elapsed().as_secs() < 3, "{:?}", start.elapsed());
}

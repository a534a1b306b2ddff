//! The registry, and whose login is still good.

use std::time::Duration;

use jmap_types::AccountId;

use super::{Ending, OpenSession, SessionKind, Sessions};
use crate::{
    Caller, Core, Role,
    admin::Terms,
    auth::{Credentials, Origin, Protocol, Secret},
    caller::Way,
    clock::UtcMillis,
    directory::{
        AccountChange, DirectoryError,
        tests::{PASSWORD, Server},
    },
};

const ADDRESS: &str = "192.0.2.7";

fn origin(protocol: Protocol) -> Origin {
    Origin {
        ip: ADDRESS.parse().unwrap(),
        protocol,
        tls: true,
    }
}

async fn login(core: &Core, name: &str, password: &str) -> Caller {
    let credentials = Credentials::Password {
        login: name.to_owned(),
        password: Secret::new(password.to_owned()),
    };
    core.login(credentials, origin(Protocol::Imap))
        .await
        .unwrap()
}

async fn open(core: &Core, who: &Caller) -> OpenSession {
    let place = core.sessions().place(SessionKind::Imap, who.address());
    core.open_session(&place, who).await;
    place
}

/// With alice and bob.
async fn people() -> Server {
    let server = Server::with_domain().await;
    server.person_with_password("alice@example.org").await;
    server.person_with_password("bob@example.org").await;
    server
}

fn operator() -> Caller {
    Caller::operator(Way::ControlSocket)
}

async fn id_of(core: &Core, name: &str) -> AccountId {
    core.account_named(name).await.unwrap().id
}

#[tokio::test]
async fn a_place_is_given_back() {
    let server = people().await;
    let core = &server.core;
    let alice = login(core, "alice@example.org", PASSWORD).await;
    let place = open(core, &alice).await;
    let clone = place.clone();
    assert_eq!(core.sessions().count(), 1);
    drop(place);
    assert_eq!(core.sessions().count(), 1);
    clone.leave();
    assert_eq!(core.sessions().count(), 0);
    core.open_session(&clone, &alice).await;
    core.open_session(&clone, &alice).await;
    assert_eq!(core.sessions().count(), 1);
    drop(clone);
    assert_eq!(core.sessions().count(), 0);
}

#[tokio::test]
async fn one_too_many_is_ended() {
    let server = people().await;
    let core = &server.core;
    let alice = login(core, "alice@example.org", PASSWORD).await;
    let sessions = Sessions::with_limit(core.clock.clone(), core.rng.clone(), 1);
    let places: Vec<OpenSession> = (0..2)
        .map(|_| sessions.place(SessionKind::Pop3, None))
        .collect();
    for place in &places {
        core.open_session(place, &alice).await;
        // Those of the core are others.
        let known = core.known_login(&alice).await.unwrap().unwrap();
        sessions.enter(&place.0, alice.clone(), known);
    }
    assert_eq!(places[0].ending(), None);
    assert_eq!(places[1].ending(), Some(Ending::TooMany));
    assert_eq!(sessions.count(), 1);
}

#[tokio::test]
async fn a_login_that_is_over_ends_its_sessions_alone() {
    let server = people().await;
    let core = &server.core;
    let who = operator();
    let alice_id = id_of(core, "alice@example.org").await;
    let issued = core
        .add_app_password(&who, alice_id, "phone", None)
        .await
        .unwrap();
    let by_password = login(core, "alice@example.org", PASSWORD).await;
    let by_phone = login(core, "alice@example.org", issued.secret.expose()).await;
    let bob = login(core, "bob@example.org", PASSWORD).await;
    let (of_password, of_phone, of_bob) = (
        open(core, &by_password).await,
        open(core, &by_phone).await,
        open(core, &bob).await,
    );
    let endings = || [&of_password, &of_phone, &of_bob].map(OpenSession::ending);

    // What has nothing to do with logging in ends nothing.
    core.add_alias(&who, alice_id, "other@example.org")
        .await
        .unwrap();
    let change = AccountChange {
        description: Some("Alice".to_owned()),
        ..AccountChange::default()
    };
    core.change_account_on(&who, alice_id, change, &Terms::default())
        .await
        .unwrap();
    core.add_app_password(&who, alice_id, "tablet", None)
        .await
        .unwrap();
    core.end_lost_sessions().await.unwrap();
    assert_eq!(endings(), [None; 3]);

    // Two new passwords within one second are two.
    for password in ["another horse 77", PASSWORD] {
        let secret = Secret::new(password.to_owned());
        core.set_password(&who, alice_id, &secret).await.unwrap();
    }
    core.end_lost_sessions().await.unwrap();
    assert_eq!(endings(), [Some(Ending::LoginOver), None, None]);

    let number = issued.credential.number;
    core.revoke_credential(&who, alice_id, number)
        .await
        .unwrap();
    core.end_lost_sessions().await.unwrap();
    assert_eq!(endings()[1], Some(Ending::LoginOver));
    assert_eq!(endings()[2], None);

    let change = AccountChange {
        disabled: Some(true),
        ..AccountChange::default()
    };
    let bob_id = id_of(core, "bob@example.org").await;
    core.change_account_on(&who, bob_id, change, &Terms::default())
        .await
        .unwrap();
    core.end_lost_sessions().await.unwrap();
    assert_eq!(endings()[2], Some(Ending::LoginOver));
}

#[tokio::test]
async fn a_login_that_was_over_before_its_session_began_is_told() {
    let server = people().await;
    let core = &server.core;
    let alice_id = id_of(core, "alice@example.org").await;
    let alice = login(core, "alice@example.org", PASSWORD).await;
    let secret = Secret::new("another horse 77".to_owned());
    core.set_password(&operator(), alice_id, &secret)
        .await
        .unwrap();
    let place = open(core, &alice).await;
    assert_eq!(place.ending(), Some(Ending::LoginOver));
    assert_eq!(core.sessions().count(), 0);
}

#[tokio::test]
async fn a_credential_expires_under_its_session() {
    let server = people().await;
    let core = &server.core;
    let alice_id = id_of(core, "alice@example.org").await;
    let end = UtcMillis(core.clock.now().0 + 60_000);
    let issued = core
        .add_app_password(&operator(), alice_id, "for a minute", Some(end))
        .await
        .unwrap();
    let alice = login(core, "alice@example.org", issued.secret.expose()).await;
    let place = open(core, &alice).await;
    core.sessions().end_expired(end.0 - 1);
    assert_eq!(place.ending(), None);
    core.sessions().end_expired(end.0);
    assert_eq!(place.ending(), Some(Ending::LoginOver));
    assert_eq!(place.ended().await, Ending::LoginOver);
    // It gets its time to go.
    let short = tokio::time::timeout(Duration::from_millis(50), place.overdue());
    short.await.unwrap_err();
}

#[tokio::test]
async fn who_sees_and_ends_whose() {
    let server = people().await;
    let core = &server.core;
    let who = operator();
    let alice = login(core, "alice@example.org", PASSWORD).await;
    let bob = login(core, "bob@example.org", PASSWORD).await;
    let place = open(core, &alice).await;
    let jmap = core
        .login(
            Credentials::Password {
                login: "alice@example.org".to_owned(),
                password: Secret::new(PASSWORD.to_owned()),
            },
            origin(Protocol::Jmap),
        )
        .await
        .unwrap();
    assert_eq!(jmap.role, Role::User);
    let all = core.open_sessions(&who, None).await.unwrap();
    let kinds: Vec<&str> = all.iter().map(|info| info.kind.name()).collect();
    assert_eq!(kinds.len(), 2);
    assert!(
        kinds.contains(&"imap") && kinds.contains(&"http"),
        "{kinds:?}"
    );
    let imap = all.iter().find(|info| info.kind == SessionKind::Imap);
    let imap = imap.unwrap();
    assert_eq!(imap.address, Some(ADDRESS.parse().unwrap()));
    assert_eq!(imap.name, "alice@example.org");

    let own = core.open_sessions(&alice, Some(alice.account)).await;
    assert_eq!(own.unwrap().len(), 2);
    let forbidden = core.open_sessions(&alice, None).await.unwrap_err();
    assert!(matches!(forbidden, DirectoryError::Forbidden));
    let others = core.end_session(&bob, imap.number, Some(bob.account)).await;
    assert!(matches!(others, Err(DirectoryError::NotFound(_))));
    let others = core.end_session(&bob, imap.number, None).await;
    assert!(matches!(others, Err(DirectoryError::Forbidden)));
    assert_eq!(place.ending(), None);

    let http = all.iter().find(|info| info.kind == SessionKind::Http);
    let error = core.end_session(&who, http.unwrap().number, None).await;
    assert!(matches!(error, Err(DirectoryError::InUse(_))));
    core.end_session(&alice, imap.number, Some(alice.account))
        .await
        .unwrap();
    assert_eq!(place.ending(), Some(Ending::Asked));
}

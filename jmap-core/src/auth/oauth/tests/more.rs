//! Devices, tickets, clients, and what goes by itself.

use store::{
    Record as _,
    engine::{Batch, Page},
    keys::{self, Pending},
};

use super::{records::CodeRecord, *};

#[tokio::test]
async fn a_device_is_let_in() {
    let bench = Bench::new().await;
    let core = &bench.server.core;
    let at = origin();
    let scope = "offline_access urn:ietf:params:jmap:mail";
    let begun = core.begin_device(&bench.client, scope, &at).await.unwrap();
    let poll = async || {
        core.poll_device(&bench.client, &begun.device_code, (ISSUER, &at))
            .await
    };
    assert_eq!(code_of(poll().await), "authorization_pending");
    assert_eq!(code_of(poll().await), "slow_down");
    bench.server.pass(5);
    assert_eq!(code_of(poll().await), "authorization_pending");
    assert!(
        core.device_request("BBBB-BBBB", &at)
            .await
            .unwrap()
            .is_none()
    );
    let typed = begun.user_code.to_lowercase().replace('-', " ");
    let request = core.device_request(&typed, &at).await.unwrap().unwrap();
    assert_eq!(request.client.id, bench.client.id);
    assert!(core.decide_device(&typed, &bench.who, true).await.unwrap());
    // It is decided once.
    assert!(!core.decide_device(&typed, &bench.who, false).await.unwrap());
    let tokens = poll().await.unwrap();
    assert!(
        bench
            .login(&tokens.access_token, Protocol::Imap)
            .await
            .is_ok()
    );
    assert!(tokens.refresh_token.is_some());
    assert_eq!(code_of(poll().await), "invalid_grant");
    // Another one is refused, and one is forgotten.
    let begun = core.begin_device(&bench.client, scope, &at).await.unwrap();
    core.decide_device(&begun.user_code, &bench.who, false)
        .await
        .unwrap();
    let code = &begun.device_code;
    let got = core.poll_device(&bench.client, code, (ISSUER, &at)).await;
    assert_eq!(code_of(got), "access_denied");
    let begun = core.begin_device(&bench.client, scope, &at).await.unwrap();
    bench.server.pass(DEVICE_SECONDS.unsigned_abs());
    let code = &begun.device_code;
    let got = core.poll_device(&bench.client, code, (ISSUER, &at)).await;
    assert_eq!(code_of(got), "expired_token");
}

#[tokio::test]
async fn tickets_are_for_what_they_were_made_for() {
    let server = Server::with_domain().await;
    let ann = server.person_with_password("ann@example.org").await;
    let core = &server.core;
    let sign_in = async |password: &str| {
        core.sign_in("Ann@example.org".into(), password.into(), origin(), b"one")
            .await
    };
    assert_eq!(sign_in("wrong").await.unwrap_err(), AuthError::Invalid);
    let SignInStep::Done(ticket) = sign_in(PASSWORD).await.unwrap() else {
        panic!("no ticket");
    };
    let who = core.signed_in(ticket.expose(), b"one").await.unwrap();
    assert_eq!((who.account, who.name.as_str()), (ann, "ann@example.org"));
    for (ticket, binding) in [
        (ticket.expose().clone(), &b"two"[..]),
        (format!("A{}", &ticket.expose()[1..]), b"one"),
        (String::new(), b"one"),
        ("x".repeat(100_000), b"one"),
    ] {
        let result = core.signed_in(&ticket, binding).await;
        assert_eq!(result.unwrap_err(), AuthError::Invalid);
    }
    let code = Secret::from("000000");
    let result = core.sign_in_by_code(ticket.expose(), &code, origin(), b"one");
    assert_eq!(result.await.unwrap_err(), AuthError::Expired);
    server.pass(901);
    let result = core.signed_in(ticket.expose(), b"one").await;
    assert_eq!(result.unwrap_err(), AuthError::Expired);
    let token = core.form_token(b"one");
    assert!(core.is_form_token(&token, b"one") && !core.is_form_token(&token, b"two"));
}

#[tokio::test]
async fn what_is_over_goes() {
    let bench = Bench::new().await;
    let core = &bench.server.core;
    bench.code().await;
    core.begin_device(&bench.client, "openid", &origin())
        .await
        .unwrap();
    let new = NewClient {
        name: "Never used".into(),
        ..NewClient::default()
    };
    core.register_client(new, origin().ip).await.unwrap();
    assert_eq!(core.purge_oauth().await.unwrap(), 0);
    bench.server.pass(8 * 86_400);
    // The code, the device, the way to it, and the client that came by itself.
    assert_eq!(core.purge_oauth().await.unwrap(), 4);
    assert_eq!(core.clients(&bench.server.admin).await.unwrap().len(), 1);
}

#[tokio::test]
async fn clients_prove_who_they_are() {
    let bench = Bench::new().await;
    let core = &bench.server.core;
    let new = NewClient {
        name: "With a secret".into(),
        is_confidential: true,
        ..NewClient::default()
    };
    let terms = Terms::default();
    let made = core.add_client(&bench.server.admin, new, &terms);
    let made = made.await.unwrap();
    let secret = made.secret.unwrap();
    for (id, secret, want) in [
        (&made.client.id, Some(secret.clone()), true),
        (&made.client.id, Some("wrong".into()), false),
        (&made.client.id, None, false),
        (&bench.client.id, None, true),
        (&bench.client.id, Some(secret), false),
        (&String::new(), None, false),
    ] {
        let id = id.clone();
        let proof = ClientProof { id, secret };
        let result = core.authenticate_client(&proof).await;
        assert_eq!(result.is_ok(), want, "{proof:?}");
    }
    core.remove_client(&bench.server.admin, &bench.client.id)
        .await
        .unwrap();
    let proof = ClientProof {
        id: bench.client.id.clone(),
        secret: None,
    };
    assert_eq!(
        code_of(core.authenticate_client(&proof).await),
        "invalid_client"
    );
}

/// What is kept of codes.
async fn codes(bench: &Bench) -> Vec<CodeRecord> {
    let page = Page::first(keys::oauth_pending_of(Pending::Code), PENDING_MAX * 2);
    let rows = bench.server.core.engine.scan(page).await.unwrap();
    let codes = rows
        .iter()
        .map(|(key, bytes)| CodeRecord::from_bytes(key, bytes));
    codes.collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn one_account_has_so_many_codes() {
    let bench = Bench::new().await;
    let core = &bench.server.core;
    let of = core.check_authorization(&bench.request()).await.unwrap();
    for _ in 0..OPEN_CODES_PER_ACCOUNT_MAX {
        bench.code().await;
    }
    let got = core.authorize(&of, &bench.who).await;
    assert_eq!(code_of(got), "temporarily_unavailable");
    // The others sign in.
    let bob = SignedIn {
        account: bench.server.person("bob@example.org").await,
        ..bench.who.clone()
    };
    assert_eq!(code_of(core.authorize(&of, &bob).await), "ok");
    // Those that are over make room, and go.
    bench.server.pass(CODE_SECONDS.unsigned_abs());
    bench.code().await;
    let kept = codes(&bench).await;
    let own = kept
        .iter()
        .filter(|code| code.account != bob.account.number());
    assert_eq!(own.count(), 1);
    // Those that were used take none, and are bounded too.
    for _ in 0..SPENT_CODES_PER_ACCOUNT_MAX + 5 {
        bench.tokens().await;
    }
    bench.code().await;
    let spent = codes(&bench).await;
    let spent = spent.iter().filter(|code| code.grant.is_some()).count();
    assert_eq!(spent, SPENT_CODES_PER_ACCOUNT_MAX);
    // They are known for another hour, the others for a minute.
    bench.server.pass(CODE_SECONDS.unsigned_abs());
    core.purge_oauth().await.unwrap();
    assert_eq!(codes(&bench).await.len(), SPENT_CODES_PER_ACCOUNT_MAX);
    bench.server.pass(ACCESS_SECONDS.unsigned_abs());
    core.purge_oauth().await.unwrap();
    assert_eq!(codes(&bench).await.len(), 0);
}

#[tokio::test]
async fn what_was_used_or_is_over_keeps_nobody_out() {
    let bench = Bench::new().await;
    let core = &bench.server.core;
    let of = core.check_authorization(&bench.request()).await.unwrap();
    bench.code().await;
    let open = codes(&bench).await.remove(0);
    let fill = async |change: &dyn Fn(&mut CodeRecord)| {
        let mut batch = Batch::new();
        for number in 0..PENDING_MAX as u64 {
            let mut code = CodeRecord {
                account: 1_000_000 + number,
                ..open.clone()
            };
            change(&mut code);
            let key = keys::oauth_pending(Pending::Code, &number.to_be_bytes());
            batch.put(key, code.to_bytes());
        }
        core.engine.commit(batch).await.unwrap();
    };
    fill(&|code| code.grant = Some(2)).await;
    assert_eq!(code_of(core.authorize(&of, &bench.who).await), "ok");
    fill(&|code| code.expires = 0).await;
    assert_eq!(code_of(core.authorize(&of, &bench.who).await), "ok");
    fill(&|_| {}).await;
    let got = core.authorize(&of, &bench.who).await;
    assert_eq!(code_of(got), "temporarily_unavailable");
}

#[tokio::test]
async fn strangers_take_no_room_of_administrators() {
    let bench = Bench::new().await;
    let core = &bench.server.core;
    let record = bench.client.record.clone();
    let fill = async |count: usize, is_dynamic| {
        let mut batch = Batch::new();
        for number in 0..count {
            let key = keys::oauth_client(&format!("{is_dynamic}{number}"));
            let record = ClientRecord {
                is_dynamic,
                ..record.clone()
            };
            batch.put(key, record.to_bytes());
        }
        core.engine.commit(batch).await.unwrap();
    };
    let new = || NewClient {
        name: "One more".into(),
        ..NewClient::default()
    };
    let registered = async || code_of(core.register_client(new(), origin().ip).await);
    let made = async || {
        let terms = Terms::default();
        code_of(core.add_client(&bench.server.admin, new(), &terms).await)
    };
    fill(DYNAMIC_CLIENTS_MAX - 1, true).await;
    assert_eq!(registered().await, "ok");
    assert_eq!(registered().await, "temporarily_unavailable");
    assert_eq!(made().await, "ok");
    // With the one that there was from the beginning.
    fill(CLIENTS_MAX - 2, false).await;
    assert_eq!(made().await, "temporarily_unavailable");
    bench.server.pass(8 * 86_400);
    assert_eq!(core.purge_oauth().await.unwrap(), DYNAMIC_CLIENTS_MAX);
    assert_eq!(registered().await, "ok");
    assert_eq!(made().await, "temporarily_unavailable");
}

#[tokio::test]
async fn a_registration_has_so_many_octets() {
    let bench = Bench::new().await;
    let core = &bench.server.core;
    let uris = |octets: usize| -> Vec<String> {
        let uri = |_| format!("https://app.example/{}", "x".repeat(octets));
        (0..2).map(uri).collect()
    };
    for (octets, want) in [(1950, "ok"), (2020, "invalid_client_metadata")] {
        let new = NewClient {
            name: "A program".into(),
            redirect_uris: uris(octets),
            ..NewClient::default()
        };
        let got = core.register_client(new.clone(), origin().ip).await;
        assert_eq!(code_of(got), want, "{octets}");
        let terms = Terms::default();
        let made = core.add_client(&bench.server.admin, new, &terms).await;
        assert!(made.is_ok());
    }
}

#[tokio::test]
async fn a_client_that_was_removed_does_not_come_back() {
    let bench = Bench::new().await;
    let core = &bench.server.core;
    let code = bench.code().await;
    let tokens = bench.tokens().await;
    // It is a use that is to be noted.
    bench.server.pass(30);
    core.remove_client(&bench.server.admin, &bench.client.id)
        .await
        .unwrap();
    // Those who had looked at it before that.
    assert_eq!(code_of(bench.redeem(&code).await), "invalid_grant");
    let refresh = tokens.refresh_token.unwrap();
    assert_eq!(code_of(bench.refresh(&refresh).await), "invalid_grant");
    let left = core.clients(&bench.server.admin).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

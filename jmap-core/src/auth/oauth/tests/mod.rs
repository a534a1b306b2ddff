//! The whole of it, without HTTP: codes, tokens, devices, and what goes wrong.

use aws_lc_rs::{
    digest,
    signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;

mod more;

use super::*;
use crate::{
    Caller,
    admin::Terms,
    auth::{AuthError, Credentials, Origin, Protocol, Scopes, Secret},
    directory::tests::{PASSWORD, Server},
    sessions::{Ending, SessionKind},
};

const ISSUER: &str = "https://mail.example.org";
const BACK: &str = "https://app.example/back";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const ALL: &str =
    "openid email offline_access urn:ietf:params:jmap:mail urn:ietf:params:jmap:submission";

fn origin() -> Origin {
    Origin {
        ip: [192, 0, 2, 7].into(),
        protocol: Protocol::OAuth,
        tls: true,
    }
}

/// A server with ann, who has signed in, and a client.
struct Bench {
    server: Server,
    client: Client,
    who: SignedIn,
}

impl Bench {
    async fn new() -> Bench {
        let terms = Terms::default();
        let server = Server::with_domain().await;
        server.person_with_password("ann@example.org").await;
        let new = NewClient {
            name: "An app".into(),
            redirect_uris: vec![BACK.into()],
            ..NewClient::default()
        };
        let made = server.core.add_client(&server.admin, new, &terms);
        let client = made.await.unwrap().client;
        let step = server
            .core
            .sign_in("ann@example.org".into(), PASSWORD.into(), origin(), b"x");
        let Ok(SignInStep::Done(ticket)) = step.await else {
            panic!("no ticket");
        };
        let who = server.core.signed_in(ticket.expose(), b"x").await.unwrap();
        Bench {
            server,
            client,
            who,
        }
    }

    fn request(&self) -> AuthorizationRequest {
        let hash = digest::digest(&digest::SHA256, VERIFIER.as_bytes());
        AuthorizationRequest {
            response_type: Some("code".into()),
            client_id: Some(self.client.id.clone()),
            redirect_uri: Some(BACK.into()),
            scope: Some(ALL.into()),
            state: Some("a state".into()),
            code_challenge: Some(BASE64_URL_SAFE_NO_PAD.encode(hash.as_ref())),
            code_challenge_method: Some("S256".into()),
            nonce: Some("a nonce".into()),
            ..AuthorizationRequest::default()
        }
    }

    async fn code(&self) -> Secret<String> {
        let of = self.server.core.check_authorization(&self.request()).await;
        let code = self.server.core.authorize(&of.unwrap(), &self.who).await;
        code.unwrap()
    }

    async fn redeem(&self, code: &Secret<String>) -> Result<TokenResponse, OAuthError> {
        let verifier = Secret::from(VERIFIER);
        let core = &self.server.core;
        core.redeem_code(&self.client, (code, &verifier), BACK, (ISSUER, &origin()))
            .await
    }

    async fn tokens(&self) -> TokenResponse {
        let code = self.code().await;
        self.redeem(&code).await.unwrap()
    }

    async fn login(&self, token: &Secret<String>, by: Protocol) -> Result<Caller, AuthError> {
        let token = token.clone();
        let credentials = Credentials::Bearer { token };
        self.server.login_by(by, credentials).await
    }

    async fn refresh(&self, token: &Secret<String>) -> Result<TokenResponse, OAuthError> {
        let core = &self.server.core;
        core.refresh(&self.client, token, None, ISSUER).await
    }
}

fn code_of<T>(result: Result<T, OAuthError>) -> &'static str {
    result.err().map_or("ok", |error| error.code().name())
}

#[tokio::test]
async fn a_code_comes_to_tokens_that_open_what_was_granted() {
    let bench = Bench::new().await;
    let tokens = bench.tokens().await;
    for (protocol, want) in [
        (Protocol::Jmap, true),
        (Protocol::Imap, true),
        (Protocol::Submission, true),
        (Protocol::ManageSieve, false),
        (Protocol::Admin, false),
        (Protocol::OAuth, false),
    ] {
        let result = bench.login(&tokens.access_token, protocol).await;
        assert_eq!(result.is_ok(), want, "{protocol}");
        assert!(want || result.unwrap_err() == AuthError::OutOfScope);
    }
    let refresh = tokens.refresh_token.unwrap();
    let result = bench.login(&refresh, Protocol::Jmap).await;
    assert_eq!(result.unwrap_err(), AuthError::Invalid);
    bench.server.pass(ACCESS_SECONDS.unsigned_abs());
    let result = bench.login(&tokens.access_token, Protocol::Jmap).await;
    assert_eq!(result.unwrap_err(), AuthError::Expired);
}

#[tokio::test]
async fn an_id_token_is_signed_and_says_who() {
    let bench = Bench::new().await;
    let tokens = bench.tokens().await;
    let text = tokens.id_token.unwrap();
    let jwks = bench.server.core.jwks().await.unwrap();
    let key = &jwks["keys"][0];
    let of = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).unwrap();
    let mut parts = text.rsplitn(2, '.');
    let (signature, signed) = (parts.next().unwrap(), parts.next().unwrap());
    let (header, payload) = signed.split_once('.').unwrap();
    let header: Value = serde_json::from_slice(&of(header)).unwrap();
    assert_eq!(
        (&header["alg"], &header["kid"]),
        (&"RS256".into(), &key["kid"])
    );
    let public = RsaPublicKeyComponents {
        n: of(key["n"].as_str().unwrap()),
        e: of(key["e"].as_str().unwrap()),
    };
    let (signed, signature) = (signed.as_bytes(), of(signature));
    public
        .verify(&RSA_PKCS1_2048_8192_SHA256, signed, &signature)
        .unwrap();
    let claims: Value = serde_json::from_slice(&of(payload)).unwrap();
    for (name, want) in [
        ("iss", Value::from(ISSUER)),
        ("aud", Value::from(bench.client.id.clone())),
        ("nonce", Value::from("a nonce")),
        ("sub", Value::from(bench.who.account.to_string())),
        ("email", Value::from("ann@example.org")),
        ("auth_time", Value::from(bench.who.authenticated)),
        // It was not asked for.
        ("preferred_username", Value::Null),
    ] {
        assert_eq!(claims[name], want, "{name}");
    }
    assert!(!jwks.to_string().contains("\"d\""));
}

#[tokio::test]
async fn what_is_wrong_with_a_request() {
    let bench = Bench::new().await;
    let good = bench.request();
    let check = async |change: &dyn Fn(&mut AuthorizationRequest)| {
        let mut request = good.clone();
        change(&mut request);
        match bench.server.core.check_authorization(&request).await {
            Ok(_) => "ok",
            Err(AuthorizationError::Shown(_)) => "shown",
            Err(AuthorizationError::Sent {
                code, redirect_uri, ..
            }) => {
                assert_eq!(redirect_uri, BACK);
                code.name()
            }
            Err(AuthorizationError::Failed(error)) => panic!("{error}"),
        }
    };
    assert_eq!(check(&|_| {}).await, "ok");
    // Nobody is sent to an address that isn't the client's.
    for uri in [
        "https://app.example/back2",
        "https://app.example/back?x=1",
        "https://evil.example/",
        "",
    ] {
        let changed = check(&|of| of.redirect_uri = Some(uri.into())).await;
        assert_eq!(changed, "shown", "{uri}");
    }
    assert_eq!(check(&|of| of.redirect_uri = None).await, "shown");
    assert_eq!(check(&|of| of.client_id = Some("x".into())).await, "shown");
    assert_eq!(check(&|of| of.client_id = None).await, "shown");
    let token = Some("token".to_owned());
    let got = check(&|of| of.response_type = token.clone()).await;
    assert_eq!(got, "unsupported_response_type");
    assert_eq!(
        check(&|of| of.response_type = None).await,
        "invalid_request"
    );
    assert_eq!(
        check(&|of| of.code_challenge = None).await,
        "invalid_request"
    );
    let plain = Some("plain".to_owned());
    let got = check(&|of| of.code_challenge_method = plain.clone()).await;
    assert_eq!(got, "invalid_request");
    let got = check(&|of| of.code_challenge_method = None).await;
    assert_eq!(got, "invalid_request");
    assert_eq!(check(&|of| of.scope = None).await, "invalid_scope");
    let other = Some("nonsense".to_owned());
    assert_eq!(check(&|of| of.scope = other.clone()).await, "invalid_scope");
    let none = Some("none".to_owned());
    assert_eq!(
        check(&|of| of.prompt = none.clone()).await,
        "login_required"
    );
    let long = Some("x".repeat(TEXT_OCTETS_MAX + 1));
    assert_eq!(check(&|of| of.state = long.clone()).await, "shown");
}

#[tokio::test]
async fn a_link_leads_to_no_client_that_has_registered_itself() {
    let bench = Bench::new().await;
    let core = &bench.server.core;
    let new = NewClient {
        name: "Anybody's".into(),
        redirect_uris: vec![BACK.into()],
        ..NewClient::default()
    };
    let client = core.register_client(new, origin().ip).await.unwrap().client;
    let good = AuthorizationRequest {
        client_id: Some(client.id),
        ..bench.request()
    };
    assert!(core.check_authorization(&good).await.is_ok());
    let text = |text: &str| Some(text.to_owned());
    let changes: [&dyn Fn(&mut AuthorizationRequest); 6] = [
        &|of| of.response_type = text("token"),
        &|of| of.response_mode = text("fragment"),
        &|of| of.request = text("x"),
        &|of| of.code_challenge = None,
        &|of| of.scope = None,
        &|of| of.prompt = text("none"),
    ];
    for (at, change) in changes.iter().enumerate() {
        let mut request = good.clone();
        change(&mut request);
        let got = core.check_authorization(&request).await;
        assert!(matches!(got, Err(AuthorizationError::Shown(_))), "{at}");
    }
}

#[tokio::test]
async fn a_code_is_good_once_and_for_its_client() {
    let bench = Bench::new().await;
    let core = &bench.server.core;
    let code = bench.code().await;
    let (verifier, wrong) = (Secret::from(VERIFIER), Secret::new("x".repeat(43)));
    let at = (ISSUER, &origin());
    let got = core
        .redeem_code(&bench.client, (&code, &wrong), BACK, at)
        .await;
    assert_eq!(code_of(got), "invalid_grant");
    let elsewhere = "https://app.example/other";
    let got = core
        .redeem_code(&bench.client, (&code, &verifier), elsewhere, at)
        .await;
    assert_eq!(code_of(got), "invalid_grant");
    let new = NewClient {
        name: "Another".into(),
        ..NewClient::default()
    };
    let other = core.register_client(new, origin().ip).await.unwrap().client;
    let got = core.redeem_code(&other, (&code, &verifier), BACK, at).await;
    assert_eq!(code_of(got), "invalid_grant");
    // None of it has used it up.
    let tokens = bench.redeem(&code).await.unwrap();
    assert!(
        bench
            .login(&tokens.access_token, Protocol::Jmap)
            .await
            .is_ok()
    );
    // Who comes again ends what it has come to.
    assert_eq!(code_of(bench.redeem(&code).await), "invalid_grant");
    let result = bench.login(&tokens.access_token, Protocol::Jmap).await;
    assert_eq!(result.unwrap_err(), AuthError::Invalid);
    let refresh = tokens.refresh_token.unwrap();
    assert_eq!(code_of(bench.refresh(&refresh).await), "invalid_grant");
    // At the same time, one gets something.
    let code = bench.code().await;
    let (one, two) = tokio::join!(bench.redeem(&code), bench.redeem(&code));
    assert!(one.is_ok() != two.is_ok());
    let code = bench.code().await;
    bench.server.pass(CODE_SECONDS.unsigned_abs());
    assert_eq!(code_of(bench.redeem(&code).await), "invalid_grant");
}

#[tokio::test]
async fn refresh_tokens_are_replaced_and_one_that_comes_again_ends_the_grant() {
    let bench = Bench::new().await;
    let first = bench.tokens().await;
    let used = first.refresh_token.unwrap();
    let second = bench.refresh(&used).await.unwrap();
    let third = bench.refresh(&second.refresh_token.unwrap()).await.unwrap();
    // Access tokens go on to be good until their time is over.
    for token in [
        &first.access_token,
        &second.access_token,
        &third.access_token,
    ] {
        assert!(bench.login(token, Protocol::Jmap).await.is_ok());
    }
    assert_eq!(code_of(bench.refresh(&used).await), "invalid_grant");
    for token in [&first.access_token, &third.access_token] {
        assert!(bench.login(token, Protocol::Jmap).await.is_err());
    }
    let last = third.refresh_token.unwrap();
    assert_eq!(code_of(bench.refresh(&last).await), "invalid_grant");
}

#[tokio::test]
async fn a_token_may_be_for_less_than_was_granted() {
    let bench = Bench::new().await;
    let core = &bench.server.core;
    let tokens = bench.tokens().await;
    let refresh = tokens.refresh_token.unwrap();
    let more = Some("urn:ietf:params:jmap:sieve");
    let got = core.refresh(&bench.client, &refresh, more, ISSUER).await;
    assert_eq!(code_of(got), "invalid_scope");
    let less = Some("urn:ietf:params:jmap:mail");
    let less = core.refresh(&bench.client, &refresh, less, ISSUER).await;
    let less = less.unwrap();
    assert!(less.id_token.is_none());
    let who = bench
        .login(&less.access_token, Protocol::Imap)
        .await
        .unwrap();
    assert!(!who.scopes().contains(Scopes::SUBMISSION));
    let result = bench.login(&less.access_token, Protocol::Submission).await;
    assert_eq!(result.unwrap_err(), AuthError::OutOfScope);
    // The next one is for all again.
    let all = bench.refresh(&less.refresh_token.unwrap()).await.unwrap();
    assert!(
        bench
            .login(&all.access_token, Protocol::Submission)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn tokens_of_one_grant_and_grants_of_one_account_are_bounded() {
    let bench = Bench::new().await;
    let mut tokens = bench.tokens().await;
    let first = tokens.access_token.clone();
    for _ in 0..ACCESS_TOKENS_MAX {
        tokens = bench.refresh(&tokens.refresh_token.unwrap()).await.unwrap();
    }
    let core = &bench.server.core;
    assert!(core.token_info(first.expose()).await.unwrap().is_none());
    for _ in 0..GRANTS_PER_ACCOUNT_MAX {
        bench.server.pass(1);
        bench.tokens().await;
    }
    // The one that was not used for the longest time has gone.
    assert!(
        bench
            .login(&tokens.access_token, Protocol::Jmap)
            .await
            .is_err()
    );
    let listed = core
        .credentials(&bench.server.admin, bench.who.account)
        .await;
    assert_eq!(listed.unwrap().len(), 1 + GRANTS_PER_ACCOUNT_MAX);
}

#[tokio::test]
async fn tokens_are_asked_about_and_given_back() {
    let bench = Bench::new().await;
    let core = &bench.server.core;
    let tokens = bench.tokens().await;
    let refresh = tokens.refresh_token.clone().unwrap();
    let terms = Terms::default();
    let new = |name: &str, is_confidential| NewClient {
        name: name.into(),
        is_confidential,
        ..NewClient::default()
    };
    let stranger = core.register_client(new("Other", false), origin().ip).await;
    let stranger = stranger.unwrap().client;
    let resource = core.add_client(&bench.server.admin, new("Resource", true), &terms);
    let resource = resource.await.unwrap().client;
    let access = tokens.access_token.expose();
    for (client, want) in [(&bench.client, true), (&resource, true), (&stranger, false)] {
        let info = core.introspect(client, access).await.unwrap();
        assert_eq!(info.is_some(), want, "{}", client.record.name);
    }
    // Whose it isn't, takes nothing away.
    core.revoke_token(&stranger, access).await.unwrap();
    core.revoke_token(&bench.client, "nonsense").await.unwrap();
    assert!(
        bench
            .login(&tokens.access_token, Protocol::Jmap)
            .await
            .is_ok()
    );
    core.revoke_token(&bench.client, access).await.unwrap();
    assert!(
        bench
            .login(&tokens.access_token, Protocol::Jmap)
            .await
            .is_err()
    );
    let newer = bench.refresh(&refresh).await.unwrap();
    let last = newer.refresh_token.unwrap();
    core.revoke_token(&bench.client, last.expose())
        .await
        .unwrap();
    assert!(
        bench
            .login(&newer.access_token, Protocol::Jmap)
            .await
            .is_err()
    );
    assert_eq!(code_of(bench.refresh(&last).await), "invalid_grant");
}

#[tokio::test]
async fn what_the_owner_does_counts_at_once() {
    let bench = Bench::new().await;
    let core = &bench.server.core;
    let tokens = bench.tokens().await;
    let who = bench
        .login(&tokens.access_token, Protocol::Jmap)
        .await
        .unwrap();
    let code = bench.code().await;
    bench.server.pass(2);
    // A new password makes codes void that were given for the old one.
    let password = Secret::from("another horse 77");
    core.set_password(&bench.server.admin, bench.who.account, &password)
        .await
        .unwrap();
    assert_eq!(code_of(bench.redeem(&code).await), "invalid_grant");
    core.revoke_credential(&bench.server.admin, bench.who.account, who.credential)
        .await
        .unwrap();
    assert!(
        bench
            .login(&tokens.access_token, Protocol::Jmap)
            .await
            .is_err()
    );
    assert!(core.current(&who).await.unwrap().is_none());
}

#[tokio::test]
async fn a_session_lasts_no_longer_than_its_token() {
    let bench = Bench::new().await;
    let core = &bench.server.core;
    let first = bench.tokens().await;
    let open = async |token: &Secret<String>| {
        let who = bench.login(token, Protocol::Imap).await.unwrap();
        let place = core.sessions().place(SessionKind::Imap, who.address());
        core.open_session(&place, &who).await;
        place
    };
    let of_first = open(&first.access_token).await;
    bench.server.pass(60);
    let second = bench.refresh(&first.refresh_token.unwrap()).await.unwrap();
    let of_second = open(&second.access_token).await;
    // The grant lives on, and so does what the other token has opened.
    bench.server.pass(ACCESS_SECONDS.unsigned_abs() - 60);
    core.sessions().end_expired(core.clock.now().0);
    assert_eq!(of_first.ending(), Some(Ending::LoginOver));
    assert_eq!(of_second.ending(), None);
    let third = bench.refresh(&second.refresh_token.unwrap()).await.unwrap();
    let of_third = open(&third.access_token).await;
    let text = second.access_token.expose();
    core.revoke_token(&bench.client, text).await.unwrap();
    core.end_lost_sessions().await.unwrap();
    assert_eq!(of_second.ending(), Some(Ending::LoginOver));
    assert_eq!(of_third.ending(), None);
}

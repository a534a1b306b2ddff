//! What clients and pages of others do wrong.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use e2e::{
    PASSWORD, Server,
    http::{Answer, Http},
};

use crate::{
    ALICE, BACK, VERIFIER, asked,
    browser::{Browser, form_body, parameter},
    let_in, provider, redeem, register, submission, token,
};

fn error(answer: &Answer) -> String {
    let json = answer.json();
    assert!(json["error_description"].is_string(), "{json}");
    let no_store = answer.header("cache-control");
    assert_eq!(no_store, Some("no-store"), "{json}");
    json["error"].as_str().expect("an error").to_owned()
}

/// A client as `register` makes one, but by an administrator.
fn made_by_administrator(server: &Server) -> String {
    server
        .home
        .cli(&["account", "role", ALICE, "administrator"], "");
    let basic = BASE64_STANDARD.encode(format!("{ALICE}:{PASSWORD}"));
    let authorization = format!("Basic {basic}");
    let fields = [
        ("Authorization", authorization.as_str()),
        ("Content-Type", "application/json"),
    ];
    let body = format!(r#"{{"name": "A known app", "redirectUris": ["{BACK}"]}}"#);
    let mut http = Http::new(server.home.http);
    let answer = http.post("/api/v1/oauth-clients", &fields, body.as_bytes());
    assert_eq!(answer.status, 201, "{}", answer.text());
    let id = &answer.json()["client"]["id"];
    id.as_str().expect("an id").to_owned()
}

#[test]
fn nobody_is_sent_where_a_client_has_not_said() {
    let server = provider();
    let client = register(&server);
    let mut browser = Browser::new(&server);
    for (name, value) in [
        ("redirect_uri", "https://app.example/back/"),
        ("redirect_uri", "https://app.example/back?more"),
        ("redirect_uri", "https://app.example.evil.example/back"),
        ("redirect_uri", ""),
        ("client_id", "nobody"),
    ] {
        let answer = browser.open(&asked(&client, &[(name, value)]));
        assert_eq!(answer.status, 400, "{value}");
        assert_eq!(answer.header("location"), None, "{value}");
        assert!(answer.text().contains("role=\"alert\""));
    }
    let trusted = made_by_administrator(&server);
    for (name, value, want) in [
        ("response_type", "token", "unsupported_response_type"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("code_challenge", "", "invalid_request"),
        ("scope", "nonsense", "invalid_scope"),
        ("prompt", "none", "login_required"),
        ("request", "x", "invalid_request"),
    ] {
        // Anybody can register a client: a link to this server doesn't lead there.
        let answer = browser.open(&asked(&client, &[(name, value)]));
        assert_eq!(answer.status, 400, "{name} {value}");
        assert_eq!(answer.header("location"), None, "{name} {value}");
        let answer = browser.open(&asked(&trusted, &[(name, value)]));
        assert_eq!(answer.status, 303, "{name} {value}");
        let location = answer.header("location").expect("an address");
        assert!(location.starts_with(&format!("{BACK}?")), "{location}");
        assert_eq!(parameter(location, "error").as_deref(), Some(want));
        assert_eq!(parameter(location, "state").as_deref(), Some("a state"));
        let issuer = format!("http://127.0.0.1:{}", server.home.http);
        assert_eq!(parameter(location, "iss"), Some(issuer));
    }
    // A parameter that comes twice.
    let twice = format!("{}&state=again", asked(&client, &[]));
    assert_eq!(browser.open(&twice).status, 400);
}

#[test]
fn a_form_counts_from_its_own_page_alone() {
    let server = provider();
    let client = register(&server);
    let login = [("login", ALICE), ("password", PASSWORD)];
    let mut browser = Browser::new(&server);
    let page = browser.open(&asked(&client, &[]));
    let is_login = |answer: &Answer| {
        assert_eq!(answer.status, 200);
        answer.text().contains("name=\"password\"")
    };
    // A page of somebody else sends it.
    assert!(is_login(&browser.send_from(
        &page,
        &login,
        "https://evil.example"
    )));
    // Another browser has the page, and no cookie, or one of its own.
    let mut other = Browser::new(&server);
    assert!(is_login(&other.send(&page, &login)));
    other.open(&asked(&client, &[]));
    assert!(is_login(&other.send(&page, &login)));
    // What somebody has signed in for is no other request.
    let consent = browser.send(&page, &login);
    assert!(
        consent.text().contains("Allow access?"),
        "{}",
        consent.text()
    );
    let more = asked(&client, &[("state", "another")]);
    let (_, query) = more.split_once('?').expect("a query");
    let page = browser.open(&more);
    let hidden = |page: &Answer, name: &str| {
        let text = page.text();
        let start = format!("name=\"{name}\" value=\"");
        let value = text.split(&start).nth(1).expect("a field");
        value.split('"').next().expect("a value").to_owned()
    };
    let body = form_body(&[
        ("request", query),
        ("form", &hidden(&page, "form")),
        ("ticket", &hidden(&consent, "ticket")),
        ("decision", "allow"),
    ]);
    let cookie = browser.cookie.clone().expect("a cookie");
    let fields = [
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Cookie", &*cookie),
    ];
    let answer = Http::new(server.home.http).post("/oauth/authorize", &fields, body.as_bytes());
    assert!(is_login(&answer));
    // Who doesn't agree is sent back with that.
    let answer = browser.send(&consent, &[("decision", "deny")]);
    let location = answer.header("location").expect("an address");
    assert_eq!(
        parameter(location, "error").as_deref(),
        Some("access_denied")
    );
    assert_eq!(parameter(location, "code"), None);
}

#[test]
fn what_is_wrong_with_a_token_request() {
    let server = provider();
    let client = register(&server);
    let code = Browser::new(&server).allow(&asked(&client, &[]), ALICE, PASSWORD);
    let good = [
        ("grant_type", "authorization_code"),
        ("client_id", &*client),
        ("redirect_uri", BACK),
        ("code", &*code),
        ("code_verifier", VERIFIER),
    ];
    for (name, value, status, want) in [
        ("grant_type", "password", 400, "unsupported_grant_type"),
        ("grant_type", "", 400, "invalid_request"),
        ("client_id", "nobody", 401, "invalid_client"),
        ("client_id", "", 401, "invalid_client"),
        ("client_secret", "wrong", 401, "invalid_client"),
        ("redirect_uri", "https://app.example/", 400, "invalid_grant"),
        ("redirect_uri", "", 400, "invalid_request"),
        ("code", "ph_nonsense", 400, "invalid_grant"),
        ("code", "", 400, "invalid_request"),
        ("code_verifier", "wrong", 400, "invalid_grant"),
        ("code_verifier", "", 400, "invalid_request"),
    ] {
        let mut pairs = good.to_vec();
        pairs.retain(|(known, _)| *known != name);
        pairs.push((name, value));
        let answer = token(&server, &pairs);
        assert_eq!(
            (answer.status, &*error(&answer)),
            (status, want),
            "{name} {value}"
        );
    }
    let mut http = Http::new(server.home.http);
    let fields = [("Content-Type", "application/json")];
    let answer = http.post("/oauth/token", &fields, b"{}");
    assert_eq!(error(&answer), "invalid_request");
    assert_eq!(http.get("/oauth/token", &[]).status, 405);
    let long = format!("grant_type={}", "x".repeat(40_000));
    let fields = [("Content-Type", "application/x-www-form-urlencoded")];
    let answer = http.post("/oauth/token", &fields, long.as_bytes());
    assert_eq!(error(&answer), "invalid_request");
    // Nothing of it has used the code up; then it is good once.
    let first = redeem(&server, &client, &code);
    assert_eq!(first.status, 200, "{}", first.text());
    let again = redeem(&server, &client, &code);
    assert_eq!((again.status, &*error(&again)), (400, "invalid_grant"));
    let bearer = format!(
        "Bearer {}",
        first.json()["access_token"].as_str().expect("a token")
    );
    let fields = [("Authorization", bearer.as_str())];
    let mut http = Http::new(server.home.http);
    assert_eq!(http.get("/.well-known/jmap", &fields).status, 401);
}

#[test]
fn what_a_token_is_not_for() {
    let server = provider();
    let client = register(&server);
    let tokens = let_in(&server, &client);
    let access = tokens["access_token"].as_str().expect("a token");
    assert!(submission(&server, &["--bearer", access]).starts_with("235"));
    let refused = submission(&server, &["--bearer", "ph_nonsense"]);
    assert!(refused.starts_with("535 5.7.8"), "{refused}");
    let bearer = format!("Bearer {access}");
    let fields = [("Authorization", bearer.as_str())];
    let mut http = Http::new(server.home.http);
    assert_eq!(http.get("/.well-known/jmap", &fields).status, 200);
    // Nobody has granted the API.
    assert_eq!(http.get("/api/v1/me", &fields).status, 403);
    assert_eq!(http.get("/oauth/userinfo", &[]).status, 401);
    let answer = http.get("/oauth/userinfo", &[("Authorization", "Bearer nonsense")]);
    assert_eq!((answer.status, &*error(&answer)), (401, "invalid_token"));
    let refresh = format!(
        "Bearer {}",
        tokens["refresh_token"].as_str().expect("a token")
    );
    let fields = [("Authorization", refresh.as_str())];
    for path in ["/.well-known/jmap", "/oauth/userinfo"] {
        assert_eq!(http.get(path, &fields).status, 401, "{path}");
    }
}

#[test]
fn the_owner_sees_what_was_granted_and_takes_it_away() {
    let server = provider();
    let client = register(&server);
    let tokens = let_in(&server, &client);
    let listed = server.home.cli(&["credential", "list", ALICE], "");
    let line = listed.lines().find(|line| line.contains("grant"));
    let line = line.unwrap_or_else(|| panic!("{listed}"));
    assert!(line.contains("for imap pop3 submission jmap"), "{line}");
    assert!(line.contains("An app"), "{line}");
    let number = line.split(' ').next().expect("a number");
    server
        .home
        .cli(&["credential", "revoke", ALICE, number], "");
    let refresh = tokens["refresh_token"].as_str().expect("a token");
    let answer = token(
        &server,
        &[
            ("grant_type", "refresh_token"),
            ("client_id", &client),
            ("refresh_token", refresh),
        ],
    );
    assert_eq!(error(&answer), "invalid_grant");
}

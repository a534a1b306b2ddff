//! OAuth 2.0 and OpenID Connect on the running server: a client that others wrote, the pages, and everything that clients do wrong.
//!
//! Holds: what is granted survives `kill -9`; an error is the RFC's; nobody is sent to an address that a client hasn't registered.

mod browser;
mod errors;
mod factors;
mod passkeys;
mod scopes;

use std::{path::Path, process::Command};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use e2e::{Home, PASSWORD, Server, http::Http, reading::Connection};

use crate::browser::{Browser, form_body};

pub const ALICE: &str = "alice@example.org";
pub const BACK: &str = "https://app.example/back";
/// RFC 7636, appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A server whose pages are on, where programs may register themselves.
pub fn provider() -> Server {
    let home = Home::with_people()
        .set("oauth", "provider = true")
        .set("oauth", "registration = true");
    Server::start_in(home)
}

/// Registers a public client that has one redirection URI.
pub fn register(server: &Server) -> String {
    let body = format!(
        r#"{{"client_name": "An app", "redirect_uris": ["{BACK}"], "token_endpoint_auth_method": "none"}}"#
    );
    let fields = [("Content-Type", "application/json")];
    let answer = Http::new(server.home.http).post("/oauth/register", &fields, body.as_bytes());
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["client_id"]
        .as_str()
        .expect("an id")
        .to_owned()
}

/// The address to which a client sends somebody.
pub fn asked(client: &str, changes: &[(&str, &str)]) -> String {
    let mut pairs = vec![
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", BACK),
        (
            "scope",
            "openid email offline_access urn:ietf:params:jmap:mail urn:ietf:params:jmap:submission",
        ),
        ("state", "a state"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in changes {
        pairs.retain(|(known, _)| known != name);
        pairs.push((name, value));
    }
    format!("/oauth/authorize?{}", form_body(&pairs))
}

/// Asks for tokens.
pub fn token(server: &Server, pairs: &[(&str, &str)]) -> e2e::http::Answer {
    let fields = [("Content-Type", "application/x-www-form-urlencoded")];
    let body = form_body(pairs);
    Http::new(server.home.http).post("/oauth/token", &fields, body.as_bytes())
}

/// Redeems a code.
pub fn redeem(server: &Server, client: &str, code: &str) -> e2e::http::Answer {
    token(
        server,
        &[
            ("grant_type", "authorization_code"),
            ("client_id", client),
            ("redirect_uri", BACK),
            ("code", code),
            ("code_verifier", VERIFIER),
        ],
    )
}

/// Alice lets the client in: what it is told.
pub fn let_in(server: &Server, client: &str) -> serde_json::Value {
    let mut browser = Browser::new(server);
    let code = browser.allow(&asked(client, &[]), ALICE, PASSWORD);
    let answer = redeem(server, client, &code);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// What submission says to a password, or to `--bearer` and a token.
pub fn submission(server: &Server, secret: &[&str]) -> String {
    let python = std::env::var_os("POSTHORN_PYTHON")
        .expect("POSTHORN_PYTHON has to name a python; `cargo xtask test` makes one");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/submission_login.py");
    let output = Command::new(python)
        .arg(script)
        .args([&server.home.submission.to_string(), ALICE])
        .args(secret)
        .output()
        .expect("python can't be run");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn session_status(server: &Server, token: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    let fields = [("Authorization", bearer.as_str())];
    Http::new(server.home.http)
        .get("/.well-known/jmap", &fields)
        .status
}

#[test]
fn authlib_gets_along_with_it() {
    let server = provider();
    let python = std::env::var_os("POSTHORN_PYTHON")
        .expect("POSTHORN_PYTHON has to name a python with Authlib; `cargo xtask test` makes one");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/oauth_client.py");
    let base = format!("http://127.0.0.1:{}", server.home.http);
    let output = Command::new(python)
        .arg(script)
        .args([&base, &server.home.imap.to_string(), ALICE, PASSWORD])
        .output()
        .expect("python can't be run");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{said}{errors}{}",
        server.log_tail()
    );
    for part in [
        "discovery",
        "registration",
        "code with PKCE",
        "ID token and userinfo",
        "JMAP",
        "IMAP",
        "refresh",
        "introspection and revocation",
        "device",
    ] {
        assert!(said.lines().any(|line| line == part), "{part}: {said}");
    }
    // curl's own OAUTHBEARER.
    let last = said.lines().last().expect("a token");
    let access = last.split(' ').next().expect("a token");
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--user", &format!("{ALICE}:")])
        .args(["--oauth2-bearer", access])
        .args(["--login-options", "AUTH=OAUTHBEARER"])
        .arg(format!("imap://127.0.0.1:{}/INBOX", server.home.imap))
        .args(["--request", "NOOP"])
        .output()
        .expect("curl can't be run");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let log = server.log();
    assert!(
        !log.contains(access) && !log.contains(PASSWORD),
        "a secret is in the log"
    );
}

#[test]
fn what_was_granted_survives_a_kill() {
    let mut server = provider();
    let client = register(&server);
    let tokens = let_in(&server, &client);
    server.kill();
    server.restart();
    let access = tokens["access_token"].as_str().expect("a token");
    assert_eq!(session_status(&server, access), 200);
    let refresh = tokens["refresh_token"].as_str().expect("a token");
    let pairs = [
        ("grant_type", "refresh_token"),
        ("client_id", &*client),
        ("refresh_token", refresh),
    ];
    let newer = token(&server, &pairs);
    assert_eq!(newer.status, 200, "{}", newer.text());
    let newer = newer.json();
    server.kill();
    server.restart();
    let access = newer["access_token"].as_str().expect("a token");
    assert_eq!(session_status(&server, access), 200);
    // Also that the first one was used is known.
    let again = token(&server, &pairs);
    assert_eq!(again.status, 400);
    assert_eq!(again.json()["error"], "invalid_grant");
    assert_eq!(session_status(&server, access), 401);
    server.stop();
    server.home.check();
}

#[test]
fn it_is_off_until_it_is_configured() {
    let server = Server::start();
    let mut http = Http::new(server.home.http);
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/.well-known/oauth-protected-resource",
        "/oauth/authorize",
        "/oauth/jwks",
    ] {
        assert_eq!(http.get(path, &[]).status, 404, "{path}");
    }
    let answer = http.get("/.well-known/jmap", &[]);
    assert_eq!(answer.status, 401);
    assert!(
        !answer
            .headers
            .iter()
            .any(|(_, value)| value.contains("resource_metadata"))
    );
    let home = Home::with_people().set("oauth", "provider = true");
    let server = Server::start_in(home);
    let mut http = Http::new(server.home.http);
    let metadata = http
        .get("/.well-known/oauth-authorization-server", &[])
        .json();
    assert!(metadata.get("registration_endpoint").is_none());
    let fields = [("Content-Type", "application/json")];
    let answer = http.post("/oauth/register", &fields, b"{}");
    assert_eq!(answer.status, 400);
    // RFC 9728: who isn't logged in is told where to go.
    let answer = http.get("/.well-known/jmap", &[]);
    let mut challenges = answer.headers.iter();
    let challenge = challenges.find(|(_, value)| value.starts_with("Bearer"));
    let (_, challenge) = challenge.expect("a challenge");
    let url = challenge
        .split("resource_metadata=\"")
        .nth(1)
        .expect("a URL");
    let path = url
        .split(&server.home.http.to_string())
        .nth(1)
        .expect("a path");
    let resource = http.get(path.trim_end_matches('"'), &[]).json();
    let base = format!("http://127.0.0.1:{}", server.home.http);
    assert_eq!(resource["authorization_servers"][0], base);
}

/// RFC 7628 §3.1, RFC 4422 §3.4.1, and what XOAUTH2 has in their place: whoever is named has to be the one whose token it is.
#[test]
fn a_token_is_for_its_own_account_over_all_protocols() {
    let server = Server::start();
    let issued = server.home.cli(&["credential", "token", ALICE], "");
    let token = issued.lines().next().expect("no token").trim().to_owned();
    let bob = "bob@example.org";
    let home = &server.home;
    // Port, what a greeting ends with, how it is asked, and what a login is answered with.
    let protocols = [
        ("imap", home.imap, "* OK", "a AUTHENTICATE {m} {r}", "a OK"),
        ("pop3", home.pop3, "+OK", "AUTH {m} {r}", "+OK"),
        (
            "managesieve",
            home.managesieve,
            "OK",
            "AUTHENTICATE \"{m}\" \"{r}\"",
            "OK",
        ),
    ];
    let logs_in = |of: &(&str, u16, &str, &str, &str), mechanism: &str, user: &str| {
        let (name, port, greeting, ask, done) = *of;
        let mut connection = Connection::open(port).expect("no connection");
        let mut line = || connection.line().expect("no line");
        while !line().starts_with(greeting) {}
        let response = match (mechanism, user) {
            ("XOAUTH2", user) => format!("user={user}\u{1}auth=Bearer {token}\u{1}\u{1}"),
            (_, "") => format!("n,,\u{1}auth=Bearer {token}\u{1}\u{1}"),
            (_, user) => format!("n,a={user},\u{1}auth=Bearer {token}\u{1}\u{1}"),
        };
        let response = BASE64_STANDARD.encode(response);
        let ask = ask.replace("{m}", mechanism).replace("{r}", &response);
        let ask = format!("{ask}\r\n");
        connection.write(ask.as_bytes()).expect("not said");
        let mut answer = connection.line().expect("no answer");
        // A challenge that says why, which is answered by anything.
        let is_challenge = ["+ ", "\"", "{"]
            .iter()
            .any(|begin| answer.starts_with(begin));
        if is_challenge {
            let quoted = if name == "managesieve" {
                "\"AQ==\""
            } else {
                "AQ=="
            };
            let bye = format!("{quoted}\r\n");
            connection.write(bye.as_bytes()).expect("not said");
            answer = connection.line().expect("no answer");
        }
        if name == "pop3" {
            // The mailbox is another session's until this one has ended.
            connection.write(b"QUIT\r\n").expect("not said");
            connection.line().expect("no answer");
        }
        answer.starts_with(done)
    };
    for of in &protocols {
        for mechanism in ["OAUTHBEARER", "XOAUTH2"] {
            assert!(logs_in(of, mechanism, ALICE), "{} {mechanism}", of.0);
            assert!(!logs_in(of, mechanism, bob), "{} {mechanism}", of.0);
        }
        assert!(logs_in(of, "OAUTHBEARER", ""), "{}", of.0);
    }
    assert!(!server.log().contains(&token), "a secret is in the log");
}

//! Passkeys in a real browser, with an authenticator that Chromium plays: made by the API, used on the page.

use std::{
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use e2e::{PASSWORD, browser::Browser, http::Http};
use serde_json::{Value, json};

use crate::{
    ALICE, CHALLENGE, VERIFIER,
    browser::{form_body, parameter},
    provider, token,
};

const WAIT: Duration = Duration::from_secs(40);
/// Nobody listens there: the browser stays at the address.
const BACK: &str = "http://127.0.0.1:9/back";

/// What a page of the account's does: asks for options, makes a passkey, and sends it.
const MAKE: &str = r#"
    const [authorization] = arguments;
    const ask = async (path, body) => {
        const headers = {Authorization: authorization, 'Content-Type': 'application/json'};
        const answer = await fetch('/api/v1' + path, {method: 'POST', headers, body: body && JSON.stringify(body)});
        return await answer.json();
    };
    const octets = (text) =>
        Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (letter) => letter.charCodeAt(0));
    const text = (buffer) =>
        btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
    return (async () => {
        const options = await ask('/me/passkey-options');
        options.challenge = octets(options.challenge);
        options.user.id = octets(options.user.id);
        options.excludeCredentials.forEach((of) => { of.id = octets(of.id); });
        const made = await navigator.credentials.create({publicKey: options});
        return await ask('/me/passkeys', {
            description: 'a key',
            clientData: text(made.response.clientDataJSON),
            attestationObject: text(made.response.attestationObject),
        });
    })();
"#;

#[test]
fn somebody_signs_in_with_a_passkey() {
    let server = provider();
    let base = format!("http://localhost:{}", server.home.http);
    let body = format!(
        r#"{{"client_name": "An app", "redirect_uris": ["{BACK}"], "token_endpoint_auth_method": "none"}}"#
    );
    let fields = [("Content-Type", "application/json")];
    let answer = Http::new(server.home.http).post("/oauth/register", &fields, body.as_bytes());
    let client = answer.json()["client_id"]
        .as_str()
        .expect("an id")
        .to_owned();

    let browser = Browser::start();
    browser.add_authenticator();
    browser.go(&format!("{base}/healthz"));
    let basic = BASE64_STANDARD.encode(format!("{ALICE}:{PASSWORD}"));
    let made = browser.run(MAKE, json!([format!("Basic {basic}")]));
    assert_eq!(made["description"], "a key", "{made}");

    let query = form_body(&[
        ("response_type", "code"),
        ("client_id", &client),
        ("redirect_uri", BACK),
        ("scope", "openid email urn:ietf:params:jmap:mail"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]);
    browser.go(&format!("{base}/oauth/authorize?{query}"));
    let button = |text: &str| -> Value {
        let script = "return [...document.querySelectorAll('button')].find((of) => of.innerText === arguments[0] \
             && of.getClientRects().length > 0)";
        browser.until(text, script, json!([text]))
    };
    if let Some(folder) = std::env::var_os("POSTHORN_PICTURES") {
        pictures(&browser, std::path::Path::new(&folder), "login");
    }
    browser.click(&button("Sign in with a passkey"));
    let allow = button("Allow");
    if let Some(folder) = std::env::var_os("POSTHORN_PICTURES") {
        pictures(&browser, std::path::Path::new(&folder), "consent");
    }
    let shown = browser.run("return document.body.innerText", json!([]));
    assert!(shown.as_str().expect("a text").contains(ALICE), "{shown}");
    browser.click(&allow);
    let code = sent_back(&browser);
    let answer = token(
        &server,
        &[
            ("grant_type", "authorization_code"),
            ("client_id", &client),
            ("redirect_uri", BACK),
            ("code", &code),
            ("code_verifier", VERIFIER),
        ],
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    let complaints = browser.complaints();
    let bad = complaints
        .iter()
        .filter(|of| of.text.contains("Content Security Policy"));
    assert_eq!(bad.count(), 0, "{complaints:?}");
}

/// The code that the browser was sent to the client with: nobody answers there, and so the page is none.
fn sent_back(browser: &Browser) -> String {
    let end = Instant::now() + WAIT;
    loop {
        let url = browser.url();
        if let Some(code) = parameter(&url, "code").filter(|_| url.starts_with(BACK)) {
            return code;
        }
        assert!(Instant::now() < end, "the browser is still at {url}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// How a page looks, in light and dark, and on a phone.
fn pictures(browser: &Browser, folder: &std::path::Path, name: &str) {
    for colours in ["light", "dark"] {
        browser.system_colours(colours);
        for (size, width, height) in [("wide", 1200, 800), ("phone", 390, 800)] {
            browser.screen(width, height, size == "phone");
            browser.screenshot(&folder.join(format!("{name}-{colours}-{size}.png")));
        }
    }
}

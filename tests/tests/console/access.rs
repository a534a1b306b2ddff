//! Who gets in, and by what: second factors, passkeys, app passwords that are good for little, sessions, bans.

use std::time::{Duration, SystemTime};

use e2e::{
    Home, PASSWORD,
    http::Http,
    imap::Imap,
    jmap::basic,
    receiver::{Received, Receiver},
};
use serde_json::{Value, json};

use crate::page::{Console, address};

const TOTP: &str = include_str!("totp.js");

fn signed_in(name: &str, path: &str) -> Console {
    let console = Console::start();
    console.sign_in(name, path);
    console
}

/// What the device shows, `steps` from now.
fn code(console: &Console, secret: &str, steps: i64) -> String {
    let code = console.browser.run(TOTP, json!([secret, steps]));
    code.as_str().expect("a code").to_owned()
}

/// Waits, if need be, for a step that won't end at once.
fn in_a_fresh_step() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let left = 30 - now.expect("a time").as_secs() % 30;
    if left < 12 {
        std::thread::sleep(Duration::from_secs(left));
    }
}

/// A text of the open dialog.
fn of_dialog(console: &Console, selector: &str) -> String {
    let script = "return document.querySelector(`dialog[open] ${arguments[0]}`)?.innerText";
    let text = console.browser.until(selector, script, json!([selector]));
    text.as_str().expect("a text").to_owned()
}

fn give_password(console: &Console, name: &str) {
    console.heading("Sign in to Posthorn");
    console.fill("Account", &address(name));
    console.fill("Password", PASSWORD);
    console.press("Sign in");
    console.text("Give the code that your device shows");
}

fn give_code(console: &Console, code: &str) {
    console.fill("Code", code);
    console.press("Sign in");
}

/// The status of what the password alone gets.
fn by_password(console: &Console, name: &str) -> u16 {
    let login = basic(&address(name), PASSWORD);
    let mut http = Http::new(console.server.home.http);
    http.get("/api/v1/me", &[("Authorization", &login)]).status
}

#[test]
fn an_administrator_signs_in_with_a_code() {
    let console = signed_in("admin", "/account/security");
    console.heading("Sign-in");
    console.press("Set up a device");
    console.text("type the secret");
    let drawn = "const image = document.querySelector('dialog[open] .qr'); return image?.complete && image.naturalWidth > 100";
    console.browser.until("the QR code", drawn, json!([]));
    let secret = of_dialog(&console, ".secret code");
    let problems = console.problems("a secret");
    assert!(problems.is_empty(), "{problems:#?}");
    console.picture("device");
    console.fill("Code that the device shows", "12345x");
    console.press("Set up a device");
    console.browser.until(
        "the refusal",
        "return document.querySelector('dialog .note.bad, dialog .error')",
        json!([]),
    );
    in_a_fresh_step();
    let first = code(&console, &secret, -1);
    console.fill("Code that the device shows", &first);
    console.press("Set up a device");
    console.text("They are shown this once");
    let recovery = of_dialog(&console, ".codes li");
    console.picture("recovery-codes");
    console.press("Done");
    console.text("Recovery codes that are left");
    assert_eq!(by_password(&console, "admin"), 403);
    // One code is enough, in any browser.
    console.press("Sign out");
    give_password(&console, "admin");
    console.picture("code");
    give_code(&console, "00000x");
    console.browser.until(
        "the refusal",
        "return document.querySelector('.note.bad')",
        json!([]),
    );
    give_code(&console, &code(&console, &secret, 0));
    console.heading("Sign-in");
    console.open("/admin/accounts");
    console.text("alice@example.org");
    console.press("Sign out");
    console
        .browser
        .run("localStorage.clear(); location.reload()", json!([]));
    give_password(&console, "admin");
    give_code(&console, &recovery);
    console.heading("Accounts");
    let kept = "return JSON.stringify([localStorage, sessionStorage])";
    let kept = console.browser.run(kept, json!([])).to_string();
    for what in [PASSWORD, recovery.as_str(), secret.as_str()] {
        assert!(!kept.contains(what), "a secret is kept");
    }
    // And away with it.
    console.open("/account/security");
    console.press("New recovery codes");
    console.text("won't be good any more");
    console.fill("Code of the second factor", &code(&console, &secret, 1));
    console.press("New recovery codes");
    let renewed = of_dialog(&console, ".codes li");
    assert_ne!(renewed, recovery);
    console.press("Done");
    console.press("Take it away");
    console.text("without a code");
    console.fill("Code of the second factor", "00000x");
    console.press("Take it away");
    console.text("the code is wrong");
    console.fill("Code of the second factor", &renewed);
    console.press("Take it away");
    console.text("The password alone is enough again.");
    assert_eq!(by_password(&console, "admin"), 200);
    console.assert_quiet(&["status of 4"]);
}

/// Shows a page by the name `localhost`: a passkey belongs to a name, and an address is none.
fn open_by_name(console: &Console, path: &str) {
    let port = console.server.home.http;
    console
        .browser
        .go(&format!("http://localhost:{port}{path}"));
    console.heading("Sign in to Posthorn");
}

/// A console with a device that has one passkey of alice's, who is signed in.
fn with_passkey(home: Home) -> Console {
    let console = Console::start_in(home);
    console.browser.add_authenticator();
    open_by_name(&console, "/account/security");
    console.fill("Account", &address("alice"));
    console.fill("Password", PASSWORD);
    console.press("Sign in");
    console.text("There are no passkeys yet.");
    console.press("Add a passkey");
    console.fill("What it is for", "Laptop");
    console.press("Add a passkey");
    console.text("The passkey is added.");
    console
}

fn sign_out(console: &Console) {
    console.press("Sign out");
    console.heading("Sign in to Posthorn");
}

#[test]
fn a_passkey_is_made_and_removed() {
    let console = with_passkey(Home::new());
    // A second one on the same device isn't made, and that is said.
    console.press("Add a passkey");
    console.fill("What it is for", "Laptop again");
    console.press("Add a passkey");
    console.text("No passkey was made:");
    console.press("Close");
    console.press_in_row("Laptop", "Remove");
    console.text("will be good for nothing any more");
    console.fill("Password", PASSWORD);
    console.press("Remove");
    console.text("There are no passkeys yet.");
    let complaints = console.browser.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn somebody_signs_in_by_a_passkey() {
    let receiver = Receiver::start();
    let home = Home::new().set("webhooks", "private-services = true");
    let authority = home.path().join("receiver.pem");
    std::fs::write(&authority, &receiver.certificate_pem).expect("not written");
    let console = with_passkey(home.with_variable("SSL_CERT_FILE", authority));
    sign_out(&console);
    // No name: the device knows whose it is.
    console.press("Sign in with a passkey");
    console.heading("Sign-in");
    console.text("Laptop");
    let kept = "return JSON.parse(sessionStorage['posthorn.session']).name";
    assert_eq!(console.browser.run(kept, json!([])), address("alice"));
    // It is both factors: no code is asked for.
    console.press("Set up a device");
    console.text("type the secret");
    let secret = of_dialog(&console, ".secret code");
    in_a_fresh_step();
    console.fill("Code that the device shows", &code(&console, &secret, 0));
    console.press("Set up a device");
    console.press("Done");
    console.text("Recovery codes that are left");
    assert_eq!(by_password(&console, "alice"), 403);
    sign_out(&console);
    // The name first.
    console.fill("Account", "Alice@example.org");
    let problems = console.problems("signing in");
    assert!(problems.is_empty(), "{problems:#?}");
    console.press("Sign in with a passkey");
    console.heading("Sign-in");
    sign_out(&console);
    // Nobody else gets in by it: the device has none of bob's, and a name that nobody has is told the same.
    for name in ["bob", "nobody"] {
        console.fill("Account", &address(name));
        console.press("Sign in with a passkey");
        console.text("No passkey was used.");
    }
    console.fill("Account", "");
    console.press("Sign in with a passkey");
    console.heading("Sign-in");
    // One that was taken away is a login that failed: it is told, and it counts.
    let login = basic(&address("admin"), PASSWORD);
    let fields = [
        ("Authorization", &*login),
        ("Content-Type", "application/json"),
    ];
    let mut http = Http::new(console.server.home.http);
    let hook = json!({"url": receiver.url(), "events": ["login.failed"]});
    let made = http.post("/api/v1/webhooks", &fields, hook.to_string().as_bytes());
    assert_eq!(made.status, 201, "{}", made.text());
    console.press_in_row("Laptop", "Remove");
    console.text("will be good for nothing any more");
    console.fill("Code of the second factor", &code(&console, &secret, 1));
    console.press("Remove");
    console.text("There are no passkeys yet.");
    sign_out(&console);
    console.press("Sign in with a passkey");
    console.text("The passkey is not one of this account.");
    let is_it = |of: &Received| of.json()["type"] == "login.failed";
    let told = receiver.wait_for(1, is_it).remove(0).json();
    assert_eq!(told["data"]["protocol"], "admin", "{told}");
    let log = console.server.log();
    assert!(log.contains("login by passkey failed"), "{log}");
    let kept = "return JSON.stringify([localStorage, sessionStorage])";
    assert_eq!(console.browser.run(kept, json!([])), json!("[{},{}]"));
    let complaints = console.browser.complaints();
    let bad = complaints
        .iter()
        .filter(|of| !of.text.contains("status of 40"));
    assert_eq!(bad.count(), 0, "{complaints:#?}");
}

#[test]
fn an_app_password_is_good_for_what_it_is_made_for() {
    let console = signed_in("alice", "/account/security");
    console.press("New app password or token");
    console.fill("What it is for", "Phone");
    console.tick("Mail by IMAP");
    console.tick("Sending mail");
    console.picture("app-password");
    let problems = console.problems("a new app password");
    assert!(problems.is_empty(), "{problems:#?}");
    console.press("Make it");
    console.text("It is shown this once");
    let secret = of_dialog(&console, ".secret code");
    console.press("Close");
    let row = "return [...document.querySelectorAll('tbody tr')].some((row) => row.innerText.includes('Phone') \
        && row.innerText.includes('Mail by IMAP, Sending mail'))";
    console.browser.until("its row", row, json!([]));
    let alice = address("alice");
    let imap = Imap::try_login(console.server.home.imap, &alice, &secret).expect("a connection");
    assert!(imap.is_ok(), "it isn't good for IMAP");
    let login = basic(&alice, &secret);
    let mut http = Http::new(console.server.home.http);
    let answer = http.get("/jmap/session", &[("Authorization", &login)]);
    assert_ne!(answer.status, 200);
    console.assert_quiet(&[]);
}

#[test]
fn a_session_is_ended_by_its_owner_and_by_an_administrator() {
    let console = signed_in("alice", "/account/sessions");
    console.heading("Sessions");
    console.text("this session");
    let port = console.server.home.imap;
    let login = || {
        let imap = Imap::try_login(port, &address("alice"), PASSWORD).expect("a connection");
        imap.expect("a login")
    };
    let _first = login();
    console.browser.reload();
    console.press_in_row("IMAP", "End");
    console.text("stays good");
    console.press("End");
    console.text("Ended.");
    let is_gone = "return ![...document.querySelectorAll('tbody tr')].some((row) => row.innerText.includes('IMAP'))";
    console
        .browser
        .until("the session to go", is_gone, json!([]));
    let _second = login();
    console.browser.reload();
    console.text("IMAP");
    console.press("End all connections");
    console.text("connect again");
    console.press("End all connections");
    console.text("Ended.");
    console
        .browser
        .until("the sessions to go", is_gone, json!([]));
    console.press("Sign out");
    let _third = login();
    console.sign_in("admin", "/admin/sessions");
    console.heading("Sessions");
    console.select("Kind", "IMAP");
    let row = "return document.querySelector('tbody td.act button')";
    console.browser.until("its row", row, json!([]));
    let problems = console.problems("sessions");
    assert!(problems.is_empty(), "{problems:#?}");
    console.picture("sessions");
    console.press_in_row("alice@example.org", "End");
    console.press("End");
    console.text("Nothing matches.");
    console.press("Accounts");
    console.press("alice@example.org");
    console.heading("alice@example.org");
    console.tab("Sessions");
    console.text("End all connections");
    console.assert_quiet(&[]);
}

#[test]
fn a_network_is_banned_and_let_in_again() {
    let console = signed_in("admin", "/admin/bans");
    console.heading("Bans");
    console.text("Nobody is banned.");
    console.press("Ban a network");
    console.fill("Address or network", "nowhere");
    console.press("Ban a network");
    console.browser.until(
        "the refusal",
        "return document.querySelector('dialog .note.bad, dialog .error')",
        json!([]),
    );
    console.fill("Address or network", "192.0.2.0/24");
    console.fill("Reason", "Too loud");
    console.select("For how long", "An hour");
    console.press("Ban a network");
    console.text("Banned.");
    console.text("Too loud");
    let bans = || -> Value {
        let login = basic(&address("admin"), PASSWORD);
        let mut http = Http::new(console.server.home.http);
        let answer = http.get("/api/v1/bans", &[("Authorization", &login)]);
        answer.json()["items"].clone()
    };
    assert_eq!(bans()[0]["network"], "192.0.2.0/24");
    assert!(bans()[0]["until"].is_string());
    let problems = console.problems("a ban");
    assert!(problems.is_empty(), "{problems:#?}");
    console.choose("192.0.2.0/24");
    console.press("Lift the ban");
    console.text("Bans that were lifted: 1");
    console.text("Nobody is banned.");
    assert_eq!(bans(), json!([]));
    console.undo();
    console.text("Too loud");
    console.assert_quiet(&["status of 4"]);
}

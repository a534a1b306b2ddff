//! Everybody's own pages.

use e2e::{Jmap, PASSWORD};
use serde_json::json;

use crate::page::{Console, address};

fn alice(path: &str) -> Console {
    let console = Console::start();
    console.sign_in("alice", path);
    console
}

#[test]
fn vacation_is_switched_on() {
    let console = alice("/account/vacation");
    console.heading("Vacation");
    console.tick("Answer while I am away");
    console.fill("Subject", "Away");
    console.fill("Message", "Back on Monday.");
    console.press("Save");
    console.text("Saved.");
    console.browser.reload();
    let kept = "return document.getElementById('field-textBody')?.value === 'Back on Monday.' \
        && document.getElementById('field-isEnabled').checked";
    console.browser.until("what was saved", kept, json!([]));
    console.assert_quiet(&[]);
}

#[test]
fn mail_goes_on_until_that_is_ended() {
    let console = alice("/account/forwarding");
    console.text("Your mail stays here.");
    console.fill("Goes on to", "no address");
    console.press("Save");
    console.browser.until(
        "the refusal",
        "return document.querySelector('.note.bad, .error')",
        json!([]),
    );
    console.fill("Goes on to", "alice@elsewhere.example");
    console.press("Save");
    console.text("Your mail goes on to alice@elsewhere.example.");
    let list = || console.server.home.cli(&["--json", "account", "list"], "");
    assert!(list().contains("alice@elsewhere.example"));
    console.press("At a glance");
    console.text("A copy stays here.");
    console.press("Forwarding");
    console.press("Forward no more");
    console.text("Your mail stays here.");
    assert!(!list().contains("alice@elsewhere.example"));
    console.undo();
    console.text("Your mail goes on to alice@elsewhere.example.");
    console.assert_quiet(&["status of 4"]);
}

#[test]
fn a_script_is_checked_stored_switched_on_and_removed() {
    let console = alice("/account/rules");
    console.text("There are no scripts.");
    console.press("New script");
    console.fill("Name", "Sorting");
    console.fill("Script", "require [\"fileinto\"]; fileinto 5;");
    console.press("Check");
    console.browser.until(
        "the mistake",
        "return document.querySelector('dialog .note.bad')",
        json!([]),
    );
    console.fill("Script", "require [\"fileinto\"];\nfileinto \"Archive\";\n");
    console.press("Check");
    console.text("The server understands the script.");
    console.press("Save");
    console.gone("In the language Sieve");
    console.press_in_row("Sorting", "Switch on");
    console.text("The script is active.");
    console.press_in_row("Sorting", "Edit");
    let shown = "return document.getElementById('field-text')?.value.includes('Archive')";
    console.browser.until("the script", shown, json!([]));
    console.press("Close");
    console.press_in_row("Sorting", "Switch off");
    console.text("Mail is no longer sorted.");
    console.press_in_row("Sorting", "Remove");
    console.text("will be gone");
    console.press("Remove");
    console.text("There are no scripts.");
    console.assert_quiet(&[]);
}

#[test]
fn deleted_mail_comes_back() {
    let console = alice("/account/deleted");
    console.text("Nothing that was deleted can be brought back.");
    let mut jmap = Jmap::login(console.server.home.http, &address("alice"), PASSWORD);
    let inbox = jmap.mailbox("inbox");
    let letter = b"Subject: The lost letter\r\nFrom: Bob <bob@example.org>\r\n\r\nHello.\r\n";
    let email = jmap.import(letter, &inbox);
    jmap.call("Email/set", json!({"destroy": [email]}));
    console.browser.reload();
    console.text("The lost letter");
    console.choose("The lost letter");
    console.press("Bring back");
    console.text("Brought back: 1");
    console.text("Nothing that was deleted can be brought back.");
    assert_eq!(jmap.query_all(json!({"subject": "lost letter"})).len(), 1);
    console.assert_quiet(&[]);
}

#[test]
fn the_password_is_changed() {
    let console = alice("/account/security");
    console.heading("Sign-in");
    // This session's own token is among them.
    console.text("Web console");
    console.fill("New password", "short");
    console.fill("The same once more", "short");
    console.press("Set the password");
    console.browser.until(
        "the refusal",
        "return document.querySelector('.note.bad')",
        json!([]),
    );
    console.fill("New password", "eight purple lamps 63");
    console.fill("The same once more", "eight purple lamps 63");
    console.press("Set the password");
    console.text("The password is changed.");
    let mut http = e2e::http::Http::new(console.server.home.http);
    let mut status = |password: &str| {
        let login = e2e::jmap::basic(&address("alice"), password);
        http.get("/jmap/session", &[("Authorization", &login)])
            .status
    };
    assert_eq!(status("eight purple lamps 63"), 200);
    assert_eq!(status(PASSWORD), 401);
    console.assert_quiet(&["422"]);
}

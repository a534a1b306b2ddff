//! The server itself: its settings and its certificates.

use e2e::{PASSWORD, http::Http, jmap::basic};
use serde_json::{Value, json};

use crate::page::{Console, address};

fn admin(path: &str) -> Console {
    let console = Console::start();
    console.sign_in("admin", path);
    console
}

/// What the server has for a setting.
fn setting(console: &Console, key: &str) -> Value {
    let mut http = Http::new(console.server.home.http);
    let login = basic(&address("admin"), PASSWORD);
    let path = format!("/api/v1/settings/{key}");
    http.get(&path, &[("Authorization", &login)]).json()["value"].clone()
}

#[test]
fn a_setting_is_found_changed_taken_back_and_reset() {
    let console = admin("/admin/settings");
    console.heading("Settings");
    console.text("hostname");
    // What the file has can't be changed here.
    console.text("In the file");
    console.fill(
        "Search in names, descriptions and values",
        "imap.idle-timeout",
    );
    console.gone("hostname");
    console.press("Change imap.idle-timeout");
    console.fill("Time", "never");
    console.press("Save");
    console.browser.until(
        "the refusal",
        "return document.querySelector('dialog .note.bad, dialog .error')",
        json!([]),
    );
    console.fill("Time", "45m");
    console.press("Save");
    console.text("imap.idle-timeout is changed");
    console.text("Set here");
    assert_eq!(setting(&console, "imap.idle-timeout"), "\"45m\"");
    console.undo();
    console.text("Undone.");
    console.gone("Set here");
    assert_eq!(setting(&console, "imap.idle-timeout"), "\"30m\"");
    console.press("Change imap.idle-timeout");
    console.fill("Time", "50m");
    console.press("Save");
    console.text("Set here");
    console.press("Show all");
    console.text("hostname");
    console.select("State", "Only what was changed");
    console.text("imap.idle-timeout");
    console.press("Reset imap.idle-timeout");
    console.gone("Set here");
    assert_eq!(setting(&console, "imap.idle-timeout"), "\"30m\"");
    console.assert_quiet(&["422"]);
}

#[test]
fn settings_are_applied_as_a_file() {
    let console = admin("/admin/settings?tab=file");
    console.text("What you apply takes effect at once.");
    console.fill("Settings", "[pop3]\nbad-commands = 7\n");
    console.press("What would change?");
    console.browser.until(
        "the change",
        "return document.querySelector('.changes')?.innerText.includes('pop3.bad-commands')",
        json!([]),
    );
    assert_eq!(setting(&console, "pop3.bad-commands"), "20");
    let problems = console.problems("the settings as a file");
    assert!(problems.is_empty(), "{problems:#?}");
    console.press("Apply");
    console.text("Saved.");
    assert_eq!(setting(&console, "pop3.bad-commands"), "7");
    console.fill("Settings", "pop3 = ");
    console.press("What would change?");
    console.browser.until(
        "the refusal",
        "return document.querySelector('.form .note.bad')",
        json!([]),
    );
    console.assert_quiet(&["422"]);
}

#[test]
fn a_certificate_is_brought_and_removed() {
    let console = admin("/admin/certificates");
    console.heading("Certificates");
    console.text("Self-signed");
    let made = rcgen::generate_simple_self_signed(vec!["imap.example.org".to_owned()]);
    let made = made.expect("a certificate");
    console.press("Bring a certificate");
    console.fill("Certificates (PEM)", "no certificate");
    console.fill("Private key (PEM)", "no key");
    console.press("Bring a certificate");
    console.browser.until(
        "the refusal",
        "return document.querySelector('dialog .note.bad, dialog .error')",
        json!([]),
    );
    console.fill("Certificates (PEM)", &made.cert.pem());
    console.fill("Private key (PEM)", &made.signing_key.serialize_pem());
    console.press("Bring a certificate");
    console.text("imap.example.org");
    console.text("Brought");
    let problems = console.problems("certificates");
    assert!(problems.is_empty(), "{problems:#?}");
    console.press_in_row("imap.example.org", "Remove");
    console.text("is no longer shown to anybody");
    console.press("Remove");
    console.gone("imap.example.org");
    console.assert_quiet(&["422"]);
}

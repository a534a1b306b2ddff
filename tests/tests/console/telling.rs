//! What the server tells of itself: its log, alerts, webhooks; and the programs that ask for access.

use e2e::Home;
use serde_json::json;

use crate::page::{Console, address};

fn admin(path: &str) -> Console {
    let console = Console::start();
    console.sign_in("admin", path);
    console
}

/// A failed login, which the log tells of.
fn fail_to_log_in(console: &Console, name: &str) {
    let refused = e2e::imap::Imap::try_login(console.server.home.imap, name, "wrong");
    assert!(refused.expect("a connection").is_err());
}

#[test]
fn the_log_is_searched_and_followed() {
    let console = admin("/admin/logs");
    console.heading("Log");
    console.settled();
    fail_to_log_in(&console, "stranger@example.org");
    console.fill("Search in messages and fields", "stranger@");
    console.text("stranger@example.org");
    console.select("Level", "Error");
    console.text("Nothing matches.");
    console.press("Show all");
    console.tab("As it happens");
    console.text("Nothing has happened yet.");
    console.select("Level", "Warning");
    let told = "return document.querySelector('tbody')?.innerText.includes(arguments[0])";
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    // It begins a moment after it was asked for.
    while console.browser.run(told, json!(["passer-by@"])) != json!(true) {
        assert!(std::time::Instant::now() < end, "nothing is told");
        fail_to_log_in(&console, "passer-by@example.org");
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    let problems = console.problems("the log");
    assert!(problems.is_empty(), "{problems:#?}");
    console.picture("log-live");
    console.press("Pause");
    console.press("Clear");
    fail_to_log_in(&console, "unseen@example.org");
    console.press("Go on");
    console.press("Overview");
    console.heading("Overview");
    console.assert_quiet(&[]);
}

#[test]
fn a_webhook_is_made_tried_changed_and_removed() {
    let console = admin("/admin/webhooks");
    console.heading("Webhooks");
    console.text("There are no webhooks yet.");
    console.press("Add a webhook");
    console.fill("Address", "ftp://hooks.example.net/");
    console.press("Add a webhook");
    console.browser.until(
        "the refusal",
        "return document.querySelector('dialog .note.bad, dialog .error')",
        json!([]),
    );
    console.fill("Address", "https://hooks.example.net/posthorn");
    console.fill("Description", "Pager");
    console.tick("alert.raised");
    console.tick("backup.failed");
    console.press("Add a webhook");
    console.text("Standard Webhooks");
    console.text("whsec_");
    console.press("Close");
    console.text("backup.failed, alert.raised");
    console.press("https://hooks.example.net/posthorn");
    console.heading("https://hooks.example.net/posthorn");
    console.text("It was told of nothing yet.");
    console.press("Try it");
    console.text("The event did not arrive:");
    console.tick("backup.failed");
    console.tick("Disabled");
    console.press("Save");
    console.text("Saved.");
    let problems = console.problems("a webhook");
    assert!(problems.is_empty(), "{problems:#?}");
    console.picture("webhook");
    console.press("‹ Webhooks");
    console.heading("Webhooks");
    console.gone("backup.failed");
    console.text("alert.raised");
    console.press("https://hooks.example.net/posthorn");
    console.press("Remove the webhook");
    console.text("told nothing any more");
    console.press("Remove");
    console.text("There are no webhooks yet.");
    console.assert_quiet(&["status of 4"]);
}

#[test]
fn a_program_is_added_and_removed() {
    let console = admin("/admin/programs");
    console.heading("Programs");
    console.text("There are no programs yet.");
    console.press("Add a program");
    console.fill("Name", "Calendar");
    console.fill("Ways back", "https://calendar.example.net/back");
    console.tick("It can keep a secret");
    console.press("Add a program");
    console.text("client_id");
    console.text("It is shown this once");
    console.press("Close");
    console.text("https://calendar.example.net/back");
    console.text("Keeps a secret");
    console.choose("Calendar");
    console.press("Remove");
    console.text("get no access any more");
    console.press("Remove");
    console.text("There are no programs yet.");
    console.assert_quiet(&[]);
}

#[test]
fn a_phone_is_told_how_it_is_set_up() {
    let console = Console::start();
    console.sign_in("alice", "/account/phone");
    console.heading("Set up a phone");
    console.settled();
    let login = e2e::jmap::basic(&address("alice"), e2e::PASSWORD);
    let mut http = e2e::http::Http::new(console.server.home.http);
    let answer = http.get("/api/v1/me/setup", &[("Authorization", &login)]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    console.text(answer.json()["profileUrl"].as_str().expect("an address"));
    let drawn = "const image = document.querySelector('.qr'); return image?.complete && image.naturalWidth > 100";
    console.browser.until("the QR code", drawn, json!([]));
    console.press("New app password or token");
    console.heading("Sign-in");
    console.assert_quiet(&[]);
}

/// Sets a setting as an administrator.
fn set(console: &Console, key: &str, value: &str) {
    let login = e2e::jmap::basic(&address("admin"), e2e::PASSWORD);
    let fields = [
        ("Authorization", &*login),
        ("Content-Type", "application/json"),
    ];
    let body = json!({"value": value}).to_string();
    let mut http = e2e::http::Http::new(console.server.home.http);
    let path = format!("/api/v1/settings/{key}");
    let answer = http.request("PUT", &path, &fields, body.as_bytes());
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn an_alert_is_shown_is_forgotten_and_goes_by_itself() {
    let home = Home::new().without("alerts", "disk");
    let console = Console::start_in(home.set("alerts", "every = \"1s\""));
    // The machine's own disk may well be full enough for an alert: it is over before the test begins.
    set(&console, "alerts.calm", "\"1s\"");
    set(&console, "alerts.disk", "0");
    console.sign_in("admin", "/admin/alerts");
    console.heading("Alerts");
    console.text("Nothing is wrong.");
    set(&console, "alerts.calm", "\"1h\"");
    // A disk of which one percent is used counts as full. Nothing is pressed: the page looks by itself.
    set(&console, "alerts.disk", "1");
    console.text("The disk of ");
    console.text("disk-full");
    let problems = console.problems("an alert");
    assert!(problems.is_empty(), "{problems:#?}");
    console.picture("alert");
    console.press("Overview");
    console.heading("Overview");
    let matter = "return [...document.querySelectorAll('.matter.bad')].some((of) => of.innerText.includes('The disk of '))";
    console
        .browser
        .until("the alert among what needs attention", matter, json!([]));
    let problems = console.problems("an alert on the overview");
    assert!(problems.is_empty(), "{problems:#?}");
    console.picture("alert-overview");
    // It is mended, and would be told of until it was well for an hour: it is forgotten, and stays so.
    set(&console, "alerts.disk", "0");
    std::thread::sleep(std::time::Duration::from_secs(3));
    console.open("/admin/alerts");
    console.choose("The disk of ");
    console.press("Forget");
    console.text("What is still wrong begins anew.");
    console.press("Forget");
    console.text("Forgotten: 1");
    console.text("Nothing is wrong.");
    // Another time nobody does anything, and it is over.
    set(&console, "alerts.calm", "\"1s\"");
    set(&console, "alerts.disk", "1");
    console.open("/admin/");
    console
        .browser
        .until("the alert once more", matter, json!([]));
    set(&console, "alerts.disk", "0");
    console.gone("The disk of ");
    console.open("/admin/alerts");
    console.text("Nothing is wrong.");
    console.assert_quiet(&[]);
}

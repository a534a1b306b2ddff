//! What goes on in the server, as an administrator sees it: the queue, journeys of messages, the DNS, checks.

use serde_json::json;

use crate::page::{Console, address};

const MESSAGE_ID: &str = "lost+found@example.com";

fn admin() -> Console {
    let console = Console::start();
    console.sign_in("admin", "/admin/");
    console.heading("Overview");
    console
}

fn deliver(console: &Console, to: &str) {
    let octets = format!(
        "From: c@example.com\r\nTo: {to}\r\nSubject: Hello\r\nMessage-ID: <{MESSAGE_ID}>\r\n\r\nx\r\n"
    );
    let reply = console
        .server
        .lmtp()
        .send("c@example.com", to, octets.as_bytes());
    assert!(reply.expect("an answer").is_ok());
}

#[test]
fn mail_is_held_tried_and_given_up() {
    let console = admin();
    console.press("Queue");
    console.heading("Queue");
    console.text("No mail is on its way.");
    console.press("Held back");
    console.text("Nothing is held back.");
    console.fill("Destination", "far.example");
    console.press("Hold back");
    console.text("far.example");
    let out = address("out");
    console
        .server
        .home
        .cli(&["alias", "add", &out, "--to", "x@far.example"], "");
    deliver(&console, &out);
    console.press("Messages");
    let row = "return document.querySelector('tbody')?.innerText.includes('x@far.example')";
    let shown = || {
        console.browser.reload();
        console.settled();
        console.browser.run(row, json!([])) == json!(true)
    };
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !shown() {
        assert!(
            std::time::Instant::now() < end,
            "the message isn't in the queue"
        );
    }
    console.press("x@far.example");
    console.heading("Message");
    console.text("Hosts that were tried");
    console.press("Hold back");
    console.text("It is held back until it is released.");
    console.text("On hold");
    console.press("Release");
    console.press("Try now");
    console.text("It is tried now.");
    console.press("Give up");
    console.text("will not be sent any more");
    console.press("Give up");
    console.heading("Queue");
    console.gone("x@far.example");
    console.press("Held back");
    console.choose("far.example");
    console.press("Release");
    console.text("Released: 1");
    console.text("Nothing is held back.");
    console.undo();
    console.text("far.example");
    console.assert_quiet(&[]);
}

#[test]
fn a_message_is_followed_on_its_way() {
    let console = admin();
    deliver(&console, &address("alice"));
    console.press("Traces");
    console.heading("Traces");
    // What happened is written a moment later.
    let row = "return document.querySelector('tbody')?.innerText.includes('alice@example.org')";
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while console.browser.run(row, json!([])) != json!(true) {
        assert!(
            std::time::Instant::now() < end,
            "nothing is known of the message"
        );
        console.browser.reload();
        console.heading("Traces");
        console.settled();
    }
    console.fill("Sender, or @domain", "@elsewhere.example");
    console.text("Nothing matches.");
    console.fill("Sender, or @domain", "@example.com");
    console.text("alice@example.org");
    console.press("Follow");
    console.heading("Journey of a message");
    console.text(MESSAGE_ID);
    console.text("Received");
    console.text("from c@example.com");
    console.press("How it came");
    console.text("Encryption");
    let problems = console.problems("a journey");
    assert!(problems.is_empty(), "{problems:#?}");
    console.assert_quiet(&[]);
}

#[test]
fn what_a_domain_publishes_is_shown_checked_and_copied() {
    let console = admin();
    console.open("/admin/domains/example.org");
    console.press("DNS");
    console.text("Records to publish");
    console.text("_dmarc.example.org");
    // Nobody has published anything: the doctor says so, and what to do.
    console.browser.until(
        "the doctor",
        "return document.querySelector('.findings .secret')",
        json!([]),
    );
    let grant = json!({"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]});
    console.browser.command("Browser.grantPermissions", grant);
    console.press("Copy all as a zone file");
    console.text("Copied.");
    console.press("DKIM keys");
    console.text("Signs");
    console.press("Prepare new keys");
    console.text("Waits");
    console.press("Sign with the waiting keys");
    console.text("Retired");
    console.assert_quiet(&[]);
}

#[test]
fn a_check_is_begun_and_followed_to_its_end() {
    let console = admin();
    console.press("Maintenance");
    console.heading("Maintenance");
    console.text("Nothing was begun yet.");
    console.press("Check everything");
    console.text("0 things are wrong.");
    console.press("Servers");
    console.text("This server has its database to itself.");
    console.press("Put aside");
    console.text("Nothing was put aside.");
    console.press("Reports");
    console.heading("Reports");
    console.text("No other server has reported yet.");
    console.assert_quiet(&[]);
}

#[test]
fn the_overview_counts() {
    let console = admin();
    let received = "const label = [...document.querySelectorAll('.figure-label')].find((label) => label.innerText === 'Received'); \
        return label?.parentElement.querySelector('.figure').innerText === arguments[0]";
    console.browser.until("the numbers", received, json!(["0"]));
    deliver(&console, &address("alice"));
    console
        .browser
        .until("the message to be counted", received, json!(["1"]));
    console.browser.until(
        "the picture",
        "return document.querySelector('.chart svg[role=img]')",
        json!([]),
    );
    let problems = console.problems("the overview");
    assert!(problems.is_empty(), "{problems:#?}");
    console.assert_quiet(&[]);
}

#[test]
fn the_help_desk_sees_accounts_and_sets_passwords() {
    let console = Console::start();
    let alice = address("alice");
    console
        .server
        .home
        .cli(&["account", "role", &alice, "help-desk"], "");
    console.sign_in("alice", "/admin/");
    console.heading("Accounts");
    let ways = console
        .browser
        .run("return document.querySelector('nav').innerText", json!([]))
        .to_string();
    for (way, is_there) in [
        ("Accounts", true),
        ("Traces", true),
        ("Domains", false),
        ("Queue", false),
        ("Audit", false),
    ] {
        assert_eq!(ways.contains(way), is_there, "{way}: {ways}");
    }
    console.press("bob@example.org");
    console.heading("bob@example.org");
    console.press("Passwords and tokens");
    console.fill("New password", "eight purple lamps 63");
    console.fill("The same once more", "eight purple lamps 63");
    console.press("Set the password");
    console.text("The password is changed.");
    console.assert_quiet(&[]);
}

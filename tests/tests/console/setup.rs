//! The set-up, from a server with nothing but an administrator to mail that is seen to flow.

use e2e::{Home, PASSWORD, Server, browser::Browser};
use serde_json::json;

use crate::page::Console;

#[test]
fn from_nothing_to_mail_that_flows() {
    let home = Home::new();
    home.cli(
        &["account", "add", "root", "--admin", "--password-stdin"],
        PASSWORD,
    );
    let console = Console {
        server: Server::start_in(home),
        browser: Browser::start(),
    };
    console.open("/");
    console.heading("Sign in to Posthorn");
    console.fill("Account", "root");
    console.fill("Password", PASSWORD);
    console.press("Sign in");
    console.heading("Overview");
    console.press("Begin the set-up");
    console.heading("Set-up");
    console.fill("Name", "example.org");
    console.press("Add a domain");
    console.text("Mail for example.org is kept here.");
    console.text("_dmarc.example.org");
    console.browser.until(
        "the account's step",
        "return document.getElementById('field-password')",
        json!([]),
    );
    console.fill("Address", "anna@example.org");
    console.fill("Password", "nine yellow teapots 52");
    console.press("Add an account");
    console.text("A mail comes in");
    console.text("waited for");
    let problems = console.problems("the set-up");
    assert!(problems.is_empty(), "{problems:#?}");
    let letter = b"From: c@example.com\r\nTo: anna@example.org\r\nSubject: Hello\r\nMessage-ID: <first@example.com>\r\n\r\nx\r\n";
    let reply = console
        .server
        .lmtp()
        .send("c@example.com", "anna@example.org", letter);
    assert!(reply.expect("an answer").is_ok());
    console.text("It went well.");
    console.press("Journey of a message");
    console.text("first@example.com");
    console.assert_quiet(&[]);
}

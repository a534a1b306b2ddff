//! The set-up, from a server with nothing but an administrator to mail that is seen to flow.

use e2e::{Home, PASSWORD, Server, browser::Browser, http::Http, jmap::basic};
use serde_json::json;

use crate::page::Console;

/// One with an administrator `root`, and nothing else.
fn new_server() -> Console {
    let home = Home::new().without("", "hostname");
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
    console
}

/// Waits until a step is the one that is open.
fn step(console: &Console, title: &str) {
    let script = "return [...document.querySelectorAll('.step.open .step-title')].some((title) => title.innerText === arguments[0])";
    let what = format!("the step “{title}”");
    console.browser.until(&what, script, json!([title]));
}

/// Whether a step says that it is done.
fn done(console: &Console, title: &str) {
    let script = "return [...document.querySelectorAll('.step.done .step-title')].some((title) => title.innerText === arguments[0])";
    let what = format!("the end of “{title}”");
    console.browser.until(&what, script, json!([title]));
}

#[test]
fn from_nothing_to_mail_that_flows() {
    let console = new_server();
    console.text("The server has no name yet");
    console.press("Begin the set-up");
    console.heading("Set-up");
    console.text("0 of 7 done");
    step(&console, "The name of the server");
    console.fill("Name of the server", "not a name");
    console.press("Save");
    console.browser.until(
        "the refusal",
        "return document.querySelector('.step .note.bad, .step .error')",
        json!([]),
    );
    console.fill("Name of the server", "mail.example.org");
    console.press("Save");
    done(&console, "The name of the server");
    step(&console, "A domain");
    console.fill("Name", "example.org");
    console.press("Add a domain");
    done(&console, "A domain");
    step(&console, "Its records in the DNS");
    console.text("_dmarc.example.org");
    console.text("mail.example.org");
    // Nobody publishes them here.
    console.press("Go on");
    step(&console, "Encryption");
    console.text("Self-signed");
    console.press("Order a certificate");
    console.text("Nothing is ordered without it.");
    let problems = console.problems("the set-up");
    assert!(problems.is_empty(), "{problems:#?}");
    console.press("Go on");
    step(&console, "A first account");
    console.fill("Address", "anna@example.org");
    console.fill("Description", "Anna Archer");
    console.fill("Password", "nine yellow teapots 52");
    console.press("Add an account");
    done(&console, "A first account");
    step(&console, "A mail comes in");
    console.text("write to anna@example.org");
    let letter = b"From: c@example.com\r\nTo: anna@example.org\r\nSubject: Hello\r\nMessage-ID: <first@example.com>\r\n\r\nx\r\n";
    let reply = console
        .server
        .lmtp()
        .send("c@example.com", "anna@example.org", letter);
    assert!(reply.expect("an answer").is_ok());
    done(&console, "A mail comes in");
    console.text("It went well.");
    let problems = console.problems("the set-up");
    assert!(problems.is_empty(), "{problems:#?}");
    console.press("Journey of a message");
    console.text("first@example.com");
    // Whoever comes back goes on where they were.
    console.open("/admin/setup");
    step(&console, "Its records in the DNS");
    console.text("4 of 7 done");
    console.assert_quiet(&["422"]);
}

#[test]
fn a_certificate_is_ordered() {
    let console = new_server();
    console.open("/admin/certificates");
    console.heading("Certificates");
    console.text("Self-signed");
    console.fill("Host names", "mail.example.org");
    console.fill("Contact", "postmaster@example.org");
    console.tick("I agree to the terms");
    console.press("Order a certificate");
    console.text("It is ordered.");
    let mut http = Http::new(console.server.home.http);
    let login = basic("root", PASSWORD);
    let mut value = |key: &str| {
        let path = format!("/api/v1/settings/{key}");
        http.get(&path, &[("Authorization", &login)]).json()["value"].clone()
    };
    assert_eq!(value("tls.acme.agree-to-terms"), json!("true"));
    assert_eq!(
        value("tls.acme.contact"),
        json!("[\"postmaster@example.org\"]")
    );
    let orders = value("tls.acme.certificate").to_string();
    assert!(orders.contains("mail.example.org"), "{orders}");
    console.assert_quiet(&[]);
}

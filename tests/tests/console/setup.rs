//! The set-up, from a server with nothing but an administrator to mail that is seen to flow.

use std::time::Duration;

use e2e::{
    Home, Jmap, PASSWORD, Server,
    acme::{Acme, Options, wait_up_to},
    browser::Browser,
    home::free_port,
    http::Http,
    jmap::basic,
    knot::Knot,
};
use serde_json::{Value, json};

use crate::page::Console;

/// One with an administrator `root`, and nothing else.
fn new_server() -> Console {
    new_server_in(Home::new())
}

fn new_server_in(home: Home) -> Console {
    let home = home.without("", "hostname");
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

/// Where the server is, as its DNS says at first (RFC 5737): an address of this machine has the name `localhost`, whatever is published.
const ADDRESS: &str = "192.0.2.25";

/// The records that the open step shows, as lines of a zone.
fn shown_records(console: &Console) -> String {
    let script = "return [...document.querySelectorAll('.step.open tbody tr')].map((row) => { \
        const [name, kind, data] = ['td:first-child .mono', 'td:nth-child(2)', '.record'].map((of) => row.querySelector(of).innerText); \
        return `${name}. 60 IN ${kind} ${data}` })";
    let lines = console.browser.run(script, json!([]));
    let lines = lines.as_array().expect("a list").iter();
    let lines: Vec<&str> = lines.filter_map(Value::as_str).collect();
    assert!(lines.len() > 5, "{lines:?}");
    lines.join("\n") + "\n"
}

fn zone(name: &str, records: &str) -> String {
    format!(
        "{name}. 60 IN SOA ns.{name}. hostmaster.{name}. 1 3600 600 86400 1\n{name}. 60 IN NS ns.{name}.\nns.{name}. 60 IN A 127.0.0.1\n{records}"
    )
}

/// Waits for a good note, or a bad one, in the step that is open.
fn noted(console: &Console, tone: &str, text: &str) {
    let script = "return [...document.querySelectorAll(`.step.open .note.${arguments[0]}`)].some((note) => note.innerText.includes(arguments[1]))";
    console
        .browser
        .until(&format!("“{text}”"), script, json!([tone, text]));
}

#[test]
fn to_its_end_with_a_name_server_a_certificate_authority_and_a_server_elsewhere() {
    // The world: a name server, that knows nothing of us yet; a certificate authority; somebody to write to.
    let dns = free_port();
    let asks = |home: Home| {
        let resolvers = format!("resolvers = [\"127.0.0.1:{dns}\"]");
        let home = home.set("authentication", &resolvers);
        home.set("dns", "dnssec = false")
    };
    // It looks at who sends from this machine too.
    let elsewhere = asks(Home::new())
        .set("", "hostname = \"mail.elsewhere.example\"")
        .set("authentication", "trusted = []");
    elsewhere.cli(&["domain", "add", "elsewhere.example"], "");
    let friend = "friend@elsewhere.example";
    elsewhere.cli(&["account", "add", friend, "--password-stdin"], PASSWORD);
    let elsewhere = Server::start_in(elsewhere);
    let theirs = zone(
        "elsewhere.example",
        "elsewhere.example. 60 IN MX 10 mail.elsewhere.example.\nmail.elsewhere.example. 60 IN A 127.0.0.1\n\
         elsewhere.example. 60 IN TXT \"v=spf1 a:mail.elsewhere.example -all\"\n",
    );
    let nothing = zone("example.org", "");
    let knot = Knot::start(
        elsewhere.home.path(),
        dns,
        &[("elsewhere.example", &theirs), ("example.org", &nothing)],
    );
    let acme = Acme::new(dns);
    let home = asks(Home::new())
        // Nobody gets a policy from where there is no port 443.
        .set("mta-sts", "mode = \"none\"")
        .set(
            "delivery",
            &format!("port = {}\nallow-private = true", elsewhere.home.smtp),
        )
        .set("tls.acme", &format!("{}\nretry = \"2s\"", acme.directory()));
    let pebble = acme.pebble(&Options {
        lifetime: 90 * 86_400,
        ..Options::for_home(&home)
    });

    let console = new_server_in(home);
    let server = &console.server;
    console.press("Begin the set-up");
    step(&console, "The name of the server");
    console.fill("Name of the server", "mail.example.org");
    console.press("Save");
    step(&console, "A domain");
    console.fill("Name", "example.org");
    console.press("Add a domain");

    // What the page shows goes into the zone; and what only the owner of the machine knows.
    step(&console, "Its records in the DNS");
    console.text("_dmarc.example.org");
    noted(&console, "bad", "");
    console.text("publish an A or AAAA record");
    let records = shown_records(&console);
    let ours = |address: &str| {
        let of_host = format!("mail.example.org. 60 IN A {address}\n");
        zone("example.org", &(records.clone() + &of_host))
    };
    let reverse = "25.2.0.192.in-addr.arpa. 60 IN PTR mail.example.org.\n";
    let reverse = zone("2.0.192.in-addr.arpa", reverse);
    let knot = knot.restart(&[
        ("elsewhere.example", &theirs),
        ("example.org", &ours(ADDRESS)),
        ("2.0.192.in-addr.arpa", &reverse),
    ]);
    // Nothing is pressed: the page looks by itself.
    done(&console, "Its records in the DNS");
    noted(&console, "good", "");
    console.picture("set-up-dns");
    // From here on somebody has to get there: to this machine.
    let _knot = knot.restart(&[
        ("elsewhere.example", &theirs),
        ("example.org", &ours("127.0.0.1")),
    ]);
    console.press("Go on");

    step(&console, "Encryption");
    console.text("Self-signed");
    let trusts = |port: u16| pebble.is_trusted(port, None, "mail.example.org");
    assert!(!trusts(server.home.https));
    console.fill("Host names", "mail.example.org");
    console.fill("Contact", "postmaster@example.org");
    console.tick("I agree to the terms");
    console.press("Order a certificate");
    console.text("It is ordered.");
    let patience = Duration::from_secs(90);
    wait_up_to(patience, "a certificate", || trusts(server.home.https));
    assert!(trusts(server.home.imaps));
    done(&console, "Encryption");
    noted(
        &console,
        "good",
        "There is a certificate that others believe.",
    );
    console.gone("Self-signed");
    console.picture("set-up-tls");
    console.press("Go on");

    step(&console, "A first account");
    let (anna, password) = ("anna@example.org", "nine yellow teapots 52");
    console.fill("Address", anna);
    console.fill("Password", password);
    console.press("Add an account");
    done(&console, "A first account");

    // In, from elsewhere.
    step(&console, "A mail comes in");
    console.text("write to anna@example.org");
    let letter = format!(
        "From: {friend}\r\nTo: {anna}\r\nSubject: Welcome\r\nMessage-ID: <welcome@elsewhere.example>\r\n\r\nHello.\r\n"
    );
    let reply = server.smtp().send(friend, anna, letter.as_bytes());
    let reply = reply.expect("an answer");
    assert!(reply.is_ok(), "{reply:?}");
    done(&console, "A mail comes in");
    noted(&console, "good", "It went well.");
    let mut jmap = Jmap::login(server.home.http, anna, password);
    assert_eq!(jmap.query_all(json!({"subject": "Welcome"})).len(), 1);
    console.press("Go on");

    // Out, to elsewhere.
    step(&console, "A mail goes out");
    console.text("As anna@example.org, write to an account elsewhere");
    let letter = format!("From: {anna}\r\nTo: {friend}\r\nSubject: Thank you\r\n\r\nHello.\r\n");
    let file = server.home.path().join("letter");
    std::fs::write(&file, letter).expect("not written");
    let sent = std::process::Command::new("curl")
        .args(["--silent", "--show-error", "--ssl-reqd", "--insecure"])
        .args(["--mail-from", anna, "--mail-rcpt", friend, "--upload-file"])
        .arg(&file)
        .args(["--user", &format!("{anna}:{password}")])
        .arg(format!("smtp://127.0.0.1:{}", server.home.submission))
        .status();
    assert!(sent.expect("curl").success());
    done(&console, "A mail goes out");
    noted(&console, "good", "It went well.");
    console.text("7 of 7 done");
    let mut jmap = Jmap::login(elsewhere.home.http, friend, PASSWORD);
    let found = jmap.query_all(json!({"subject": "Thank you"}));
    assert_eq!(found.len(), 1, "{}", elsewhere.log_tail());
    let properties = ["header:Authentication-Results:asText:all"];
    let got = jmap.call("Email/get", json!({"ids": found, "properties": properties}));
    let results = got["list"][0][properties[0]].to_string();
    // DMARC asks for the domains above as well, which this name server doesn't have.
    for passed in ["spf=pass", "dkim=pass"] {
        assert!(results.contains(passed), "{results}");
    }
    let problems = console.problems("the end of the set-up");
    assert!(problems.is_empty(), "{problems:#?}");
    console.picture("set-up-end");
    // Nothing is left to look at.
    console.open("/admin/");
    console.heading("Overview");
    console.settled();
    console.gone("The server has no name yet");
    console.gone("Begin the set-up");
    console.text("All is well");
    console.assert_quiet(&[]);
}

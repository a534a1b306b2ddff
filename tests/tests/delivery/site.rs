//! The whole server, with a signed root of the DNS that leads its mail to peers on this machine.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use e2e::{Home, Jmap, Server, jmap::string};
use serde_json::{Value, json};

use crate::names::NameServer;

/// With alice and bob, and mail exchangers at a port of this machine.
pub fn home(names: &NameServer, port: u16) -> Home {
    lead(Home::with_people(), names, port)
}

/// Asks these names, and believes what they sign.
pub fn lead(home: Home, names: &NameServer, port: u16) -> Home {
    home.set(
        "authentication",
        &format!("resolvers = [\"127.0.0.1:{}\"]", names.port),
    )
    .set(
        "dns",
        &format!("trust-anchor = \"{}\"", names.anchor.display()),
    )
    .set("delivery", &format!("port = {port}\nallow-private = true"))
}

/// Trusts the certificates of an authority alone.
pub fn trust(home: Home, authority: &str) -> Home {
    let file = home.path().join("authorities.pem");
    fs::write(&file, authority).expect("not written");
    home.set("delivery", &format!("ca-file = \"{}\"", file.display()))
}

/// Domains whose mail exchanger is at an address: lines of the root zone.
pub fn exchangers(domains: &[(&str, &str)]) -> String {
    let lines = domains.iter().map(|(domain, address)| {
        let kind = if address.contains(':') { "AAAA" } else { "A" };
        format!("{domain}. MX 10 mail.{domain}.\nmail.{domain}. {kind} {address}\n")
    });
    lines.collect()
}

/// A message of alice's.
pub fn message(to: &str, subject: &str) -> String {
    format!("From: alice@example.org\r\nTo: {to}\r\nSubject: {subject}\r\n\r\nHello.\r\n")
}

/// Submits it, and returns the id of the submission.
pub fn send(alice: &mut Jmap, message: &str, recipients: &[&str]) -> String {
    let identity = alice.call("Identity/get", json!({"ids": null}));
    let identity = string(&identity["list"][0]["id"]).to_owned();
    let drafts = alice.mailbox("drafts");
    let email = alice.import(message.as_bytes(), &drafts);
    let recipients: Vec<Value> = recipients
        .iter()
        .map(|email| json!({"email": email}))
        .collect();
    let envelope = json!({"mailFrom": {"email": "alice@example.org"}, "rcptTo": recipients});
    let submission = json!({"identityId": identity, "emailId": email, "envelope": envelope});
    let made = alice.call("EmailSubmission/set", json!({"create": {"s": submission}}));
    string(&made["created"]["s"]["id"]).to_owned()
}

/// The status of each recipient, when nobody has only just been queued.
pub fn status(server: &Server, alice: &mut Jmap, id: &str) -> Value {
    let is_known = |of: &Value| of["smtpReply"] != "250 2.0.0 Queued";
    status_when(server, alice, id, is_known)
}

/// The status of each recipient, when none waits any more.
pub fn last_status(server: &Server, alice: &mut Jmap, id: &str) -> Value {
    let is_over = |of: &Value| of["delivered"] != "queued";
    status_when(server, alice, id, is_over)
}

fn status_when(server: &Server, alice: &mut Jmap, id: &str, is_so: fn(&Value) -> bool) -> Value {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let got = alice.call("EmailSubmission/get", json!({"ids": [id]}));
        let status = got["list"][0]["deliveryStatus"].clone();
        let all = status.as_object().expect("an object");
        if all.values().all(is_so) {
            return status;
        }
        assert!(Instant::now() < end, "{status}\n{}", server.log_tail());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Sends to each of these, one after the other; the reply that is known of each begins like this. So does the one that is repeated of
/// a domain that is left alone for a while.
pub fn expect(server: &Server, rows: &[(&str, &str)]) {
    let mut alice = server.jmap("alice");
    for (recipient, begin) in rows {
        let id = send(&mut alice, &message(recipient, "a row"), &[recipient]);
        let status = status(server, &mut alice, &id);
        let reply = string(&status[recipient]["smtpReply"]);
        assert!(
            reply.starts_with(begin) || reply.contains(&format!(" at the moment: {begin}")),
            "{recipient}: {status}\n{}",
            server.log_tail()
        );
    }
}

/// The story of messages to somebody, once it has all of these parts. What is told is written a moment later.
pub fn story(server: &Server, to: &str, parts: &[&str]) -> String {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let story = server.home.cli(&["trace", "--to", to], "");
        let missing = parts.iter().find(|part| !story.contains(*part));
        match missing {
            None => return story,
            Some(part) => assert!(Instant::now() < end, "{part}: {story}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The records of DKIM keys of a domain that no server runs for yet, as lines of a zone; they are what verifiers ask for.
pub fn keys(home: &Home, domain: &str) -> String {
    let text = home.cli(&["--json", "domain", "keys", domain], "");
    let rows: Value = serde_json::from_str(&text).expect("JSON");
    let rows = rows.as_array().expect("keys").iter();
    rows.map(|row| {
        let (name, record) = (string(&row["name"]), string(&row["record"]));
        let strings = record.as_bytes().chunks(255);
        let strings: Vec<String> = strings
            .map(|part| format!("\"{}\"", String::from_utf8_lossy(part)))
            .collect();
        format!("{name}. TXT {}\n", strings.join(" "))
    })
    .collect()
}

/// Runs a script of this package by the Python of tests. It has to succeed.
pub fn python(script: &str, args: &[&str], input: &str) -> Vec<String> {
    python_with(script, args, input.as_bytes())
}

/// The same, with any octets as its input.
pub fn python_with(script: &str, args: &[&str], input: &[u8]) -> Vec<String> {
    use std::{
        io::Write as _,
        process::{Command, Stdio},
    };
    let python = std::env::var_os("POSTHORN_PYTHON")
        .expect("POSTHORN_PYTHON has to name a python with dkimpy; `cargo xtask test` makes one");
    let script: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("scripts")
        .join(script);
    let mut child = Command::new(python)
        .arg(script)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the script can't be run");
    let mut stdin = child.stdin.take().expect("no input");
    stdin.write_all(input).expect("not written");
    drop(stdin);
    let output = child.wait_with_output().expect("no end");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let input = String::from_utf8_lossy(input);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{errors}\n{input}");
    said.lines().map(str::to_owned).collect()
}

/// Header fields by name, in lower case: all of each, unfolded.
pub fn fields(message: &str) -> BTreeMap<String, Vec<String>> {
    let (head, _) = message.split_once("\r\n\r\n").expect("a body");
    let head = head.replace("\r\n\t", " ").replace("\r\n ", " ");
    let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in head.lines() {
        let (name, value) = line.split_once(':').expect("a field");
        fields
            .entry(name.to_ascii_lowercase())
            .or_default()
            .push(value.trim().to_owned());
    }
    fields
}

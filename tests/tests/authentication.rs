//! Where mail comes from: senders with records at a real name server (Knot DNS), signatures by dkimpy, and fields that
//! authres reads.
//!
//! Holds: a verdict is that of others' programs; what a domain asks for is done; a silent name server loses no mail.

use std::{
    fs,
    net::UdpSocket,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use e2e::{
    Home, Server,
    home::free_port,
    jmap::{string, strings},
    knot::Knot,
};
use serde_json::json;

/// From where the domains send.
const OURS: &str = "127.0.0.2";
const OTHERS: &str = "127.0.0.3";
const PASS_OVER_NOBODY: &str = "trusted = []";

struct NameServer {
    knot: Knot,
    keys: PathBuf,
}

fn python(args: &[&str]) -> String {
    let python = std::env::var_os("POSTHORN_PYTHON").expect(
        "POSTHORN_PYTHON has to name a python with dkimpy and authres; `cargo xtask test` makes one",
    );
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/auth_sender.py");
    let output = Command::new(python).arg(script).args(args).output();
    let output = output.expect("python can't be run");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    text
}

/// Knot DNS with four senders: one that wants a refusal, one that wants quarantine, one that asks for nothing, one that has no policy.
fn name_server(folder: &Path) -> NameServer {
    let folder = folder.join("dns");
    fs::create_dir(&folder).expect("no folder");
    let keys = python(&["keys", folder.to_str().expect("a path")]);
    let mut keys = keys.lines();
    let mut quoted = |name: &str| {
        let key = keys.next().expect("a key").as_bytes();
        let strings: Vec<String> = key
            .chunks(200)
            .map(|part| format!("\"{}\"", String::from_utf8_lossy(part)))
            .collect();
        format!("{name}._domainkey TXT ( {} )\n", strings.join(" "))
    };
    let keys = format!("{}{}", quoted("rsa"), quoted("ed25519"));
    let zone = |(domain, policy): (&str, &str)| {
        format!(
            "$ORIGIN {domain}.test.\n$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\nmx A {OURS}\n\
             @ TXT \"v=spf1 ip4:{OURS} -all\"\n_dmarc TXT \"v=DMARC1; p={policy}\"\n{keys}"
        )
    };
    let refused = zone(("reject", "reject"));
    let set_aside = zone(("quarantine", "quarantine"));
    let open = zone(("open", "none"));
    // One without a policy.
    let plain = zone(("plain", "none"));
    let plain: Vec<&str> = plain
        .lines()
        .filter(|line| !line.starts_with("_dmarc"))
        .collect();
    let plain = plain.join("\n") + "\n";
    // What is above the senders: the walk to the organisation's record ends there (RFC 9989 §4.10).
    let above = "$ORIGIN test.\n$TTL 60\n@ SOA ns.reject hostmaster.reject 1 3600 600 86400 60\n@ NS ns.reject\n";
    let zones = [
        ("reject.test", &*refused),
        ("quarantine.test", &*set_aside),
        ("open.test", &*open),
        ("plain.test", &*plain),
        ("test", above),
    ];
    NameServer {
        knot: Knot::start(&folder, free_port(), &zones),
        keys: folder,
    }
}

impl NameServer {
    fn send(
        &self,
        server: &Server,
        subject: &str,
        peer: &str,
        domain: &str,
        how: [&str; 4],
    ) -> String {
        self.send_to(server, "alice@example.org", subject, peer, domain, how)
    }

    fn send_to(
        &self,
        server: &Server,
        to: &str,
        subject: &str,
        peer: &str,
        domain: &str,
        how: [&str; 4],
    ) -> String {
        let folder = self.keys.to_str().expect("a path");
        let port = server.home.smtp.to_string();
        let [kind, header, body, extra] = how;
        python(&[
            "send", folder, &port, subject, peer, domain, kind, header, body, extra, to,
        ])
    }
}

fn start(settings: &[&str]) -> (Server, NameServer) {
    start_in(Home::with_people(), settings)
}

fn start_in(home: Home, settings: &[&str]) -> (Server, NameServer) {
    let names = name_server(home.path());
    let resolvers = format!("resolvers = [\"127.0.0.1:{}\"]", names.knot.port);
    let settings = [&[PASS_OVER_NOBODY, &resolvers], settings].concat();
    let home = home.set("authentication", &settings.join("\n"));
    (Server::start_in(home), names)
}

/// The mailbox's role, and the Authentication-Results fields.
fn arrived(server: &Server, subject: &str) -> (String, Vec<String>) {
    let mut jmap = server.jmap("alice");
    let found = jmap.call("Email/query", json!({"filter": {"subject": subject}}));
    let ids = strings(&found["ids"]);
    assert_eq!(ids.len(), 1, "{subject}");
    let fields = "header:Authentication-Results:asRaw:all";
    let email = jmap.get_emails(&ids, &["mailboxIds", fields])[0].clone();
    let mailboxes = email["mailboxIds"].as_object().expect("mailboxIds").keys();
    let mailboxes: Vec<String> = mailboxes.cloned().collect();
    let got = jmap.call(
        "Mailbox/get",
        json!({"ids": mailboxes, "properties": ["role"]}),
    );
    let role = string(&got["list"][0]["role"]).to_owned();
    (role, strings(&email[fields]))
}

#[test]
fn signatures_and_senders_are_verified() {
    let (server, names) = start(&[]);
    let forged = "Authentication-Results: MAIL.example.org (us); dmarc=pass\r\nAuthentication-Results: other.example; none";
    let rows = [
        (
            "one",
            OURS,
            "reject.test",
            ["rsa", "relaxed", "relaxed", ""],
            "pass",
            "pass",
            "pass",
        ),
        (
            "two",
            OTHERS,
            "reject.test",
            ["rsa", "simple", "simple", ""],
            "fail",
            "pass",
            "pass",
        ),
        (
            "three",
            OTHERS,
            "reject.test",
            ["ed25519", "relaxed", "relaxed", ""],
            "fail",
            "pass",
            "pass",
        ),
        (
            "four",
            OTHERS,
            "reject.test",
            ["ed25519", "simple", "relaxed", ""],
            "fail",
            "pass",
            "pass",
        ),
        (
            "five",
            OURS,
            "reject.test",
            ["rsa", "relaxed", "relaxed", "broken"],
            "pass",
            "fail",
            "pass",
        ),
        (
            "six",
            OURS,
            "reject.test",
            ["none", "", "", forged],
            "pass",
            "none",
            "pass",
        ),
        (
            "seven",
            OTHERS,
            "open.test",
            ["none", "", "", ""],
            "fail",
            "none",
            "fail",
        ),
    ];
    for (subject, peer, domain, how, spf, dkim, dmarc) in rows {
        let reply = names.send(&server, subject, peer, domain, how);
        assert!(reply.starts_with("250 "), "{subject}: {reply}");
        let (role, fields) = arrived(&server, subject);
        assert_eq!(role, "inbox", "{subject}");
        let read = python(&["check", fields[0].trim()]);
        assert!(read.starts_with("mail.example.org\n"), "{read}");
        for wanted in [
            format!("spf={spf} smtp.mailfrom=ann@{domain}"),
            format!("dkim={dkim}"),
            format!("dmarc={dmarc} header.from={domain} policy.dmarc="),
            // The names of this machine's own addresses are not asked for.
            "iprev=fail policy.iprev=127.0.0.".to_owned(),
        ] {
            assert!(read.contains(&wanted), "{subject}: no {wanted} in\n{read}");
        }
        if dkim == "pass" {
            let wanted = format!(
                "header.d={domain} header.i=@{domain} header.s={} header.a={}-sha256",
                how[0], how[0]
            );
            assert!(read.contains(&wanted), "{subject}: no {wanted} in\n{read}");
        }
        // RFC 8601 §5: what others say in our name is gone; what they say in theirs is not.
        match subject {
            "six" => assert_eq!(fields[1..], [" other.example; none"]),
            _ => assert_eq!(fields.len(), 1, "{fields:?}"),
        }
    }
}

#[test]
fn what_a_domain_asks_for_is_done() {
    let (server, names) = start(&[]);
    let plain = ["none", "", "", ""];
    let reply = names.send(&server, "refused", OTHERS, "reject.test", plain);
    assert!(
        reply.starts_with("550 5.7.1 reject.test asks for mail"),
        "{reply}"
    );
    let reply = names.send(&server, "junk", OTHERS, "quarantine.test", plain);
    assert!(reply.starts_with("250 "), "{reply}");
    assert_eq!(arrived(&server, "junk").0, "junk");
    let mut jmap = server.jmap("alice");
    let found = jmap.call("Email/query", json!({"filter": {"subject": "refused"}}));
    assert!(strings(&found["ids"]).is_empty());
    // Why, is told with the refusal.
    let told = server
        .home
        .cli(&["trace", "--json", "--from", "ann@reject.test"], "");
    for wanted in [
        "550 5.7.1 reject.test asks",
        "spf=fail",
        "dkim=none",
        "dmarc=fail",
    ] {
        assert!(told.contains(wanted), "no {wanted} in {told}");
    }
}

/// Members at three domains: what is proven counts, and not what a message says of itself.
#[test]
fn lists_believe_what_is_proven() {
    let home = Home::with_people();
    home.cli(
        &[
            "list",
            "add",
            "team@example.org",
            "--owner",
            "alice@example.org",
            "--member",
            "ann@open.test",
            "--member",
            "ann@reject.test",
            "--member",
            "ann@plain.test",
            "--member",
            "bob@example.org",
        ],
        "",
    );
    let (server, names) = start_in(home, &[]);
    let plain = ["none", "", "", ""];
    let signed = ["rsa", "relaxed", "relaxed", ""];
    let broken = ["rsa", "relaxed", "relaxed", "broken"];
    let rows = [
        // The policy lets it pass, and the list doesn't.
        (
            "forged",
            OTHERS,
            "open.test",
            plain,
            "550 5.7.1 Nothing shows",
        ),
        (
            "spoilt",
            OTHERS,
            "open.test",
            broken,
            "550 5.7.1 Nothing shows",
        ),
        ("spf", OURS, "open.test", plain, "250 "),
        ("signed", OTHERS, "open.test", signed, "250 "),
        // A domain without a DMARC record.
        (
            "bare",
            OTHERS,
            "plain.test",
            plain,
            "550 5.7.1 Nothing shows",
        ),
        ("key", OTHERS, "plain.test", signed, "250 "),
        (
            "stranger",
            OURS,
            "quarantine.test",
            plain,
            "550 5.7.1 You may not write",
        ),
    ];
    for (subject, peer, domain, how, want) in rows {
        let reply = names.send_to(&server, "team@example.org", subject, peer, domain, how);
        assert!(reply.starts_with(want), "{subject}: {reply}");
    }
    let mut jmap = server.jmap("bob");
    let mut subjects = Vec::new();
    for _ in 0..200 {
        let ids = jmap.query_all(json!({}));
        let emails = jmap.get_emails(&ids, &["subject"]);
        subjects = emails
            .iter()
            .map(|email| string(&email["subject"]))
            .collect();
        if subjects.len() >= 3 {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    subjects.sort();
    assert_eq!(subjects, ["key", "signed", "spf"]);
    // Who leaves has to be the one who is named, and to have meant this list.
    let leave = "team+unsubscribe@example.org";
    let members = || server.home.cli(&["list", "show", "team@example.org"], "");
    let reply = names.send_to(&server, leave, "bye", OTHERS, "open.test", plain);
    assert!(reply.starts_with("550 5.7.1 Nothing shows"), "{reply}");
    assert!(members().contains("ann@open.test"));
    let reply = names.send_to(&server, leave, "bye", OTHERS, "open.test", signed);
    assert!(reply.starts_with("250 "), "{reply}");
    assert!(!members().contains("ann@open.test"), "{}", members());
    assert!(members().contains("ann@plain.test"), "{}", members());
}

#[test]
fn an_operator_may_only_mark() {
    let (server, names) = start(&[
        "dmarc-reject = \"quarantine\"",
        "dmarc-quarantine = \"mark\"",
    ]);
    let plain = ["none", "", "", ""];
    for (domain, role) in [("reject.test", "junk"), ("quarantine.test", "inbox")] {
        let reply = names.send(&server, domain, OTHERS, domain, plain);
        assert!(reply.starts_with("250 "), "{reply}");
        assert_eq!(arrived(&server, domain).0, role);
    }
}

#[test]
fn a_silent_name_server_loses_no_mail() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("no socket");
    let port = silent.local_addr().expect("no address").port();
    let settings =
        format!("{PASS_OVER_NOBODY}\nresolvers = [\"127.0.0.1:{port}\"]\ntimeout = \"2s\"");
    let server = Server::start_in(Home::with_people().set("authentication", &settings));
    let begin = Instant::now();
    let reply = server
        .smtp()
        .send(
            "ann@reject.test",
            "alice@example.org",
            b"From: ann@reject.test\r\nSubject: patience\r\n\r\nhello\r\n",
        )
        .expect("no reply");
    assert_eq!(reply.code, 250, "{}", reply.text);
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
    let (role, fields) = arrived(&server, "patience");
    assert_eq!(role, "inbox");
    assert!(fields[0].contains("dmarc=temperror"), "{fields:?}");
}

#[test]
fn nobody_is_asked_about_mail_from_this_machine() {
    let server = Server::start();
    let reply = server
        .smtp()
        .send(
            "ann@reject.test",
            "alice@example.org",
            b"From: ann@reject.test\r\nSubject: local\r\n\r\nhello\r\n",
        )
        .expect("no reply");
    assert_eq!(reply.code, 250, "{}", reply.text);
    let (_, fields) = arrived(&server, "local");
    assert_eq!(fields, [" mail.example.org; none"]);
}

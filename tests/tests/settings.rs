//! Settings: what is set at a running server counts at once, at all listeners and on all servers, and stays.
//!
//! Holds: the server is never restarted for a change; it is killed once, to see that what was acknowledged is there.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpStream,
    path::PathBuf,
    process::Output,
    thread,
    time::{Duration, Instant},
};

use e2e::{
    Home, Server, Smtp, corpus::message, databases::TestStore, home::free_port, jmap::strings,
    knot::Knot,
};
use serde_json::{Value, json};

/// Longer than a server needs to hear of a change, also without notices.
const HEARD: Duration = Duration::from_secs(20);

fn set(home: &Home, key: &str, value: &str) -> String {
    home.cli(&["settings", "set", key, value], "")
}

fn refused(home: &Home, args: &[&str]) -> String {
    let output = home.try_cli(&[&["settings"], args].concat(), "");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn row(home: &Home, key: &str) -> Value {
    let text = home.cli(&["--json", "settings", "get", key], "");
    serde_json::from_str(&text).expect("no JSON")
}

/// Whether a server of POP3 lets us in.
fn is_greeted(port: u16) -> bool {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("no connection");
    let mut line = String::new();
    let read = BufReader::new(stream).read_line(&mut line);
    read.is_ok() && line.starts_with("+OK")
}

/// The sizes of messages that new sessions are told: SMTP, and IMAP.
fn sizes(server: &Server) -> (bool, bool) {
    let smtp = server.smtp().greeting.text.contains("SIZE 65536");
    let capability = server.imap("alice").ok("CAPABILITY");
    let mut lines = capability.untagged.iter();
    let imap = lines.any(|line| line.text.contains("APPENDLIMIT=65536"));
    (smtp, imap)
}

#[test]
fn a_running_server_obeys_at_once() {
    let home = Home::with_people().set("pop3", "exempt = []");
    let server = Server::start_in(home);
    let home = &server.home;

    // The size of messages: over SMTP, IMAP and JMAP.
    let mail = |octets: usize| {
        let body = format!("{}\n", "x".repeat(63)).repeat(octets / 64);
        message("size@example.net", "size", &body)
    };
    let mut before = server.smtp();
    assert_eq!(
        set(home, "limits.max-size-message", "64 KiB").trim(),
        "+ limits.max-size-message = \"64 KiB\""
    );
    assert_eq!(sizes(&server), (true, true));
    let send = |smtp: &mut Smtp, octets| {
        let reply = smtp.send("carol@example.net", "alice@example.org", &mail(octets));
        reply.expect("no answer").code
    };
    assert_eq!(send(&mut server.smtp(), 80_000), 552);
    assert_eq!(send(&mut server.smtp(), 8_000), 250);
    // A session that was there goes on.
    assert_eq!(send(&mut before, 8_000), 250);
    let mut imap = server.imap("alice");
    let answer = imap.append("INBOX", "", &mail(80_000));
    assert!(!answer.is_ok(), "{answer:?}");
    assert!(format!("{answer:?}").contains("TOOBIG"), "{answer:?}");

    // A limit of JMAP, which sessions are told.
    let mut jmap = server.jmap("alice");
    set(home, "limits.max-objects-in-get", "2");
    let ids = json!({"ids": ["a", "b", "c"]});
    assert_eq!(jmap.error_of("Email/get", ids), "requestTooLarge");
    let told = server.jmap("alice").session["capabilities"]["urn:ietf:params:jmap:core"].clone();
    assert_eq!(told["maxObjectsInGet"], 2);

    // A limit of IMAP's own.
    set(home, "imap.bad-commands", "1");
    let mut imap = server.imap("alice");
    imap.say("NONSENSE");
    assert!(imap.try_say(b"NONSENSE").is_err() || imap.try_say(b"NOOP").is_err());

    // How often a client may connect.
    set(home, "pop3.connection-rate", "2/1h");
    let greetings = [(); 3].map(|()| is_greeted(home.pop3));
    assert_eq!(greetings, [true, true, false]);
    home.cli(&["settings", "unset", "pop3.connection-rate"], "");
    assert!(is_greeted(home.pop3));

    // How many recipients an account may send to.
    let drafts = jmap.mailbox("drafts");
    let text = "From: alice@example.org\r\nTo: bob@example.org\r\nSubject: sent\r\n\r\nx\r\n";
    let email = jmap.import(text.as_bytes(), &drafts);
    let identities = jmap.call("Identity/get", json!({"ids": null}));
    let identity = identities["list"][0]["id"].clone();
    let mut send = || {
        let create = json!({"k": {"identityId": identity, "emailId": email}});
        jmap.call("EmailSubmission/set", json!({"create": create}))
    };
    assert!(send()["created"]["k"].is_object());
    set(home, "limits.max-recipients-per-hour", "1");
    assert_eq!(send()["notCreated"]["k"]["type"], "rateLimit");
    set(home, "limits.max-recipients-per-hour", "2");
    assert!(send()["created"]["k"].is_object());

    // How long it is kept what was deleted.
    let mut imap = server.imap("alice");
    imap.ok("SELECT INBOX");
    for time in ["0s", "1d"] {
        set(home, "undelete.keep", time);
        let appended = imap.append("INBOX", "\\Deleted", &mail(640));
        assert!(appended.is_ok(), "{appended:?}");
        imap.ok("EXPUNGE");
    }
    let mut jmap = server.jmap("alice");
    let deleted = jmap.call("DeletedEmail/query", json!({"filter": {}}));
    assert_eq!(strings(&deleted["ids"]).len(), 1, "{deleted}");
    assert!(!server.log().contains("panicked"), "{}", server.log_tail());
}

#[test]
fn what_becomes_of_mail_that_fails_dmarc_is_changed_while_the_server_runs() {
    let server = Server::start();
    let home = &server.home;
    let zone = "$ORIGIN bad.test.\n$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n\
                @ TXT \"v=spf1 -all\"\n_dmarc TXT \"v=DMARC1; p=reject\"\n";
    let above =
        "$ORIGIN test.\n$TTL 60\n@ SOA ns.bad hostmaster.bad 1 3600 600 86400 60\n@ NS ns.bad\n";
    let knot = Knot::start(
        home.path(),
        free_port(),
        &[("bad.test", zone), ("test", above)],
    );
    let send = || {
        let text = String::from_utf8(message("dmarc@bad.test", "dmarc", "a mail"));
        let text = text
            .expect("UTF-8")
            .replace("carol@example.net", "carol@bad.test");
        let sent = server
            .smtp()
            .send("carol@bad.test", "alice@example.org", text.as_bytes());
        sent.expect("no answer").code
    };
    // Nobody is asked about mail from this machine.
    assert_eq!(send(), 250);
    let resolver = format!("[\"127.0.0.1:{}\"]", knot.port);
    set(home, "authentication.resolvers", &resolver);
    set(home, "authentication.trusted", "[]");
    assert_eq!(send(), 550);
    set(home, "authentication.dmarc-reject", "mark");
    assert_eq!(send(), 250);
    set(home, "authentication.dmarc-reject", "reject");
    assert_eq!(send(), 550);
    set(home, "authentication.verify", "false");
    assert_eq!(send(), 250);
}

#[test]
fn wrong_values_and_keys_of_the_file_are_refused_and_what_was_acknowledged_survives_a_kill() {
    let mut server = Server::start();
    let home = &server.home;
    let config = fs::read_to_string(home.config_file()).expect("no configuration");
    let line = config
        .lines()
        .position(|line| line.starts_with("hostname"))
        .expect("a line")
        + 1;
    let pinned = format!(
        "hostname can't be changed here: it stands in {}, line {line}, and the file wins",
        home.config_file().display()
    );
    let rows: [(&[&str], &str); 7] = [
        (&["set", "hostname", "other.example.org"], &pinned),
        (
            &["set", "smtp.listen", "[]"],
            "smtp.listen can't be set here: it is about this machine alone",
        ),
        (
            &["set", "store.durable", "false"],
            "store.durable can't be set here",
        ),
        (
            &["set", "limits.max-size-message", "big"],
            "limits.max-size-message: \"big\" is not a size",
        ),
        (
            &["set", "delivery.retry", "[]"],
            "delivery.retry: there is at least one wait",
        ),
        (
            &["set", "tls.certificate", "/c.pem"],
            "tls.certificate: the certificate needs tls.key as well",
        ),
        (&["get", "limits.max"], "there is no setting \"limits.max\""),
    ];
    for (args, why) in rows {
        let error = refused(home, args);
        assert!(error.contains(why), "{args:?}: {error}");
    }
    let hostname = row(home, "hostname");
    assert_eq!(
        (&hostname["source"], &hostname["value"]),
        (&json!("file"), &json!("\"mail.example.org\""))
    );
    let nothing = home.cli(&["--json", "settings", "list", "--changed"], "");
    assert!(!nothing.contains("\"store\""), "{nothing}");

    set(home, "limits.max-size-message", "64 KiB");
    server.kill();
    server.restart();
    assert_eq!(sizes(&server), (true, true));
    let kept = row(&server.home, "limits.max-size-message");
    assert_eq!(kept["setBy"], "server");
    // Without a server it is done on the folder itself, and counts with the next start.
    server.stop();
    set(&server.home, "imap.bad-commands", "1");
    server
        .home
        .cli(&["settings", "unset", "limits.max-size-message"], "");
    server.restart();
    assert_eq!(sizes(&server), (false, false));
    assert_eq!(row(&server.home, "imap.bad-commands")["value"], "1");
    server.home.check();
}

/// A file beside the data.
fn file(home: &Home, name: &str, text: &str) -> PathBuf {
    let file = home.path().join(name);
    fs::write(&file, text).expect("not written");
    file
}

#[test]
fn a_file_in_git_is_planned_and_applied() {
    let server = Server::start();
    let home = &server.home;
    let run = |args: &[&str]| home.try_cli(&[&["settings"], args].concat(), "");
    set(home, "comment", "It's ours");
    set(home, "smtp.idle-timeout", "120s");
    set(
        home,
        "delivery.route",
        "[{ domains = [\"*.example.net\"], host = \"relay.example.net\", port = 587 }]",
    );
    set(
        home,
        "delivery.domains",
        "{ \"a.example\" = { transactions = 2 } }",
    );
    let exported = home.cli(&["settings", "export"], "");
    for line in ["comment = \"It's ours\"", "[smtp]", "idle-timeout = \"2m\""] {
        assert!(exported.lines().any(|found| found == line), "{exported}");
    }
    let kept = file(home, "kept.toml", &exported);
    let kept = kept.to_str().expect("a path");
    let plan = run(&["plan", kept]);
    assert_eq!(
        (plan.status.code(), stdout(&plan).trim()),
        (Some(0), "nothing would change")
    );
    assert_eq!(
        stdout(&run(&["apply", kept])).trim(),
        "nothing had to be changed"
    );

    // With everything else as comments it is the same.
    let all = home.cli(&["settings", "export", "--all"], "");
    let all = file(home, "all.toml", &all);
    let plan = run(&["plan", all.to_str().expect("a path")]);
    assert_eq!(plan.status.code(), Some(0), "{plan:?}");

    let other = file(
        home,
        "other.toml",
        "comment = \"It's ours\"\n[limits]\nmax-size-message = \"64 KiB\"\n[smtp]\nidle-timeout = \"3m\"\n",
    );
    let other = other.to_str().expect("a path");
    let plan = run(&["plan", "--keep", other]);
    assert_eq!(plan.status.code(), Some(3));
    let lines =
        "+ limits.max-size-message = \"64 KiB\"\n~ smtp.idle-timeout = \"3m\"  (was \"2m\")\n";
    assert_eq!(stdout(&plan), lines);
    assert_eq!(sizes(&server), (false, false), "a plan changes nothing");
    let plan = run(&["plan", other]);
    assert_eq!(
        stdout(&plan)
            .lines()
            .filter(|line| line.starts_with("- "))
            .count(),
        2
    );
    assert!(run(&["apply", other]).status.success());
    assert_eq!(sizes(&server), (true, true));
    assert_eq!(row(home, "delivery.route")["source"], "default");
    assert!(run(&["apply", kept]).status.success());
    assert_eq!(home.cli(&["settings", "export"], ""), exported);

    // One that is wrong in one place changes nothing.
    let wrong = file(
        home,
        "wrong.toml",
        "comment = \"x\"\n[smtp]\nidle-timeout = \"soon\"\n",
    );
    let error = refused(home, &["apply", wrong.to_str().expect("a path")]);
    assert!(
        error.contains("wrong.toml, line 3, smtp.idle-timeout: \"soon\" is not"),
        "{error}"
    );
    let wrong = file(
        home,
        "pinned.toml",
        "comment = \"x\"\nhostname = \"other.example.org\"\n",
    );
    let error = refused(home, &["plan", wrong.to_str().expect("a path")]);
    assert!(error.contains("the file wins"), "{error}");
    assert_eq!(home.cli(&["settings", "export"], ""), exported);
}

#[test]
fn servers_over_one_database_hear_of_each_other_s_changes() {
    let first = Home::with_people_on(TestStore::Postgres);
    let second = first.beside();
    let servers = [Server::start_in(first), Server::start_in(second)];
    let until = |server: &Server, want| {
        let end = Instant::now() + HEARD;
        while sizes(server) != want {
            assert!(Instant::now() < end, "{}", server.log_tail());
            thread::sleep(Duration::from_millis(50));
        }
    };
    set(&servers[0].home, "limits.max-size-message", "64 KiB");
    assert_eq!(sizes(&servers[0]), (true, true), "at once where it was set");
    until(&servers[1], (true, true));
    // What another server has set is known where it is changed back.
    let changed = servers[1]
        .home
        .cli(&["settings", "unset", "limits.max-size-message"], "");
    assert_eq!(
        changed.trim(),
        "- limits.max-size-message  (was \"64 KiB\")"
    );
    until(&servers[0], (false, false));
}

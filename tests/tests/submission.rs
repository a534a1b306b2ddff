//! Submission and receiving, with programs of others: swaks, Python's smtplib, and Postfix as a server that sends to this one; and the trace of
//! what they did.
//!
//! SCRAM is in `scram`, with gsasl.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use e2e::{
    Home, PASSWORD, Server,
    home::free_port,
    jmap::{string, strings},
};
use serde_json::{Value, json};

const ALICE: &str = "alice@example.org";
const BOB: &str = "bob@example.org";
const WAIT: Duration = Duration::from_secs(60);

/// All that a program has said, and whether it is content.
fn run(program: &str, args: &[&str]) -> (bool, String) {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output();
    let output = output.unwrap_or_else(|error| panic!("{program} can't be run: {error}"));
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output.status.success(), said)
}

fn swaks(port: u16, args: &[&str]) -> (bool, String) {
    let port = port.to_string();
    let usual = ["--server", "127.0.0.1", "--port", &port, "--timeout", "30"];
    run("swaks", &[&usual[..], args].concat())
}

fn login<'a>(mechanism: &'a str, password: &'a str) -> Vec<&'a str> {
    vec![
        "--tls",
        "--auth",
        mechanism,
        "--auth-user",
        ALICE,
        "--auth-password",
        password,
    ]
}

/// Waits until so many messages with the subject are in an inbox.
fn arrive(server: &Server, name: &str, subject: &str, count: usize) {
    let mut jmap = server.jmap(name);
    let end = Instant::now() + WAIT;
    loop {
        let found = jmap.call("Email/query", json!({"filter": {"subject": subject}}));
        if strings(&found["ids"]).len() == count {
            return;
        }
        assert!(Instant::now() < end, "{found}: {subject}");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn every_way_to_log_in() {
    let server = Server::start();
    let port = server.home.submission;
    for mechanism in ["PLAIN", "LOGIN"] {
        let subject = format!("Subject: by swaks {mechanism}");
        let rest = ["--from", ALICE, "--to", BOB, "--header", &subject];
        let (done, said) = swaks(port, &[&login(mechanism, PASSWORD)[..], &rest].concat());
        assert!(done && said.contains("235 2.7.0"), "{said}");
        arrive(&server, "bob", &format!("\"swaks {mechanism}\""), 1);
        let (done, said) = swaks(port, &[&login(mechanism, "wrong")[..], &rest].concat());
        assert!(!done && said.contains("535 5.7.8"), "{said}");
    }
    // What swaks knows as well, and shows the server a password's hash of the last century: it isn't offered.
    for mechanism in ["CRAM-MD5", "DIGEST-MD5", "CRAM-SHA1", "NTLM"] {
        let rest = ["--from", ALICE, "--to", BOB];
        let (done, said) = swaks(port, &[&login(mechanism, PASSWORD)[..], &rest].concat());
        assert!(!done && !said.contains("235 "), "{mechanism}: {said}");
    }
    let issued = server.home.cli(&["credential", "token", ALICE], "");
    let token = issued.lines().next().expect("no token").trim().to_owned();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/submit.py");
    let script = script.to_string_lossy().into_owned();
    let port = port.to_string();
    for mechanism in ["OAUTHBEARER", "XOAUTH2"] {
        let (_, said) = run("python3", &[&script, &port, mechanism, ALICE, &token]);
        assert!(said.starts_with("250 "), "{mechanism}: {said}");
        arrive(&server, "alice", &format!("\"by {mechanism}\""), 1);
        let (_, said) = run("python3", &[&script, &port, mechanism, ALICE, "wrong"]);
        assert!(said.starts_with("535 "), "{mechanism}: {said}");
    }
}

#[test]
fn every_refusal_says_why() {
    let home = Home::with_people()
        .set("limits", "max-size-message = \"64 KiB\"")
        .set("limits", "max-recipients = 2");
    let server = Server::start_in(home);
    let (smtp, submission) = (server.home.smtp, server.home.submission);
    let foreign = format!("From: Bob <{BOB}>");
    let sender = format!("Sender: Bob <{BOB}>");
    let three = format!("{BOB},{ALICE},carol@example.net");
    let body: Vec<String> = (0..1200)
        .map(|n| format!("{n} {}", "x".repeat(60)))
        .collect();
    let body = body.join("\\n");
    let plain = login("PLAIN", PASSWORD);
    let with = |rest: &[&'static str]| -> Vec<String> {
        plain
            .iter()
            .chain(rest)
            .map(|word| (*word).to_owned())
            .collect()
    };
    let more = |mut args: Vec<String>, rest: &[&str]| {
        args.extend(rest.iter().map(|word| (*word).to_owned()));
        args
    };
    let from = ["--from", ALICE];
    let rows: Vec<(u16, Vec<String>, &str)> = vec![
        (
            submission,
            more(
                with(&[]),
                &[
                    "--from",
                    BOB,
                    "--to",
                    BOB,
                    "--header",
                    &format!("From: {ALICE}"),
                ],
            ),
            "550 5.7.1 You may not send with this MAIL FROM address",
        ),
        (
            submission,
            more(
                with(&[]),
                &[&from[..], &["--to", BOB, "--header", &foreign]].concat(),
            ),
            "550 5.7.1 You may not send with this From address",
        ),
        (
            submission,
            more(
                with(&[]),
                &[&from[..], &["--to", BOB, "--add-header", &sender]].concat(),
            ),
            "550 5.7.1 You may not send with this Sender address",
        ),
        (
            submission,
            more(
                with(&[]),
                &[&from[..], &["--to", "nobody@example.org"]].concat(),
            ),
            "550 5.1.1 There is no such mailbox",
        ),
        (
            submission,
            more(with(&[]), &[&from[..], &["--to", &three]].concat()),
            "452 4.5.3 Too many recipients",
        ),
        (
            submission,
            more(
                with(&[]),
                &[&from[..], &["--to", BOB, "--body", &body]].concat(),
            ),
            "552 5.3.4 The message is too large",
        ),
        (
            submission,
            more(Vec::new(), &[&from[..], &["--to", BOB]].concat()),
            "530 5.7.0 Log in first",
        ),
        (
            smtp,
            more(
                Vec::new(),
                &["--from", "carol@example.net", "--to", "dan@example.net"],
            ),
            "550 5.7.1 Relaying is denied",
        ),
        (
            smtp,
            more(
                Vec::new(),
                &["--from", "carol@example.net", "--to", "nobody@example.org"],
            ),
            "550 5.1.1 There is no such mailbox",
        ),
        (
            smtp,
            more(
                Vec::new(),
                &["--from", "carol@example.net", "--to", BOB, "--body", &body],
            ),
            "552 5.3.4 The message is too large",
        ),
    ];
    for (port, args, reply) in rows {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let (_, said) = swaks(port, &args);
        assert!(said.contains(reply), "{args:?}: {said}");
    }
    let (done, said) = swaks(
        submission,
        &[
            "--from",
            ALICE,
            "--to",
            BOB,
            "--auth",
            "PLAIN",
            "--auth-user",
            ALICE,
            "--auth-password",
            PASSWORD,
        ],
    );
    assert!(!done && !said.contains("235 "), "without TLS: {said}");
    // Each is told.
    let story = server.home.cli(&["trace", "--to", "dan@example.net"], "");
    assert!(
        story.contains("refused")
            && story.contains("to dan@example.net: 550 5.7.1 Relaying is denied"),
        "{story}"
    );
    let story = server.home.cli(&["trace", "--from", BOB], "");
    assert!(
        story.contains("550 5.7.1 You may not send with this MAIL FROM address"),
        "{story}"
    );
    server.home.check();
}

/// Debian's Postfix, in a folder of its own, which sends all mail to one port. Its master wants to be root.
struct Postfix {
    config: PathBuf,
}

impl Postfix {
    fn start(folder: &Path, relay: u16) -> Postfix {
        let config = folder.join("etc");
        for name in ["etc", "spool", "data"] {
            fs::create_dir_all(folder.join(name)).expect("no folder");
        }
        let (owned, said) = run(
            "chown",
            &["postfix:", &folder.join("data").to_string_lossy()],
        );
        assert!(owned, "{said}");
        let at = folder.display();
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {at}/spool\ndata_directory = {at}/data\nmaillog_file = {at}/log\n\
             maillog_file_prefixes = {at}\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmyhostname = mx.example.net\n\
             mydestination =\nalias_maps =\nalias_database =\nlocal_recipient_maps =\nsmtp_dns_support_level = disabled\n\
             relayhost = [127.0.0.1]:{relay}\nsmtp_host_lookup = native\nsmtp_tls_security_level = encrypt\nsmtp_tls_loglevel = 1\n"
        );
        let port = free_port();
        let master = format!(
            "127.0.0.1:{port} inet n - n - - smtpd\npickup unix n - n 1 1 pickup\ncleanup unix n - n - 0 cleanup\n\
             qmgr unix n - n 300 1 qmgr\ntlsmgr unix - - n 1000? 1 tlsmgr\nrewrite unix - - n - - trivial-rewrite\n\
             bounce unix - - n - 0 bounce\ndefer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\nproxymap unix - - n - - proxymap\n\
             smtp unix - - n - - smtp\nrelay unix - - n - - smtp\nshowq unix n - n - - showq\nerror unix - - n - - error\n\
             retry unix - - n - - error\nlocal unix - n n - - local\nscache unix - - n - 1 scache\nanvil unix - - n - 1 anvil\n\
             postlog unix-dgram n - n - 1 postlogd\n"
        );
        fs::write(config.join("main.cf"), main).expect("not written");
        fs::write(config.join("master.cf"), master).expect("not written");
        let postfix = Postfix { config };
        let (started, said) = postfix.command("/usr/sbin/postfix", &["start"]);
        assert!(
            started,
            "Postfix wants root, and the Debian package: {said}"
        );
        postfix
    }

    fn command(&self, program: &str, args: &[&str]) -> (bool, String) {
        let config = self.config.to_string_lossy().into_owned();
        // What postfix starts stays, and would keep pipes open.
        let output = Command::new(program)
            .args(if program.ends_with("sendmail") {
                ["-C", &config]
            } else {
                ["-c", &config]
            })
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        let status = output.unwrap_or_else(|error| panic!("{program} can't be run: {error}"));
        (status.success(), self.log())
    }

    fn log(&self) -> String {
        let log = self.config.with_file_name("log");
        String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned()
    }

    /// Hands Postfix a message by its `sendmail`.
    fn send(&self, args: &[&str], message: &str) {
        use std::io::Write as _;
        let mut child = Command::new("/usr/sbin/sendmail")
            .arg("-C")
            .arg(&self.config)
            .args(args)
            .stdin(Stdio::piped())
            .spawn()
            .expect("sendmail can't be run");
        let mut stdin = child.stdin.take().expect("no input");
        stdin.write_all(message.as_bytes()).expect("not written");
        drop(stdin);
        assert!(child.wait().expect("no end").success(), "{}", self.log());
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        self.command("/usr/sbin/postfix", &["stop"]);
        if thread::panicking() {
            eprintln!("--- Postfix says:\n{}---", self.log());
        }
    }
}

#[test]
fn postfix_sends_over_tls_and_its_sender_hears_of_success() {
    if !e2e::home::is_root_for("Postfix") {
        return;
    }
    // Its daemons are another user, who has to get into the folder.
    let folder = tempfile::Builder::new()
        .prefix("posthorn-postfix-")
        .tempdir()
        .expect("no folder");
    let (open, said) = run("chmod", &["755", &folder.path().to_string_lossy()]);
    assert!(open, "{said}");
    let server = Server::start();
    let postfix = Postfix::start(folder.path(), server.home.smtp);
    let message = "From: Carol <carol@example.net>\nTo: alice@example.org\nMessage-ID: <px1@example.net>\nSubject: by postfix\n\n.\n..dots\nHi\n";
    let args = [
        "-i",
        "-N",
        "success,delay,failure",
        "-V",
        "envelope one",
        "-R",
        "hdrs",
        "-f",
        "carol@example.net",
        ALICE,
        BOB,
    ];
    postfix.send(&args, message);
    for name in ["alice", "bob"] {
        arrive(&server, name, "\"by postfix\"", 1);
    }
    let log = postfix.log();
    assert!(log.contains("TLS connection established"), "{log}");
    assert!(log.contains("status=sent (250 2.0.0 Accepted"), "{log}");
    // All of it, in the story that the administrator reads.
    let story = server.home.cli(&["trace", "<px1@example.net>"], "");
    for part in [
        "received  <px1@example.net>",
        "from carol@example.net",
        "by ESMTPS from mx.example.net [127.0.0.1], TLSv1.3",
        "to alice@example.org: 250 2.1.5 Delivered",
        "alice@example.org: keep; it is in Inbox",
        "to bob@example.org: 250 2.1.5 Delivered",
        "reported  <px1@example.net>",
        "the sender was told: delivered",
    ] {
        assert!(story.contains(part), "{part}: {story}");
    }
    let rows = server.home.cli(&["trace", "--json", "--to", BOB], "");
    let rows: Value = serde_json::from_str(&rows).expect("no JSON");
    assert_eq!(rows[0]["recipients"].as_array().expect("no list").len(), 2);
    // By JMAP, each sees themselves.
    let mut jmap = server.jmap("bob");
    let found = jmap.call(
        "MessageTrace/query",
        json!({"filter": {"messageId": "px1@example.net", "event": "received"}}),
    );
    let got = jmap.call("MessageTrace/get", json!({"ids": found["ids"]}));
    let seen = &got["list"][0];
    assert_eq!(
        seen["recipients"].as_array().expect("no list").len(),
        1,
        "{got}"
    );
    assert_eq!(string(&seen["recipients"][0]["address"]), BOB);
    assert_eq!(string(&seen["session"]["hello"]), "mx.example.net");
    // Nobody wants to hear of this one.
    postfix.send(
        &["-i", "-N", "never", "-f", "carol@example.net", ALICE],
        &message.replace("px1", "px2"),
    );
    arrive(&server, "alice", "\"by postfix\"", 2);
    let story = server.home.cli(&["trace", "px2@example.net"], "");
    assert!(
        story.contains("received") && !story.contains("reported"),
        "{story}"
    );
    drop(postfix);
    server.home.check();
}

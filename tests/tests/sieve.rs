//! Sieve from outside: scripts by ManageSieve with a client that others wrote, and what they do with mail that comes by SMTP and LMTP.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use e2e::{PASSWORD, Server, corpus::message, jmap::Jmap, reading::Connection};
use serde_json::{Value, json};

const ALICE: &str = "alice@example.org";
const CAROL: &str = "carol@example.net";

/// Runs sieve-connect: what it has printed, and whether it was content.
fn sieve_connect(server: &Server, args: &[&str], folder: &Path) -> (bool, String) {
    let port = server.home.managesieve.to_string();
    let mut child = Command::new("sieve-connect")
        .args([
            "-s",
            "127.0.0.1",
            "-p",
            &port,
            "-u",
            ALICE,
            "--passwordfd",
            "0",
        ])
        .args(["--notlsverify", "-m", "PLAIN"])
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("sieve-connect can't be run; it is a Debian package");
    let mut stdin = child.stdin.take().expect("no stdin");
    writeln!(stdin, "{PASSWORD}").expect("no password");
    drop(stdin);
    let output = child.wait_with_output().expect("no output");
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed).into_owned();
    (output.status.success(), printed)
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("not written");
}

/// Names of mailboxes and how many emails are in each, without the empty ones.
fn counts(jmap: &mut Jmap) -> Vec<(String, u64)> {
    let got = jmap.call("Mailbox/get", json!({"ids": null}));
    let list = got["list"].as_array().expect("no list").iter();
    let count = |mailbox: &Value| {
        let name = mailbox["name"].as_str().unwrap_or_default().to_owned();
        (name, mailbox["totalEmails"].as_u64().unwrap_or(0))
    };
    let mut counts: Vec<_> = list.map(count).filter(|(_, count)| *count > 0).collect();
    counts.sort();
    counts
}

const SCRIPT: &str = "require [\"fileinto\", \"mailbox\", \"reject\", \"vacation\", \"envelope\", \"subaddress\"];\n\
    if header :contains \"subject\" \"file me\" { fileinto :create \"Filed/Here\"; }\n\
    elsif header :contains \"subject\" \"reject me\" { reject \"Not that, please.\"; }\n\
    elsif header :contains \"subject\" \"discard me\" { discard; }\n\
    elsif header :contains \"subject\" \"answer me\" { vacation :subject \"Away\" \"Later.\"; }\n";

#[test]
fn sieve_connect_manages_scripts_that_then_sort_the_mail() {
    let server = Server::start();
    let folder = server.home.path().to_owned();
    write(&folder, "good.sieve", SCRIPT);
    write(&folder, "bad.sieve", "require \"nosuch\";\nkeep;\n");
    let (is_ok, printed) = sieve_connect(
        &server,
        &["--upload", "--localsieve", "good.sieve"],
        &folder,
    );
    assert!(is_ok, "{printed}");
    let args = ["--checkscript", "--localsieve", "bad.sieve"];
    let (is_ok, printed) = sieve_connect(&server, &args, &folder);
    assert!(!is_ok && printed.contains("nosuch"), "{printed}");
    let args = ["--upload", "--localsieve", "bad.sieve"];
    let (is_ok, printed) = sieve_connect(&server, &args, &folder);
    assert!(!is_ok && printed.contains("nosuch"), "{printed}");
    let (is_ok, printed) = sieve_connect(
        &server,
        &["--activate", "--remotesieve", "good.sieve"],
        &folder,
    );
    assert!(is_ok, "{printed}");
    let (_, printed) = sieve_connect(&server, &["--list"], &folder);
    assert!(printed.contains("\"good.sieve\" ACTIVE"), "{printed}");
    assert!(!printed.contains("bad.sieve"), "{printed}");
    let args = [
        "--download",
        "--remotesieve",
        "good.sieve",
        "--localsieve",
        "back.sieve",
    ];
    let (is_ok, printed) = sieve_connect(&server, &args, &folder);
    assert!(is_ok, "{printed}");
    let back = std::fs::read_to_string(folder.join("back.sieve")).expect("not downloaded");
    assert_eq!(back.replace("\r\n", "\n"), SCRIPT);
    // The same script by JMAP.
    let mut jmap = server.jmap("alice");
    let got = jmap.call("SieveScript/get", json!({"ids": null}));
    assert_eq!(got["list"][0]["name"], "good.sieve");
    assert_eq!(got["list"][0]["isActive"], true);
    // Mail by SMTP and by LMTP.
    for (lmtp, round) in [(false, 1), (true, 2)] {
        let send = |subject: &str| {
            let mail = message(&format!("{subject}{round}@example.net"), subject, "body");
            let mut smtp = if lmtp { server.lmtp() } else { server.smtp() };
            let reply = smtp.send(CAROL, ALICE, &mail).expect("no answer");
            (reply.code, reply.text)
        };
        assert_eq!(send("file me").0, 250);
        let (code, text) = send("reject me");
        assert!(
            code == 550 && text.contains("Not that, please."),
            "{code} {text}"
        );
        assert_eq!(send("discard me").0, 250);
        assert_eq!(send("something else").0, 250);
        assert_eq!(
            counts(&mut jmap),
            [("Here".to_owned(), round), ("Inbox".to_owned(), round)]
        );
    }
    // A reply to somebody here.
    let mail = "From: bob@example.org\r\nTo: alice@example.org\r\nSubject: answer me\r\n\r\nhi\r\n";
    let reply = server
        .smtp()
        .send("bob@example.org", ALICE, mail.as_bytes());
    assert_eq!(reply.expect("no answer").code, 250);
    let mut bob = server.jmap("bob");
    for _ in 0..100 {
        if !counts(&mut bob).is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let ids = bob.query_all(json!({}));
    let emails = bob.get_emails(&ids, &["subject", "from"]);
    assert_eq!(emails[0]["subject"], "Away");
    assert_eq!(emails[0]["from"][0]["email"], ALICE);
    assert!(
        server.log().contains("a sieve script has run"),
        "no line in the log"
    );
    let (is_ok, printed) = sieve_connect(
        &server,
        &["--delete", "--remotesieve", "good.sieve"],
        &folder,
    );
    assert!(!is_ok, "it is active: {printed}");
    let (is_ok, printed) = sieve_connect(&server, &["--deactivate"], &folder);
    assert!(is_ok, "{printed}");
    let (is_ok, printed) = sieve_connect(
        &server,
        &["--delete", "--remotesieve", "good.sieve"],
        &folder,
    );
    assert!(is_ok, "{printed}");
    server.home.check();
}

/// A session by hand.
struct Session(Connection);

impl Session {
    fn open(server: &Server) -> Session {
        let connection = Connection::open(server.home.managesieve).expect("no connection");
        let mut session = Session(connection);
        let greeting = session.answer();
        assert!(greeting.contains("\"VERSION\" \"1.0\""), "{greeting}");
        session
    }

    fn login(server: &Server) -> Session {
        use base64::Engine as _;
        let mut session = Session::open(server);
        let response = format!("\0{ALICE}\0{PASSWORD}");
        let response = base64::engine::general_purpose::STANDARD.encode(response);
        session.expect(&format!("AUTHENTICATE \"PLAIN\" \"{response}\""), "OK");
        session
    }

    /// All lines to the one that ends an answer.
    fn answer(&mut self) -> String {
        let mut text = String::new();
        loop {
            let line = self.0.line().expect("no line");
            text.push_str(&line);
            let is_end = ["OK", "NO", "BYE"]
                .iter()
                .any(|word| line == *word || line.starts_with(&format!("{word} ")));
            if is_end {
                return text;
            }
            text.push('\n');
        }
    }

    fn expect(&mut self, command: &str, start: &str) -> String {
        self.0
            .write(format!("{command}\r\n").as_bytes())
            .expect("not sent");
        let answer = self.answer();
        assert!(answer.starts_with(start), "{command:.60}: {answer}");
        answer
    }
}

#[test]
fn commands_by_hand() {
    let server = Server::start();
    let mut session = Session::open(&server);
    session.expect("LISTSCRIPTS", "NO");
    session.expect("NOOP \"x\"", "OK (TAG \"x\")");
    let mut session = Session::login(&server);
    let shown = session.expect("CAPABILITY", "\"IMPLEMENTATION\"");
    assert!(shown.contains(&format!("\"OWNER\" \"{ALICE}\"")), "{shown}");
    session.expect("PUTSCRIPT \"a\" {5+}\r\nkeep;", "OK");
    session.expect("PUTSCRIPT \"b\" \"stop;\"", "OK");
    session.expect("PUTSCRIPT \"\" \"stop;\"", "NO");
    session.expect("PUTSCRIPT \"c\" \"stop\\\"\"", "NO");
    session.expect("CHECKSCRIPT \"keep;\"", "OK");
    session.expect("HAVESPACE \"x\" 1000", "OK");
    session.expect("HAVESPACE \"x\" 999999999", "NO (QUOTA/MAXSIZE)");
    session.expect("SETACTIVE \"nowhere\"", "NO (NONEXISTENT)");
    session.expect("SETACTIVE \"a\"", "OK");
    session.expect("DELETESCRIPT \"a\"", "NO (ACTIVE)");
    session.expect("RENAMESCRIPT \"a\" \"b\"", "NO (ALREADYEXISTS)");
    session.expect("RENAMESCRIPT \"a\" \"z\"", "OK");
    let listed = session.expect("LISTSCRIPTS", "");
    assert_eq!(listed, "\"z\" ACTIVE\n\"b\"\nOK");
    let got = session.expect("GETSCRIPT \"z\"", "{5}");
    assert_eq!(got, "{5}\nkeep;\nOK");
    session.expect("SETACTIVE \"\"", "OK");
    session.expect("DELETESCRIPT \"z\"", "OK");
    session.expect("DELETESCRIPT \"z\"", "NO (NONEXISTENT)");
    session.expect("UNAUTHENTICATE", "OK");
    session.expect("LISTSCRIPTS", "NO");
    session.expect("LOGOUT", "OK");
}

#[test]
fn one_past_each_limit() {
    let server = Server::start();
    // A script that is too large is read, refused, and nothing is lost of what follows.
    let mut session = Session::login(&server);
    let max = managesieve::parse::SCRIPT_OCTETS_MAX;
    let script = |octets: usize| format!("#{}\r\n", "x".repeat(octets - 3));
    for (octets, start) in [
        (max, "OK"),
        (max + 1, "NO (QUOTA/MAXSIZE)"),
        (max * 3, "NO (QUOTA/MAXSIZE)"),
    ] {
        let command = format!("PUTSCRIPT \"x\" {{{octets}+}}\r\n{}", script(octets));
        session.expect(&command, start);
    }
    session.expect("NOOP", "OK");
    let octets = managesieve::parse::DISCARD_OCTETS_MAX + 1;
    session.expect(
        &format!("PUTSCRIPT \"x\" {{{octets}+}}"),
        "BYE (QUOTA/MAXSIZE)",
    );
    // Before a login little is read.
    let mut session = Session::open(&server);
    let octets = managesieve::parse::STRANGER_OCTETS_MAX + 1;
    session.expect(&format!("CHECKSCRIPT {{{octets}+}}"), "BYE");
    let mut session = Session::open(&server);
    session.expect(&format!("NOOP \"{}\"", "x".repeat(octets)), "BYE");
    // Literals, commands, failed logins.
    let mut session = Session::open(&server);
    let literals = "{1+}\r\nx ".repeat(managesieve::parse::LITERALS_MAX + 1);
    session.expect(&format!("NOOP {literals}"), "BYE");
    let limits = managesieve::Limits::default();
    let mut session = Session::open(&server);
    for _ in 0..limits.stranger_commands_max {
        session.expect("NOOP", "OK");
    }
    session.expect("NOOP", "BYE");
    let mut session = Session::open(&server);
    for _ in 0..limits.bad_commands_max {
        session.expect("XYZZY", "NO");
    }
    session.expect("XYZZY", "BYE");
    let mut session = Session::open(&server);
    for _ in 0..limits.auth_failures_max {
        session.expect("AUTHENTICATE \"PLAIN\" \"AGFsaWNlAHdyb25n\"", "NO");
    }
    assert!(session.answer().starts_with("BYE"));
}

#[test]
fn scram_with_the_signature_in_the_last_answer() {
    let server = Server::start();
    // The first login with the password keeps what SCRAM needs.
    Session::login(&server);
    let port = server.home.managesieve.to_string();
    for mechanism in ["SCRAM-SHA-256", "PLAIN"] {
        let mut session = Session::open(&server);
        let shown = session.expect("CAPABILITY", "\"IMPLEMENTATION\"");
        assert!(shown.contains(mechanism), "{shown}");
    }
    let script = r#"
import base64, hashlib, hmac, os, socket, sys
port, user, password = int(sys.argv[1]), sys.argv[2], sys.argv[3]
s = socket.create_connection(("127.0.0.1", port)); f = s.makefile("rwb")
def line(): return f.readline().decode().rstrip("\r\n")
while not line().startswith("OK"): pass
nonce = base64.b64encode(os.urandom(18)).decode()
bare = "n=%s,r=%s" % (user, nonce)
b64 = lambda t: base64.b64encode(t.encode() if isinstance(t, str) else t).decode()
f.write(('AUTHENTICATE "SCRAM-SHA-256" "%s"\r\n' % b64("n,," + bare)).encode()); f.flush()
first = base64.b64decode(line().strip('"')).decode()
parts = dict(p.split("=", 1) for p in first.split(","))
assert parts["r"].startswith(nonce)
salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(parts["s"]), int(parts["i"]))
mac = lambda k, m: hmac.new(k, m.encode() if isinstance(m, str) else m, hashlib.sha256).digest()
client = mac(salted, "Client Key")
final = "c=biws,r=" + parts["r"]
auth = ",".join([bare, first, final])
proof = bytes(a ^ b for a, b in zip(client, mac(hashlib.sha256(client).digest(), auth)))
text = b64(final + ",p=" + b64(proof))
f.write(("{%d+}\r\n%s\r\n" % (len(text), text)).encode()); f.flush()
answer = line()
want = b64("v=" + b64(mac(mac(salted, "Server Key"), auth)))
assert answer == 'OK (SASL "%s")' % want, answer
f.write(b"LISTSCRIPTS\r\n"); f.flush()
assert line() == "OK"
print("done")
"#;
    let output = Command::new("python3")
        .args(["-c", script, &port, ALICE, PASSWORD])
        .output()
        .expect("no python3");
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{printed}");
}

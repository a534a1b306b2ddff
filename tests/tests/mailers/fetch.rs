//! fetchmail, by IMAP and by POP3, over TLS.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use e2e::{Corpus, PASSWORD, Server, corpus::message, corpus::to_crlf};
use serde_json::Value;

const ALICE: &str = "alice@example.org";
const MAILS: usize = 40;

/// fetchmail's exit code when there was nothing to fetch.
const NO_MAIL: i32 = 1;

/// Mails that it hands on as they are: it ends lines with LF and takes NULs away, and it leaves out the fields that say where a mailbox in a file
/// begins or what was read of it.
fn mails() -> Vec<Vec<u8>> {
    let corpus = Corpus::load();
    let step = (corpus.mails.len() / (2 * MAILS)).max(1);
    let mails = corpus.mails.into_iter().step_by(step).map(|m| m.octets);
    let mails = mails.filter(|octets| {
        let text = String::from_utf8_lossy(octets);
        let (head, _) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let fields = || {
            head.split("\r\n")
                .filter(|line| !line.starts_with([' ', '\t']))
        };
        let keeps = |line: &str| {
            let line = line.to_lowercase();
            let left_out = [
                "return-path",
                "delivered-to",
                "status",
                "x-status",
                "x-mozilla-status",
            ];
            let name = line.split_once(':').map(|(name, _)| name);
            name.is_some_and(|name| !left_out.contains(&name) && !name.contains(' '))
        };
        // A header in UTF-8 is rewritten for who doesn't ask for it (RFC 6856 §3.2).
        !octets.contains(&0) && head.is_ascii() && fields().all(keeps)
    });
    let mut mails: Vec<Vec<u8>> = mails.take(MAILS).collect();
    mails.push(message("dots@example.net", "dots", ".\n..two\n.three"));
    mails
}

/// Fetches into files; what is fetched in all, and the exit code.
fn fetch(server: &Server, protocol: &str, port: u16, options: &str) -> (Vec<Vec<u8>>, i32) {
    let folder = server.home.path();
    let fetched = folder.join("fetched");
    fs::create_dir_all(&fetched).expect("no folder");
    let rc = format!(
        "set invisible\npoll 127.0.0.1 protocol {protocol} port {port} uidl\n user \"{ALICE}\" password \"{PASSWORD}\"\n \
         ssl no sslcertck no rewrite {options}\n mda \"cat > $(mktemp {}/XXXXXX)\"\n",
        fetched.display()
    );
    let rc = if protocol == "IMAP" {
        rc.replace(" uidl", "")
    } else {
        rc
    };
    let file = folder.join("fetchmailrc");
    fs::write(&file, rc).expect("not written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("not permitted");
    let output = Command::new("fetchmail")
        .args(["--nosyslog", "-v", "--fetchmailrc"])
        .arg(&file)
        .args(["--pidfile"])
        .arg(folder.join("fetchmail.pid"))
        .args(["--idfile"])
        .arg(folder.join("fetchids"))
        .env("HOME", folder)
        .env("FETCHMAILHOME", folder)
        .stdin(Stdio::null())
        .output()
        .expect("fetchmail can't be run; it is a Debian package");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let code = output.status.code().unwrap_or_default();
    assert!([0, NO_MAIL].contains(&code), "{code}: {said}");
    let files = fs::read_dir(&fetched).expect("no folder").flatten();
    let files = files.map(|file| to_crlf(&fs::read(file.path()).expect("not read")));
    (files.collect(), code)
}

fn each_is_fetched_once(protocol: &str, port: impl Fn(&Server) -> u16) {
    let server = Server::start();
    let mails = mails();
    let mut lmtp = server.lmtp();
    let mut deliver = |mail: &[u8]| {
        let reply = lmtp.send("carol@example.net", ALICE, mail);
        assert!(reply.expect("no reply").is_ok());
    };
    mails.iter().for_each(|mail| deliver(mail));
    let port = port(&server);
    let (fetched, _) = fetch(&server, protocol, port, "keep");
    let missing = mails.iter().filter(|mail| {
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).trim_end().to_owned();
        !fetched
            .iter()
            .any(|other| text(other).ends_with(&text(mail)))
    });
    let missing: Vec<_> = missing.map(|m| String::from_utf8_lossy(m)).collect();
    assert!(
        missing.is_empty(),
        "{} missing: {}",
        missing.len(),
        missing[0]
    );
    let different: BTreeSet<&Vec<u8>> = fetched.iter().collect();
    assert_eq!((fetched.len(), different.len()), (mails.len(), mails.len()));
    let (fetched, code) = fetch(&server, protocol, port, "keep");
    assert_eq!((fetched.len(), code), (mails.len(), NO_MAIL), "not once");
    deliver(&message("last@example.net", "last", "text"));
    let (fetched, code) = fetch(&server, protocol, port, "no keep");
    assert_eq!((fetched.len(), code), (mails.len() + 1, 0));
    // What it has not fetched before it has removed; then all.
    assert_eq!(
        server.jmap("alice").query_all(Value::Null).len(),
        mails.len()
    );
    fetch(&server, protocol, port, "fetchall no keep");
    assert!(server.jmap("alice").query_all(Value::Null).is_empty());
    server.home.check();
}

#[test]
fn fetchmail_fetches_by_imap() {
    each_is_fetched_once("IMAP", |server| server.home.imaps);
}

#[test]
fn fetchmail_fetches_by_pop3() {
    each_is_fetched_once("POP3", |server| server.home.pop3s);
}

//! A real server at the other end: Debian's Postfix, with STARTTLS, PIPELINING and CHUNKING.

use std::{
    fs,
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use bytes::Bytes;
use smtp::client::Client;

use crate::{
    harness::{client, is_accepted, job, send, settings},
    peer::Certificates,
};

/// Postfix in a folder of its own. Its master makes a daemon of itself, so there is no child to hold.
pub struct Postfix {
    folder: tempfile::TempDir,
    pub port: u16,
    /// Its certificate.
    pub certificate: Vec<u8>,
    /// The authority's certificate, in PEM.
    pub authority: String,
}

/// Puts more into the folder of a Postfix that hasn't started yet.
pub type Prepare = Box<dyn FnOnce(&Path)>;

/// What is not as usual.
#[derive(Default)]
pub struct Options {
    /// Lines of main.cf.
    pub main: String,
    /// TLS from the first octet (RFC 8314).
    pub is_implicit_tls: bool,
    pub prepare: Option<Prepare>,
}

impl Drop for Postfix {
    fn drop(&mut self) {
        self.run("stop");
    }
}

impl Postfix {
    pub fn start(extra: &str) -> Postfix {
        Postfix::start_with(Options {
            main: extra.to_owned(),
            ..Options::default()
        })
    }

    /// `FOLDER` in the lines of main.cf stands for its folder.
    pub fn start_with(options: Options) -> Postfix {
        let folder = tempfile::Builder::new()
            .prefix("posthorn-postfix-")
            .tempdir()
            .expect("no folder");
        let port = e2e::home::free_port();
        let certificates = Certificates::new();
        let (pem, key, certificate) = certificates.pem(&["mail.b.test"]);
        let postfix = Postfix {
            folder,
            port,
            certificate,
            authority: certificates.authority_pem(),
        };
        let at = postfix.folder.path();
        fs::set_permissions(at, fs::Permissions::from_mode(0o755)).expect("no permissions");
        for name in ["etc", "spool", "data", "mail"] {
            fs::create_dir(at.join(name)).expect("no folder");
        }
        // The delivery agent is another user, as which it can only write there.
        fs::set_permissions(at.join("mail"), fs::Permissions::from_mode(0o777))
            .expect("no permissions");
        let owned = Command::new("chown")
            .arg("postfix:")
            .arg(at.join("data"))
            .status();
        assert!(
            owned.is_ok_and(|status| status.success()),
            "Postfix's own user is not there"
        );
        fs::write(at.join("cert.pem"), pem).expect("not written");
        fs::write(at.join("key.pem"), key).expect("not written");
        fs::set_permissions(at.join("key.pem"), fs::Permissions::from_mode(0o600))
            .expect("no permissions");
        if let Some(prepare) = options.prepare {
            prepare(at);
        }
        let extra = options.main.replace("FOLDER", &at.to_string_lossy());
        let extra = format!(
            "smtpd_tls_security_level = may\nsmtpd_tls_wrappermode = {}\n{extra}",
            if options.is_implicit_tls { "yes" } else { "no" }
        );
        fs::write(at.join("etc/main.cf"), main_cf(at, &extra)).expect("not written");
        fs::write(at.join("etc/master.cf"), master_cf(port)).expect("not written");
        postfix.run("start");
        let end = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                Instant::now() < end,
                "Postfix does not listen: {}",
                postfix.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        postfix
    }

    fn run(&self, command: &str) {
        let output = Command::new("postfix")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .arg("-c")
            .arg(self.folder.path().join("etc"))
            .arg(command)
            .output()
            .expect("postfix can't be run; it is in the Debian package postfix");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() || command == "stop", "{errors}");
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The messages that have arrived, when there are so many.
    pub fn arrived(&self, count: usize) -> Vec<String> {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let mut files: Vec<PathBuf> = Vec::new();
            for user in ["bob", "carol"] {
                let new = self.folder.path().join("mail").join(user).join("new");
                files.extend(
                    fs::read_dir(new)
                        .into_iter()
                        .flatten()
                        .flatten()
                        .map(|entry| entry.path()),
                );
            }
            if files.len() >= count {
                let read = |file: &PathBuf| {
                    String::from_utf8_lossy(&fs::read(file).expect("a file")).into_owned()
                };
                return files.iter().map(read).collect();
            }
            assert!(
                Instant::now() < end,
                "{} of {count} have arrived:\n{}",
                files.len(),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn main_cf(folder: &Path, extra: &str) -> String {
    let folder = folder.display();
    format!(
        "compatibility_level = 3.6\nqueue_directory = {folder}/spool\ndata_directory = {folder}/data\n\
         maillog_file = {folder}/log\nmaillog_file_prefixes = {folder}\n\
         inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmyhostname = mail.b.test\nmydestination =\nmynetworks =\n\
         alias_maps =\nalias_database =\nlocal_recipient_maps =\nsmtpd_relay_restrictions = reject_unauth_destination\n\
         virtual_mailbox_domains = b.test\nvirtual_mailbox_maps = inline:{{bob@b.test=bob/, carol@b.test=carol/}}\n\
         virtual_mailbox_base = {folder}/mail\nvirtual_uid_maps = static:65534\nvirtual_gid_maps = static:65534\n\
         smtp_dns_support_level = disabled\nsmtpd_tls_cert_file = {folder}/cert.pem\nsmtpd_tls_key_file = {folder}/key.pem\n\
         smtpd_tls_loglevel = 1\nsmtpd_tls_received_header = yes\nsmtputf8_enable = yes\n{extra}\n"
    )
}

fn master_cf(smtp: u16) -> String {
    format!(
        "127.0.0.1:{smtp} inet n - n - - smtpd\n\
         pickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\n\
         tlsmgr unix - - n 1000? 1 tlsmgr\nrewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\n\
         defer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\nverify unix - - n - 1 verify\n\
         flush unix n - n 1000? 0 flush\nproxymap unix - - n - - proxymap\nproxywrite unix - - n - 1 proxymap\n\
         smtp unix - - n - - smtp\nrelay unix - - n - - smtp\nshowq unix n - n - - showq\nerror unix - - n - - error\n\
         retry unix - - n - - error\ndiscard unix - - n - - discard\nlocal unix - n n - - local\n\
         virtual unix - n n - - virtual\nlmtp unix - - n - - lmtp\nanvil unix - - n - 1 anvil\n\
         scache unix - - n - 1 scache\npostlog unix-dgram n - n - 1 postlogd\n"
    )
}

fn text(subject: &str, lines: usize) -> Bytes {
    let body = "A line with some text, .dots and more\r\n.\r\n..\r\n".repeat(lines);
    Bytes::from(format!(
        "From: ann@example.org\r\nTo: bob@b.test\r\nSubject: {subject}\r\n\r\n{body}"
    ))
}

fn to(port: u16) -> Client {
    client(&["127.0.0.1".parse().expect("an address")], settings(port))
}

#[tokio::test(flavor = "multi_thread")]
async fn postfix_gets_mail() {
    if !e2e::home::is_root_for("Postfix") {
        return;
    }
    // With BDAT (the largest in three chunks), and by DATA where CHUNKING is hidden.
    for (extra, word) in [
        ("", "bdat=5"),
        ("smtpd_discard_ehlo_keywords = chunking", "data=3"),
    ] {
        let postfix = Postfix::start(extra);
        let client = to(postfix.port);
        let mut messages = Vec::new();
        for (number, lines) in [1, 100, 60_000].into_iter().enumerate() {
            let mut job = job(&["bob@b.test", "nobody@b.test", "carol@b.test"]);
            job.message = text(&format!("{word} {number}"), lines);
            let attempt = send(&client, &job).await;
            let mut outcomes = attempt.outcomes.clone();
            outcomes.sort_by_key(|outcome| outcome.at);
            let fates: Vec<bool> = outcomes.iter().map(is_accepted).collect();
            assert_eq!(fates, [true, false, true], "{attempt:?}\n{}", postfix.log());
            assert!(outcomes[0].reply.starts_with("250 2.0.0 Ok"), "{attempt:?}");
            assert!(outcomes[1].reply.starts_with("550 5.1.1"), "{attempt:?}");
            let tls = attempt.hosts[0].tls.as_deref();
            assert_eq!(tls, Some("TLSv1.3, the certificate is not verified"));
            messages.push(String::from_utf8(job.message.to_vec()).expect("text"));
        }
        let arrived = postfix.arrived(6);
        for message in messages {
            // Postfix adds header fields at both ends of the header.
            let message = message.replace("\r\n", "\n");
            let (header, body) = message.split_once("\n\n").expect("a body");
            let is_it = |got: &&String| {
                let (head, text) = got.split_once("\n\n").expect("a body");
                head.contains(header) && text == body
            };
            let count = arrived.iter().filter(is_it).count();
            assert_eq!(
                count,
                2,
                "{}",
                arrived[0].chars().take(2000).collect::<String>()
            );
        }
        assert!(
            arrived[0].contains("(using TLSv1.3 with cipher"),
            "{}",
            arrived[0].chars().take(2000).collect::<String>()
        );
        // One connection for all three.
        assert_eq!(
            postfix.log().matches(": connect from ").count(),
            1 + waiting_connects(&postfix),
            "{}",
            postfix.log()
        );
        client_says(&postfix, word);
    }
}

/// Connections of whoever waited for Postfix to listen: they were closed at once.
fn waiting_connects(postfix: &Postfix) -> usize {
    postfix
        .log()
        .matches("lost connection after CONNECT")
        .count()
}

/// Postfix counts the commands of each session when it ends.
fn client_says(postfix: &Postfix, word: &str) {
    let end = Instant::now() + Duration::from_secs(20);
    while !postfix.log().contains(word) {
        assert!(Instant::now() < end, "no {word} in {}", postfix.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postfix_refuses_and_is_believed() {
    if !e2e::home::is_root_for("Postfix") {
        return;
    }
    let postfix = Postfix::start("message_size_limit = 20000\nsmtpd_discard_ehlo_keywords = size");
    let client = to(postfix.port);
    let mut job = job(&["bob@b.test"]);
    // It has not said how much it takes, and says so in the middle.
    job.message = text("large", 10_000);
    let attempt = send(&client, &job).await;
    assert!(
        attempt.outcomes[0].reply.starts_with("552 5.3.4"),
        "{attempt:?}"
    );
    job.recipients[0].address.email = "bob@elsewhere.test".to_owned();
    let attempt = send(&client, &job).await;
    assert!(
        attempt.outcomes[0].reply.starts_with("554 5.7.1"),
        "{attempt:?}"
    );
    // And what it takes after that arrives.
    let mut job = crate::harness::job(&["b\u{f8}b@b.test", "bob@b.test"]);
    job.mail_from = crate::harness::address("\u{e5}nn@example.org", &[("SMTPUTF8", None)]);
    let attempt = send(&client, &job).await;
    assert!(is_accepted(&attempt.outcomes[1]), "{attempt:?}");
    assert!(postfix.arrived(1)[0].contains("Hello."));
}

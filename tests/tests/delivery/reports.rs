//! Reports to those who ask for them (RFC 7489 §7.2, RFC 8460), a day later: as mail and over HTTPS, read by a reader that others
//! have written. libfaketime shows the server another time.

use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use e2e::{Home, Server, blobs::TestBlobs, jmap::string};
use net::{Pace, Stream, Wire, reader::LinePace, tls::TlsServer};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::{
    names,
    peer::{Certificates, Peer, Script},
    site::{self, exchangers, expect, python},
};

const DAY: u64 = 86_400;

/// What time it is for the server.
struct Time {
    file: PathBuf,
    /// Seconds ahead of everybody else.
    ahead: u64,
}

impl Time {
    /// Noon of tomorrow, so that no day ends meanwhile.
    fn noon(home: Home) -> (Home, Time) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.expect("a time").as_secs();
        let file = home.path().join("time");
        let time = Time {
            ahead: DAY - now % DAY + DAY / 2,
            file: file.clone(),
        };
        time.write();
        let home = home
            .with_variable("LD_PRELOAD", library())
            .with_variable("FAKETIME_TIMESTAMP_FILE", file)
            .with_variable("FAKETIME_NO_CACHE", "1");
        (home, time)
    }

    /// In one step, so that the server never sees half of a file.
    fn write(&self) {
        let new = self.file.with_extension("new");
        fs::write(&new, format!("+{}\n", self.ahead)).expect("not written");
        fs::rename(&new, &self.file).expect("not renamed");
    }

    fn pass(&mut self, seconds: u64) {
        self.ahead += seconds;
        self.write();
    }
}

/// libfaketime, of the Debian package `faketime`.
fn library() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").expect("a folder").flatten();
    let mut found = folders
        .map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"))
        .filter(|library| library.exists());
    found
        .next()
        .expect("there is no libfaketime; it is in the Debian package faketime")
}

/// The paths and the bodies of what was posted.
type Taken = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// HTTPS that takes what is posted.
struct Postbox {
    port: u16,
    taken: Taken,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Postbox {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Postbox {
    async fn start(tls: TlsServer) -> Postbox {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("no socket");
        let port = listener.local_addr().expect("no address").port();
        let taken: Taken = Arc::default();
        let all = taken.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(stream) = Stream::Tcp(stream).upgrade_tls(&tls).await else {
                    continue;
                };
                let mut wire = Wire::new(stream);
                if let Some(post) = post(&mut wire).await {
                    all.lock().push(post);
                }
            }
        });
        Postbox { port, taken, task }
    }
}

/// The head and the body of a request, which is answered.
async fn post(wire: &mut Wire<Stream>) -> Option<(String, Vec<u8>)> {
    let second = Duration::from_secs(10);
    let pace = LinePace {
        idle: second,
        line: second,
    };
    let mut head = String::new();
    loop {
        let line = wire.read_line(8192, pace).await.ok()?;
        if line.octets.is_empty() {
            break;
        }
        head.push_str(&String::from_utf8_lossy(&line.octets));
        head.push('\n');
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))?
        .parse()
        .ok()?;
    let body = wire.read_exact(length, 1 << 20, Pace::DATA).await.ok()?;
    wire.send(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
        .await
        .ok()?;
    wire.flush().await.ok()?;
    Some((head, body))
}

/// Mail from outside, in the name of a domain.
fn come_from(server: &Server, domain: &str, count: usize) {
    for number in 0..count {
        let message = format!(
            "From: carol@{domain}\r\nTo: alice@example.org\r\nSubject: {number}\r\nMessage-ID: <{number}@{domain}>\r\n\r\nHi\r\n"
        );
        let reply = server
            .smtp()
            .send(
                &format!("carol@{domain}"),
                "alice@example.org",
                message.as_bytes(),
            )
            .expect("no reply");
        assert_eq!(reply.code, 250, "{}", reply.text);
    }
}

/// What the reader finds in the mails so far, in a firm order, once there are so many. Each question wakes the server, whose timers
/// know nothing of the new time.
fn reports(server: &Server, peer: &Peer, messages: usize, count: usize) -> Vec<(Value, String)> {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let _ = server.home.cli(&["status"], "");
        let seen = peer.seen.lock().messages.len();
        if seen >= messages + count {
            break;
        }
        assert!(Instant::now() < end, "{seen}: {}", server.log_tail());
        std::thread::sleep(Duration::from_millis(100));
    }
    let mut found: Vec<(Value, String)> = peer
        .arrived(messages + count)
        .into_iter()
        .skip(messages)
        .map(|mail| {
            let said = python("report_mail.py", &[], &mail);
            (serde_json::from_str(&said[0]).expect("JSON"), mail)
        })
        .collect();
    found.sort_by_key(|(report, _)| string(&report["subject"]));
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_later_those_who_asked_are_told() {
    let certificates = Certificates::new();
    let (tls, _) = certificates.server(&["mail.b.test"]);
    let peer = Peer::start(Script::default().with_tls(&tls)).await;
    let port = peer.port();
    let plain = Peer::start_at(2, port, vec![Script::default()]).await;
    let postbox = Postbox::start(certificates.server(&["127.0.0.1"]).0).await;
    // An object store refuses what was signed at another time.
    let blobs = match TestBlobs::of_all_tests() {
        TestBlobs::S3 => TestBlobs::Inline,
        kind => kind,
    };
    let home = Home::with_people_and_blobs(blobs);
    let zone = exchangers(&[
        ("b.test", "127.0.0.1"),
        ("w.test", "127.0.0.1"),
        ("p.test", "127.0.0.2"),
        ("silent.test", "127.0.0.2"),
    ]) + &site::keys(&home, "example.org")
        + &format!(
            "_smtp._tls.b.test. TXT \"v=TLSRPTv1; rua=mailto:tls@b.test\"\n\
             _{port}._tcp.mail.w.test. TLSA 3 1 1 {}\n_smtp._tls.mail.w.test. TXT \"v=TLSRPTv1; rua=mailto:tls@b.test\"\n\
             _smtp._tls.p.test. TXT \"v=TLSRPTv1; rua=https://127.0.0.1:{}/v1/reports\"\n\
             c.test. TXT \"v=spf1 ip4:127.0.0.1 -all\"\n_dmarc.c.test. TXT \"v=DMARC1; p=reject; rua=mailto:dmarc@b.test\"\n\
             c.test._report._dmarc.b.test. TXT \"v=DMARC1\"\n\
             d.test. TXT \"v=spf1 -all\"\n_dmarc.d.test. TXT \"v=DMARC1; p=none; rua=mailto:dmarc@d.test\"\n\
             d.test. MX 10 mail.b.test.\n\
             e.test. TXT \"v=spf1 -all\"\n_dmarc.e.test. TXT \"v=DMARC1; p=none; rua=mailto:dmarc@b.test\"\n",
            "00".repeat(32),
            postbox.port
        );
    let names = names::start(&zone, &[]);
    let (home, mut time) = Time::noon(home);
    let authority = home.path().join("authority.pem");
    fs::write(&authority, certificates.authority_pem()).expect("not written");
    let home = site::lead(home, &names, port)
        .with_variable("SSL_CERT_FILE", authority)
        .set("authentication", "trusted = []")
        .set("push", "private-services = true")
        .set("reports", "organisation = \"Example Org\"");
    let server = Server::start_in(home);

    // Sessions with those who want to hear of TLS, and with one who doesn't.
    let rows = [
        ("bob@b.test", "250 2.0.0 Taken"),
        ("bob@w.test", "451 4.7.5"),
        ("bob@p.test", "250 2.0.0 Taken"),
        ("bob@silent.test", "250 2.0.0 Taken"),
    ];
    expect(&server, &rows);
    // Mail in the name of those who want to hear of DMARC; of one who names a stranger, who has not agreed.
    come_from(&server, "c.test", 3);
    come_from(&server, "d.test", 1);
    come_from(&server, "e.test", 1);
    // They are written down, and the day ends.
    time.pass(90);
    let _ = server.home.cli(&["status"], "");
    assert_eq!(peer.arrived(1).len(), 1);
    std::thread::sleep(Duration::from_millis(500));
    time.pass(DAY);
    let found = reports(&server, &peer, 1, 4);

    let begin = (time.ahead + now()) / DAY * DAY - DAY;
    let subjects: Vec<String> = found.iter().map(|(of, _)| string(&of["subject"])).collect();
    let domains = ["b.test", "c.test", "d.test", "mail.w.test"];
    for (subject, domain) in subjects.iter().zip(domains) {
        let begin = format!("Report Domain: {domain} Submitter: mail.example.org Report-ID: <");
        assert!(subject.starts_with(&begin), "{subjects:?}");
    }
    let of = |domain: &str| -> &Value {
        let is_it = |(mail, _): &&(Value, String)| {
            let report = &mail["report"];
            report["domain"] == domain || report["policies"][0]["policy"]["policy-domain"] == domain
        };
        &found.iter().find(is_it).expect("a report").0
    };
    let good = of("c.test");
    assert_eq!(good["to"][0], "dmarc@b.test");
    assert_eq!(good["from"], "postmaster@example.org");
    assert_eq!(good["type"], "application/gzip");
    assert_eq!(good["report"]["organisation"], "Example Org");
    assert_eq!(good["report"]["policy"], "reject");
    assert_eq!(good["report"]["begin"], begin);
    assert_eq!(good["report"]["end"], begin + DAY - 1);
    let row = serde_json::json!({
        "source": "127.0.0.1", "count": 3, "disposition": "none", "dkim": "fail", "spf": "pass",
        "headerFrom": "c.test", "spfDomain": "c.test", "spfResult": "pass"
    });
    assert_eq!(good["report"]["rows"], serde_json::json!([row]));
    let bad = of("d.test");
    assert_eq!(bad["to"][0], "dmarc@d.test");
    assert_eq!(bad["report"]["rows"][0]["spf"], "fail");
    assert_eq!(bad["report"]["rows"][0]["spfResult"], "fail");
    assert_eq!(bad["report"]["rows"][0]["disposition"], "none");

    let sent = of("b.test");
    assert_eq!(sent["whole"], "multipart/report");
    assert_eq!(sent["type"], "application/tlsrpt+gzip");
    assert_eq!(sent["tlsDomain"], "b.test");
    assert_eq!(sent["tlsSubmitter"], "mail.example.org");
    let policies = &sent["report"]["policies"];
    assert_eq!(policies[0]["policy"]["policy-type"], "no-policy-found");
    assert_eq!(policies[0]["summary"]["total-successful-session-count"], 1);
    assert_eq!(policies[0]["summary"]["total-failure-session-count"], 0);
    let refused = &of("mail.w.test")["report"]["policies"][0];
    assert_eq!(refused["policy"]["policy-type"], "tlsa");
    assert_eq!(refused["summary"]["total-successful-session-count"], 0);
    let detail = &refused["failure-details"][0];
    assert_eq!(detail["result-type"], "validation-failure");
    assert_eq!(detail["receiving-mx-hostname"], "mail.w.test");
    assert_eq!(detail["receiving-ip"], "127.0.0.1");

    // RFC 8460 §3: the mails are signed.
    for (_, mail) in &found {
        let zone = format!("dns:{}", names.port);
        let lines = python("dkim_verify.py", &[&zone, &time.ahead.to_string()], mail);
        assert!(
            lines[0].starts_with("pass rsa-sha256 example.org")
                && lines[1].starts_with("pass ed25519-sha256 example.org"),
            "{lines:?}"
        );
    }
    // And the one over HTTPS.
    let taken = postbox.taken.lock();
    assert_eq!(taken.len(), 1, "{}", server.log_tail());
    let (head, body) = &taken[0];
    assert!(head.starts_with("POST /v1/reports HTTP/1.1\n"), "{head}");
    assert!(
        head.contains("content-type: application/tlsrpt+gzip\n"),
        "{head}"
    );
    let said = site::python_with("report_mail.py", &["tls"], body);
    let posted: Value = serde_json::from_str(&said[0]).expect("JSON");
    let policy = &posted["report"]["policies"][0];
    assert_eq!(policy["policy"]["policy-domain"], "p.test");
    assert_eq!(
        policy["failure-details"][0]["result-type"],
        "starttls-not-supported"
    );
    // Nobody else was told, and nobody twice.
    time.pass(2 * 3600);
    std::thread::sleep(Duration::from_millis(300));
    let _ = server.home.cli(&["status"], "");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(peer.arrived(5).len(), 5);
    assert_eq!(plain.seen.lock().messages.len(), 2);
    assert_eq!(taken.len(), 1);
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("a time").as_secs()
}

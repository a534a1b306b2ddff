//! DANE (RFC 7672) and MTA-STS (RFC 8461) by a signed zone, and by policies over HTTPS.

use std::{
    collections::HashMap, fmt::Write as _, net::SocketAddr, path::PathBuf, sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use jmap_core::inproc::outbound::{Attempt, Fate, TlsEvaluation, TlsPolicyKind};
use mail_auth_adapter::{
    Dns, DnsSettings,
    dns::{LookupError, NotFound, RecordKind},
};
use net::{Stream, Wire, reader::LinePace, tls::TlsServer};
use parking_lot::Mutex;
use smtp::client::{Client, KeptPolicy, PolicyKeeper, Roots};

use crate::{
    harness::{address, is_accepted, job_for, only, parts, send, settings},
    names::{self, NameServer, WRONG_DS},
    peer::{Certificates, Peer, Script, listen},
};

/// RFC 6698 §2.2, of the whole certificate or of its key.
pub fn tlsa(usage: u8, selector: u8, certificate: &[u8]) -> String {
    let key;
    let of: &[u8] = match selector {
        0 => certificate,
        _ => {
            let certificate = rustls_pki_types::CertificateDer::from(certificate);
            let parsed = webpki::EndEntityCert::try_from(&certificate).expect("a certificate");
            key = parsed.subject_public_key_info();
            &key
        }
    };
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, of);
    let hash = hash.as_ref().iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    });
    format!("TLSA {usage} {selector} 1 {hash}")
}

struct World {
    names: NameServer,
    certificates: Certificates,
    _folder: tempfile::TempDir,
    authorities: PathBuf,
}

impl World {
    fn new(names: NameServer, certificates: Certificates) -> World {
        let folder = tempfile::tempdir().expect("a folder");
        let authorities = folder.path().join("ca.pem");
        std::fs::write(&authorities, certificates.authority_pem()).expect("not written");
        World {
            names,
            certificates,
            _folder: folder,
            authorities,
        }
    }

    fn client(&self, port: u16, sts_port: u16, keeper: Option<Arc<dyn PolicyKeeper>>) -> Client {
        let mut settings = settings(port);
        settings.sts_port = sts_port;
        let mut parts = parts(self.names.dns(), settings);
        parts.roots = Roots::of_file(&self.authorities).expect("authorities");
        parts.policies = keeper;
        Client::new(parts).expect("a client")
    }
}

fn evaluation(attempt: &Attempt) -> TlsEvaluation {
    let evaluation = attempt
        .hosts
        .last()
        .and_then(|tried| tried.evaluation.clone());
    evaluation.unwrap_or_else(|| panic!("no evaluation: {attempt:?}"))
}

fn failure(attempt: &Attempt) -> Option<&'static str> {
    evaluation(attempt)
        .failure
        .map(|failure| failure.result_type)
}

#[tokio::test]
async fn answers_say_whether_they_are_secure() {
    for proofs in [names::Proofs::Nsec, names::Proofs::Nsec3] {
        answers_are_secure(proofs).await;
    }
}

async fn answers_are_secure(proofs: names::Proofs) {
    let signed = "a.test. A 127.0.0.1\nalias.test. CNAME a.test.\nout.test. CNAME a.plain.\n\
         a.test. TXT \"one\" \"two\"\na.test. MX 10 MX.a.test.\n*.wild.test. A 127.0.0.2\n\
         b.wild.test. A 127.0.0.3\nc.b.wild.test. A 127.0.0.3\n*.aliases.test. CNAME a.test.\nnowhere.test. CNAME none.test.\n";
    let root = format!("plain. NS ns.\nbogus. NS ns.\nbogus. {WRONG_DS}\n");
    let unsigned = "a A 127.0.0.1\nback CNAME a.test.\n";
    let zones = [("plain.", unsigned), ("bogus.", unsigned)];
    let names = names::start_with(&root, Some(("test.", proofs, signed)), &zones);
    let dns = names.dns();
    let a = async |name: &str| {
        dns.a(name)
            .await
            .map(|answer| (answer.name, answer.secure, answer.alias_secure))
    };
    let ok = |name: &str, secure, alias| Ok((name.to_owned(), secure, alias));
    assert_eq!(a("a.test").await, ok("a.test", true, true));
    assert_eq!(a("A.TEST.").await, ok("a.test", true, true));
    assert_eq!(a("alias.test").await, ok("a.test", true, true));
    for name in ["x.wild.test", "x.y.wild.test"] {
        assert_eq!(a(name).await, ok(name, true, true), "{name} {proofs:?}");
    }
    assert_eq!(a("x.aliases.test").await, ok("a.test", true, true));
    assert_eq!(
        a("nowhere.test").await,
        Err(LookupError::NotFound(NotFound::Name))
    );
    assert_eq!(
        a("x.b.wild.test").await,
        Err(LookupError::NotFound(NotFound::Name))
    );
    assert_eq!(a("a.plain").await, ok("a.plain", false, false));
    assert_eq!(a("out.test").await, ok("a.plain", false, true));
    assert_eq!(a("back.plain").await, ok("a.test", false, false));
    assert_eq!(a("a.bogus").await, Err(LookupError::Bogus));
    assert_eq!(a("none.bogus").await, Err(LookupError::Bogus));
    assert_eq!(
        a("none.test").await,
        Err(LookupError::NotFound(NotFound::Name))
    );
    assert_eq!(
        a("none.plain").await,
        Err(LookupError::NotFound(NotFound::Name))
    );
    assert_eq!(a("a..test").await, Err(LookupError::BadName));
    let none = Err(LookupError::NotFound(NotFound::Records));
    for name in [
        "a.test",
        "a.plain",
        "alias.test",
        "x.wild.test",
        "x.aliases.test",
        "back.plain",
        "out.test",
    ] {
        assert_eq!(dns.aaaa(name).await, none, "{name} {proofs:?}");
    }
    assert_eq!(
        dns.txt("a.test").await.expect("one").records,
        [b"onetwo".to_vec()]
    );
    assert_eq!(
        dns.mx("a.test").await.expect("one").records[0].exchange,
        "mx.a.test"
    );
    assert_eq!(
        dns.cname("alias.test").await.expect("one").records,
        ["a.test"]
    );
    // Without validation nothing is secure; with another's key nothing validates, and that is said.
    let lax = DnsSettings {
        validates: false,
        ..names.settings()
    };
    let lax = Dns::new(&lax).expect("a resolver");
    assert!(!lax.a("a.test").await.expect("one").secure);
    assert!(lax.a("a.bogus").await.is_ok());
    let others = DnsSettings {
        trust_anchor: None,
        ..names.settings()
    };
    let others = Dns::new(&others).expect("a resolver");
    let found = others.look_up("a.test", RecordKind::A).await;
    let why = format!("{found:?}");
    assert!(
        why.contains("Temporary") && why.contains("`dns.dnssec`"),
        "{why}"
    );
    // Nobody there: it ends in time.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let port = silent.local_addr().expect("an address").port();
    let silent = DnsSettings {
        nameservers: mail_auth_adapter::Nameservers::At(vec![([127, 0, 0, 1], port).into()]),
        timeout: Duration::from_secs(1),
        ..names.settings()
    };
    let silent = Dns::new(&silent).expect("a resolver");
    let started = std::time::Instant::now();
    assert!(matches!(
        silent.a("a.test").await,
        Err(LookupError::Temporary(_))
    ));
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn tlsa_records_are_kept_to() {
    let certificates = Certificates::new();
    let (tls, certificate) = certificates.server(&["nobody.looks"]);
    let (named, named_certificate) = certificates.server(&["mx.ta.test"]);
    let good = Peer::start(Script::new(&["PIPELINING"]).with_tls(&tls)).await;
    let port = good.port();
    let by_authority = Peer::start_at(2, port, vec![Script::default().with_tls(&named)]).await;
    let without = Peer::start_at(3, port, vec![Script::default()]).await;
    let wrong = format!("TLSA 3 1 1 {}", "00".repeat(32));
    let mut root = String::new();
    let mut add = |domain: &str, host: u8, records: &[String]| {
        let _ = writeln!(
            root,
            "{domain}. MX 10 mx.{domain}.\nmx.{domain}. A 127.0.0.{host}"
        );
        for record in records {
            let _ = writeln!(root, "_{port}._tcp.mx.{domain}. {record}");
        }
    };
    add("good.test", 1, &[tlsa(3, 1, &certificate)]);
    add("whole.test", 1, &[wrong.clone(), tlsa(3, 0, &certificate)]);
    add("ta.test", 2, &[tlsa(2, 0, &certificates.authority_der())]);
    add(
        "taname.test",
        1,
        &[tlsa(2, 1, &certificates.authority_der())],
    );
    add("taleaf.test", 2, &[tlsa(2, 1, &named_certificate)]);
    add("bad.test", 1, std::slice::from_ref(&wrong));
    add("missing.test", 1, &[]);
    add("unusable.test", 1, &[tlsa(1, 1, &certificate)]);
    add("notls.test", 3, &[tlsa(3, 1, &certificate)]);
    add("unusablenotls.test", 3, &[tlsa(1, 1, &certificate)]);
    add("bogustlsa.test", 1, &[]);
    let _ = write!(
        root,
        "_tcp.mx.bogustlsa.test. NS ns.\n_tcp.mx.bogustlsa.test. {WRONG_DS}\n\
         aliased.test. MX 10 alias.test.\nalias.test. CNAME mx.good.test.\n\
         second.test. MX 10 mx.bad.test.\nsecond.test. MX 20 mx.good.test.\n\
         implicit.test. A 127.0.0.1\n_{port}._tcp.implicit.test. {}\n\
         insecure.test. MX 10 mx.plain.\nplain. NS ns.\nbogus. NS ns.\nbogus. {WRONG_DS}\n\
         null.test. MX 0 .\norder.test. MX 20 mx.good.test.\norder.test. MX 10 mx.notls.test.\norder.test. MX 5 nowhere.test.\n",
        tlsa(3, 1, &certificate)
    );
    let plain = format!("@ MX 10 mx\nmx A 127.0.0.1\n_{port}._tcp.mx {wrong}\n");
    let bogus = "@ MX 10 mx\nmx A 127.0.0.1\n";
    let zones = [
        ("plain.", plain.as_str()),
        ("bogus.", bogus),
        ("_tcp.mx.bogustlsa.test.", "@ A 127.0.0.1\n"),
    ];
    let world = World::new(names::start(&root, &zones), certificates);
    let client = world.client(port, 1, None);
    let to =
        async |domain: &str| send(&client, &job_for(domain, &[&format!("bob@{domain}")])).await;

    for domain in [
        "good.test",
        "whole.test",
        "ta.test",
        "aliased.test",
        "implicit.test",
    ] {
        let attempt = to(domain).await;
        assert!(is_accepted(&attempt.outcomes[0]), "{domain}: {attempt:?}");
        assert_eq!(
            attempt.hosts[0].tls.as_deref(),
            Some("TLSv1.3, verified by DANE"),
            "{domain}"
        );
        let evaluation = evaluation(&attempt);
        assert_eq!(
            (evaluation.policy, evaluation.failure),
            (TlsPolicyKind::Tlsa, None),
            "{domain}"
        );
        assert!(
            evaluation
                .policy_lines
                .iter()
                .any(|line| line.starts_with("3 ") || line.starts_with("2 "))
        );
    }
    let before = good.seen.lock().messages.len() + by_authority.seen.lock().messages.len();
    let rows = [
        ("bad.test", "451 4.7.5", Some("validation-failure")),
        ("taname.test", "451 4.7.5", Some("validation-failure")),
        // The record of an authority stands for what it has signed, and not for itself.
        ("taleaf.test", "451 4.7.5", Some("validation-failure")),
        ("notls.test", "451 4.7.5", Some("starttls-not-supported")),
        (
            "unusablenotls.test",
            "451 4.7.5",
            Some("starttls-not-supported"),
        ),
        ("bogustlsa.test", "451 4.7.5", None),
        ("bogus", "451 4.7.5", None),
    ];
    for (domain, begin, result_type) in rows {
        let attempt = to(domain).await;
        assert_eq!(only(&attempt).0, Fate::Later, "{domain}: {attempt:?}");
        assert!(only(&attempt).1.starts_with(begin), "{domain}: {attempt:?}");
        match result_type {
            Some(_) => assert_eq!(failure(&attempt), result_type, "{domain}: {attempt:?}"),
            None => assert!(
                attempt.hosts.iter().all(|tried| tried.address.is_none()),
                "{attempt:?}"
            ),
        }
    }
    let after = good.seen.lock().messages.len() + by_authority.seen.lock().messages.len();
    assert_eq!((before, without.seen.lock().messages.len()), (after, 0));

    // Nothing is asked for: any certificate will do. Records that nobody vouches for are none.
    for domain in ["missing.test", "insecure.test", "plain"] {
        let attempt = to(domain).await;
        assert!(is_accepted(&attempt.outcomes[0]), "{domain}: {attempt:?}");
        // The last one has the connection of the one before, of which has been told.
        if domain != "plain" {
            assert_eq!(
                evaluation(&attempt).policy,
                TlsPolicyKind::NoPolicyFound,
                "{domain}"
            );
        }
    }
    let attempt = to("unusable.test").await;
    assert!(is_accepted(&attempt.outcomes[0]), "{attempt:?}");
    assert_eq!(failure(&attempt), Some("tlsa-invalid"));

    let attempt = to("second.test").await;
    assert!(is_accepted(&attempt.outcomes[0]), "{attempt:?}");
    let hosts: Vec<&str> = attempt
        .hosts
        .iter()
        .map(|tried| tried.host.as_str())
        .collect();
    assert_eq!(hosts, ["mx.bad.test", "mx.good.test"]);
    // The first has no address, the second keeps no policy, the third is well.
    let attempt = to("order.test").await;
    assert!(is_accepted(&attempt.outcomes[0]), "{attempt:?}");
    let hosts: Vec<&str> = attempt
        .hosts
        .iter()
        .map(|tried| tried.host.as_str())
        .collect();
    assert_eq!(hosts, ["nowhere.test", "mx.notls.test", "mx.good.test"]);

    for (domain, begin) in [("null.test", "556 5.1.10"), ("none.test", "550 5.1.2")] {
        let attempt = to(domain).await;
        assert_eq!(only(&attempt).0, Fate::Refused, "{attempt:?}");
        assert!(only(&attempt).1.starts_with(begin), "{attempt:?}");
    }
    // RFC 8689 §5: a sender may ask that a message gets through. §4.2.1: or that it does so safely only.
    let mut through = job_for("bad.test", &["bob@bad.test"]);
    through.message = "Subject: a\r\nTLS-Required: No\r\n\r\nx\r\n".into();
    assert!(is_accepted(&send(&client, &through).await.outcomes[0]));
    let mut required = job_for("missing.test", &["bob@missing.test"]);
    required.mail_from = address("ann@example.org", &[("REQUIRETLS", None)]);
    let attempt = send(&client, &required).await;
    assert!(only(&attempt).1.starts_with("550 5.7.10"), "{attempt:?}");
}

/// HTTPS with a policy a host.
pub struct PolicyServer {
    pub address: SocketAddr,
    pub requests: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for PolicyServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl PolicyServer {
    async fn start(tls: TlsServer, policies: HashMap<String, String>) -> PolicyServer {
        PolicyServer::start_on("127.0.0.1:0", tls, policies).await
    }

    pub async fn start_on(
        address: &str,
        tls: TlsServer,
        policies: HashMap<String, String>,
    ) -> PolicyServer {
        let listener = listen(address.parse().expect("an address")).await;
        let address = listener.local_addr().expect("no address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = requests.clone();
        let policies = Arc::new(policies);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, policies, log) = (tls.clone(), policies.clone(), log.clone());
                tokio::spawn(async move {
                    let stream = Stream::Tcp(stream).upgrade_tls(&tls).await.ok()?;
                    let mut wire = Wire::new(stream);
                    let pace = LinePace {
                        idle: Duration::from_secs(10),
                        line: Duration::from_secs(10),
                    };
                    let mut host = String::new();
                    loop {
                        let line = wire.read_line(8192, pace).await.ok()?;
                        let line = String::from_utf8_lossy(&line.octets).into_owned();
                        if let Some(name) = line.strip_prefix("host: ") {
                            host = name.to_owned();
                        }
                        if line.starts_with("GET ") {
                            log.lock().push(line.clone());
                        }
                        if line.is_empty() {
                            break;
                        }
                    }
                    let policy = policies.get(&host);
                    let (status, body) = match policy.map(String::as_str) {
                        Some("redirect") => ("301 Moved\r\nLocation: /other", ""),
                        Some(policy) => ("200 OK", policy),
                        None => ("404 Not Found", "nothing"),
                    };
                    let head = format!(
                        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n",
                        body.len()
                    );
                    wire.send(head.as_bytes()).await.ok()?;
                    wire.send(body.as_bytes()).await.ok()?;
                    wire.flush().await.ok()
                });
            }
        });
        PolicyServer {
            address,
            requests,
            task,
        }
    }
}

#[derive(Debug, Default)]
struct Memory(Mutex<HashMap<String, KeptPolicy>>);

#[async_trait]
impl PolicyKeeper for Memory {
    async fn load(&self, domain: &str) -> Option<KeptPolicy> {
        self.0.lock().get(domain).cloned()
    }

    async fn keep(&self, domain: &str, policy: &KeptPolicy) {
        self.0.lock().insert(domain.to_owned(), policy.clone());
    }
}

#[tokio::test]
async fn policies_over_https_are_kept_to() {
    let certificates = Certificates::new();
    let (tls, _) = certificates.server(&["mx.good.test", "mx.other.test"]);
    let peer = Peer::start(Script::new(&["PIPELINING"]).with_tls(&tls)).await;
    let port = peer.port();
    let without = Peer::start_at(3, port, vec![Script::default()]).await;
    let policy = |mode: &str, mx: &str| {
        format!("version: STSv1\r\nmode: {mode}\r\nmx: {mx}\r\nmax_age: 86400\r\n")
    };
    let long = format!(
        "{}{}",
        policy("enforce", "mx.good.test"),
        "x: y\n".repeat(20_000)
    );
    // Domain, its host, the host's address, its policy.
    let rows = [
        (
            "good.test",
            "mx.good.test",
            1,
            policy("enforce", "mx.good.test"),
        ),
        (
            "wild.test",
            "mx.good.test",
            1,
            policy("enforce", "*.good.test"),
        ),
        (
            "wrong.test",
            "mx.wrong.test",
            1,
            policy("enforce", "mx.wrong.test"),
        ),
        (
            "testing.test",
            "mx.testing.test",
            1,
            policy("testing", "mx.testing.test"),
        ),
        (
            "notls.test",
            "mx.notls.test",
            3,
            policy("enforce", "mx.notls.test"),
        ),
        (
            "mx.test",
            "mx.good.test",
            1,
            policy("enforce", "mx.other.test"),
        ),
        (
            "mxtesting.test",
            "mx.good.test",
            1,
            policy("testing", "mx.other.test"),
        ),
        (
            "none.test",
            "mx.none.test",
            1,
            policy("none", "mx.other.test"),
        ),
        (
            "redirect.test",
            "mx.redirect.test",
            1,
            "redirect".to_owned(),
        ),
        ("invalid.test", "mx.invalid.test", 1, "hello".to_owned()),
        ("long.test", "mx.long.test", 1, long),
        (
            "unsafe.test",
            "mx.unsafe.test",
            1,
            policy("enforce", "mx.other.test"),
        ),
    ];
    let mut root = String::new();
    let mut hosts = Vec::new();
    let mut policies = HashMap::new();
    for (domain, host, ip, policy) in &rows {
        let _ = write!(
            root,
            "{domain}. MX 10 {host}.\n_mta-sts.{domain}. TXT \"v=STSv1; id=1;\"\nmta-sts.{domain}. A 127.0.0.1\n"
        );
        if !root.contains(&format!("\n{host}. A ")) {
            let _ = writeln!(root, "{host}. A 127.0.0.{ip}");
        }
        // One policy host has no certificate for its name.
        if *domain != "unsafe.test" {
            hosts.push(format!("mta-sts.{domain}"));
        }
        policies.insert(format!("mta-sts.{domain}"), policy.clone());
    }
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let server = PolicyServer::start(certificates.server(&hosts).0, policies).await;
    let world = World::new(names::start(&root, &[]), certificates);
    let keeper = Arc::new(Memory::default());
    let client = world.client(port, server.address.port(), Some(keeper.clone()));
    let to = async |client: &Client, domain: &str| {
        send(client, &job_for(domain, &[&format!("bob@{domain}")])).await
    };

    for domain in ["good.test", "wild.test"] {
        let attempt = to(&client, domain).await;
        assert!(is_accepted(&attempt.outcomes[0]), "{domain}: {attempt:?}");
        assert_eq!(attempt.hosts[0].tls.as_deref(), Some("TLSv1.3, verified"));
        // The second domain has the same host, and the same connection: it counts for each.
        let evaluation = evaluation(&attempt);
        assert_eq!(
            (evaluation.policy, evaluation.failure),
            (TlsPolicyKind::Sts, None)
        );
        assert_eq!(evaluation.policy_domain, domain);
        assert_eq!(evaluation.policy_lines[1], "mode: enforce");
        assert_eq!(evaluation.mx_patterns.len(), 1);
    }
    let before = peer.seen.lock().messages.len();
    let rows = [
        ("wrong.test", Some("certificate-host-mismatch")),
        ("notls.test", Some("starttls-not-supported")),
        ("mx.test", None),
    ];
    for (domain, result_type) in rows {
        let attempt = to(&client, domain).await;
        assert_eq!(only(&attempt).0, Fate::Later, "{domain}: {attempt:?}");
        assert!(
            only(&attempt).1.starts_with("451 4.7.5"),
            "{domain}: {attempt:?}"
        );
        if result_type.is_some() {
            assert_eq!(failure(&attempt), result_type, "{domain}");
        }
    }
    assert_eq!(
        (
            peer.seen.lock().messages.len(),
            without.seen.lock().messages.len()
        ),
        (before, 0)
    );
    let rows = [
        (
            "testing.test",
            TlsPolicyKind::Sts,
            Some("certificate-host-mismatch"),
        ),
        (
            "mxtesting.test",
            TlsPolicyKind::Sts,
            Some("validation-failure"),
        ),
        ("none.test", TlsPolicyKind::NoPolicyFound, None),
        (
            "redirect.test",
            TlsPolicyKind::Sts,
            Some("sts-policy-fetch-error"),
        ),
        (
            "invalid.test",
            TlsPolicyKind::Sts,
            Some("sts-policy-invalid"),
        ),
        (
            "long.test",
            TlsPolicyKind::Sts,
            Some("sts-policy-fetch-error"),
        ),
        (
            "unsafe.test",
            TlsPolicyKind::Sts,
            Some("sts-webpki-invalid"),
        ),
    ];
    for (domain, kind, result_type) in rows {
        let attempt = to(&client, domain).await;
        assert!(is_accepted(&attempt.outcomes[0]), "{domain}: {attempt:?}");
        assert_eq!(
            (evaluation(&attempt).policy, failure(&attempt)),
            (kind, result_type),
            "{domain}"
        );
    }
    // A policy is fetched once, also by many at the same time; and so is one that isn't there.
    let requests = server.requests.lock().len();
    let many = futures_util::future::join_all((0..20).map(|_| to(&client, "wrong.test"))).await;
    assert!(many.iter().all(|attempt| only(attempt).0 == Fate::Later));
    assert!(is_accepted(&to(&client, "redirect.test").await.outcomes[0]));
    assert_eq!(server.requests.lock().len(), requests);

    // After a restart, with nobody at the policy host, the policy still counts; without the memory it would not.
    drop(server);
    let again = world.client(port, 1, Some(keeper));
    assert_eq!(only(&to(&again, "wrong.test").await).0, Fate::Later);
    assert_eq!(
        evaluation(&to(&again, "wrong.test").await).policy,
        TlsPolicyKind::Sts
    );
    let forgetful = world.client(port, 1, None);
    assert!(is_accepted(&to(&forgetful, "wrong.test").await.outcomes[0]));
    assert!(!world.certificates.authority_pem().is_empty());
}

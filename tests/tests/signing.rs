//! What signs outgoing mail, judged by others: dkimpy verifies signatures and chains, and so does our own verifier, which asks a
//! name server (Knot DNS) for the keys.

use std::{
    fmt::Write as _,
    io::Write as _,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use e2e::{home::free_port, knot::Knot};
use jmap_core::{
    Caller, Core, Limits, Parts,
    auth::{Credentials, Origin, Protocol, Secret},
    clock::{Clock, SystemClock},
    directory::{DomainChange, Forward, NewAccount, dkim::SigningSettings},
    inproc::{
        deliver::{Arrival, Inbound},
        origin::Author,
        outbound::{self, Attempt, Fate, Job, JobRecipient, Outbound},
    },
    mail::submission::records::EnvelopeAddress,
    rng::SeededRng,
};
use jmap_types::AccountId;
use mail_auth_adapter::{Envelope, Nameservers, Outcome, Settings, Verdict, Verifier};
use smtp::{client::Signer as _, signing::DomainSigner};
use store::{
    engine::MemoryEngine,
    search::{SearchIndex, SearchOptions},
};

const HOST: &str = "mail.example.org";
const PASSWORD: &str = "correct horse battery";
/// A message of the queue that is there no more.
const GONE: u64 = 99;

struct Server {
    folder: tempfile::TempDir,
    core: Core,
    signer: DomainSigner,
}

/// With keys for example.org, and for names that are an alias and internationalised.
async fn server() -> Server {
    let folder = tempfile::tempdir().unwrap();
    let options = SearchOptions {
        shards: 1,
        ..SearchOptions::default()
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let parts = Parts {
        engine: MemoryEngine::new(),
        search: Arc::new(SearchIndex::open(folder.path(), &options).unwrap()),
        push: Default::default(),
        clock: clock.clone(),
        rng: Arc::new(SeededRng::new(7)),
        limits: Limits::default(),
        hostname: HOST.into(),
    };
    let core = Core::open(parts).await.unwrap();
    core.sign_with(SigningSettings::default());
    let who = &Caller::server();
    for domain in ["example.org", "example.net", "exämple.test"] {
        core.add_domain(who, domain).await.unwrap();
    }
    let alias = DomainChange {
        alias_of: Some(Some("example.org".to_owned())),
        ..DomainChange::default()
    };
    core.set_domain(who, "example.net", alias).await.unwrap();
    let signer = DomainSigner::new(core.clone(), clock);
    let server = Server {
        folder,
        core,
        signer,
    };
    server.write_zone().await;
    server
}

impl Server {
    async fn keys(&self) -> Vec<(String, String)> {
        let mut keys = Vec::new();
        for domain in ["example.org", "example.net", "xn--exmple-cua.test"] {
            let of_domain = self
                .core
                .dkim_keys(&Caller::server(), domain)
                .await
                .unwrap();
            keys.extend(of_domain.iter().map(|key| (key.name(), key.txt())));
        }
        keys
    }

    async fn write_zone(&self) {
        let lines = self.keys().await;
        let lines = lines.iter().map(|(name, text)| format!("{name}\t{text}\n"));
        std::fs::write(self.folder.path().join("zone"), lines.collect::<String>()).unwrap();
    }

    /// Signed, or sealed if it begins as mail does that is passed on.
    async fn sign(&self, mail_from: &str, message: &str) -> String {
        let octets = Bytes::copy_from_slice(message.as_bytes());
        let account = AccountId::new(1);
        let fields = self
            .signer
            .sign_for(account, GONE, mail_from, &octets)
            .await
            .unwrap();
        let fields = String::from_utf8(fields.to_vec()).unwrap();
        assert!(fields.is_empty() || fields.ends_with("\r\n"));
        assert!(fields.lines().all(|line| line.len() <= 100), "{fields}");
        fields + message
    }

    /// What dkimpy says.
    fn dkimpy(&self, message: &str) -> Vec<String> {
        let python = std::env::var_os("POSTHORN_PYTHON").expect(
            "POSTHORN_PYTHON has to name a python with dkimpy; `cargo xtask test` makes one",
        );
        let mut child = Command::new(python)
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/scripts/dkim_verify.py"
            ))
            .arg(self.folder.path().join("zone"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(message.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{message}");
        String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// The records at a name server, and a verifier that asks it.
    async fn verifier(&self) -> (Knot, Verifier) {
        let mut zones: Vec<(&str, String)> = Vec::new();
        let soa = |name: &str| {
            format!(
                "$ORIGIN {name}.\n$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n"
            )
        };
        for domain in ["example.org", "example.net", "xn--exmple-cua.test"] {
            let mut zone = soa(domain);
            for (name, text) in self.keys().await {
                if name.ends_with(domain) {
                    let strings: Vec<String> = text
                        .as_bytes()
                        .chunks(255)
                        .map(|part| format!("\"{}\"", String::from_utf8_lossy(part)))
                        .collect();
                    writeln!(zone, "{name}. TXT {}", strings.join(" ")).unwrap();
                }
            }
            zones.push((domain, zone));
        }
        let zones: Vec<(&str, &str)> = zones.iter().map(|(name, text)| (*name, &**text)).collect();
        let knot = Knot::start(self.folder.path(), free_port(), &zones);
        let verifier = Verifier::new(&Settings {
            nameservers: Nameservers::At(vec![([127, 0, 0, 1], knot.port).into()]),
            timeout: Duration::from_secs(10),
        });
        (knot, verifier.unwrap())
    }
}

fn both(state: &str, domain: &str, keys: &[(String, String)]) -> Vec<String> {
    let selector = |kind: &str| {
        let suffix = format!("._domainkey.{domain}");
        let mut names = keys
            .iter()
            .filter_map(|(name, _)| name.strip_suffix(&suffix));
        names
            .find(|name| name.starts_with(kind))
            .unwrap()
            .to_owned()
    };
    ["rsa", "ed25519"]
        .map(|kind| format!("{state} {kind}-sha256 {domain} {}", selector(kind)))
        .into()
}

fn message(from: &str, body: &str) -> String {
    format!(
        "Received: from client\r\n\tby {HOST}; now\r\nFrom: {from}\r\nTo: Bob <bob@example.com>,\r\n\tCarol <carol@example.com>\r\n\
         Subject:  of   much \r\n\t space\t\r\nDate: Sat, 28 Nov 2026 20:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn others_verify_both_signatures() {
    let server = server().await;
    let keys = server.keys().await;
    let bodies = [
        "",
        "\r\n",
        "hello",
        "Hello  there \t\r\n\r\nbye\r\n",
        // Lines of white space at the end (RFC 6376 §3.4.4).
        "Hello\r\n \r\n\t\r\n  \r\n",
        " leading\r\n\r\n\r\n.dot\r\ngrüße\r\n",
        "\tx\r\n \r\n y",
    ];
    for body in bodies {
        let signed = server
            .sign(
                "alice@example.org",
                &message("Alice <alice@Example.ORG>", body),
            )
            .await;
        let found = server.dkimpy(&signed);
        let arc = found.last().cloned().unwrap();
        assert_eq!(
            found[..2],
            both("pass", "example.org", &keys)[..],
            "{body:?} {arc}"
        );
    }
    let large = "a line of  text \r\n".repeat(100_000);
    let signed = server.sign("", &message("alice@example.org", &large)).await;
    assert_eq!(
        server.dkimpy(&signed)[..2],
        both("pass", "example.org", &keys)[..]
    );
}

#[tokio::test]
async fn whose_keys() {
    let server = server().await;
    let keys = server.keys().await;
    let rows = [
        // The author's domain, not that of the envelope.
        ("bob@example.net", "alice@example.org", "example.org"),
        // A domain that is an alias has its own keys.
        ("alice@example.org", "alice@example.net", "example.net"),
        // Internationalised (RFC 8616): A-labels in the signature.
        ("", "Ä <ä@exämple.test>", "xn--exmple-cua.test"),
        ("", "ä@xn--exmple-cua.test", "xn--exmple-cua.test"),
        // The server's own reports: the domain above its name is aligned with it.
        (
            "",
            "Mail Delivery System <MAILER-DAEMON@mail.example.org>",
            "example.org",
        ),
        // The envelope's, if the author is elsewhere.
        ("alice@example.org", "alice@example.com", "example.org"),
    ];
    for (mail_from, from, domain) in rows {
        let signed = server.sign(mail_from, &message(from, "hello\r\n")).await;
        assert_eq!(
            server.dkimpy(&signed)[..2],
            both("pass", domain, &keys)[..],
            "{from}"
        );
    }
    let strange = message("alice@example.com", "hello\r\n");
    assert_eq!(server.sign("alice@example.com", &strange).await, strange);
}

#[tokio::test]
async fn what_was_changed_is_noticed() {
    let server = server().await;
    let signed = server
        .sign("", &message("alice@example.org", "hello\r\n"))
        .await;
    let changes = [
        ("hello", "hallo"),
        ("Subject:  of   much", "Subject: of less"),
        // Fields that are added: over-signed (RFC 6376 §8.15).
        (
            "Received: from client",
            "From: eve@example.com\r\nReceived: from client",
        ),
        (
            "Received: from client",
            "Subject: other\r\nReceived: from client",
        ),
        (
            "Received: from client",
            "Reply-To: eve@example.com\r\nReceived: from client",
        ),
        (
            "Received: from client",
            "Content-Transfer-Encoding: base64\r\nReceived: from client",
        ),
        ("To: Bob", "X: Bob"),
    ];
    for (old, new) in changes {
        let changed = signed.replace(old, new);
        assert_ne!(changed, signed, "{old}");
        let found = server.dkimpy(&changed);
        let states: Vec<&str> = found[..2].iter().map(|line| &line[..4]).collect();
        assert_eq!(states, ["fail", "fail"], "{new}");
    }
    // What servers on the way do, and mailing lists that leave the rest alone.
    for (old, new) in [
        (
            "Received: from client",
            "Received: from other\r\n\tby another\r\nReceived: from client",
        ),
        (
            "Received: from client",
            "List-Id: <a.b>\r\nSender: a@b\r\nReceived: from client",
        ),
        (
            "Bob <bob@example.com>,\r\n\tCarol",
            "Bob <bob@example.com>,  Carol",
        ),
        ("hello\r\n", "hello \t\r\n\r\n"),
    ] {
        let found = server.dkimpy(&signed.replace(old, new));
        let states: Vec<&str> = found[..2].iter().map(|line| &line[..4]).collect();
        assert_eq!(states, ["pass", "pass"], "{new}");
    }
}

async fn verdict(verifier: &Verifier, message: &str) -> Verdict {
    let envelope = Envelope {
        peer: [127, 0, 0, 1].into(),
        helo: HOST,
        mail_from: Some("alice@example.org"),
    };
    verifier
        .verify(&envelope, &Bytes::copy_from_slice(message.as_bytes()))
        .await
}

#[tokio::test]
async fn our_own_verifier_asks_a_name_server() {
    let server = server().await;
    let (_knot, verifier) = server.verifier().await;
    for from in ["alice@example.org", "ä@exämple.test"] {
        let signed = server
            .sign("", &message(from, "Hello\r\n \r\n\t\r\n"))
            .await;
        let found = verdict(&verifier, &signed).await;
        let outcomes: Vec<Outcome> = found.dkim.iter().map(|dkim| dkim.finding.outcome).collect();
        assert_eq!(outcomes, [Outcome::Pass, Outcome::Pass], "{:?}", found.dkim);
        let found = verdict(&verifier, &signed.replace("Hello", "Hallo")).await;
        let outcomes: Vec<Outcome> = found.dkim.iter().map(|dkim| dkim.finding.outcome).collect();
        assert_eq!(outcomes, [Outcome::Fail, Outcome::Fail]);
    }
}

/// What the server does with mail that arrives, and with mail that it passes on.
fn passed_on(found: &Verdict, message: &str) -> String {
    let results = found.field(HOST);
    format!(
        "Delivered-To: bob@example.net\r\n{results}Received: from x\r\n\tby {HOST}; now\r\n{message}"
    )
}

#[tokio::test]
async fn what_is_passed_on_is_sealed() {
    let server = server().await;
    let (_knot, verifier) = server.verifier().await;
    // Somebody elsewhere, whose mail has no signature at all.
    let foreign = message("eve@example.com", "hello  there\r\n \r\n");
    let first = verdict(&verifier, &foreign).await;
    assert!(first.arc.is_none());
    let once = server
        .sign("eve=example.com@example.org", &passed_on(&first, &foreign))
        .await;
    assert!(
        once.starts_with("ARC-Seal: i=1; a=rsa-sha256; d=example.org; s=rsa-"),
        "{once}"
    );
    assert!(!once.contains("DKIM-Signature"));
    assert_eq!(server.dkimpy(&once), ["arc pass 1"]);
    let second = verdict(&verifier, &once).await;
    assert_eq!(
        second.arc.as_ref().map(|arc| arc.finding.outcome),
        Some(Outcome::Pass)
    );
    // The next hop; the null reverse-path, so that it is whoever passes it on.
    let twice = server.sign("", &passed_on(&second, &once)).await;
    assert!(
        twice.starts_with("ARC-Seal: i=2; a=rsa-sha256; d=example.net;"),
        "{twice}"
    );
    assert!(twice.contains("cv=pass;"));
    assert_eq!(server.dkimpy(&twice), ["arc pass 2"]);
    let third = verdict(&verifier, &twice).await;
    assert_eq!(
        third
            .arc
            .as_ref()
            .map(|arc| (arc.finding.outcome, arc.sets)),
        Some((Outcome::Pass, 2))
    );
    // Changed after it was sealed.
    let changed = twice.replace("hello", "hallo");
    assert!(server.dkimpy(&changed)[0].starts_with("arc fail"));
    let broken = verdict(&verifier, &changed).await;
    assert_eq!(
        broken.arc.as_ref().map(|arc| arc.finding.outcome),
        Some(Outcome::Fail)
    );
    // That is said, once; after that nobody adds anything (RFC 8617 §5.1).
    let said = server.sign("", &passed_on(&broken, &changed)).await;
    assert!(
        said.starts_with("ARC-Seal: i=3;") && said[..400].contains("cv=fail"),
        "{said}"
    );
    let again = verdict(&verifier, &said).await;
    let silent = passed_on(&again, &said);
    assert_eq!(server.sign("", &silent).await, silent);
}

/// Keeps what is to be sent.
#[derive(Debug, Default)]
struct Kept(parking_lot::Mutex<Vec<Job>>);

#[async_trait::async_trait]
impl Outbound for Kept {
    async fn send(&self, job: &Job) -> Attempt {
        self.0.lock().push(job.clone());
        // It stays in the queue, and holds up nothing else.
        let full = |recipient: &JobRecipient| outbound::Outcome {
            at: recipient.at,
            fate: Fate::Later,
            reply: "452 4.2.2 The mailbox is full".to_owned(),
            remote: Some("mx.example.com".to_owned()),
        };
        Attempt {
            outcomes: job.recipients.iter().map(full).collect(),
            hosts: Vec::new(),
        }
    }
}

#[tokio::test]
async fn what_users_here_have_written_is_signed_wherever_it_goes() {
    let server = server().await;
    let (core, who) = (&server.core, &Caller::server());
    let kept = Arc::new(Kept::default());
    core.send_with(kept.clone());
    let mut accounts = Vec::new();
    for name in ["ann@example.org", "bob@example.org"] {
        let new = NewAccount::person(name, Some(Secret::from(PASSWORD)));
        let account = core.add_account(who, new).await;
        accounts.push(account.unwrap().id);
    }
    let forward = Forward {
        to: vec!["far@example.com".to_owned()],
        keep: false,
    };
    core.set_forward(who, accounts[1], Some(forward))
        .await
        .unwrap();
    let login = Credentials::Password {
        login: "ann@example.org".to_owned(),
        password: Secret::from(PASSWORD),
    };
    let from = Origin {
        ip: [127, 0, 0, 1].into(),
        protocol: Protocol::Submission,
        tls: true,
    };
    let ann = core.login(login, from).await.unwrap();
    let octets = Bytes::from(message("ann@example.org", "hello\r\n"));
    let to = vec![EnvelopeAddress::plain("bob@example.org")];
    let from = EnvelopeAddress::plain("ann@example.org");
    core.submit(&ann, from, to, octets.clone(), None)
        .await
        .unwrap();
    // The same words, from somebody who only says so.
    let inbound = Inbound {
        mail_from: Some("ann@example.org".to_owned()),
        recipients: vec![core.resolve_recipient("bob@example.org").await.unwrap()],
        message: octets,
        peer: None,
        is_junk: false,
        answers_each: false,
        arrival: Arrival {
            author: Author::Domain("example.org".to_owned()),
            ..Arrival::default()
        },
    };
    assert_eq!(core.deliver(inbound).await, [Ok(())]);
    for _ in 0..4 {
        core.send_due().await.unwrap();
    }
    let jobs = std::mem::take(&mut *kept.0.lock());
    let mut ends = Vec::new();
    for job in &jobs {
        assert_eq!(job.account, accounts[1]);
        assert_eq!(job.recipients[0].address.email, "far@example.com");
        let fields = server.signer.sign(job, &job.message).await.unwrap();
        let sent = [&fields[..], &job.message].concat();
        let text = String::from_utf8(sent).unwrap();
        ends.push(
            server
                .dkimpy(&text)
                .iter()
                .any(|line| line.starts_with("pass ")),
        );
    }
    ends.sort_unstable();
    assert_eq!(ends, [false, true]);
}

#[tokio::test]
async fn a_claim_of_results_is_not_sealed() {
    let server = server().await;
    let foreign = message("eve@example.com", "hello\r\n");
    // Below our Received field: it came with the message.
    let claimed = format!(
        "Delivered-To: bob@example.net\r\nReceived: by {HOST}\r\nAuthentication-Results: {HOST}; dmarc=pass header.from=example.com\r\n{foreign}"
    );
    let sealed = server.sign("", &claimed).await;
    assert!(
        sealed.contains(&format!(
            "ARC-Authentication-Results: i=1; {HOST}; none\r\n"
        )),
        "{sealed}"
    );
    // A chain of which nothing is known: nothing is vouched for.
    let chained = claimed.replace("From: eve", "ARC-Seal: i=1; cv=none\r\nARC-Message-Signature: i=1\r\nARC-Authentication-Results: i=1; x; none\r\nFrom: eve");
    assert_eq!(server.sign("", &chained).await, chained);
}

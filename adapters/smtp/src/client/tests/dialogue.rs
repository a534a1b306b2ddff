//! What a peer says in the wrong place, and what is made of it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jmap_core::clock::SystemClock;
use jmap_core::inproc::outbound::{Attempt, Job, JobRecipient, TlsPolicyKind};
use jmap_core::rng::Rng as _;
use jmap_types::AccountId;
use net::Secret;
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::client::{Client, Login, Parts, Roots};

/// By what a command begins with, what is said in place of the usual; each is used once. What stands behind a `~` comes a
/// little later; behind a `!` the connection is closed.
type Script = Vec<(&'static str, String)>;

/// A peer that listens.
struct Peer {
    connections: Arc<AtomicUsize>,
    commands: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Peer {
    /// Every connection has a script, and the last one those that follow. Port 0: any.
    async fn start(address: (&str, u16), scripts: Vec<Script>) -> (Peer, u16) {
        let listener = TcpListener::bind(address).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let commands = Arc::new(Mutex::new(Vec::new()));
        let (count, log) = (connections.clone(), commands.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::Relaxed);
                let script = scripts[number.min(scripts.len() - 1)].clone();
                tokio::spawn(serve(stream, script, log.clone()));
            }
        });
        let peer = Peer {
            connections,
            commands,
            task,
        };
        (peer, port)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    fn count(&self, begin: &str) -> usize {
        let commands = self.commands.lock();
        commands
            .iter()
            .filter(|line| line.starts_with(begin))
            .count()
    }
}

async fn serve(stream: TcpStream, mut script: Script, log: Arc<Mutex<Vec<String>>>) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut is_message = false;
    write.write_all(b"220 mx.test\r\n").await.unwrap();
    while let Ok(Some(line)) = lines.next_line().await {
        if is_message && line != "." {
            continue;
        }
        log.lock().push(line.clone());
        let rule = script.iter().position(|(begin, _)| line.starts_with(begin));
        let said = rule.map(|at| script.remove(at).1);
        is_message = said.is_none() && line == "DATA";
        let usual = match line.split(' ').next().unwrap_or_default() {
            "EHLO" => "250-mx.test\r\n250 PIPELINING",
            "DATA" => "354 Go ahead",
            "QUIT" => "221 Bye!",
            _ => "250 2.0.0 OK",
        };
        let said = said.unwrap_or_else(|| usual.to_owned());
        for (at, said) in said.split('~').enumerate() {
            if at > 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let text = said.trim_end_matches('!');
            write
                .write_all(format!("{text}\r\n").as_bytes())
                .await
                .unwrap();
            if text != said {
                // What is on its way is read, so that what was said gets there.
                let _ = write.shutdown().await;
                let _ = lines.into_inner().read_to_end(&mut Vec::new()).await;
                return;
            }
        }
    }
}

fn rule(begin: &'static str, said: &str) -> (&'static str, String) {
    (begin, said.to_owned())
}

/// `a.test` and `b.test` have the mail exchangers `one.test`, at 127.0.0.1, and then `two.test`, at 127.0.0.2.
fn names() -> Records {
    let mut records = Records::default();
    let hosts = [(10, "one.test"), (20, "two.test")];
    records
        .mx("a.test", true, &hosts)
        .mx("b.test", true, &hosts)
        .a("one.test", true, "127.0.0.1")
        .a("two.test", true, "127.0.0.2");
    records
}

fn client_of(records: Records, settings: Settings) -> Client {
    let parts = Parts {
        settings,
        dns: Dns::with(Arc::new(records)),
        roots: Roots::of_the_system(),
        clock: Arc::new(SystemClock),
        rng: Arc::new(SeededRng::new(7)),
        signer: None,
        policies: None,
    };
    Client::new(parts).unwrap()
}

fn client(records: Records, port: u16) -> Client {
    let mut settings = Settings::new("us.test");
    settings.port = port;
    settings.allow_private = true;
    client_of(records, settings)
}

async fn send(client: &Client, domain: &str, to: &[&str]) -> Attempt {
    use jmap_core::inproc::outbound::Outbound as _;
    let recipient = |(at, local): (usize, &&str)| JobRecipient {
        at,
        address: EnvelopeAddress::plain(format!("{local}@{domain}")),
    };
    let job = Job {
        account: AccountId::new(1),
        submission: 1,
        domain: domain.to_owned(),
        mail_from: EnvelopeAddress::plain("ann@us.test"),
        recipients: to.iter().enumerate().map(recipient).collect(),
        message: Bytes::from_static(b"Subject: a\r\n\r\nbody\r\n"),
    };
    client.send(&job).await
}

/// What became of each recipient: a letter for its fate, and the reply's code.
fn fates(attempt: &Attempt) -> Vec<String> {
    let mut outcomes = attempt.outcomes.clone();
    outcomes.sort_by_key(|outcome| outcome.at);
    let fate = |outcome: &jmap_core::inproc::outbound::Outcome| {
        let letter = match outcome.fate {
            Fate::Accepted { .. } => 'A',
            Fate::Refused => 'R',
            Fate::Later => 'L',
        };
        format!("{letter} {}", outcome.reply.get(..3).unwrap_or_default())
    };
    outcomes.iter().map(fate).collect()
}

#[tokio::test]
async fn who_is_refused_stays_refused_when_the_peer_hangs_up() {
    // At the refusal of one the peer ends the session: by 421, and without a word.
    for end in ["421 4.7.0 Too many errors!", "250 2.1.5 OK!"] {
        let script = vec![
            rule("RCPT TO:<no@", "550 5.1.1 Nobody"),
            rule("RCPT TO:<bob@", end),
        ];
        let (_one, port) = Peer::start(("127.0.0.1", 0), vec![script]).await;
        let to = client(names(), port);
        let attempt = send(&to, "a.test", &["no", "bob", "eve"]).await;
        let fates_are = fates(&attempt);
        assert_eq!(fates_are[0], "R 550", "{end} {attempt:?}");
        assert!(
            fates_are[1..].iter().all(|fate| fate.starts_with('L')),
            "{end} {attempt:?}"
        );
    }
    // The next host is asked for the others.
    let script = vec![
        rule("RCPT TO:<no@", "550 5.1.1 Nobody"),
        rule("RCPT TO:<bob@", "421 4.7.0 Too many errors!"),
    ];
    let (_one, port) = Peer::start(("127.0.0.1", 0), vec![script]).await;
    let (two, _) = Peer::start(("127.0.0.2", port), vec![Script::new()]).await;
    let to = client(names(), port);
    let attempt = send(&to, "a.test", &["no", "bob", "eve"]).await;
    assert_eq!(fates(&attempt), ["R 550", "A 250", "A 250"], "{attempt:?}");
    assert_eq!(two.count("RCPT TO:<no@"), 0);
}

#[tokio::test]
async fn a_sender_is_refused_also_by_a_peer_that_then_hangs_up() {
    let script = vec![rule("MAIL", "550 5.7.1 Not from you!")];
    let (_one, port) = Peer::start(("127.0.0.1", 0), vec![script]).await;
    let attempt = send(&client(names(), port), "a.test", &["bob", "eve"]).await;
    assert_eq!(fates(&attempt), ["R 550", "R 550"], "{attempt:?}");
}

#[tokio::test]
async fn a_reply_that_nobody_asked_for_answers_nothing() {
    let script = vec![rule(".", "250 2.0.0 OK~250 2.0.0 OK, really")];
    let (one, port) = Peer::start(("127.0.0.1", 0), vec![script, Script::new()]).await;
    let to = client(names(), port);
    assert_eq!(fates(&send(&to, "a.test", &["bob"]).await), ["A 250"]);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let attempt = send(&to, "a.test", &["bob"]).await;
    assert_eq!(fates(&attempt), ["A 250"], "{attempt:?}");
    assert_eq!((one.connections(), attempt.hosts.len()), (2, 1));
    // Without one the connection is used again.
    assert_eq!(fates(&send(&to, "a.test", &["bob"]).await), ["A 250"]);
    assert_eq!(one.connections(), 2);
}

/// The domains of the policies that an attempt was evaluated by.
fn told(attempt: &Attempt) -> Vec<String> {
    let evaluations = attempt
        .hosts
        .iter()
        .filter_map(|host| host.evaluation.as_ref());
    evaluations.map(|told| told.policy_domain.clone()).collect()
}

/// RFC 8460 §4.1 counts sessions, each domain its own.
#[tokio::test]
async fn a_session_counts_once_for_each_policy() {
    let (one, port) = Peer::start(("127.0.0.1", 0), vec![Script::new()]).await;
    let to = client(names(), port);
    assert_eq!(told(&send(&to, "a.test", &["bob"]).await), ["a.test"]);
    assert!(told(&send(&to, "a.test", &["bob"]).await).is_empty());
    assert_eq!(told(&send(&to, "b.test", &["bob"]).await), ["b.test"]);
    assert!(told(&send(&to, "b.test", &["bob"]).await).is_empty());
    assert_eq!(one.connections(), 1);
}

#[tokio::test]
async fn a_host_without_a_session_is_told_of_when_a_policy_forbids_it() {
    let mut records = names();
    records.fail("_1._tcp.one.test", RecordKind::Tlsa, LookupError::Bogus);
    let attempt = send(&client(records, 1), "a.test", &["bob"]).await;
    let evaluation = attempt.hosts[0].evaluation.clone().unwrap();
    assert_eq!(evaluation.policy, TlsPolicyKind::Tlsa);
    assert_eq!(evaluation.policy_domain, "one.test");
    assert_eq!(evaluation.failure.unwrap().result_type, "dnssec-invalid");
    // The same of MTA-STS.
    let policy = StsPolicy::parse("version: STSv1\nmode: enforce\nmx: other.test\nmax_age: 1\n");
    let sts = Sts {
        policy: policy.map(Arc::new),
        failure: None,
    };
    let exchangers = Exchangers {
        hosts: Vec::new(),
        secure: false,
        implicit: false,
        name: "a.test".into(),
    };
    let finder = Finder {
        allow_private: true,
        ..finder(names())
    };
    let passed = finder.target("one.test", &exchangers, "a.test", &sts).await;
    let policy = passed.unwrap_err().policy.unwrap();
    assert_eq!(policy.kind, TlsPolicyKind::Sts);
    assert_eq!(policy.failure.unwrap().result_type, "validation-failure");
}

#[tokio::test]
async fn hosts_behind_ourselves_are_no_better() {
    let script = vec![rule("EHLO", "250 us.test")];
    let (_one, port) = Peer::start(("127.0.0.1", 0), vec![script]).await;
    let (two, _) = Peer::start(("127.0.0.2", port), vec![Script::new()]).await;
    let attempt = send(&client(names(), port), "a.test", &["bob"]).await;
    assert_eq!(fates(&attempt), ["R 554"], "{attempt:?}");
    assert_eq!(two.connections(), 0);
}

#[tokio::test]
async fn an_address_that_can_not_be_looked_up_may_be_the_one() {
    let mut records = Records::default();
    let local = RecordData::Address("fd00::1".parse().unwrap());
    records
        .add("half.test", RecordKind::Aaaa, false, vec![local])
        .fail(
            "half.test",
            RecordKind::A,
            LookupError::Temporary("no answer".into()),
        );
    let why = finder(records).addresses("half.test").await.unwrap_err();
    assert_eq!(why.fate, Fate::Later, "{}", why.reply);
}

/// RFC 5802 §5: who can't show that it knows the password gets no mail.
#[tokio::test]
async fn a_relay_that_shows_no_proof_is_not_believed() {
    let mut nonce = [0; 18];
    SeededRng::new(7).fill(&mut nonce);
    let challenge = format!("r={}x,s=c2FsdA==,i=4096", STANDARD.encode(nonce));
    let script = vec![
        rule("EHLO", "250-mx.test\r\n250 AUTH SCRAM-SHA-256"),
        rule("AUTH", &format!("334 {}", STANDARD.encode(challenge))),
        rule("", "235 2.7.0 Authentication successful"),
    ];
    let (one, port) = Peer::start(("127.0.0.1", 0), vec![script]).await;
    let mut settings = Settings::new("us.test");
    settings.routes = vec![Route {
        domains: vec!["*".into()],
        host: "127.0.0.1".into(),
        port,
        protocol: Protocol::Smtp,
        tls: RouteTls::None,
        login: Some(Login {
            user: "ann".into(),
            password: Secret::new("secret".into()),
        }),
    }];
    let attempt = send(&client_of(names(), settings), "a.test", &["bob"]).await;
    assert_eq!(fates(&attempt), ["L 451"], "{attempt:?}");
    assert_eq!((one.count("AUTH"), one.count("MAIL")), (1, 0));
}

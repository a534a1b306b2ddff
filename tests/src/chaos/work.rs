//! What clients do, all at once: each goes to whichever node it likes, and goes elsewhere when it gets no answer.
//!
//! Holds: whatever is going to be changed is told to the model before, and what came of it after; an error that a client could take for
//! the last word (5xx, a wrong password, "no such message") is a violation, as nothing here is wrong but the weather.

mod follower;
mod imap;
mod jmap;
mod sender;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde_json::json;

pub use self::follower::{Follower, names};
use self::{imap::ImapClient, jmap::JmapClient, sender::Sender};
use super::{
    ACCOUNTS,
    client::Jmap,
    dice,
    model::{Model, Outcome, Place},
    site::{Ports, Site},
};
use crate::{Dice, corpus::to_crlf, jmap::string};

/// The mailboxes that mail is in, by their names.
pub const INBOX: &str = "Inbox";
pub const FILED: &str = "Filed";
/// Messages of each account that everybody sets keywords of.
const SHARED: usize = 12;
/// Clients that send, to all accounts.
const SENDERS: u64 = 2;
/// The longest pause between two operations of a client.
const PAUSE_MS: usize = 60;
/// After an error.
const REST: Duration = Duration::from_millis(150);

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Smtp,
    Lmtp,
    Submission,
    Append,
    Store,
    Move,
    Expunge,
    Import,
    Set,
    Destroy,
    Query,
    Changes,
    LookElsewhere,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Smtp => "SMTP",
            Kind::Lmtp => "LMTP",
            Kind::Submission => "EmailSubmission/set",
            Kind::Append => "APPEND",
            Kind::Store => "STORE",
            Kind::Move => "MOVE",
            Kind::Expunge => "EXPUNGE",
            Kind::Import => "Email/import",
            Kind::Set => "Email/set update",
            Kind::Destroy => "Email/set destroy",
            Kind::Query => "found at once",
            Kind::Changes => "Email/changes",
            Kind::LookElsewhere => "seen at another node",
        }
    }
}

/// What all clients share.
#[derive(Debug)]
pub struct Context {
    pub ports: Vec<Ports>,
    pub model: Arc<Model>,
    pub accounts: Vec<Account>,
    seed: u64,
    began: Instant,
    last_done_ms: AtomicU64,
    counts: Mutex<BTreeMap<Kind, [u64; 3]>>,
}

#[derive(Debug)]
pub struct Account {
    pub name: &'static str,
    pub jmap: Jmap,
    pub shared: Vec<Shared>,
    /// Ids by name.
    mailboxes: BTreeMap<&'static str, String>,
    identity: String,
    /// The state before anything was done.
    state: String,
}

/// A message that everybody sets keywords of.
#[derive(Clone, Debug)]
pub struct Shared {
    pub id: String,
    uid: u32,
    email: String,
}

impl Shared {
    /// Its id in JMAP.
    pub fn email(&self) -> &str {
        &self.email
    }
}

impl Context {
    /// Makes the mailboxes and the messages that all share.
    pub fn prepare(site: &Site, model: &Arc<Model>, seed: u64) -> Context {
        Context {
            ports: site.ports.clone(),
            model: model.clone(),
            accounts: ACCOUNTS
                .iter()
                .map(|name| account(site, model, name))
                .collect(),
            seed,
            began: Instant::now(),
            last_done_ms: AtomicU64::new(0),
            counts: Mutex::default(),
        }
    }

    fn a_node(&self, dice: &mut Dice) -> &Ports {
        &self.ports[dice.below(self.ports.len())]
    }

    /// Counts an operation; the client rests when it has come to nothing.
    fn note(&self, kind: Kind, outcome: &Outcome) {
        let at = match outcome {
            Outcome::Done => 0,
            Outcome::Refused => 1,
            Outcome::Unknown => 2,
        };
        self.counts.lock().entry(kind).or_default()[at] += 1;
        match outcome {
            Outcome::Done => self.last_done_ms.store(self.now_ms(), Ordering::Relaxed),
            Outcome::Refused | Outcome::Unknown => thread::sleep(REST),
        }
    }

    fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// How long nothing was acknowledged to anybody.
    pub fn pause(&self) -> Duration {
        let last = self.last_done_ms.load(Ordering::Relaxed);
        Duration::from_millis(self.now_ms().saturating_sub(last))
    }

    pub fn counts(&self) -> Vec<(&'static str, [u64; 3])> {
        let counts = self.counts.lock();
        counts.iter().map(|(kind, of)| (kind.name(), *of)).collect()
    }

    /// Whether a message is one of those that all share.
    pub fn is_shared(&self, account: usize, id: &str) -> bool {
        self.accounts[account].shared.iter().any(|of| of.id == id)
    }
}

fn account(site: &Site, model: &Model, name: &'static str) -> Account {
    let server = &site.nodes[0];
    let mut imap = server.imap(name);
    imap.ok(&format!("CREATE {FILED}"));
    let ids = (1..=SHARED).map(|number| format!("shared{number}.{name}@example.net"));
    let ids: Vec<String> = ids.collect();
    for id in &ids {
        let octets = message(id, "carol@example.net", "Everybody marks it.");
        model.sends(id, &octets);
        let appended = imap.append("INBOX", "", &octets);
        assert!(appended.is_ok(), "{}", appended.end);
    }
    let mut jmap = server.jmap(name);
    let emails = jmap.query_all(json!({}));
    let emails = jmap.get_emails(&emails, &["id", "messageId"]);
    let email_of = |id: &str| {
        let found = emails.iter().find(|email| email["messageId"][0] == id);
        string(&found.expect("an email")["id"])
    };
    let shared = ids.iter().zip(1..).map(|(id, uid)| Shared {
        id: id.clone(),
        uid,
        email: email_of(id),
    });
    let all = jmap.call("Mailbox/get", json!({"ids": null}));
    let mailbox = |name: &str| {
        let mut list = all["list"].as_array().into_iter().flatten();
        let found = list.find(|mailbox| mailbox["name"] == name);
        string(&found.unwrap_or_else(|| panic!("no mailbox {name}: {all}"))["id"])
    };
    let identities = jmap.call("Identity/get", json!({"ids": null}));
    Account {
        name,
        identity: string(&identities["list"][0]["id"]),
        shared: shared.collect(),
        mailboxes: [INBOX, FILED].map(|name| (name, mailbox(name))).into(),
        state: jmap.email_state(),
        jmap: Jmap::of(name, &site.ports[0]),
    }
}

/// A client.
#[derive(Debug)]
pub enum Worker {
    Sender(Sender),
    Imap(ImapClient),
    Jmap(JmapClient),
    Follower(Follower),
}

impl Worker {
    /// All clients: those that send, and three for each account.
    pub fn all(context: &Arc<Context>) -> Vec<Worker> {
        let mut workers = Vec::new();
        let mut who = 0;
        let mut next = || {
            who += 1;
            (context.clone(), who, dice(context.seed, who))
        };
        for _ in 0..SENDERS {
            workers.push(Worker::Sender(Sender::new(next())));
        }
        for account in 0..context.accounts.len() {
            workers.push(Worker::Imap(ImapClient::new(next(), account)));
            workers.push(Worker::Jmap(JmapClient::new(next(), account)));
            workers.push(Worker::Follower(Follower::new(next(), account)));
        }
        workers
    }

    /// One operation, and a pause.
    pub fn step(&mut self) {
        let dice = match self {
            Worker::Sender(client) => client.step(),
            Worker::Imap(client) => client.step(),
            Worker::Jmap(client) => client.step(),
            Worker::Follower(client) => client.step(),
        };
        thread::sleep(Duration::from_millis(dice.below(PAUSE_MS) as u64));
    }
}

/// What each client has: what all share, its number, and its dice.
type Start = (Arc<Context>, u64, Dice);

/// A message that one client has, and where it knows it to be.
#[derive(Clone, Debug)]
struct Own {
    id: String,
    place: Place,
    /// To IMAP.
    uid: u32,
    /// To JMAP.
    email: String,
}

/// The keywords that a client sets of the messages that all share; those without an answer it leaves alone from then on.
#[derive(Debug)]
struct Marks {
    keyword: String,
    /// By number; `None`: left alone.
    set: Vec<Option<bool>>,
}

impl Marks {
    fn new(who: u64) -> Marks {
        Marks {
            keyword: format!("$w{who}"),
            set: vec![Some(false); SHARED],
        }
    }

    /// One to change, and what to.
    fn next(&self, dice: &mut Dice) -> Option<(usize, bool)> {
        let at = dice.below(SHARED);
        Some((at, !self.set[at]?))
    }
}

/// A message of lines with CRLF.
fn message(id: &str, from: &str, text: &str) -> Vec<u8> {
    let word = word_of(id);
    let text = format!(
        "From: <{from}>\nTo: <alice@example.org>\nSubject: {word}\nMessage-ID: <{id}>\n\
         Date: Mon, 2 Feb 2026 10:00:00 +0100\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n{text}\n"
    );
    to_crlf(text.as_bytes())
}

/// A word that no other message has.
fn word_of(id: &str) -> String {
    let letters = id.bytes().take_while(|octet| *octet != b'@');
    letters
        .map(|octet| match octet {
            // No vowels, so that no two of them have one stem.
            b'0'..=b'9' => char::from(b"bcdfghklmn"[usize::from(octet - b'0')]),
            b'.' => 'z',
            other => char::from(other),
        })
        .collect()
}

/// Text of some length.
fn text(dice: &mut Dice) -> String {
    let lines = match dice.below(10) {
        0 => 200 + dice.below(1500),
        _ => 1 + dice.below(20),
    };
    let line = "The cuckooflower grows in wet meadows, and the orange tip lays its eggs there.\n";
    line.repeat(lines)
}

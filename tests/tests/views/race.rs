//! Changes really at once: some connections of each protocol, each on a thread of its own.
//!
//! Holds: what may be done to a message is in its name. A `calm` one stays in the inbox; each worker changes one keyword and one mailbox of it that no
//! other worker touches, so the last change that was answered must be there. A `kept` one is copied, moved and flagged, but never destroyed: it is
//! there, not more often than it was copied. With a `free` one everything is done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use e2e::{
    Dice, Imap, Jmap, Pop3, Server,
    corpus::message,
    dice::number_from_env,
    imap::Answer,
    jmap::{string, strings},
};
use serde_json::{Value, json};

use crate::{
    all_agree,
    look::{Look, message_id, message_of},
    mirror::Mirror,
};

/// Changes of each worker.
const CHANGES: usize = 70;
const IMAP_WORKERS: usize = 3;
const JMAP_WORKERS: usize = 3;
/// Messages that are there at the start.
const MESSAGES: usize = 24;
/// Mailboxes that messages go to and fro; the last is renamed meanwhile.
const SHARED: [&str; 4] = ["INBOX", "Shelf", "Drawer", "Box"];
const CLASSES: [&str; 3] = ["calm", "kept", "free"];

/// What was done, as far as it was answered.
#[derive(Default)]
struct Ledger {
    next: AtomicUsize,
    /// Sent, whether it was acknowledged or not.
    sent: Mutex<BTreeSet<String>>,
    acknowledged: Mutex<BTreeSet<String>>,
    /// How often a message was to be copied or moved.
    copies: Mutex<BTreeMap<String, usize>>,
    /// Of calm messages, by message and keyword or mailbox id: whether it has it.
    has: Mutex<BTreeMap<(String, String), bool>>,
}

impl Ledger {
    /// A message that nobody has sent yet.
    fn message(&self, dice: &mut Dice) -> (String, Vec<u8>) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let token = format!("{}.{number}@race.example", dice.one_of(&CLASSES));
        let sent = message(
            &token,
            &format!("race {number}"),
            &format!("body of {token}"),
        );
        self.sent.lock().expect("failed").insert(token.clone());
        (token, sent)
    }

    fn acknowledge(&self, token: String) {
        self.acknowledged.lock().expect("failed").insert(token);
    }

    fn copied(&self, token: &str) {
        let mut copies = self.copies.lock().expect("failed");
        *copies.entry(token.to_owned()).or_default() += 1;
    }

    fn now_has(&self, token: &str, what: &str, has: bool) {
        let key = (token.to_owned(), what.to_owned());
        self.has.lock().expect("failed").insert(key, has);
    }
}

struct Race<'a> {
    server: &'a Server,
    ledger: Ledger,
    changes: usize,
    /// Ids of [`SHARED`].
    shared: Vec<String>,
}

pub fn run(seed: u64) {
    let mut server = Server::start();
    let mut jmap = server.jmap("alice");
    let mut shared = vec![jmap.mailbox("inbox")];
    for name in &SHARED[1..] {
        shared.push(make(&mut jmap, name));
    }
    let (mut early, mut busy) = (Mirror::default(), Mirror::default());
    early.catch_up(&server);
    busy.catch_up(&server);
    let race = Race {
        server: &server,
        ledger: Ledger::default(),
        changes: number_from_env("POSTHORN_STEPS", CHANGES),
        shared,
    };
    let mut dice = Dice(seed);
    race.deliver(&mut dice, MESSAGES);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let mut workers = Vec::new();
        let own = |worker: usize| Dice(seed.wrapping_mul(1000) + worker as u64);
        for worker in 0..IMAP_WORKERS {
            let (race, mut dice) = (&race, own(worker));
            workers.push(scope.spawn(move || race.by_imap(worker, &mut dice)));
        }
        for worker in IMAP_WORKERS..IMAP_WORKERS + JMAP_WORKERS {
            let (race, mut dice) = (&race, own(worker));
            workers.push(scope.spawn(move || race.by_jmap(worker, &mut dice)));
        }
        let (race, mut dice) = (&race, own(100));
        workers.push(scope.spawn(move || race.by_pop3(&mut dice)));
        let mut dice = own(101);
        workers.push(scope.spawn(move || race.deliver(&mut dice, race.changes)));
        let mut dice = own(102);
        workers.push(scope.spawn(move || race.mailboxes(&mut dice)));
        let (busy, over) = (&mut busy, &over);
        let watcher = scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                busy.catch_up(race.server);
            }
        });
        let ended: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        over.store(true, Ordering::Relaxed);
        let watched = watcher.join();
        for end in ended.into_iter().chain([watched]) {
            end.expect("a worker failed");
        }
    });
    let Race { ledger, .. } = race;
    let look = all_agree(&mut server, &mut [early, busy]);
    check(&look, &ledger);
}

fn make(jmap: &mut Jmap, name: &str) -> String {
    let create = json!({"create": {"c": {"name": name}}});
    let done = jmap.call("Mailbox/set", create);
    string(&done["created"]["c"]["id"])
}

fn check(look: &Look, ledger: &Ledger) {
    let there = look.emails_by_message_id();
    let sent = ledger.sent.lock().expect("failed");
    let strange = there.keys().find(|token| !sent.contains(*token));
    assert_eq!(strange, None, "nobody has sent it");
    let copies = ledger.copies.lock().expect("failed");
    for (token, emails) in &there {
        let copied = copies.get(token).copied().unwrap_or_default();
        assert!(
            emails.len() <= 1 + copied,
            "{token}: {emails:?} after {copied} copies"
        );
    }
    let acknowledged = ledger.acknowledged.lock().expect("failed");
    for token in acknowledged
        .iter()
        .filter(|token| !token.starts_with("free"))
    {
        assert!(there.contains_key(token), "{token} is lost");
    }
    let has = ledger.has.lock().expect("failed");
    for ((token, what), has) in has.iter() {
        let [id] = Vec::from_iter(&there[token])[..] else {
            panic!("{token}: {:?}", there[token]);
        };
        let email = &look.emails[id];
        let is = |property: &str| email[property].get(what).is_some();
        assert_eq!(
            is("keywords") || is("mailboxIds"),
            *has,
            "{token}: the last answer about {what} is not what there is: {email}"
        );
    }
    let count = |class: &str| {
        let tokens = there.keys().filter(|token| token.starts_with(class));
        tokens.count()
    };
    println!(
        "{} calm, {} kept and {} free messages, of {}; {} changes of calm ones",
        count("calm"),
        count("kept"),
        count("free"),
        acknowledged.len(),
        has.len()
    );
}

/// Others may have been faster; nothing else may go wrong.
fn goes_well(command: &str, answer: &Answer) -> bool {
    let known = ["NO [TRYCREATE]", "NO [NONEXISTENT]", "NO [EXPUNGEISSUED]"];
    let excused = known.iter().any(|code| answer.end.starts_with(code));
    assert!(answer.is_ok() || excused, "{command}: {}", answer.end);
    answer.is_ok()
}

/// UID and `Message-ID` of all that is selected.
fn listed(imap: &mut Imap) -> Vec<(u32, String)> {
    let what = "(UID FLAGS EMAILID BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])";
    let answer = imap.ok(&format!("UID FETCH 1:* {what}"));
    let rows = answer.untagged.iter().filter_map(message_of);
    let rows = rows.map(|(uid, row)| (uid, message_id(&row.octets)));
    // A row that only tells of flags has no message.
    rows.filter(|(_, token)| !token.is_empty()).collect()
}

impl Race<'_> {
    fn deliver(&self, dice: &mut Dice, count: usize) {
        let mut lmtp = self.server.lmtp();
        for _ in 0..count {
            let (token, sent) = self.ledger.message(dice);
            let reply = lmtp.send("carol@example.net", "alice@example.org", &sent);
            assert!(reply.expect("no reply").is_ok());
            self.ledger.acknowledge(token);
        }
    }

    fn by_imap(&self, worker: usize, dice: &mut Dice) {
        let mut imap = self.server.imap("alice");
        let keyword = format!("imap{worker}");
        for _ in 0..self.changes {
            if dice.below(6) == 0 {
                let (token, sent) = self.ledger.message(dice);
                let to = match token.starts_with("calm") {
                    true => "INBOX",
                    false => *dice.one_of(&SHARED),
                };
                let answer = imap.append(to, "", &sent);
                if goes_well("APPEND", &answer) {
                    self.ledger.acknowledge(token);
                }
                continue;
            }
            let from = *dice.one_of(&SHARED);
            let select = format!("SELECT {from}");
            if !goes_well(&select, &imap.say(&select)) {
                continue;
            }
            let rows = listed(&mut imap);
            for _ in 0..3 {
                let Some((uid, token)) = rows.get(dice.below(rows.len())) else {
                    break;
                };
                let (to, sign) = (*dice.one_of(&SHARED), *dice.one_of(&["+", "-"]));
                let command = match (token.split('.').next(), dice.below(6)) {
                    (Some("calm"), _) => format!("UID STORE {uid} {sign}FLAGS ({keyword})"),
                    (_, 0 | 1) => format!("UID COPY {uid} {to}"),
                    (_, 2) => format!("UID MOVE {uid} {to}"),
                    (Some("free"), 3) => format!("UID STORE {uid} +FLAGS (\\Deleted)"),
                    (Some("free"), 4) => format!("UID EXPUNGE {uid}"),
                    _ => format!("UID STORE {uid} FLAGS (\\Seen {keyword})"),
                };
                if command.contains("COPY") || command.contains("MOVE") {
                    self.ledger.copied(token);
                }
                let done = goes_well(&command, &imap.say(&command));
                if token.starts_with("calm") {
                    assert!(done, "{command}");
                    self.ledger.now_has(token, &keyword, sign == "+");
                }
            }
        }
    }

    fn by_jmap(&self, worker: usize, dice: &mut Dice) {
        let mut jmap = self.server.jmap("alice");
        let keyword = format!("jmap{worker}");
        let own = make(&mut jmap, &keyword);
        for _ in 0..self.changes {
            if dice.below(6) == 0 {
                let (token, sent) = self.ledger.message(dice);
                let to = match token.starts_with("calm") {
                    true => &self.shared[0],
                    false => dice.one_of(&self.shared),
                };
                jmap.import(&sent, to);
                self.ledger.acknowledge(token);
                continue;
            }
            let ids = strings(&jmap.call("Email/query", json!({}))["ids"]);
            let id = dice.one_of(&ids).clone();
            let get = json!({"ids": [id], "properties": ["messageId"]});
            let got = jmap.call("Email/get", get);
            let Some(token) = got["list"].get(0).map(|email| &email["messageId"][0]) else {
                continue;
            };
            let token = string(token);
            let value = *dice.one_of(&[Some(true), None]);
            if token.starts_with("calm") {
                let (what, path) = match dice.below(2) {
                    0 => (&keyword, format!("keywords/{keyword}")),
                    _ => (&own, format!("mailboxIds/{own}")),
                };
                let set = json!({"update": {&id: {path: value}}});
                let done = jmap.call("Email/set", set);
                assert!(done["updated"].get(&id).is_some(), "{token}: {done}");
                self.ledger.now_has(&token, what, value.is_some());
                continue;
            }
            let to = dice.one_of(&self.shared);
            let set = match dice.below(4) {
                0 if token.starts_with("free") => json!({"destroy": [id]}),
                1 => json!({"update": {&id: {"keywords": {"$seen": true, &keyword: true}}}}),
                _ => json!({"update": {&id: {"mailboxIds": {to: true}}}}),
            };
            let done = jmap.call("Email/set", set);
            for failed in ["notUpdated", "notDestroyed"] {
                let errors = done[failed].as_object().into_iter().flatten();
                for (_, error) in errors {
                    assert_eq!(error["type"], "notFound", "{token}: {done}");
                }
            }
        }
    }

    /// Takes some of what may be taken.
    fn by_pop3(&self, dice: &mut Dice) {
        let port = self.server.home.pop3;
        for _ in 0..self.changes / 7 {
            let session = Pop3::try_login(port, "alice@example.org", e2e::PASSWORD);
            // The one that looks may have it open.
            let Ok(mut session) = session else {
                thread::sleep(Duration::from_millis(20));
                continue;
            };
            for at in 1..=session.list("LIST").len() {
                let octets = session.retrieve(at).unwrap_or_default();
                if message_id(&octets).starts_with("free") && dice.below(4) == 0 {
                    session.ok(&format!("DELE {at}"));
                }
            }
            session.ok("QUIT");
        }
    }

    /// Mailboxes come and go, and one is renamed to and fro.
    fn mailboxes(&self, dice: &mut Dice) {
        let (mut imap, mut jmap) = (self.server.imap("alice"), self.server.jmap("alice"));
        let (last, id) = (SHARED[3], &self.shared[3]);
        for round in 0..self.changes / 3 {
            match dice.below(4) {
                0 => {
                    imap.ok(&format!("RENAME {last} Elsewhere/{last}{round}"));
                    imap.ok(&format!("RENAME Elsewhere/{last}{round} {last}"));
                }
                1 => {
                    for name in ["Other name", last] {
                        let patch: Value = json!({"name": name});
                        let done = jmap.call("Mailbox/set", json!({"update": {id: patch}}));
                        assert!(done["updated"].get(id).is_some(), "{done}");
                    }
                }
                2 => {
                    imap.ok("CREATE Soon/gone");
                    let (token, sent) = self.ledger.message(dice);
                    if token.starts_with("free") && imap.append("Soon/gone", "", &sent).is_ok() {
                        self.ledger.acknowledge(token);
                    }
                    imap.ok("DELETE Soon/gone");
                    imap.ok("DELETE Soon");
                }
                _ => {
                    let gone = make(&mut jmap, "Also soon gone");
                    let set = json!({"destroy": [gone], "onDestroyRemoveEmails": true});
                    let done = jmap.call("Mailbox/set", set);
                    assert_eq!(strings(&done["destroyed"]), [gone]);
                }
            }
        }
    }
}

//! Random calls through all nodes, on the same account at the same time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use jmap_core::{
    inproc::imap_view::{FlagChange, MailboxKey, NewMessage, StoreFlags},
    work::check::CheckOptions,
};
use jmap_types::{
    Id,
    mail::{Email, Mailbox, Quota},
    method::{Changes, Get, Query, Set},
};
use serde_json::json;
use store::engine::SplitMix64;

use crate::world::{ADDRESS, Node, OTHER_ADDRESS, World, message, text};

const RUNS: u64 = 4;
const WORKERS_PER_NODE: u64 = 2;
const STEPS: usize = 30;
const KEYWORDS: &[&str] = &["$seen", "$flagged", "work"];

/// What a worker knows of its own messages, by Message-ID: mailboxes and keywords, or that it is gone.
type Model = BTreeMap<String, Option<(BTreeSet<String>, BTreeSet<String>)>>;

/// What all workers know after their last steps, and by worker the message that a step is about.
type Known = Arc<Mutex<(Model, BTreeMap<u64, String>)>>;

pub struct SaySeed(pub u64);

impl Drop for SaySeed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed was {}", self.0);
        }
    }
}

pub fn runs() -> std::ops::Range<u64> {
    let number = |name: &str, usual| match std::env::var(name) {
        Ok(text) => text.parse().expect("not a number"),
        Err(_) => usual,
    };
    let first = number("POSTHORN_SEED", 1);
    first..first + number("POSTHORN_SIMULATIONS", RUNS)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_three_nodes_do_at_the_same_time_adds_up() {
    for seed in runs() {
        let _say = SaySeed(seed);
        let world = Arc::new(World::new(seed, 3, None).await);
        run(&world, seed, None).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_dies_in_the_middle_takes_nothing_along() {
    for seed in runs() {
        let _say = SaySeed(seed);
        let world = Arc::new(World::new(seed, 3, None).await);
        // It dies with commits under way, and with claims of turns, it may be.
        let lives = Duration::from_millis(20 + seed * 37 % 400);
        run(&world, seed, Some(lives)).await;
    }
}

/// `dies`: when the last node's way to the engine is cut.
async fn run(world: &Arc<World>, seed: u64, dies: Option<Duration>) {
    let first = &world.nodes[0];
    let mailboxes = first
        .call::<Get<Mailbox>>(world, json!({"ids": null}))
        .await;
    let list = mailboxes["list"].as_array().expect("no list");
    let mailboxes: Vec<String> = list.iter().map(|mailbox| text(&mailbox["id"])).collect();
    let begin = first.call::<Get<Email>>(world, json!({"ids": []})).await;
    let begin = text(&begin["state"]);
    let workers = world.nodes.len() as u64 * WORKERS_PER_NODE;
    let last = world.nodes.len() - 1;
    let (mut tasks, mut of_dead) = (Vec::new(), Vec::new());
    let known = Known::default();
    for number in 0..workers {
        let worker = Worker {
            world: world.clone(),
            node: number as usize % world.nodes.len(),
            number,
            mailboxes: mailboxes.clone(),
            dice: SplitMix64(seed * 100 + number),
            made: 0,
            model: Model::new(),
            ids: BTreeMap::new(),
            known: known.clone(),
        };
        let is_mortal = dies.is_some() && worker.node == last;
        let task = tokio::spawn(worker.work());
        match is_mortal {
            true => of_dead.push(task),
            false => tasks.push(task),
        }
    }
    if let Some(dies) = dies {
        tokio::time::sleep(dies).await;
        world.nodes[last].link.cut();
    }
    for task in tasks {
        task.await.expect("a worker has failed");
    }
    for task in of_dead {
        assert!(!task.is_finished() || task.await.is_ok());
    }
    let (mut model, unsure) = known.lock().expect("a lock").clone();
    model.retain(|id, _| !unsure.values().any(|of| of == id));
    let living = match dies {
        Some(_) => &world.nodes[..last],
        None => &world.nodes[..],
    };
    for node in living {
        node.core.poll_once().await.expect("no poll");
    }
    let seen = look(world, first).await;
    for node in living {
        assert_eq!(
            look(world, node).await,
            seen,
            "two nodes tell different things"
        );
        check(node).await;
        changes(world, node, &begin, &seen).await;
    }
    let expected = model
        .into_iter()
        .filter_map(|(id, email)| Some((id, email?)));
    let mut found = BTreeMap::new();
    for email in seen.emails.values() {
        let what = (email.mailboxes.clone(), email.keywords.clone());
        let before = found.insert(email.message_id.clone(), what);
        assert!(before.is_none(), "{} is there twice", email.message_id);
    }
    // What a node was doing when it died may have happened or not.
    found.retain(|id, _| !unsure.values().any(|of| of == id));
    assert_eq!(found, expected.collect());
}

/// Everything, as one node tells it.
#[derive(Debug, PartialEq)]
struct Seen {
    emails: BTreeMap<String, SeenEmail>,
    /// Names and counts by id.
    mailboxes: BTreeMap<String, serde_json::Value>,
    /// UID and email of each message.
    uids: BTreeMap<String, Vec<(u32, u64)>>,
    state: String,
}

#[derive(Debug, PartialEq)]
struct SeenEmail {
    message_id: String,
    mailboxes: BTreeSet<String>,
    keywords: BTreeSet<String>,
    thread: String,
}

fn keys_of(value: &serde_json::Value) -> BTreeSet<String> {
    let object = value.as_object().into_iter().flatten();
    object.map(|(key, _)| key.clone()).collect()
}

async fn look(world: &World, node: &Node) -> Seen {
    let found = node
        .call::<Query<Email>>(world, json!({"filter": null}))
        .await;
    let properties = ["messageId", "mailboxIds", "keywords", "threadId", "size"];
    let got = node
        .call::<Get<Email>>(
            world,
            json!({"ids": found["ids"], "properties": properties}),
        )
        .await;
    assert_eq!(got["notFound"], json!([]));
    let list = got["list"].as_array().expect("no list");
    let octets: u64 = list.iter().filter_map(|email| email["size"].as_u64()).sum();
    let emails = list.iter().map(|email| {
        let seen = SeenEmail {
            message_id: text(&email["messageId"][0]),
            mailboxes: keys_of(&email["mailboxIds"]),
            keywords: keys_of(&email["keywords"]),
            thread: text(&email["threadId"]),
        };
        (text(&email["id"]), seen)
    });
    let emails: BTreeMap<String, SeenEmail> = emails.collect();
    let mailboxes = node.call::<Get<Mailbox>>(world, json!({"ids": null})).await;
    let list = mailboxes["list"].as_array().expect("no list");
    let (mut uids, mut has_hidden) = (BTreeMap::new(), false);
    for mailbox in list {
        let id = text(&mailbox["id"]);
        let key = MailboxKey {
            account: world.account,
            mailbox: Id::<Mailbox>::parse(&id).expect("no id").number(),
        };
        let opened = node
            .core
            .view_open(&node.who, key)
            .await
            .expect("a mailbox can't be opened");
        let of_mailbox: Vec<(u32, u64)> = opened.messages.iter().collect();
        assert!(
            of_mailbox.is_sorted_by(|a, b| a.0 < b.0),
            "a UID was given twice"
        );
        assert!(
            of_mailbox
                .last()
                .is_none_or(|(uid, _)| *uid < opened.status.uid_next)
        );
        let members = emails
            .values()
            .filter(|email| email.mailboxes.contains(&id));
        // What a node that died has left with `\Deleted` is there for IMAP.
        let hidden = opened.status.deleted as usize;
        has_hidden |= hidden > 0;
        assert_eq!(of_mailbox.len(), members.clone().count() + hidden);
        assert_eq!(mailbox["totalEmails"], json!(members.count()));
        uids.insert(id, of_mailbox);
    }
    let quota = node.call::<Get<Quota>>(world, json!({"ids": null})).await;
    assert!(has_hidden || quota["list"][0]["used"] == json!(octets));
    Seen {
        emails,
        mailboxes: list
            .iter()
            .map(|mailbox| (text(&mailbox["id"]), mailbox.clone()))
            .collect(),
        uids,
        state: text(&got["state"]),
    }
}

/// The store is whole, and the node's view is what is stored.
async fn check(node: &Node) {
    let report = node.core.check(CheckOptions::default(), &|_| ()).await;
    let report = report.expect("no check");
    assert_eq!(report.problems, []);
}

/// From the beginning, the changes lead to what is there.
async fn changes(world: &World, node: &Node, begin: &str, seen: &Seen) {
    let (mut state, mut ids) = (begin.to_owned(), BTreeSet::new());
    loop {
        let arguments = json!({"sinceState": state, "maxChanges": 20});
        let changes = node.call::<Changes<Email>>(world, arguments).await;
        for id in changes["created"].as_array().into_iter().flatten() {
            ids.insert(text(id));
        }
        for id in changes["destroyed"].as_array().into_iter().flatten() {
            ids.remove(&text(id));
        }
        state = text(&changes["newState"]);
        if changes["hasMoreChanges"] == json!(false) {
            break;
        }
    }
    assert_eq!(ids, seen.emails.keys().cloned().collect());
    assert_eq!(state, seen.state);
}

/// Somebody with a connection to one node, who works on messages of their own.
struct Worker {
    world: Arc<World>,
    node: usize,
    number: u64,
    mailboxes: Vec<String>,
    dice: SplitMix64,
    made: u64,
    model: Model,
    /// Ids by Message-ID.
    ids: BTreeMap<String, String>,
    known: Known,
}

impl Worker {
    async fn work(mut self) {
        for _ in 0..STEPS {
            self.step().await;
            let mut known = self.known.lock().expect("a lock");
            known.0.extend(self.model.clone());
            known.1.remove(&self.number);
        }
    }

    /// Notes which message the step is about.
    fn begin(&self, message_id: &str) {
        let mut known = self.known.lock().expect("a lock");
        known.1.insert(self.number, message_id.to_owned());
    }

    fn node(&self) -> &Node {
        &self.world.nodes[self.node]
    }

    fn any_mailbox(&mut self) -> String {
        let at = self.dice.below(self.mailboxes.len() as u64) as usize;
        self.mailboxes[at].clone()
    }

    fn any_keywords(&mut self) -> BTreeSet<String> {
        let mut keywords = BTreeSet::new();
        for keyword in KEYWORDS {
            if self.dice.happens(400) {
                keywords.insert((*keyword).to_owned());
            }
        }
        keywords
    }

    fn key(&self, mailbox: &str) -> MailboxKey {
        MailboxKey {
            account: self.world.account,
            mailbox: Id::<Mailbox>::parse(mailbox).expect("no id").number(),
        }
    }

    fn any_message(&mut self) -> Option<String> {
        let there: Vec<String> = self.ids.keys().cloned().collect();
        let at = self.dice.below(there.len() as u64) as usize;
        there.get(at).cloned()
    }

    async fn step(&mut self) {
        let Some(message_id) = self.any_message() else {
            return self.new_message().await;
        };
        self.begin(&message_id);
        match self.dice.below(9) {
            0..3 => self.new_message().await,
            3 => self.destroy(&message_id).await,
            4 => self.set(&message_id).await,
            5 => self.store(&message_id).await,
            6 => self.expunge(&message_id).await,
            7 => self.relocate(&message_id).await,
            _ => self.mailbox().await,
        }
    }

    /// By delivery or by APPEND; its id is looked for afterwards, at the same node.
    async fn new_message(&mut self) {
        self.made += 1;
        let message_id = format!("{}.{}@cluster.example", self.number, self.made);
        self.begin(&message_id);
        let octets = message(&message_id, "some text");
        let mailbox = if self.dice.happens(500) {
            let mut recipients = vec![self.world.recipient(ADDRESS)];
            if self.dice.happens(300) {
                recipients.push(self.world.recipient(OTHER_ADDRESS));
            }
            self.node().deliver(recipients, octets).await;
            self.mailboxes[0].clone()
        } else {
            let mailbox = self.any_mailbox();
            let new = NewMessage {
                octets: octets.into(),
                keywords: Vec::new(),
                deleted: false,
                received_at: None,
            };
            let (node, key) = (self.node(), self.key(&mailbox));
            let appended = node.core.view_append(&node.who, key, vec![new]).await;
            appended.expect("a message was not appended");
            mailbox
        };
        let email = ([mailbox].into(), BTreeSet::new());
        self.model.insert(message_id.clone(), Some(email));
        let id = self.find(&message_id).await;
        self.ids.insert(message_id, id);
    }

    /// What a node has acknowledged, it tells of.
    async fn find(&self, message_id: &str) -> String {
        let world = &self.world;
        let arguments = json!({"filter": null, "sort": [{"property": "receivedAt"}]});
        let found = self.node().call::<Query<Email>>(world, arguments).await;
        let arguments = json!({"ids": found["ids"], "properties": ["messageId"]});
        let got = self.node().call::<Get<Email>>(world, arguments).await;
        let mut list = got["list"].as_array().expect("no list").iter();
        let email = list.find(|email| email["messageId"][0] == *message_id);
        let email = email.unwrap_or_else(|| panic!("{message_id} can't be found"));
        text(&email["id"])
    }

    async fn destroy(&mut self, message_id: &str) {
        let id = self.ids.remove(message_id).expect("no id");
        let arguments = json!({"destroy": [id]});
        let done = self.node().call::<Set<Email>>(&self.world, arguments).await;
        assert_eq!(done["destroyed"], json!([id]), "{done}");
        self.model.insert(message_id.to_owned(), None);
    }

    async fn set(&mut self, message_id: &str) {
        let id = self.ids[message_id].clone();
        let mailboxes: BTreeSet<String> = [self.any_mailbox(), self.any_mailbox()].into();
        let keywords = self.any_keywords();
        let object = |names: &BTreeSet<String>| -> serde_json::Value {
            let pairs = names.iter().map(|name| (name.clone(), json!(true)));
            pairs.collect::<serde_json::Map<_, _>>().into()
        };
        let patch = json!({"mailboxIds": object(&mailboxes), "keywords": object(&keywords)});
        let arguments = json!({"update": {&*id: patch}});
        let done = self.node().call::<Set<Email>>(&self.world, arguments).await;
        assert_eq!(done["updated"], json!({&*id: null}), "{done}");
        self.model
            .insert(message_id.to_owned(), Some((mailboxes, keywords)));
    }

    fn place(&self, message_id: &str) -> (String, u64) {
        let (mailboxes, _) = self.model[message_id].as_ref().expect("it is gone");
        let mailbox = mailboxes.first().expect("no mailbox").clone();
        let id = Id::<Email>::parse(&self.ids[message_id]).expect("no id");
        (mailbox, id.number())
    }

    async fn store(&mut self, message_id: &str) {
        let (mailbox, email) = self.place(message_id);
        let keywords = self.any_keywords();
        let store = StoreFlags {
            mailbox: self.key(&mailbox),
            emails: vec![email],
            change: FlagChange::Replace,
            keywords: keywords.iter().cloned().collect(),
            deleted: false,
            unchanged_since: None,
        };
        let node = self.node();
        let stored = node
            .core
            .view_store(&node.who, store)
            .await
            .expect("flags were not stored");
        let told = stored.rows[0].keywords.iter().map(|name| name.to_string());
        assert_eq!(
            told.collect::<BTreeSet<_>>(),
            keywords,
            "STORE tells something else"
        );
        if let Some(Some(known)) = self.model.get_mut(message_id) {
            known.1 = keywords;
        }
    }

    /// Out of one mailbox, with `\Deleted`, as IMAP does it.
    async fn expunge(&mut self, message_id: &str) {
        let (mailbox, email) = self.place(message_id);
        let key = self.key(&mailbox);
        let store = StoreFlags {
            mailbox: key,
            emails: vec![email],
            change: FlagChange::Add,
            keywords: Vec::new(),
            deleted: true,
            unchanged_since: None,
        };
        let node = self.node();
        node.core
            .view_store(&node.who, store)
            .await
            .expect("flags were not stored");
        let expunged = node.core.view_expunge(&node.who, key, &[email]).await;
        expunged.expect("a message was not expunged");
        let Some(Some(known)) = self.model.get_mut(message_id) else {
            return;
        };
        known.0.remove(&mailbox);
        if known.0.is_empty() {
            self.model.insert(message_id.to_owned(), None);
            self.ids.remove(message_id);
        }
    }

    async fn relocate(&mut self, message_id: &str) {
        let (from, email) = self.place(message_id);
        let to = self.any_mailbox();
        let has = self.model[message_id]
            .as_ref()
            .is_some_and(|(mailboxes, _)| mailboxes.contains(&to));
        if has {
            return;
        }
        let node = self.node();
        let moved = node
            .core
            .view_move(&node.who, self.key(&from), &[email], self.key(&to))
            .await;
        assert_eq!(moved.expect("a message was not moved").pairs.len(), 1);
        if let Some(Some(known)) = self.model.get_mut(message_id) {
            known.0.remove(&from);
            known.0.insert(to);
        }
    }

    /// A mailbox comes, and goes again.
    async fn mailbox(&mut self) {
        self.made += 1;
        let name = format!("of {} {}", self.number, self.made);
        let arguments = json!({"create": {"m": {"name": name}}});
        let done = self
            .node()
            .call::<Set<Mailbox>>(&self.world, arguments)
            .await;
        let id = text(&done["created"]["m"]["id"]);
        let got = self
            .node()
            .call::<Get<Mailbox>>(&self.world, json!({"ids": [id]}))
            .await;
        assert_eq!(got["list"][0]["name"], json!(name), "{got}");
        if self.dice.happens(600) {
            let done = self
                .node()
                .call::<Set<Mailbox>>(&self.world, json!({"destroy": [id]}))
                .await;
            assert_eq!(done["destroyed"], json!([id]), "{done}");
        }
    }
}

//! An account as clients see it that come anew: by IMAP and by JMAP; both have to be the same.

use std::collections::{BTreeMap, BTreeSet};

use e2e::{
    Imap, Jmap, Server,
    imap::Untagged,
    jmap::{string, strings},
};
use serde_json::{Value, json};

/// A mailbox of IMAP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folder {
    pub id: String,
    pub validity: u64,
    pub next: u64,
    pub messages: BTreeMap<u32, Message>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub email: String,
    pub flags: BTreeSet<String>,
    pub octets: Vec<u8>,
}

/// All that there is.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// By name.
    pub folders: BTreeMap<String, Folder>,
    /// Of Mailbox/get, Email/get and Thread/get, by id.
    pub mailboxes: BTreeMap<String, Value>,
    pub emails: BTreeMap<String, Value>,
    pub threads: BTreeMap<String, Value>,
}

/// What a mirror keeps of an email.
pub const EMAIL: &[&str] = &[
    "id",
    "blobId",
    "threadId",
    "mailboxIds",
    "keywords",
    "size",
    "messageId",
];

/// JMAP's keyword of a flag; `None`: it has none.
pub fn keyword_of(flag: &str) -> Option<String> {
    match flag {
        "\\Deleted" => None,
        flag => Some(flag.replace('\\', "$").to_lowercase()),
    }
}

pub fn by_id(list: &Value) -> BTreeMap<String, Value> {
    let list = list.as_array().expect("no list").iter();
    list.map(|object| (string(&object["id"]), object.clone()))
        .collect()
}

/// The `Message-ID` of a message, without brackets.
pub fn message_id(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets);
    let (_, rest) = text.split_once("Message-ID: <").unwrap_or_default();
    rest.split('>').next().unwrap_or_default().to_owned()
}

pub fn message_of(line: &Untagged) -> Option<(u32, Message)> {
    let message = Message {
        email: line.email_id()?,
        flags: line.flags()?,
        octets: line.literals.first().cloned().unwrap_or_default(),
    };
    Some((line.uid()?, message))
}

fn look_into(imap: &mut Imap, name: &str) -> Folder {
    let status = imap.ok(&format!(
        "STATUS \"{name}\" (MESSAGES UNSEEN DELETED UIDNEXT UIDVALIDITY MAILBOXID)"
    ));
    let examined = imap.ok(&format!("EXAMINE \"{name}\""));
    let fetched = imap.ok("UID FETCH 1:* (UID FLAGS EMAILID BODY.PEEK[])");
    let messages: BTreeMap<u32, Message> = fetched.untagged.iter().filter_map(message_of).collect();
    let without = |flag: &str| {
        let is = |message: &&Message| !message.flags.contains(flag);
        messages.values().filter(is).count()
    };
    let counts = [
        ("MESSAGES ", messages.len()),
        ("UNSEEN ", without("\\Seen")),
        ("DELETED ", messages.len() - without("\\Deleted")),
    ];
    for (word, count) in counts {
        assert_eq!(
            status.number_after(word),
            Some(count as u64),
            "{name}: {word}{status:?}"
        );
    }
    let rows = fetched.untagged.iter().filter(|line| line.uid().is_some());
    assert_eq!(rows.count(), messages.len(), "{name}: a UID twice");
    let (_, id) = status.untagged[0]
        .text
        .split_once("MAILBOXID (")
        .expect("no MAILBOXID");
    let number = |word: &str| {
        let of_both = [status.number_after(word), examined.number_after(word)];
        assert_eq!(of_both[0], of_both[1], "{name}: {word}");
        of_both[0].unwrap_or_else(|| panic!("{name}: no {word}"))
    };
    Folder {
        id: id.split(')').next().unwrap_or_default().to_owned(),
        validity: number("UIDVALIDITY "),
        next: number("UIDNEXT "),
        messages,
    }
}

impl Look {
    /// By IMAP and by JMAP: the same.
    pub fn at(server: &Server) -> Look {
        let mut imap = server.imap("alice");
        let names = imap.names();
        let folders = names
            .into_iter()
            .map(|name| (name.clone(), look_into(&mut imap, &name)));
        let folders = folders.collect();
        let mut jmap = server.jmap("alice");
        let mailboxes = by_id(&jmap.call("Mailbox/get", json!({"ids": null}))["list"]);
        let ids = jmap.query_all(Value::Null);
        let emails = jmap.get_emails(&ids, EMAIL);
        let emails = by_id(&json!(emails));
        let threads: BTreeSet<String> = emails.values().map(|e| string(&e["threadId"])).collect();
        let threads = by_id(&jmap.call("Thread/get", json!({"ids": threads}))["list"]);
        let look = Look {
            folders,
            mailboxes,
            emails,
            threads,
        };
        look.agrees_with_itself();
        look.has_octets(&mut jmap);
        look
    }

    /// What IMAP shows of emails is what JMAP shows.
    fn agrees_with_itself(&self) {
        let names = self.folders.iter().map(|(name, f)| (f.id.clone(), name));
        let names: BTreeMap<String, &String> = names.collect();
        let jmap_names: BTreeMap<String, String> = self
            .mailboxes
            .keys()
            .map(|id| (id.clone(), self.path_of(id)))
            .collect();
        assert_eq!(
            names.keys().collect::<Vec<_>>(),
            jmap_names.keys().collect::<Vec<_>>()
        );
        for (id, name) in &jmap_names {
            assert_eq!(names[id], name);
        }
        let mut shown: BTreeMap<&str, (BTreeSet<&str>, BTreeSet<String>)> = BTreeMap::new();
        for folder in self.folders.values() {
            for message in folder.messages.values() {
                if message.flags.contains("\\Deleted") {
                    continue;
                }
                let keywords: BTreeSet<String> =
                    message.flags.iter().filter_map(|f| keyword_of(f)).collect();
                let (mailboxes, known) = shown
                    .entry(&message.email)
                    .or_insert((BTreeSet::new(), keywords.clone()));
                assert_eq!(*known, keywords, "{}: flags by mailbox", message.email);
                assert!(mailboxes.insert(&folder.id), "{} twice", message.email);
            }
        }
        let of_jmap = self.emails.iter().map(|(id, email)| {
            let keys = |name: &str| {
                let keys = email[name].as_object().expect("no object").keys();
                keys.map(String::as_str).collect::<BTreeSet<&str>>()
            };
            let keywords = keys("keywords").into_iter().map(str::to_owned).collect();
            (id.as_str(), (keys("mailboxIds"), keywords))
        });
        let of_jmap: BTreeMap<_, _> = of_jmap.collect();
        assert_eq!(shown, of_jmap, "IMAP, and JMAP");
        // RFC 9051 §2.3.1.1: by a rename, each name may come to be each mailbox's.
        let validities: BTreeSet<u64> = self.folders.values().map(|f| f.validity).collect();
        assert_eq!(validities.len(), self.folders.len(), "UIDVALIDITY twice");
        // RFC 8621 §3: the threads of the emails are the emails of the threads.
        let mut threads: BTreeMap<String, BTreeSet<&String>> = BTreeMap::new();
        for (id, email) in &self.emails {
            let thread = string(&email["threadId"]);
            threads.entry(thread).or_default().insert(id);
        }
        for (id, thread) in &self.threads {
            let emails = strings(&thread["emailIds"]);
            assert_eq!(emails.iter().collect::<BTreeSet<_>>(), threads[id], "{id}");
            assert_eq!(emails.len(), threads[id].len(), "{id}");
        }
        assert_eq!(self.threads.len(), threads.len());
    }

    fn path_of(&self, id: &str) -> String {
        let mailbox = &self.mailboxes[id];
        if mailbox["role"] == "inbox" {
            return "INBOX".to_owned();
        }
        let name = string(&mailbox["name"]);
        match mailbox["parentId"].as_str() {
            Some(parent) => format!("{}/{name}", self.path_of(parent)),
            None => name,
        }
    }

    fn has_octets(&self, jmap: &mut Jmap) {
        let mut seen = BTreeSet::new();
        for message in self.folders.values().flat_map(|f| f.messages.values()) {
            let Some(email) = self.emails.get(&message.email) else {
                continue;
            };
            assert_eq!(email["size"], json!(message.octets.len()));
            assert_eq!(
                strings(&email["messageId"]),
                [message_id(&message.octets)],
                "{}",
                message.email
            );
            if seen.insert(&message.email) {
                let octets = jmap.download(&string(&email["blobId"]));
                assert!(octets == message.octets, "{}: other octets", message.email);
            }
        }
    }

    /// POP3 has the inbox, all of it, in the order of its UIDs.
    pub fn agrees_with_pop3(&self, server: &Server) {
        let inbox = &self.folders["INBOX"].messages;
        let mut pop3 = server.pop3("alice");
        let sizes = pop3.list("LIST");
        let ids: BTreeSet<String> = pop3.list("UIDL").iter().map(|l| id_of(l)).collect();
        assert_eq!(ids.len(), inbox.len(), "UIDL");
        for (at, (uid, message)) in inbox.iter().enumerate() {
            let (number, octets) = (at + 1, message.octets.len());
            assert_eq!(sizes[at], format!("{number} {octets}"));
            let retrieved = pop3.retrieve(number);
            assert!(
                retrieved.as_ref() == Some(&message.octets),
                "POP3 has another message than INBOX at UID {uid}"
            );
        }
        assert_eq!(sizes.len(), inbox.len());
        pop3.ok("QUIT");
    }

    /// Messages of all mailboxes, by `Message-ID`: the emails that have it.
    pub fn emails_by_message_id(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut emails: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for message in self.folders.values().flat_map(|f| f.messages.values()) {
            let id = message_id(&message.octets);
            emails.entry(id).or_default().insert(message.email.clone());
        }
        emails
    }
}

/// The unique id of a line of UIDL.
pub fn id_of(line: &str) -> String {
    line.split(' ').nth(1).unwrap_or_default().to_owned()
}

//! Clients that were there before, went away, and are brought up to date by nothing but what has changed: by QRESYNC (RFC 7162), by /changes
//! (RFC 8620 §5.2), and by the unique ids of POP3.

use std::collections::{BTreeMap, BTreeSet};

use e2e::{
    Imap, Jmap, Server,
    imap::{Untagged, numbers_of},
    jmap::{string, strings},
};
use serde_json::{Value, json};

use crate::look::{EMAIL, Look, by_id, id_of, message_id};

/// Few at a time, so that changes come in several parts.
const CHANGES_AT_ONCE: usize = 7;

/// What an old client of each protocol has.
#[derive(Default)]
pub struct Mirror {
    folders: BTreeMap<String, Folder>,
    mailboxes: Objects,
    emails: Objects,
    threads: Objects,
    /// Emails of all mailboxes, and of the inbox, in order.
    lists: BTreeMap<String, List>,
    /// `Message-ID` by unique id; those that are gone too.
    pop3: BTreeMap<String, String>,
}

#[derive(Default)]
struct Folder {
    validity: u64,
    highest: u64,
    /// Flags by UID.
    messages: BTreeMap<u32, BTreeSet<String>>,
    /// EMAILID by UID.
    emails: BTreeMap<u32, String>,
}

#[derive(Default)]
struct Objects {
    state: Option<String>,
    by_id: BTreeMap<String, Value>,
}

#[derive(Default)]
struct List {
    state: Option<String>,
    ids: Vec<String>,
}

impl Folder {
    fn hear(&mut self, line: &Untagged) {
        for word in ["* VANISHED (EARLIER) ", "* VANISHED "] {
            if let Some(set) = line.text.strip_prefix(word) {
                for uid in numbers_of(set) {
                    self.messages.remove(&uid);
                    self.emails.remove(&uid);
                }
                return;
            }
        }
        let Some(uid) = line.uid() else { return };
        if let Some(flags) = line.flags() {
            self.messages.insert(uid, flags);
        }
        if let Some(email) = line.email_id() {
            self.emails.insert(uid, email);
        }
    }

    fn catch_up(&mut self, imap: &mut Imap, name: &str) {
        let select = match self.validity {
            0 => format!("SELECT \"{name}\""),
            validity => format!("SELECT \"{name}\" (QRESYNC ({validity} {}))", self.highest),
        };
        let answer = imap.say(&select);
        if !answer.is_ok() {
            // It was renamed since it was listed.
            return;
        }
        let number = |word: &str| {
            let number = answer.number_after(word);
            number.unwrap_or_else(|| panic!("{select}: no {word}"))
        };
        if number("[UIDVALIDITY ") != self.validity {
            *self = Folder::default();
            self.validity = number("[UIDVALIDITY ");
        }
        answer.untagged.iter().for_each(|line| self.hear(line));
        self.highest = number("[HIGHESTMODSEQ ");
        let is_unknown = self.messages.is_empty() && number("UIDNEXT ") > 1;
        if is_unknown && !self.fetch(imap, "1:* (UID FLAGS EMAILID)") {
            return;
        }
        // What it had is as it was: only new ones are asked about.
        let new = self
            .messages
            .keys()
            .filter(|u| !self.emails.contains_key(u));
        let new: Vec<String> = new.map(u32::to_string).collect();
        if !new.is_empty() && !self.fetch(imap, &format!("{} (EMAILID)", new.join(","))) {
            return;
        }
        imap.ok("UNSELECT");
    }

    /// `false`: the mailbox is gone, and isn't selected any more.
    fn fetch(&mut self, imap: &mut Imap, what: &str) -> bool {
        let answer = imap.say(&format!("UID FETCH {what}"));
        answer.untagged.iter().for_each(|line| self.hear(line));
        // Whoever makes mailboxes may have deleted this one since it was selected (RFC 2180 §3.3).
        let is_gone = answer.end.starts_with("NO [NONEXISTENT]");
        assert!(answer.is_ok() || is_gone, "{what}: {}", answer.end);
        !is_gone
    }
}

impl Objects {
    fn catch_up(&mut self, jmap: &mut Jmap, kind: &str, properties: Value) {
        let get = format!("{kind}/get");
        let Some(mut state) = self.state.take() else {
            let all = match kind {
                "Thread" => json!([]),
                _ => Value::Null,
            };
            let got = jmap.call(&get, json!({"ids": all, "properties": properties}));
            self.by_id = by_id(&got["list"]);
            self.state = Some(string(&got["state"]));
            return;
        };
        loop {
            let since = json!({"sinceState": state, "maxChanges": CHANGES_AT_ONCE});
            let changes = jmap.call(&format!("{kind}/changes"), since);
            for id in strings(&changes["destroyed"]) {
                self.by_id.remove(&id);
            }
            self.fetch(jmap, &get, strings(&changes["created"]), &properties);
            let updated = strings(&changes["updated"]);
            match &changes["updatedProperties"] {
                Value::Array(some) => {
                    let mut some = some.clone();
                    some.push(json!("id"));
                    self.fetch(jmap, &get, updated, &json!(some));
                }
                _ => self.fetch(jmap, &get, updated, &properties),
            }
            state = string(&changes["newState"]);
            if changes["hasMoreChanges"] != json!(true) {
                self.state = Some(state);
                return;
            }
        }
    }

    fn fetch(&mut self, jmap: &mut Jmap, get: &str, ids: Vec<String>, properties: &Value) {
        if ids.is_empty() {
            return;
        }
        // One that is not found has gone since; that comes with the changes after these.
        let got = jmap.call(get, json!({"ids": ids, "properties": properties}));
        for (id, object) in by_id(&got["list"]) {
            match (self.by_id.get_mut(&id), object) {
                (Some(Value::Object(known)), Value::Object(new)) => known.extend(new),
                (_, object) => {
                    self.by_id.insert(id, object);
                }
            }
        }
    }
}

impl List {
    fn catch_up(&mut self, jmap: &mut Jmap, filter: Value) {
        let sort = json!([{"property": "receivedAt", "isAscending": false}]);
        let changes = self.state.take().map(|state| {
            jmap.try_call(
                "Email/queryChanges",
                json!({"filter": filter, "sort": sort, "sinceQueryState": state}),
            )
        });
        let changes = match changes {
            Some(Ok(changes)) => changes,
            Some(Err(error)) if error["type"] != "cannotCalculateChanges" => panic!("{error}"),
            _ => {
                let found = jmap.call("Email/query", json!({"filter": filter, "sort": sort}));
                self.ids = strings(&found["ids"]);
                self.state = Some(string(&found["queryState"]));
                return;
            }
        };
        // RFC 8620 §5.6.
        let removed: BTreeSet<String> = strings(&changes["removed"]).into_iter().collect();
        self.ids.retain(|id| !removed.contains(id));
        for added in changes["added"].as_array().expect("no added") {
            let at = added["index"].as_u64().expect("no index") as usize;
            self.ids.insert(at, string(&added["id"]));
        }
        self.state = Some(string(&changes["newQueryState"]));
    }
}

impl Mirror {
    pub fn catch_up(&mut self, server: &Server) {
        let mut imap = server.imap("alice");
        imap.ok("ENABLE QRESYNC");
        let names = imap.names();
        self.folders.retain(|name, _| names.contains(name));
        for name in names {
            let folder = self.folders.entry(name.clone()).or_default();
            folder.catch_up(&mut imap, &name);
        }
        let mut jmap = server.jmap("alice");
        self.mailboxes.catch_up(&mut jmap, "Mailbox", Value::Null);
        self.emails.catch_up(&mut jmap, "Email", json!(EMAIL));
        // The first time nothing may go on meanwhile.
        let first = self.threads.state.is_none();
        self.threads.catch_up(&mut jmap, "Thread", Value::Null);
        if first {
            let emails = self.emails.by_id.values();
            let threads: BTreeSet<String> = emails.map(|e| string(&e["threadId"])).collect();
            let threads: Vec<String> = threads.into_iter().collect();
            let got = jmap.call("Thread/get", json!({"ids": threads}));
            self.threads.by_id = by_id(&got["list"]);
        }
        let inbox = jmap.mailbox("inbox");
        for filter in [Value::Null, json!({"inMailbox": inbox})] {
            let list = self.lists.entry(filter.to_string()).or_default();
            list.catch_up(&mut jmap, filter);
        }
        self.ask_pop3(server);
    }

    fn ask_pop3(&mut self, server: &Server) {
        let user = "alice@example.org";
        // Another one may have the maildrop open.
        let Ok(mut pop3) = e2e::Pop3::try_login(server.home.pop3, user, e2e::PASSWORD) else {
            return;
        };
        let ids: Vec<String> = pop3.list("UIDL").iter().map(|line| id_of(line)).collect();
        for (at, id) in ids.into_iter().enumerate() {
            let Some(octets) = pop3.retrieve(at + 1) else {
                continue;
            };
            let message = message_id(&octets);
            let known = self.pop3.entry(id).or_insert_with(|| message.clone());
            assert_eq!(*known, message, "a unique id of another message");
        }
        pop3.ok("QUIT");
    }

    /// It has what one has that comes anew.
    pub fn is(&self, look: &Look) {
        assert_eq!(
            self.folders.keys().collect::<Vec<_>>(),
            look.folders.keys().collect::<Vec<_>>()
        );
        for (name, folder) in &look.folders {
            let mine = &self.folders[name];
            assert_eq!(mine.validity, folder.validity, "{name}");
            let messages = folder.messages.iter();
            let flags = messages.map(|(uid, message)| (*uid, message.flags.clone()));
            assert_eq!(mine.messages, flags.collect(), "QRESYNC of {name}");
            let messages = folder.messages.iter();
            let emails = messages.map(|(uid, message)| (*uid, message.email.clone()));
            assert_eq!(mine.emails, emails.collect(), "UIDs of {name}");
        }
        same("Mailbox", &self.mailboxes.by_id, &look.mailboxes);
        same("Email", &self.emails.by_id, &look.emails);
        same("Thread", &self.threads.by_id, &look.threads);
        for (filter, list) in &self.lists {
            let ids: BTreeSet<&String> = list.ids.iter().collect();
            assert_eq!(ids.len(), list.ids.len(), "{filter}: twice");
            let fits = |email: &Value| match filter.as_str() {
                "null" => true,
                filter => {
                    let filter: Value = serde_json::from_str(filter).expect("no JSON");
                    let mailbox = string(&filter["inMailbox"]);
                    email["mailboxIds"].get(mailbox).is_some()
                }
            };
            let there = look.emails.iter().filter(|(_, email)| fits(email));
            assert_eq!(
                ids,
                there.map(|(id, _)| id).collect(),
                "Email/queryChanges of {filter}"
            );
        }
    }
}

fn same(kind: &str, mine: &BTreeMap<String, Value>, anew: &BTreeMap<String, Value>) {
    let ids = mine.keys().chain(anew.keys()).collect::<BTreeSet<_>>();
    for id in ids {
        assert_eq!(mine.get(id), anew.get(id), "{kind}/changes: {id}");
    }
}

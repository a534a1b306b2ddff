//! One change after the other, each by a protocol and a connection that the dice name.

use std::collections::{BTreeMap, BTreeSet};

use e2e::{
    Dice, Home, Imap, Jmap, Pop3, Server, Smtp, corpus::to_crlf, dice::number_from_env,
    jmap::string,
};
use serde_json::{Map, Value, json};

use crate::{
    all_agree,
    look::{Look, keyword_of},
    mirror::Mirror,
    model::{Mail, Model},
};

const STEPS: usize = 260;
/// Of each protocol.
const CONNECTIONS: usize = 3;
/// Clients that come back now and then.
const MIRRORS: usize = 3;
const FOLDERS_MAX: usize = 14;
const FLAGS: [&str; 6] = [
    "\\Seen",
    "\\Flagged",
    "\\Answered",
    "\\Draft",
    "work",
    "$Forwarded",
];

pub fn run(seed: u64) {
    let steps = number_from_env("POSTHORN_STEPS", STEPS);
    let mut world = World::new(seed);
    for step in 0..steps {
        let what = world.step();
        println!("{step}: {what}");
        world.model.learn(&mut world.eye);
        if world.dice.below(25) == 0 {
            let at = world.dice.below(MIRRORS);
            world.mirrors[at].catch_up(&world.server);
        }
        if step % 60 == 59 {
            world.close_pop3();
            world.model.is(&Look::at(&world.server));
        }
    }
    world.close_pop3();
    world.model.learn(&mut world.eye);
    let look = all_agree(&mut world.server, &mut world.mirrors);
    world.model.is(&look);
    let messages: usize = look.folders.values().map(|f| f.messages.len()).sum();
    println!(
        "seed {seed}: {} mailboxes, {messages} messages, {} emails",
        look.folders.len(),
        look.emails.len()
    );
}

/// A session of POP3 as it was opened.
struct Maildrop {
    session: Pop3,
    /// Email and UID, by number less one.
    listed: Vec<(String, u32)>,
    marked: BTreeSet<usize>,
}

struct World {
    server: Server,
    dice: Dice,
    seed: u64,
    made: usize,
    model: Model,
    /// With the mailbox that is selected.
    imaps: Vec<(Imap, Option<String>)>,
    jmaps: Vec<Jmap>,
    lmtps: Vec<Smtp>,
    pop3: Option<Maildrop>,
    /// Only looks.
    eye: Imap,
    mirrors: Vec<Mirror>,
}

impl World {
    fn new(seed: u64) -> World {
        let server = Server::start_in(Home::with_people());
        let mut model = Model::default();
        let mut jmap = server.jmap("alice");
        let mailboxes = jmap.call("Mailbox/get", json!({"ids": null}));
        for mailbox in mailboxes["list"].as_array().expect("no list") {
            let id = string(&mailbox["id"]);
            let is_inbox = mailbox["role"] == "inbox";
            let name = match is_inbox {
                true => "INBOX".to_owned(),
                false => string(&mailbox["name"]),
            };
            model.add_folder(&id, &name, None);
            if is_inbox {
                model.inbox = id;
            }
        }
        let mut mirrors: Vec<Mirror> = Vec::new();
        mirrors.resize_with(MIRRORS, Mirror::default);
        mirrors[0].catch_up(&server);
        World {
            dice: Dice(seed),
            seed,
            made: 0,
            model,
            imaps: (0..CONNECTIONS)
                .map(|_| (server.imap("alice"), None))
                .collect(),
            jmaps: (0..CONNECTIONS).map(|_| server.jmap("alice")).collect(),
            lmtps: (0..CONNECTIONS).map(|_| server.lmtp()).collect(),
            pop3: None,
            eye: server.imap("alice"),
            mirrors,
            server,
        }
    }

    /// Makes a change; tells which.
    fn step(&mut self) -> String {
        match self.dice.below(30) {
            0..=2 => self.deliver(),
            3..=4 => self.append(),
            5..=6 => self.import(),
            7..=10 => self.store(),
            11..=13 => self.copy(),
            14..=15 => self.expunge(),
            16..=17 => self.set_keywords(),
            18..=20 => self.set_mailboxes(),
            21 => self.destroy(),
            22..=24 => self.make_folder(),
            25 => self.rename_folder(),
            26 => self.remove_folder(),
            _ => self.pop3(),
        }
    }

    /// A message that there is not yet; some answer earlier ones.
    fn message(&mut self) -> (String, Vec<u8>) {
        self.made += 1;
        let token = format!("m{}.{}@test.example", self.made, self.seed);
        let mails: Vec<&Mail> = self.model.mails.values().collect();
        let answers = match mails.is_empty() || self.dice.below(3) > 0 {
            true => format!("Subject: subject {}\n", self.made),
            false => {
                let to = &self.dice.one_of(&mails).token;
                let number = to.split(['m', '.']).nth(1).unwrap_or_default();
                format!("Subject: Re: subject {number}\nIn-Reply-To: <{to}>\n")
            }
        };
        let lines = 1 + self.dice.below(40);
        let body: String = (0..lines).map(|n| format!(".line {n} {token}\n")).collect();
        let text = format!(
            "From: Carol <carol@example.net>\nTo: alice@example.org\n{answers}Message-ID: <{token}>\n\n{body}"
        );
        (token, to_crlf(text.as_bytes()))
    }

    fn add(&mut self, token: &str, sent: Vec<u8>, keywords: BTreeSet<String>, places: &[&str]) {
        let places = places
            .iter()
            .map(|id| ((*id).to_owned(), Default::default()));
        self.model.add(Mail {
            token: token.to_owned(),
            sent,
            keywords,
            places: places.collect(),
        });
    }

    fn folder(&mut self) -> String {
        let ids: Vec<&String> = self.model.folders.keys().collect();
        // The inbox, which all protocols have, more often.
        match self.dice.below(3) {
            0 => self.model.inbox.clone(),
            _ => (*self.dice.one_of(&ids)).clone(),
        }
    }

    /// A message in a mailbox: email, mailbox, UID.
    fn place(&mut self) -> Option<(String, String, u32)> {
        let mut places = Vec::new();
        for (id, mail) in &self.model.mails {
            let uids = mail.places.iter();
            places.extend(uids.map(|(m, place)| (id, m, place.uid.expect("no UID"))));
        }
        let (id, mailbox, uid) = *places.get(self.dice.below(places.len()))?;
        Some((id.clone(), mailbox.clone(), uid))
    }

    /// Some messages of a mailbox; no two are copies of each other.
    fn some_places(&mut self) -> Option<(String, Vec<(String, u32)>)> {
        let (id, mailbox, uid) = self.place()?;
        let mut some = vec![(id.clone(), uid)];
        let mut tokens = BTreeSet::from([self.model.mails[&id].token.clone()]);
        for (other, mail) in &self.model.mails {
            if let Some(place) = mail.places.get(&mailbox)
                && self.dice.below(4) == 0
                && tokens.insert(mail.token.clone())
            {
                some.push((other.clone(), place.uid.expect("no UID")));
            }
        }
        Some((mailbox, some))
    }

    /// An email that JMAP shows.
    fn email(&mut self) -> Option<String> {
        let mails = self.model.mails.iter();
        let shown = mails.filter(|(_, mail)| !mail.shown().is_empty());
        let ids: Vec<&String> = shown.map(|(id, _)| id).collect();
        let id = ids.get(self.dice.below(ids.len()))?;
        Some((*id).clone())
    }

    fn flags(&mut self) -> (Vec<&'static str>, BTreeSet<String>) {
        let flags: Vec<&str> = FLAGS
            .into_iter()
            .filter(|_| self.dice.below(3) == 0)
            .collect();
        let keywords = flags.iter().filter_map(|flag| keyword_of(flag)).collect();
        (flags, keywords)
    }

    fn jmap(&mut self) -> &mut Jmap {
        let at = self.dice.below(self.jmaps.len());
        &mut self.jmaps[at]
    }

    /// A connection with this mailbox selected.
    fn imap(&mut self, mailbox: &str) -> &mut Imap {
        let at = self.dice.below(self.imaps.len());
        let path = self.model.path(mailbox);
        let (imap, selected) = &mut self.imaps[at];
        if selected.as_deref() != Some(mailbox) {
            imap.ok(&format!("SELECT \"{path}\""));
            *selected = Some(mailbox.to_owned());
        } else {
            // A session knows the UIDs that it was told of.
            imap.ok("NOOP");
        }
        imap
    }

    fn any_imap(&mut self) -> &mut Imap {
        let at = self.dice.below(self.imaps.len());
        &mut self.imaps[at].0
    }

    fn deliver(&mut self) -> String {
        let (token, sent) = self.message();
        let at = self.dice.below(self.lmtps.len());
        let reply = self.lmtps[at].send("carol@example.net", "alice@example.org", &sent);
        assert!(reply.expect("no reply").is_ok());
        let inbox = self.model.inbox.clone();
        self.add(&token, sent, BTreeSet::new(), &[&inbox]);
        format!("LMTP {token}")
    }

    fn append(&mut self) -> String {
        let (token, sent) = self.message();
        let (flags, keywords) = self.flags();
        let mailbox = self.folder();
        let path = format!("\"{}\"", self.model.path(&mailbox));
        let answer = self.any_imap().append(&path, &flags.join(" "), &sent);
        assert!(answer.is_ok(), "{}", answer.end);
        self.add(&token, sent, keywords, &[&mailbox]);
        format!("APPEND {path} {token}")
    }

    fn import(&mut self) -> String {
        let (token, sent) = self.message();
        let (_, keywords) = self.flags();
        let mailboxes = BTreeSet::from([self.folder(), self.folder()]);
        let ids: BTreeMap<&String, bool> = mailboxes.iter().map(|id| (id, true)).collect();
        let words: BTreeMap<&String, bool> = keywords.iter().map(|k| (k, true)).collect();
        let jmap = self.jmap();
        let blob = jmap.upload(&sent, "message/rfc822");
        let email = json!({"blobId": blob, "mailboxIds": ids, "keywords": words});
        let done = jmap.call("Email/import", json!({"emails": {"m": email}}));
        assert!(done["created"]["m"].is_object(), "{done}");
        let places: Vec<&str> = mailboxes.iter().map(String::as_str).collect();
        self.add(&token, sent, keywords, &places);
        format!("Email/import {token} {places:?}")
    }

    fn store(&mut self) -> String {
        let Some((mailbox, some)) = self.some_places() else {
            return String::new();
        };
        let (flags, keywords) = self.flags();
        let deletes = self.dice.below(4) == 0;
        let sign = *self.dice.one_of(&["+", "-", ""]);
        let silent = *self.dice.one_of(&["", ".SILENT"]);
        let mut flags = flags;
        flags.extend(deletes.then_some("\\Deleted"));
        let command = format!(
            "UID STORE {} {sign}FLAGS{silent} ({})",
            set_of(&some),
            flags.join(" ")
        );
        self.imap(&mailbox).ok(&command);
        for (id, _) in &some {
            let mail = self.model.mails.get_mut(id).expect("no mail");
            let place = mail.places.get_mut(&mailbox).expect("no place");
            match sign {
                "+" => mail.keywords.extend(keywords.iter().cloned()),
                "-" => mail.keywords.retain(|word| !keywords.contains(word)),
                _ => mail.keywords = keywords.clone(),
            }
            place.deleted = match sign {
                "+" => place.deleted || deletes,
                "-" => place.deleted && !deletes,
                _ => deletes,
            };
        }
        format!("{command} in {mailbox}")
    }

    fn copy(&mut self) -> String {
        let Some((from, some)) = self.some_places() else {
            return String::new();
        };
        let (to, moves) = (self.folder(), self.dice.below(2) == 0);
        let word = if moves { "MOVE" } else { "COPY" };
        let path = self.model.path(&to);
        let command = format!("UID {word} {} \"{path}\"", set_of(&some));
        let answer = self.imap(&from).ok(&command);
        let mut lines = answer.untagged.iter().map(|line| line.text.as_str());
        let told = lines.any(|l| l.contains("[COPYUID ")) || answer.end.contains("[COPYUID ");
        assert!(told, "{command}: {}", answer.end);
        for (id, _) in &some {
            self.model.copy(id, &from, &to, moves);
        }
        format!("{command} from {from} to {to}")
    }

    fn expunge(&mut self) -> String {
        let mailbox = self.folder();
        let mails = self.model.mails.iter();
        let gone = mails.filter(|(_, m)| m.places.get(&mailbox).is_some_and(|p| p.deleted));
        let gone: Vec<String> = gone.map(|(id, _)| id.clone()).collect();
        let command = match self.dice.below(3) {
            0 => "EXPUNGE",
            1 => "UID EXPUNGE 1:*",
            _ => "CLOSE",
        };
        let at = self.dice.below(self.imaps.len());
        let (imap, selected) = &mut self.imaps[at];
        imap.ok(&format!("SELECT \"{}\"", self.model.path(&mailbox)));
        imap.ok(command);
        *selected = (command != "CLOSE").then(|| mailbox.clone());
        gone.iter().for_each(|id| self.model.leave(id, &mailbox));
        format!("{command} of {} in {mailbox}", gone.len())
    }

    fn update(&mut self, id: &str, patch: Value) {
        let done = self
            .jmap()
            .call("Email/set", json!({"update": {id: patch}}));
        assert!(done["updated"].get(id).is_some(), "{done}");
    }

    fn set_keywords(&mut self) -> String {
        let Some(id) = self.email() else {
            return String::new();
        };
        let (_, keywords) = self.flags();
        let words: BTreeMap<&String, bool> = keywords.iter().map(|k| (k, true)).collect();
        let now = self.model.mails[&id].keywords.clone();
        let (patch, after) = match self.dice.below(3) {
            0 => (json!({"keywords": words}), keywords),
            1 => {
                let patch = keywords
                    .iter()
                    .map(|k| (format!("keywords/{k}"), json!(true)));
                let patch = patch.collect::<Map<_, _>>();
                (patch.into(), now.union(&keywords).cloned().collect())
            }
            _ => {
                let patch = keywords
                    .iter()
                    .map(|k| (format!("keywords/{k}"), Value::Null));
                let patch = patch.collect::<Map<_, _>>();
                (patch.into(), now.difference(&keywords).cloned().collect())
            }
        };
        self.update(&id, patch.clone());
        self.model.mails.get_mut(&id).expect("no mail").keywords = after;
        format!("Email/set {id} {patch}")
    }

    fn set_mailboxes(&mut self) -> String {
        let Some(id) = self.email() else {
            return String::new();
        };
        let folder = self.folder();
        let mut mailboxes = self.model.mails[&id].shown();
        let patch = match self.dice.below(3) {
            0 => {
                mailboxes = BTreeSet::from([folder, self.folder()]);
                let ids: BTreeMap<&String, bool> = mailboxes.iter().map(|id| (id, true)).collect();
                json!({"mailboxIds": ids})
            }
            1 => {
                let patch = json!({format!("mailboxIds/{folder}"): true});
                mailboxes.insert(folder);
                patch
            }
            _ => {
                let gone: Vec<String> = mailboxes.iter().cloned().collect();
                let gone = self.dice.one_of(&gone).clone();
                mailboxes.remove(&gone);
                mailboxes.insert(folder.clone());
                let mut patch = json!({format!("mailboxIds/{gone}"): null});
                patch[format!("mailboxIds/{folder}")] = json!(true);
                patch
            }
        };
        self.update(&id, patch.clone());
        self.model.set_mailboxes(&id, &mailboxes);
        format!("Email/set {id} {patch}")
    }

    fn destroy(&mut self) -> String {
        let Some(id) = self.email() else {
            return String::new();
        };
        let done = self.jmap().call("Email/set", json!({"destroy": [id]}));
        assert_eq!(done["destroyed"], json!([id]), "{done}");
        self.model.mails.remove(&id);
        format!("Email/set destroy {id}")
    }

    /// A mailbox that a test made.
    fn own_folder(&mut self) -> Option<String> {
        let folders = self.model.folders.iter();
        let own = folders.filter(|(_, folder)| folder.name.starts_with("box"));
        let ids: Vec<&String> = own.map(|(id, _)| id).collect();
        let id = ids.get(self.dice.below(ids.len()))?;
        Some((*id).clone())
    }

    fn new_name(&mut self) -> (String, Option<String>) {
        // Names come again, with other UIDVALIDITY.
        let name = format!("box{}", self.dice.below(2 * FOLDERS_MAX));
        let parent = match self.dice.below(2) {
            0 => None,
            _ => self.own_folder(),
        };
        (name, parent)
    }

    fn is_taken(&self, name: &str, parent: Option<&String>) -> bool {
        let mut folders = self.model.folders.values();
        folders.any(|folder| folder.name == name && folder.parent.as_ref() == parent)
    }

    fn path_below(&self, name: &str, parent: Option<&String>) -> String {
        match parent {
            Some(parent) => format!("{}/{name}", self.model.path(parent)),
            None => name.to_owned(),
        }
    }

    fn make_folder(&mut self) -> String {
        let (name, parent) = self.new_name();
        if self.is_taken(&name, parent.as_ref()) || self.model.folders.len() >= FOLDERS_MAX {
            return String::new();
        }
        let path = self.path_below(&name, parent.as_ref());
        let id = match self.dice.below(2) {
            0 => {
                let answer = self.any_imap().ok(&format!("CREATE \"{path}\""));
                let (_, id) = answer.end.split_once("[MAILBOXID (").expect("no MAILBOXID");
                id.split(')').next().unwrap_or_default().to_owned()
            }
            _ => {
                let new = json!({"name": name, "parentId": parent});
                let done = self
                    .jmap()
                    .call("Mailbox/set", json!({"create": {"c": new}}));
                string(&done["created"]["c"]["id"])
            }
        };
        assert!(!self.model.folders.contains_key(&id), "an id again");
        self.model.add_folder(&id, &name, parent);
        format!("made {path} {id}")
    }

    fn rename_folder(&mut self) -> String {
        let (name, parent) = self.new_name();
        let inbox = self.dice.below(8) == 0;
        let id = match inbox {
            true => Some(self.model.inbox.clone()),
            false => self.own_folder(),
        };
        let Some(id) = id.filter(|_| !self.is_taken(&name, parent.as_ref())) else {
            return String::new();
        };
        let below = |parent: &String| self.model.is_below(parent, &id);
        if parent.as_ref().is_some_and(below) {
            return String::new();
        }
        let (from, to) = (
            self.model.path(&id),
            self.path_below(&name, parent.as_ref()),
        );
        if inbox {
            return self.empty_inbox(&name, parent, &to);
        }
        match self.dice.below(2) {
            0 => {
                let imap = self.any_imap();
                imap.ok(&format!("RENAME \"{from}\" \"{to}\""));
            }
            _ => {
                let patch = json!({"name": name, "parentId": parent});
                let set = json!({"update": {&id: patch}});
                let done = self.jmap().call("Mailbox/set", set);
                assert!(done["updated"].get(&id).is_some(), "{done}");
            }
        }
        let folder = self.model.folders.get_mut(&id).expect("no folder");
        folder.name = name;
        folder.parent = parent;
        format!("renamed {from} to {to}")
    }

    /// RFC 9051 §6.3.6: INBOX stays, its messages go.
    fn empty_inbox(&mut self, name: &str, parent: Option<String>, to: &str) -> String {
        self.any_imap().ok(&format!("RENAME INBOX \"{to}\""));
        let status = self.eye.ok(&format!("STATUS \"{to}\" (MAILBOXID)"));
        let text = &status.untagged[0].text;
        let (_, id) = text.split_once("MAILBOXID (").expect("no MAILBOXID");
        let id = id.split(')').next().unwrap_or_default().to_owned();
        self.model.add_folder(&id, name, parent);
        let inbox = self.model.inbox.clone();
        let mails: Vec<String> = self.model.mails.keys().cloned().collect();
        for mail in mails {
            if self.model.mails[&mail].places.contains_key(&inbox) {
                self.model.copy(&mail, &inbox, &id, true);
            }
        }
        format!("RENAME INBOX {to}")
    }

    fn remove_folder(&mut self) -> String {
        let Some(id) = self.own_folder().filter(|id| self.model.is_leaf(id)) else {
            return String::new();
        };
        let path = self.model.path(&id);
        match self.dice.below(2) {
            0 => {
                self.any_imap().ok(&format!("DELETE \"{path}\""));
            }
            _ => {
                let set = json!({"destroy": [id], "onDestroyRemoveEmails": true});
                let done = self.jmap().call("Mailbox/set", set);
                assert_eq!(done["destroyed"], json!([id]), "{done}");
            }
        }
        for (imap, selected) in &mut self.imaps {
            if selected.as_ref() == Some(&id) {
                *selected = None;
                // It was selected: what a client is told of it may be an end of the connection.
                if !imap.try_say(b"NOOP").is_ok_and(|answer| answer.is_ok()) {
                    *imap = self.server.imap("alice");
                }
            }
        }
        self.model.remove_folder(&id);
        format!("removed {path} {id}")
    }

    fn pop3(&mut self) -> String {
        let Some(mut maildrop) = self.pop3.take() else {
            let session = self.server.pop3("alice");
            let inbox = &self.model.inbox;
            let places = self.model.mails.iter().filter_map(|(id, mail)| {
                let place = mail.places.get(inbox)?;
                Some((id.clone(), place.uid.expect("no UID")))
            });
            let mut listed: Vec<(String, u32)> = places.collect();
            listed.sort_by_key(|(_, uid)| *uid);
            let mut maildrop = Maildrop {
                session,
                listed,
                marked: BTreeSet::new(),
            };
            let count = maildrop.session.list("UIDL").len();
            assert_eq!(count, maildrop.listed.len(), "UIDL");
            self.pop3 = Some(maildrop);
            return format!("POP3 {count}");
        };
        let at = self.dice.below(maildrop.listed.len());
        let what = match self.dice.below(8) {
            _ if maildrop.listed.is_empty() => "QUIT".to_owned(),
            0..=3 if maildrop.marked.insert(at) => {
                // One that is gone since can still be marked; that is passed over.
                maildrop.session.ok(&format!("DELE {}", at + 1));
                format!("DELE {}", at + 1)
            }
            4 if !maildrop.marked.contains(&at) => {
                // One that was moved away and came back is sent; it has another UID, so it is not removed.
                let (id, _) = &maildrop.listed[at];
                let mail = self.model.mails.get(id);
                let there = mail.filter(|mail| mail.places.contains_key(&self.model.inbox));
                let octets = maildrop.session.retrieve(at + 1);
                assert_eq!(octets.is_some(), there.is_some(), "RETR {}", at + 1);
                if let (Some(octets), Some(mail)) = (octets, there) {
                    assert!(octets.ends_with(&mail.sent), "{}", mail.token);
                }
                format!("RETR {}", at + 1)
            }
            5 => {
                maildrop.session.ok("RSET");
                maildrop.marked.clear();
                "RSET".to_owned()
            }
            _ => "QUIT".to_owned(),
        };
        self.pop3 = Some(maildrop);
        if what == "QUIT" {
            self.close_pop3();
        }
        format!("POP3 {what}")
    }

    fn close_pop3(&mut self) {
        let Some(mut maildrop) = self.pop3.take() else {
            return;
        };
        maildrop.session.ok("QUIT");
        let inbox = self.model.inbox.clone();
        for at in maildrop.marked {
            let (id, uid) = &maildrop.listed[at];
            let place = self.model.mails.get(id).and_then(|m| m.places.get(&inbox));
            if place.is_some_and(|place| place.uid == Some(*uid)) {
                self.model.leave(id, &inbox);
            }
        }
    }
}

fn set_of(some: &[(String, u32)]) -> String {
    let uids: Vec<String> = some.iter().map(|(_, uid)| uid.to_string()).collect();
    uids.join(",")
}

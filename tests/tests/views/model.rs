//! What must be there: messages with their keywords, mailboxes and `\Deleted`, as each change leaves them.
//!
//! Holds: it knows what RFC 9051, RFC 1939 and RFC 8621 say of a change, and what the adapter's README says is done on purpose (a copy is the same
//! email; where it is already, a new one). Ids and UIDs it learns from IMAP; once it has one, that stays.

use std::collections::{BTreeMap, BTreeSet};

use e2e::{Imap, jmap::string};
use serde_json::json;

use crate::look::{Look, keyword_of, message_id, message_of};

/// A message in one mailbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// `None`: not asked for yet.
    pub uid: Option<u32>,
    pub deleted: bool,
}

#[derive(Clone, Debug)]
pub struct Mail {
    /// Its `Message-ID` without brackets.
    pub token: String,
    /// What was sent; delivery puts fields before it.
    pub sent: Vec<u8>,
    pub keywords: BTreeSet<String>,
    /// By mailbox id.
    pub places: BTreeMap<String, Place>,
}

impl Mail {
    /// The mailboxes that JMAP shows.
    pub fn shown(&self) -> BTreeSet<String> {
        let places = self.places.iter().filter(|(_, place)| !place.deleted);
        places.map(|(id, _)| id.clone()).collect()
    }
}

#[derive(Clone, Debug)]
pub struct Folder {
    pub name: String,
    pub parent: Option<String>,
    /// Above all UIDs that were seen.
    next: u32,
}

#[derive(Debug, Default)]
pub struct Model {
    /// By email id.
    pub mails: BTreeMap<String, Mail>,
    /// Made, without an id yet.
    pub new: Vec<Mail>,
    pub folders: BTreeMap<String, Folder>,
    pub inbox: String,
    /// Whose each UID of each mailbox is, or was.
    uids: BTreeMap<(String, u32), String>,
}

impl Model {
    pub fn add_folder(&mut self, id: &str, name: &str, parent: Option<String>) {
        let folder = Folder {
            name: name.to_owned(),
            parent,
            next: 1,
        };
        self.folders.insert(id.to_owned(), folder);
    }

    /// As IMAP names it.
    pub fn path(&self, id: &str) -> String {
        let folder = &self.folders[id];
        match &folder.parent {
            Some(parent) => format!("{}/{}", self.path(parent), folder.name),
            None => folder.name.clone(),
        }
    }

    pub fn is_leaf(&self, id: &str) -> bool {
        let mut folders = self.folders.values();
        !folders.any(|folder| folder.parent.as_deref() == Some(id))
    }

    pub fn is_below(&self, id: &str, above: &str) -> bool {
        id == above
            || self.folders[id]
                .parent
                .as_ref()
                .is_some_and(|parent| self.is_below(parent, above))
    }

    pub fn add(&mut self, mail: Mail) {
        self.new.push(mail);
    }

    /// A COPY or MOVE of one message.
    pub fn copy(&mut self, id: &str, from: &str, to: &str, moves: bool) {
        let Some(mail) = self.mails.get_mut(id) else {
            return;
        };
        let place = Place {
            uid: None,
            ..mail.places[from]
        };
        if moves && from == to {
            mail.places.insert(to.to_owned(), place);
            return;
        }
        if mail.places.contains_key(to) {
            let mut again = mail.clone();
            again.places = BTreeMap::from([(to.to_owned(), place)]);
            self.new.push(again);
        } else {
            mail.places.insert(to.to_owned(), place);
        }
        if moves {
            self.leave(id, from);
        }
    }

    pub fn leave(&mut self, id: &str, mailbox: &str) {
        if let Some(mail) = self.mails.get_mut(id) {
            mail.places.remove(mailbox);
            if mail.places.is_empty() {
                self.mails.remove(id);
            }
        }
    }

    /// Email/set: JMAP neither shows nor removes what has `\Deleted`, unless it names the mailbox (RFC 8621 §4.1.1).
    pub fn set_mailboxes(&mut self, id: &str, mailboxes: &BTreeSet<String>) {
        let Some(mail) = self.mails.get_mut(id) else {
            return;
        };
        mail.places
            .retain(|mailbox, place| place.deleted || mailboxes.contains(mailbox));
        for mailbox in mailboxes {
            mail.places.entry(mailbox.clone()).or_default().deleted = false;
        }
    }

    pub fn remove_folder(&mut self, id: &str) {
        self.folders.remove(id);
        let mails: Vec<String> = self.mails.keys().cloned().collect();
        mails.iter().for_each(|mail| self.leave(mail, id));
    }

    /// Ids and UIDs of what is new, by IMAP.
    pub fn learn(&mut self, eye: &mut Imap) {
        let lacking = |mail: &Mail| {
            let places = mail.places.iter().filter(|(_, place)| place.uid.is_none());
            places.map(|(id, _)| id.clone()).collect::<Vec<_>>()
        };
        let mails = self.mails.values().chain(&self.new);
        let mailboxes: BTreeSet<String> = mails.flat_map(lacking).collect();
        for mailbox in mailboxes {
            eye.ok(&format!("EXAMINE \"{}\"", self.path(&mailbox)));
            let next = self.folders[&mailbox].next;
            let fetch = "(UID FLAGS EMAILID BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])";
            let answer = eye.ok(&format!("UID FETCH {next}:* {fetch}"));
            for (uid, row) in answer.untagged.iter().filter_map(message_of) {
                if uid >= next {
                    self.learn_one(&mailbox, uid, &row.email, &message_id(&row.octets));
                }
            }
        }
        let lacks = self.mails.values().find(|mail| !lacking(mail).is_empty());
        assert!(lacks.is_none(), "not found by IMAP: {lacks:?}");
        assert!(self.new.is_empty(), "not found by IMAP: {:?}", self.new);
    }

    fn learn_one(&mut self, mailbox: &str, uid: u32, email: &str, token: &str) {
        let before = self
            .uids
            .insert((mailbox.to_owned(), uid), email.to_owned());
        assert_eq!(before, None, "UID {uid} again");
        let next = self.folders.get_mut(mailbox).map(|folder| &mut folder.next);
        *next.expect("no folder") = uid + 1;
        if !self.mails.contains_key(email) {
            let fits = |mail: &Mail| mail.token == token && mail.places.contains_key(mailbox);
            let at = self.new.iter().position(fits);
            let at = at.unwrap_or_else(|| panic!("{token} in {mailbox}, where nobody put it"));
            let mail = self.new.remove(at);
            self.mails.insert(email.to_owned(), mail);
        }
        let mail = self.mails.get_mut(email).expect("no mail");
        let place = mail.places.get_mut(mailbox);
        let place = place.unwrap_or_else(|| panic!("{token} in {mailbox}, where nobody put it"));
        assert_eq!(place.uid, None, "{token} has another UID in {mailbox}");
        place.uid = Some(uid);
    }

    /// It is what is there.
    pub fn is(&self, look: &Look) {
        let names = self.folders.keys().map(|id| (self.path(id), id.clone()));
        let there = look
            .folders
            .iter()
            .map(|(name, f)| (name.clone(), f.id.clone()));
        assert_eq!(
            names.collect::<BTreeMap<_, _>>(),
            there.collect(),
            "mailboxes"
        );
        let mut messages = 0;
        for (id, mail) in &self.mails {
            for (mailbox, place) in &mail.places {
                messages += 1;
                let (uid, name) = (place.uid.expect("no UID"), self.path(mailbox));
                let Some(message) = look.folders[&name].messages.get(&uid) else {
                    panic!("{} is lost: UID {uid} of {name}", mail.token);
                };
                assert_eq!(message.email, *id, "UID {uid} of {name}");
                assert!(
                    message.octets.ends_with(&mail.sent),
                    "{}: other octets",
                    mail.token
                );
                let flags = message.flags.iter();
                let keywords: BTreeSet<String> = flags.filter_map(|f| keyword_of(f)).collect();
                assert_eq!(keywords, mail.keywords, "{} in {name}", mail.token);
                assert_eq!(
                    message.flags.contains("\\Deleted"),
                    place.deleted,
                    "{} in {name}",
                    mail.token
                );
            }
            if !mail.shown().is_empty() {
                let email = look.emails.get(id);
                let email = email.unwrap_or_else(|| panic!("{} is lost to JMAP", mail.token));
                assert_eq!(string(&email["id"]), *id);
                let mailboxes = mail.shown().into_iter().map(|id| (id, true));
                let mailboxes: BTreeMap<_, _> = mailboxes.collect();
                assert_eq!(email["mailboxIds"], json!(mailboxes), "{}", mail.token);
            }
        }
        let there: usize = look.folders.values().map(|f| f.messages.len()).sum();
        assert_eq!(messages, there, "messages that nobody made");
    }
}

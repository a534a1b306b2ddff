//! What clients see of an account.

use std::collections::{BTreeMap, BTreeSet};

use e2e::{Server, jmap::string};
use serde_json::{Value, json};

/// An account, as far as a restored one is to be the same.
#[derive(Debug, Default, PartialEq)]
pub struct Model {
    /// By JMAP id.
    emails: BTreeMap<String, Value>,
    mailboxes: BTreeMap<String, Value>,
    identities: BTreeMap<String, Value>,
    /// By name of a mailbox: UID, flags and size.
    uids: BTreeMap<String, BTreeMap<u32, (BTreeSet<String>, u64)>>,
}

impl Model {
    pub fn of(server: &Server, name: &str) -> Model {
        let mut model = Model::default();
        let mut jmap = server.jmap(name);
        let ids = jmap.query_all(json!({}));
        let properties = [
            "id",
            "blobId",
            "threadId",
            "mailboxIds",
            "keywords",
            "size",
            "receivedAt",
            "subject",
            "messageId",
            "preview",
        ];
        for email in jmap.get_emails(&ids, &properties) {
            model.emails.insert(string(&email["id"]), email);
        }
        let mailboxes = jmap.call("Mailbox/get", json!({"ids": null}));
        for mailbox in mailboxes["list"].as_array().expect("no mailboxes") {
            model
                .mailboxes
                .insert(string(&mailbox["id"]), mailbox.clone());
        }
        let identities = jmap.call("Identity/get", json!({"ids": null}));
        for identity in identities["list"].as_array().expect("no identities") {
            model
                .identities
                .insert(string(&identity["id"]), identity.clone());
        }
        let mut imap = server.imap(name);
        for mailbox in imap.names() {
            imap.ok(&format!("EXAMINE \"{mailbox}\""));
            let fetched = imap.ok("UID FETCH 1:* (UID FLAGS RFC822.SIZE)");
            let rows = fetched.untagged.iter().filter_map(|line| {
                let size = e2e::imap::number_after(&line.text, "RFC822.SIZE ")?;
                Some((line.uid()?, (line.flags()?, size)))
            });
            model.uids.insert(mailbox, rows.collect());
        }
        model
    }

    /// The hash of each message's octets, by JMAP id.
    pub fn hashes(&self, server: &Server, name: &str) -> BTreeMap<String, blake3::Hash> {
        let mut jmap = server.jmap(name);
        let emails = self.emails.iter();
        emails
            .map(|(id, email)| {
                let octets = jmap.download(&string(&email["blobId"]));
                (id.clone(), blake3::hash(&octets))
            })
            .collect()
    }

    pub fn emails(&self) -> usize {
        self.emails.len()
    }
}

/// UIDVALIDITY of each mailbox.
pub fn validities(server: &Server, name: &str) -> BTreeMap<String, u64> {
    let mut imap = server.imap(name);
    let names = imap.names().into_iter();
    names
        .map(|mailbox| {
            let status = imap.ok(&format!("STATUS \"{mailbox}\" (UIDVALIDITY)"));
            let validity = status.number_after("UIDVALIDITY ");
            (mailbox, validity.expect("no UIDVALIDITY"))
        })
        .collect()
}

/// Flags, mailboxes below others, a Sieve script and an identity, so that there is something of everything.
pub fn make_it_various(server: &Server) {
    let mut jmap = server.jmap("alice");
    let inbox = jmap.mailbox("inbox");
    let made = jmap.call(
        "Mailbox/set",
        json!({"create": {
            "a": {"name": "Projects"},
            "b": {"name": "2026", "parentId": "#a"},
        }}),
    );
    let projects = string(&made["created"]["b"]["id"]);
    let ids = jmap.query_all(json!({}));
    for (at, id) in ids.iter().enumerate().filter(|(at, _)| at % 4 == 0) {
        let mailboxes = match at % 8 {
            0 => json!({&projects: true}),
            _ => json!({&projects: true, &inbox: true}),
        };
        let change = json!({"mailboxIds": mailboxes, "keywords": {"$seen": true, "work": true}});
        let set = jmap.call("Email/set", json!({"update": {id: change}}));
        assert!(set["updated"].get(id).is_some(), "{set}");
    }
    let email = format!("alice@{}", e2e::home::DOMAIN);
    let identity = json!({"name": "Alice at work", "email": email, "textSignature": "A."});
    jmap.call("Identity/set", json!({"create": {"i": identity}}));
    let blob = jmap.upload(b"require \"fileinto\"; keep;\r\n", "application/sieve");
    jmap.call(
        "SieveScript/set",
        json!({"create": {"s": {"name": "mine", "blobId": blob}}, "onSuccessActivateScript": "#s"}),
    );
}

//! A client that was away: it has a copy of all emails, and keeps it current by Email/changes, at another node each time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Value, json};

use super::{Context, Kind, Start};
use crate::{
    Dice,
    chaos::{client::Failure, model::Outcome, site::Ports},
    jmap::strings,
};

/// Changes that it asks for at a time.
const CHANGES: usize = 100;

#[derive(Debug)]
pub struct Follower {
    context: Arc<Context>,
    pub account: usize,
    dice: Dice,
    state: String,
    /// By id: mailboxes and keywords. Those that nothing has happened to since it began are not among them.
    pub emails: BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)>,
    pub destroyed: BTreeSet<String>,
}

impl Follower {
    pub fn new((context, _, dice): Start, account: usize) -> Follower {
        Follower {
            state: context.accounts[account].state.clone(),
            context,
            account,
            dice,
            emails: BTreeMap::new(),
            destroyed: BTreeSet::new(),
        }
    }

    pub fn step(&mut self) -> &mut Dice {
        let context = self.context.clone();
        let node = self.dice.below(context.ports.len());
        let outcome = match self.follow(&context.ports[node]) {
            Ok(_) => Outcome::Done,
            Err(Failure::Lost) => Outcome::Unknown,
            Err(failure) => {
                if let Failure::Method(name) = &failure
                    && !name.starts_with("server")
                {
                    context.model.violated(format!("Email/changes: {name}"));
                }
                Outcome::Refused
            }
        };
        context.note(Kind::Changes, &outcome);
        &mut self.dice
    }

    /// Takes some changes over; whether there may be more.
    pub fn follow(&mut self, ports: &Ports) -> Result<bool, Failure> {
        let jmap = &self.context.accounts[self.account].jmap;
        let asked = json!({"sinceState": self.state, "maxChanges": CHANGES});
        let changes = jmap.call(ports, "Email/changes", asked)?;
        let mut ids = strings(&changes["created"]);
        ids.extend(strings(&changes["updated"]));
        if !ids.is_empty() {
            let properties = ["mailboxIds", "keywords"];
            let asked = json!({"ids": ids, "properties": properties});
            let got = jmap.call(ports, "Email/get", asked)?;
            for email in got["list"].as_array().into_iter().flatten() {
                let id = email["id"].as_str().unwrap_or_default().to_owned();
                let of = (names(&email["mailboxIds"]), names(&email["keywords"]));
                self.emails.insert(id, of);
            }
        }
        for id in strings(&changes["destroyed"]) {
            self.emails.remove(&id);
            self.destroyed.insert(id);
        }
        self.state = changes["newState"].as_str().unwrap_or_default().to_owned();
        Ok(changes["hasMoreChanges"] == json!(true))
    }
}

/// The names that an object of JSON has.
pub fn names(object: &Value) -> BTreeSet<String> {
    let of = object.as_object().into_iter().flat_map(|of| of.keys());
    of.cloned().collect()
}

//! A client of JMAP: imports, changes and destroys emails of its own, marks those that all share, and looks whether another node sees it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Context, FILED, INBOX, Kind, Marks, Own, Start, message, text, word_of};
use crate::{
    Dice,
    chaos::{
        client::{Failure, outcome_of},
        model::{Outcome, Place},
    },
};

/// Emails that it has at a time.
const OWN_MAX: usize = 40;

#[derive(Debug)]
pub struct JmapClient {
    context: Arc<Context>,
    account: usize,
    who: u64,
    dice: Dice,
    count: u64,
    own: Vec<Own>,
    marks: Marks,
}

impl JmapClient {
    pub fn new((context, who, dice): Start, account: usize) -> JmapClient {
        JmapClient {
            context,
            account,
            who,
            dice,
            count: 0,
            own: Vec::new(),
            marks: Marks::new(who),
        }
    }

    pub fn step(&mut self) -> &mut Dice {
        match self.dice.below(10) {
            _ if self.own.is_empty() => self.import(),
            0..=2 if self.own.len() < OWN_MAX => self.import(),
            0 | 3 => self.destroy(),
            1 | 4 | 5 | 6 => self.change(),
            _ => self.mark(),
        }
        &mut self.dice
    }

    fn call(&mut self, node: usize, name: &str, arguments: Value) -> Result<Value, Failure> {
        let of = &self.context.accounts[self.account];
        let result = of.jmap.call(&self.context.ports[node], name, arguments);
        self.look_at(name, &result);
        result
    }

    /// An error that isn't one of the weather's is a violation.
    fn look_at<T>(&self, what: &str, result: &Result<T, Failure>) {
        let is_for_now = match result {
            Ok(_) | Err(Failure::Lost) => true,
            Err(Failure::Status(status)) => *status >= 500 || *status == 429,
            Err(Failure::Method(name)) => {
                ["serverFail", "serverUnavailable", "serverPartialFail"].contains(&name.as_str())
            }
        };
        if let (Err(failure), false) = (result, is_for_now) {
            self.violated(&format!("{what}: {failure:?}"));
        }
    }

    fn import(&mut self) {
        self.count += 1;
        let id = format!("j{}.{}@example.net", self.who, self.count);
        let mailbox = *self.dice.one_of(&[INBOX, FILED]);
        let octets = message(&id, "erin@example.net", &text(&mut self.dice));
        self.context.model.sends(&id, &octets);
        let node = self.dice.below(self.context.ports.len());
        let of = &self.context.accounts[self.account];
        let uploaded = of.jmap.upload(&self.context.ports[node], &octets);
        self.look_at("upload", &uploaded);
        let Ok(blob) = uploaded else {
            return std::thread::sleep(super::REST);
        };
        let place = Place::new(mailbox);
        let key = (self.account, id.clone());
        self.context.model.begins(&key, None, Some(&place));
        let email = json!({"blobId": blob, "mailboxIds": {&of.mailboxes[mailbox]: true}});
        // Often another node than the one that has the upload.
        let node = self.dice.below(self.context.ports.len());
        let answer = self.call(node, "Email/import", json!({"emails": {"m": email}}));
        let outcome = outcome_of(&answer, "created", "notCreated", "m");
        if let Some(error) = &outcome.1 {
            self.violated(&format!("Email/import of {id}: {error}"));
        }
        self.context.note(Kind::Import, &outcome.0);
        let (Outcome::Done, Ok(answer)) = (outcome.0, answer) else {
            return;
        };
        self.context.model.is(&key, Some(&place));
        let own = Own {
            email: answer["created"]["m"]["id"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            id,
            place,
            uid: 0,
        };
        if self.dice.below(3) == 0 {
            self.find(node, &own);
        }
        self.own.push(own);
    }

    /// A message is found as soon as it was acknowledged.
    fn find(&mut self, node: usize, own: &Own) {
        let filter = json!({"filter": {"text": word_of(&own.id)}});
        let answer = self.call(node, "Email/query", filter);
        let outcome = match &answer {
            Ok(_) => Outcome::Done,
            Err(_) => Outcome::Unknown,
        };
        self.context.note(Kind::Query, &outcome);
        if let Ok(answer) = answer
            && answer["ids"] != json!([own.email])
        {
            self.violated(&format!("{} is not found: {}", own.id, answer["ids"]));
        }
    }

    fn change(&mut self) {
        let at = self.dice.below(self.own.len());
        let mut own = self.own.swap_remove(at);
        let of = &self.context.accounts[self.account];
        let (after, patch) = match self.dice.below(2) {
            0 => {
                let is_set = !own.place.keywords.contains("$flagged");
                let value = if is_set { json!(true) } else { Value::Null };
                let after = own.place.clone().with("$flagged", is_set);
                (after, json!({"keywords/$flagged": value}))
            }
            _ => {
                let to = if own.place.mailbox == INBOX {
                    FILED
                } else {
                    INBOX
                };
                let after = Place {
                    mailbox: to.to_owned(),
                    ..own.place.clone()
                };
                (after, json!({"mailboxIds": {&of.mailboxes[to]: true}}))
            }
        };
        let key = (self.account, own.id.clone());
        self.context
            .model
            .begins(&key, Some(&own.place), Some(&after));
        let arguments = json!({"update": {&own.email: patch}});
        let Some((node, answer)) =
            self.set(Kind::Set, arguments, "updated", "notUpdated", &own.email)
        else {
            return;
        };
        self.context.model.is(&key, Some(&after));
        own.place = after;
        if self.dice.below(4) == 0 {
            self.look_elsewhere(node, &answer["newState"], &own);
        }
        self.own.push(own);
    }

    fn destroy(&mut self) {
        let at = self.dice.below(self.own.len());
        let own = self.own.swap_remove(at);
        let key = (self.account, own.id.clone());
        self.context.model.begins(&key, Some(&own.place), None);
        let arguments = json!({"destroy": [&own.email]});
        let done = self.set(
            Kind::Destroy,
            arguments,
            "destroyed",
            "notDestroyed",
            &own.email,
        );
        if done.is_some() {
            self.context.model.is(&key, None);
        }
    }

    fn mark(&mut self) {
        let Some((at, is_set)) = self.marks.next(&mut self.dice) else {
            return;
        };
        let shared = self.context.accounts[self.account].shared[at].clone();
        let mark = (self.account, shared.id, self.marks.keyword.clone());
        self.context.model.mark_begins(&mark);
        let value = if is_set { json!(true) } else { Value::Null };
        let patch = json!({format!("keywords/{}", mark.2): value});
        let arguments = json!({"update": {&shared.email: patch}});
        self.marks.set[at] = None;
        let done = self.set(Kind::Set, arguments, "updated", "notUpdated", &shared.email);
        if done.is_some() {
            self.context.model.mark_is(&mark, is_set);
            self.marks.set[at] = Some(is_set);
        }
    }

    /// Email/set of one email at some node: which one, and its answer, if it was done.
    fn set(
        &mut self,
        kind: Kind,
        arguments: Value,
        done: &str,
        not: &str,
        email: &str,
    ) -> Option<(usize, Value)> {
        let node = self.dice.below(self.context.ports.len());
        let answer = self.call(node, "Email/set", arguments);
        let (outcome, error) = outcome_of(&answer, done, not, email);
        if let Some(error) = error {
            self.violated(&format!("Email/set of {email}: {error}"));
        }
        self.context.note(kind, &outcome);
        match (outcome, answer) {
            (Outcome::Done, Ok(answer)) => Some((node, answer)),
            _ => None,
        }
    }

    /// Whoever comes with a state to another node sees there what was true in it.
    fn look_elsewhere(&mut self, node: usize, state: &Value, own: &Own) {
        let count = self.context.ports.len();
        let other = (node + 1 + self.dice.below(count.max(2) - 1)) % count;
        let changes = self.call(other, "Email/changes", json!({"sinceState": state}));
        if changes.is_err() {
            return;
        }
        let properties = ["mailboxIds", "keywords"];
        let arguments = json!({"ids": [&own.email], "properties": properties});
        let Ok(answer) = self.call(other, "Email/get", arguments) else {
            return;
        };
        self.context.note(Kind::LookElsewhere, &Outcome::Done);
        let email = &answer["list"][0];
        let mailbox = &self.context.accounts[self.account].mailboxes[own.place.mailbox.as_str()];
        let keywords: Vec<&String> = email["keywords"]
            .as_object()
            .into_iter()
            .flat_map(|of| of.keys())
            .collect();
        let is_so = email["mailboxIds"] == json!({mailbox: true})
            && keywords.into_iter().eq(&own.place.keywords);
        if !is_so {
            let place = &own.place;
            self.violated(&format!(
                "{} is {place:?}, and another node has {email}",
                own.id
            ));
        }
    }

    fn violated(&self, what: &str) {
        let name = self.context.accounts[self.account].name;
        self.context.model.violated(format!("{name}: {what}"));
    }
}

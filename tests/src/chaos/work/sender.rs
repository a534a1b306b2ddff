//! Sends by SMTP and LMTP, and submits for accounts here, to one account or several.

use std::{io, sync::Arc};

use serde_json::{Value, json};

use super::{Context, FILED, INBOX, Kind, Start, message, text};
use crate::{
    Dice, Smtp,
    chaos::{
        client::{address, outcome_of},
        model::{Outcome, Place},
    },
    smtp::{Reply, stuff},
};

/// Who sends from elsewhere.
const FROM: &str = "carol@example.net";

#[derive(Debug)]
pub struct Sender {
    context: Arc<Context>,
    who: u64,
    dice: Dice,
    count: u64,
}

impl Sender {
    pub fn new((context, who, dice): Start) -> Sender {
        Sender {
            context,
            who,
            dice,
            count: 0,
        }
    }

    pub fn step(&mut self) -> &mut Dice {
        self.count += 1;
        let id = format!("s{}.{}@example.net", self.who, self.count);
        let accounts = self.context.accounts.len();
        let first = self.dice.below(accounts);
        let count = 1 + self.dice.below(3);
        let to: Vec<usize> = (0..count).map(|at| (first + at) % accounts).collect();
        match self.dice.below(3) {
            0 => self.submit(id, (first + accounts - 1) % accounts, &to),
            1 => self.send(Kind::Smtp, id, &to),
            _ => self.send(Kind::Lmtp, id, &to),
        }
        &mut self.dice
    }

    /// An account sends to others here, through the queue.
    fn submit(&mut self, id: String, from: usize, to: &[usize]) {
        let context = self.context.clone();
        let account = &context.accounts[from];
        let octets = message(&id, &address(account.name), &text(&mut self.dice));
        context.model.sends(&id, &octets);
        let Ok(blob) = account.jmap.upload(context.a_node(&mut self.dice), &octets) else {
            return std::thread::sleep(super::REST);
        };
        let kept = Place::new(FILED);
        let key = (from, id.clone());
        context.model.begins(&key, None, Some(&kept));
        let email = json!({"blobId": blob, "mailboxIds": {&account.mailboxes[FILED]: true}});
        let arguments = json!({"emails": {"m": email}});
        let ports = context.a_node(&mut self.dice);
        let answer = account.jmap.call(ports, "Email/import", arguments);
        let outcome = outcome_of(&answer, "created", "notCreated", "m").0;
        context.note(Kind::Import, &outcome);
        let (Outcome::Done, Ok(answer)) = (outcome, answer) else {
            return;
        };
        context.model.is(&key, Some(&kept));
        let place = Place::new(INBOX);
        for account in to {
            let key = (*account, id.clone());
            context.model.begins(&key, None, Some(&place));
        }
        let addresses = to.iter().map(|to| address(context.accounts[*to].name));
        let rcpt_to: Vec<Value> = addresses.map(|to| json!({"email": to})).collect();
        let envelope = json!({"mailFrom": {"email": address(account.name)}, "rcptTo": rcpt_to});
        let create = json!({"s": {
            "identityId": account.identity,
            "emailId": answer["created"]["m"]["id"],
            "envelope": envelope,
        }});
        let ports = context.a_node(&mut self.dice);
        let arguments = json!({"create": create});
        let answer = account.jmap.call(ports, "EmailSubmission/set", arguments);
        let (outcome, error) = outcome_of(&answer, "created", "notCreated", "s");
        if let Some(error) = error {
            context
                .model
                .violated(format!("EmailSubmission/set: {error}"));
        }
        context.note(Kind::Submission, &outcome);
        if outcome == Outcome::Done {
            to.iter()
                .for_each(|to| context.model.is(&(*to, id.clone()), Some(&place)));
        }
    }

    /// As another server does.
    fn send(&mut self, kind: Kind, id: String, to: &[usize]) {
        let context = self.context.clone();
        let octets = message(&id, FROM, &text(&mut self.dice));
        context.model.sends(&id, &octets);
        let place = Place::new(INBOX);
        for account in to {
            let key = (*account, id.clone());
            context.model.begins(&key, None, Some(&place));
        }
        // Without an answer it stays as it is known so far.
        let mut outcomes = vec![Outcome::Unknown; to.len()];
        let _ = self.transact(&context, kind, (to, &octets), &mut outcomes);
        for (account, outcome) in to.iter().zip(outcomes) {
            if outcome == Outcome::Done {
                context.model.is(&(*account, id.clone()), Some(&place));
            }
            context.note(kind, &outcome);
        }
    }

    fn transact(
        &mut self,
        context: &Context,
        kind: Kind,
        (to, octets): (&[usize], &[u8]),
        outcomes: &mut [Outcome],
    ) -> io::Result<()> {
        let ports = context.a_node(&mut self.dice);
        let (port, is_lmtp) = match kind {
            Kind::Lmtp => (ports.lmtp, true),
            _ => (ports.smtp, false),
        };
        let mut smtp = Smtp::connect(port, is_lmtp)?;
        if !is_taken(context, &smtp.command(&format!("MAIL FROM:<{FROM}>"))?) {
            outcomes.fill(Outcome::Refused);
            return Ok(());
        }
        let mut accepted = Vec::new();
        for (at, account) in to.iter().enumerate() {
            let rcpt = format!("RCPT TO:<{}>", address(context.accounts[*account].name));
            match is_taken(context, &smtp.command(&rcpt)?) {
                true => accepted.push(at),
                false => outcomes[at] = Outcome::Refused,
            }
        }
        if accepted.is_empty() {
            return Ok(());
        }
        if !is_taken(context, &smtp.command("DATA")?) {
            outcomes.fill(Outcome::Refused);
            return Ok(());
        }
        let mut stuffed = Vec::new();
        stuff(octets, &mut stuffed);
        smtp.connection().write(&stuffed)?;
        let mut reply = None;
        for at in accepted {
            // RFC 2033 §4.2: LMTP answers for each recipient.
            if is_lmtp || reply.is_none() {
                reply = Some(smtp.reply()?);
            }
            let is_done = reply.as_ref().is_some_and(|reply| is_taken(context, reply));
            outcomes[at] = match is_done {
                true => Outcome::Done,
                false => Outcome::Refused,
            };
        }
        Ok(())
    }
}

/// Whether the server goes along. What it says for good is a violation: the mail would go back to its sender.
fn is_taken(context: &Context, reply: &Reply) -> bool {
    if reply.code >= 500 {
        context
            .model
            .violated(format!("refused for good: {} {}", reply.code, reply.text));
    }
    reply.is_ok()
}

//! A client of IMAP: appends, flags, moves and expunges messages of its own, and marks those that all share.

use std::sync::Arc;

use super::{Context, FILED, INBOX, Kind, Marks, Own, Start, message, text};
use crate::{
    Dice, Imap, PASSWORD,
    chaos::{
        client::address,
        model::{Outcome, Place},
    },
    imap::{Answer, number_after},
};

/// Messages that it has at a time.
const OWN_MAX: usize = 40;

#[derive(Debug)]
pub struct ImapClient {
    context: Arc<Context>,
    account: usize,
    who: u64,
    dice: Dice,
    count: u64,
    session: Option<Session>,
    own: Vec<Own>,
    marks: Marks,
}

#[derive(Debug)]
struct Session {
    imap: Imap,
    selected: String,
}

impl ImapClient {
    pub fn new((context, who, dice): Start, account: usize) -> ImapClient {
        ImapClient {
            context,
            account,
            who,
            dice,
            count: 0,
            session: None,
            own: Vec::new(),
            marks: Marks::new(who),
        }
    }

    pub fn step(&mut self) -> &mut Dice {
        if self.dice.below(30) == 0 {
            self.session = None;
        }
        match self.dice.below(10) {
            _ if self.own.is_empty() => self.append(),
            0..=2 if self.own.len() < OWN_MAX => self.append(),
            0 | 3 => self.expunge(),
            1 | 4 | 5 => self.flag(),
            2 | 6 => self.move_one(),
            _ => self.mark(),
        }
        &mut self.dice
    }

    fn append(&mut self) {
        self.count += 1;
        let id = format!("i{}.{}@example.net", self.who, self.count);
        let mailbox = *self.dice.one_of(&[INBOX, FILED]);
        let place = Place::new(mailbox).with("$seen", true);
        let octets = message(&id, "dave@example.net", &text(&mut self.dice));
        self.context.model.sends(&id, &octets);
        let key = (self.account, id.clone());
        if !self.select(INBOX) {
            return;
        }
        self.context.model.begins(&key, None, Some(&place));
        let head = format!("APPEND {mailbox} (\\Seen) {{{}+}}\r\n", octets.len());
        let (outcome, answer) = self.say(&[head.as_bytes(), &octets].concat());
        self.context.note(Kind::Append, &outcome);
        let Some(answer) = answer else {
            return;
        };
        self.context.model.is(&key, Some(&place));
        match third_number(&answer, "APPENDUID ", 1) {
            Some(uid) => self.own.push(Own {
                id,
                place,
                uid,
                email: String::new(),
            }),
            None => self.violated(&format!("APPEND without a UID: {}", answer.end)),
        }
    }

    fn flag(&mut self) {
        let at = self.dice.below(self.own.len());
        let mut own = self.own.swap_remove(at);
        if !self.select(&own.place.mailbox) {
            return self.own.push(own);
        }
        let is_set = !own.place.keywords.contains("$flagged");
        let after = own.place.clone().with("$flagged", is_set);
        if self.store(&own, &after, "\\Flagged", is_set) {
            own.place = after;
            self.own.push(own);
        }
    }

    /// Whether it is acknowledged. What isn't is left alone from then on.
    fn store(&mut self, own: &Own, after: &Place, flag: &str, is_set: bool) -> bool {
        let key = (self.account, own.id.clone());
        self.context
            .model
            .begins(&key, Some(&own.place), Some(after));
        let sign = if is_set { '+' } else { '-' };
        let command = format!("UID STORE {} {sign}FLAGS ({flag})", own.uid);
        let (outcome, answer) = self.say(command.as_bytes());
        self.context.note(Kind::Store, &outcome);
        let Some(answer) = answer else {
            return false;
        };
        if !has_flag(&answer, own.uid, flag, is_set) {
            self.violated(&format!("{command} of {}: {answer:?}", own.id));
            return false;
        }
        self.context.model.is(&key, Some(after));
        true
    }

    fn move_one(&mut self) {
        let at = self.dice.below(self.own.len());
        let mut own = self.own.swap_remove(at);
        if !self.select(&own.place.mailbox) {
            return self.own.push(own);
        }
        let to = if own.place.mailbox == INBOX {
            FILED
        } else {
            INBOX
        };
        let after = Place {
            mailbox: to.to_owned(),
            ..own.place.clone()
        };
        let key = (self.account, own.id.clone());
        self.context
            .model
            .begins(&key, Some(&own.place), Some(&after));
        let command = format!("UID MOVE {} {to}", own.uid);
        let (outcome, answer) = self.say(command.as_bytes());
        self.context.note(Kind::Move, &outcome);
        let Some(answer) = answer else {
            return;
        };
        self.context.model.is(&key, Some(&after));
        match third_number(&answer, "COPYUID ", 2) {
            Some(uid) => {
                (own.uid, own.place) = (uid, after);
                self.own.push(own);
            }
            None => self.violated(&format!("{command} of {}: {answer:?}", own.id)),
        }
    }

    fn expunge(&mut self) {
        let at = self.dice.below(self.own.len());
        let own = self.own.swap_remove(at);
        if !self.select(&own.place.mailbox) {
            return self.own.push(own);
        }
        let key = (self.account, own.id.clone());
        // Marked as deleted, JMAP doesn't have it any more (RFC 8621 §4.1.1).
        self.context.model.begins(&key, Some(&own.place), None);
        let command = format!("UID STORE {} +FLAGS (\\Deleted)", own.uid);
        let (outcome, answer) = self.say(command.as_bytes());
        self.context.note(Kind::Store, &outcome);
        if answer.is_none() {
            return;
        }
        let command = format!("UID EXPUNGE {}", own.uid);
        let (outcome, answer) = self.say(command.as_bytes());
        self.context.note(Kind::Expunge, &outcome);
        if answer.is_some() {
            self.context.model.is(&key, None);
        }
    }

    fn mark(&mut self) {
        let Some((at, is_set)) = self.marks.next(&mut self.dice) else {
            return;
        };
        if !self.select(INBOX) {
            return;
        }
        let shared = self.context.accounts[self.account].shared[at].clone();
        let mark = (self.account, shared.id, self.marks.keyword.clone());
        self.context.model.mark_begins(&mark);
        let sign = if is_set { '+' } else { '-' };
        let command = format!("UID STORE {} {sign}FLAGS ({})", shared.uid, mark.2);
        let (outcome, answer) = self.say(command.as_bytes());
        self.context.note(Kind::Store, &outcome);
        self.marks.set[at] = None;
        let Some(answer) = answer else {
            return;
        };
        match has_flag(&answer, shared.uid, &mark.2, is_set) {
            true => {
                self.context.model.mark_is(&mark, is_set);
                self.marks.set[at] = Some(is_set);
            }
            false => self.violated(&format!("{command} of {}: {answer:?}", mark.1)),
        }
    }

    /// Whether a mailbox is selected; over a new connection where there is none.
    fn select(&mut self, mailbox: &str) -> bool {
        if self.session.is_none() {
            let port = self.context.a_node(&mut self.dice).imap;
            let name = address(self.context.accounts[self.account].name);
            match Imap::try_login(port, &name, PASSWORD) {
                Ok(Ok(imap)) => {
                    let selected = String::new();
                    self.session = Some(Session { imap, selected });
                }
                Ok(Err(refused)) if is_for_now(&refused) => {}
                Ok(Err(refused)) => self.violated(&format!("LOGIN: {refused}")),
                Err(_) => {}
            }
        }
        match &self.session {
            Some(session) if session.selected == mailbox => return true,
            Some(_) => {}
            None => {
                std::thread::sleep(super::REST);
                return false;
            }
        }
        let (_, answer) = self.say(format!("SELECT {mailbox}").as_bytes());
        match (&mut self.session, answer) {
            (Some(session), Some(_)) => {
                session.selected = mailbox.to_owned();
                true
            }
            _ => {
                self.session = None;
                false
            }
        }
    }

    /// The answer, if it is a good one. Without one the connection is given up.
    fn say(&mut self, command: &[u8]) -> (Outcome, Option<Answer>) {
        let Some(session) = &mut self.session else {
            return (Outcome::Unknown, None);
        };
        match session.imap.try_say(command) {
            Ok(answer) if answer.is_ok() => (Outcome::Done, Some(answer)),
            Ok(answer) => {
                if !is_for_now(&answer.end) {
                    let start = command.split(|octet| *octet == b'\r').next();
                    let start = String::from_utf8_lossy(start.unwrap_or_default());
                    self.violated(&format!("{start}: {}", answer.end));
                }
                (Outcome::Refused, None)
            }
            Err(_) => {
                self.session = None;
                (Outcome::Unknown, None)
            }
        }
    }

    fn violated(&self, what: &str) {
        let name = self.context.accounts[self.account].name;
        self.context.model.violated(format!("{name}: {what}"));
    }
}

/// Whether a client is to try again (RFC 5530 §3).
fn is_for_now(end: &str) -> bool {
    let codes = ["[UNAVAILABLE]", "[INUSE]", "[SERVERBUG]"];
    end.starts_with("NO ") && codes.iter().any(|code| end.contains(code))
}

/// Whether a FETCH response has a message with a flag, or without it.
fn has_flag(answer: &Answer, uid: u32, flag: &str, is_set: bool) -> bool {
    let mut of = answer
        .untagged
        .iter()
        .filter(|line| line.uid() == Some(uid));
    of.any(|line| {
        line.flags()
            .is_some_and(|flags| flags.contains(flag) == is_set)
    })
}

/// Of `WORD a b c`: the number after so many others.
fn third_number(answer: &Answer, word: &str, after: usize) -> Option<u32> {
    let lines = answer.untagged.iter().map(|line| line.text.as_str());
    let line = lines
        .chain([answer.end.as_str()])
        .find(|line| line.contains(word))?;
    let (_, rest) = line.split_once(word)?;
    let number = rest.split(' ').nth(after)?;
    number_after(&format!("#{number}"), "#").map(|number| number as u32)
}

//! What is done: random calls, some at the same time, and what the model makes of their answers.
//!
//! Holds: calls at the same time are about different objects, so that each has one answer to be held to.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use jmap_core::{
    Caller, Core,
    inproc::{
        deliver::Inbound,
        imap_view::{FlagChange, MailboxKey, StoreFlags, ViewError},
    },
};
use jmap_types::{
    AccountId, Id, ObjectKind,
    email::Import,
    mail::{Email as EmailObject, Mailbox},
    method::{Changes, Set},
};
use serde_json::json;

use crate::{
    laws,
    model::{Email, Outcome},
    world::{ADDRESS, OTHER_ADDRESS, World, call, outcome, text},
};

const AT_ONCE_MAX: u64 = 4;
const KEYWORDS: &[&str] = &["$seen", "$flagged", "$answered", "work", "later"];

/// One thing that is done with emails.
#[derive(Clone, Debug)]
enum Step {
    Deliver {
        message_id: String,
        message: Vec<u8>,
        to_both: bool,
    },
    Import {
        message_id: String,
        message: Vec<u8>,
        email: Email,
    },
    Change {
        message_id: String,
        id: String,
        from: Email,
        to: Option<Email>,
    },
    Imap {
        message_id: String,
        id: String,
        call: ImapCall,
        to: Option<Email>,
    },
}

/// What only IMAP can do, in a mailbox.
#[derive(Clone, Debug)]
enum ImapCall {
    SetDeleted(String, bool),
    Expunge(String),
    Copy(String, String),
    Move(String, String),
}

/// Some calls, and a look at everything when it isn't clear what they did, or now and then.
pub async fn round(world: &mut World) {
    world.advance(1);
    let is_sure = match world.dice.below(6) {
        0 => mailbox_step(world).await,
        _ => email_steps(world).await,
    };
    if !is_sure || world.engine.is_crashed() || world.dice.happens(200) {
        laws::observe(world).await;
    }
}

/// Returns whether all answers came.
async fn email_steps(world: &mut World) -> bool {
    let mut steps = Vec::new();
    let mut emails = world.model.known_emails();
    for _ in 0..=world.dice.below(AT_ONCE_MAX) {
        steps.push(match world.dice.below(13) {
            0..4 => new_delivery(world),
            4 => new_import(world),
            _ if emails.is_empty() => new_delivery(world),
            choice => {
                let (message_id, email) =
                    emails.swap_remove(world.dice.below(emails.len() as u64) as usize);
                // JMAP doesn't see what has `\Deleted` everywhere.
                match choice < 10 && !email.mailboxes.is_empty() {
                    true => change(world, message_id, email),
                    false => imap_change(world, message_id, email),
                }
            }
        });
    }
    let (core, who, account) = (world.core.clone(), world.who.clone(), world.account);
    let recipients = [world.recipient(ADDRESS), world.recipient(OTHER_ADDRESS)];
    let calls = steps
        .iter()
        .map(|step| run(&core, &who, account, &recipients, step));
    let outcomes = join_all(calls).await;
    let mut is_sure = true;
    for (step, outcome) in steps.into_iter().zip(outcomes) {
        is_sure &= outcome != Outcome::Unknown;
        note(world, step, outcome);
    }
    is_sure
}

fn new_message(world: &mut World) -> (String, Vec<u8>) {
    let n = world.number();
    let message_id = format!("{n}@simulation.example");
    // Some answer earlier ones, so that there are threads.
    let earlier = world.dice.below(n);
    let reply = match world.dice.happens(400) && earlier > 0 {
        true => format!("In-Reply-To: <{earlier}@simulation.example>\r\nSubject: Re: thread\r\n"),
        false => "Subject: thread\r\n".to_owned(),
    };
    let body = "a line of it\r\n".repeat(world.dice.below(40) as usize);
    let message = format!(
        "From: carol@example.net\r\nTo: {ADDRESS}\r\nMessage-ID: <{message_id}>\r\n{reply}\r\n{body}the end of {n}\r\n"
    );
    (message_id, message.into_bytes())
}

fn new_delivery(world: &mut World) -> Step {
    let (message_id, message) = new_message(world);
    Step::Deliver {
        message_id,
        message,
        to_both: world.dice.happens(300),
    }
}

fn new_import(world: &mut World) -> Step {
    let (message_id, message) = new_message(world);
    Step::Import {
        message_id,
        message,
        email: random_email(world),
    }
}

/// In one or two mailboxes, with some keywords.
fn random_email(world: &mut World) -> Email {
    let mailboxes = world.model.known_mailboxes();
    let count = 1 + world.dice.below(2);
    let pick = |world: &mut World| {
        mailboxes[world.dice.below(mailboxes.len() as u64) as usize]
            .0
            .clone()
    };
    let in_mailboxes = (0..count).map(|_| pick(world)).collect();
    let keywords = KEYWORDS
        .iter()
        .filter(|_| world.dice.happens(300))
        .map(|keyword| (*keyword).to_owned())
        .collect();
    Email {
        mailboxes: in_mailboxes,
        deleted: [].into(),
        keywords,
    }
}

fn change(world: &mut World, message_id: String, from: Email) -> Step {
    let id = laws::id_of(world, &message_id);
    let random = random_email(world);
    let to = match world.dice.below(4) {
        0 => None,
        1 => Some(random),
        2 => Some(Email {
            keywords: random.keywords,
            ..from.clone()
        }),
        _ => Some(Email {
            mailboxes: random.mailboxes,
            ..from.clone()
        }),
    };
    let to = to.map(|mut to| {
        // What JMAP names is taken back; else it stays as it is.
        to.deleted = from.deleted.difference(&to.mailboxes).cloned().collect();
        to
    });
    match id {
        Some(id) => Step::Change {
            message_id,
            id,
            from,
            to,
        },
        // Its id was not seen yet.
        None => new_delivery(world),
    }
}

fn imap_change(world: &mut World, message_id: String, from: Email) -> Step {
    let Some(id) = laws::id_of(world, &message_id) else {
        return new_delivery(world);
    };
    let pick = |world: &mut World, set: &BTreeSet<String>| {
        let at = world.dice.below(set.len() as u64) as usize;
        set.iter().nth(at).cloned().expect("an empty set")
    };
    let all: BTreeSet<String> = from.mailboxes.union(&from.deleted).cloned().collect();
    let mut to = from.clone();
    let mailbox = pick(world, &all);
    let random = random_email(world).mailboxes;
    let target = pick(world, &random);
    let call = match world.dice.below(6) {
        0 if !all.contains(&target) => {
            match to.deleted.contains(&mailbox) {
                true => to.deleted.insert(target.clone()),
                false => to.mailboxes.insert(target.clone()),
            };
            ImapCall::Copy(mailbox, target)
        }
        1 if !all.contains(&target) || target == mailbox => {
            for set in [&mut to.deleted, &mut to.mailboxes] {
                if set.remove(&mailbox) {
                    set.insert(target.clone());
                }
            }
            ImapCall::Move(mailbox, target)
        }
        2 | 3 => {
            to.deleted.remove(&mailbox);
            ImapCall::Expunge(mailbox)
        }
        choice => {
            let is_deleted = choice != 4;
            to.deleted.remove(&mailbox);
            to.mailboxes.remove(&mailbox);
            match is_deleted {
                true => to.deleted.insert(mailbox.clone()),
                false => to.mailboxes.insert(mailbox.clone()),
            };
            ImapCall::SetDeleted(mailbox, is_deleted)
        }
    };
    Step::Imap {
        message_id,
        id,
        call,
        to: to.if_somewhere(),
    }
}

async fn run_imap(
    core: &Core,
    who: &Caller,
    account: AccountId,
    id: &str,
    call: &ImapCall,
) -> Outcome {
    let email = number::<EmailObject>(id);
    let key = |mailbox: &str| MailboxKey {
        account,
        mailbox: number::<Mailbox>(mailbox),
    };
    let result = match call {
        ImapCall::SetDeleted(mailbox, is_deleted) => {
            let store = StoreFlags {
                mailbox: key(mailbox),
                emails: vec![email],
                change: match is_deleted {
                    true => FlagChange::Add,
                    false => FlagChange::Remove,
                },
                keywords: Vec::new(),
                deleted: true,
                unchanged_since: None,
            };
            core.view_store(who, store).await.map(drop)
        }
        ImapCall::Expunge(mailbox) => {
            let expunged = core.view_expunge(who, key(mailbox), &[email]).await;
            expunged.map(drop)
        }
        ImapCall::Copy(from, to) => {
            let copied = core.view_copy(who, key(from), &[email], key(to)).await;
            copied.map(drop)
        }
        ImapCall::Move(from, to) => {
            let moved = core.view_move(who, key(from), &[email], key(to)).await;
            moved.map(drop)
        }
    };
    match result {
        Ok(()) => Outcome::Done,
        Err(ViewError::Unavailable | ViewError::Failed) => Outcome::Unknown,
        Err(error) => Outcome::Refused(error.to_string()),
    }
}

/// The number of an id.
pub fn number<T: ObjectKind>(id: &str) -> u64 {
    Id::<T>::parse(id).expect("no id").number()
}

fn set_of(words: &BTreeSet<String>) -> serde_json::Value {
    words
        .iter()
        .map(|word| (word.clone(), json!(true)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

async fn run(
    core: &Core,
    who: &Caller,
    account: AccountId,
    recipients: &[jmap_core::inproc::deliver::Recipient; 2],
    step: &Step,
) -> Outcome {
    match step {
        Step::Deliver {
            message, to_both, ..
        } => {
            let inbound = Inbound {
                mail_from: Some("carol@example.net".to_owned()),
                recipients: recipients[..if *to_both { 2 } else { 1 }].to_vec(),
                message: message.clone().into(),
                peer: None,
                is_junk: false,
                answers_each: false,
                arrival: Default::default(),
            };
            match core.deliver(inbound).await.first() {
                Some(Ok(())) => Outcome::Done,
                _ => Outcome::Unknown,
            }
        }
        Step::Import { message, email, .. } => {
            let Ok(blob) = core
                .write_blob(who, account, message.clone().into(), "message/rfc822")
                .await
            else {
                return Outcome::Unknown;
            };
            let (mailboxes, keywords) = (set_of(&email.mailboxes), set_of(&email.keywords));
            let blob = blob.to_wire();
            let import =
                json!({"blobId": blob.as_str(), "mailboxIds": mailboxes, "keywords": keywords});
            let response =
                call::<Import>(core, who, account, json!({"emails": {"m": import}})).await;
            outcome(&response, "created")
        }
        Step::Imap { id, call, .. } => run_imap(core, who, account, id, call).await,
        Step::Change { id, to: None, .. } => outcome(
            &call::<Set<EmailObject>>(core, who, account, json!({"destroy": [id]})).await,
            "destroyed",
        ),
        Step::Change {
            id, to: Some(to), ..
        } => {
            let update =
                json!({"mailboxIds": set_of(&to.mailboxes), "keywords": set_of(&to.keywords)});
            let arguments = json!({"update": {id.as_str(): update}});
            outcome(
                &call::<Set<EmailObject>>(core, who, account, arguments).await,
                "updated",
            )
        }
    }
}

fn note(world: &mut World, step: Step, outcome: Outcome) {
    let (message_id, state) = match step {
        Step::Deliver { message_id, .. } => {
            let email = Email {
                mailboxes: [world.inbox.clone()].into(),
                deleted: [].into(),
                keywords: [].into(),
            };
            (message_id, Some(email))
        }
        Step::Import {
            message_id, email, ..
        } => (message_id, Some(email)),
        Step::Imap { message_id, to, .. } => (message_id, to),
        Step::Change {
            message_id,
            to,
            from,
            ..
        } => {
            assert!(
                world.model.emails[&message_id].contains(&Some(from)),
                "the model was changed meanwhile"
            );
            (message_id, to)
        }
    };
    match outcome {
        Outcome::Done => world.model.email_is(&message_id, state),
        Outcome::Unknown => world.model.email_may_be(&message_id, state),
        Outcome::Refused(why) => panic!("{message_id}: refused: {why}"),
    }
}

/// Creates, renames or destroys a mailbox. Returns whether the answer came.
async fn mailbox_step(world: &mut World) -> bool {
    let name = format!("Mailbox {}", world.number());
    let mailboxes = world.model.known_mailboxes();
    let own: Vec<_> = mailboxes
        .into_iter()
        .filter(|(_, name)| name.starts_with("Mailbox "))
        .collect();
    if own.is_empty() || world.dice.happens(500) {
        return create_mailbox(world, name).await;
    }
    let (id, old_name) = own[world.dice.below(own.len() as u64) as usize].clone();
    match world.dice.happens(500) {
        true => rename_mailbox(world, id, old_name, name).await,
        false => destroy_mailbox(world, id, old_name).await,
    }
}

async fn create_mailbox(world: &mut World, name: String) -> bool {
    let arguments = json!({"create": {"m": {"name": name}}});
    let response = call::<Set<Mailbox>>(&world.core, &world.who, world.account, arguments).await;
    match (outcome(&response, "created"), response) {
        (Outcome::Done, Ok(response)) => {
            let id = text(&response["created"]["m"]["id"]);
            world.model.mailboxes.insert(id, [Some(name)].into());
            true
        }
        (Outcome::Refused(why), _) => panic!("{name}: refused: {why}"),
        _ => {
            world.model.unanswered_mailboxes.insert(name);
            false
        }
    }
}

async fn rename_mailbox(world: &mut World, id: String, old_name: String, name: String) -> bool {
    let arguments = json!({"update": {id.as_str(): {"name": name}}});
    let response = call::<Set<Mailbox>>(&world.core, &world.who, world.account, arguments).await;
    let outcome = outcome(&response, "updated");
    let states = match &outcome {
        Outcome::Done => [Some(name)].into(),
        Outcome::Unknown => [Some(name), Some(old_name)].into(),
        Outcome::Refused(why) => panic!("{old_name}: refused: {why}"),
    };
    world.model.mailboxes.insert(id, states);
    outcome == Outcome::Done
}

/// With what is in it: RFC 8621 §2.5, onDestroyRemoveEmails.
async fn destroy_mailbox(world: &mut World, id: String, name: String) -> bool {
    let arguments = json!({"destroy": [id], "onDestroyRemoveEmails": true});
    let response = call::<Set<Mailbox>>(&world.core, &world.who, world.account, arguments).await;
    let outcome = outcome(&response, "destroyed");
    let is_done = match &outcome {
        Outcome::Done => true,
        Outcome::Unknown => false,
        Outcome::Refused(why) => panic!("{name}: refused: {why}"),
    };
    let mut states = BTreeSet::from([None]);
    if !is_done {
        states.insert(Some(name));
    }
    world.model.mailboxes.insert(id.clone(), states);
    for (message_id, mut email) in world.model.known_emails() {
        if email.mailboxes.remove(&id) || email.deleted.remove(&id) {
            let after = email.if_somewhere();
            match is_done {
                true => world.model.email_is(&message_id, after),
                false => world.model.email_may_be(&message_id, after),
            }
        }
    }
    is_done
}

/// For `laws`, which has no other use of the types.
pub type EmailChanges = Changes<EmailObject>;
pub type MailboxChanges = Changes<Mailbox>;

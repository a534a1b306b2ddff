//! A look at everything there is, and what must be true of it.

use std::collections::{BTreeMap, BTreeSet};

use jmap_types::{
    BlobId,
    mail::{Email as EmailObject, Mailbox, Quota, Thread},
    method::{Get, Query},
};
use serde_json::{Value, json};

use crate::{
    model::Email,
    steps::{EmailChanges, MailboxChanges},
    world::{World, text},
};

/// States from before that /changes is asked about.
const HISTORY_MAX: usize = 6;
const CHANGES_AT_ONCE_MAX: u64 = 7;

/// What was there at some time.
#[derive(Clone, Debug)]
pub struct Observed {
    email_state: String,
    mailbox_state: String,
    /// By id.
    emails: BTreeMap<String, Seen>,
    /// Names and counts by id.
    mailboxes: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, PartialEq)]
struct Seen {
    message_id: String,
    email: Email,
    thread: String,
    blob: String,
    size: u64,
}

/// Looks at everything, holds it against the laws and the model, and makes the model sure again.
pub async fn observe(world: &mut World) {
    world.finish_deliveries().await;
    let now = look(world).await;
    check_model(world, &now);
    check_counts(&now);
    check_quota(world, &now).await;
    check_threads(world, &now).await;
    check_contents(world, &now).await;
    for before in world.history.clone() {
        check_changes(world, &before, &now).await;
    }
    world.history.push_back(now);
    if world.history.len() > HISTORY_MAX {
        world.history.pop_front();
    }
}

/// The id of an email, when it was there at the last look.
pub fn id_of(world: &World, message_id: &str) -> Option<String> {
    let last = world.history.back()?;
    last.emails
        .iter()
        .find(|(_, seen)| seen.message_id == message_id)
        .map(|(id, _)| id.clone())
}

fn keys_of(value: &Value) -> BTreeSet<String> {
    value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, _)| key.clone())
        .collect()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

async fn look(world: &mut World) -> Observed {
    let ids = texts(
        &world
            .read::<Query<EmailObject>>(json!({"filter": null}))
            .await["ids"],
    );
    let properties = [
        "id",
        "messageId",
        "mailboxIds",
        "keywords",
        "threadId",
        "blobId",
        "size",
    ];
    let got = world
        .read::<Get<EmailObject>>(json!({"ids": ids, "properties": properties}))
        .await;
    assert_eq!(
        got["notFound"],
        json!([]),
        "Email/query names emails that Email/get doesn't have"
    );
    let mut emails = BTreeMap::new();
    for email in got["list"].as_array().into_iter().flatten() {
        let seen = Seen {
            message_id: text(&email["messageId"][0]),
            email: Email {
                mailboxes: keys_of(&email["mailboxIds"]),
                keywords: keys_of(&email["keywords"]),
            },
            thread: text(&email["threadId"]),
            blob: text(&email["blobId"]),
            size: email["size"].as_u64().expect("no size"),
        };
        emails.insert(text(&email["id"]), seen);
    }
    assert_eq!(
        emails.len(),
        ids.len(),
        "Email/get has all of Email/query, each once"
    );
    let mailboxes = world.read::<Get<Mailbox>>(json!({"ids": null})).await;
    let list = mailboxes["list"].as_array().into_iter().flatten();
    Observed {
        email_state: text(&got["state"]),
        mailbox_state: text(&mailboxes["state"]),
        emails,
        mailboxes: list
            .map(|mailbox| (text(&mailbox["id"]), mailbox.clone()))
            .collect(),
    }
}

/// Each thing is in a state that the model has for it; from now on it is that one.
fn check_model(world: &mut World, now: &Observed) {
    let model = &mut world.model;
    let mut there = BTreeMap::new();
    for (id, seen) in &now.emails {
        let other = there.insert(seen.message_id.clone(), seen.email.clone());
        assert!(
            other.is_none(),
            "{} is there twice, the second time as {id}",
            seen.message_id
        );
    }
    for (message_id, possible) in &mut model.emails {
        let state = there.remove(message_id);
        assert!(
            possible.contains(&state),
            "{message_id} is {state:?}, and can only be {possible:?}"
        );
        *possible = [state].into();
    }
    assert!(there.is_empty(), "emails that nobody has made: {there:?}");
    let mut names: BTreeMap<String, String> = now
        .mailboxes
        .iter()
        .map(|(id, mailbox)| (id.clone(), text(&mailbox["name"])))
        .collect();
    for (id, possible) in &mut model.mailboxes {
        let state = names.remove(id);
        assert!(
            possible.contains(&state),
            "mailbox {id} is {state:?}, and can only be {possible:?}"
        );
        *possible = [state].into();
    }
    for (id, name) in names {
        assert!(
            model.unanswered_mailboxes.remove(&name),
            "a mailbox that nobody has made: {id} {name}"
        );
        model.mailboxes.insert(id, [Some(name)].into());
    }
    model.unanswered_mailboxes.clear();
}

fn check_counts(now: &Observed) {
    for (id, mailbox) in &now.mailboxes {
        let members: Vec<&Seen> = now
            .emails
            .values()
            .filter(|seen| seen.email.mailboxes.contains(id))
            .collect();
        let unread = members.iter().filter(|seen| is_unread(seen)).count();
        let threads: BTreeSet<&str> = members.iter().map(|seen| seen.thread.as_str()).collect();
        let counted = json!([members.len(), unread, threads.len()]);
        let said = json!([
            mailbox["totalEmails"],
            mailbox["unreadEmails"],
            mailbox["totalThreads"]
        ]);
        assert_eq!(
            said, counted,
            "{}: totalEmails, unreadEmails, totalThreads",
            mailbox["name"]
        );
    }
}

fn is_unread(seen: &Seen) -> bool {
    !seen.email.keywords.contains("$seen") && !seen.email.keywords.contains("$draft")
}

async fn check_quota(world: &mut World, now: &Observed) {
    let response = world.read::<Get<Quota>>(json!({"ids": null})).await;
    let used = response["list"][0]["used"].as_u64();
    assert_eq!(
        used,
        Some(now.emails.values().map(|seen| seen.size).sum()),
        "the quota and the sum of sizes"
    );
}

async fn check_threads(world: &mut World, now: &Observed) {
    let mut threads: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (id, seen) in &now.emails {
        threads.entry(&seen.thread).or_default().insert(id);
    }
    let ids: Vec<&str> = threads.keys().copied().collect();
    let response = world.read::<Get<Thread>>(json!({"ids": ids})).await;
    assert_eq!(
        response["notFound"],
        json!([]),
        "threads of emails that are there"
    );
    for thread in response["list"].as_array().into_iter().flatten() {
        let emails = texts(&thread["emailIds"]);
        let emails: BTreeSet<&str> = emails.iter().map(String::as_str).collect();
        assert_eq!(
            Some(&emails),
            threads.get(text(&thread["id"]).as_str()),
            "emailIds of {}",
            thread["id"]
        );
    }
}

/// A few messages are read: they are whole.
async fn check_contents(world: &mut World, now: &Observed) {
    let step = now.emails.len() / 5 + 1;
    for seen in now.emails.values().step_by(step) {
        let blob = BlobId::parse(&seen.blob).expect("a bad blobId");
        let octets = loop {
            world.recover().await;
            match world.core.read_blob(&world.who, world.account, blob).await {
                Ok(octets) => break octets,
                Err(error) => assert!(
                    format!("{error:?}").contains("imulated"),
                    "{}: {error:?}",
                    seen.message_id
                ),
            }
        };
        let number = seen.message_id.split('@').next().unwrap_or_default();
        assert!(
            octets.ends_with(format!("the end of {number}\r\n").as_bytes()),
            "{} is not whole",
            seen.message_id
        );
        assert_eq!(
            octets.len() as u64,
            seen.size,
            "the size of {}",
            seen.message_id
        );
    }
}

/// RFC 8620 §5.2: the old ids and what has changed give the new ids.
async fn check_changes(world: &mut World, before: &Observed, now: &Observed) {
    let (created, updated, destroyed) =
        changes::<EmailChanges>(world, &before.email_state, &now.email_state).await;
    let old: BTreeSet<&String> = before.emails.keys().collect();
    check_ids(
        "Email",
        &old,
        &now.emails.keys().collect(),
        [&created, &updated, &destroyed],
    );
    for (id, seen) in &now.emails {
        let is_changed = before
            .emails
            .get(id)
            .is_some_and(|before| before.email != seen.email);
        assert!(
            !is_changed || updated.contains(id),
            "Email {id} has changed, and Email/changes doesn't say so"
        );
    }
    let (created, updated, destroyed) =
        changes::<MailboxChanges>(world, &before.mailbox_state, &now.mailbox_state).await;
    let old: BTreeSet<&String> = before.mailboxes.keys().collect();
    check_ids(
        "Mailbox",
        &old,
        &now.mailboxes.keys().collect(),
        [&created, &updated, &destroyed],
    );
    for (id, mailbox) in &now.mailboxes {
        let is_silent = before.mailboxes.contains_key(id) && !updated.contains(id);
        if is_silent {
            assert_eq!(
                &before.mailboxes[id], mailbox,
                "Mailbox {id} has changed, and Mailbox/changes doesn't say so"
            );
        }
    }
}

fn check_ids(
    kind: &str,
    old: &BTreeSet<&String>,
    new: &BTreeSet<&String>,
    changes: [&BTreeSet<String>; 3],
) {
    let [created, updated, destroyed] = changes;
    let mut ids: BTreeSet<&String> = old
        .iter()
        .copied()
        .filter(|id| !destroyed.contains(*id))
        .collect();
    ids.extend(created);
    assert_eq!(
        &ids, new,
        "{kind}: the old ids and the changes are not the new ids"
    );
    let again: Vec<&String> = created.iter().filter(|id| old.contains(id)).collect();
    assert!(
        again.is_empty(),
        "{kind}: created, and were there before: {again:?}"
    );
    let stray: Vec<&String> = updated.iter().filter(|id| !new.contains(id)).collect();
    assert!(
        stray.is_empty(),
        "{kind}: updated, and aren't there: {stray:?}"
    );
}

/// All changes, by small steps: created, updated, destroyed.
async fn changes<C: jmap_core::Handle>(
    world: &mut World,
    since: &str,
    until: &str,
) -> (BTreeSet<String>, BTreeSet<String>, BTreeSet<String>) {
    let (mut created, mut updated, mut destroyed) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut state = since.to_owned();
    let at_once = 1 + world.dice.below(CHANGES_AT_ONCE_MAX);
    loop {
        let response = world
            .read::<C>(json!({"sinceState": state, "maxChanges": at_once}))
            .await;
        let told = ["created", "updated", "destroyed"].map(|list| texts(&response[list]).len());
        assert!(
            told.iter().sum::<usize>() as u64 <= at_once,
            "more than maxChanges: {response}"
        );
        for id in texts(&response["created"]) {
            created.insert(id);
        }
        updated.extend(texts(&response["updated"]));
        for id in texts(&response["destroyed"]) {
            // Of something that came and went between two states, the steps in between may tell.
            created.remove(&id);
            updated.remove(&id);
            destroyed.insert(id);
        }
        state = text(&response["newState"]);
        if response["hasMoreChanges"] != json!(true) {
            assert_eq!(state, until, "/changes doesn't lead to the state of /get");
            return (created, updated, destroyed);
        }
    }
}

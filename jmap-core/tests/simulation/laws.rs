//! A look at everything there is, and what must be true of it.

use std::collections::{BTreeMap, BTreeSet};

use jmap_core::{
    inproc::imap_view::{ViewRow, ViewStatus},
    mail::message::Summary,
};
use jmap_types::{
    BlobId, Id,
    mail::{Email as EmailObject, Mailbox, Quota, Thread},
    method::{Get, Query},
};
use serde_json::{Value, json};

use crate::{
    model::Email,
    steps::{EmailChanges, MailboxChanges, number},
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
    /// What JMAP sees, by id.
    emails: BTreeMap<String, Seen>,
    /// What has `\Deleted` everywhere, by id.
    hidden: BTreeMap<String, Seen>,
    /// By mailbox: what IMAP sees.
    views: BTreeMap<String, MailboxView>,
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

#[derive(Clone, Debug)]
struct MailboxView {
    status: ViewStatus,
    /// Email by UID.
    uids: BTreeMap<u32, u64>,
}

/// Looks at everything, holds it against the laws and the model, and makes the model sure again.
pub async fn observe(world: &mut World) {
    world.finish_deliveries().await;
    let now = look(world).await;
    check_model(world, &now);
    check_counts(&now);
    check_views(world, &now);
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
        .chain(&last.hidden)
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
                deleted: BTreeSet::new(),
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
    let mut hidden = BTreeMap::new();
    let mut views = BTreeMap::new();
    for mailbox in list.clone() {
        let id = text(&mailbox["id"]);
        let (view, rows) = world.view(number::<Mailbox>(&id)).await;
        let uids = rows.iter().map(|(row, _)| (row.uid, row.email)).collect();
        views.insert(id.clone(), MailboxView { status: view, uids });
        for (row, summary) in rows {
            let email = Id::<EmailObject>::new(row.email).to_string();
            if !row.is_deleted {
                let seen = emails.get(&email);
                let is_seen = seen.is_some_and(|seen: &Seen| seen.email.mailboxes.contains(&id));
                assert!(is_seen, "{email} is in {id}, and JMAP doesn't see it there");
                continue;
            }
            let seen = match emails.get_mut(&email) {
                Some(seen) => seen,
                None => hidden
                    .entry(email)
                    .or_insert_with(|| of_row(&row, &summary)),
            };
            seen.email.deleted.insert(id.clone());
        }
    }
    Observed {
        hidden,
        views,
        email_state: text(&got["state"]),
        mailbox_state: text(&mailboxes["state"]),
        emails,
        mailboxes: list
            .map(|mailbox| (text(&mailbox["id"]), mailbox.clone()))
            .collect(),
    }
}

/// Of an email that JMAP doesn't see.
fn of_row(row: &ViewRow, summary: &Summary) -> Seen {
    let ids = summary.message_id.clone().unwrap_or_default();
    Seen {
        message_id: ids.into_iter().next().unwrap_or_default(),
        email: Email {
            mailboxes: BTreeSet::new(),
            deleted: BTreeSet::new(),
            keywords: row.keywords.iter().map(|name| name.to_string()).collect(),
        },
        thread: Id::<Thread>::new(row.thread).to_string(),
        blob: String::new(),
        size: u64::from(row.size),
    }
}

/// IMAP's mailboxes: counts are those of what is there, UIDs stay with their emails, and nothing goes back.
fn check_views(world: &World, now: &Observed) {
    let all: BTreeMap<&String, &Seen> = now.emails.iter().chain(&now.hidden).collect();
    for (id, view) in &now.views {
        let of = |places: fn(&Email) -> &BTreeSet<String>| {
            all.values()
                .filter(|seen| places(&seen.email).contains(id))
                .count()
        };
        let (kept, deleted) = (of(|email| &email.mailboxes), of(|email| &email.deleted));
        let status = &view.status;
        assert_eq!(
            view.uids.len(),
            kept + deleted,
            "{id}: the messages of IMAP and JMAP"
        );
        assert_eq!(status.messages as usize, view.uids.len(), "{id}: MESSAGES");
        assert_eq!(status.deleted as usize, deleted, "{id}: DELETED");
        let last = view.uids.keys().next_back().copied().unwrap_or(0);
        assert!(
            status.uid_next > last,
            "{id}: UIDNEXT {} after {last}",
            status.uid_next
        );
        for before in world
            .history
            .iter()
            .filter_map(|before| before.views.get(id))
        {
            assert!(
                status.uid_next >= before.status.uid_next,
                "{id}: UIDNEXT goes back"
            );
            let modseq = before.status.highest_modseq;
            assert!(
                status.highest_modseq >= modseq,
                "{id}: HIGHESTMODSEQ goes back"
            );
            for (uid, email) in &view.uids {
                let is_new = *uid >= before.status.uid_next;
                assert!(
                    is_new || before.uids.get(uid) == Some(email),
                    "{id}: UID {uid} was of another email"
                );
            }
        }
    }
}

/// Each thing is in a state that the model has for it; from now on it is that one.
fn check_model(world: &mut World, now: &Observed) {
    let model = &mut world.model;
    let mut there = BTreeMap::new();
    for (id, seen) in now.emails.iter().chain(&now.hidden) {
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
        Some(
            now.emails
                .values()
                .chain(now.hidden.values())
                .map(|seen| seen.size)
                .sum()
        ),
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
    let (mut created, mut updated, destroyed) =
        changes::<EmailChanges>(world, &before.email_state, &now.email_state).await;
    let old: BTreeSet<&String> = before.emails.keys().collect();
    // RFC 8621 §4.1.1: destroyed by `\Deleted` and taken back, it is there as before.
    let again: Vec<String> = created
        .iter()
        .filter(|id| old.contains(id))
        .cloned()
        .collect();
    for id in again {
        created.remove(&id);
        updated.insert(id);
    }
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
            .is_some_and(|before| !before.email.is_as(&seen.email));
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
            // What was destroyed by IMAP's `\Deleted` may be taken back.
            destroyed.remove(&id);
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

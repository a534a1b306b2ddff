//! Mailbox/changes: applying its replies to the old state gives the new one, however few changes a reply takes.

mod names;
mod set;
mod together;

use std::collections::{BTreeMap, BTreeSet};

use jmap_types::{
    AccountId, DataType,
    mail::{Email, EmailId, Mailbox},
    method::{Changes, Get, Set},
};
use serde_json::{Value as Json, json};

use store::{Change, log::ChangeKind};

use super::get::THREADS_MAX;
use crate::mail::email::tests::{Bench, OWNER, caller};

/// A client that knows mailboxes as they were at some state.
struct Client {
    state: String,
    mailboxes: BTreeMap<String, Json>,
}

async fn mailboxes(bench: &Bench) -> Client {
    let got = bench
        .json::<Get<Mailbox>>(
            &caller(OWNER, &[]),
            &json!({"accountId": "a1", "ids": null}).to_string(),
        )
        .await;
    let list = got["list"].as_array().unwrap().iter();
    Client {
        state: got["state"].as_str().unwrap().to_owned(),
        mailboxes: list
            .map(|mailbox| (mailbox["id"].as_str().unwrap().to_owned(), mailbox.clone()))
            .collect(),
    }
}

fn wire(id: u64) -> String {
    EmailId::new(id).to_string()
}

fn ids(answer: &Json, list: &str) -> Vec<String> {
    let ids = answer[list].as_array().unwrap().iter();
    ids.map(|id| id.as_str().unwrap().to_owned()).collect()
}

/// Follows the changes in steps of `max`; `between` happens before the second step.
async fn follow(bench: &Bench, client: &mut Client, max: usize, between: Option<&str>) {
    let mut between = between;
    for step in 0.. {
        assert!(step < 200, "it doesn't end");
        if step == 1
            && let Some(update) = between.take()
        {
            set_email(bench, update).await;
        }
        let arguments = json!({"accountId": "a1", "sinceState": client.state, "maxChanges": max});
        let answer = bench
            .json::<Changes<Mailbox>>(&caller(OWNER, &[]), &arguments.to_string())
            .await;
        let (created, updated, destroyed) = (
            ids(&answer, "created"),
            ids(&answer, "updated"),
            ids(&answer, "destroyed"),
        );
        assert!(
            created.len() + updated.len() + destroyed.len() <= max,
            "more than {max}: {answer}"
        );
        let now = mailboxes(bench).await.mailboxes;
        for id in destroyed {
            client.mailboxes.remove(&id);
        }
        for id in updated {
            assert!(client.mailboxes.contains_key(&id), "unknown: {id}");
            client.mailboxes.insert(id.clone(), now[&id].clone());
        }
        for id in created {
            client.mailboxes.insert(id.clone(), now[&id].clone());
        }
        client.state = answer["newState"].as_str().unwrap().to_owned();
        if answer["hasMoreChanges"] == json!(false) {
            return;
        }
    }
}

async fn set_email(bench: &Bench, update: &str) {
    let call = format!(r#"{{"accountId": "a1", "update": {update}}}"#);
    let answer = bench.json::<Set<Email>>(&caller(OWNER, &[]), &call).await;
    assert!(answer["notUpdated"].is_null(), "{answer}");
}

async fn set_mailbox(bench: &Bench, changes: Json) -> Json {
    let mut call = changes;
    call["accountId"] = json!("a1");
    let answer = bench
        .json::<Set<Mailbox>>(&caller(OWNER, &[]), &call.to_string())
        .await;
    for not in ["notCreated", "notUpdated", "notDestroyed"] {
        assert!(answer[not].is_null(), "{answer}");
    }
    answer
}

/// An account whose six mailboxes have one email each, all of one thread, and a client that knows it.
async fn one_thread() -> (Bench, Client, Vec<u64>) {
    let bench = Bench::new().await;
    let mut emails = Vec::new();
    for mailbox in 1..=6 {
        let mail = format!(
            "Subject: one\r\nMessage-ID: <{mailbox}@x>\r\nReferences: <root@x>\r\n\r\n{mailbox}\r\n"
        );
        emails.push(bench.place(mail, &[mailbox]).await);
    }
    let client = mailboxes(&bench).await;
    (bench, client, emails)
}

async fn check(what: &str, bench: &Bench, client: &mut Client, max: usize, between: Option<&str>) {
    follow(bench, client, max, between).await;
    let now = mailboxes(bench).await;
    assert_eq!(client.mailboxes, now.mailboxes, "{what}, maxChanges {max}");
    assert_eq!(client.state, now.state, "{what}, maxChanges {max}");
}

#[tokio::test]
async fn counts_that_follow_from_elsewhere_are_told_whatever_max_changes_is() {
    for max in 1..=8 {
        let (bench, mut client, emails) = one_thread().await;
        // The thread is unread now, in all its mailboxes but the trash.
        let unread = format!(r#"{{"{}": {{"keywords/$seen": null}}}}"#, wire(emails[0]));
        set_email(&bench, &unread).await;
        let changed: BTreeSet<&str> = ["m1", "m2", "m3", "m4", "m5"].into();
        let now = mailboxes(&bench).await.mailboxes;
        for id in changed {
            assert_ne!(client.mailboxes[id], now[id], "{id}");
        }
        check("unread", &bench, &mut client, max, None).await;
        // What happens between two replies.
        let read = format!(r#"{{"{}": {{"keywords/$seen": true}}}}"#, wire(emails[0]));
        set_email(&bench, &read).await;
        let move_away = format!(
            r#"{{"{}": {{"mailboxIds": {{"m6": true}}, "keywords/$seen": null}}}}"#,
            wire(emails[1])
        );
        check("read", &bench, &mut client, max, Some(&move_away)).await;
    }
}

#[tokio::test]
async fn a_transaction_with_more_changes_than_a_client_takes_is_told_in_parts() {
    for max in 1..=8 {
        let (bench, mut client, _) = one_thread().await;
        // An email in all mailboxes is removed with one of them.
        let all = bench
            .place("Subject: all\r\n\r\nx", &[1, 2, 3, 4, 5, 6])
            .await;
        let all = wire(all);
        check("placed", &bench, &mut client, max, None).await;
        let made = set_mailbox(&bench, json!({"create": {"n": {"name": "new"}}})).await;
        let new = made["created"]["n"]["id"].as_str().unwrap();
        set_email(
            &bench,
            &format!(r#"{{"{all}": {{"mailboxIds/{new}": true}}}}"#),
        )
        .await;
        check("created", &bench, &mut client, max, None).await;
        let gone = json!({"destroy": [new], "onDestroyRemoveEmails": true});
        set_mailbox(&bench, gone).await;
        check("destroyed", &bench, &mut client, max, None).await;
    }
}

#[tokio::test]
async fn a_mailbox_is_not_told_of_before_it_was_made() {
    for max in 1..=8 {
        let (bench, mut client, emails) = one_thread().await;
        // The counts of m3 change with the thread; by the time that it is told, its email is in a younger mailbox.
        let unread = format!(r#"{{"{}": {{"keywords/$seen": null}}}}"#, wire(emails[0]));
        set_email(&bench, &unread).await;
        let made = set_mailbox(&bench, json!({"create": {"n": {"name": "new"}}})).await;
        let new = made["created"]["n"]["id"].as_str().unwrap();
        let moved = format!(
            r#"{{"{}": {{"mailboxIds": {{"{new}": true}}}}}}"#,
            wire(emails[2])
        );
        set_email(&bench, &moved).await;
        check("moved", &bench, &mut client, max, None).await;
    }
}

#[tokio::test]
async fn one_past_the_threads_that_are_looked_at_together() {
    let (bench, mut client, emails) = one_thread().await;
    // As many emails as are looked at together have changed, and are gone; then one more changes.
    let account = bench.core.accounts.handle(AccountId::new(OWNER));
    let mut txn = account.writer.begin().await.unwrap();
    for n in 0..THREADS_MAX as u64 {
        let change = Change::new(DataType::Email, 1_000_000 + n, ChangeKind::Updated);
        txn.changed(change);
    }
    txn.commit().await.unwrap();
    let unread = format!(r#"{{"{}": {{"keywords/$seen": null}}}}"#, wire(emails[0]));
    set_email(&bench, &unread).await;
    check("unread", &bench, &mut client, 8, None).await;
}

#[tokio::test]
async fn another_trash_changes_the_counts_of_all() {
    let (bench, mut client, emails) = one_thread().await;
    // Unread in the trash alone.
    let unread = format!(r#"{{"{}": {{"keywords/$seen": null}}}}"#, wire(emails[5]));
    set_email(&bench, &unread).await;
    check("unread", &bench, &mut client, 2, None).await;
    set_mailbox(&bench, json!({"update": {"m6": {"role": null}}})).await;
    let now = mailboxes(&bench).await.mailboxes;
    assert_ne!(client.mailboxes["m1"], now["m1"], "it counts there now");
    check("no trash", &bench, &mut client, 2, None).await;
}

#[tokio::test]
async fn a_state_within_a_transaction_is_checked() {
    let (bench, _, _) = one_thread().await;
    for state in ["s0-999-1", "s5-3-1", "s0-2", "s0-2-x"] {
        let arguments = json!({"accountId": "a1", "sinceState": state});
        let answer = bench
            .json::<Changes<Mailbox>>(&caller(OWNER, &[]), &arguments.to_string())
            .await;
        assert_eq!(answer["type"], "cannotCalculateChanges", "{state}");
    }
}

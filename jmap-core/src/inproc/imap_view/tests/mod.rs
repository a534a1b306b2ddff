//! The calls over an engine in memory: UIDs, MODSEQ, flags, copies, and what JMAP sees of it.

mod changes;
mod copy;
mod deleted;
mod structure;

use bytes::Bytes;
use jmap_types::AccountId;
use serde_json::Value;

use super::*;
use crate::{
    Caller,
    mail::{
        email::tests::{Bench, GUEST, OTHER, OWNER, caller},
        records::Grant,
        write::{self, INBOX},
    },
};

const DRAFTS: u64 = 2;
const ARCHIVE: u64 = 4;

fn own(mailbox: u64) -> MailboxKey {
    key(OWNER, mailbox)
}

fn key(account: u64, mailbox: u64) -> MailboxKey {
    MailboxKey {
        account: AccountId::new(account),
        mailbox,
    }
}

fn owner() -> Caller {
    caller(OWNER, &[])
}

fn message(text: &str) -> NewMessage {
    NewMessage {
        octets: Bytes::from(text.to_owned()),
        keywords: vec!["$flagged".to_owned()],
        deleted: false,
        received_at: Some(1_500_000_000),
    }
}

/// A mailbox in few words: `1:e7 2:e8\Deleted`.
async fn list(bench: &Bench, key: MailboxKey) -> String {
    let who = caller(key.account.number(), &[]);
    let opened = bench.core.view_open(&who, key).await.unwrap();
    let emails: Vec<u64> = opened.messages.iter().map(|(_, email)| email).collect();
    let rows = bench.core.view_rows(&who, key, &emails).await.unwrap();
    let words = rows.into_iter().map(|row| {
        let row = row.expect("an email of the list isn't in the mailbox");
        let deleted = if row.is_deleted { "\\Deleted" } else { "" };
        format!("{}:e{}{deleted}", row.uid, row.email)
    });
    words.collect::<Vec<_>>().join(" ")
}

async fn store(
    bench: &Bench,
    who: &Caller,
    mailbox: MailboxKey,
    email: u64,
    change: FlagChange,
    flags: &[&str],
) -> Result<Stored, ViewError> {
    let keywords = flags.iter().filter(|flag| **flag != "\\Deleted");
    let store = StoreFlags {
        mailbox,
        emails: vec![email],
        change,
        keywords: keywords.map(|flag| (*flag).to_owned()).collect(),
        deleted: flags.contains(&"\\Deleted"),
        unchanged_since: None,
    };
    bench.core.view_store(who, store).await
}

async fn delete(bench: &Bench, mailbox: u64, email: u64) {
    let flags = &["\\Deleted"];
    store(bench, &owner(), own(mailbox), email, FlagChange::Add, flags)
        .await
        .unwrap();
}

async fn undelete(bench: &Bench, mailbox: u64, email: u64) {
    let flags = &["\\Deleted"];
    store(
        bench,
        &owner(),
        own(mailbox),
        email,
        FlagChange::Remove,
        flags,
    )
    .await
    .unwrap();
}

/// Shares a mailbox of the owner with the guest.
async fn share(bench: &Bench, mailbox: u64, rights: crate::access::MailboxRights) {
    let handle = bench.core.accounts.handle(AccountId::new(OWNER));
    let mut record = {
        let view = handle.view().await.unwrap();
        let row = view.mailbox(mailbox).unwrap();
        (*row.record).clone()
    };
    record.share_with = vec![Grant {
        account: GUEST,
        rights: rights.0,
        is_subscribed: false,
    }];
    let mut txn = handle.writer.begin().await.unwrap();
    let kind = store::ChangeKind::Updated;
    write::put_mailbox(&mut txn, mailbox, record, kind);
    txn.commit().await.unwrap();
}

fn guest() -> Caller {
    caller(GUEST, &[OWNER])
}

/// The answer of the owner's JMAP call at `pointer`.
async fn jmap<C: crate::Handle>(bench: &Bench, arguments: &str, pointer: &str) -> Value {
    let arguments = arguments.replacen('{', r#"{"accountId": "a1", "#, 1);
    let answer = bench.json::<C>(&owner(), &arguments).await;
    match answer.pointer(pointer) {
        Some(part) => part.clone(),
        None => panic!("no {pointer}: {answer}"),
    }
}

/// Nothing is wrong with the store, nor with what is in memory of it.
async fn assert_sound(bench: &Bench) {
    for account in [OWNER, OTHER] {
        bench.add_account(account).await;
        let handle = bench.core.accounts.handle(AccountId::new(account));
        drop(handle.view().await.unwrap());
    }
    let options = crate::work::check::CheckOptions::default();
    let mut problems = bench.core.check(options, &|_| ()).await.unwrap().problems;
    // The bench's accounts are not whole in the directory.
    problems.retain(|problem| !problem.code.name().starts_with("directory/"));
    assert!(problems.is_empty(), "{problems:#?}");
}

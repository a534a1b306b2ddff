//! APPEND, COPY, MOVE, REPLACE.

use super::*;
use crate::{Limits, access::MailboxRights};

async fn copy(bench: &Bench, from: MailboxKey, emails: &[u64], to: MailboxKey) -> Copied {
    let who = caller(OWNER, &[OTHER]);
    bench.core.view_copy(&who, from, emails, to).await.unwrap()
}

async fn move_to(bench: &Bench, from: MailboxKey, emails: &[u64], to: MailboxKey) -> Copied {
    let copied = bench.core.view_move(&owner(), from, emails, to).await;
    copied.unwrap()
}

#[tokio::test]
async fn append_gives_uids_in_order_and_keeps_what_is_given() {
    let bench = Bench::new().await;
    let deleted = NewMessage {
        deleted: true,
        ..message("Subject: b\r\n\r\n")
    };
    let messages = vec![message("Subject: a\r\n\r\n"), deleted];
    let appended = bench
        .core
        .view_append(&owner(), own(INBOX), messages)
        .await
        .unwrap();
    assert_eq!(appended.uids, [1, 2]);
    assert_eq!(list(&bench, own(INBOX)).await, "1:e7 2:e8\\Deleted");
    let rows = bench.core.view_rows(&owner(), own(INBOX), &[7]).await;
    let row = rows.unwrap().remove(0).unwrap();
    assert_eq!(row.received_at, 1_500_000_000);
    assert_eq!(
        row.keywords.iter().map(|k| &**k).collect::<Vec<_>>(),
        ["$flagged"]
    );
    let status = bench.core.view_status(&owner(), own(INBOX)).await.unwrap();
    let expected = ViewStatus {
        messages: 2,
        unseen: 2,
        deleted: 1,
        size: 28,
        deleted_size: 14,
        uid_next: 3,
        uid_validity: appended.uid_validity,
        highest_modseq: status.highest_modseq,
    };
    assert_eq!(status, expected);
    assert_sound(&bench).await;
}

#[tokio::test]
async fn copy_puts_the_same_email_into_another_mailbox() {
    let bench = Bench::new().await;
    let email = bench.deliver("Subject: a\r\n\r\n").await;
    let copied = copy(&bench, own(INBOX), &[email], own(ARCHIVE)).await;
    assert_eq!(copied.pairs, [(1, 1)]);
    assert_eq!(list(&bench, own(ARCHIVE)).await, "1:e7");
    assert_eq!(list(&bench, own(INBOX)).await, "1:e7");
    assert_sound(&bench).await;
}

#[tokio::test]
async fn copy_to_where_it_is_already_is_a_new_email_with_the_same_message() {
    let bench = Bench::new().await;
    let email = bench.place("Subject: a\r\n\r\n", &[INBOX, ARCHIVE]).await;
    for to in [INBOX, ARCHIVE] {
        let copied = copy(&bench, own(INBOX), &[email], own(to)).await;
        assert_eq!(copied.pairs, [(1, 2)]);
    }
    assert_eq!(list(&bench, own(INBOX)).await, "1:e7 2:e8");
    assert_eq!(list(&bench, own(ARCHIVE)).await, "1:e7 2:e9");
    let want = Want {
        octets: true,
        ..Want::default()
    };
    let messages = bench
        .core
        .view_messages(&owner(), own(INBOX), &[7, 8], want)
        .await
        .unwrap();
    let octets = |at: usize| messages[at].clone().unwrap().octets.unwrap();
    assert_eq!(octets(0), octets(1));
    assert_sound(&bench).await;
}

#[tokio::test]
async fn copies_keep_flags_and_the_date() {
    let bench = Bench::new().await;
    bench.add_account(OTHER).await;
    let email = bench.deliver("Subject: a\r\n\r\n").await;
    delete(&bench, INBOX, email).await;
    copy(&bench, own(INBOX), &[email], own(ARCHIVE)).await;
    copy(&bench, own(INBOX), &[email], own(INBOX)).await;
    copy_across(&bench, &[email]).await;
    assert_eq!(list(&bench, own(ARCHIVE)).await, "1:e7\\Deleted");
    assert_eq!(
        list(&bench, own(INBOX)).await,
        "1:e7\\Deleted 2:e8\\Deleted"
    );
    assert_eq!(list(&bench, key(OTHER, INBOX)).await, "1:e7\\Deleted");
    let other = caller(OTHER, &[]);
    let rows = bench.core.view_rows(&other, key(OTHER, INBOX), &[7]).await;
    let row = rows.unwrap().remove(0).unwrap();
    let keywords: Vec<&str> = row.keywords.iter().map(|k| &**k).collect();
    assert_eq!(keywords, ["$seen", "work"]);
    let old = bench.core.view_rows(&owner(), own(INBOX), &[email]).await;
    assert_eq!(
        row.received_at,
        old.unwrap()[0].clone().unwrap().received_at
    );
    assert_sound(&bench).await;
}

/// The owner is the other account too, as one of its group.
fn both() -> Caller {
    crate::Caller::new(crate::caller::Identity {
        domains: Vec::new(),
        account: AccountId::new(OWNER),
        name: "u1@example.com".to_owned(),
        role: crate::Role::User,
        credential: 1,
        kind: None,
        groups: vec![AccountId::new(OTHER)],
        shares: Vec::new(),
    })
}

async fn copy_across(bench: &Bench, emails: &[u64]) -> Copied {
    let copied = bench
        .core
        .view_copy(&both(), own(INBOX), emails, key(OTHER, INBOX))
        .await;
    copied.unwrap()
}

#[tokio::test]
async fn move_changes_the_place_and_the_email_stays() {
    let bench = Bench::new().await;
    let email = bench.deliver("Subject: a\r\n\r\n").await;
    let moved = move_to(&bench, own(INBOX), &[email], own(ARCHIVE)).await;
    assert_eq!(moved.pairs, [(1, 1)]);
    assert_eq!(list(&bench, own(INBOX)).await, "");
    assert_eq!(list(&bench, own(ARCHIVE)).await, "1:e7");
    assert_sound(&bench).await;
}

#[tokio::test]
async fn move_into_the_same_mailbox_gives_new_uids_and_jmap_sees_nothing() {
    let bench = Bench::new().await;
    let email = bench.deliver("Subject: a\r\n\r\n").await;
    bench.deliver("Subject: b\r\n\r\n").await;
    let state = jmap::<EmailGet>(&bench, r#"{"ids": []}"#, "/state").await;
    let moved = move_to(&bench, own(INBOX), &[email], own(INBOX)).await;
    assert_eq!(moved.pairs, [(1, 3)]);
    assert_eq!(list(&bench, own(INBOX)).await, "2:e8 3:e7");
    assert_eq!(
        jmap::<EmailGet>(&bench, r#"{"ids": []}"#, "/state").await,
        state
    );
    assert_sound(&bench).await;
}

type EmailGet = jmap_types::method::Get<jmap_types::mail::Email>;

#[tokio::test]
async fn move_to_where_it_is_already_leaves_two_there() {
    let bench = Bench::new().await;
    let email = bench.place("Subject: a\r\n\r\n", &[INBOX, ARCHIVE]).await;
    let moved = move_to(&bench, own(INBOX), &[email], own(ARCHIVE)).await;
    assert_eq!(moved.pairs, [(1, 2)]);
    assert_eq!(list(&bench, own(INBOX)).await, "");
    assert_eq!(list(&bench, own(ARCHIVE)).await, "1:e7 2:e8");
    assert_sound(&bench).await;
}

#[tokio::test]
async fn move_across_accounts_leaves_the_source() {
    let bench = Bench::new().await;
    let email = bench.deliver("Subject: a\r\n\r\n").await;
    let other = bench.deliver("Subject: b\r\n\r\n").await;
    let emails = [email, 99, other, email];
    let moved = bench
        .core
        .view_move(&both(), own(INBOX), &emails, key(OTHER, ARCHIVE))
        .await
        .unwrap();
    assert_eq!(moved.pairs, [(1, 1), (2, 2)]);
    assert_eq!(list(&bench, own(INBOX)).await, "");
    assert_eq!(list(&bench, key(OTHER, ARCHIVE)).await, "1:e7 2:e8");
    assert_sound(&bench).await;
}

#[tokio::test]
async fn messages_that_are_gone_are_left_out() {
    let bench = Bench::new().await;
    let email = bench.deliver("Subject: a\r\n\r\n").await;
    let elsewhere = bench.place("Subject: b\r\n\r\n", &[DRAFTS]).await;
    let copied = copy(&bench, own(INBOX), &[99, elsewhere, email], own(ARCHIVE)).await;
    assert_eq!(copied.pairs, [(1, 1)]);
}

#[tokio::test]
async fn without_room_nothing_is_copied() {
    let limits = Limits {
        default_quota_octets: 35,
        ..Limits::default()
    };
    let bench = Bench::with_limits(limits).await;
    for account in [OWNER, OTHER] {
        bench.add_account(account).await;
    }
    let a = bench.deliver("Subject: a\r\n\r\n").await;
    let b = bench.deliver("Subject: b\r\n\r\n").await;
    let core = &bench.core;
    let over = Err(ViewError::OverQuota);
    assert_eq!(
        core.view_copy(&owner(), own(INBOX), &[a], own(INBOX)).await,
        over
    );
    assert_eq!(list(&bench, own(INBOX)).await, "1:e7 2:e8");
    // The other account has room for two, not for three.
    copy_across(&bench, &[a]).await;
    let across = core
        .view_move(&both(), own(INBOX), &[a, b], key(OTHER, INBOX))
        .await;
    assert_eq!(across, over);
    assert_eq!(list(&bench, key(OTHER, INBOX)).await, "1:e7");
    assert_eq!(list(&bench, own(INBOX)).await, "1:e7 2:e8");
    // Another mailbox of the account costs nothing.
    copy(&bench, own(INBOX), &[a, b], own(ARCHIVE)).await;
    // RFC 8508: what is replaced makes room.
    let other = message("Subject: c\r\n\r\n12345678");
    let replaced = core
        .view_replace(&both(), key(OTHER, INBOX), 7, key(OTHER, INBOX), other)
        .await
        .unwrap();
    assert_eq!(replaced.uids, [2]);
    assert_eq!(list(&bench, key(OTHER, INBOX)).await, "2:e8");
    assert_sound(&bench).await;
}

#[tokio::test]
async fn replace_files_the_new_and_takes_the_old() {
    let bench = Bench::new().await;
    let email = bench.place("Subject: a\r\n\r\n", &[INBOX, ARCHIVE]).await;
    let new = || message("Subject: new\r\n\r\n");
    let who = owner();
    let replace = |from, email, to| bench.core.view_replace(&who, from, email, to, new());
    let replaced = replace(own(INBOX), email, own(DRAFTS)).await.unwrap();
    assert_eq!(replaced.uids, [1]);
    assert_eq!(list(&bench, own(INBOX)).await, "");
    assert_eq!(list(&bench, own(ARCHIVE)).await, "1:e7");
    assert_eq!(list(&bench, own(DRAFTS)).await, "1:e8");
    let gone = replace(own(INBOX), email, own(DRAFTS)).await;
    assert!(matches!(gone, Err(ViewError::Invalid(_))), "{gone:?}");
    assert_eq!(list(&bench, own(DRAFTS)).await, "1:e8");
    let across = bench
        .core
        .view_replace(&both(), own(DRAFTS), 8, key(OTHER, DRAFTS), new())
        .await;
    assert_eq!(across.unwrap().uids, [1]);
    assert_eq!(list(&bench, own(DRAFTS)).await, "");
    assert_sound(&bench).await;
}

#[tokio::test]
async fn what_is_too_large_or_has_too_many_flags_is_refused_whole() {
    let limits = Limits {
        max_size_message: 20,
        max_keywords_per_email: 2,
        ..Limits::default()
    };
    let bench = Bench::with_limits(limits).await;
    let append = |second: NewMessage| {
        let messages = vec![message("Subject: a\r\n\r\n"), second];
        let core = bench.core.clone();
        async move { core.view_append(&owner(), own(INBOX), messages).await }
    };
    let large = append(message("Subject: abcdefghi\r\n\r\n")).await;
    assert_eq!(large, Err(ViewError::TooLarge(20)));
    let many = NewMessage {
        keywords: ["a", "b", "c"].map(str::to_owned).to_vec(),
        ..message("Subject: a\r\n\r\n")
    };
    assert!(matches!(append(many).await, Err(ViewError::Limit(_))));
    assert_eq!(list(&bench, own(INBOX)).await, "");
}

#[tokio::test]
async fn more_than_the_limit_are_not_copied_at_once() {
    let bench = Bench::new().await;
    let email = bench.deliver("Subject: a\r\n\r\n").await;
    let mut emails = vec![email; COPY_MESSAGES_MAX];
    let who = owner();
    let copied = bench
        .core
        .view_copy(&who, own(INBOX), &emails, own(ARCHIVE))
        .await;
    assert_eq!(copied.unwrap().pairs, [(1, 1)]);
    emails.push(email);
    let copied = bench
        .core
        .view_copy(&who, own(INBOX), &emails, own(DRAFTS))
        .await;
    assert!(matches!(copied, Err(ViewError::Limit(_))));
}

#[tokio::test]
async fn a_mailbox_that_is_gone_or_not_seen_is_none() {
    let bench = Bench::new().await;
    let email = bench.deliver("Subject: a\r\n\r\n").await;
    let none = Err(ViewError::NoSuchMailbox);
    let core = &bench.core;
    let rows = [
        (own(99), own(ARCHIVE)),
        (own(INBOX), own(99)),
        (own(INBOX), key(OTHER, INBOX)),
        (key(OTHER, INBOX), own(INBOX)),
        (key(77, INBOX), own(INBOX)),
    ];
    for (from, to) in rows {
        assert_eq!(core.view_copy(&owner(), from, &[email], to).await, none);
        assert_eq!(core.view_move(&owner(), from, &[email], to).await, none);
        let new = message("Subject: x\r\n\r\n");
        let replaced = core.view_replace(&owner(), from, email, to, new).await;
        assert_eq!(replaced, Err(ViewError::NoSuchMailbox));
    }
    assert_eq!(list(&bench, own(INBOX)).await, "1:e7");
}

/// Rights in the source, in the target; whether COPY and MOVE may.
#[tokio::test]
async fn guests_need_their_rights() {
    const READ: MailboxRights = MailboxRights::READ_ITEMS;
    const ADD: MailboxRights = MailboxRights::ADD_ITEMS;
    const REMOVE: MailboxRights = MailboxRights::REMOVE_ITEMS;
    let rows = [
        (READ, ADD, true, false),
        (READ.union(REMOVE), ADD, true, true),
        (READ.union(REMOVE), READ, false, false),
        (REMOVE, ADD, false, false),
    ];
    for (source, target, may_copy, may_move) in rows {
        let bench = Bench::new().await;
        let email = bench.deliver("Subject: a\r\n\r\n").await;
        share(&bench, INBOX, source).await;
        share(&bench, ARCHIVE, target).await;
        let (core, who) = (&bench.core, guest());
        let is_denied =
            |result: &Result<Copied, ViewError>| matches!(result, Err(ViewError::Forbidden(_)));
        let copied = core
            .view_copy(&who, own(INBOX), &[email], own(ARCHIVE))
            .await;
        assert!(
            copied.is_ok() == may_copy && (may_copy || is_denied(&copied)),
            "{source:?} {target:?} {copied:?}"
        );
        let moved = core
            .view_move(&who, own(INBOX), &[email], own(ARCHIVE))
            .await;
        assert!(
            moved.is_ok() == may_move && (may_move || is_denied(&moved)),
            "{source:?} {target:?} {moved:?}"
        );
        let new = message("Subject: x\r\n\r\n");
        let appended = core.view_append(&who, own(ARCHIVE), vec![new]).await;
        assert_eq!(appended.is_ok(), target.contains(ADD));
    }
}

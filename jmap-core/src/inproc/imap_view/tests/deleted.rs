//! `\Deleted`: in one mailbox, and out of JMAP's sight (RFC 8621 §4.1.1).

use jmap_types::{
    mail::{Email, Mailbox, Thread},
    method::{Changes, Get, Query, Set},
};
use serde_json::json;

use super::*;
use crate::access::MailboxRights;

async fn mailbox_ids(bench: &Bench, email: u64) -> Value {
    let get = format!(r#"{{"ids": ["e{email}"], "properties": ["mailboxIds"]}}"#);
    let list = jmap::<Get<Email>>(bench, &get, "/list").await;
    list[0]["mailboxIds"].clone()
}

async fn state<C: crate::Handle>(bench: &Bench) -> String {
    let state = jmap::<C>(bench, r#"{"ids": []}"#, "/state").await;
    state.as_str().unwrap().to_owned()
}

async fn changes<C: crate::Handle>(bench: &Bench, since: &str) -> Value {
    let arguments = format!(r#"{{"sinceState": "{since}"}}"#);
    let changes = jmap::<C>(bench, &arguments, "").await;
    json!([changes["created"], changes["updated"], changes["destroyed"]])
}

async fn counts(bench: &Bench, mailbox: u64) -> Value {
    let get = format!(r#"{{"ids": ["m{mailbox}"]}}"#);
    let mailbox = jmap::<Get<Mailbox>>(bench, &get, "/list/0").await;
    json!([
        mailbox["totalEmails"],
        mailbox["unreadEmails"],
        mailbox["totalThreads"],
        mailbox["unreadThreads"]
    ])
}

#[tokio::test]
async fn it_belongs_to_one_mailbox() {
    let bench = Bench::new().await;
    let email = bench.place("Subject: a\r\n\r\n", &[INBOX, ARCHIVE]).await;
    delete(&bench, INBOX, email).await;
    assert_eq!(list(&bench, own(INBOX)).await, "1:e7\\Deleted");
    assert_eq!(list(&bench, own(ARCHIVE)).await, "1:e7");
    assert_eq!(mailbox_ids(&bench, email).await, json!({"m4": true}));
    undelete(&bench, INBOX, email).await;
    assert_eq!(
        mailbox_ids(&bench, email).await,
        json!({"m1": true, "m4": true})
    );
    assert_sound(&bench).await;
}

#[tokio::test]
async fn replacing_flags_sets_and_clears_it() {
    let bench = Bench::new().await;
    let email = bench.deliver("Subject: a\r\n\r\n").await;
    let replace = |flags: &'static [&'static str]| {
        let bench = &bench;
        async move {
            let change = FlagChange::Replace;
            let stored = store(bench, &owner(), own(INBOX), email, change, flags).await;
            let row = stored.unwrap().rows.remove(0);
            let names = row.keywords.join(" ");
            (row.is_deleted, names)
        }
    };
    assert_eq!(replace(&["\\Deleted", "x"]).await, (true, "x".to_owned()));
    assert_eq!(replace(&["\\Deleted"]).await, (true, String::new()));
    assert_eq!(replace(&["y"]).await, (false, "y".to_owned()));
}

#[tokio::test]
async fn with_it_everywhere_an_email_is_destroyed_for_jmap_and_taken_back_it_is_created() {
    let bench = Bench::new().await;
    let email = bench
        .deliver("Subject: a\r\nMessage-ID: <1@x>\r\n\r\nword")
        .await;
    let states = (
        state::<Get<Email>>(&bench).await,
        state::<Get<Thread>>(&bench).await,
    );
    delete(&bench, INBOX, email).await;
    let gone = json!([[], [], ["e7"]]);
    assert_eq!(changes::<Changes<Email>>(&bench, &states.0).await, gone);
    assert_eq!(
        changes::<Changes<Thread>>(&bench, &states.1).await,
        json!([[], [], ["t7"]])
    );
    assert_eq!(
        jmap::<Get<Email>>(&bench, r#"{"ids": ["e7"]}"#, "/notFound").await,
        json!(["e7"])
    );
    assert_eq!(
        jmap::<Get<Email>>(&bench, r#"{"ids": null}"#, "/list").await,
        json!([])
    );
    assert_eq!(
        jmap::<Get<Thread>>(&bench, r#"{"ids": ["t7"]}"#, "/notFound").await,
        json!(["t7"])
    );
    for filter in [
        "null",
        r#"{"inMailbox": "m1"}"#,
        r#"{"text": "word"}"#,
        r#"{"header": ["Subject"]}"#,
    ] {
        let query = format!(r#"{{"filter": {filter}}}"#);
        assert_eq!(
            jmap::<Query<Email>>(&bench, &query, "/ids").await,
            json!([]),
            "{filter}"
        );
    }
    assert_eq!(counts(&bench, INBOX).await, json!([0, 0, 0, 0]));
    let hidden = (
        state::<Get<Email>>(&bench).await,
        state::<Get<Thread>>(&bench).await,
    );
    // What IMAP does to it meanwhile is nothing to JMAP.
    let flags = &["$flagged"];
    store(&bench, &owner(), own(INBOX), email, FlagChange::Add, flags)
        .await
        .unwrap();
    assert_eq!(state::<Get<Email>>(&bench).await, hidden.0);
    assert_sound(&bench).await;
    undelete(&bench, INBOX, email).await;
    assert_eq!(
        changes::<Changes<Email>>(&bench, &hidden.0).await,
        json!([["e7"], [], []])
    );
    assert_eq!(
        changes::<Changes<Thread>>(&bench, &hidden.1).await,
        json!([["t7"], [], []])
    );
    // To one who never saw it gone, it was updated.
    assert_eq!(
        changes::<Changes<Email>>(&bench, &states.0).await,
        json!([[], ["e7"], []])
    );
    assert_eq!(
        jmap::<Query<Email>>(&bench, r#"{"filter": {"text": "word"}}"#, "/ids").await,
        json!(["e7"])
    );
    assert_eq!(counts(&bench, INBOX).await, json!([1, 0, 1, 0]));
    assert_sound(&bench).await;
}

#[tokio::test]
async fn threads_follow() {
    let bench = Bench::new().await;
    let first = bench
        .deliver("Subject: a\r\nMessage-ID: <1@x>\r\n\r\n")
        .await;
    bench
        .deliver("Subject: Re: a\r\nIn-Reply-To: <1@x>\r\n\r\n")
        .await;
    let emails = |bench| jmap::<Get<Thread>>(bench, r#"{"ids": ["t7"]}"#, "/list/0/emailIds");
    assert_eq!(emails(&bench).await, json!(["e7", "e8"]));
    let before = state::<Get<Thread>>(&bench).await;
    delete(&bench, INBOX, first).await;
    assert_eq!(emails(&bench).await, json!(["e8"]));
    assert_eq!(
        changes::<Changes<Thread>>(&bench, &before).await,
        json!([[], ["t7"], []])
    );
    delete(&bench, INBOX, 8).await;
    // An answer still finds the thread, which JMAP sees created then.
    let hidden = state::<Get<Thread>>(&bench).await;
    bench
        .deliver("Subject: Re: a\r\nIn-Reply-To: <1@x>\r\n\r\n2")
        .await;
    assert_eq!(emails(&bench).await, json!(["e9"]));
    assert_eq!(
        changes::<Changes<Thread>>(&bench, &hidden).await,
        json!([["t7"], [], []])
    );
    bench
        .core
        .view_expunge(&owner(), own(INBOX), &[7, 8])
        .await
        .unwrap();
    assert_eq!(emails(&bench).await, json!(["e9"]));
    assert_sound(&bench).await;
}

#[tokio::test]
async fn its_blob_is_not_there_for_jmap() {
    let bench = Bench::new().await;
    let email = bench.deliver("Subject: a\r\n\r\n").await;
    let hash = store::blob::hash(b"Subject: a\r\n\r\n");
    let id = jmap_types::BlobId::whole(hash);
    let account = AccountId::new(OWNER);
    delete(&bench, INBOX, email).await;
    let who = owner();
    assert!(bench.core.read_blob(&who, account, id).await.is_err());
    // Without a view in memory as well.
    bench.core.accounts.shrink(0);
    assert!(bench.core.read_blob(&who, account, id).await.is_err());
    let want = Want {
        octets: true,
        ..Want::default()
    };
    let messages = bench
        .core
        .view_messages(&who, own(INBOX), &[email], want)
        .await
        .unwrap();
    assert!(messages[0].as_ref().unwrap().octets.is_some());
    undelete(&bench, INBOX, email).await;
    assert!(bench.core.read_blob(&who, account, id).await.is_ok());
}

#[tokio::test]
async fn expunge_takes_out_only_what_has_it() {
    let bench = Bench::new().await;
    let a = bench.place("Subject: a\r\n\r\n", &[INBOX, ARCHIVE]).await;
    let b = bench.deliver("Subject: b\r\n\r\n").await;
    let c = bench.deliver("Subject: c\r\n\r\n").await;
    delete(&bench, INBOX, a).await;
    delete(&bench, INBOX, b).await;
    let before = state::<Get<Email>>(&bench).await;
    let gone = bench
        .core
        .view_expunge(&owner(), own(INBOX), &[c, b, a])
        .await;
    assert_eq!(gone.unwrap(), [b, a]);
    assert_eq!(list(&bench, own(INBOX)).await, "3:e9");
    assert_eq!(list(&bench, own(ARCHIVE)).await, "1:e7");
    // For JMAP they had gone before.
    assert_eq!(
        changes::<Changes<Email>>(&bench, &before).await,
        json!([[], [], []])
    );
    let removed = bench.core.view_remove(&owner(), own(INBOX), &[c]).await;
    assert_eq!(removed.unwrap(), [c]);
    assert_sound(&bench).await;
}

#[tokio::test]
async fn email_set_leaves_it_alone_unless_it_names_the_mailbox() {
    let bench = Bench::new().await;
    let email = bench.place("Subject: a\r\n\r\n", &[INBOX, ARCHIVE]).await;
    delete(&bench, INBOX, email).await;
    // A patch begins with what JMAP sees.
    let patch = r#"{"update": {"e7": {"mailboxIds/m2": true}}}"#;
    jmap::<Set<Email>>(&bench, patch, "/updated").await;
    assert_eq!(list(&bench, own(INBOX)).await, "1:e7\\Deleted");
    let set = |mailboxes: &str| {
        let set = format!(r#"{{"update": {{"e7": {{"mailboxIds": {mailboxes}}}}}}}"#);
        let bench = &bench;
        async move { jmap::<Set<Email>>(bench, &set, "/updated").await }
    };
    set(r#"{"m2": true}"#).await;
    assert_eq!(list(&bench, own(INBOX)).await, "1:e7\\Deleted");
    assert_eq!(list(&bench, own(ARCHIVE)).await, "");
    assert_eq!(list(&bench, own(DRAFTS)).await, "1:e7");
    set(r#"{"m1": true}"#).await;
    assert_eq!(list(&bench, own(INBOX)).await, "1:e7");
    assert_eq!(mailbox_ids(&bench, email).await, json!({"m1": true}));
    // One that JMAP doesn't see can't be changed by it.
    delete(&bench, INBOX, email).await;
    let set = r#"{"update": {"e7": {"mailboxIds/m4": true}}}"#;
    let error = jmap::<Set<Email>>(&bench, set, "/notUpdated/e7/type").await;
    assert_eq!(error, json!("notFound"));
    assert_sound(&bench).await;
}

#[tokio::test]
async fn a_mailbox_is_destroyed_with_what_has_it() {
    let bench = Bench::new().await;
    let a = bench.place("Subject: a\r\n\r\n", &[ARCHIVE]).await;
    let b = bench.place("Subject: b\r\n\r\n", &[ARCHIVE, INBOX]).await;
    let destroy = r#"{"destroy": ["m4"]}"#;
    delete(&bench, ARCHIVE, a).await;
    let error = jmap::<Set<Mailbox>>(&bench, destroy, "/notDestroyed/m4/type").await;
    assert_eq!(error, json!("mailboxHasEmail"));
    delete(&bench, ARCHIVE, b).await;
    jmap::<Set<Mailbox>>(&bench, destroy, "/destroyed").await;
    assert_eq!(list(&bench, own(INBOX)).await, "1:e8");
    let gone = bench.core.view_status(&owner(), own(ARCHIVE)).await;
    assert_eq!(gone, Err(ViewError::NoSuchMailbox));
    assert_sound(&bench).await;
}

#[tokio::test]
async fn the_quota_counts_it() {
    let bench = Bench::new().await;
    let email = bench.deliver("Subject: a\r\n\r\n").await;
    let used = async || {
        let handle = bench.core.accounts.handle(AccountId::new(OWNER));
        handle.head().await.unwrap().used_octets
    };
    delete(&bench, INBOX, email).await;
    assert_eq!(used().await, 14);
    bench
        .core
        .view_expunge(&owner(), own(INBOX), &[email])
        .await
        .unwrap();
    assert_eq!(used().await, 0);
}

#[tokio::test]
async fn guests_change_what_their_rights_allow() {
    let bench = Bench::new().await;
    let email = bench.deliver("Subject: a\r\n\r\n").await;
    let rights = [
        (MailboxRights::READ_ITEMS, None),
        (MailboxRights::SET_SEEN, Some("$seen work")),
        (MailboxRights::SET_KEYWORDS, Some("$seen work x")),
        (MailboxRights::REMOVE_ITEMS, Some("$seen work \\Deleted")),
    ];
    for (right, expected) in rights {
        share(&bench, INBOX, MailboxRights::READ_ITEMS.union(right)).await;
        let flags = &["$seen", "x", "\\Deleted"];
        let stored = store(&bench, &guest(), own(INBOX), email, FlagChange::Add, flags).await;
        let after = stored.ok().map(|stored| {
            let row = &stored.rows[0];
            let deleted = if row.is_deleted { " \\Deleted" } else { "" };
            row.keywords.join(" ") + deleted
        });
        assert_eq!(after.as_deref(), expected, "{right:?}");
        let flags = &["x", "\\Deleted"];
        store(
            &bench,
            &owner(),
            own(INBOX),
            email,
            FlagChange::Remove,
            flags,
        )
        .await
        .unwrap();
    }
    share(&bench, INBOX, MailboxRights::READ_ITEMS).await;
    let denied = bench
        .core
        .view_expunge(&guest(), own(INBOX), &[email])
        .await;
    assert!(matches!(denied, Err(ViewError::Forbidden(_))));
}

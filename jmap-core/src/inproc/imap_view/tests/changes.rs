//! UIDs, MODSEQ and what a session is told, against a model.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use store::engine::SplitMix64;

use super::*;

/// What a session knows: UID and email, flags by UID.
#[derive(Debug, Default)]
struct Known {
    sequence: u64,
    messages: BTreeMap<u32, Message>,
    highest_modseq: u64,
    uid_next: u32,
}

#[derive(Debug, Clone, PartialEq)]
struct Message {
    email: u64,
    is_deleted: bool,
    keywords: String,
}

fn of_row(row: &ViewRow) -> (u32, Message) {
    let message = Message {
        email: row.email,
        is_deleted: row.is_deleted,
        keywords: row.keywords.join(" "),
    };
    (row.uid, message)
}

/// All that is there, read anew.
async fn now(bench: &Bench, key: MailboxKey) -> Known {
    let opened = bench.core.view_open(&owner(), key).await.unwrap();
    let uids: Vec<u32> = opened.messages.iter().map(|(uid, _)| uid).collect();
    assert!(uids.is_sorted_by(|a, b| a < b), "{uids:?}");
    let emails: Vec<u64> = opened.messages.iter().map(|(_, email)| email).collect();
    let rows = bench.core.view_rows(&owner(), key, &emails).await.unwrap();
    let rows: Vec<ViewRow> = rows.into_iter().map(Option::unwrap).collect();
    assert!(
        rows.iter()
            .all(|row| row.modseq <= opened.status.highest_modseq)
    );
    let unseen = rows
        .iter()
        .filter(|row| !row.keywords.iter().any(|k| &**k == "$seen"));
    assert_eq!(
        opened.first_unseen_uid,
        unseen.clone().map(|row| row.uid).next()
    );
    let keywords: BTreeSet<Arc<str>> = rows.iter().flat_map(|r| r.keywords.to_vec()).collect();
    assert!(opened.keywords.iter().eq(&keywords), "{keywords:?}");
    let size = |rows: &[&ViewRow]| rows.iter().map(|row| u64::from(row.size)).sum::<u64>();
    let deleted: Vec<&ViewRow> = rows.iter().filter(|row| row.is_deleted).collect();
    let expected = ViewStatus {
        messages: rows.len() as u32,
        unseen: unseen.count() as u32,
        deleted: deleted.len() as u32,
        size: size(&rows.iter().collect::<Vec<_>>()),
        deleted_size: size(&deleted),
        ..opened.status
    };
    assert_eq!(opened.status, expected);
    assert_eq!(
        bench.core.view_status(&owner(), key).await.unwrap(),
        expected
    );
    Known {
        sequence: opened.sequence,
        messages: rows.iter().map(of_row).collect(),
        highest_modseq: opened.status.highest_modseq,
        uid_next: opened.status.uid_next,
    }
}

impl Known {
    /// As a session does with what it is told.
    async fn follow(&mut self, bench: &Bench, key: MailboxKey) {
        let delta = bench
            .core
            .view_changes(&owner(), key, self.sequence)
            .await
            .unwrap();
        let all: BTreeSet<(u32, u64)> = delta.messages.iter().collect();
        self.messages
            .retain(|uid, m| all.contains(&(*uid, m.email)));
        for row in &delta.rows {
            let (uid, message) = of_row(row);
            // Under another UID it has come back.
            self.messages
                .retain(|other, m| *other == uid || m.email != message.email);
            self.messages.insert(uid, message);
        }
        assert!(delta.uid_next >= self.uid_next);
        assert!(delta.highest_modseq >= self.highest_modseq);
        (self.sequence, self.uid_next) = (delta.sequence, delta.uid_next);
        self.highest_modseq = delta.highest_modseq;
    }

    fn assert_is(&self, now: &Known, what: &str) {
        assert_eq!(self.messages, now.messages, "{what}");
        assert_eq!(self.uid_next, now.uid_next, "{what}");
    }
}

async fn step(bench: &Bench, dice: &mut SplitMix64, mailboxes: &[u64]) {
    let (core, who) = (&bench.core, owner());
    let pick = |dice: &mut SplitMix64| mailboxes[dice.below(mailboxes.len() as u64) as usize];
    let from = own(pick(dice));
    let to = own(pick(dice));
    let opened = core.view_open(&who, from).await.unwrap();
    let mut some: Vec<u64> = opened.messages.iter().map(|(_, email)| email).collect();
    some.retain(|_| dice.happens(400));
    let first = some.first().copied().unwrap_or(999);
    let n = dice.below(1 << 20);
    let text = format!(
        "Subject: {n}\r\nMessage-ID: <{}@x>\r\nIn-Reply-To: <{}@x>\r\n\r\n",
        n % 7,
        n % 5
    );
    match dice.below(9) {
        0 | 1 => {
            let mut new = message(&text);
            new.deleted = dice.happens(200);
            core.view_append(&who, to, vec![new]).await.map(drop)
        }
        2 => core.view_copy(&who, from, &some, to).await.map(drop),
        3 => core.view_move(&who, from, &some, to).await.map(drop),
        4 => core.view_expunge(&who, from, &some).await.map(drop),
        5 => match core
            .view_replace(&who, from, first, to, message(&text))
            .await
        {
            Err(ViewError::Invalid(_)) if first == 999 => Ok(()),
            result => result.map(drop),
        },
        6 => {
            let mailboxes = format!(r#"{{"m{}": true, "m{}": true}}"#, from.mailbox, to.mailbox);
            let id = jmap_types::Id::<jmap_types::mail::Email>::new(first);
            let set = format!(r#"{{"update": {{"{id}": {{"mailboxIds": {mailboxes}}}}}}}"#);
            jmap::<jmap_types::method::Set<jmap_types::mail::Email>>(bench, &set, "").await;
            Ok(())
        }
        _ => {
            let changes = [FlagChange::Add, FlagChange::Remove, FlagChange::Replace];
            let store = StoreFlags {
                mailbox: from,
                emails: some,
                change: changes[dice.below(3) as usize],
                keywords: vec![["$seen", "$draft", "x"][dice.below(3) as usize].to_owned()],
                deleted: dice.happens(600),
                unchanged_since: dice.happens(100).then(|| opened.sequence.saturating_sub(2)),
            };
            core.view_store(&who, store).await.map(drop)
        }
    }
    .unwrap();
}

#[tokio::test]
async fn who_follows_the_changes_knows_what_is_there() {
    for seed in 0..6 {
        let bench = Bench::new().await;
        let mut dice = SplitMix64(seed);
        let mailboxes = [INBOX, DRAFTS, ARCHIVE];
        let mut known = BTreeMap::new();
        for id in mailboxes {
            known.insert(id, now(&bench, own(id)).await);
        }
        for round in 0..150 {
            step(&bench, &mut dice, &mailboxes).await;
            for (&id, known) in &mut known {
                if dice.happens(500) {
                    known.follow(&bench, own(id)).await;
                    let what = format!("seed {seed}, round {round}, mailbox {id}");
                    known.assert_is(&now(&bench, own(id)).await, &what);
                }
            }
            if dice.happens(60) {
                // As after a restart: what is remembered is gone, and MODSEQ doesn't go back.
                bench.core.accounts.shrink(0);
            }
        }
        assert_sound(&bench).await;
    }
}

#[tokio::test]
async fn uids_are_never_given_twice() {
    let bench = Bench::new().await;
    let email = bench.deliver("Subject: a\r\n\r\n").await;
    bench
        .core
        .view_remove(&owner(), own(INBOX), &[email])
        .await
        .unwrap();
    bench.core.accounts.shrink(0);
    let status = bench.core.view_status(&owner(), own(INBOX)).await.unwrap();
    assert_eq!((status.messages, status.uid_next), (0, 2));
    bench.deliver("Subject: b\r\n\r\n").await;
    assert_eq!(list(&bench, own(INBOX)).await, "2:e8");
}

#[tokio::test]
async fn what_changed_since_stays_as_it_is() {
    let bench = Bench::new().await;
    let email = bench.deliver("Subject: a\r\n\r\n").await;
    let sequence = bench
        .core
        .view_open(&owner(), own(INBOX))
        .await
        .unwrap()
        .sequence;
    let conditional = |since| StoreFlags {
        mailbox: own(INBOX),
        emails: vec![email],
        change: FlagChange::Add,
        keywords: vec!["y".to_owned()],
        deleted: true,
        unchanged_since: Some(since),
    };
    let stored = bench
        .core
        .view_store(&owner(), conditional(sequence - 1))
        .await
        .unwrap();
    assert_eq!(stored.modified, [email]);
    assert_eq!(list(&bench, own(INBOX)).await, "1:e7");
    let stored = bench
        .core
        .view_store(&owner(), conditional(sequence))
        .await
        .unwrap();
    assert!(stored.modified.is_empty() && stored.rows[0].is_deleted);
}

#[tokio::test]
async fn a_mailbox_that_is_gone_has_no_changes() {
    let bench = Bench::new().await;
    let destroy = r#"{"destroy": ["m4"]}"#;
    jmap::<jmap_types::method::Set<jmap_types::mail::Mailbox>>(&bench, destroy, "/destroyed").await;
    let changes = bench.core.view_changes(&owner(), own(ARCHIVE), 0).await;
    assert_eq!(changes.unwrap_err(), ViewError::NoSuchMailbox);
    let opened = bench.core.view_open(&owner(), own(ARCHIVE)).await;
    assert_eq!(opened.unwrap_err(), ViewError::NoSuchMailbox);
}

/// RFC 9051 §2.3.1.1, RFC 9051 §6.3.6: made in the same second, of one name after the other, and with the name of another one.
#[tokio::test]
async fn no_two_mailboxes_have_the_same_uid_validity() {
    use jmap_types::{mail::Mailbox, method::Set};
    let bench = Bench::new().await;
    let mut seen = std::collections::BTreeSet::new();
    for mailbox in 1..=6 {
        let opened = bench.core.view_open(&owner(), own(mailbox)).await.unwrap();
        seen.insert(opened.status.uid_validity);
    }
    assert_eq!(seen.len(), 6);
    for _ in 0..3 {
        let create = r#"{"create": {"c": {"name": "again"}}}"#;
        let id = jmap::<Set<Mailbox>>(&bench, create, "/created/c/id").await;
        let number = id.as_str().unwrap().trim_start_matches('m').parse();
        let opened = bench.core.view_open(&owner(), own(number.unwrap())).await;
        let validity = opened.unwrap().status.uid_validity;
        assert!(seen.last().is_some_and(|last| validity > *last));
        seen.insert(validity);
        let destroy = format!(r#"{{"destroy": [{id}]}}"#);
        jmap::<Set<Mailbox>>(&bench, &destroy, "/destroyed/0").await;
    }
    assert_sound(&bench).await;
}

//! A view that was changed step by step is the one that is loaded.

use std::collections::BTreeMap;

use super::*;
use crate::mail::records::InMailbox;

const MAILBOXES: u64 = 4;

fn mailbox(id: u64) -> Arc<MailboxRecord> {
    Arc::new(MailboxRecord {
        name: format!("m{id}"),
        parent: None,
        role: (id == MAILBOXES).then(|| "trash".to_owned()),
        sort_order: 0,
        is_subscribed: true,
        share_with: Vec::new(),
        uid_validity: 1,
    })
}

/// All that a client can see, of JMAP or of IMAP.
fn shown(view: &View) -> String {
    let emails: Vec<_> = view.emails().collect();
    let mailboxes = (1..=MAILBOXES).map(|id| {
        let row = view.mailbox(id).unwrap();
        let uids: Vec<_> = row
            .by_uid()
            .iter()
            .map(|(uid, id)| (uid, view.any_email(id)))
            .collect();
        let unseen: Vec<_> = row.unseen.iter().map(|(uid, ())| uid).collect();
        let counts = (view.counts(id), row.all, unseen, &row.keywords);
        (counts, &row.by_received, uids)
    });
    let threads: Vec<_> = (1..=8).map(|thread| view.thread(thread)).collect();
    let mailboxes: Vec<_> = mailboxes.collect();
    format!(
        "{emails:?} {mailboxes:?} {threads:?} {:?}",
        view.by_received()
    )
}

fn fresh() -> View {
    let mut view = View::empty(Head::default());
    for id in 1..=MAILBOXES {
        let record = mailbox(id);
        view.apply(0, ViewEvent::Mailbox { id, record });
    }
    view
}

#[test]
fn a_changed_view_is_the_one_that_is_loaded() {
    for seed in 1..=30u64 {
        let mut dice = seed;
        let mut roll = |sides: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (dice >> 33) % sides
        };
        let mut view = fresh();
        let mut records: BTreeMap<u64, EmailRecord> = BTreeMap::new();
        for step in 0..400 {
            let id = 1 + roll(60);
            if roll(6) == 0 {
                view.apply(step, ViewEvent::EmailGone { id });
                records.remove(&id);
                continue;
            }
            let deleted_in = roll(2 * MAILBOXES);
            let place = |mailbox| InMailbox {
                mailbox,
                uid: id as u32,
                saved_at: 0,
                is_deleted: mailbox == deleted_in,
            };
            let old = records.get(&id);
            let moves = old.is_none() || roll(3) == 0;
            let all_places = match old {
                Some(old) if !moves => old.all_places.clone(),
                _ => {
                    let first = 1 + roll(MAILBOXES);
                    (first..=MAILBOXES.min(first + roll(3)))
                        .map(place)
                        .collect()
                }
            };
            let all = ["$seen", "$flagged", "x"];
            let keywords = all.iter().filter(|_| roll(2) == 0);
            let keywords = keywords.map(|name| (*name).to_owned()).collect();
            let record = EmailRecord {
                blob: [id as u8; 32],
                thread: old.map_or(1 + roll(8), |old| old.thread),
                received_at: old.map_or(roll(20) as i64, |old| old.received_at),
                size: 10,
                all_places,
                keywords,
                created_seq: 1,
                modseq: step,
                sent_at: (id > 30).then_some(step as i64),
                has_attachment: false,
            };
            let event = Arc::new(record.clone());
            view.apply(step, ViewEvent::Email { id, record: event });
            records.insert(id, record);
        }
        let mut loaded = fresh();
        // The numbers of keywords depend on which came first.
        for name in ["$flagged", "x"] {
            loaded.keywords.set(&[name.to_owned()]);
            view.keywords.set(&[name.to_owned()]);
        }
        for (id, record) in &records {
            loaded.put_email(*id, record);
        }
        assert_eq!(shown(&view), shown(&loaded), "seed {seed}");
    }
}

//! What transactions do to emails: insert, change, remove.
//!
//! Holds: email record, thread, UIDs, blob reference, quota, change log and view change together,
//! in one transaction; every protocol and method goes through here.
//! Other half: `view` applies the events, `log` has the changes.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use jmap_types::{DataType, SetError, SetErrorKind};
use store::{
    Change, ChangeKind, Txn, decode_numbers,
    engine::{Assertion, Batch},
    keys::{self, BlobHash},
    numbers,
};

use super::{
    message::{Summary, WireStructure},
    records::{EmailRecord, InMailbox, MailboxRecord},
    undelete,
    view::ViewEvent,
};
use crate::{clock::UtcMillis, object::Rejected};

pub type MailTxn = Txn<ViewEvent>;

/// The id of every account's inbox: the first object of an account.
pub const INBOX: u64 = 1;

/// What every account begins with: name, role, sort order.
const FIRST_MAILBOXES: &[(&str, &str, u32)] = &[
    ("Inbox", "inbox", 1),
    ("Drafts", "drafts", 2),
    ("Sent", "sent", 3),
    ("Archive", "archive", 4),
    ("Junk", "junk", 5),
    ("Trash", "trash", 6),
];

/// Name, role and sort order of one of the mailboxes that every account begins with, by its number.
pub(crate) fn first_mailbox(id: u64) -> Option<(&'static str, &'static str, u32)> {
    let at = usize::try_from(id.checked_sub(INBOX)?).ok()?;
    FIRST_MAILBOXES.get(at).copied()
}

/// Makes the mailboxes of a new account. Does nothing to one that has mailboxes.
pub fn provision(txn: &mut MailTxn, now: UtcMillis) {
    if txn.head.last_id != 0 {
        return;
    }
    for &(name, role, sort_order) in FIRST_MAILBOXES {
        let uid_validity = uid_validity(txn, now);
        let record = MailboxRecord {
            name: name.to_owned(),
            parent: None,
            role: Some(role.to_owned()),
            sort_order,
            is_subscribed: true,
            share_with: Vec::new(),
            uid_validity,
        };
        insert_mailbox(txn, record);
    }
}

/// RFC 9051 §2.3.1.1: a mailbox that takes the place of a former one must have a greater one. Two that are made within a second have different
/// ones too: by a rename, either may come to have the other's name.
pub fn uid_validity(txn: &mut MailTxn, now: UtcMillis) -> u32 {
    let now = u32::try_from(now.seconds()).unwrap_or(u32::MAX).max(1);
    let last = txn.head.uid_validity;
    let next = last.map_or(now, |last| now.max(last.saturating_add(1)));
    txn.head.uid_validity = Some(next);
    next
}

pub fn insert_mailbox(txn: &mut MailTxn, record: MailboxRecord) -> u64 {
    let id = txn.new_id();
    let account = txn.account();
    txn.put(
        keys::mailbox_uid(account, id),
        numbers(&[record.uid_validity.into(), 1]),
    );
    txn.assert(Assertion::Absent(keys::object(
        account,
        DataType::Mailbox,
        id,
    )));
    put_mailbox(txn, id, record, ChangeKind::Created);
    id
}

/// Writes a mailbox's record.
pub fn put_mailbox(txn: &mut MailTxn, id: u64, record: MailboxRecord, kind: ChangeKind) {
    txn.put_record(keys::object(txn.account(), DataType::Mailbox, id), &record);
    txn.changed(Change::new(DataType::Mailbox, id, kind));
    txn.emit(ViewEvent::Mailbox {
        id,
        record: Arc::new(record),
    });
}

/// Removes a mailbox that has no emails any more, and its annotations (RFC 5464 §4.1).
pub async fn remove_mailbox(txn: &mut MailTxn, id: u64) -> Result<(), store::Error> {
    let account = txn.account();
    for (key, _) in txn.scan(keys::metadata_of(account, id)).await? {
        txn.delete(key.to_vec());
    }
    txn.delete(keys::object(account, DataType::Mailbox, id));
    txn.delete(keys::mailbox_uid(account, id));
    txn.changed(Change::new(DataType::Mailbox, id, ChangeKind::Destroyed));
    txn.emit(ViewEvent::MailboxGone { id });
    Ok(())
}

/// A message, parsed once for all the accounts that get it.
#[derive(Clone, Debug)]
pub struct Message {
    pub hash: BlobHash,
    pub octets: Bytes,
    pub summary: Arc<Summary>,
    pub encoded_summary: Bytes,
    pub encoded_structure: Bytes,
    /// Nobody else can have stored these octets yet, so the store isn't asked for them. Should it have them all the same, they are written once more.
    pub is_new: bool,
}

impl Message {
    pub fn parse(octets: Bytes) -> Self {
        let summary = Summary::parse(&octets);
        Self::new(store::blob::hash(&octets), octets, Arc::new(summary))
    }

    /// A message whose summary is known.
    pub fn new(hash: BlobHash, octets: Bytes, summary: Arc<Summary>) -> Self {
        Self {
            hash,
            encoded_summary: summary.encode().into(),
            encoded_structure: WireStructure::new(&octets, &summary).encode().into(),
            summary,
            octets,
            is_new: false,
        }
    }

    /// Adds the octets, the summary and the structure to `batch`, unless the store has them.
    pub async fn ensure_stored(
        &self,
        engine: &Arc<dyn store::engine::Engine>,
        batch: &mut Batch,
    ) -> Result<(), store::Error> {
        match self.is_new {
            true => drop(batch.put(keys::blob(&self.hash), self.octets.clone())),
            false => store::blob::ensure(engine, batch, &self.hash, &self.octets).await?,
        }
        batch.put(keys::summary(&self.hash), self.encoded_summary.clone());
        batch.put(keys::structure(&self.hash), self.encoded_structure.clone());
        Ok(())
    }
}

/// Where a new email goes.
#[derive(Clone, Debug)]
pub struct Placement {
    pub mailboxes: Vec<u64>,
    /// With `\Deleted` in all of them.
    pub is_deleted: bool,
    /// In lower case.
    pub keywords: Vec<String>,
    /// Seconds since 1970.
    pub received_at: i64,
    /// Octets that the account may use; 0 is no limit.
    pub quota_octets: u64,
    /// It came from outside (RFC 8621 §1.5 `EmailDelivery`).
    pub is_delivery: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inserted {
    pub id: u64,
    pub thread: u64,
}

/// Adds an email. The mailboxes must exist: one that doesn't is `invalidProperties`.
pub async fn insert_email(
    txn: &mut MailTxn,
    message: &Message,
    placement: &Placement,
    now: UtcMillis,
) -> Result<Inserted, Rejected> {
    let mut batch = Batch::new();
    message.ensure_stored(txn.engine(), &mut batch).await?;
    txn.append_unread(batch);
    let stored = StoredMessage {
        hash: message.hash,
        size: message.octets.len() as u64,
        summary: &message.summary,
    };
    insert(txn, stored, placement, now).await
}

/// A message that the store has.
#[derive(Clone, Copy, Debug)]
pub struct StoredMessage<'s> {
    pub hash: BlobHash,
    pub size: u64,
    pub summary: &'s Summary,
}

/// Adds an email whose message the store has; when it has lost it until the transaction is written, that is a conflict.
pub async fn insert_stored(
    txn: &mut MailTxn,
    stored: StoredMessage<'_>,
    placement: &Placement,
    now: UtcMillis,
) -> Result<Inserted, Rejected> {
    txn.assert(Assertion::Present(keys::blob(&stored.hash)));
    insert(txn, stored, placement, now).await
}

async fn insert(
    txn: &mut MailTxn,
    stored: StoredMessage<'_>,
    placement: &Placement,
    now: UtcMillis,
) -> Result<Inserted, Rejected> {
    let used = txn.head.used_octets.saturating_add(stored.size);
    if placement.quota_octets != 0 && used > placement.quota_octets {
        return Err(
            SetError::describe(SetErrorKind::OverQuota, "The account has no room for it.").into(),
        );
    }
    let account = txn.account();
    let id = txn.new_id();
    txn.put(
        keys::blob_ref(&stored.hash, account, DataType::Email, id),
        Bytes::new(),
    );
    let thread = find_thread(txn, stored.summary, id).await?;
    let mut mailboxes = Vec::with_capacity(placement.mailboxes.len());
    for &mailbox in &placement.mailboxes {
        mailboxes.push(InMailbox {
            is_deleted: placement.is_deleted,
            ..new_place(txn, mailbox, now).await?
        });
        txn.changed(Change::new(DataType::Mailbox, mailbox, ChangeKind::Counts));
    }
    let mut keywords = placement.keywords.clone();
    keywords.sort_unstable();
    keywords.dedup();
    let record = EmailRecord {
        blob: stored.hash,
        thread,
        received_at: placement.received_at,
        size: stored.size,
        all_places: mailboxes,
        keywords,
        created_seq: txn.sequence(),
        modseq: txn.sequence(),
        sent_at: stored.summary.sent_at.map(|date| date.timestamp),
        has_attachment: stored.summary.has_attachment,
    };
    txn.head.used_octets = used;
    let key = keys::object(account, DataType::Email, id);
    // A head that went back would have numbers given again: no email takes the place of another.
    txn.assert(Assertion::Absent(key.clone()));
    txn.put_record(key, &record);
    if record.is_visible() {
        join_thread(txn, thread).await?;
        txn.changed(Change::new(DataType::Email, id, ChangeKind::Created));
    } else {
        txn.changed_unseen(id);
    }
    txn.changed(Change::new(DataType::Quota, 0, ChangeKind::Updated));
    if placement.is_delivery {
        txn.changed(Change::new(
            DataType::EmailDelivery,
            id,
            ChangeKind::Created,
        ));
    }
    txn.emit(ViewEvent::Email {
        id,
        record: Arc::new(record),
    });
    Ok(Inserted { id, thread })
}

/// A place in a mailbox for an email that comes into it: with a new UID.
pub async fn new_place(
    txn: &mut MailTxn,
    mailbox: u64,
    now: UtcMillis,
) -> Result<InMailbox, Rejected> {
    Ok(InMailbox {
        mailbox,
        uid: next_uid(txn, mailbox).await?,
        saved_at: now.seconds(),
        is_deleted: false,
    })
}

/// The next UID of a mailbox.
async fn next_uid(txn: &mut MailTxn, mailbox: u64) -> Result<u32, Rejected> {
    let key = keys::mailbox_uid(txn.account(), mailbox);
    let Some(bytes) = txn.get(&key).await? else {
        let why = "One of the mailboxes does not exist.";
        return Err(SetError::invalid_property("mailboxIds", why).into());
    };
    let [validity, next] = decode_numbers(&key, &bytes)?;
    let Ok(uid) = u32::try_from(next) else {
        return Err(SetError::forbidden("The mailbox has no UIDs left.").into());
    };
    txn.put(key, numbers(&[validity, next + 1]));
    Ok(uid)
}

/// A key for a message id together with the subject: RFC 8621 §3 wants both to agree.
pub(crate) fn thread_ref_hashes(summary: &Summary) -> impl Iterator<Item = u64> {
    let subject = summary.subject_hash;
    let hashes = summary.thread_hashes().into_iter();
    // A message that names thousands of others is in one thread with the first ones.
    hashes
        .take(THREAD_REFS_MAX)
        .map(move |hash| hash.rotate_left(17) ^ subject)
}

/// Message ids of one message that count for threading.
pub const THREAD_REFS_MAX: usize = 64;

/// Finds the thread of a new email, or begins one.
async fn find_thread(
    txn: &mut MailTxn,
    summary: &Summary,
    email: u64,
) -> Result<u64, store::Error> {
    let account = txn.account();
    let mut refs = Vec::new();
    for hash in thread_ref_hashes(summary) {
        let key = keys::thread_ref(account, hash);
        let value = match txn.get(&key).await? {
            Some(bytes) => Some(decode_numbers::<2>(&key, &bytes)?),
            None => None,
        };
        refs.push((key, value));
    }
    let known = refs
        .iter()
        .filter_map(|(_, value)| value.map(|[thread, _]| thread))
        .min();
    let thread = known.unwrap_or(email);
    for (key, value) in refs {
        let [thread, count] = value.unwrap_or([thread, 0]);
        txn.put(key, numbers(&[thread, count + 1]));
    }
    Ok(thread)
}

/// Counts an email that JMAP sees in its thread.
async fn join_thread(txn: &mut MailTxn, thread: u64) -> Result<(), store::Error> {
    let key = keys::object(txn.account(), DataType::Thread, thread);
    let count = match txn.get(&key).await? {
        Some(bytes) => decode_numbers::<1>(&key, &bytes)?[0],
        None => 0,
    };
    txn.put(key, numbers(&[count + 1]));
    let kind = if count == 0 {
        ChangeKind::Created
    } else {
        ChangeKind::Updated
    };
    txn.changed(Change::new(DataType::Thread, thread, kind));
    Ok(())
}

/// An email that goes is no way to its thread any more.
async fn forget_thread(txn: &mut MailTxn, summary: Option<&Summary>) -> Result<(), store::Error> {
    let account = txn.account();
    for hash in summary.into_iter().flat_map(thread_ref_hashes) {
        let key = keys::thread_ref(account, hash);
        if let Some(bytes) = txn.get(&key).await? {
            match decode_numbers::<2>(&key, &bytes)? {
                [_, 0 | 1] => txn.delete(key),
                [thread, count] => txn.put(key, numbers(&[thread, count - 1])),
            }
        }
    }
    Ok(())
}

/// An email is not seen by JMAP any more; its thread goes with its last one.
async fn leave_thread(txn: &mut MailTxn, thread: u64) -> Result<(), store::Error> {
    let key = keys::object(txn.account(), DataType::Thread, thread);
    let count = match txn.get(&key).await? {
        Some(bytes) => decode_numbers::<1>(&key, &bytes)?[0],
        None => 1,
    };
    if count <= 1 {
        txn.delete(key);
        txn.changed(Change::new(DataType::Thread, thread, ChangeKind::Destroyed));
    } else {
        txn.put(key, numbers(&[count - 1]));
        txn.changed(Change::new(DataType::Thread, thread, ChangeKind::Updated));
    }
    Ok(())
}

/// The record of an email that JMAP sees, as the transaction sees it.
pub async fn email(txn: &MailTxn, id: u64) -> Result<Option<EmailRecord>, store::Error> {
    let record = any_email(txn, id).await?;
    Ok(record.filter(EmailRecord::is_visible))
}

/// The record of an email, with `\Deleted` or without, as the transaction sees it.
pub async fn any_email(txn: &MailTxn, id: u64) -> Result<Option<EmailRecord>, store::Error> {
    txn.record(&keys::object(txn.account(), DataType::Email, id))
        .await
}

/// Gives an email other mailboxes and keywords, as JMAP sees them. Where it stays, it keeps its UID.
///
/// RFC 8621 §4.1.1: where it has `\Deleted` it stays as it is, unless the mailbox is one of these: then it is taken back.
pub async fn change_email(
    txn: &mut MailTxn,
    id: u64,
    record: EmailRecord,
    mailboxes: &[u64],
    keywords: Vec<String>,
    now: UtcMillis,
) -> Result<(), Rejected> {
    let mut places = record.all_places.clone();
    places.retain(|place| place.is_deleted || mailboxes.contains(&place.mailbox));
    for &mailbox in mailboxes {
        match places.iter_mut().find(|place| place.mailbox == mailbox) {
            Some(place) => place.is_deleted = false,
            None => places.push(new_place(txn, mailbox, now).await?),
        }
    }
    set_places(txn, id, record, places, keywords).await?;
    Ok(())
}

/// Gives an email these places and keywords, if they are others than it has.
pub async fn set_places(
    txn: &mut MailTxn,
    id: u64,
    mut record: EmailRecord,
    places: Vec<InMailbox>,
    mut keywords: Vec<String>,
) -> Result<(), store::Error> {
    keywords.sort_unstable();
    keywords.dedup();
    let keywords_changed = keywords != record.keywords;
    if places == record.all_places && !keywords_changed {
        return Ok(());
    }
    // Unread counts of all its mailboxes may change with its keywords. That those of a mailbox may have changed is also what
    // the sessions of other protocols learn, where JMAP sees nothing else.
    let touched = record.all_places.iter().chain(&places);
    for mailbox in touched.map(|place| place.mailbox) {
        txn.changed(Change::new(DataType::Mailbox, mailbox, ChangeKind::Counts));
    }
    let before = visible_mailboxes(&record);
    record.all_places = places;
    record.keywords = keywords;
    record.modseq = txn.sequence();
    let after = visible_mailboxes(&record);
    // RFC 8621 §4.1.1: without a place that JMAP sees, an email is destroyed for it; taken back, it is created.
    let kind = match (before.is_empty(), after.is_empty()) {
        (false, true) => {
            leave_thread(txn, record.thread).await?;
            Some(ChangeKind::Destroyed)
        }
        (true, false) => {
            join_thread(txn, record.thread).await?;
            Some(ChangeKind::Created)
        }
        (false, false) => (keywords_changed || before != after).then_some(ChangeKind::Updated),
        (true, true) => None,
    };
    match kind {
        Some(kind) => txn.changed(Change::new(DataType::Email, id, kind)),
        None => txn.changed_unseen(id),
    }
    txn.put_record(keys::object(txn.account(), DataType::Email, id), &record);
    txn.emit(ViewEvent::Email {
        id,
        record: Arc::new(record),
    });
    Ok(())
}

fn visible_mailboxes(record: &EmailRecord) -> BTreeSet<u64> {
    record.places().map(|place| place.mailbox).collect()
}

/// What removing an email leaves behind.
#[derive(Clone, Copy, Debug)]
pub struct Removal {
    pub now: UtcMillis,
    /// It can be brought back (`undelete`).
    pub is_kept: bool,
}

/// Takes an email out of a mailbox; it goes when that was its last place, with `\Deleted` or without.
pub async fn leave_mailbox(
    txn: &mut MailTxn,
    id: u64,
    record: EmailRecord,
    mailbox: u64,
    removal: Removal,
) -> Result<(), store::Error> {
    let mut places = record.all_places.clone();
    places.retain(|place| place.mailbox != mailbox);
    if places.is_empty() {
        return remove_email(txn, id, &record, removal).await;
    }
    let keywords = record.keywords.clone();
    set_places(txn, id, record, places, keywords).await
}

/// Removes an email. Its blob goes when nothing else refers to it, after a time of grace; if it is kept, after that time.
pub async fn remove_email(
    txn: &mut MailTxn,
    id: u64,
    record: &EmailRecord,
    removal: Removal,
) -> Result<(), store::Error> {
    let account = txn.account();
    let key = keys::summary(&record.blob);
    let summary = match txn.get(&key).await? {
        Some(bytes) => Summary::decode(&bytes).ok(),
        None => None,
    };
    forget_thread(txn, summary.as_ref()).await?;
    for place in &record.all_places {
        txn.changed(Change::new(
            DataType::Mailbox,
            place.mailbox,
            ChangeKind::Counts,
        ));
    }
    txn.head.used_octets = txn.head.used_octets.saturating_sub(record.size);
    txn.delete(keys::object(account, DataType::Email, id));
    txn.delete(keys::blob_ref(&record.blob, account, DataType::Email, id));
    match removal.is_kept {
        true => undelete::keep(txn, id, record, removal.now),
        false => txn.put(
            keys::blob_candidate(removal.now.0.max(0) as u64, &record.blob),
            Bytes::new(),
        ),
    }
    if record.is_visible() {
        leave_thread(txn, record.thread).await?;
        txn.changed(Change::new(DataType::Email, id, ChangeKind::Destroyed));
    } else {
        txn.changed_unseen(id);
    }
    txn.changed(Change::new(DataType::Quota, 0, ChangeKind::Updated));
    txn.emit(ViewEvent::EmailGone { id });
    Ok(())
}

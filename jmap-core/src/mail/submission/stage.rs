//! What transactions do to submissions: insert, change, remove.
//!
//! Holds: record, blob reference, row of the queue, change log, the account's count and the queue's length change
//! together, in one transaction.
//! Other half: `inproc::queue` reads the rows.

use bytes::Bytes;
use jmap_types::{AccountId, DataType, SetError, SetErrorKind};
use store::{
    Change, ChangeKind, Record as _,
    engine::{Assertion, Batch, Page},
    keys,
};

use super::{
    envelope::Envelope,
    records::{SubmissionRecord, UndoStatus},
};
use crate::{
    Core, clock::UtcMillis, inproc::origin::Author, mail::write::MailTxn, object::Rejected,
};

/// Old submissions that go at once when there are too many: so that not each new one looks for room.
const ROOM: usize = 100;

/// Sees to it that there are fewer than `max` submissions: the oldest that are done with go. When all of them are still
/// on their way, there is no room.
async fn make_room(txn: &mut MailTxn, max: u64) -> Result<(), Rejected> {
    let range = keys::objects(txn.account(), DataType::EmailSubmission);
    let count = match txn.head.submissions {
        Some(count) => count,
        // An account from before they were counted.
        None => txn.scan(range.clone()).await?.len() as u64,
    };
    txn.head.submissions = Some(count);
    if count < max {
        return Ok(());
    }
    let mut gone = 0;
    for (key, bytes) in txn.scan(range).await? {
        let (_, _, id) =
            keys::decode_object(&key).ok_or_else(|| store::Error::bad_key("submission", &key))?;
        // Invariant 5: the check reports one that can't be read.
        let Ok(record) = SubmissionRecord::from_bytes(&key, &bytes) else {
            continue;
        };
        if record.is_done {
            remove(txn, id, &record);
            gone += 1;
        }
        if gone == ROOM {
            break;
        }
    }
    if txn.head.submissions < Some(max) {
        return Ok(());
    }
    let why = "Too many of your messages still wait to be sent.";
    Err(SetError::describe(SetErrorKind::OverQuota, why).into())
}

/// Whether there is no room for another submission, as [`make_room`] would find.
pub(crate) async fn is_full(core: &Core, account: AccountId) -> Result<bool, store::Error> {
    const ROWS_PER_PAGE: usize = 100;
    let max = core.limits().max_submissions;
    let head = core.accounts.handle(account).head().await?;
    // An account from before they were counted finds out with its next one.
    if head.submissions.is_none_or(|count| count < max) {
        return Ok(false);
    }
    let mut range = keys::objects(account, DataType::EmailSubmission);
    loop {
        let page = Page::first(range.clone(), ROWS_PER_PAGE);
        let rows = core.engine.scan(page).await?;
        let is_done = |(key, bytes): &(Bytes, Bytes)| {
            SubmissionRecord::from_bytes(key, bytes).is_ok_and(|record| record.is_done)
        };
        if rows.iter().any(is_done) {
            return Ok(false);
        }
        let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS_PER_PAGE) else {
            return Ok(true);
        };
        range.start = [last, &[0u8][..]].concat();
    }
}

/// Adds a submission of `octets`, when there are fewer than `max`. `lease` is what its row of the queue holds: nothing,
/// or whose work it is.
pub(crate) async fn insert(
    txn: &mut MailTxn,
    record: &SubmissionRecord,
    octets: &Bytes,
    lease: Bytes,
    max: u64,
) -> Result<u64, Rejected> {
    make_room(txn, max).await?;
    txn.head.submissions = txn.head.submissions.map(|count| count.saturating_add(1));
    let account = txn.account();
    let id = txn.new_id();
    let mut batch = Batch::new();
    store::blob::ensure(txn.engine(), &mut batch, &record.blob, octets).await?;
    batch.add(keys::queue_length(), 1);
    txn.append_unread(batch);
    txn.put(
        keys::blob_ref(&record.blob, account, DataType::EmailSubmission, id),
        Bytes::new(),
    );
    txn.put(keys::queue_due(record.due, account, id), lease);
    // As for emails: a number that is given again takes the place of nothing.
    txn.assert(Assertion::Absent(keys::object(
        account,
        DataType::EmailSubmission,
        id,
    )));
    put(txn, id, record, ChangeKind::Created);
    Ok(id)
}

/// Adds a message that the server itself sends for an account: it goes at once, and nobody sees it. `false`: there is no room for it.
pub(crate) async fn automatic(
    core: &Core,
    txn: &mut MailTxn,
    envelope: Envelope,
    octets: Bytes,
) -> Result<bool, store::Error> {
    passed_on(core, txn, envelope, octets, &Author::Unknown).await
}

/// The same with a message that has arrived and goes on unchanged; `author`: who vouches for its From field.
pub(crate) async fn passed_on(
    core: &Core,
    txn: &mut MailTxn,
    envelope: Envelope,
    octets: Bytes,
    author: &Author,
) -> Result<bool, store::Error> {
    let mut record = super::new_record(core, envelope, &octets, None);
    record.author = Some(author.clone()).filter(|author| *author != Author::Unknown);
    record.is_hidden = true;
    record.undo_status = UndoStatus::Final;
    record.due = core.queue_now();
    let max = core.limits().max_submissions;
    match insert(txn, &record, &octets, Bytes::new(), max).await {
        Ok(_) => Ok(true),
        Err(Rejected::Store(error)) => Err(error),
        Err(Rejected::Set(error)) => {
            tracing::warn!(account = %txn.account(), ?error, "a message of the server could not be queued");
            Ok(false)
        }
    }
}

fn put(txn: &mut MailTxn, id: u64, record: &SubmissionRecord, kind: ChangeKind) {
    txn.put_record(
        keys::object(txn.account(), DataType::EmailSubmission, id),
        record,
    );
    log(txn, id, record, kind);
}

fn log(txn: &mut MailTxn, id: u64, record: &SubmissionRecord, kind: ChangeKind) {
    if !record.is_hidden {
        txn.changed(Change::new(DataType::EmailSubmission, id, kind));
    }
}

/// The record of a submission, as the transaction sees it.
pub(crate) async fn read(txn: &MailTxn, id: u64) -> Result<Option<SubmissionRecord>, store::Error> {
    txn.record(&keys::object(txn.account(), DataType::EmailSubmission, id))
        .await
}

/// Writes a record that was changed. `due` is when the queue looks at it next, milliseconds since 1970.
pub(crate) fn update(txn: &mut MailTxn, id: u64, record: &mut SubmissionRecord, due: u64) {
    reschedule(txn, id, record, due);
    put(txn, id, record, ChangeKind::Updated);
}

fn reschedule(txn: &mut MailTxn, id: u64, record: &mut SubmissionRecord, due: u64) {
    let account = txn.account();
    if record.due == due {
        return;
    }
    if record.due != 0 {
        txn.delete(keys::queue_due(record.due, account, id));
    }
    txn.put(keys::queue_due(due, account, id), Bytes::new());
    record.due = due;
}

/// Lets go of the blob: nothing is left to be sent.
pub(crate) fn release(txn: &mut MailTxn, id: u64, record: &mut SubmissionRecord, now: UtcMillis) {
    if record.is_done {
        return;
    }
    let account = txn.account();
    txn.delete(keys::blob_ref(
        &record.blob,
        account,
        DataType::EmailSubmission,
        id,
    ));
    txn.put(
        keys::blob_candidate(now.0.max(0) as u64, &record.blob),
        Bytes::new(),
    );
    let mut batch = Batch::new();
    batch.add(keys::queue_length(), -1);
    txn.append_unread(batch);
    record.is_done = true;
    record.on_hold = None;
    record.delivered_to.clear();
}

/// Nobody sees it any more; what is not sent yet is sent all the same (RFC 8621 §7.5).
pub(crate) fn hide(txn: &mut MailTxn, id: u64, record: &mut SubmissionRecord, due: u64) {
    log(txn, id, record, ChangeKind::Destroyed);
    record.is_hidden = true;
    reschedule(txn, id, record, due);
    txn.put_record(
        keys::object(txn.account(), DataType::EmailSubmission, id),
        record,
    );
}

/// Takes away a submission that is done with.
pub(crate) fn remove(txn: &mut MailTxn, id: u64, record: &SubmissionRecord) {
    let account = txn.account();
    txn.head.submissions = txn.head.submissions.map(|count| count.saturating_sub(1));
    txn.delete(keys::object(account, DataType::EmailSubmission, id));
    if record.due != 0 {
        txn.delete(keys::queue_due(record.due, account, id));
    }
    if !record.is_done {
        let mut batch = Batch::new();
        batch.add(keys::queue_length(), -1);
        txn.append_unread(batch);
    }
    log(txn, id, record, ChangeKind::Destroyed);
}

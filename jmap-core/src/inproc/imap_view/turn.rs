//! What the transactions of these calls have in common: rights, places, waiting, trying again.

use std::future::Future;

use jmap_types::{DataType, SetError, SetErrorKind};
use store::{account::Ticket, engine::EngineError, keys};

use super::ViewError;
use crate::{
    Caller,
    access::{MailboxRights, Standing},
    accounts::AccountHandle,
    mail::{
        mailbox,
        records::{EmailRecord, InMailbox, MailboxRecord},
        write::{self, MailTxn, Removal},
    },
    object::{ALONE_AFTER, Rejected, TRIES},
};

/// Messages that one transaction changes, where not all of them have to be in one.
pub(super) const MESSAGES_PER_TRANSACTION: usize = 256;

/// What was staged, and the ticket to wait for.
pub(super) type Staged<T> = Result<(T, Option<Ticket>), Rejected>;

/// Takes an email out of a mailbox, if `is_it` says so of its place there; it goes when that was its last one.
pub(super) async fn take_out(
    removal: Removal,
    txn: &mut MailTxn,
    id: u64,
    mailbox: u64,
    is_it: impl Fn(&InMailbox) -> bool,
) -> Result<bool, Rejected> {
    let Some(record) = write::any_email(txn, id).await? else {
        return Ok(false);
    };
    if !place_in(&record, mailbox).is_some_and(|place| is_it(&place)) {
        return Ok(false);
    }
    write::leave_mailbox(txn, id, record, mailbox, removal).await?;
    Ok(true)
}

/// Where an email is in a mailbox.
pub(super) fn place_in(record: &EmailRecord, mailbox: u64) -> Option<InMailbox> {
    let mut places = record.all_places.iter();
    places.find(|place| place.mailbox == mailbox).copied()
}

async fn mailbox_record(txn: &MailTxn, mailbox: u64) -> Result<MailboxRecord, Rejected> {
    let key = keys::object(txn.account(), DataType::Mailbox, mailbox);
    let record = txn.record::<MailboxRecord>(&key).await?;
    record.ok_or_else(|| SetError::not_found().into())
}

/// What the caller may do with a mailbox; one that they don't see is one that isn't there.
pub(super) async fn rights(
    txn: &MailTxn,
    who: &Caller,
    standing: Standing,
    mailbox: u64,
) -> Result<MailboxRights, Rejected> {
    let record = mailbox_record(txn, mailbox).await?;
    let rights = mailbox::my_rights(who, standing, mailbox, &record);
    if rights == MailboxRights::default() {
        return Err(SetError::not_found().into());
    }
    Ok(rights)
}

pub(super) fn need(
    rights: MailboxRights,
    right: MailboxRights,
    why: &'static str,
) -> Result<(), SetError> {
    match rights.contains(right) {
        true => Ok(()),
        false => Err(SetError::forbidden(why)),
    }
}

pub(super) async fn uid_validity(txn: &MailTxn, mailbox: u64) -> Result<u32, Rejected> {
    Ok(mailbox_record(txn, mailbox).await?.uid_validity)
}

pub(super) async fn uid_of(txn: &MailTxn, email: u64, mailbox: u64) -> Result<u32, Rejected> {
    let record = write::any_email(txn, email).await?;
    let place = record.and_then(|record| place_in(&record, mailbox));
    Ok(place.ok_or_else(SetError::not_found)?.uid)
}

/// Waits until it is on disk, and tries again what a concurrent change got in the way of.
pub(super) async fn durable<T, F: Future<Output = Staged<T>>>(
    account: &AccountHandle,
    mut stage: impl FnMut() -> F,
) -> Result<T, ViewError> {
    for conflicts in 0..TRIES {
        let staged = match conflicts < ALONE_AFTER {
            true => stage().await,
            // Boxed, as what is seldom done isn't to take room on the stack each time.
            false => Box::pin(account.writer.alone(Box::pin(stage()))).await?,
        };
        let error = match staged {
            Ok((value, None)) => return Ok(value),
            Ok((value, Some(ticket))) => match ticket.durable().await {
                Ok(()) => return Ok(value),
                Err(error) => Rejected::Store(error),
            },
            Err(error) => error,
        };
        if !matches!(error, Rejected::Store(store::Error::Conflict)) {
            return Err(error.into());
        }
    }
    Err(ViewError::Unavailable)
}

impl From<store::Error> for ViewError {
    fn from(error: store::Error) -> Self {
        tracing::error!(%error, "a call failed in the store");
        match error {
            store::Error::Engine(EngineError::Full(_) | EngineError::Unavailable(_))
            | store::Error::Conflict => Self::Unavailable,
            store::Error::Engine(_)
            | store::Error::Corrupt { .. }
            | store::Error::NewerFormat { .. }
            | store::Error::UnfinishedCopy
            | store::Error::NoUpgrade { .. }
            | store::Error::NodesServe => Self::Failed,
        }
    }
}

impl From<EngineError> for ViewError {
    fn from(error: EngineError) -> Self {
        store::Error::from(error).into()
    }
}

impl From<Rejected> for ViewError {
    fn from(rejected: Rejected) -> Self {
        match rejected {
            Rejected::Store(error) => error.into(),
            Rejected::Set(error) => error.into(),
        }
    }
}

impl From<SetError> for ViewError {
    fn from(error: SetError) -> Self {
        let text = error.description.unwrap_or_default();
        match error.kind {
            SetErrorKind::NotFound => Self::NoSuchMailbox,
            SetErrorKind::Forbidden => Self::Forbidden(text),
            SetErrorKind::OverQuota => Self::OverQuota,
            SetErrorKind::AlreadyExists => Self::AlreadyExists,
            SetErrorKind::MailboxHasChild => Self::HasChildren,
            SetErrorKind::TooManyKeywords => Self::Limit("The message has too many keywords."),
            SetErrorKind::TooManyMailboxes => Self::Limit("The message is in too many mailboxes."),
            SetErrorKind::RateLimit => Self::Unavailable,
            SetErrorKind::ServerFail => Self::Failed,
            _ => Self::Invalid(text),
        }
    }
}

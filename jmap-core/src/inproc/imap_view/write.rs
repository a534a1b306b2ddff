//! STORE, EXPUNGE, APPEND, COPY and MOVE.
//!
//! Holds: APPEND, COPY and MOVE do all or nothing (RFC 9051 §6.3.12, §6.4.7); a STORE or EXPUNGE of many messages is some
//! transactions, each of them whole.
//! Other half: `mail::write`.

use std::future::Future;

use jmap_types::{DataType, SetError, SetErrorKind};
use store::{account::Ticket, engine::EngineError, keys};

use super::{
    Appended, FlagChange, MailboxKey, NewMessage, StoreFlags, Stored, ViewError, read::RowMaker,
};
use crate::{
    Caller, Core,
    access::{MailboxRights, Standing},
    mail::{
        email::with_octets,
        mailbox,
        records::{EmailRecord, MailboxRecord},
        write::{self, MailTxn, Message, Placement},
    },
    object::Rejected,
};

/// How often something is tried when concurrent changes win.
const TRIES: usize = 5;
/// Messages that one transaction of a STORE or EXPUNGE changes.
pub(super) const MESSAGES_PER_TRANSACTION: usize = 256;

/// What was staged, and the ticket to wait for.
type Staged<T> = Result<(T, Option<Ticket>), Rejected>;

impl Core {
    /// Changes flags. Rights that are missing for some of the flags leave those as they are; when they are missing for all,
    /// it is [`ViewError::Forbidden`].
    pub async fn view_store(&self, who: &Caller, store: StoreFlags) -> Result<Stored, ViewError> {
        let target = self.view_target(who, store.mailbox)?;
        let mut modified = Vec::new();
        for emails in store.emails.chunks(MESSAGES_PER_TRANSACTION) {
            modified.extend(
                durable(|| async {
                    let mut txn = target.account.writer.begin().await?;
                    let rights = rights(&txn, who, target.standing, store.mailbox.mailbox).await?;
                    let allowed = Allowed::new(rights, &store)?;
                    let mut modified = Vec::new();
                    for &id in emails {
                        let Some(record) = write::email(&txn, id).await? else {
                            continue;
                        };
                        if !is_in(&record, store.mailbox.mailbox) {
                            continue;
                        }
                        if store
                            .unchanged_since
                            .is_some_and(|since| record.modseq > since)
                        {
                            modified.push(id);
                            continue;
                        }
                        let keywords = allowed.apply(&store, &record.keywords);
                        if keywords.len() as u64 > self.limits.max_keywords_per_email {
                            let kind = SetErrorKind::TooManyKeywords;
                            return Err(Rejected::Set(SetError::new(kind)));
                        }
                        let places: Vec<u64> = record.mailboxes.iter().map(|p| p.mailbox).collect();
                        let now = self.clock.now();
                        write::change_email(&mut txn, id, record, &places, keywords, now).await?;
                    }
                    let changed = txn.has_changes();
                    Ok((modified, changed.then(|| txn.stage())))
                })
                .await?,
            );
        }
        let view = target.account.view().await?;
        let mut maker = RowMaker::new(&view, store.mailbox.mailbox);
        let rows = store.emails.iter().filter_map(|&email| maker.row(email));
        Ok(Stored {
            rows: rows.collect(),
            modified,
        })
    }

    /// Files messages: all of them, or none.
    pub async fn view_append(
        &self,
        who: &Caller,
        to: MailboxKey,
        messages: Vec<NewMessage>,
    ) -> Result<Appended, ViewError> {
        let target = self.view_target(who, to)?;
        let mut parsed = Vec::with_capacity(messages.len());
        for message in messages {
            if message.octets.len() as u64 > self.limits.max_size_message {
                return Err(ViewError::TooLarge(self.limits.max_size_message));
            }
            let octets = message.octets.clone();
            let done = with_octets(octets.len(), move || Message::parse(octets)).await;
            parsed.push((done.ok_or(ViewError::Unavailable)?, message));
        }
        let quota_octets = self.quota_octets(to.account).await?;
        durable(|| async {
            let now = self.clock.now();
            let mut txn = target.account.writer.begin().await?;
            let rights = rights(&txn, who, target.standing, to.mailbox).await?;
            need(
                rights,
                MailboxRights::ADD_ITEMS,
                "You may not add messages here.",
            )?;
            let mut uids = Vec::with_capacity(parsed.len());
            for (message, given) in &parsed {
                let placement = Placement {
                    mailboxes: vec![to.mailbox],
                    keywords: given.keywords.clone(),
                    received_at: given.received_at.unwrap_or(now.seconds()),
                    quota_octets,
                    is_delivery: false,
                };
                let inserted = write::insert_email(&mut txn, message, &placement, now).await?;
                let uid = uid_of(&txn, inserted.id, to.mailbox).await?;
                uids.push(uid.ok_or_else(SetError::not_found)?);
            }
            let uid_validity = uid_validity(&txn, to.mailbox).await?;
            let appended = Appended { uid_validity, uids };
            Ok((appended, Some(txn.stage())))
        })
        .await
    }

    /// Takes messages with `\Deleted` out of the mailbox; those that were taken out, in the order that was given.
    pub async fn view_expunge(
        &self,
        who: &Caller,
        from: MailboxKey,
        emails: &[u64],
    ) -> Result<Vec<u64>, ViewError> {
        let target = self.view_target(who, from)?;
        let mut gone = Vec::new();
        for emails in emails.chunks(MESSAGES_PER_TRANSACTION) {
            gone.extend(
                durable(|| async {
                    let mut txn = target.account.writer.begin().await?;
                    let rights = rights(&txn, who, target.standing, from.mailbox).await?;
                    need(
                        rights,
                        MailboxRights::REMOVE_ITEMS,
                        "You may not remove messages here.",
                    )?;
                    let mut gone = Vec::new();
                    for &id in emails {
                        if take_out(self, &mut txn, id, from.mailbox).await? {
                            gone.push(id);
                        }
                    }
                    let changed = txn.has_changes();
                    Ok((gone, changed.then(|| txn.stage())))
                })
                .await?,
            );
        }
        Ok(gone)
    }
}

/// Takes an email out of a mailbox; it goes when that was its last one.
pub(super) async fn take_out(
    core: &Core,
    txn: &mut MailTxn,
    id: u64,
    mailbox: u64,
) -> Result<bool, Rejected> {
    let Some(record) = write::email(txn, id).await? else {
        return Ok(false);
    };
    if !is_in(&record, mailbox) {
        return Ok(false);
    }
    let rest: Vec<u64> = record.mailboxes.iter().map(|p| p.mailbox).collect();
    let rest: Vec<u64> = rest.into_iter().filter(|&other| other != mailbox).collect();
    let now = core.clock.now();
    if rest.is_empty() {
        write::remove_email(txn, id, &record, now).await?;
    } else {
        let keywords = record.keywords.clone();
        write::change_email(txn, id, record, &rest, keywords, now).await?;
    }
    Ok(true)
}

fn is_in(record: &EmailRecord, mailbox: u64) -> bool {
    record.mailboxes.iter().any(|p| p.mailbox == mailbox)
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

async fn uid_validity(txn: &MailTxn, mailbox: u64) -> Result<u32, Rejected> {
    Ok(mailbox_record(txn, mailbox).await?.uid_validity)
}

/// `None`: it isn't there.
pub(super) async fn uid_of(
    txn: &MailTxn,
    email: u64,
    mailbox: u64,
) -> Result<Option<u32>, Rejected> {
    let record = write::email(txn, email).await?;
    let places = record.into_iter().flat_map(|record| record.mailboxes);
    let mut places = places.into_iter();
    let place = places.find(|p| p.mailbox == mailbox);
    Ok(place.map(|p| p.uid))
}

/// Which of the flags the caller may change (RFC 4314 §4).
struct Allowed {
    seen: bool,
    others: bool,
}

impl Allowed {
    fn new(rights: MailboxRights, store: &StoreFlags) -> Result<Self, SetError> {
        let allowed = Self {
            seen: rights.contains(MailboxRights::SET_SEEN),
            others: rights.contains(MailboxRights::SET_KEYWORDS),
        };
        let deleted = rights.contains(MailboxRights::REMOVE_ITEMS);
        let some = store.keywords.iter().any(|name| allowed.may(name)) || store.deleted && deleted;
        let replaces = store.change == FlagChange::Replace && (allowed.seen || allowed.others);
        let nothing_asked = store.keywords.is_empty() && !store.deleted;
        if some || replaces || nothing_asked {
            return Ok(allowed);
        }
        Err(SetError::forbidden("You may not change these flags."))
    }

    fn may(&self, keyword: &str) -> bool {
        match keyword {
            "$seen" => self.seen,
            _ => self.others,
        }
    }

    fn apply(&self, store: &StoreFlags, now: &[String]) -> Vec<String> {
        let given = store.keywords.iter().filter(|name| self.may(name));
        match store.change {
            FlagChange::Add => now.iter().chain(given).cloned().collect(),
            FlagChange::Remove => {
                let removed: Vec<&String> = given.collect();
                let kept = now.iter().filter(|name| !removed.contains(name));
                kept.cloned().collect()
            }
            FlagChange::Replace => {
                let kept = now.iter().filter(|name| !self.may(name));
                kept.chain(given).cloned().collect()
            }
        }
    }
}

/// Waits until it is on disk, and tries again what a concurrent change got in the way of.
pub(super) async fn durable<T, F: Future<Output = Staged<T>>>(
    mut stage: impl FnMut() -> F,
) -> Result<T, ViewError> {
    for _ in 0..TRIES {
        let error = match stage().await {
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
            store::Error::Engine(EngineError::Full(_)) | store::Error::Conflict => {
                Self::Unavailable
            }
            store::Error::Engine(_)
            | store::Error::Corrupt { .. }
            | store::Error::NewerFormat { .. } => Self::Failed,
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

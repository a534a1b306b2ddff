//! STORE, EXPUNGE and APPEND.
//!
//! Holds: APPEND does all or nothing (RFC 9051 §6.3.12, RFC 3502); a STORE or EXPUNGE of many messages is some
//! transactions, each of them whole.
//! Other half: `mail::write`; `copy` has COPY, MOVE and REPLACE.

use jmap_types::{SetError, SetErrorKind};

use super::{
    Appended, FlagChange, MailboxKey, NewMessage, StoreFlags, Stored, ViewError,
    read::RowMaker,
    turn::{MESSAGES_PER_TRANSACTION, durable, need, rights, take_out, uid_of, uid_validity},
};
use crate::{
    Caller, Core,
    access::MailboxRights,
    mail::{
        email::with_octets,
        records::InMailbox,
        write::{self, MailTxn, Message, Placement},
    },
    object::Rejected,
};

impl Core {
    /// Changes flags. Rights that are missing for some of the flags leave those as they are; when they are missing for all,
    /// it is [`ViewError::Forbidden`].
    pub async fn view_store(&self, who: &Caller, store: StoreFlags) -> Result<Stored, ViewError> {
        let target = self.view_target(who, store.mailbox)?;
        let mut modified = Vec::new();
        for emails in store.emails.chunks(MESSAGES_PER_TRANSACTION) {
            modified.extend(
                durable(&target.account, || async {
                    let mut txn = target.account.writer.begin().await?;
                    let rights = rights(&txn, who, target.standing, store.mailbox.mailbox).await?;
                    let allowed = Allowed::new(rights, &store)?;
                    let mut modified = Vec::new();
                    for &id in emails {
                        let Some(record) = write::any_email(&txn, id).await? else {
                            continue;
                        };
                        let mut places = record.all_places.clone();
                        let mailbox = store.mailbox.mailbox;
                        let Some(place) = places.iter_mut().find(|p| p.mailbox == mailbox) else {
                            continue;
                        };
                        if store
                            .unchanged_since
                            .is_some_and(|since| record.modseq > since)
                        {
                            modified.push(id);
                            continue;
                        }
                        let keywords = allowed.apply(&store, &record.keywords);
                        if keywords.len() as u64 > self.limits().max_keywords_per_email {
                            let kind = SetErrorKind::TooManyKeywords;
                            return Err(Rejected::Set(SetError::new(kind)));
                        }
                        place.is_deleted = allowed.is_deleted_after(&store, place.is_deleted);
                        write::set_places(&mut txn, id, record, places, keywords).await?;
                    }
                    Ok((modified, txn.stage_or_seen()))
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
        let parsed = parse_messages(self, messages).await?;
        let quota_octets = self.quota_octets(to.account).await?;
        durable(&target.account, || async {
            let mut txn = target.account.writer.begin().await?;
            let rights = rights(&txn, who, target.standing, to.mailbox).await?;
            need(
                rights,
                MailboxRights::ADD_ITEMS,
                "You may not add messages here.",
            )?;
            let appended =
                write_messages(self, &mut txn, to.mailbox, &parsed, quota_octets).await?;
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
        self.take_out_if(who, from, emails, |place| place.is_deleted)
            .await
    }

    /// Takes messages out of the mailbox, with `\Deleted` or without (RFC 1939 §6); those that were taken out.
    pub async fn view_remove(
        &self,
        who: &Caller,
        from: MailboxKey,
        emails: &[u64],
    ) -> Result<Vec<u64>, ViewError> {
        self.take_out_if(who, from, emails, |_| true).await
    }

    async fn take_out_if(
        &self,
        who: &Caller,
        from: MailboxKey,
        emails: &[u64],
        is_it: fn(&InMailbox) -> bool,
    ) -> Result<Vec<u64>, ViewError> {
        let target = self.view_target(who, from)?;
        let mut gone = Vec::new();
        for emails in emails.chunks(MESSAGES_PER_TRANSACTION) {
            let taken = durable(&target.account, || async {
                let mut txn = target.account.writer.begin().await?;
                let rights = rights(&txn, who, target.standing, from.mailbox).await?;
                let remove = MailboxRights::REMOVE_ITEMS;
                need(rights, remove, "You may not remove messages here.")?;
                let mut gone = Vec::new();
                for &id in emails {
                    if take_out(self.removal(), &mut txn, id, from.mailbox, is_it).await? {
                        gone.push(id);
                    }
                }
                Ok((gone, txn.stage_or_seen()))
            });
            gone.extend(taken.await?);
        }
        Ok(gone)
    }
}

/// Messages as they are filed.
pub(super) type Parsed = Vec<(Message, NewMessage)>;

pub(super) async fn parse_messages(
    core: &Core,
    messages: Vec<NewMessage>,
) -> Result<Parsed, ViewError> {
    let max = core.limits().max_size_message;
    let mut parsed = Vec::with_capacity(messages.len());
    for message in messages {
        if message.octets.len() as u64 > max {
            return Err(ViewError::TooLarge(max));
        }
        let octets = message.octets.clone();
        let done = with_octets(octets.len(), move || Message::parse(octets)).await;
        parsed.push((done.ok_or(ViewError::Unavailable)?, message));
    }
    Ok(parsed)
}

/// Adds messages to a mailbox.
pub(super) async fn write_messages(
    core: &Core,
    txn: &mut MailTxn,
    mailbox: u64,
    messages: &Parsed,
    quota_octets: u64,
) -> Result<Appended, Rejected> {
    let now = core.clock.now();
    let mut uids = Vec::with_capacity(messages.len());
    for (message, given) in messages {
        if given.keywords.len() as u64 > core.limits().max_keywords_per_email {
            return Err(SetError::new(SetErrorKind::TooManyKeywords).into());
        }
        let placement = Placement {
            mailboxes: vec![mailbox],
            keywords: given.keywords.clone(),
            received_at: given.received_at.unwrap_or(now.seconds()),
            quota_octets,
            is_delivery: false,
            is_deleted: given.deleted,
        };
        let inserted = write::insert_email(txn, message, &placement, now).await?;
        uids.push(uid_of(txn, inserted.id, mailbox).await?);
    }
    let uid_validity = uid_validity(txn, mailbox).await?;
    Ok(Appended { uid_validity, uids })
}

/// Which of the flags the caller may change (RFC 4314 §4).
struct Allowed {
    seen: bool,
    others: bool,
    deleted: bool,
}

impl Allowed {
    fn new(rights: MailboxRights, store: &StoreFlags) -> Result<Self, SetError> {
        let allowed = Self {
            seen: rights.contains(MailboxRights::SET_SEEN),
            others: rights.contains(MailboxRights::SET_KEYWORDS),
            deleted: rights.contains(MailboxRights::REMOVE_ITEMS),
        };
        let some =
            store.keywords.iter().any(|name| allowed.may(name)) || store.deleted && allowed.deleted;
        let replaces = store.change == FlagChange::Replace
            && (allowed.seen || allowed.others || allowed.deleted);
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

    fn is_deleted_after(&self, store: &StoreFlags, now: bool) -> bool {
        if !self.deleted {
            return now;
        }
        match store.change {
            FlagChange::Add => now || store.deleted,
            FlagChange::Remove => now && !store.deleted,
            FlagChange::Replace => store.deleted,
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

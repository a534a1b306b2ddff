//! COPY, MOVE (RFC 9051 §6.4.7, §6.4.8) and REPLACE (RFC 8508).
//!
//! Holds: all or nothing. Within an account it is one transaction; across accounts, what the target gets is one transaction,
//! and it is on disk before the source loses anything.
//! Other half: `mail::write`.

use std::collections::HashSet;

use jmap_types::{SetError, SetErrorKind};

use super::{
    Appended, Copied, MailboxKey, NewMessage, ViewError,
    read::Target,
    turn::{
        MESSAGES_PER_TRANSACTION, Staged, durable, need, place_in, rights, take_out, uid_of,
        uid_validity,
    },
    write::{parse_messages, write_messages},
};
use crate::{
    Caller, Core,
    access::MailboxRights,
    mail::{
        email::read as emails,
        records::{EmailRecord, InMailbox},
        write::{self, MailTxn, Placement, Removal, StoredMessage},
    },
    object::Rejected,
};

/// Messages that one COPY or MOVE takes: it is one transaction.
pub const COPY_MESSAGES_MAX: usize = 100_000;

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Copy,
    Move,
}

/// A message of another account, to be filed in this one.
struct Source {
    email: u64,
    place: InMailbox,
    record: EmailRecord,
}

impl Core {
    /// Puts messages into another mailbox as well. Those that are there already, and those of another account, become new
    /// emails with the same message.
    pub async fn view_copy(
        &self,
        who: &Caller,
        from: MailboxKey,
        emails: &[u64],
        to: MailboxKey,
    ) -> Result<Copied, ViewError> {
        self.transfer(who, from, emails, to, Way::Copy).await
    }

    /// Puts messages into another mailbox instead. Into the same one, they get new UIDs.
    pub async fn view_move(
        &self,
        who: &Caller,
        from: MailboxKey,
        emails: &[u64],
        to: MailboxKey,
    ) -> Result<Copied, ViewError> {
        self.transfer(who, from, emails, to, Way::Move).await
    }

    async fn transfer(
        &self,
        who: &Caller,
        from: MailboxKey,
        emails: &[u64],
        to: MailboxKey,
        way: Way,
    ) -> Result<Copied, ViewError> {
        if emails.len() > COPY_MESSAGES_MAX {
            let why = "A COPY or MOVE takes at most 100000 messages.";
            return Err(ViewError::Limit(why));
        }
        let source = self.view_target(who, from)?;
        let target = self.view_target(who, to)?;
        let mut seen = HashSet::with_capacity(emails.len());
        let emails: Vec<u64> = emails
            .iter()
            .copied()
            .filter(|id| seen.insert(*id))
            .collect();
        let quota_octets = self.quota_octets(to.account).await?;
        if from.account == to.account {
            return durable(&target.account, || async {
                let mut txn = target.account.writer.begin().await?;
                check_source(&txn, who, &source, from, way).await?;
                check_target(&txn, who, &target, to).await?;
                let mut pairs = Vec::with_capacity(emails.len());
                for &id in &emails {
                    let within = Within {
                        from: from.mailbox,
                        to: to.mailbox,
                        quota_octets,
                    };
                    pairs.extend(within.transfer(self, &mut txn, id, way).await?);
                }
                let uid_validity = uid_validity(&txn, to.mailbox).await?;
                let copied = Copied {
                    uid_validity,
                    pairs,
                };
                Ok((copied, txn.stage_or_seen()))
            })
            .await;
        }
        let sources = {
            let txn = source.account.writer.begin().await?;
            check_source(&txn, who, &source, from, way).await?;
            sources(&txn, from.mailbox, &emails).await?
        };
        let copied = durable(&target.account, || {
            self.file(who, &target, to, &sources, quota_octets)
        })
        .await?;
        if way == Way::Move {
            let arrived: HashSet<u32> = copied.pairs.iter().map(|(uid, _)| *uid).collect();
            let arrived: Vec<&Source> = sources
                .iter()
                .filter(|source| arrived.contains(&source.place.uid))
                .collect();
            self.remove_moved(&source, from, &arrived).await?;
        }
        Ok(copied)
    }

    /// Files messages of another account.
    async fn file(
        &self,
        who: &Caller,
        target: &Target,
        to: MailboxKey,
        sources: &[Source],
        quota_octets: u64,
    ) -> Staged<Copied> {
        let mut txn = target.account.writer.begin().await?;
        check_target(&txn, who, target, to).await?;
        let mut pairs = Vec::with_capacity(sources.len());
        for source in sources {
            let uid = insert_again(
                self,
                &mut txn,
                &source.record,
                &source.place,
                to.mailbox,
                quota_octets,
            )
            .await?;
            pairs.extend(uid.map(|uid| (source.place.uid, uid)));
        }
        let uid_validity = uid_validity(&txn, to.mailbox).await?;
        let copied = Copied {
            uid_validity,
            pairs,
        };
        Ok((copied, txn.stage_or_seen()))
    }

    /// Takes messages out of the source that another account has by now.
    async fn remove_moved(
        &self,
        source: &Target,
        from: MailboxKey,
        moved: &[&Source],
    ) -> Result<(), ViewError> {
        // The other account has them: nothing was deleted.
        let moved_away = Removal {
            is_kept: false,
            ..self.removal()
        };
        for moved in moved.chunks(MESSAGES_PER_TRANSACTION) {
            durable(&source.account, || async {
                let mut txn = source.account.writer.begin().await?;
                for message in moved {
                    let is_it = |place: &InMailbox| place.uid == message.place.uid;
                    take_out(moved_away, &mut txn, message.email, from.mailbox, is_it).await?;
                }
                Ok(((), txn.stage_or_seen()))
            })
            .await?;
        }
        Ok(())
    }

    /// Files a message in the place of another one, which goes.
    pub async fn view_replace(
        &self,
        who: &Caller,
        from: MailboxKey,
        email: u64,
        to: MailboxKey,
        message: NewMessage,
    ) -> Result<Appended, ViewError> {
        let source = self.view_target(who, from)?;
        let target = self.view_target(who, to)?;
        let parsed = parse_messages(self, vec![message]).await?;
        let quota_octets = self.quota_octets(to.account).await?;
        if from.account == to.account {
            return durable(&target.account, || async {
                let mut txn = target.account.writer.begin().await?;
                check_source(&txn, who, &source, from, Way::Move).await?;
                check_target(&txn, who, &target, to).await?;
                let old = replaced(&txn, from.mailbox, email).await?;
                // RFC 8508 §1: what goes makes room for what comes.
                let room = match old.record.all_places.len() {
                    1 if quota_octets != 0 => old.record.size,
                    _ => 0,
                };
                let appended =
                    write_messages(self, &mut txn, to.mailbox, &parsed, quota_octets + room)
                        .await?;
                take_out(self.removal(), &mut txn, email, from.mailbox, |_| true).await?;
                Ok((appended, Some(txn.stage())))
            })
            .await;
        }
        let old = {
            let txn = source.account.writer.begin().await?;
            check_source(&txn, who, &source, from, Way::Move).await?;
            replaced(&txn, from.mailbox, email).await?
        };
        let appended = durable(&target.account, || async {
            let mut txn = target.account.writer.begin().await?;
            check_target(&txn, who, &target, to).await?;
            let appended =
                write_messages(self, &mut txn, to.mailbox, &parsed, quota_octets).await?;
            Ok((appended, Some(txn.stage())))
        })
        .await?;
        self.remove_moved(&source, from, &[&old]).await?;
        Ok(appended)
    }
}

/// A copy or move from one mailbox of an account into another one of it, or into itself.
struct Within {
    from: u64,
    to: u64,
    quota_octets: u64,
}

impl Within {
    /// The UIDs before and after; `None`: the email is gone.
    async fn transfer(
        &self,
        core: &Core,
        txn: &mut MailTxn,
        id: u64,
        way: Way,
    ) -> Result<Option<(u32, u32)>, Rejected> {
        let now = core.clock.now();
        let Some(record) = write::any_email(txn, id).await? else {
            return Ok(None);
        };
        let Some(place) = place_in(&record, self.from) else {
            return Ok(None);
        };
        let is_there = place_in(&record, self.to).is_some();
        let moves_within = way == Way::Move && self.from == self.to;
        let is_full = record.all_places.len() as u64 >= core.limits().max_mailboxes_per_email;
        let becomes_new = !moves_within && (is_there || is_full && way == Way::Copy);
        let mut places = record.all_places.clone();
        if way == Way::Move {
            places.retain(|place| place.mailbox != self.from);
        }
        let uid = if becomes_new {
            let copy = insert_again(core, txn, &record, &place, self.to, self.quota_octets);
            let Some(uid) = copy.await? else {
                return Ok(None);
            };
            uid
        } else {
            // RFC 9051 §6.4.7: the flags are preserved, this one too.
            let new = InMailbox {
                is_deleted: place.is_deleted,
                ..write::new_place(txn, self.to, now).await?
            };
            places.push(new);
            new.uid
        };
        let keywords = record.keywords.clone();
        write::set_places(txn, id, record, places, keywords).await?;
        Ok(Some((place.uid, uid)))
    }
}

async fn check_source(
    txn: &MailTxn,
    who: &Caller,
    source: &Target,
    from: MailboxKey,
    way: Way,
) -> Result<(), Rejected> {
    let rights = rights(txn, who, source.standing, from.mailbox).await?;
    let read = MailboxRights::READ_ITEMS;
    need(rights, read, "You may not read this mailbox.")?;
    if way == Way::Move {
        let remove = MailboxRights::REMOVE_ITEMS;
        need(rights, remove, "You may not remove messages here.")?;
    }
    Ok(())
}

async fn check_target(
    txn: &MailTxn,
    who: &Caller,
    target: &Target,
    to: MailboxKey,
) -> Result<(), Rejected> {
    let rights = rights(txn, who, target.standing, to.mailbox).await?;
    let add = MailboxRights::ADD_ITEMS;
    Ok(need(rights, add, "You may not add messages there.")?)
}

/// The emails that are in the mailbox, in their order.
async fn sources(txn: &MailTxn, mailbox: u64, emails: &[u64]) -> Result<Vec<Source>, Rejected> {
    let mut sources = Vec::with_capacity(emails.len());
    for &email in emails {
        let Some(record) = write::any_email(txn, email).await? else {
            continue;
        };
        if let Some(place) = place_in(&record, mailbox) {
            sources.push(Source {
                email,
                place,
                record,
            });
        }
    }
    Ok(sources)
}

/// The one message that REPLACE names.
async fn replaced(txn: &MailTxn, mailbox: u64, email: u64) -> Result<Source, Rejected> {
    let found = sources(txn, mailbox, &[email]).await?;
    let gone = "The message that is to be replaced is not there any more.";
    let error = || SetError::describe(SetErrorKind::InvalidProperties, gone);
    Ok(found.into_iter().next().ok_or_else(error)?)
}

/// Makes a new email of the message of another one, with its flags: its UID. `None`: the message is damaged.
async fn insert_again(
    core: &Core,
    txn: &mut MailTxn,
    record: &EmailRecord,
    place: &InMailbox,
    mailbox: u64,
    quota_octets: u64,
) -> Result<Option<u32>, Rejected> {
    let mut summary = emails::summaries_in_passing(core, &[record.blob]).await?;
    let Some(summary) = summary.pop().flatten() else {
        return Ok(None);
    };
    let stored = StoredMessage {
        hash: record.blob,
        size: record.size,
        summary: &summary,
    };
    let placement = Placement {
        mailboxes: vec![mailbox],
        keywords: record.keywords.clone(),
        // RFC 9051 §6.4.7: the internal date is preserved.
        received_at: record.received_at,
        quota_octets,
        is_delivery: false,
        is_deleted: place.is_deleted,
    };
    let inserted = write::insert_stored(txn, stored, &placement, core.clock.now()).await?;
    Ok(Some(uid_of(txn, inserted.id, mailbox).await?))
}

//! Annotations of mailboxes and of the server (RFC 5464).
//!
//! Holds: `/private/` entries are seen by the account alone that has set them, `/shared/` ones by all who may read the mailbox; a call
//! sets all of its entries, or none. What was removed is remembered for a while, so that those who follow the changes learn of it.
//! Other half: `adapters/imap`; `mail::write` takes them away with their mailbox.

use bytes::Bytes;
use jmap_types::DataType;
use store::{Change, ChangeKind, Record as _, keys};

use super::{
    Annotation, MailboxKey, MetadataOf, ViewError,
    read::readable,
    turn::{durable, need, rights},
};
use crate::{
    Caller, Core,
    access::MailboxRights,
    mail::{
        records::{MetadataEntry, MetadataRecord},
        view::ViewEvent,
        write::MailTxn,
    },
    object::Rejected,
};

/// Octets of a value.
pub const METADATA_VALUE_OCTETS_MAX: usize = 16 << 10;
/// Octets of an entry's name.
pub const METADATA_NAME_OCTETS_MAX: usize = 255;
/// Annotations of one mailbox that are shared, or that are one account's; and the same of the server.
pub const METADATA_ENTRIES_MAX: usize = 100;
/// Octets of these together, names and values.
pub const METADATA_OCTETS_MAX: usize = 256 << 10;
/// Removed ones that are remembered.
const REMOVED_MAX: usize = 100;

/// The owner of what is shared: no account has this number.
const SHARED: u64 = 0;
/// The mailbox of the server's annotations: no mailbox has this number.
const SERVER: u64 = 0;

/// Where annotations are kept.
struct Place {
    key: MailboxKey,
    of_server: bool,
}

impl Place {
    fn of(who: &Caller, of: MetadataOf) -> Place {
        match of {
            // Those that all users share are the configuration's; these are the account's own.
            MetadataOf::Server => Place {
                key: MailboxKey {
                    account: who.account,
                    mailbox: SERVER,
                },
                of_server: true,
            },
            MetadataOf::Mailbox(key) => Place {
                key,
                of_server: false,
            },
        }
    }

    fn row(&self, owner: u64) -> Vec<u8> {
        keys::metadata(self.key.account, self.key.mailbox, owner)
    }
}

fn is_shared(entry: &str) -> bool {
    entry.starts_with("/shared/")
}

impl Core {
    /// All annotations that the caller sees, by name.
    pub async fn view_metadata(
        &self,
        who: &Caller,
        of: MetadataOf,
    ) -> Result<Vec<Annotation>, ViewError> {
        let entries = self.metadata_entries(who, of).await?.into_iter();
        Ok(entries
            .filter_map(|entry| {
                Some(Annotation {
                    value: Bytes::from(entry.value?),
                    entry: entry.name,
                })
            })
            .collect())
    }

    /// The names of those that were set or removed after `since`, a sequence of the account; what is a later one to ask from.
    pub async fn view_metadata_changes(
        &self,
        who: &Caller,
        of: MetadataOf,
        since: u64,
    ) -> Result<(Vec<String>, u64), ViewError> {
        let place = Place::of(who, of);
        let now = {
            let handle = self.accounts.handle(place.key.account);
            let view = handle.view().await?;
            let changed_at = match place.of_server {
                true => Some(view.metadata_at),
                false => view.mailbox(place.key.mailbox).map(|row| row.metadata_at),
            };
            if changed_at.is_some_and(|changed_at| changed_at <= since) {
                return Ok((Vec::new(), view.head.sequence));
            }
            view.head.sequence
        };
        let entries = self.metadata_entries(who, of).await?.into_iter();
        let changed = entries.filter(|entry| entry.modseq > since);
        Ok((changed.map(|entry| entry.name).collect(), now))
    }

    /// Of shared ones and the caller's own, also those that were removed.
    async fn metadata_entries(
        &self,
        who: &Caller,
        of: MetadataOf,
    ) -> Result<Vec<MetadataEntry>, ViewError> {
        let place = Place::of(who, of);
        if !place.of_server {
            let target = self.view_target(who, place.key)?;
            let view = target.account.view().await?;
            readable(&view, who, target.standing, place.key)?;
        }
        let mut entries = Vec::new();
        for owner in [who.account.number(), SHARED] {
            let row = place.row(owner);
            if let Some(bytes) = self.engine.get(&row).await? {
                entries.extend(MetadataRecord::from_bytes(&row, &bytes)?.entries);
            }
        }
        Ok(entries)
    }

    /// Sets annotations; `None` removes one. To set what is shared, it takes a right to change something in the mailbox; those of the
    /// server that are shared can't be set.
    pub async fn view_set_metadata(
        &self,
        who: &Caller,
        of: MetadataOf,
        entries: Vec<(String, Option<Bytes>)>,
    ) -> Result<(), ViewError> {
        let place = Place::of(who, of);
        let of_all = entries.iter().any(|(entry, _)| is_shared(entry));
        if place.of_server && of_all {
            let why = "What the server shares with all is its administrator's to set";
            return Err(ViewError::Forbidden(why.to_owned()));
        }
        for (entry, value) in &entries {
            if entry.len() > METADATA_NAME_OCTETS_MAX {
                return Err(ViewError::Limit("The name of the entry is too long"));
            }
            let octets = value.as_ref().map_or(0, Bytes::len);
            if octets > METADATA_VALUE_OCTETS_MAX {
                let max = METADATA_VALUE_OCTETS_MAX as u64;
                return Err(ViewError::AnnotationTooLarge(max));
            }
        }
        let target = self.view_target(who, place.key)?;
        durable(&target.account, || async {
            let mut txn = target.account.writer.begin().await?;
            if !place.of_server {
                let rights = rights(&txn, who, target.standing, place.key.mailbox).await?;
                may_set(rights, of_all)?;
            }
            let mut is_changed = false;
            for owner in [who.account.number(), SHARED] {
                let entries = entries.iter();
                let some = entries.filter(|(entry, _)| is_shared(entry) == (owner == SHARED));
                match set(&mut txn, place.row(owner), some).await? {
                    Ok(changed) => is_changed |= changed,
                    Err(error) => return Ok((Err(error), None)),
                }
            }
            if !is_changed {
                return Ok((Ok(()), txn.stage_or_seen()));
            }
            tell(&mut txn, &place);
            Ok((Ok(()), Some(txn.stage())))
        })
        .await?
    }

    /// RFC 5464 §4.1: what INBOX is renamed to gets its annotations as well. Of all accounts.
    pub async fn view_copy_metadata(
        &self,
        who: &Caller,
        from: MailboxKey,
        to: u64,
    ) -> Result<(), ViewError> {
        let target = self.view_target(who, from)?;
        let to = MailboxKey {
            mailbox: to,
            ..from
        };
        durable(&target.account, || async {
            let mut txn = target.account.writer.begin().await?;
            for mailbox in [from.mailbox, to.mailbox] {
                let rights = rights(&txn, who, target.standing, mailbox).await?;
                may_set(rights, true)?;
            }
            let range = keys::metadata_of(from.account, from.mailbox);
            let rows = txn.scan(range).await?;
            for (key, bytes) in &rows {
                let Some((account, _, owner)) = keys::decode_metadata(key) else {
                    continue;
                };
                let mut record = MetadataRecord::from_bytes(key, bytes)?;
                record.entries.retain(|entry| entry.value.is_some());
                for entry in &mut record.entries {
                    entry.modseq = txn.sequence();
                }
                txn.put_record(keys::metadata(account, to.mailbox, owner), &record);
            }
            if rows.is_empty() {
                return Ok(((), txn.stage_or_seen()));
            }
            let place = Place {
                key: to,
                of_server: false,
            };
            tell(&mut txn, &place);
            Ok(((), Some(txn.stage())))
        })
        .await
    }
}

/// RFC 5464 §3.3 asks for `l` and a right on what is in the mailbox; what others will see takes one to change something.
fn may_set(rights: MailboxRights, of_all: bool) -> Result<(), Rejected> {
    let why = "You may not set annotations of this mailbox.";
    need(rights, MailboxRights::READ_ITEMS, why)?;
    let changing = [
        MailboxRights::ADD_ITEMS,
        MailboxRights::REMOVE_ITEMS,
        MailboxRights::SET_SEEN,
        MailboxRights::SET_KEYWORDS,
    ];
    if of_all && !changing.iter().any(|right| rights.contains(*right)) {
        need(rights, MailboxRights::SET_KEYWORDS, why)?;
    }
    Ok(())
}

/// JMAP has no annotations: that the counts of the mailbox may have changed is what the sessions of other protocols learn from.
fn tell(txn: &mut MailTxn, place: &Place) {
    txn.changed(match place.of_server {
        true => Change::new(DataType::Quota, 0, ChangeKind::Updated),
        false => Change::new(DataType::Mailbox, place.key.mailbox, ChangeKind::Counts),
    });
    txn.emit(ViewEvent::Metadata {
        mailbox: place.key.mailbox,
    });
}

/// Whether something has become different; or why it can't be.
async fn set(
    txn: &mut MailTxn,
    row: Vec<u8>,
    changes: impl Iterator<Item = &(String, Option<Bytes>)>,
) -> Result<Result<bool, ViewError>, Rejected> {
    let mut record = txn
        .record::<MetadataRecord>(&row)
        .await?
        .unwrap_or_default();
    let mut is_changed = false;
    let modseq = txn.sequence();
    for (name, value) in changes {
        let value = value.as_ref().map(|value| value.to_vec());
        let at = record.entries.binary_search_by(|e| e.name.cmp(name));
        match at {
            Ok(at) if record.entries[at].value == value => continue,
            Ok(at) => {
                record.entries[at].value = value;
                record.entries[at].modseq = modseq;
            }
            Err(_) if value.is_none() => continue,
            Err(at) => record.entries.insert(
                at,
                MetadataEntry {
                    name: name.clone(),
                    value,
                    modseq,
                },
            ),
        }
        is_changed = true;
    }
    if !is_changed {
        return Ok(Ok(false));
    }
    let there = || record.entries.iter().filter(|entry| entry.value.is_some());
    let octets =
        |entry: &MetadataEntry| entry.name.len() + entry.value.as_ref().map_or(0, Vec::len);
    if there().count() > METADATA_ENTRIES_MAX
        || there().map(octets).sum::<usize>() > METADATA_OCTETS_MAX
    {
        return Ok(Err(ViewError::TooManyAnnotations));
    }
    forget(&mut record);
    txn.put_record(row, &record);
    Ok(Ok(true))
}

/// Of what was removed, the last ones are remembered.
fn forget(record: &mut MetadataRecord) {
    let removed = record.entries.iter().filter(|entry| entry.value.is_none());
    let mut removed: Vec<u64> = removed.map(|entry| entry.modseq).collect();
    if removed.len() > REMOVED_MAX {
        removed.sort_unstable();
        let oldest = removed[removed.len() - REMOVED_MAX];
        record
            .entries
            .retain(|entry| entry.value.is_some() || entry.modseq >= oldest);
    }
}

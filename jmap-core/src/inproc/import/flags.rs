//! Flags that have changed in the source since a message was imported.
//!
//! Holds: what was changed there is changed here; what was changed here alone stays. Told twice, it is done once.

use store::{Record as _, keys};

use super::{Collection, ImportError, ImportRecord};
use crate::{
    Caller, Core,
    mail::{message_keyword, write},
};
use jmap_types::AccountId;

/// Messages that one transaction changes.
const MESSAGES_PER_TRANSACTION: usize = 256;

/// How a message is in the source now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlagsSeen {
    pub item: Vec<u8>,
    pub keywords: Vec<String>,
    pub is_deleted: bool,
}

impl Core {
    /// Changes emails as their sources were changed. Returns how many were.
    pub async fn import_flags(
        &self,
        who: &Caller,
        account: AccountId,
        collection: &Collection,
        seen: &[FlagsSeen],
    ) -> Result<u64, ImportError> {
        Self::may_move(who)?;
        let mut changed = 0;
        for seen in seen.chunks(MESSAGES_PER_TRANSACTION) {
            changed += self.try_flags(account, collection, seen).await?;
        }
        Ok(changed)
    }

    async fn try_flags(
        &self,
        account: AccountId,
        collection: &Collection,
        seen: &[FlagsSeen],
    ) -> Result<u64, ImportError> {
        let handle = self.accounts.handle(account);
        for _ in 0..crate::object::TRIES {
            let mut txn = handle.writer.begin().await?;
            let mut changed = 0;
            for now in seen {
                let key = keys::import(account, collection, &now.item);
                let Some(known) = txn.record::<ImportRecord>(&key).await? else {
                    continue;
                };
                let mut keywords: Vec<String> = now.keywords.clone();
                keywords
                    .iter_mut()
                    .for_each(|name| name.make_ascii_lowercase());
                keywords.retain(|name| message_keyword(name));
                keywords.sort_unstable();
                keywords.dedup();
                if keywords == known.keywords && now.is_deleted == known.is_deleted {
                    continue;
                }
                if let Some(email) = write::any_email(&txn, known.email).await? {
                    let mut after: Vec<String> = email.keywords.clone();
                    after.retain(|name| keywords.contains(name) || !known.keywords.contains(name));
                    let added = keywords
                        .iter()
                        .filter(|name| !known.keywords.contains(name));
                    after.extend(added.cloned());
                    after.sort_unstable();
                    after.dedup();
                    let is_too_many = after.len() as u64 > self.limits().max_keywords_per_email;
                    let mut places = email.all_places.clone();
                    // In several mailboxes, nobody knows which of them is meant.
                    if let ([place], true) = (&mut places[..], now.is_deleted != known.is_deleted) {
                        place.is_deleted = now.is_deleted;
                    }
                    if !is_too_many && (after != email.keywords || places != email.all_places) {
                        write::set_places(&mut txn, known.email, email, places, after).await?;
                        changed += 1;
                    }
                }
                let record = ImportRecord {
                    email: known.email,
                    keywords,
                    is_deleted: now.is_deleted,
                };
                txn.put(key, record.to_bytes());
            }
            let Some(ticket) = txn.stage_or_seen() else {
                return Ok(changed);
            };
            match ticket.durable().await {
                Ok(()) => return Ok(changed),
                Err(store::Error::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(store::Error::Conflict.into())
    }
}

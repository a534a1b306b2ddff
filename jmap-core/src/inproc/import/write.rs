//! Writes imported messages.
//!
//! Holds: each is one transaction, and many go to disk with one commit; a conflict is tried again, and what the store can't take ends the run.

use jmap_types::{AccountId, DataType, SetError, SetErrorKind};
use store::{account::Ticket, keys};

use super::{ITEM_OCTETS_MAX, ImportError, ImportRecord, Imported, Item, Meeting};
use crate::{
    Caller, Core,
    accounts::AccountHandle,
    mail::{
        email::{import::received, with_octets},
        mailbox, message_keyword,
        records::{EmailRecord, InMailbox},
        write::{self, MailTxn, Message, Placement},
    },
    object::{ALONE_AFTER, Rejected, TRIES},
};

/// References to the same octets that are looked at for an email to join.
const TWINS_MAX: usize = 100;

/// What was staged of one item.
type Staged = Result<(Imported, Option<Ticket>), Rejected>;

/// An item that was looked at.
struct Ready {
    item: Item,
    message: Message,
}

impl Core {
    /// Imports messages, in their order; the answers are in the same order, and what they say is on disk.
    ///
    /// # Errors
    /// Of the whole: nothing is known of any of them, and they are to be given again.
    pub async fn import_items(
        &self,
        who: &Caller,
        account: AccountId,
        items: Vec<Item>,
    ) -> Result<Vec<Result<Imported, SetError>>, ImportError> {
        Self::may_move(who)?;
        let quota_octets = self.quota_octets(account).await?;
        let handle = self.accounts.handle(account);
        let mut waiting = Vec::with_capacity(items.len());
        for item in items {
            waiting.push(match self.look_at(item).await? {
                Ok(ready) => {
                    let staged = self.stage_item(&handle, &ready, quota_octets).await;
                    Ok((ready, staged))
                }
                Err(error) => Err(error),
            });
        }
        let mut outcomes = Vec::with_capacity(waiting.len());
        for each in waiting {
            outcomes.push(match each {
                Ok((ready, staged)) => {
                    self.settle_item(&handle, &ready, staged, quota_octets)
                        .await?
                }
                Err(error) => Err(error),
            });
        }
        Ok(outcomes)
    }

    /// What can be said of an item without the account.
    async fn look_at(&self, item: Item) -> Result<Result<Ready, SetError>, ImportError> {
        let max = self.limits().max_size_message;
        if item.octets.len() as u64 > max {
            return Ok(Err(SetError::describe(
                SetErrorKind::TooLarge,
                format!("It is larger than {max} octets."),
            )));
        }
        let why = if item.octets.is_empty() {
            Some("The message is empty.")
        } else if item.item.is_empty() || item.item.len() > ITEM_OCTETS_MAX {
            Some("The item is named by too many octets, or by none.")
        } else if item.mailboxes.is_empty() {
            Some("An email is in at least one mailbox.")
        } else if !item.keywords.iter().all(|name| message_keyword(name)) {
            Some("A keyword has characters that it can't have.")
        } else {
            None
        };
        if let Some(why) = why {
            return Ok(Err(SetError::describe(SetErrorKind::InvalidEmail, why)));
        }
        if item.keywords.len() as u64 > self.limits().max_keywords_per_email {
            return Ok(Err(SetError::new(SetErrorKind::TooManyKeywords)));
        }
        if item.mailboxes.len() as u64 > self.limits().max_mailboxes_per_email {
            return Ok(Err(SetError::new(SetErrorKind::TooManyMailboxes)));
        }
        let octets = item.octets.clone();
        let parsed = with_octets(octets.len(), move || Message::parse(octets)).await;
        let message = parsed.ok_or(ImportError::Stopping)?;
        Ok(Ok(Ready { item, message }))
    }

    /// Waits until it is on disk, and tries again what a concurrent change got in the way of.
    async fn settle_item(
        &self,
        handle: &AccountHandle,
        ready: &Ready,
        mut staged: Staged,
        quota_octets: u64,
    ) -> Result<Result<Imported, SetError>, ImportError> {
        for conflicts in 1..=TRIES {
            let error = match staged {
                Ok((imported, None)) => return Ok(Ok(imported)),
                Ok((imported, Some(ticket))) => match ticket.durable().await {
                    Ok(()) => return Ok(Ok(imported)),
                    Err(error) => error,
                },
                Err(Rejected::Set(error)) => return Ok(Err(error)),
                Err(Rejected::Store(error)) => error,
            };
            if !matches!(error, store::Error::Conflict) {
                return Err(error.into());
            }
            // Boxed, as what is seldom done isn't to take room on the stack each time.
            let staging = Box::pin(self.stage_item(handle, ready, quota_octets));
            staged = match conflicts < ALONE_AFTER {
                true => staging.await,
                false => Box::pin(handle.writer.alone(staging)).await?,
            };
        }
        Err(store::Error::Conflict.into())
    }

    async fn stage_item(&self, handle: &AccountHandle, ready: &Ready, quota_octets: u64) -> Staged {
        let item = &ready.item;
        let mut txn = handle.writer.begin().await?;
        let key = keys::import(txn.account(), &item.collection, &item.item);
        if let Some(known) = txn.record::<ImportRecord>(&key).await? {
            return Ok((Imported::Known(known.email), txn.stage_or_seen()));
        }
        let mut keywords: Vec<String> = item.keywords.clone();
        keywords
            .iter_mut()
            .for_each(|name| name.make_ascii_lowercase());
        keywords.sort_unstable();
        keywords.dedup();
        let placement = Placement {
            mailboxes: item.mailboxes.clone(),
            is_deleted: item.is_deleted,
            keywords: keywords.clone(),
            received_at: match item.received_at.or_else(|| received(&ready.message)) {
                Some(at) => at,
                None => self.clock.now().seconds(),
            },
            quota_octets,
            is_delivery: false,
        };
        let imported = match twin(&txn, ready, &placement).await? {
            Some((id, _)) if item.meeting == Meeting::Skip => Imported::Skipped(id),
            Some((id, record)) => {
                self.join(&mut txn, id, record, &placement).await?;
                Imported::Joined(id)
            }
            None => {
                let now = self.clock.now();
                let inserted =
                    write::insert_email(&mut txn, &ready.message, &placement, now).await?;
                Imported::New(inserted.id)
            }
        };
        let (Imported::New(email)
        | Imported::Joined(email)
        | Imported::Skipped(email)
        | Imported::Known(email)) = imported;
        let record = ImportRecord {
            email,
            keywords,
            is_deleted: item.is_deleted,
        };
        txn.put_record(key, &record);
        Ok((imported, Some(txn.stage())))
    }

    /// Gives an email the item's mailboxes too.
    async fn join(
        &self,
        txn: &mut MailTxn,
        id: u64,
        record: EmailRecord,
        placement: &Placement,
    ) -> Result<(), Rejected> {
        let mut places: Vec<InMailbox> = record.all_places.clone();
        for &mailbox in &placement.mailboxes {
            places.push(write::new_place(txn, mailbox, self.clock.now()).await?);
        }
        if places.len() as u64 > self.limits().max_mailboxes_per_email {
            return Err(SetError::new(SetErrorKind::TooManyMailboxes).into());
        }
        let keywords = record.keywords.clone();
        Ok(write::set_places(txn, id, record, places, keywords).await?)
    }
}

/// The email that the item is one more place of, as [`Meeting`] has it.
async fn twin(
    txn: &MailTxn,
    ready: &Ready,
    placement: &Placement,
) -> Result<Option<(u64, EmailRecord)>, Rejected> {
    let item = &ready.item;
    if item.meeting == Meeting::Separate {
        return Ok(None);
    }
    let range = keys::blob_refs_of(&ready.message.hash, txn.account());
    let rows = txn.scan(range).await?;
    let emails = rows.iter().filter_map(|(key, _)| {
        let (_, _, data_type, id) = keys::decode_blob_ref(key)?;
        (data_type == DataType::Email && id != crate::blob::UPLOAD).then_some(id)
    });
    let mut discarding = None;
    for id in emails.take(TWINS_MAX) {
        let Some(record) = write::any_email(txn, id).await? else {
            continue;
        };
        if item.meeting == Meeting::Skip {
            return Ok(Some((id, record)));
        }
        let is_same = record.received_at == placement.received_at
            && record.keywords == placement.keywords
            && !placement.is_deleted
            && record.all_places.iter().all(|place| !place.is_deleted);
        let mut both = record
            .all_places
            .iter()
            .map(|place| place.mailbox)
            .chain(placement.mailboxes.iter().copied());
        let is_elsewhere = !placement
            .mailboxes
            .iter()
            .any(|mailbox| record.all_places.iter().any(|p| p.mailbox == *mailbox));
        if !is_same || !is_elsewhere {
            continue;
        }
        if discarding.is_none() {
            discarding = Some([
                mailbox::with_role(txn, "trash").await?,
                mailbox::with_role(txn, "junk").await?,
            ]);
        }
        let discarding = discarding.unwrap_or_default();
        if !both.any(|mailbox| discarding.contains(&Some(mailbox))) {
            return Ok(Some((id, record)));
        }
    }
    Ok(None)
}

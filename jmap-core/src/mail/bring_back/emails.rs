//! Emails: those that are not there any more are written again, and those that were thrown away get their mailboxes back.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use jmap_types::DataType;
use store::{
    Record as _,
    engine::{EngineError, Page},
    keys::{self, BlobHash},
};

use super::{BringBackError, ROWS_PER_PAGE, Work};
use crate::{
    mail::{
        message::Summary,
        records::EmailRecord,
        write::{self, Message, Placement},
    },
    object::Rejected,
    work::check::Progress,
};

/// Emails, and octets of theirs, that one transaction writes.
const EMAILS_PER_TRANSACTION: usize = 50;
const OCTETS_PER_TRANSACTION: usize = 8 << 20;

/// Which emails are wanted.
pub(super) struct Emails {
    /// Of these mailboxes; `None`: of all.
    pub wanted: Option<BTreeSet<u64>>,
    /// With this number.
    pub email: Option<u64>,
    /// With this Message-ID, without its angle brackets.
    pub message_id: Option<String>,
}

/// Emails of now, by the hash of their message.
type Known = HashMap<BlobHash, Vec<u64>>;

/// An email that is written again.
struct Again {
    message: Message,
    placement: Placement,
}

impl Work<'_> {
    pub(super) async fn emails(
        &mut self,
        which: &Emails,
        progress: Progress<'_>,
    ) -> Result<(), BringBackError> {
        let mut known = self.known().await?;
        let (mut waiting, mut octets) = (Vec::new(), 0);
        let mut range = match which.email {
            Some(id) => {
                let key = keys::object(self.old, DataType::Email, id);
                key.clone()..[&key[..], &[0]].concat()
            }
            None => keys::objects(self.old, DataType::Email),
        };
        let mut count = 0;
        loop {
            let page = Page::first(range.clone(), ROWS_PER_PAGE);
            let rows = self.archive.scan(page).await?;
            for (key, bytes) in &rows {
                let record = EmailRecord::from_bytes(key, bytes)?;
                let Some(places) = self.places(which, &record).await? else {
                    continue;
                };
                count += 1;
                if let Some(again) = self.look(&mut known, record, places).await? {
                    octets += again.message.octets.len();
                    waiting.push(again);
                }
                if waiting.len() >= EMAILS_PER_TRANSACTION || octets >= OCTETS_PER_TRANSACTION {
                    self.write(std::mem::take(&mut waiting)).await?;
                    octets = 0;
                    progress(&format!("emails: {count}"));
                }
            }
            let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS_PER_PAGE) else {
                break;
            };
            range.start = [last, &[0u8][..]].concat();
        }
        self.write(waiting).await
    }

    async fn known(&self) -> Result<Known, BringBackError> {
        let handle = self.core.accounts.handle(self.account);
        handle.look().await?;
        let view = handle.view().await?;
        let mut known = Known::new();
        for (id, row) in view.all_emails() {
            known.entry(row.blob).or_default().push(id);
        }
        Ok(known)
    }

    /// The mailboxes of then that an email comes back to; `None`: it isn't wanted, or was deleted then already.
    async fn places(
        &self,
        which: &Emails,
        record: &EmailRecord,
    ) -> Result<Option<Vec<u64>>, BringBackError> {
        let is_wanted = |mailbox: &u64| {
            let wanted = which.wanted.as_ref();
            wanted.is_none_or(|wanted| wanted.contains(mailbox))
        };
        let places = record.places().map(|place| place.mailbox);
        let places: Vec<u64> = places.filter(is_wanted).collect();
        if places.is_empty() {
            return Ok(None);
        }
        let Some(wanted) = &which.message_id else {
            return Ok(Some(places));
        };
        let summary = self.archive.get(&keys::summary(&record.blob)).await?;
        let summary = summary.and_then(|bytes| Summary::decode(&bytes).ok());
        let ids = summary.and_then(|summary| summary.message_id);
        let is_it = ids.is_some_and(|ids| ids.iter().any(|id| super::bare(id) == wanted));
        Ok(is_it.then_some(places))
    }

    /// What has to be written again; `None`: nothing.
    async fn look(
        &mut self,
        known: &mut Known,
        record: EmailRecord,
        places: Vec<u64>,
    ) -> Result<Option<Again>, BringBackError> {
        if let Some(id) = known.get_mut(&record.blob).and_then(Vec::pop) {
            self.put_back(id, &record, &places).await?;
            return Ok(None);
        }
        let octets = match self.archive.get(&keys::blob(&record.blob)).await {
            Ok(octets) => octets,
            Err(error @ EngineError::Corrupt(_)) => {
                tracing::error!(%error, "a mail can't be brought back");
                None
            }
            Err(error) => return Err(error.into()),
        };
        let Some(octets) = octets else {
            self.done.lost += 1;
            return Ok(None);
        };
        // One that was damaged has another name now.
        let message = parse(octets).await?;
        if message.hash != record.blob
            && let Some(id) = known.get_mut(&message.hash).and_then(Vec::pop)
        {
            self.put_back(id, &record, &places).await?;
            return Ok(None);
        }
        let mut mailboxes = Vec::with_capacity(places.len());
        for place in places {
            mailboxes.push(self.mailbox(place).await?);
        }
        // Two of then may be one of now.
        mailboxes.sort_unstable();
        mailboxes.dedup();
        Ok(Some(Again {
            message,
            placement: Placement {
                mailboxes,
                is_deleted: false,
                keywords: record.keywords,
                received_at: record.received_at,
                // Who restores doesn't have less than there was.
                quota_octets: 0,
                is_delivery: false,
            },
        }))
    }

    /// An email that is there. Thrown away, it comes back to where it was.
    async fn put_back(
        &mut self,
        id: u64,
        old: &EmailRecord,
        places: &[u64],
    ) -> Result<(), BringBackError> {
        let is_in_trash_then = places.iter().all(|&place| self.mailboxes.is_trash(place));
        if is_in_trash_then || !self.is_thrown_away(id).await? {
            self.done.there += 1;
            return Ok(());
        }
        let mut mailboxes = Vec::with_capacity(places.len());
        for &place in places {
            mailboxes.push(self.mailbox(place).await?);
        }
        let handle = self.core.accounts.handle(self.account);
        for _ in 0..crate::object::TRIES {
            let mut txn = handle.writer.begin().await?;
            let Some(record) = write::any_email(&txn, id).await? else {
                // It went a moment ago; the next run writes it again.
                return Ok(());
            };
            let (now, keywords) = (self.core.clock.now(), old.keywords.clone());
            let changed = write::change_email(&mut txn, id, record, &mailboxes, keywords, now);
            changed.await.map_err(refused)?;
            match txn.commit().await {
                Ok(_) => {
                    self.done.put_back += 1;
                    return Ok(());
                }
                Err(store::Error::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(store::Error::Conflict.into())
    }

    /// Whether an email is nowhere but in the trash, or has `\Deleted` everywhere.
    async fn is_thrown_away(&self, id: u64) -> Result<bool, BringBackError> {
        let handle = self.core.accounts.handle(self.account);
        let view = handle.view().await?;
        let trash = view.mailbox_by_role("trash");
        let row = view.any_email(id);
        Ok(row.is_some_and(|row| row.places().all(|place| Some(place.mailbox) == trash)))
    }

    async fn write(&mut self, emails: Vec<Again>) -> Result<(), BringBackError> {
        if emails.is_empty() {
            return Ok(());
        }
        let handle = self.core.accounts.handle(self.account);
        for _ in 0..crate::object::TRIES {
            let mut txn = handle.writer.begin().await?;
            let now = self.core.clock.now();
            for email in &emails {
                write::insert_email(&mut txn, &email.message, &email.placement, now)
                    .await
                    .map_err(refused)?;
            }
            match txn.commit().await {
                Ok(_) => {
                    self.done.emails += emails.len() as u64;
                    return Ok(());
                }
                Err(store::Error::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(store::Error::Conflict.into())
    }
}

/// Parsing takes its time: in a thread of its own.
async fn parse(octets: Bytes) -> Result<Message, BringBackError> {
    let parsed = tokio::task::spawn_blocking(move || Message::parse(octets)).await;
    parsed.map_err(|_| BringBackError::Refused("the server is stopping".to_owned()))
}

fn refused(rejected: Rejected) -> BringBackError {
    match rejected {
        Rejected::Store(error) => error.into(),
        Rejected::Set(error) => BringBackError::Refused(error.description.unwrap_or_default()),
    }
}

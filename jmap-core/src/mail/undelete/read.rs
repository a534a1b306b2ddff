//! Which deleted emails there are.
//!
//! Holds: a look takes the newest [`SCANNED_MAX`], in pages; one that can't be read is left out, and reported to the log.

use std::sync::Arc;

use jmap_types::{AccountId, MethodError};
use store::{
    Record as _,
    engine::{Direction, Page},
    keys,
};

use super::{DeletedId, DeletedRecord};
use crate::{
    Caller, Core,
    access::{self, Operation, Standing},
    directory::DirectoryError,
    mail::message::{Summary, fold},
};

/// Deleted emails that one look takes.
pub const SCANNED_MAX: usize = 10_000;
const ROWS_PER_PAGE: usize = 500;

/// A deleted email.
#[derive(Clone, Debug)]
pub struct Deleted {
    pub id: DeletedId,
    pub record: DeletedRecord,
    /// `None`: it can't be read.
    pub summary: Option<Arc<Summary>>,
}

/// All of those given must be true.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeletedFilter {
    /// The subject has this text, in any letter case.
    pub subject: Option<String>,
    /// An address or a name of the From field has it.
    pub from: Option<String>,
    /// Either of them has it.
    pub text: Option<String>,
    /// When it was deleted, in milliseconds since 1970: at the earliest, and before.
    pub after: Option<u64>,
    pub before: Option<u64>,
}

impl DeletedFilter {
    fn needs_summary(&self) -> bool {
        self.subject.is_some() || self.from.is_some() || self.text.is_some()
    }

    fn matches(&self, deleted: &Deleted) -> bool {
        if !self.needs_summary() {
            return true;
        }
        let Some(summary) = &deleted.summary else {
            return false;
        };
        let subject = fold(summary.subject.as_deref().unwrap_or_default());
        let from: Vec<String> = Summary::addresses(&summary.from)
            .unwrap_or_default()
            .into_iter()
            .map(|address| {
                fold(&format!(
                    "{} <{}>",
                    address.name.unwrap_or_default(),
                    address.email
                ))
            })
            .collect();
        let in_subject = |text: &str| subject.contains(&fold(text));
        let in_from = |text: &str| from.iter().any(|each| each.contains(&fold(text)));
        self.subject.as_deref().is_none_or(in_subject)
            && self.from.as_deref().is_none_or(in_from)
            && self
                .text
                .as_deref()
                .is_none_or(|text| in_subject(text) || in_from(text))
    }
}

impl Core {
    /// Whether `who` may do this with what was deleted of an account: its owner, and administrators.
    pub(super) async fn check_undelete(
        &self,
        who: &Caller,
        account: AccountId,
        operation: Operation,
    ) -> Result<(), super::UndeleteError> {
        let is_owner = matches!(access::standing(who, account), Ok(Standing::Owner));
        if is_owner || access::may_everywhere(who, operation) {
            return Ok(());
        }
        match self.account_for(who, operation, account).await {
            Ok(_) => Ok(()),
            Err(DirectoryError::Store(error)) => Err(error.into()),
            Err(_) => Err(super::UndeleteError::Forbidden),
        }
    }

    /// The deleted emails of an account that match, the newest first.
    pub async fn deleted_emails(
        &self,
        who: &Caller,
        account: AccountId,
        filter: &DeletedFilter,
    ) -> Result<Vec<Deleted>, super::UndeleteError> {
        self.check_undelete(who, account, Operation::SeeDeleted)
            .await?;
        let mut range = keys::undelete_of(account);
        if let Some(after) = filter.after {
            range.start = keys::undelete(account, after, 0);
        }
        if let Some(before) = filter.before {
            range.end = keys::undelete(account, before, 0);
        }
        let (mut found, mut scanned) = (Vec::new(), 0);
        while range.start < range.end && scanned < SCANNED_MAX {
            let page = Page {
                direction: Direction::Descending,
                ..Page::first(range.clone(), ROWS_PER_PAGE)
            };
            let rows = self.engine.scan(page).await.map_err(store::Error::from)?;
            scanned += rows.len();
            let is_last = rows.len() < ROWS_PER_PAGE;
            for (key, bytes) in rows {
                range.end = key.to_vec();
                let deleted = match DeletedRecord::from_bytes(&key, &bytes) {
                    Ok(record) => self.deleted(&key, record, filter.needs_summary()).await?,
                    Err(error) => {
                        tracing::error!(%error, "a deleted email is left out");
                        continue;
                    }
                };
                if filter.matches(&deleted) {
                    found.push(deleted);
                }
            }
            if is_last {
                break;
            }
        }
        Ok(found)
    }

    /// One deleted email, with its summary.
    pub async fn deleted_email(
        &self,
        who: &Caller,
        account: AccountId,
        id: DeletedId,
    ) -> Result<Option<Deleted>, super::UndeleteError> {
        self.check_undelete(who, account, Operation::SeeDeleted)
            .await?;
        let key = keys::undelete(account, id.time, id.email);
        let Some(bytes) = self.engine.get(&key).await.map_err(store::Error::from)? else {
            return Ok(None);
        };
        let record = DeletedRecord::from_bytes(&key, &bytes)?;
        Ok(Some(self.deleted(&key, record, true).await?))
    }

    async fn deleted(
        &self,
        key: &[u8],
        record: DeletedRecord,
        with_summary: bool,
    ) -> Result<Deleted, store::Error> {
        let (_, time, email) =
            keys::decode_undelete(key).ok_or_else(|| store::Error::bad_key("undelete", key))?;
        let summary = match with_summary {
            true => self.summary_of_blob(&record.blob).await?,
            false => None,
        };
        Ok(Deleted {
            id: DeletedId { time, email },
            record,
            summary,
        })
    }

    /// The summary of a message that the store has.
    pub(super) async fn summary_of_blob(
        &self,
        hash: &keys::BlobHash,
    ) -> Result<Option<Arc<Summary>>, store::Error> {
        if let Some(known) = self.summaries.get(hash) {
            return Ok(Some(known));
        }
        let bytes = self.engine.get(&keys::summary(hash)).await?;
        let summary = bytes.and_then(|bytes| Summary::decode(&bytes).ok());
        Ok(summary.map(|summary| {
            let summary = Arc::new(summary);
            self.summaries.put(*hash, &summary);
            summary
        }))
    }
}

impl From<super::UndeleteError> for MethodError {
    fn from(error: super::UndeleteError) -> Self {
        match error {
            super::UndeleteError::Store(error) => crate::error::method_error(error),
            super::UndeleteError::Forbidden => jmap_types::MethodErrorKind::Forbidden.into(),
            super::UndeleteError::NotFound
            | super::UndeleteError::Refused(_)
            | super::UndeleteError::Directory(_) => {
                Self::invalid_arguments("The email can't be brought back.")
            }
        }
    }
}

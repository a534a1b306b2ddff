//! What FETCH reads of messages: summaries, structures, octets.

use std::sync::Arc;

use super::{MailboxKey, ViewError, ViewMessage, Want, read::readable};
use crate::{Caller, Core, mail::email::read as emails};

impl Core {
    /// What is wanted of emails, in their order; `None` for those that are not there any more, or damaged. The caller bounds
    /// how many it asks for at once.
    pub async fn view_messages(
        &self,
        who: &Caller,
        key: MailboxKey,
        ids: &[u64],
        want: Want,
    ) -> Result<Vec<Option<ViewMessage>>, ViewError> {
        let target = self.view_target(who, key)?;
        {
            let view = target.account.view().await?;
            readable(&view, who, target.standing, key)?;
        }
        let records = emails::records(&self.engine, key.account, ids).await?;
        let here = |record: &crate::mail::records::EmailRecord| {
            record.mailboxes.iter().any(|p| p.mailbox == key.mailbox)
        };
        let records: Vec<_> = records.into_iter().map(|r| r.filter(here)).collect();
        let hashes: Vec<_> = records.iter().flatten().map(|record| record.blob).collect();
        let mut octets = match want.octets || want.structure {
            true => emails::blobs(&self.engine, &hashes).await?,
            false => vec![None; hashes.len()],
        }
        .into_iter();
        let mut summaries = match want.summary {
            true => emails::summaries(&self.engine, &hashes).await?,
            false => vec![None; hashes.len()],
        }
        .into_iter();
        Ok(ids
            .iter()
            .zip(records)
            .map(|(&email, record)| {
                let record = record?;
                let octets = octets.next().flatten();
                Some(ViewMessage {
                    email,
                    blob: record.blob,
                    structure: None,
                    summary: summaries.next().flatten().map(Arc::new),
                    octets,
                })
            })
            .collect())
    }
}

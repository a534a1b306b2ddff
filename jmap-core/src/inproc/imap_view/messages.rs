//! What FETCH reads of messages: summaries, structures, octets.

use std::sync::Arc;

use store::keys::BlobHash;

use super::{MailboxKey, ViewError, ViewMessage, Want, read::readable, structures::structures};
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
        let blobs: Vec<Option<BlobHash>> = {
            let view = target.account.view().await?;
            readable(&view, who, target.standing, key)?;
            let here = |id: &u64| {
                let row = view.any_email(*id)?;
                let is_here = row.all_places.iter().any(|p| p.mailbox == key.mailbox);
                is_here.then_some(row.blob)
            };
            ids.iter().map(here).collect()
        };
        let hashes: Vec<BlobHash> = blobs.iter().copied().flatten().collect();
        let mut structures = match want.structure {
            true => structures(self, &hashes).await?,
            false => vec![None; hashes.len()],
        }
        .into_iter();
        let mut octets = match want.octets {
            true => emails::blobs(self, &hashes).await?,
            false => vec![None; hashes.len()],
        }
        .into_iter();
        let mut summaries = match want.summary {
            true => emails::summaries(self, &hashes).await?,
            false => vec![None; hashes.len()],
        }
        .into_iter();
        let message = |(&email, blob): (&u64, Option<BlobHash>)| {
            let blob = blob?;
            Some(ViewMessage {
                email,
                blob,
                structure: structures.next().flatten().map(Arc::new),
                summary: summaries.next().flatten(),
                octets: octets.next().flatten(),
            })
        };
        Ok(ids.iter().zip(blobs).map(message).collect())
    }
}

//! What messages are sorted and threaded by, read from the view and from summaries.
//!
//! Holds: summaries are read some at a time, and only what is needed of them is kept.
//! Other half: `sort`, `thread`.

use std::sync::Arc;

use store::keys::BlobHash;

use crate::{
    Caller, Core,
    inproc::imap_view::{MailboxKey, ViewError, read::readable},
    mail::{email::read as emails, message::Summary},
};

/// Summaries that are in memory together.
const SUMMARIES_PER_STEP: usize = 256;

/// A message, by what the view knows of it.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub email: u64,
    pub blob: BlobHash,
    pub received_at: i64,
    /// RFC 5256 §2.2: by its Date field, or when it was received.
    pub sent_at: i64,
    pub size: u32,
}

impl Core {
    /// Those that are in the mailbox, in their order.
    pub(super) async fn view_sortable(
        &self,
        who: &Caller,
        key: MailboxKey,
        emails: &[u64],
    ) -> Result<Vec<Message>, ViewError> {
        let target = self.view_target(who, key)?;
        let view = target.account.view().await?;
        readable(&view, who, target.standing, key)?;
        let message = |&email: &u64| {
            let row = view.any_email(email)?;
            super::run::place_in(row, key.mailbox)?;
            Some(Message {
                email,
                blob: row.blob,
                received_at: row.received_at,
                sent_at: row.sent_at().unwrap_or(row.received_at),
                size: row.size,
            })
        };
        Ok(emails.iter().filter_map(message).collect())
    }

    /// What `take` makes of each message's summary, in their order; of none where there is none.
    pub(super) async fn each_summary<T>(
        &self,
        messages: &[Message],
        mut take: impl FnMut(Option<Arc<Summary>>) -> T + Send,
    ) -> Result<Vec<T>, ViewError> {
        let mut all = Vec::with_capacity(messages.len());
        for some in messages.chunks(SUMMARIES_PER_STEP) {
            let hashes: Vec<BlobHash> = some.iter().map(|message| message.blob).collect();
            let summaries = emails::summaries_in_passing(self, &hashes).await?;
            all.extend(summaries.into_iter().map(&mut take));
            tokio::task::yield_now().await;
        }
        Ok(all)
    }
}

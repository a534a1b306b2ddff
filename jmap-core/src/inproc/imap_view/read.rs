//! STATUS, SELECT and what happened since: from memory alone.

use std::{collections::HashMap, sync::Arc};

use super::{MailboxDelta, MailboxKey, Opened, ViewError, ViewRow, ViewStatus};
use crate::{
    Caller, Core,
    access::{self, MailboxRights, Standing},
    accounts::AccountHandle,
    mail::{
        mailbox,
        view::{EmailRow, KeywordSet, View},
    },
};

/// Rows with the same keywords share them.
pub(super) struct RowMaker<'v> {
    view: &'v View,
    mailbox: u64,
    keywords: HashMap<KeywordSet, Arc<[Arc<str>]>>,
}

impl<'v> RowMaker<'v> {
    pub(super) fn new(view: &'v View, mailbox: u64) -> Self {
        Self {
            view,
            mailbox,
            keywords: HashMap::new(),
        }
    }

    /// `None`: the email isn't in the mailbox.
    pub(super) fn row(&mut self, email: u64) -> Option<ViewRow> {
        let row = self.view.any_email(email)?;
        let place = row.all_places.iter().find(|p| p.mailbox == self.mailbox)?;
        Some(ViewRow {
            uid: place.uid,
            email,
            thread: row.thread,
            modseq: row.modseq,
            size: row.size,
            received_at: row.received_at,
            saved_at: place.saved_at,
            sent_at: row.sent_at(),
            is_deleted: place.is_deleted,
            keywords: self.keywords_of(row),
        })
    }

    fn keywords_of(&mut self, row: &EmailRow) -> Arc<[Arc<str>]> {
        if let Some(known) = self.keywords.get(&row.keywords) {
            return known.clone();
        }
        let mut names: Vec<Arc<str>> = self.view.keywords(row).cloned().collect();
        names.sort_unstable();
        let names: Arc<[Arc<str>]> = names.into();
        self.keywords.insert(row.keywords.clone(), names.clone());
        names
    }
}

/// The mailbox of a call, and what the caller may do with it.
pub(super) struct Target {
    pub account: Arc<AccountHandle>,
    pub standing: Standing,
}

impl Core {
    pub(super) fn view_target(&self, who: &Caller, key: MailboxKey) -> Result<Target, ViewError> {
        let standing = access::standing(who, key.account).map_err(|_| ViewError::NoSuchMailbox)?;
        Ok(Target {
            account: self.accounts.handle(key.account),
            standing,
        })
    }

    pub async fn view_status(
        &self,
        who: &Caller,
        key: MailboxKey,
    ) -> Result<ViewStatus, ViewError> {
        let target = self.view_target(who, key)?;
        let view = target.account.view().await?;
        readable(&view, who, target.standing, key)?;
        Ok(status(&view, key.mailbox))
    }

    /// What a session that selects the mailbox begins with.
    pub async fn view_open(&self, who: &Caller, key: MailboxKey) -> Result<Opened, ViewError> {
        let target = self.view_target(who, key)?;
        // What the client knows of the mailbox may come from another node.
        target.account.look().await?;
        let view = target.account.view().await?;
        let rights = readable(&view, who, target.standing, key)?;
        let row = view.mailbox(key.mailbox).ok_or(ViewError::NoSuchMailbox)?;
        let mut keywords: Vec<Arc<str>> = view.keywords_in(row).cloned().collect();
        keywords.sort_unstable();
        Ok(Opened {
            status: status(&view, key.mailbox),
            rights,
            messages: row.by_uid().clone(),
            keywords,
            first_unseen_uid: row.first_unseen_uid(),
            sequence: view.head.sequence,
        })
    }

    /// What happened after `since`. [`ViewError::NoSuchMailbox`]: it is gone, or may not be seen any more.
    pub async fn view_changes(
        &self,
        who: &Caller,
        key: MailboxKey,
        since: u64,
    ) -> Result<MailboxDelta, ViewError> {
        let target = self.view_target(who, key)?;
        let view = target.account.view().await?;
        let rights = readable(&view, who, target.standing, key)?;
        let mailbox = view.mailbox(key.mailbox).ok_or(ViewError::NoSuchMailbox)?;
        let mut maker = RowMaker::new(&view, key.mailbox);
        let mut rows: Vec<ViewRow> = match view.changed_emails(since) {
            Some(emails) => emails.iter().filter_map(|id| maker.row(*id)).collect(),
            None => places(&view, key.mailbox)
                .filter(|(_, _, row)| row.modseq > since)
                .filter_map(|(_, email, _)| maker.row(email))
                .collect(),
        };
        rows.sort_unstable_by_key(|row| row.uid);
        Ok(MailboxDelta {
            sequence: view.head.sequence,
            highest_modseq: highest_modseq(&view, key.mailbox),
            uid_next: mailbox.uid_next,
            rights,
            rows,
            messages: mailbox.by_uid().clone(),
        })
    }

    /// The rows of emails, in their order; `None` for those that aren't in the mailbox.
    pub async fn view_rows(
        &self,
        who: &Caller,
        key: MailboxKey,
        emails: &[u64],
    ) -> Result<Vec<Option<ViewRow>>, ViewError> {
        let target = self.view_target(who, key)?;
        let view = target.account.view().await?;
        readable(&view, who, target.standing, key)?;
        let mut maker = RowMaker::new(&view, key.mailbox);
        Ok(emails.iter().map(|&email| maker.row(email)).collect())
    }
}

/// The caller's rights on a mailbox that they may read.
pub(super) fn readable(
    view: &View,
    who: &Caller,
    standing: Standing,
    key: MailboxKey,
) -> Result<MailboxRights, ViewError> {
    let row = view.mailbox(key.mailbox).ok_or(ViewError::NoSuchMailbox)?;
    let rights = mailbox::my_rights(who, standing, key.mailbox, &row.record);
    if rights == MailboxRights::default() {
        return Err(ViewError::NoSuchMailbox);
    }
    if !rights.contains(MailboxRights::READ_ITEMS) {
        return Err(ViewError::Forbidden(
            "You may not read this mailbox.".to_owned(),
        ));
    }
    Ok(rights)
}

/// UID, email and row of each message, in UID order.
pub(super) fn places(view: &View, mailbox: u64) -> impl Iterator<Item = (u32, u64, &EmailRow)> {
    let row = view.mailbox(mailbox).into_iter();
    row.flat_map(|row| row.by_uid().iter())
        .filter_map(|(uid, email)| Some((uid, email, view.any_email(email)?)))
}

/// All of it is kept as emails change: a client asks for the status of all mailboxes.
fn status(view: &View, mailbox: u64) -> ViewStatus {
    let Some(row) = view.mailbox(mailbox) else {
        return ViewStatus::default();
    };
    ViewStatus {
        messages: row.all.messages,
        unseen: row.all.unseen,
        deleted: row.all.deleted,
        size: row.all.size,
        deleted_size: row.all.deleted_size,
        uid_validity: row.record.uid_validity,
        uid_next: row.uid_next,
        highest_modseq: highest_modseq(view, mailbox),
    }
}

fn highest_modseq(view: &View, mailbox: u64) -> u64 {
    // RFC 7162 §3.1.2.1: it is never 0.
    view.mailbox(mailbox).map_or(1, |row| row.changed_at.max(1))
}

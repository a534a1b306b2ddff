//! Mailboxes by their names, with `/` between the levels: Sieve, imports, and what is brought back.
//!
//! Holds: what is made here fits as what Mailbox/set makes.

use jmap_types::{SetError, SetErrorKind};

use super::{
    properties::ROLES,
    tree::{INBOX_NAME, Tree, Wanted, check_name, normal, records},
};
use crate::{
    Core,
    mail::{
        records::MailboxRecord,
        write::{self, MailTxn},
    },
    object::Rejected,
};

/// The mailbox with a role, in lower case.
pub(crate) async fn with_role(txn: &MailTxn, role: &str) -> Result<Option<u64>, store::Error> {
    // Each delivery to a mailbox with a role asks: the rest of the tree isn't needed for it.
    let mut records = records(txn).await?.into_iter();
    let has_role = |(_, record): &(u64, MailboxRecord)| record.role.as_deref() == Some(role);
    Ok(records.find(has_role).map(|(id, _)| id))
}

/// All mailboxes: number, name with `/` between the levels, role. The inbox is `INBOX`.
pub(in crate::mail) async fn all_in(
    txn: &MailTxn,
) -> Result<Vec<(u64, String, Option<String>)>, store::Error> {
    let tree = Tree::read(txn).await?;
    let level = |id: u64| {
        let record = tree.get(id)?;
        let is_inbox = record.parent.is_none() && record.is_inbox();
        Some(if is_inbox { INBOX_NAME } else { &record.name })
    };
    let path = |(id, record): (u64, &MailboxRecord)| {
        let mut levels: Vec<&str> = tree.ancestors(Some(id)).filter_map(level).collect();
        levels.reverse();
        (id, levels.join("/"), record.role.clone())
    };
    Ok(tree.iter().map(path).collect())
}

/// Makes the mailbox with this name, and those above it that aren't there yet. With a role, if no other mailbox has it.
pub(in crate::mail) async fn create_path(
    core: &Core,
    txn: &mut MailTxn,
    path: &str,
    role: Option<&str>,
) -> Result<u64, Rejected> {
    let levels: Vec<&str> = path.split('/').collect();
    create_levels(core, txn, &levels, role, true)
        .await
        .map(|(id, _)| id)
}

/// The same, of a name whose levels are given; and whether the last one was made. New ones are subscribed to, if they are to be.
pub(crate) async fn create_levels(
    core: &Core,
    txn: &mut MailTxn,
    levels: &[&str],
    role: Option<&str>,
    is_subscribed: bool,
) -> Result<(u64, bool), Rejected> {
    let limits = core.limits();
    let mut tree = Tree::read(txn).await?;
    let mut parent = None;
    let mut is_new = false;
    for (at, level) in levels.iter().enumerate() {
        let known = tree.named(parent, level).next();
        if known.is_some() {
            parent = known;
            continue;
        }
        if tree.len() as u64 >= limits.max_mailboxes {
            let why = "There are too many mailboxes.";
            return Err(SetError::describe(SetErrorKind::OverQuota, why).into());
        }
        let is_last = at + 1 == levels.len();
        let is_free = |role: &&str| ROLES.contains(role) && tree.with_role(role).next().is_none();
        let record = MailboxRecord {
            name: normal(level),
            parent,
            role: role
                .filter(|role| is_last && is_free(role))
                .map(str::to_owned),
            sort_order: 0,
            is_subscribed,
            share_with: Vec::new(),
            uid_validity: write::uid_validity(txn, core.clock.now()),
        };
        check_name(&limits, &record.name)?;
        let wanted = Wanted {
            id: txn.head.last_id + 1,
            before: None,
            after: &record,
        };
        tree.check_place(&limits, wanted, |_| true)?;
        let id = write::insert_mailbox(txn, record.clone());
        tree.put(id, Some(record));
        parent = Some(id);
        is_new = is_last;
    }
    let id = parent.ok_or_else(|| SetError::invalid_property("name", "It is empty."))?;
    Ok((id, is_new))
}

//! Mailboxes: which one of now is one of then, and those that have to be made again.

use std::collections::{BTreeMap, BTreeSet};

use jmap_types::{AccountId, DataType};
use store::{
    Record as _,
    engine::{Batch, Snapshot},
    keys,
};

use super::{BringBackError, Work, rows};
use crate::{
    cluster::SHARING,
    mail::{
        mailbox,
        records::{Grant, MailboxRecord},
        write::{self, MailTxn},
    },
};

/// The mailboxes of then, and as which they are there now.
pub(super) struct Mailboxes {
    old: BTreeMap<u64, MailboxRecord>,
    new: BTreeMap<u64, u64>,
}

impl Mailboxes {
    pub async fn read(archive: &dyn Snapshot, account: AccountId) -> Result<Self, store::Error> {
        let mut old = BTreeMap::new();
        for (key, bytes) in rows(archive, keys::objects(account, DataType::Mailbox)).await? {
            if let Some((_, _, id)) = keys::decode_object(&key) {
                old.insert(id, MailboxRecord::from_bytes(&key, &bytes)?);
            }
        }
        Ok(Self {
            old,
            new: BTreeMap::new(),
        })
    }

    /// From a mailbox up to the outermost.
    fn ancestors(&self, id: u64) -> impl Iterator<Item = (u64, &MailboxRecord)> {
        let get = |id: u64| {
            self.old
                .get_key_value(&id)
                .map(|(id, record)| (*id, record))
        };
        // A damaged record could name one below it as the one above.
        std::iter::successors(get(id), move |(_, record)| get(record.parent?)).take(self.old.len())
    }

    fn path(&self, id: u64) -> String {
        let names = self.ancestors(id).map(|(_, record)| record.name.as_str());
        let mut names: Vec<&str> = names.collect();
        names.reverse();
        names.join("/")
    }

    /// The mailbox of a path, and those below it.
    pub fn with_below(&self, path: &str) -> Result<BTreeSet<u64>, BringBackError> {
        let path = path.trim_matches('/');
        let is_it = |id: &u64, record: &MailboxRecord| {
            self.path(*id) == path || record.is_inbox() && path.eq_ignore_ascii_case("inbox")
        };
        let found = self.old.iter().find(|(id, record)| is_it(id, record));
        let (top, _) = found.ok_or_else(|| BringBackError::NoMailbox(path.to_owned()))?;
        let is_below = |id: &&u64| self.ancestors(**id).any(|(above, _)| above == *top);
        Ok(self.old.keys().filter(is_below).copied().collect())
    }

    /// As which one a mailbox of then is there, if that is known.
    pub fn now(&self, old: u64) -> Option<u64> {
        self.new.get(&old).copied()
    }

    pub fn is_trash(&self, id: u64) -> bool {
        let record = self.old.get(&id);
        record.is_some_and(|record| record.role.as_deref() == Some("trash"))
    }
}

/// A mailbox of now: number and record.
type Now = (u64, MailboxRecord);

async fn all_in(txn: &MailTxn) -> Result<Vec<Now>, store::Error> {
    let found = txn
        .scan(keys::objects(txn.account(), DataType::Mailbox))
        .await?;
    let mut all = Vec::with_capacity(found.len());
    for (key, bytes) in found {
        if let Some((_, _, id)) = keys::decode_object(&key) {
            all.push((id, MailboxRecord::from_bytes(&key, &bytes)?));
        }
    }
    Ok(all)
}

impl Work<'_> {
    /// Makes all mailboxes that are not there.
    pub(super) async fn all_mailboxes(&mut self) -> Result<(), BringBackError> {
        let old: Vec<u64> = self.mailboxes.old.keys().copied().collect();
        for id in old {
            self.mailbox(id).await?;
        }
        Ok(())
    }

    /// The mailbox of now that is one of then.
    pub(super) async fn mailbox(&mut self, old: u64) -> Result<u64, BringBackError> {
        if let Some(&known) = self.mailboxes.new.get(&old) {
            return Ok(known);
        }
        let above: Vec<u64> = self.mailboxes.ancestors(old).map(|(id, _)| id).collect();
        let mut parent = None;
        for id in above.into_iter().rev() {
            let new = match self.mailboxes.new.get(&id) {
                Some(&known) => known,
                None => self.find_or_make(id, parent).await?,
            };
            self.mailboxes.new.insert(id, new);
            parent = Some(new);
        }
        parent.ok_or_else(|| BringBackError::NoMailbox(old.to_string()))
    }

    async fn find_or_make(&mut self, old: u64, parent: Option<u64>) -> Result<u64, BringBackError> {
        let Some(record) = self.mailboxes.old.get(&old).cloned() else {
            return Err(BringBackError::NoMailbox(old.to_string()));
        };
        let handle = self.core.accounts.handle(self.account);
        for _ in 0..crate::object::TRIES {
            let mut txn = handle.writer.begin().await?;
            let all = all_in(&txn).await?;
            if let Some(known) = find(&all, &record, parent) {
                return Ok(known);
            }
            if all.len() as u64 >= self.core.limits().max_mailboxes {
                return Err(BringBackError::Refused(
                    "the account has too many mailboxes".to_owned(),
                ));
            }
            let (id, concerned) = self.make(&mut txn, &all, record.clone(), parent).await?;
            match txn.commit().await {
                Ok(_) => {
                    if !concerned.is_empty() {
                        self.core.sharing_changed(&concerned);
                    }
                    self.done.mailboxes += 1;
                    return Ok(id);
                }
                Err(store::Error::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(store::Error::Conflict.into())
    }

    async fn make(
        &self,
        txn: &mut MailTxn,
        all: &[Now],
        old: MailboxRecord,
        parent: Option<u64>,
    ) -> Result<(u64, Vec<AccountId>), BringBackError> {
        let is_free = |role: &String| !all.iter().any(|(_, now)| now.role.as_ref() == Some(role));
        let share_with = match self.shares {
            true => self.living(&old.share_with).await?,
            false => Vec::new(),
        };
        let concerned = mailbox::share(txn, &[], &share_with).await?;
        if !concerned.is_empty() {
            let mut counted = Batch::new();
            counted.add(keys::meta(SHARING), 1);
            txn.append_unread(counted);
        }
        let record = MailboxRecord {
            parent,
            role: old.role.clone().filter(is_free),
            share_with,
            uid_validity: write::uid_validity(txn, self.core.clock.now()),
            ..old
        };
        Ok((write::insert_mailbox(txn, record), concerned))
    }

    /// Grants to accounts that are still there.
    async fn living(&self, grants: &[Grant]) -> Result<Vec<Grant>, BringBackError> {
        let mut living = Vec::new();
        for grant in grants {
            let account = AccountId::new(grant.account);
            if self.core.account_record(account).await?.is_some() {
                living.push(*grant);
            }
        }
        Ok(living)
    }
}

/// The one with the same role, or with the same name in the same place.
fn find(all: &[Now], old: &MailboxRecord, parent: Option<u64>) -> Option<u64> {
    let has_role = |now: &MailboxRecord| old.role.is_some() && now.role == old.role;
    let has_place = |now: &MailboxRecord| now.parent == parent && now.name == old.name;
    let by_role = all.iter().find(|(_, now)| has_role(now));
    let found = by_role.or_else(|| all.iter().find(|(_, now)| has_place(now)));
    found.map(|(id, _)| *id)
}

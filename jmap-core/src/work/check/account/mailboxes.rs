//! Mailboxes, their UIDs and annotations, and with whom they are shared.
//!
//! Other half: `mail::mailbox::set`, and `mail::write` for UIDs.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use jmap_types::{AccountId, DataType};
use store::{
    Change, ChangeKind, Record as _,
    engine::Assertion,
    keys::{self, Subspace},
    numbers,
};

use super::{
    super::{CheckError, Checker, Code, Rows, edits::Edit},
    Count, MailboxOf, of_account,
};
use crate::mail::{
    records::{MailboxRecord, MetadataRecord},
    write::{self, INBOX},
};

/// Where emails go that have no mailbox any more.
pub const RECOVERED: &str = "Recovered";

impl Checker<'_> {
    pub(super) async fn read_mailboxes(
        &mut self,
        account: AccountId,
        count: &mut Count,
    ) -> Result<(), CheckError> {
        let mut rows = Rows::new(keys::objects(account, DataType::Mailbox));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let Some((_, _, id)) = keys::decode_object(&key) else {
                    continue;
                };
                count.last_id = count.last_id.max(id);
                let record = self.record::<MailboxRecord>(&key, &bytes);
                let mailbox = MailboxOf {
                    is_made_anew: record.is_none(),
                    record: record.unwrap_or_else(|| stand_in(id)),
                    found: Some(bytes),
                    ..MailboxOf::new(id)
                };
                count.mailboxes.insert(id, mailbox);
            }
        }
        self.read_uids(account, count).await?;
        if let Entry::Vacant(entry) = count.mailboxes.entry(INBOX) {
            let key = keys::object(account, DataType::Mailbox, INBOX);
            self.problem(Code::MailboxMissing, &key, "the account has no inbox");
            entry.insert(MailboxOf::new(INBOX));
        }
        self.check_tree(account, count);
        self.read_metadata(account, count).await
    }

    async fn read_uids(&mut self, account: AccountId, count: &mut Count) -> Result<(), CheckError> {
        let mut rows = Rows::new(of_account(Subspace::MailboxUid, account));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let Some((_, id)) = keys::decode_mailbox_uid(&key) else {
                    continue;
                };
                if !count.mailboxes.contains_key(&id) {
                    self.problem(
                        Code::MailboxMissing,
                        &key,
                        "UIDs are kept for a mailbox that isn't there",
                    );
                }
                let uids = self.numbers::<2>(&key, &bytes, "next UID");
                let mailbox = count
                    .mailboxes
                    .entry(id)
                    .or_insert_with(|| MailboxOf::new(id));
                mailbox.uids = uids;
                mailbox.uids_found = Some(bytes);
                if let (Some([validity, _]), true) = (uids, mailbox.is_made_anew) {
                    mailbox.record.uid_validity = u32::try_from(validity).unwrap_or(0);
                }
            }
        }
        let mut missing = Vec::new();
        let mut differ = Vec::new();
        for (&id, mailbox) in &mut count.mailboxes {
            match mailbox.uids {
                Some([validity, _]) if validity == u64::from(mailbox.record.uid_validity) => {}
                Some(_) => differ.push(id),
                None if mailbox.uids_found.is_none() => missing.push(id),
                None => {}
            }
            let is_right = matches!(mailbox.uids, Some([validity, _]) if validity == u64::from(mailbox.record.uid_validity) && validity != 0);
            mailbox.is_untrusted |= !is_right;
        }
        for id in missing {
            self.problem(
                Code::UidRow,
                &keys::mailbox_uid(account, id),
                "the mailbox has no UIDs to give, so no mail gets into it",
            );
        }
        for id in differ {
            self.problem(
                Code::UidRow,
                &keys::mailbox_uid(account, id),
                "the mailbox has two values of UIDVALIDITY",
            );
        }
        Ok(())
    }

    /// Parents are there and form no circle; names and roles are each one's own.
    fn check_tree(&mut self, account: AccountId, count: &mut Count) {
        let parents: BTreeMap<u64, Option<u64>> = count
            .mailboxes
            .iter()
            .map(|(&id, mailbox)| (id, mailbox.record.parent))
            .collect();
        let mut roles = BTreeSet::new();
        let mut names = BTreeSet::new();
        for (&id, mailbox) in &mut count.mailboxes {
            let key = keys::object(account, DataType::Mailbox, id);
            let record = &mut mailbox.record;
            if let Some(parent) = record.parent {
                if !parents.contains_key(&parent) {
                    let why = "the mailbox is in one that isn't there";
                    self.problem(Code::MailboxParent, &key, why);
                    record.parent = None;
                } else if is_least_of_circle(&parents, id) {
                    let why = "the mailbox is in itself";
                    self.problem(Code::MailboxParent, &key, why);
                    record.parent = None;
                }
            }
            let is_inbox_by_right = id == INBOX;
            if is_inbox_by_right != record.is_inbox() {
                let why = "the role of the inbox is another mailbox's";
                self.problem(Code::MailboxRole, &key, why);
                record.role = is_inbox_by_right.then(|| "inbox".to_owned());
            }
            if let Some(role) = record.role.clone()
                && !roles.insert(role)
            {
                if !mailbox.is_made_anew {
                    let why = "two mailboxes have one role";
                    self.problem(Code::MailboxRole, &key, why);
                }
                record.role = None;
            }
            if record.name.is_empty() || record.name.chars().any(char::is_control) {
                self.problem(Code::MailboxName, &key, "the mailbox has no name");
                record.name = format!("{RECOVERED} {id}");
            }
            if !names.insert((record.parent, record.name.clone())) {
                if !mailbox.is_made_anew {
                    let why = "two mailboxes have one name";
                    self.problem(Code::MailboxName, &key, why);
                }
                record.name = format!("{} {id}", record.name);
                names.insert((record.parent, record.name.clone()));
            }
        }
    }

    async fn read_metadata(&mut self, account: AccountId, count: &Count) -> Result<(), CheckError> {
        let mut rows = Rows::new(of_account(Subspace::Metadata, account));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let Some((_, mailbox, _)) = keys::decode_metadata(&key) else {
                    continue;
                };
                // 0: those of the server.
                if mailbox != 0 && !count.mailboxes.contains_key(&mailbox) {
                    self.problem(
                        Code::MailboxMetadata,
                        &key,
                        "annotations are kept for a mailbox that isn't there",
                    );
                    self.put_aside(Code::MailboxMetadata, &key, &bytes).await?;
                } else if self.record::<MetadataRecord>(&key, &bytes).is_none() {
                    self.put_aside(Code::Record, &key, &bytes).await?;
                }
            }
        }
        Ok(())
    }

    /// The mailbox for emails that have none: its number. Makes it where there is none.
    pub(super) fn recovered(&mut self, account: AccountId, count: &mut Count) -> u64 {
        let is_it = |mailbox: &MailboxOf| {
            mailbox.record.name == RECOVERED && mailbox.record.parent.is_none()
        };
        if let Some((&id, _)) = count.mailboxes.iter().find(|(_, mailbox)| is_it(mailbox)) {
            return id;
        }
        let mut id = count.last_id + 1;
        let last = count.last_id;
        self.mend_head(|head| {
            head.last_id = head.last_id.max(last) + 1;
            id = head.last_id;
        });
        count.last_id = id;
        let mailbox = MailboxOf {
            record: MailboxRecord {
                name: RECOVERED.to_owned(),
                ..stand_in(id)
            },
            ..MailboxOf::new(id)
        };
        count.mailboxes.insert(id, mailbox);
        tracing::info!(%account, "a mailbox is made for emails that had none");
        id
    }

    /// UIDs are counted, and what has changed of mailboxes is written.
    pub(super) async fn write_mailboxes(
        &mut self,
        account: AccountId,
        count: &mut Count,
    ) -> Result<(), CheckError> {
        let again: Vec<(u64, u32, u64)> = count
            .mailboxes
            .iter()
            .filter_map(|(&id, mailbox)| {
                let [_, next] = mailbox.uids?;
                let is_behind = u64::from(mailbox.uid_max) >= next;
                (is_behind && mailbox.uids_found.is_some() && !mailbox.has_given).then_some((
                    id,
                    mailbox.uid_max,
                    next,
                ))
            })
            .collect();
        for (id, last, next) in again {
            let why = format!("UID {last} was given, and {next} comes next");
            self.problem(Code::UidAgain, &keys::mailbox_uid(account, id), why);
            if let Some(mailbox) = count.mailboxes.get_mut(&id) {
                mailbox.is_untrusted = true;
            }
        }
        if !self.is_repair() {
            return Ok(());
        }
        let now = u32::try_from(self.core.clock.now().seconds()).unwrap_or(u32::MAX);
        let greatest = count.mailboxes.values().map(|mailbox| {
            let of_row = mailbox.uids.map_or(0, |[validity, _]| validity);
            mailbox
                .record
                .uid_validity
                .max(u32::try_from(of_row).unwrap_or(0))
        });
        let greatest = greatest.max().unwrap_or(0);
        for (&id, mailbox) in &mut count.mailboxes {
            if mailbox.is_untrusted {
                let mut validity = 0;
                self.mend_head(|head| {
                    let last = head.uid_validity.unwrap_or(0).max(greatest);
                    validity = now.max(last.saturating_add(1));
                    head.uid_validity = Some(validity);
                });
                mailbox.record.uid_validity = validity;
            }
            self.write_mailbox(account, id, mailbox).await?;
        }
        Ok(())
    }

    async fn write_mailbox(
        &mut self,
        account: AccountId,
        id: u64,
        mailbox: &MailboxOf,
    ) -> Result<(), CheckError> {
        let key = keys::object(account, DataType::Mailbox, id);
        let as_stored = mailbox
            .found
            .as_ref()
            .and_then(|found| MailboxRecord::from_bytes(&key, found).ok());
        if as_stored.as_ref() != Some(&mailbox.record) {
            let kind = match mailbox.found {
                Some(_) => ChangeKind::Updated,
                None => ChangeKind::Created,
            };
            self.changed(Change::new(DataType::Mailbox, id, kind));
            let why = match as_stored {
                Some(_) => Code::MailboxName,
                None => Code::Record,
            };
            let edit = Edit::put(key, mailbox.found.clone(), mailbox.record.to_bytes());
            self.edit(edit.keeping(why)).await?;
        }
        let next = mailbox.uids.map_or(1, |[_, next]| next);
        let next = next.max(u64::from(mailbox.uid_max) + 1);
        let uids = [u64::from(mailbox.record.uid_validity), next];
        if mailbox.uids != Some(uids) {
            // Those who follow the mailbox look at it again.
            self.changed(Change::new(DataType::Mailbox, id, ChangeKind::Updated));
            let row = keys::mailbox_uid(account, id);
            let edit = Edit::put(row, mailbox.uids_found.clone(), numbers(&uids));
            self.edit(edit.keeping(Code::UidRow)).await?;
        }
        Ok(())
    }

    /// Those with whom something is shared find it, and nobody else does.
    pub(super) async fn check_shares(
        &mut self,
        account: AccountId,
        count: &Count,
    ) -> Result<(), CheckError> {
        let mut grants: BTreeMap<u64, u64> = BTreeMap::new();
        for mailbox in count.mailboxes.values() {
            let grants_of = mailbox.record.share_with.iter();
            for grant in grants_of.filter(|grant| grant.rights != 0) {
                *grants.entry(grant.account).or_default() += 1;
            }
        }
        let rows = self
            .shared
            .get(&account.number())
            .cloned()
            .unwrap_or_default();
        for (&grantee, &granted) in &grants {
            let key = keys::shared_with(AccountId::new(grantee), account);
            let stored = self.get(&key).await?;
            // Of one that is gone, the mailboxes may still know.
            if self.living(grantee).is_some() && stored != Some(numbers(&[granted])) {
                let why = format!(
                    "{} shares {granted} mailboxes with {}, which isn't what is counted",
                    self.name_of(account.number()),
                    self.name_of(grantee)
                );
                self.problem(Code::ShareCount, &key, why);
                self.concerns(grantee);
                self.put_numbers(key, stored, &[granted]).await?;
            }
        }
        for grantee in rows {
            if grants.contains_key(&grantee) {
                continue;
            }
            let key = keys::shared_with(AccountId::new(grantee), account);
            let Some(stored) = self.get(&key).await? else {
                continue;
            };
            let why = format!(
                "{} is counted to share with {}, and doesn't",
                self.name_of(account.number()),
                self.name_of(grantee)
            );
            self.problem(Code::ShareCount, &key, why);
            self.concerns(grantee);
            self.edit(Edit::delete(key, stored)).await?;
        }
        Ok(())
    }

    fn concerns(&mut self, grantee: u64) {
        if let Some(of_account) = self.of_account() {
            of_account.concerned.push(AccountId::new(grantee));
        }
    }

    /// The octets of a blob are there: an assertion of what is built on that.
    pub(super) fn holds_blob(&self, hash: &keys::BlobHash) -> Assertion {
        Assertion::Present(keys::blob(hash))
    }
}

impl MailboxOf {
    /// One without a record.
    fn new(id: u64) -> Self {
        Self {
            record: stand_in(id),
            found: None,
            uids: None,
            uids_found: None,
            uid_max: 0,
            has_given: false,
            is_untrusted: false,
            is_made_anew: true,
        }
    }

    /// A UID for an email that comes into it.
    pub(super) fn give_uid(&mut self) -> u32 {
        self.has_given = true;
        let next = self.uids.map_or(1, |[_, next]| next);
        let next = u32::try_from(next).unwrap_or(u32::MAX).max(1);
        self.uid_max = self.uid_max.saturating_add(1).max(next);
        self.uid_max
    }
}

/// What a mailbox is whose record is lost: those that every account begins with are known.
fn stand_in(id: u64) -> MailboxRecord {
    let first = write::first_mailbox(id);
    MailboxRecord {
        name: first.map_or_else(|| format!("{RECOVERED} {id}"), |(name, ..)| name.to_owned()),
        parent: None,
        role: first.map(|(_, role, _)| role.to_owned()),
        sort_order: first.map_or(0, |(.., order)| order),
        is_subscribed: true,
        share_with: Vec::new(),
        uid_validity: 0,
    }
}

/// Whether a mailbox is above itself, and none of the others in that circle has a smaller number.
fn is_least_of_circle(parents: &BTreeMap<u64, Option<u64>>, id: u64) -> bool {
    let mut at = id;
    for _ in 0..=parents.len() {
        let Some(parent) = parents.get(&at).copied().flatten() else {
            return false;
        };
        if parent == id {
            return true;
        }
        if parent < id {
            return false;
        }
        at = parent;
    }
    false
}

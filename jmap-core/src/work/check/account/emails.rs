//! Emails: each has its message, its place and its number.
//!
//! Other half: `mail::write` inserts, changes and removes them.

use bytes::Bytes;
use jmap_types::{AccountId, DataType};
use store::{
    Change, ChangeKind, Head, Record as _,
    engine::Assertion,
    keys::{self, BlobHash},
};

use super::{
    super::{CheckError, Checker, Code, Rows, edits::Edit},
    Count,
};
use crate::mail::{
    email::valid_keyword,
    message::Summary,
    records::{EmailRecord, InMailbox},
    write::{Message, thread_ref_hashes},
};

/// An email whose places or other fields are to be put right.
pub(super) struct Homeless {
    id: u64,
    record: EmailRecord,
    found: Option<Bytes>,
    /// Mailboxes in which it needs a UID.
    needs_uid: Vec<u64>,
    why: Code,
}

impl Checker<'_> {
    pub(super) async fn read_emails(
        &mut self,
        account: AccountId,
        head: &Head,
        count: &mut Count,
    ) -> Result<(), CheckError> {
        let mut rows = Rows::new(keys::objects(account, DataType::Email));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let Some((_, _, id)) = keys::decode_object(&key) else {
                    continue;
                };
                self.report.emails += 1;
                self.tell(self.report.emails, "emails");
                count.last_id = count.last_id.max(id);
                let Some(record) = self.record::<EmailRecord>(&key, &bytes) else {
                    count.is_partial = true;
                    // Its reference tells which message it had: the blobs' check makes it again.
                    self.changed(Change::new(DataType::Email, id, ChangeKind::Destroyed));
                    self.put_aside(Code::Record, &key, &bytes).await?;
                    continue;
                };
                if !self
                    .check_message(account, &key, &bytes, id, &record, count)
                    .await?
                {
                    continue;
                }
                self.check_email(&key, bytes, id, record, head, count);
            }
        }
        Ok(())
    }

    /// An email's own record.
    fn check_email(
        &mut self,
        key: &[u8],
        found: Bytes,
        id: u64,
        record: EmailRecord,
        head: &Head,
        count: &mut Count,
    ) {
        count.octets += record.size;
        count.modseqs.insert(id, record.modseq);
        if record.is_visible() {
            *count.threads.entry(record.thread).or_default() += 1;
            count.visible.insert(id);
        }
        let mut right = record.clone();
        let mut needs_uid = Vec::new();
        let mut why = None;
        if record.modseq > head.sequence || record.created_seq > record.modseq {
            let sentence = "the email was changed by a transaction that hasn't happened yet";
            self.problem(Code::EmailSequence, key, sentence);
            right.modseq = right.modseq.min(head.sequence);
            right.created_seq = right.created_seq.min(right.modseq);
            why = Some(Code::EmailSequence);
        }
        if record
            .keywords
            .iter()
            .any(|keyword| valid_keyword(keyword).as_ref() != Some(keyword))
        {
            self.problem(Code::EmailKeywords, key, "a keyword of the email is none");
            right.keywords = (record.keywords.iter())
                .filter_map(|keyword| valid_keyword(keyword))
                .collect();
            right.keywords.sort_unstable();
            right.keywords.dedup();
            why = Some(Code::EmailKeywords);
        }
        right.all_places.clear();
        for place in &record.all_places {
            let Some(mailbox) = count.mailboxes.get_mut(&place.mailbox) else {
                let sentence = "the email is in a mailbox that isn't there";
                self.problem(Code::EmailMailbox, key, sentence);
                why = Some(Code::EmailMailbox);
                continue;
            };
            if right
                .all_places
                .iter()
                .any(|known| known.mailbox == place.mailbox)
            {
                self.problem(Code::UidTwice, key, "the email is in one mailbox twice");
                why = Some(Code::UidTwice);
                continue;
            }
            let counted = count.emails_of.entry(place.mailbox).or_default();
            counted.all += 1;
            counted.visible += u64::from(!place.is_deleted);
            right.all_places.push(*place);
            if place.uid == 0 || !count.uids.insert((place.mailbox, place.uid)) {
                let sentence = format!("UID {} was given twice in one mailbox", place.uid);
                mailbox.is_untrusted = true;
                needs_uid.push(place.mailbox);
                self.problem(Code::UidTwice, key, sentence);
                why = Some(Code::UidTwice);
            } else {
                mailbox.uid_max = mailbox.uid_max.max(place.uid);
            }
        }
        if record.all_places.is_empty() {
            self.problem(Code::EmailMailbox, key, "the email is in no mailbox");
            why = Some(Code::EmailMailbox);
        }
        if let (Some(why), true) = (why, self.is_repair()) {
            count.homeless.push(Homeless {
                id,
                record: right,
                found: Some(found),
                needs_uid,
                why,
            });
        }
    }

    /// What an email says of its message. `false`: the message is lost, and the email with it.
    async fn check_message(
        &mut self,
        account: AccountId,
        key: &[u8],
        found: &Bytes,
        id: u64,
        record: &EmailRecord,
        count: &mut Count,
    ) -> Result<bool, CheckError> {
        let hash = record.blob;
        let blob = keys::blob(&hash);
        let reference = keys::blob_ref(&hash, account, DataType::Email, id);
        let is_held = self.exists(&reference).await?;
        if !self.exists(&blob).await? {
            self.problem(
                Code::BlobMissing,
                key,
                "the octets of the email's message are missing",
            );
            if self.is_repair() {
                count.is_partial = true;
                return self
                    .give_up_email(account, key, found, id, record)
                    .await
                    .map(|()| false);
            }
        }
        if !is_held {
            self.problem(
                Code::BlobRefMissing,
                key,
                "the email doesn't hold its message, which could be collected",
            );
            let edit = Edit::put(reference, None, Bytes::new());
            let guard = self.holds_blob(&hash);
            self.edit(edit.guard(guard)).await?;
        }
        let stored = self.get(&keys::summary(&hash)).await?;
        let summary = stored
            .as_ref()
            .and_then(|bytes| Summary::decode(bytes).ok());
        let Some(summary) = summary else {
            count.is_partial = true;
            self.problem(
                Code::SummaryMissing,
                key,
                "the summary of the email's message is missing or damaged",
            );
            self.make_summary(&hash, stored).await?;
            return Ok(true);
        };
        if summary.size != record.size {
            let why = format!(
                "the email has {} octets, and its message {}",
                record.size, summary.size
            );
            self.problem(Code::EmailSize, key, why);
            if self.is_repair() {
                // Which of the two is wrong, the message tells.
                count.is_partial = true;
                self.right_size(account, id, found, record, stored).await?;
            }
        }
        for hash in thread_ref_hashes(&summary) {
            let refs = count.thread_refs.entry(hash).or_insert((0, record.thread));
            refs.0 += 1;
            refs.1 = refs.1.min(record.thread);
        }
        Ok(true)
    }

    /// An email whose message is lost goes aside.
    async fn give_up_email(
        &mut self,
        account: AccountId,
        key: &[u8],
        found: &Bytes,
        id: u64,
        record: &EmailRecord,
    ) -> Result<(), CheckError> {
        self.changed(Change::new(DataType::Email, id, ChangeKind::Destroyed));
        for place in &record.all_places {
            let change = Change::new(DataType::Mailbox, place.mailbox, ChangeKind::Counts);
            self.changed(change);
        }
        let edit = Edit::aside(key.to_vec(), found.clone(), Code::BlobMissing);
        let guard = Assertion::Absent(keys::blob(&record.blob));
        self.edit(edit.guard(guard)).await?;
        let reference = keys::blob_ref(&record.blob, account, DataType::Email, id);
        self.take_row(reference, Vec::new()).await?;
        Ok(())
    }

    /// Makes a summary and a structure again from the octets of a message.
    pub(in super::super) async fn make_summary(
        &mut self,
        hash: &BlobHash,
        found: Option<Bytes>,
    ) -> Result<(), CheckError> {
        if !self.is_repair() {
            return Ok(());
        }
        let Some(octets) = self.get(&keys::blob(hash)).await? else {
            return Ok(());
        };
        if store::blob::hash(&octets) != *hash {
            // The blobs' check sees to them.
            return Ok(());
        }
        let message = Message::parse(octets);
        let guard = self.holds_blob(hash);
        let edit = Edit::put(keys::summary(hash), found, message.encoded_summary);
        self.edit(edit.guard(guard).keeping(Code::SummaryMissing))
            .await?;
        let key = keys::structure(hash);
        let found = self.get(&key).await?;
        if found.as_ref() != Some(&message.encoded_structure) {
            self.edit(Edit::put(key, found, message.encoded_structure))
                .await?;
        }
        Ok(())
    }

    async fn right_size(
        &mut self,
        account: AccountId,
        id: u64,
        found: &Bytes,
        record: &EmailRecord,
        summary: Option<Bytes>,
    ) -> Result<(), CheckError> {
        let Some(octets) = self.get(&keys::blob(&record.blob)).await? else {
            return Ok(());
        };
        let size = octets.len() as u64;
        if record.size == size {
            return self.make_summary(&record.blob, summary).await;
        }
        let right = EmailRecord {
            size,
            ..record.clone()
        };
        self.write_email(account, id, Some(found.clone()), right, Code::EmailSize)
            .await
    }

    /// Gives the emails that need it a place, a UID, or other fields.
    pub(super) async fn house(
        &mut self,
        account: AccountId,
        count: &mut Count,
    ) -> Result<(), CheckError> {
        let now = self.core.clock.now().seconds();
        for email in std::mem::take(&mut count.homeless) {
            let Homeless {
                id,
                mut record,
                found,
                needs_uid,
                why,
            } = email;
            for place in &mut record.all_places {
                if needs_uid.contains(&place.mailbox)
                    && let Some(mailbox) = count.mailboxes.get_mut(&place.mailbox)
                {
                    place.uid = mailbox.give_uid();
                }
            }
            if record.all_places.is_empty() {
                let mailbox = self.recovered(account, count);
                if let Some(of) = count.mailboxes.get_mut(&mailbox) {
                    record.all_places.push(InMailbox {
                        mailbox,
                        uid: of.give_uid(),
                        saved_at: now,
                        is_deleted: false,
                    });
                }
            }
            self.write_email(account, id, found, record, why).await?;
        }
        Ok(())
    }

    async fn write_email(
        &mut self,
        account: AccountId,
        id: u64,
        found: Option<Bytes>,
        mut record: EmailRecord,
        why: Code,
    ) -> Result<(), CheckError> {
        for place in &record.all_places {
            let change = Change::new(DataType::Mailbox, place.mailbox, ChangeKind::Counts);
            self.changed(change);
        }
        let kind = match found {
            Some(_) => ChangeKind::Updated,
            None => ChangeKind::Created,
        };
        self.changed(Change::new(DataType::Email, id, kind));
        if let Some(of_account) = self.of_account() {
            record.modseq = of_account.head.sequence + 1;
            if found.is_none() {
                record.created_seq = record.modseq;
            }
        }
        let guard = self.holds_blob(&record.blob);
        let key = keys::object(account, DataType::Email, id);
        let edit = Edit::put(key, found, record.to_bytes());
        self.edit(edit.guard(guard).keeping(why)).await
    }

    /// Emails whose records are lost while their messages are there and held for them: they come into a mailbox of their own.
    pub(in super::super) async fn recover_emails(
        &mut self,
        account: AccountId,
        lost: &[(u64, BlobHash)],
    ) -> Result<(), CheckError> {
        let head = self.read_head(account).await?;
        let mut count = Count::default();
        let head = self.check_log(account, head).await?;
        self.read_mailboxes(account, &mut count).await?;
        self.read_emails(account, &head, &mut count).await?;
        for &(id, hash) in lost {
            let key = keys::object(account, DataType::Email, id);
            let reference = keys::blob_ref(&hash, account, DataType::Email, id);
            if self.exists(&key).await? || !self.exists(&reference).await? {
                continue;
            }
            let Some(octets) = self.get(&keys::blob(&hash)).await? else {
                continue;
            };
            if store::blob::hash(&octets) != hash {
                // The octets are damaged as well: they go aside, and nothing is left to make an email of.
                continue;
            }
            let message = Message::parse(octets);
            let now = self.core.clock.now().seconds();
            let sent_at = message.summary.sent_at.map(|date| date.timestamp);
            let thread = self.thread_of(account, &message.summary, id).await?;
            count.last_id = count.last_id.max(id);
            count.homeless.push(Homeless {
                id,
                record: EmailRecord {
                    blob: hash,
                    thread,
                    received_at: sent_at.filter(|at| *at <= now).unwrap_or(now),
                    size: message.octets.len() as u64,
                    all_places: Vec::new(),
                    keywords: Vec::new(),
                    created_seq: 0,
                    modseq: 0,
                    sent_at,
                    has_attachment: message.summary.has_attachment,
                },
                found: None,
                needs_uid: Vec::new(),
                why: Code::EmailLost,
            });
        }
        self.house(account, &mut count).await?;
        self.write_mailboxes(account, &mut count).await?;
        self.flush().await
    }

    async fn thread_of(
        &self,
        account: AccountId,
        summary: &Summary,
        id: u64,
    ) -> Result<u64, CheckError> {
        let mut thread = id;
        for hash in thread_ref_hashes(summary) {
            let key = keys::thread_ref(account, hash);
            let known = self.get(&key).await?;
            let known = known.and_then(|bytes| store::decode_numbers::<2>(&key, &bytes).ok());
            thread = thread.min(known.map_or(thread, |[known, _]| known));
        }
        Ok(thread)
    }
}

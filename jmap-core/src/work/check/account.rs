//! One account: its mailboxes, emails and threads agree with each other, with its head and with its log.
//!
//! Other half: `mail::write` changes them together.

use std::collections::{BTreeMap, HashMap, HashSet};

use jmap_types::{AccountId, DataType};
use store::{
    Head,
    keys::{self, Subspace},
    log::LogRow,
};

use super::{CheckError, Checker, ProblemKind, Rows, directory::two_numbers};
use crate::mail::{
    message::Summary,
    records::{EmailRecord, MailboxRecord, MetadataRecord},
    write::thread_ref_hashes,
};

/// What is counted of an account.
#[derive(Default)]
struct Count {
    mailboxes: BTreeMap<u64, MailboxRecord>,
    /// By mailbox: (UIDVALIDITY, UIDNEXT).
    uids_next: HashMap<u64, u64>,
    uids: HashSet<(u64, u32)>,
    /// By email.
    modseqs: HashMap<u64, u64>,
    emails_of: HashMap<u64, EmailsOf>,
    threads: HashMap<u64, u64>,
    thread_refs: HashMap<u64, u64>,
    octets: u64,
    /// A record or summary is missing or damaged: sums over all can't agree.
    is_partial: bool,
}

/// How many emails a mailbox has.
#[derive(Clone, Copy, Default)]
struct EmailsOf {
    /// With `\Deleted` or without.
    all: u64,
    /// Without: what JMAP sees.
    visible: u64,
}

impl Checker<'_> {
    pub(super) async fn check_accounts(&mut self) -> Result<(), CheckError> {
        let ids: Vec<u64> = self.accounts.keys().copied().collect();
        for id in ids {
            if !self.is_going(id) {
                self.check_account(AccountId::new(id)).await?;
            }
        }
        Ok(())
    }

    async fn check_account(&mut self, account: AccountId) -> Result<(), CheckError> {
        let key = keys::head(account);
        let head = match self.get(&key).await? {
            Some(bytes) => self.record::<Head>(&key, &bytes),
            None => {
                self.problem(
                    ProblemKind::Log,
                    &key,
                    format!("{} has no head", self.name_of(account.number())),
                );
                None
            }
        };
        let Some(head) = head else {
            return Ok(());
        };
        let mut count = Count::default();
        self.read_mailboxes(account, &mut count).await?;
        self.read_emails(account, &head, &mut count).await?;
        self.check_threads(account, &mut count).await?;
        self.check_other_objects(account, &head).await?;
        self.check_submissions(account, &head).await?;
        self.check_shares(account, &count).await?;
        self.check_log(account, &head).await?;
        self.check_search(account, &head).await?;
        if !count.is_partial && count.octets != head.used_octets {
            let why = format!(
                "the emails have {} octets, and {} are counted as used",
                count.octets, head.used_octets
            );
            self.problem(ProblemKind::Quota, &key, why);
        }
        self.check_view(account, &head, &count);
        Ok(())
    }

    async fn read_mailboxes(
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
                if let Some(record) = self.record::<MailboxRecord>(&key, &bytes) {
                    count.mailboxes.insert(id, record);
                }
            }
        }
        for (&id, record) in &count.mailboxes {
            if record
                .parent
                .is_some_and(|parent| !count.mailboxes.contains_key(&parent))
            {
                let key = keys::object(account, DataType::Mailbox, id);
                self.problem(
                    ProblemKind::Mailbox,
                    &key,
                    "the mailbox is in one that isn't there",
                );
            }
        }
        let mut rows = Rows::new(of_account(Subspace::MailboxUid, account));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let Some((_, id)) = keys::decode_mailbox_uid(&key) else {
                    continue;
                };
                if !count.mailboxes.contains_key(&id) {
                    self.problem(
                        ProblemKind::Uid,
                        &key,
                        "UIDs are kept for a mailbox that isn't there",
                    );
                }
                if let Some([_, next]) = self.numbers(&key, &bytes, "next UID") {
                    count.uids_next.insert(id, next);
                }
            }
        }
        self.read_metadata(account, count).await?;
        for &id in count.mailboxes.keys() {
            if !count.uids_next.contains_key(&id) {
                let key = keys::mailbox_uid(account, id);
                self.problem(
                    ProblemKind::Uid,
                    &key,
                    "the mailbox has no UIDs to give, so no mail gets into it",
                );
            }
        }
        Ok(())
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
                        ProblemKind::Mailbox,
                        &key,
                        "annotations are kept for a mailbox that isn't there",
                    );
                }
                self.record::<MetadataRecord>(&key, &bytes);
            }
        }
        Ok(())
    }

    async fn read_emails(
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
                match self.record::<EmailRecord>(&key, &bytes) {
                    Some(record) => {
                        self.check_email(&key, id, &record, head, count);
                        self.check_message(account, &key, id, &record, count)
                            .await?;
                    }
                    None => count.is_partial = true,
                }
            }
        }
        Ok(())
    }

    /// An email's own record.
    fn check_email(
        &mut self,
        key: &[u8],
        id: u64,
        record: &EmailRecord,
        head: &Head,
        count: &mut Count,
    ) {
        count.octets += record.size;
        count.modseqs.insert(id, record.modseq);
        if record.is_visible() {
            *count.threads.entry(record.thread).or_default() += 1;
        }
        if id > head.last_id {
            self.problem(
                ProblemKind::Email,
                key,
                "the email has an id that wasn't given yet",
            );
        }
        if record.modseq > head.sequence || record.created_seq > record.modseq {
            self.problem(
                ProblemKind::Email,
                key,
                "the email was changed by a transaction that hasn't happened yet",
            );
        }
        if record.all_places.is_empty() {
            self.problem(ProblemKind::Email, key, "the email is in no mailbox");
        }
        for place in &record.all_places {
            let counted = count.emails_of.entry(place.mailbox).or_default();
            counted.all += 1;
            counted.visible += u64::from(!place.is_deleted);
            if !count.mailboxes.contains_key(&place.mailbox) {
                self.problem(
                    ProblemKind::Email,
                    key,
                    "the email is in a mailbox that isn't there",
                );
            }
            if !count.uids.insert((place.mailbox, place.uid)) {
                let why = format!("UID {} was given twice in one mailbox", place.uid);
                self.problem(ProblemKind::Uid, key, why);
            }
            let next = count.uids_next.get(&place.mailbox);
            if next.is_some_and(|next| u64::from(place.uid) >= *next) {
                let why = format!("UID {} will be given again", place.uid);
                self.problem(ProblemKind::Uid, key, why);
            }
        }
    }

    /// What an email says of its message.
    async fn check_message(
        &mut self,
        account: AccountId,
        key: &[u8],
        id: u64,
        record: &EmailRecord,
        count: &mut Count,
    ) -> Result<(), CheckError> {
        if !self.exists(&keys::blob(&record.blob)).await? {
            self.problem(
                ProblemKind::Blob,
                key,
                "the octets of the email's message are missing",
            );
        }
        if !self
            .exists(&keys::blob_ref(&record.blob, account, DataType::Email, id))
            .await?
        {
            self.problem(
                ProblemKind::BlobRef,
                key,
                "the email doesn't hold its message, which could be collected",
            );
        }
        let summary = self.get(&keys::summary(&record.blob)).await?;
        match summary.and_then(|bytes| Summary::decode(&bytes).ok()) {
            Some(summary) => {
                for hash in thread_ref_hashes(&summary) {
                    *count.thread_refs.entry(hash).or_default() += 1;
                }
            }
            None => {
                count.is_partial = true;
                self.problem(
                    ProblemKind::Summary,
                    key,
                    "the summary of the email's message is missing or damaged",
                );
            }
        }
        Ok(())
    }

    async fn check_threads(
        &mut self,
        account: AccountId,
        count: &mut Count,
    ) -> Result<(), CheckError> {
        let mut rows = Rows::new(keys::objects(account, DataType::Thread));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let Some((_, _, id)) = keys::decode_object(&key) else {
                    continue;
                };
                let Some([stored]) = self.numbers(&key, &bytes, "number of emails of a thread")
                else {
                    continue;
                };
                let found = count.threads.remove(&id).unwrap_or(0);
                if found != stored && !count.is_partial {
                    let why = format!("the thread has {found} emails, and {stored} are counted");
                    self.problem(ProblemKind::Thread, &key, why);
                }
            }
        }
        for id in std::mem::take(&mut count.threads).into_keys() {
            let key = keys::object(account, DataType::Thread, id);
            self.problem(
                ProblemKind::Thread,
                &key,
                "emails are in a thread that isn't there",
            );
        }
        let mut rows = Rows::new(of_account(Subspace::ThreadRef, account));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let Some((_, hash)) = two_numbers(Subspace::ThreadRef, &key) else {
                    continue;
                };
                let Some([_, stored]) = self.numbers(&key, &bytes, "way to a thread") else {
                    continue;
                };
                let found = count.thread_refs.remove(&hash).unwrap_or(0);
                if found != stored && !count.is_partial {
                    let why = format!("{found} emails name this message, and {stored} are counted");
                    self.problem(ProblemKind::Thread, &key, why);
                }
            }
        }
        if !count.is_partial {
            for hash in std::mem::take(&mut count.thread_refs).into_keys() {
                let key = keys::thread_ref(account, hash);
                self.problem(
                    ProblemKind::Thread,
                    &key,
                    "answers to an email won't find its thread",
                );
            }
        }
        Ok(())
    }

    /// Objects of types that nothing else is said of: they can be read, and have ids that were given.
    async fn check_other_objects(
        &mut self,
        account: AccountId,
        head: &Head,
    ) -> Result<(), CheckError> {
        for &data_type in DataType::ALL {
            if matches!(
                data_type,
                DataType::Mailbox | DataType::Email | DataType::Thread
            ) {
                continue;
            }
            let mut rows = Rows::new(keys::objects(account, data_type));
            while let Some(page) = rows.next(&self.snapshot).await? {
                for (key, bytes) in page {
                    if !is_sound(&bytes) {
                        self.problem(
                            ProblemKind::Record,
                            &key,
                            format!("the {data_type} can't be read"),
                        );
                    }
                    let id = keys::decode_object(&key).map_or(0, |(_, _, id)| id);
                    if has_given_ids(data_type) && id > head.last_id {
                        let why = format!("the {data_type} has an id that wasn't given yet");
                        self.problem(ProblemKind::Record, &key, why);
                    }
                }
            }
        }
        Ok(())
    }

    /// Those with whom something is shared find it, and nobody else does.
    async fn check_shares(&mut self, account: AccountId, count: &Count) -> Result<(), CheckError> {
        let mut grants: BTreeMap<u64, u64> = BTreeMap::new();
        for record in count.mailboxes.values() {
            for grant in record.share_with.iter().filter(|grant| grant.rights != 0) {
                *grants.entry(grant.account).or_default() += 1;
            }
        }
        let mut rows = 0;
        for (grantee, granted) in grants {
            let key = keys::shared_with(AccountId::new(grantee), account);
            let stored = self.get(&key).await?;
            rows += u64::from(stored.is_some());
            // Of one that is gone, the mailboxes may still know.
            if self.living(grantee).is_some() && stored != Some(store::numbers(&[granted])) {
                let why = format!(
                    "{} shares {granted} mailboxes with {}, which isn't what is counted",
                    self.name_of(account.number()),
                    self.name_of(grantee)
                );
                self.problem(ProblemKind::Share, &key, why);
            }
        }
        if self.shared.get(&account.number()).copied().unwrap_or(0) > rows {
            let why = format!(
                "{} is counted to share with somebody that it doesn't",
                self.name_of(account.number())
            );
            self.problem(ProblemKind::Share, &keys::head(account), why);
        }
        Ok(())
    }

    /// The log goes on without a gap from where it was trimmed to the last transaction.
    async fn check_log(&mut self, account: AccountId, head: &Head) -> Result<(), CheckError> {
        let mut expected = head.log_trimmed + 1;
        let mut rows = Rows::new(of_account(Subspace::Log, account));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let Some((_, sequence)) = keys::decode_log(&key) else {
                    continue;
                };
                if sequence != expected {
                    let why =
                        format!("the change log has row {sequence} where row {expected} should be");
                    self.problem(ProblemKind::Log, &key, why);
                }
                expected = sequence + 1;
                self.record::<LogRow>(&key, &bytes);
            }
        }
        let key = keys::head(account);
        if expected != head.sequence + 1 {
            let why = format!(
                "the change log ends with row {}, and not with {}",
                expected - 1,
                head.sequence
            );
            self.problem(ProblemKind::Log, &key, why);
        }
        if head.states.iter().any(|state| *state > head.sequence)
            || head.log_trimmed > head.sequence
        {
            self.problem(
                ProblemKind::Log,
                &key,
                "a state is ahead of the last transaction",
            );
        }
        Ok(())
    }

    async fn check_search(&mut self, account: AccountId, head: &Head) -> Result<(), CheckError> {
        let (cursor_key, pending_key) =
            (keys::search_cursor(account), keys::search_pending(account));
        let cursor = match self.get(&cursor_key).await? {
            Some(bytes) => self
                .numbers::<1>(&cursor_key, &bytes, "cursor of the search index")
                .map(|[cursor]| cursor),
            None => Some(0),
        };
        let Some(cursor) = cursor else {
            return Ok(());
        };
        if cursor > head.sequence {
            self.problem(
                ProblemKind::Search,
                &cursor_key,
                "the search index is ahead of the last transaction",
            );
        }
        let is_pending = match self.get(&pending_key).await? {
            Some(bytes) => self
                .numbers::<1>(&pending_key, &bytes, "note for the search index")
                .is_some(),
            None => false,
        };
        if head.state(DataType::Email) > cursor && !is_pending {
            self.problem(
                ProblemKind::Search,
                &cursor_key,
                "emails are not indexed, and nobody knows that they should be",
            );
        }
        Ok(())
    }

    /// What is in memory is what is stored, if it is of the same moment.
    fn check_view(&mut self, account: AccountId, head: &Head, count: &Count) {
        let handle = self.core.accounts.handle(account);
        let Some(view) = handle
            .loaded_view()
            .filter(|view| view.head.sequence == head.sequence)
        else {
            return;
        };
        let mut wrong = Vec::new();
        if !count.is_partial && view.all_emails().len() != count.modseqs.len() {
            wrong.push(format!(
                "the view has {} emails, and {} are stored",
                view.all_emails().len(),
                count.modseqs.len()
            ));
        }
        let is_other = |(id, row): &(u64, &crate::mail::view::EmailRow)| {
            count.modseqs.get(id) != Some(&row.modseq)
        };
        if let Some((id, _)) = view.all_emails().find(is_other) {
            wrong.push(format!("the view has another email {id} than is stored"));
        }
        for &id in count.mailboxes.keys() {
            let stored = count.emails_of.get(&id).copied().unwrap_or_default();
            let is_right = view.mailbox(id).is_some_and(|row| {
                let next = count.uids_next.get(&id).copied();
                row.by_uid().len() as u64 == stored.all
                    && u64::from(row.all.messages) == stored.all
                    && u64::from(row.all.deleted) == stored.all - stored.visible
                    && next.is_none_or(|next| next == u64::from(row.uid_next))
            });
            if !is_right || view.counts(id).total_emails != stored.visible {
                wrong.push(format!(
                    "the view counts other emails in mailbox {id} than are stored"
                ));
            }
        }
        drop(view);
        for why in wrong {
            self.problem(ProblemKind::View, &keys::head(account), why);
        }
    }
}

/// Whether the octets are one value in CBOR.
fn is_sound(bytes: &[u8]) -> bool {
    let mut decoder = minicbor::Decoder::new(bytes);
    decoder.skip().is_ok() && decoder.position() == bytes.len()
}

/// Whether the objects of a type have ids of the account's sequence; others are named by what they are about.
fn has_given_ids(data_type: DataType) -> bool {
    matches!(data_type, DataType::Identity | DataType::EmailSubmission)
}

/// All keys of a subspace that begin with this account.
fn of_account(subspace: Subspace, account: AccountId) -> store::engine::KeyRange {
    let mut start = vec![subspace as u8];
    start.extend_from_slice(&account.number().to_be_bytes());
    keys::prefix(start)
}

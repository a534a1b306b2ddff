//! One account: its mailboxes, emails and threads agree with each other, with its head and with its log.
//!
//! Other half: `mail::write` changes them together.

mod emails;
mod head;
mod index;
mod mailboxes;
mod objects;
mod threads;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use jmap_types::{AccountId, DataType};
use store::{
    Head,
    keys::{self, Subspace},
};

use self::emails::Homeless;
pub use self::mailboxes::RECOVERED;
use super::{CheckError, Checker, Code, edits::Scope};
use crate::mail::records::MailboxRecord;

/// What is counted of an account.
#[derive(Default)]
struct Count {
    mailboxes: BTreeMap<u64, MailboxOf>,
    /// By email.
    modseqs: HashMap<u64, u64>,
    uids: HashSet<(u64, u32)>,
    emails_of: HashMap<u64, EmailsOf>,
    threads: HashMap<u64, u64>,
    /// By hash: emails that have it, and the first of their threads.
    thread_refs: HashMap<u64, (u64, u64)>,
    octets: u64,
    /// The greatest id of an object.
    last_id: u64,
    /// Emails that need a place, or another one.
    homeless: Vec<Homeless>,
    /// A record or summary is missing or damaged: sums over all can't agree.
    is_partial: bool,
    /// Emails that JMAP sees.
    visible: BTreeSet<u64>,
}

/// A mailbox, as it is stored and as it is to be.
struct MailboxOf {
    record: MailboxRecord,
    /// Its row; `None`: there is none.
    found: Option<Bytes>,
    /// UIDVALIDITY and UIDNEXT; `None`: they are missing or damaged.
    uids: Option<[u64; 2]>,
    uids_found: Option<Bytes>,
    uid_max: u32,
    /// This check has given UIDs of it.
    has_given: bool,
    /// Clients can't rely on UIDs that they know.
    is_untrusted: bool,
    /// The row can't be read, or isn't there.
    is_made_anew: bool,
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
            // Of an account without a record, the directory makes one first.
            let has_record = matches!(self.accounts.get(&id), Some(Some(_)));
            if self.is_going(id) || (self.is_repair() && !has_record) {
                continue;
            }
            let account = AccountId::new(id);
            if self.is_sound(account).await? || !self.is_repair() {
                continue;
            }
            let handle = self.core.accounts.handle(account);
            let work = async {
                self.look_anew().await?;
                self.check_account(account).await
            };
            Box::pin(handle.writer.alone(Box::pin(work))).await??;
            self.set_scope(Scope::Rows);
            self.reindex_what_must().await?;
        }
        if self.is_repair() {
            self.look_anew().await?;
        }
        Ok(())
    }

    /// Reads an account without its turn, so that nobody waits for it. Of a repair, what is wrong is told when it is read again.
    async fn is_sound(&mut self, account: AccountId) -> Result<bool, CheckError> {
        let edits = self.edits.take();
        let (problems, emails) = (self.report.problems.len(), self.report.emails);
        let checked = self.check_account(account).await;
        self.edits = edits;
        checked?;
        let is_sound = self.report.problems.len() == problems && !self.report.has_more;
        if !is_sound && self.is_repair() {
            self.report.problems.truncate(problems);
            self.report.emails = emails;
        }
        Ok(is_sound)
    }

    pub(super) async fn check_account(&mut self, account: AccountId) -> Result<(), CheckError> {
        let head = self.read_head(account).await?;
        let mut count = Count::default();
        let head = self.check_log(account, head).await?;
        self.read_mailboxes(account, &mut count).await?;
        self.read_emails(account, &head, &mut count).await?;
        self.house(account, &mut count).await?;
        self.write_mailboxes(account, &mut count).await?;
        self.check_threads(account, &mut count).await?;
        self.check_other_objects(account, &mut count).await?;
        let submissions = self.check_submissions(account).await?;
        self.check_shares(account, &count).await?;
        self.check_search(account, &head, &count).await?;
        self.check_sums(account, &head, &count, submissions);
        self.check_view(account, &head, &count);
        self.flush().await
    }

    /// What is counted in the head.
    fn check_sums(&mut self, account: AccountId, head: &Head, count: &Count, submissions: u64) {
        let key = keys::head(account);
        if count.last_id > head.last_id {
            let why = format!(
                "an object has number {}, and numbers up to {} were given",
                count.last_id, head.last_id
            );
            self.problem(Code::EmailId, &key, why);
            let last = count.last_id;
            self.mend_head(|head| head.last_id = head.last_id.max(last));
        }
        if !count.is_partial && count.octets != head.used_octets {
            let why = format!(
                "the emails have {} octets, and {} are counted as used",
                count.octets, head.used_octets
            );
            self.problem(Code::Quota, &key, why);
            let octets = count.octets;
            self.mend_head(|head| head.used_octets = octets);
        }
        if let Some(counted) = head.submissions.filter(|counted| *counted != submissions) {
            let why = format!("there are {submissions} submissions, and {counted} are counted");
            self.problem(Code::SubmissionCount, &key, why);
            self.mend_head(|head| head.submissions = Some(submissions));
        }
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
        for (&id, mailbox) in &count.mailboxes {
            let stored = count.emails_of.get(&id).copied().unwrap_or_default();
            let is_right = view.mailbox(id).is_some_and(|row| {
                row.by_uid().len() as u64 == stored.all
                    && u64::from(row.all.messages) == stored.all
                    && u64::from(row.all.deleted) == stored.all - stored.visible
                    && mailbox
                        .uids
                        .is_none_or(|[_, next]| next == u64::from(row.uid_next))
            });
            if !is_right || view.counts(id).total_emails != stored.visible {
                wrong.push(format!(
                    "the view counts other emails in mailbox {id} than are stored"
                ));
            }
        }
        drop(view);
        if !wrong.is_empty() && self.is_repair() {
            handle.forget_view();
        }
        for why in wrong {
            self.problem(Code::View, &keys::head(account), why);
        }
    }
}

/// All keys of a subspace that begin with this account.
fn of_account(subspace: Subspace, account: AccountId) -> store::engine::KeyRange {
    let mut start = vec![subspace as u8];
    start.extend_from_slice(&account.number().to_be_bytes());
    keys::prefix(start)
}

/// Whether the objects of a type have ids of the account's sequence; others are named by what they are about.
fn has_given_ids(data_type: DataType) -> bool {
    matches!(
        data_type,
        DataType::Mailbox
            | DataType::Email
            | DataType::Identity
            | DataType::EmailSubmission
            | DataType::SieveScript
    )
}

//! The head and the log: numbers were given up to the last that is found, and the log goes on to it without a gap.
//!
//! Other half: `store::account::Txn` writes both.

use std::collections::BTreeMap;

use bytes::Bytes;
use jmap_types::{AccountId, DataType};
use store::{
    Head, Record as _, decode_numbers,
    keys::{self, Subspace},
    log::LogRow,
};

use super::{
    super::{
        CheckError, Checker, Code, Rows,
        edits::{Edit, OfAccount, Scope},
    },
    has_given_ids, of_account,
};
use crate::mail::records::{EmailRecord, MailboxRecord};

/// Numbers that are left out after a head was lost, as nobody knows which were given to objects that are gone.
const NUMBERS_LEFT_OUT: u64 = 1000;
/// An email that says that it changed so many transactions after the last row of the log is itself damaged.
const SEQUENCES_MAX: u64 = 1 << 20;

/// What the log has.
#[derive(Default)]
struct LogOf {
    /// The last row; 0: there is none.
    last: u64,
    /// From here on there is no gap up to the last.
    first_of_run: u64,
    /// By type: the last row in which one changed.
    states: BTreeMap<u8, u64>,
}

impl Checker<'_> {
    /// The account's head, or one that is made of what the account has.
    pub(super) async fn read_head(&mut self, account: AccountId) -> Result<Head, CheckError> {
        let key = keys::head(account);
        let found = self.get(&key).await?;
        let read = match &found {
            Some(bytes) => self.record::<Head>(&key, bytes),
            None => {
                let why = format!("{} has no head", self.name_of(account.number()));
                self.problem(Code::HeadMissing, &key, why);
                None
            }
        };
        let is_lost = read.is_none();
        let head = match read {
            Some(head) => head,
            None => self.head_of_rows(account).await?,
        };
        self.set_scope(Scope::Account(Box::new(OfAccount {
            account,
            found: found.clone(),
            stored: (!is_lost).then(|| head.clone()),
            head: head.clone(),
            changes: Vec::new(),
            concerned: Vec::new(),
        })));
        if is_lost && self.is_repair() {
            if let Some(bad) = found {
                // The commit writes the head itself; here its octets are put aside alone.
                self.keep(Code::Record, &key, &bad).await?;
            }
            self.flush().await?;
        }
        Ok(head)
    }

    /// A head of what there is.
    async fn head_of_rows(&self, account: AccountId) -> Result<Head, CheckError> {
        let mut head = Head::default();
        let mut last_id = 0;
        let mut newest = 0;
        let mut rows = Rows::new(of_account(Subspace::Object, account));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let Some((_, data_type, id)) = keys::decode_object(&key) else {
                    continue;
                };
                if has_given_ids(data_type) || data_type == DataType::Thread {
                    last_id = last_id.max(id);
                }
                match data_type {
                    DataType::Email => {
                        if let Ok(record) = EmailRecord::from_bytes(&key, &bytes) {
                            newest = newest.max(record.modseq);
                            head.used_octets += record.size;
                        }
                    }
                    DataType::Mailbox => {
                        let record = MailboxRecord::from_bytes(&key, &bytes).ok();
                        let validity = record.map(|record| record.uid_validity);
                        head.uid_validity = head.uid_validity.max(validity);
                    }
                    _ => {}
                }
            }
        }
        let mut rows = Rows::new(of_account(Subspace::MailboxUid, account));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                if let Ok([validity, _]) = decode_numbers::<2>(&key, &bytes) {
                    let validity = u32::try_from(validity).ok();
                    head.uid_validity = head.uid_validity.max(validity);
                }
            }
        }
        let log = self.read_log(account).await?;
        head.sequence = match newest > log.last + SEQUENCES_MAX && log.last != 0 {
            true => log.last,
            false => newest.max(log.last),
        };
        head.log_trimmed = match log.last == head.sequence && log.last != 0 {
            true => log.first_of_run - 1,
            false => head.sequence,
        };
        head.last_id = last_id + NUMBERS_LEFT_OUT;
        head.states = DataType::ALL.iter().map(|_| head.sequence).collect();
        head.revision = self
            .core
            .cluster
            .is_some()
            .then(|| u64::try_from(self.core.clock.now().0).unwrap_or(1));
        Ok(head)
    }

    async fn read_log(&self, account: AccountId) -> Result<LogOf, CheckError> {
        let mut log = LogOf::default();
        let mut rows = Rows::new(of_account(Subspace::Log, account));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                if let Some((_, sequence)) = keys::decode_log(&key) {
                    log.take(sequence, LogRow::from_bytes(&key, &bytes).ok());
                }
            }
        }
        Ok(log)
    }

    /// The log goes on without a gap from where it was trimmed to the last transaction. Returns the head as it is to be.
    pub(super) async fn check_log(
        &mut self,
        account: AccountId,
        mut head: Head,
    ) -> Result<Head, CheckError> {
        let found = head.clone();
        let mut log = LogOf::default();
        let mut expected = head.log_trimmed + 1;
        let mut rows = Rows::new(of_account(Subspace::Log, account));
        let mut damaged: Vec<(Bytes, Bytes)> = Vec::new();
        let mut first = None;
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let Some((_, sequence)) = keys::decode_log(&key) else {
                    continue;
                };
                if sequence != expected {
                    let why =
                        format!("the change log has row {sequence} where row {expected} should be");
                    self.problem(Code::LogGap, &key, why);
                }
                expected = sequence + 1;
                first.get_or_insert(sequence);
                let row = self.record::<LogRow>(&key, &bytes);
                if row.is_none() {
                    damaged.push((key, bytes));
                }
                log.take(sequence, row);
            }
        }
        let key = keys::head(account);
        if log.last > head.sequence {
            let why = format!(
                "the change log ends with row {}, and the account with transaction {}",
                log.last, head.sequence
            );
            self.problem(Code::HeadBehind, &key, why);
            head.sequence = log.last;
        } else if expected != head.sequence + 1 {
            let why = format!(
                "the change log ends with row {}, and not with {}",
                expected - 1,
                head.sequence
            );
            self.problem(Code::LogGap, &key, why);
        }
        self.check_states(&key, &mut head, &log);
        head.log_trimmed = match log.last == head.sequence && log.last != 0 {
            true => log.first_of_run - 1,
            false => head.sequence,
        };
        for (key, bytes) in damaged {
            self.put_aside(Code::Record, &key, &bytes).await?;
        }
        let is_mended = head != found;
        if is_mended {
            let mended = head.clone();
            self.mend_head(|head| *head = mended);
        }
        // A head that was lost has been made anew as of the last gap, with the rows from before it still there.
        let is_cut = first.is_some_and(|first| first <= head.log_trimmed);
        if (is_mended || is_cut) && self.is_repair() {
            // As trimming does: rows from before a gap are of no use, and clients begin anew.
            self.trim_log(head.log_trimmed);
            self.flush().await?;
        }
        Ok(head)
    }

    fn check_states(&mut self, key: &[u8], head: &mut Head, log: &LogOf) {
        let ahead = head.states.iter().any(|state| *state > head.sequence);
        if ahead || head.log_trimmed > head.sequence {
            let why = "a state is ahead of the last transaction";
            self.problem(Code::HeadState, key, why);
            let sequence = head.sequence;
            for state in &mut head.states {
                *state = (*state).min(sequence);
            }
        }
        let mut is_behind = false;
        for (&data_type, &last) in &log.states {
            let at = usize::from(data_type);
            if DataType::from_number(data_type).is_none() {
                continue;
            }
            if head.states.len() <= at {
                head.states.resize(at + 1, 0);
            }
            if head.states[at] < last {
                is_behind = true;
                head.states[at] = last;
            }
        }
        if is_behind {
            let why = "a state is behind what the change log says";
            self.problem(Code::HeadState, key, why);
        }
    }
}

impl LogOf {
    /// Takes in the next row; `None`: it can't be read, so that what is before it is of no use.
    fn take(&mut self, sequence: u64, row: Option<LogRow>) {
        if sequence != self.last + 1 || self.first_of_run == 0 {
            self.first_of_run = sequence;
        }
        self.last = sequence;
        let Some(row) = row else {
            self.first_of_run = sequence + 1;
            return;
        };
        for data_type in row
            .changes
            .iter()
            .filter_map(|change| Some(change.data_type()? as u8))
        {
            self.states.insert(data_type, sequence);
        }
    }
}

impl Checker<'_> {
    /// Puts octets aside whose row something else is written to.
    async fn keep(&mut self, why: Code, key: &[u8], found: &Bytes) -> Result<(), CheckError> {
        let edit = Edit::put(key.to_vec(), Some(found.clone()), found.clone()).keeping(why);
        self.edit(edit).await
    }
}

//! The audit: who has changed what, from where, when, and what came of it.
//!
//! Holds: a row is written in the commit of the change, where that is one; what was refused is noted too, so many an account and hour;
//! of a field that holds a secret it is told that it was changed and no more; rows go when their time is over, or when there are
//! too many of them.
//! Other half: whoever changes something puts [`Core::audit`] into its batch.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use jmap_types::AccountId;
use parking_lot::Mutex;
use store::{
    Record as _,
    engine::{Batch, Direction, Page},
    keys::{self, Subspace},
};

use super::{AuditRecord, ChangedField, Outcome};
use crate::{
    Caller, Core,
    access::{self, Operation},
    caller::Role,
    directory::{AccountKind, AccountRecord, DirectoryError, Forward, records::DomainRecord},
};

/// How long it is kept what administrators have done.
pub const AUDIT_KEEP: Duration = Duration::from_secs(400 * 86_400);
/// Rows that are kept; of more, the oldest go.
pub const AUDIT_ROWS_MAX: u64 = 1_000_000;
/// Refusals of one account that are noted in an hour.
pub const REFUSALS_PER_HOUR_MAX: u32 = 100;
/// Accounts whose refusals are counted.
const REFUSED_ACCOUNTS_MAX: usize = 10_000;
/// Octets of one text of a row.
pub const TEXT_OCTETS_MAX: usize = 400;
/// Fields of one row.
pub const FIELDS_MAX: usize = 32;
/// Rows that one question looks at.
pub const SCANNED_MAX: usize = 100_000;
const ROWS_PER_PAGE: usize = 500;
const REMOVED_AT_ONCE: usize = 1000;

/// The name of the number of rows that there are.
pub(crate) const COUNT: &str = "audit";

/// What a process remembers for the audit.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    /// Rows of this process, so that those of one millisecond are in their order.
    written: AtomicU64,
    /// By account: the hour, and refusals in it.
    refused: Mutex<HashMap<AccountId, (i64, u32)>>,
}

/// A field's value, if it has one.
type Was = Option<String>;

/// What was done.
#[derive(Clone, Debug)]
pub struct Deed {
    pub operation: Operation,
    pub object: String,
    pub of_account: Option<AccountId>,
    pub domains: Vec<String>,
    pub changes: Vec<ChangedField>,
}

impl Deed {
    pub fn new(operation: Operation, object: impl Into<String>) -> Self {
        Self {
            operation,
            object: object.into(),
            of_account: None,
            domains: Vec::new(),
            changes: Vec::new(),
        }
    }

    pub fn of_domain(operation: Operation, name: &str) -> Self {
        Self {
            domains: vec![name.to_owned()],
            ..Self::new(operation, name)
        }
    }

    pub fn of_account(operation: Operation, id: AccountId, record: &AccountRecord) -> Self {
        let mut domains: Vec<String> = record.domains().map(str::to_owned).collect();
        domains.sort_unstable();
        domains.dedup();
        Self {
            of_account: Some(id),
            domains,
            ..Self::new(operation, record.name.clone())
        }
    }

    /// A field that was changed; nothing, if it is what it was.
    pub fn field(
        mut self,
        field: &str,
        before: impl Into<Option<String>>,
        after: impl Into<Option<String>>,
    ) -> Self {
        let (before, after) = (before.into(), after.into());
        if before != after {
            self.changes.push(ChangedField {
                field: field.to_owned(),
                before,
                after,
            });
        }
        self
    }

    /// A field that was changed, and of which no more is told.
    pub fn secret(mut self, field: &str) -> Self {
        self.changes.push(ChangedField {
            field: field.to_owned(),
            before: None,
            after: None,
        });
        self
    }

    /// What is different of an account.
    pub fn account_changes(self, before: Option<&AccountRecord>, after: &AccountRecord) -> Self {
        let number = |number: Option<u64>| number.map(|number| number.to_string());
        let was = |of: &dyn Fn(&AccountRecord) -> Option<String>| (before.and_then(of), of(after));
        let fields: [(&str, (Was, Was)); 12] = [
            ("name", was(&|of| Some(of.name.clone()))),
            ("kind", was(&|of| Some(kind_name(of.kind).to_owned()))),
            ("description", was(&|of| text(&of.description))),
            ("disabled", was(&|of| Some(of.disabled.to_string()))),
            ("role", was(&|of| Some(of.role.name().to_owned()))),
            (
                "administers",
                was(&|of| of.administers.as_ref().map(|domains| domains.join(" "))),
            ),
            ("quotaOctets", was(&|of| number(of.quota_octets))),
            ("addresses", was(&|of| text(&of.addresses.join(" ")))),
            ("forward", was(&|of| of.forward.as_ref().map(forward_text))),
            (
                "posters",
                was(&|of| {
                    of.list
                        .map(|list| format!("{:?}", list.posters).to_lowercase())
                }),
            ),
            (
                "recipientsPerHour",
                was(&|of| number(of.recipients_per_hour)),
            ),
            ("recipientsPerDay", was(&|of| number(of.recipients_per_day))),
        ];
        fields
            .into_iter()
            .fold(self, |deed, (field, (before, after))| {
                deed.field(field, before, after)
            })
    }

    /// What is different of a domain.
    pub fn domain_changes(self, before: &DomainRecord, after: &DomainRecord) -> Self {
        let number = |number: Option<u64>| number.map(|number| number.to_string());
        let account = |number: Option<u64>| number.map(|number| AccountId::new(number).to_string());
        let record = (before, after);
        let fields = [
            (
                "catchAll",
                account(record.0.catch_all),
                account(record.1.catch_all),
            ),
            (
                "aliasOf",
                record.0.alias_of.clone(),
                record.1.alias_of.clone(),
            ),
            (
                "srsDomain",
                record.0.srs_domain.clone(),
                record.1.srs_domain.clone(),
            ),
            (
                "accountsMax",
                number(record.0.accounts_max),
                number(record.1.accounts_max),
            ),
            (
                "quotaOctets",
                number(record.0.octets_max),
                number(record.1.octets_max),
            ),
            (
                "recipientsPerHour",
                number(record.0.recipients_per_hour),
                number(record.1.recipients_per_hour),
            ),
            (
                "recipientsPerDay",
                number(record.0.recipients_per_day),
                number(record.1.recipients_per_day),
            ),
        ];
        fields
            .into_iter()
            .fold(self, |deed, (field, before, after)| {
                deed.field(field, before, after)
            })
    }
}

fn text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn forward_text(forward: &Forward) -> String {
    let keeps = if forward.keep { "keeps a copy: " } else { "" };
    format!("{keeps}{}", forward.to.join(" "))
}

fn kind_name(kind: AccountKind) -> &'static str {
    match kind {
        AccountKind::Person => "person",
        AccountKind::Group => "group",
        AccountKind::List => "list",
        AccountKind::Alias => "alias",
        AccountKind::Service => "service",
    }
}

/// A text as long as one may be.
fn shortened(mut text: String) -> String {
    if text.len() > TEXT_OCTETS_MAX {
        let mut end = TEXT_OCTETS_MAX - '…'.len_utf8();
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Which rows are asked for: all of those given must be true.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// The account that has done it.
    pub by: Option<AccountId>,
    /// The account that it was done to.
    pub of_account: Option<AccountId>,
    pub domain: Option<String>,
    /// The name of an operation, or what it begins with up to its dot.
    pub operation: Option<String>,
    pub outcome: Option<Outcome>,
    /// Milliseconds since 1970; from then on.
    pub since: Option<i64>,
    /// Before then.
    pub until: Option<i64>,
}

impl AuditFilter {
    fn matches(&self, record: &AuditRecord) -> bool {
        let is_operation = |asked: &String| {
            record.operation == *asked
                || record
                    .operation
                    .split_once('.')
                    .is_some_and(|(noun, _)| noun == asked)
        };
        self.by.is_none_or(|by| by.number() == record.account)
            && self
                .of_account
                .is_none_or(|of| record.of_account == Some(of.number()))
            && self
                .domain
                .as_ref()
                .is_none_or(|domain| record.domains.contains(domain))
            && self.operation.as_ref().is_none_or(is_operation)
            && self.outcome.is_none_or(|asked| record.outcome == asked)
    }
}

/// A row of the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Milliseconds since 1970.
    pub time: u64,
    pub number: u64,
    pub record: AuditRecord,
}

impl Core {
    /// Puts what is done into the batch that does it.
    pub(crate) fn audit(&self, batch: &mut Batch, who: &Caller, deed: Deed) {
        self.tell_deed(batch, who, &deed);
        self.audit_row(batch, who, deed, Outcome::Done, None);
    }

    fn audit_row(
        &self,
        batch: &mut Batch,
        who: &Caller,
        deed: Deed,
        outcome: Outcome,
        note: Option<String>,
    ) {
        let mut changes = deed.changes;
        changes.truncate(FIELDS_MAX);
        for change in &mut changes {
            change.before = change.before.take().map(shortened);
            change.after = change.after.take().map(shortened);
        }
        let mut domains = deed.domains;
        domains.truncate(FIELDS_MAX);
        let record = AuditRecord {
            account: who.account.number(),
            name: shortened(who.name.clone()),
            role: who.role,
            way: who.way().name().to_owned(),
            address: who.address().map(|address| address.to_string()),
            operation: deed.operation.name().to_owned(),
            object: shortened(deed.object),
            of_account: deed.of_account.map(AccountId::number),
            domains,
            changes,
            outcome,
            note: note.map(shortened),
            credential: who.credential,
        };
        let time = u64::try_from(self.clock.now().0).unwrap_or(0);
        // Below the order within this process: what tells it from other nodes in the same millisecond.
        let order = self.audit.written.fetch_add(1, Ordering::Relaxed);
        let number = (order << 32) | (self.rng.next_u64() >> 32);
        batch.put(keys::audit(time, number), record.to_bytes());
        batch.add(keys::meta(COUNT), 1);
    }

    /// Notes what is no commit of the directory: what an administrator has the server do.
    pub async fn note_deed(&self, who: &Caller, deed: Deed) -> Result<(), store::Error> {
        let mut batch = Batch::new();
        self.audit(&mut batch, who, deed);
        Ok(self.engine.commit(batch).await?)
    }

    /// Notes that somebody may not do what they asked for. Of more than [`REFUSALS_PER_HOUR_MAX`], nothing is noted.
    pub async fn note_refusal(
        &self,
        who: &Caller,
        deed: Deed,
        note: &str,
    ) -> Result<(), store::Error> {
        let hour = self.clock.now().seconds().div_euclid(3600);
        {
            let mut refused = self.audit.refused.lock();
            if refused.len() >= REFUSED_ACCOUNTS_MAX {
                refused.retain(|_, (of, _)| *of == hour);
            }
            if refused.len() >= REFUSED_ACCOUNTS_MAX && !refused.contains_key(&who.account) {
                return Ok(());
            }
            let entry = refused.entry(who.account).or_insert((hour, 0));
            if entry.0 != hour {
                *entry = (hour, 0);
            }
            if entry.1 >= REFUSALS_PER_HOUR_MAX {
                return Ok(());
            }
            entry.1 += 1;
        }
        let mut batch = Batch::new();
        self.audit_row(
            &mut batch,
            who,
            deed,
            Outcome::Refused,
            Some(note.to_owned()),
        );
        Ok(self.engine.commit(batch).await?)
    }

    /// Deeds, newest first, from behind `after`: (time, number). And whether there may be more.
    pub async fn audit_rows(
        &self,
        who: &Caller,
        filter: &AuditFilter,
        after: Option<(u64, u64)>,
        limit: usize,
    ) -> Result<(Vec<AuditRow>, Option<(u64, u64)>), DirectoryError> {
        access::may_begin(who, Operation::SeeAudit, None)?;
        let ms = |moment: i64| u64::try_from(moment).unwrap_or(0);
        let mut range = keys::audit(filter.since.map_or(0, ms), 0)
            ..keys::audit(filter.until.map_or(u64::MAX, ms), 0);
        if let Some((time, number)) = after {
            range.end = range.end.min(keys::audit(time, number));
        }
        let (mut rows, mut scanned) = (Vec::new(), 0);
        while range.start < range.end {
            let page = Page {
                direction: Direction::Descending,
                ..Page::first(range.clone(), ROWS_PER_PAGE)
            };
            let read = self.engine.scan(page).await?;
            let is_last = read.len() < ROWS_PER_PAGE;
            for (key, bytes) in read {
                let (time, number) =
                    keys::decode_audit(&key).ok_or_else(|| store::Error::bad_key("audit", &key))?;
                scanned += 1;
                range.end = key.to_vec();
                // Invariant 5: a bad one is left out, and the check reports it.
                if let Ok(record) = AuditRecord::from_bytes(&key, &bytes)
                    && filter.matches(&record)
                    && let Some(record) = seen_by(who, record)
                {
                    rows.push(AuditRow {
                        time,
                        number,
                        record,
                    });
                }
                if rows.len() >= limit || scanned >= SCANNED_MAX {
                    return Ok((rows, Some((time, number))));
                }
            }
            if is_last {
                break;
            }
        }
        Ok((rows, None))
    }

    /// Removes some rows whose time is over, or that are too many. Whether there may be more of them.
    pub async fn purge_audit(&self) -> Result<bool, store::Error> {
        self.purge_audit_to(AUDIT_ROWS_MAX).await
    }

    pub(super) async fn purge_audit_to(&self, rows_max: u64) -> Result<bool, store::Error> {
        let keep = u64::try_from(AUDIT_KEEP.as_millis()).unwrap_or(u64::MAX);
        let now = u64::try_from(self.clock.now().0).unwrap_or(0);
        let end = now.saturating_sub(keep);
        let key = keys::meta(COUNT);
        let count = match self.engine.get(&key).await? {
            Some(bytes) => store::decode_numbers::<1>(&key, &bytes)?[0],
            None => 0,
        };
        // The counter is signed: less than nothing is nothing.
        let count = i64::from_be_bytes(count.to_be_bytes())
            .max(0)
            .unsigned_abs();
        let surplus = count.saturating_sub(rows_max);
        let mut range = keys::all(Subspace::Audit);
        if surplus == 0 {
            range.end = keys::audit(end, 0);
        }
        let page = Page::first(range, REMOVED_AT_ONCE).keys_only();
        let mut batch = Batch::new();
        let mut removed = 0;
        for (key, _) in self.engine.scan(page).await? {
            let (time, _) =
                keys::decode_audit(&key).ok_or_else(|| store::Error::bad_key("audit", &key))?;
            if time >= end && removed >= surplus {
                break;
            }
            batch.delete(key.to_vec());
            removed += 1;
        }
        if removed == 0 {
            return Ok(false);
        }
        batch.add(keys::meta(COUNT), -(removed as i64));
        self.engine.commit(batch).await?;
        Ok(removed == REMOVED_AT_ONCE as u64)
    }
}

/// A row as a caller may see it. Those who look after domains see what was done there; from where others did it is none of their
/// business.
fn seen_by(who: &Caller, mut record: AuditRecord) -> Option<AuditRecord> {
    if !access::may_all(who, Operation::SeeAudit, &record.domains) {
        return None;
    }
    if who.role != Role::Administrator && record.account != who.account.number() {
        record.address = None;
        record.credential = 0;
    }
    Some(record)
}

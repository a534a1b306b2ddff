//! Commands about the audit: what was changed, by whom, and from where.
//!
//! Other half: `jmap_core::admin` keeps it.

use std::fmt::Write as _;

use clap::Args;
use jmap_core::{
    Caller, Core,
    admin::{AuditFilter, AuditRow as CoreRow, ChangedField},
};
use jmap_types::{AccountId, UtcDate};
use serde::{Deserialize, Serialize};

use super::execute::CommandError;
use crate::config::values::Span;

#[derive(Debug, Args)]
pub struct AuditArgs {
    /// What one account has done
    #[arg(long, value_name = "ACCOUNT")]
    by: Option<String>,
    /// What was done to one account
    #[arg(long, value_name = "ACCOUNT")]
    of: Option<String>,
    #[arg(long)]
    domain: Option<String>,
    /// Such as `account.remove`, or `account`: all that is done to accounts
    #[arg(long)]
    operation: Option<String>,
    /// No older than that, such as `30d`
    #[arg(long, value_name = "TIME")]
    since: Option<Span>,
    /// The last so many rows
    #[arg(long, default_value_t = 100)]
    limit: u16,
}

impl AuditArgs {
    pub fn query(self) -> AuditQuery {
        AuditQuery {
            by: self.by,
            of: self.of,
            domain: self.domain,
            operation: self.operation,
            since_seconds: self.since.map(|span| span.0.as_secs()),
            limit: self.limit.into(),
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AuditQuery {
    pub by: Option<String>,
    pub of: Option<String>,
    pub domain: Option<String>,
    pub operation: Option<String>,
    pub since_seconds: Option<u64>,
    pub limit: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditRow {
    /// UTC
    pub at: String,
    pub by: String,
    pub role: String,
    pub way: String,
    pub address: Option<String>,
    pub operation: String,
    pub object: String,
    pub changes: Vec<ChangeRow>,
    pub outcome: String,
    pub note: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeRow {
    pub field: String,
    /// `None`: there was nothing, or it isn't told.
    pub before: Option<String>,
    pub after: Option<String>,
}

/// Looks it up; oldest first. `now_ms`: milliseconds since 1970.
pub async fn find(
    core: &Core,
    who: &Caller,
    query: AuditQuery,
    now_ms: i64,
) -> Result<Vec<AuditRow>, CommandError> {
    let mut ids: [Option<AccountId>; 2] = [None; 2];
    for (id, name) in ids.iter_mut().zip([&query.by, &query.of]) {
        if let Some(name) = name {
            *id = Some(core.account_named(name).await?.id);
        }
    }
    let [by, of_account] = ids;
    let since = query.since_seconds.map(|seconds| {
        let ms = i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
        now_ms.saturating_sub(ms)
    });
    let filter = AuditFilter {
        by,
        of_account,
        domain: query.domain,
        operation: query.operation,
        since,
        ..AuditFilter::default()
    };
    let (rows, _) = core.audit_rows(who, &filter, None, query.limit).await?;
    Ok(rows.into_iter().rev().map(row).collect())
}

fn row(row: CoreRow) -> AuditRow {
    let seconds = i64::try_from(row.time / 1000).unwrap_or(i64::MAX);
    let record = row.record;
    AuditRow {
        at: UtcDate(seconds).to_string(),
        by: record.name,
        role: record.role.name().to_owned(),
        way: record.way,
        address: record.address,
        operation: record.operation,
        object: record.object,
        changes: record.changes.into_iter().map(change).collect(),
        outcome: record.outcome.name().to_owned(),
        note: record.note,
    }
}

fn change(change: ChangedField) -> ChangeRow {
    ChangeRow {
        field: change.field,
        before: change.before,
        after: change.after,
    }
}

pub fn line(row: &AuditRow) -> String {
    let from = row.address.as_deref().unwrap_or(&row.way);
    let mut line = format!(
        "{}  {:<20} {:<20} {}  from {from}",
        row.at,
        row.operation,
        row.object.escape_debug().to_string(),
        row.by
    );
    if row.outcome != "done" {
        let note = row.note.as_deref().unwrap_or_default();
        let _ = write!(line, "  {}: {note}", row.outcome);
    }
    for change in &row.changes {
        let value = |value: &Option<String>| match value {
            Some(value) => format!("\"{}\"", value.escape_debug()),
            None => "nothing".to_owned(),
        };
        let _ = match (&change.before, &change.after) {
            (None, None) => write!(line, "\n  {}: changed", change.field),
            (before, after) => write!(
                line,
                "\n  {}: from {} to {}",
                change.field,
                value(before),
                value(after)
            ),
        };
    }
    line
}

//! `posthorn undelete`: what was deleted of an account, and bringing it back.
//!
//! Holds: it is done by the core's calls, the same ones as DeletedEmail of JMAP.

use clap::Subcommand;
use jmap_core::{
    Caller,
    mail::{
        message::Summary,
        undelete::{Deleted, DeletedFilter, DeletedId, UndeleteError},
    },
};
use jmap_types::UtcDate;
use serde::{Deserialize, Serialize};

use super::{
    command::Answer,
    execute::{CommandError, Target},
};
use crate::config::values::Span;

type Done = Result<Answer, CommandError>;

/// Deleted emails that one command brings back.
const RESTORED_MAX: usize = 10_000;

#[derive(Debug, Subcommand)]
pub enum UndeleteVerb {
    /// One line an email, the last deleted first
    List {
        account: String,
        #[command(flatten)]
        which: Which,
    },
    /// Brings emails back into their mailboxes, or the inbox where these are gone
    Restore {
        account: String,
        /// Ids, as they are listed
        #[arg(required_unless_present = "all")]
        ids: Vec<String>,
        /// All that are listed
        #[arg(long, conflicts_with = "ids")]
        all: bool,
        /// The mailbox that they go to, with `/` between the levels, in place of where they were; it is made if it isn't there
        #[arg(long, value_name = "MAILBOX")]
        into: Option<String>,
        #[command(flatten)]
        which: Which,
    },
}

#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Which {
    /// The subject has this text
    #[arg(long, value_name = "TEXT")]
    pub subject: Option<String>,
    /// A name or address of the From field has this text
    #[arg(long, value_name = "TEXT")]
    pub from: Option<String>,
    /// Deleted no longer ago than that, such as `2h`
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub since: Option<u64>,
}

fn seconds(text: &str) -> Result<u64, String> {
    text.parse::<Span>()
        .map(|span| span.0.as_secs())
        .map_err(|why| why.to_string())
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    deny_unknown_fields
)]
pub enum UndeleteCommand {
    List {
        account: String,
        which: Which,
    },
    Restore {
        account: String,
        /// Empty: all of them.
        ids: Vec<String>,
        into: Option<String>,
        which: Which,
    },
}

impl UndeleteVerb {
    pub fn command(self) -> UndeleteCommand {
        match self {
            UndeleteVerb::List { account, which } => UndeleteCommand::List { account, which },
            UndeleteVerb::Restore {
                account,
                ids,
                all: _,
                into,
                which,
            } => UndeleteCommand::Restore {
                account,
                ids,
                into,
                which,
            },
        }
    }
}

/// A deleted email.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeletedRow {
    pub id: String,
    /// Seconds since 1970.
    pub deleted: i64,
    pub received: i64,
    pub size: u64,
    pub from: String,
    pub subject: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoredRow {
    pub restored: u64,
    /// Id and why.
    pub not_restored: Vec<(String, String)>,
}

pub async fn execute(target: &Target, who: &Caller, command: UndeleteCommand) -> Done {
    let core = &target.core;
    match command {
        UndeleteCommand::List { account, which } => {
            let account = core.account_named(&account).await?.id;
            let mut rows = Vec::new();
            for deleted in core
                .deleted_emails(who, account, &filter(target, &which))
                .await?
            {
                // What was found by the time alone has no summary yet.
                let whole = core.deleted_email(who, account, deleted.id).await?;
                rows.extend(whole.map(row));
            }
            Ok(Answer::Deleted(rows))
        }
        UndeleteCommand::Restore {
            account,
            ids,
            into,
            which,
        } => {
            let account = core.account_named(&account).await?.id;
            let into = match into {
                None => None,
                Some(name) => {
                    let levels: Vec<&str> = name.split('/').collect();
                    let made = core
                        .import_mailbox(who, account, &levels, None, true)
                        .await?;
                    Some(made.0)
                }
            };
            let ids = match ids.is_empty() {
                true => {
                    let found = core
                        .deleted_emails(who, account, &filter(target, &which))
                        .await?;
                    found
                        .into_iter()
                        .map(|deleted| deleted.id.to_string())
                        .collect()
                }
                false => ids,
            };
            let mut done = RestoredRow::default();
            for text in ids.into_iter().take(RESTORED_MAX) {
                let restored = match DeletedId::parse(&text) {
                    Some(id) => core.restore_deleted(who, account, id, into).await,
                    None => Err(UndeleteError::NotFound),
                };
                match restored {
                    Ok(_) => done.restored += 1,
                    Err(error @ (UndeleteError::NotFound | UndeleteError::Refused(_))) => {
                        done.not_restored.push((text, error.to_string()));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(Answer::Restored(done))
        }
    }
}

fn filter(target: &Target, which: &Which) -> DeletedFilter {
    let now = u64::try_from(target.clock.now().0).unwrap_or(0);
    let after = |seconds: u64| now.saturating_sub(seconds.saturating_mul(1000));
    DeletedFilter {
        subject: which.subject.clone(),
        from: which.from.clone(),
        after: which.since.map(after),
        ..DeletedFilter::default()
    }
}

fn row(deleted: Deleted) -> DeletedRow {
    let summary = deleted.summary.as_deref();
    let from = summary.and_then(|summary| Summary::addresses(&summary.from));
    let first = from.and_then(|list| list.into_iter().next());
    DeletedRow {
        id: deleted.id.to_string(),
        deleted: i64::try_from(deleted.id.time / 1000).unwrap_or(i64::MAX),
        received: deleted.record.received_at,
        size: deleted.record.size,
        from: first.map(|address| address.email).unwrap_or_default(),
        subject: summary
            .and_then(|summary| summary.subject.clone())
            .unwrap_or_default(),
    }
}

pub fn line(row: &DeletedRow) -> String {
    let clean = |text: &str| -> String {
        let visible = text.chars().map(|c| if c.is_control() { ' ' } else { c });
        visible.take(100).collect()
    };
    format!(
        "{}  deleted {}  received {}  {} octets  {}  {}",
        row.id,
        UtcDate(row.deleted),
        UtcDate(row.received),
        row.size,
        clean(&row.from),
        clean(&row.subject)
    )
}

pub fn text(row: &RestoredRow) -> String {
    let mut text = format!("{} emails are back", row.restored);
    for (id, why) in &row.not_restored {
        text.push_str(&format!("\n  {id}: {why}"));
    }
    text
}

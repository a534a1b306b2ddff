//! `posthorn check`, `quarantine` and `reindex`: whether what is kept is sound, and what becomes of what isn't.
//!
//! Holds: the octets of a record that was put aside go to a file of the operator's alone, and never to a list.
//! Other half: `jmap_core::work::{check, quarantine}`, which do it.

use std::{
    fmt::Write as _,
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::{Args, Subcommand};
use jmap_core::{
    Core,
    work::{
        check::{CheckOptions, Problem, Progress, Report},
        quarantine::{Quarantined, ROWS_MAX},
    },
};
use jmap_types::UtcDate;
use serde::{Deserialize, Serialize};

use super::{
    command::{Answer, Command},
    execute::{CommandError, Done, done},
};
use crate::hex::{hex, unhex};

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Doesn't compare the octets of blobs with their hashes
    #[arg(long, conflicts_with = "blobs")]
    fast: bool,
    /// Compares the octets of blobs with their hashes, which it does unless told otherwise
    #[arg(long)]
    blobs: bool,
    /// Puts right what is wrong; what can't stay where it is goes into the quarantine
    #[arg(long)]
    repair: bool,
}

impl CheckArgs {
    pub fn command(self) -> Command {
        Command::Check {
            fast: self.fast,
            repair: self.repair,
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum QuarantineVerb {
    /// What was put aside
    List {
        /// At most so many records
        #[arg(long, default_value_t = ROWS_MAX)]
        limit: usize,
    },
    /// What was put aside from under one key
    Show {
        /// In hexadecimal, as `quarantine list` prints it
        key: String,
    },
    /// Writes the octets of a record that was put aside to a new file
    Export {
        key: String,
        /// A file that isn't there yet
        file: PathBuf,
        /// Which one, where several were put aside from under the key [default: the last]
        #[arg(long)]
        entry: Option<usize>,
    },
    /// Takes what was put aside out for good
    Delete {
        #[arg(required = true)]
        keys: Vec<String>,
    },
}

impl QuarantineVerb {
    pub fn command(self) -> Command {
        Command::Quarantine(match self {
            Self::List { limit } => QuarantineCommand::List { limit },
            Self::Show { key } => QuarantineCommand::Show { key },
            Self::Export { key, file, entry } => QuarantineCommand::Export { key, file, entry },
            Self::Delete { keys } => QuarantineCommand::Delete { keys },
        })
    }
}

/// What is to be done with the quarantine. Keys are in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum QuarantineCommand {
    List {
        limit: usize,
    },
    Show {
        key: String,
    },
    /// The one who asks writes the file.
    Export {
        key: String,
        file: PathBuf,
        entry: Option<usize>,
    },
    Delete {
        keys: Vec<String>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckRow {
    pub records: u64,
    pub accounts: u64,
    pub emails: u64,
    pub blobs: u64,
    /// Records that were put aside before.
    pub quarantined: u64,
    pub problems: Vec<ProblemRow>,
    /// More were found than are listed.
    pub has_more: bool,
    /// Of a repair.
    pub repair: Option<RepairRow>,
}

/// What a repair has done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RepairRow {
    /// Records that were written or put aside.
    pub records: u64,
    /// What is still wrong.
    pub remaining: Vec<ProblemRow>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProblemRow {
    /// What is wrong, in a word that stays the same.
    pub code: String,
    /// In hexadecimal; the first octet is the subspace.
    pub key: String,
    /// The key in words.
    pub record: String,
    pub sentence: String,
    pub meaning: String,
    /// What repair does.
    pub remedy: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuarantineRows {
    pub rows: Vec<QuarantineRow>,
    pub has_more: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuarantineRow {
    pub key: String,
    /// The key in words.
    pub record: String,
    /// Which of those from under the key, from 1.
    pub entry: usize,
    pub reason: String,
    /// Milliseconds since 1970; `None`: not known.
    pub at: Option<i64>,
    pub octets: u64,
}

/// The octets of a record, on their way to a file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportRow {
    pub file: PathBuf,
    /// In base64.
    octets: String,
}

// A record may have a secret in it.
impl std::fmt::Debug for ExportRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExportRow")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl CheckRow {
    /// Whether something is wrong with the store as it is now.
    pub fn is_wrong(&self) -> bool {
        match &self.repair {
            Some(repair) => !repair.remaining.is_empty(),
            None => !self.problems.is_empty(),
        }
    }
}

/// Checks, or repairs.
pub async fn check(core: &Core, fast: bool, repair: bool, progress: Progress<'_>) -> Done {
    let options = CheckOptions { skip_hashing: fast };
    let report = match repair {
        true => core.repair(options, progress).await?,
        false => core.check(options, progress).await?,
    };
    Ok(Answer::Check(row(report, repair)))
}

fn row(report: Report, is_repair: bool) -> CheckRow {
    let rows = |problems: Vec<Problem>| problems.into_iter().map(problem_row).collect();
    CheckRow {
        records: report.records,
        accounts: report.accounts,
        emails: report.emails,
        blobs: report.blobs,
        quarantined: report.quarantined,
        problems: rows(report.problems),
        has_more: report.has_more,
        repair: is_repair.then(|| RepairRow {
            records: report.repaired,
            remaining: rows(report.remaining),
        }),
    }
}

fn problem_row(problem: Problem) -> ProblemRow {
    ProblemRow {
        code: problem.code.name().to_owned(),
        key: problem.key_text(),
        record: problem.key_words(),
        meaning: problem.code.meaning().to_owned(),
        remedy: problem.code.remedy().to_owned(),
        sentence: problem.sentence,
    }
}

pub async fn quarantine(core: &Core, command: QuarantineCommand) -> Done {
    match command {
        QuarantineCommand::List { limit } => {
            let (rows, has_more) = core.quarantined(limit).await?;
            let rows = rows.into_iter().map(quarantine_row).collect();
            Ok(Answer::Quarantine(QuarantineRows { rows, has_more }))
        }
        QuarantineCommand::Show { key } => {
            let entries = core.quarantined_at(&octets_of(&key)?).await?;
            let rows = entries.into_iter().map(|(row, _)| quarantine_row(row));
            Ok(Answer::Quarantine(QuarantineRows {
                rows: rows.collect(),
                has_more: false,
            }))
        }
        QuarantineCommand::Export { key, file, entry } => {
            let entries = core.quarantined_at(&octets_of(&key)?).await?;
            let asked = entry.unwrap_or(entries.len());
            let found = entries.into_iter().find(|(row, _)| row.entry == asked);
            let (_, octets) = found.ok_or(CommandError::Refused(
                "there is no such entry under that key; `posthorn quarantine show` lists them",
            ))?;
            let octets = STANDARD.encode(&octets);
            Ok(Answer::Export(ExportRow { file, octets }))
        }
        QuarantineCommand::Delete { keys } => {
            let mut count = 0;
            for key in keys {
                count += core.forget_quarantined(&octets_of(&key)?).await?;
            }
            done(format!("{count} records are gone for good"))
        }
    }
}

fn quarantine_row(row: Quarantined) -> QuarantineRow {
    QuarantineRow {
        key: hex(&row.key),
        record: row.key_words(),
        entry: row.entry,
        at: (row.at != 0).then_some(row.at),
        octets: row.octets,
        reason: row.reason,
    }
}

/// Indexes one account, or all.
pub async fn reindex(core: &Core, account: Option<String>, progress: Progress<'_>) -> Done {
    let id = match account {
        Some(name) => Some(core.account_named(&name).await?.id),
        None => None,
    };
    let count = core.reindex(id, progress).await?;
    core.index_now().await?;
    done(match count {
        1 => "1 account was indexed anew".to_owned(),
        count => format!("{count} accounts were indexed anew"),
    })
}

/// Writes an export to its file, for its owner alone. Says so.
pub fn write(row: &ExportRow) -> io::Result<String> {
    let octets = STANDARD
        .decode(&row.octets)
        .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    write_new(&row.file, &octets)?;
    let file = row.file.display();
    Ok(format!("{} octets were written to {file}", octets.len()))
}

fn write_new(file: &Path, octets: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)?;
    file.write_all(octets)?;
    file.sync_all()
}

/// What a check found, for people.
pub fn check_text(row: &CheckRow) -> String {
    let mut text = String::new();
    for problem in &row.problems {
        let _ = writeln!(
            text,
            "{}: {}\n  {} ({})\n  It means that {}. Repair: {}.",
            problem.code,
            problem.sentence,
            problem.record,
            problem.key,
            problem.meaning,
            problem.remedy
        );
    }
    if row.has_more {
        text.push_str("There are more problems than are listed.\n");
    }
    let found = match row.problems.len() {
        0 => "nothing is wrong".to_owned(),
        1 => "1 problem".to_owned(),
        count => format!("{count} problems"),
    };
    let _ = write!(
        text,
        "{} records of {} accounts, {} emails and {} blobs were read: {found}",
        row.records, row.accounts, row.emails, row.blobs
    );
    if row.quarantined > 0 {
        let _ = write!(
            text,
            "\n{} records are in the quarantine: posthorn quarantine list",
            row.quarantined
        );
    }
    match &row.repair {
        None if !row.problems.is_empty() => {
            text.push_str("\nposthorn check --repair puts right what is wrong");
        }
        None => {}
        Some(repair) => {
            let left = match repair.remaining.len() {
                0 => "nothing is wrong any more".to_owned(),
                1 => "1 problem is left".to_owned(),
                count => format!("{count} problems are left"),
            };
            let _ = write!(text, "\n{} records were put right: {left}", repair.records);
            for problem in &repair.remaining {
                let _ = write!(
                    text,
                    "\n{}: {} ({})",
                    problem.code, problem.sentence, problem.record
                );
            }
        }
    }
    text
}

/// What is in the quarantine, for people.
pub fn quarantine_text(found: &QuarantineRows) -> String {
    if found.rows.is_empty() {
        return "the quarantine is empty".to_owned();
    }
    let mut text = String::new();
    for row in &found.rows {
        let at = row.at.map_or_else(
            || "some time ago".to_owned(),
            |at| UtcDate(at.div_euclid(1000)).to_string(),
        );
        let reason = match row.reason.as_str() {
            "" => "(no reason noted)",
            reason => reason,
        };
        let _ = writeln!(
            text,
            "{}\n  {} entry {}, {} octets, {reason}, {at}",
            row.key, row.record, row.entry, row.octets
        );
    }
    if found.has_more {
        text.push_str("There is more than is listed.\n");
    }
    text.pop();
    text
}

fn octets_of(digits: &str) -> Result<Vec<u8>, CommandError> {
    let octets = unhex(digits).filter(|octets| !octets.is_empty());
    octets.ok_or(CommandError::Refused(
        "a key is written in hexadecimal, as `posthorn quarantine list` has it",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_from_hexadecimal() {
        assert_eq!(octets_of(&hex(&[0x10, 0, 0xff])).unwrap(), [0x10, 0, 0xff]);
        for wrong in ["", "1", "zz", "+1", "1é"] {
            assert!(octets_of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_export_takes_the_place_of_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let row = ExportRow {
            file: folder.path().join("record"),
            octets: STANDARD.encode(b"octets"),
        };
        write(&row).unwrap();
        assert_eq!(std::fs::read(&row.file).unwrap(), b"octets");
        assert!(write(&row).is_err());
    }
}

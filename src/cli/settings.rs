//! `posthorn settings`: what is configured in the store, one by one or as a file that may be kept in git.
//!
//! Holds: it is done by the core's calls; a file is read where the command is given, by the same catalogue. Exit codes of `plan`: 0 nothing
//! would change, 3 something would, 1 it can't be.
//! Other half: `crate::settings` knows what keys mean.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use clap::Subcommand;
use jmap_core::{
    Caller,
    settings::{Difference, Place, Setting, SettingsError, Source, Wish},
};
use serde::{Deserialize, Serialize};

use super::{
    AnyError,
    command::Answer,
    control::COMMAND_OCTETS_MAX,
    execute::{CommandError, Target},
    print::day,
};
use crate::settings;

/// Octets of a file with settings.
const FILE_OCTETS_MAX: u64 = 1 << 20;
/// What a command has around it on its way to the server.
const WRAPPING_OCTETS: u64 = 64;
/// Something would change.
pub const CHANGES: u8 = 3;

#[derive(Debug, Subcommand)]
pub enum SettingsVerb {
    /// Every key of the configuration with its value, and where that is from
    List {
        /// Those alone that differ from the default, or don't count
        #[arg(long)]
        changed: bool,
    },
    /// One key: what it means, its value, and who has set it
    Get { key: String },
    /// Sets a key; it takes effect at once
    Set {
        key: String,
        /// As in the configuration file; around a text, quotation marks may be left out
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Takes what was set away, so that the default counts
    Unset { key: String },
    /// Prints what the store has as a file, for `apply`
    Export {
        /// With all other settings as comments
        #[arg(long)]
        all: bool,
    },
    /// Says what `apply` would change; exits with 3 if anything would
    Plan {
        file: PathBuf,
        /// What the file doesn't have stays as it is
        #[arg(long)]
        keep: bool,
    },
    /// Makes the store have what the file has, and nothing else, in one step
    Apply {
        file: PathBuf,
        /// What the file doesn't have stays as it is
        #[arg(long)]
        keep: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    deny_unknown_fields
)]
pub enum SettingsCommand {
    List {
        changed: bool,
    },
    Get {
        key: String,
    },
    Set {
        key: String,
        value: String,
    },
    Unset {
        key: String,
    },
    Export {
        all: bool,
    },
    Plan {
        wanted: BTreeMap<String, String>,
        keep: bool,
    },
    Apply {
        wanted: BTreeMap<String, String>,
        keep: bool,
    },
}

impl SettingsVerb {
    pub fn command(self) -> Result<SettingsCommand, AnyError> {
        let command = match self {
            SettingsVerb::List { changed } => SettingsCommand::List { changed },
            SettingsVerb::Get { key } => SettingsCommand::Get { key },
            SettingsVerb::Set { key, value } => SettingsCommand::Set { key, value },
            SettingsVerb::Unset { key } => SettingsCommand::Unset { key },
            SettingsVerb::Export { all } => SettingsCommand::Export { all },
            SettingsVerb::Plan { file, keep } => SettingsCommand::Plan {
                wanted: read(&file)?,
                keep,
            },
            SettingsVerb::Apply { file, keep } => SettingsCommand::Apply {
                wanted: read(&file)?,
                keep,
            },
        };
        let octets = serde_json::to_vec(&command)?.len() as u64;
        if octets + WRAPPING_OCTETS > COMMAND_OCTETS_MAX {
            return Err("the settings are too large to be changed in one step".into());
        }
        Ok(command)
    }
}

fn read(file: &Path) -> Result<BTreeMap<String, String>, AnyError> {
    let name = file.display().to_string();
    let failed = |error: io::Error| format!("{name}: the file can't be read: {error}");
    if fs::metadata(file).map_err(failed)?.len() > FILE_OCTETS_MAX {
        return Err(format!("{name}: the file is larger than 1 MiB").into());
    }
    let text = fs::read_to_string(file).map_err(failed)?;
    Ok(settings::of_file(&text, &name)?)
}

/// What a command comes to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SettingsAnswer {
    List(Vec<SettingRow>),
    One(Box<SettingRow>),
    File(FileRow),
    /// What would change.
    Plan(PlanRow),
    /// What has changed.
    Changed(ChangedRow),
}

/// A key of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SettingRow {
    pub key: String,
    /// As TOML; `None`: there is none.
    pub value: Option<String>,
    /// "default", "file" or "store".
    pub source: String,
    /// Where in the file.
    pub place: Option<String>,
    pub default: Option<String>,
    pub kind: String,
    pub description: String,
    pub example: String,
    /// Why it can be in the configuration file alone.
    pub file_alone: Option<String>,
    /// What the store has, by whom, and when (seconds since 1970).
    pub stored: Option<String>,
    pub set_by: Option<String>,
    pub set_at: Option<i64>,
    /// Why what the store has doesn't count.
    pub fault: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileRow {
    /// The text of a file that `apply` reads.
    pub toml: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanRow {
    pub would_change: Vec<DifferenceRow>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangedRow {
    pub changed: Vec<DifferenceRow>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DifferenceRow {
    pub key: String,
    /// What the store had; `None`: nothing.
    pub before: Option<String>,
    pub after: Option<String>,
}

/// Does one command.
pub async fn execute(
    target: &Target,
    who: &Caller,
    command: SettingsCommand,
) -> Result<Answer, CommandError> {
    let core = &target.core;
    let rows = |differences: Vec<Difference>| differences.into_iter().map(difference).collect();
    let change = |set, unset| Wish::Change { set, unset };
    let (wish, is_plan) = match command {
        SettingsCommand::List { changed } => {
            let all = core.settings(who).await?.into_iter().map(row);
            let shown = |row: &SettingRow| !changed || is_changed(row);
            let rows = all.filter(shown).collect();
            return Ok(Answer::Settings(SettingsAnswer::List(rows)));
        }
        SettingsCommand::Get { key } => {
            let all = core.settings(who).await?;
            let found = all.into_iter().find(|setting| setting.key == key);
            let found = found.ok_or(SettingsError::Unknown(key))?;
            let row = Box::new(row(found));
            return Ok(Answer::Settings(SettingsAnswer::One(row)));
        }
        SettingsCommand::Export { all } => {
            let toml = settings::to_file(&core.settings(who).await?, all);
            return Ok(Answer::Settings(SettingsAnswer::File(FileRow { toml })));
        }
        SettingsCommand::Set { key, value } => {
            let set = BTreeMap::from([(key, value)]);
            (change(set, BTreeSet::new()), false)
        }
        SettingsCommand::Unset { key } => {
            let unset = BTreeSet::from([key]);
            (change(BTreeMap::new(), unset), false)
        }
        SettingsCommand::Plan { wanted, keep } => (Wish::Equal { wanted, keep }, true),
        SettingsCommand::Apply { wanted, keep } => (Wish::Equal { wanted, keep }, false),
    };
    let answer = match is_plan {
        true => SettingsAnswer::Plan(PlanRow {
            would_change: rows(core.plan_settings(who, &wish).await?),
        }),
        false => SettingsAnswer::Changed(ChangedRow {
            changed: rows(core.change_settings(who, &wish).await?),
        }),
    };
    Ok(Answer::Settings(answer))
}

fn difference(of: Difference) -> DifferenceRow {
    DifferenceRow {
        key: of.key,
        before: of.before,
        after: of.after,
    }
}

fn row(of: Setting) -> SettingRow {
    let (source, place) = match of.source {
        Source::Default => ("default", None),
        Source::File(place) => ("file", Some(place)),
        Source::Store => ("store", None),
    };
    let known = of.known;
    let (stored, set_by, set_at) = match of.stored {
        Some(record) => (Some(record.text), Some(record.who), Some(record.at)),
        None => (None, None, None),
    };
    SettingRow {
        key: of.key,
        value: of.value,
        source: source.to_owned(),
        place,
        default: known.as_ref().and_then(|known| known.default.clone()),
        kind: known.as_ref().map_or("", |known| known.kind).to_owned(),
        file_alone: known.as_ref().and_then(|known| match known.place {
            Place::File(why) => Some(why.to_owned()),
            Place::Store => None,
        }),
        example: known
            .as_ref()
            .map_or_else(String::new, |known| known.example.clone()),
        description: known.map_or_else(String::new, |known| known.description),
        stored,
        set_by,
        set_at,
        fault: of.fault,
    }
}

fn is_changed(row: &SettingRow) -> bool {
    row.fault.is_some() || row.stored.is_some() || row.value != row.default
}

/// An answer for people.
pub fn text(answer: &SettingsAnswer) -> String {
    match answer {
        SettingsAnswer::List(rows) if rows.is_empty() => {
            "everything is as it is by default".to_owned()
        }
        SettingsAnswer::List(rows) => rows.iter().map(line).collect::<Vec<_>>().join("\n"),
        SettingsAnswer::One(row) => whole(row),
        SettingsAnswer::File(row) => row.toml.clone(),
        SettingsAnswer::Plan(row) => differences(&row.would_change, "nothing would change"),
        SettingsAnswer::Changed(row) => differences(&row.changed, "nothing had to be changed"),
    }
}

/// Whether a plan has something to do.
pub fn has_changes(answer: &SettingsAnswer) -> bool {
    matches!(answer, SettingsAnswer::Plan(row) if !row.would_change.is_empty())
}

fn value(row: &SettingRow) -> &str {
    row.value.as_deref().unwrap_or("nothing")
}

fn line(row: &SettingRow) -> String {
    let mut line = format!("{:<44} {}", row.key, value(row));
    match (&row.place, row.source.as_str()) {
        (Some(place), _) => {
            let _ = write!(line, "  pinned by {place}");
        }
        (None, "store") => {
            let by = row.set_by.as_deref().unwrap_or_default();
            let at = row.set_at.map_or_else(String::new, day);
            let _ = write!(line, "  set by {by}, {at}");
        }
        (None, _) => {}
    }
    if let Some(why) = &row.fault {
        let stored = row.stored.as_deref().unwrap_or("something");
        let _ = match &*row.source {
            "store" => write!(line, "  ! what it is about waits: {why}"),
            _ => write!(
                line,
                "  ! the store has {stored}, which counts for nothing: {why}"
            ),
        };
    }
    line
}

fn whole(row: &SettingRow) -> String {
    let mut text = format!("key          {}\nvalue        {}\n", row.key, value(row));
    let from = match (&row.place, row.source.as_str()) {
        (Some(place), _) => format!("{place}: the file wins"),
        (None, source) => format!("the {source}"),
    };
    let _ = writeln!(text, "from         {from}");
    if let (Some(stored), Some(by), Some(at)) = (&row.stored, &row.set_by, row.set_at) {
        let _ = writeln!(text, "stored       {stored}  set by {by}, {}", day(at));
    }
    if let Some(why) = &row.fault {
        let _ = match &*row.source {
            "store" => writeln!(text, "! what it is about waits: {why}"),
            _ => writeln!(text, "! what is stored counts for nothing: {why}"),
        };
    }
    if row.kind.is_empty() {
        return text.trim_end().to_owned();
    }
    let default = row.default.as_deref().unwrap_or("nothing");
    let _ = writeln!(text, "default      {default}");
    let _ = writeln!(text, "kind         {}, such as {}", row.kind, row.example);
    let _ = match &row.file_alone {
        Some(why) => writeln!(text, "changed in   the configuration file alone: {why}"),
        None => writeln!(text, "changed      at once, without a restart"),
    };
    let _ = write!(text, "\n{}", row.description);
    text
}

fn differences(rows: &[DifferenceRow], none: &str) -> String {
    let line = |row: &DifferenceRow| match (&row.before, &row.after) {
        (None, Some(after)) => format!("+ {} = {after}", row.key),
        (Some(before), Some(after)) => format!("~ {} = {after}  (was {before})", row.key),
        (before, None) => {
            let before = before.as_deref().unwrap_or("something unreadable");
            format!("- {}  (was {before})", row.key)
        }
    };
    match rows.is_empty() {
        true => none.to_owned(),
        false => rows.iter().map(line).collect::<Vec<_>>().join("\n"),
    }
}

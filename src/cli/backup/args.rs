//! The words and options of `backup` and `restore`.

use std::{collections::BTreeMap, path::PathBuf};

use backup::{
    Keep,
    place::{Place, S3_PREFIX},
};
use clap::{Args, Subcommand};
use jmap_core::auth::Secret;
use jmap_types::UtcDate;

use super::{
    local::Work,
    rows::{BackupCommand, BringBackCommand, RepositoryAccess, WhichSnapshot},
};
use crate::{backups::BackupError, cli::command::Password, delivery};

/// Octets of a file of identities.
const IDENTITY_FILE_OCTETS_MAX: u64 = 16 << 10;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct BackupArgs {
    #[command(subcommand)]
    verb: Option<BackupVerb>,
    /// A folder, or s3://bucket/prefix with the settings AWS_* of the environment; it is made if it isn't there
    #[arg(value_name = "DIR", required = true)]
    place: Option<String>,
    /// Encrypts a new repository to this recipient of age (age1...); may be given more than once
    #[arg(long, value_name = "RECIPIENT", conflicts_with = "passphrase_file")]
    encrypt_to: Vec<String>,
    /// Begins a new backup, or goes on with another one, where this server has made backups before
    #[arg(long)]
    new: bool,
    #[command(flatten)]
    key: KeyArgs,
}

#[derive(Debug, Args)]
struct KeyArgs {
    /// A file whose first line is the passphrase of the repository
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// A file with an identity of age that opens the repository
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_file")]
    identity: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum BackupVerb {
    /// The snapshots of a repository
    List {
        #[arg(value_name = "DIR")]
        place: String,
        #[command(flatten)]
        key: KeyArgs,
    },
    /// Reads a repository and says what is wrong with it; exits with 1 if anything is
    Verify {
        #[arg(value_name = "DIR")]
        place: String,
        /// Reads every file and compares all that is in it with its hash
        #[arg(long)]
        read_all: bool,
        #[command(flatten)]
        key: KeyArgs,
    },
    /// Removes the snapshots that are not to be kept, and what only they need
    Prune {
        #[arg(value_name = "DIR")]
        place: String,
        /// The last so many
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        keep_last: usize,
        /// The last one of each of so many days that have one
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        keep_daily: usize,
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        keep_weekly: usize,
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        keep_monthly: usize,
    },
    /// How the last backups of this server ended
    Status,
}

#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// A folder, or s3://bucket/prefix with the settings AWS_* of the environment
    #[arg(value_name = "DIR")]
    place: String,
    /// A snapshot, by the beginning of its id [default: the last one]
    #[arg(long, value_name = "ID", conflicts_with = "at")]
    snapshot: Option<String>,
    /// The last snapshot of this time or before, such as 2026-11-29T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    at: Option<i64>,
    /// Mail that was on its way isn't sent before `posthorn queue resume`
    #[arg(long, conflicts_with = "account")]
    hold_queue: bool,
    /// Brings back what this account had, into a server that works; one that was removed is made again
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Another account that gets it
    #[arg(long, value_name = "NAME", requires = "account")]
    into: Option<String>,
    /// One mailbox alone, such as "Projects/2026"
    #[arg(long, value_name = "MAILBOX", requires = "account")]
    mailbox: Option<String>,
    /// Mails with this Message-ID alone
    #[arg(
        long,
        value_name = "ID",
        requires = "account",
        conflicts_with = "email"
    )]
    message_id: Option<String>,
    /// One mail alone, by its id in JMAP
    #[arg(long, value_name = "ID", requires = "account")]
    email: Option<String>,
    #[command(flatten)]
    key: KeyArgs,
}

fn parse_time(text: &str) -> Result<i64, String> {
    let date = UtcDate::parse(text).map(|date| date.0);
    date.ok_or_else(|| "write it like 2026-11-29T08:00:00Z".to_owned())
}

/// Who does it.
pub enum Plan {
    /// The server, or whoever has its data folder.
    Server(BackupCommand),
    /// This process.
    Local(Work),
}

impl KeyArgs {
    fn access(
        &self,
        place: &str,
        encrypt_to: Vec<String>,
    ) -> Result<RepositoryAccess, BackupError> {
        let place: Place = place.parse()?;
        let place = match place {
            // The server may be in another folder.
            Place::Folder(folder) => {
                let absolute = std::path::absolute(&folder);
                Place::Folder(absolute.map_err(|error| BackupError::File(folder, error))?)
            }
            place => place,
        };
        let s3 = match &place {
            Place::Folder(_) => BTreeMap::new(),
            Place::S3 { .. } => std::env::vars()
                .filter(|(name, _)| name.starts_with(S3_PREFIX))
                .map(|(name, value)| (name, Password(Secret::new(value))))
                .collect(),
        };
        let passphrase = match &self.passphrase_file {
            None => None,
            Some(file) => {
                let text = delivery::password(file);
                let text = text.map_err(|error| BackupError::File(file.clone(), error))?;
                Some(Password(Secret::new(text.expose().clone())))
            }
        };
        Ok(RepositoryAccess {
            place: place.to_string(),
            s3,
            encrypt_to,
            identity: self.identity()?,
            passphrase,
        })
    }

    fn identity(&self) -> Result<Option<Password>, BackupError> {
        let Some(file) = &self.identity else {
            return Ok(None);
        };
        let failed = |error| BackupError::File(file.clone(), error);
        if std::fs::metadata(file).map_err(failed)?.len() > IDENTITY_FILE_OCTETS_MAX {
            return Err(failed(std::io::Error::other("it is too large")));
        }
        let text = std::fs::read_to_string(file).map_err(failed)?;
        Ok(Some(Password(Secret::new(text))))
    }
}

impl BackupArgs {
    pub fn plan(self) -> Result<Plan, BackupError> {
        let none = KeyArgs {
            passphrase_file: None,
            identity: None,
        };
        Ok(match self.verb {
            None => {
                let place = self.place.unwrap_or_default();
                let access = self.key.access(&place, self.encrypt_to)?;
                Plan::Server(BackupCommand::Run {
                    access,
                    begins_anew: self.new,
                })
            }
            Some(BackupVerb::Status) => Plan::Server(BackupCommand::Status),
            Some(BackupVerb::List { place, key }) => {
                Plan::Local(Work::List(key.access(&place, Vec::new())?))
            }
            Some(BackupVerb::Verify {
                place,
                read_all,
                key,
            }) => Plan::Local(Work::Verify {
                access: key.access(&place, Vec::new())?,
                read_all,
            }),
            Some(BackupVerb::Prune {
                place,
                keep_last,
                keep_daily,
                keep_weekly,
                keep_monthly,
            }) => Plan::Local(Work::Prune {
                access: none.access(&place, Vec::new())?,
                keep: Keep {
                    last: keep_last,
                    daily: keep_daily,
                    weekly: keep_weekly,
                    monthly: keep_monthly,
                },
            }),
        })
    }
}

impl RestoreArgs {
    pub fn plan(self) -> Result<Plan, BackupError> {
        let access = self.key.access(&self.place, Vec::new())?;
        let snapshot = match (self.snapshot, self.at) {
            (Some(id), _) => WhichSnapshot::Id(id),
            (None, Some(time)) => WhichSnapshot::At(time),
            (None, None) => WhichSnapshot::Last,
        };
        Ok(match self.account {
            None => Plan::Local(Work::Restore {
                access,
                snapshot,
                hold_queue: self.hold_queue,
            }),
            Some(account) => Plan::Server(BackupCommand::BringBack(Box::new(BringBackCommand {
                access,
                snapshot,
                account,
                into: self.into,
                mailbox: self.mailbox,
                message_id: self.message_id,
                email: self.email,
            }))),
        })
    }
}

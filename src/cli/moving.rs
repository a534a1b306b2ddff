//! `posthorn import`, `export` and `copy`.
//!
//! Holds: sources are read, and files are written, by this process, as the user who runs it; the accounts are reached through the running server,
//! or in the folder. A password comes from a file, never from an argument.
//! Other half: `crate::moving`.

use std::{path::PathBuf, sync::Arc};

use clap::{Args, Subcommand, ValueEnum};
use jmap_core::auth::Secret;
use tokio::{sync::Semaphore, task::JoinSet};

use super::{AnyError, command::Answer, control, execute::Target, progress};
use crate::{
    blobs,
    config::{Config, DatabaseUrl},
    delivery, engine,
    folder::Folder,
    moving::{
        self, AccountRow, Destination, Intake, MoveError, MovedRow, Progress, Tally,
        copy::find_live_node,
        export as exports,
        imap::{
            self,
            client::{Encryption, Proxy, Server, tls_config},
        },
        jmap, maildir,
        mbox::{self, Quoting},
        read_accounts,
    },
    publish::Publisher,
    wire,
};

/// Accounts that are moved at the same time, at the most.
const PARALLEL_MAX: u16 = 64;

#[derive(Debug, Subcommand)]
pub enum ImportVerb {
    /// From a Maildir: Maildir++, or folders as the file system has them
    Maildir {
        /// At another path it is another source: all of its mail comes once more
        folder: PathBuf,
        /// The account that it goes to
        #[arg(long)]
        account: String,
        #[command(flatten)]
        how: How,
    },
    /// From an mbox file, or a folder of files *.mbox
    Mbox {
        /// At another path it is another source: all of its mail comes once more
        file: PathBuf,
        #[arg(long)]
        account: String,
        /// The mailbox that it goes to, with `/` between the levels [default: by the name of the file]
        #[arg(long, value_name = "MAILBOX")]
        into: Option<String>,
        /// How lines that begin with `From ` were made others
        #[arg(long, default_value = "mboxrd")]
        quoting: Quoting,
        #[command(flatten)]
        how: How,
    },
    /// From an IMAP server
    Imap(Box<ImapArgs>),
    /// From a JMAP server
    Jmap(Box<JmapArgs>),
    /// Forgets what was imported into an account: the next import takes everything again
    Forget {
        #[arg(long)]
        account: String,
    },
}

#[derive(Clone, Copy, Debug, Args)]
pub struct How {
    /// Flags that have changed in the source since are changed here too
    #[arg(long)]
    update_flags: bool,
    /// Equal messages in several folders stay several messages
    #[arg(long)]
    separate: bool,
}

#[derive(Debug, Args)]
pub struct Whom {
    /// The account that it goes to
    #[arg(
        long,
        required_unless_present = "accounts",
        conflicts_with = "accounts"
    )]
    account: Option<String>,
    /// The user there [default: the account]
    #[arg(long, conflicts_with = "accounts")]
    user: Option<String>,
    /// A CSV file of many accounts, with the columns account,user,password
    #[arg(long, value_name = "FILE")]
    accounts: Option<PathBuf>,
    /// A file with the password in its first line
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// So many accounts at a time
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=i64::from(PARALLEL_MAX)))]
    parallel: u16,
    /// Certificates of authorities (PEM) that are trusted in place of the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ImapArgs {
    /// Another name of it, or another port, is another source: all of its mail comes once more
    #[arg(long)]
    host: String,
    #[arg(long)]
    port: Option<u16>,
    #[command(flatten)]
    whom: Whom,
    /// TLS from the beginning, which is the default
    #[arg(long, conflicts_with_all = ["starttls", "plain"])]
    tls: bool,
    #[arg(long, conflicts_with = "plain")]
    starttls: bool,
    /// Without encryption: passwords and mail can be read on the way
    #[arg(long)]
    plain: bool,
    /// Whose password it is, if not the users'
    #[arg(long, value_name = "NAME")]
    master_user: Option<String>,
    /// Log in as USER, this, MASTER-USER (Dovecot: `*`) in place of SASL's authorization identity
    #[arg(long, value_name = "TEXT", requires = "master_user")]
    master_separator: Option<String>,
    /// A folder to leave out, with `/` between the levels; may be given more than once
    #[arg(long, value_name = "FOLDER")]
    exclude: Vec<String>,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub struct JmapArgs {
    /// Of the server, or of its session; another host or port is another source: all of its mail comes once more
    #[arg(long)]
    url: String,
    #[command(flatten)]
    whom: Whom,
    /// The password file has a bearer token
    #[arg(long)]
    bearer: bool,
    /// The id of the account there, if it isn't the user's own
    #[arg(long, value_name = "ID")]
    from_account: Option<String>,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Subcommand)]
pub enum ExportVerb {
    /// As a Maildir++; given again, what is missing
    Maildir {
        folder: PathBuf,
        #[arg(long)]
        account: String,
    },
    /// As mbox files, one a mailbox; given again, what is missing is added to them
    Mbox {
        folder: PathBuf,
        #[arg(long)]
        account: String,
    },
}

#[derive(Debug, Args)]
pub struct CopyArgs {
    /// The URL of an SQL database, or a new data folder
    #[arg(long, value_name = "URL|DIR", required_unless_present = "to_config")]
    to: Option<String>,
    /// A file with the password of that database
    #[arg(long, value_name = "FILE", requires = "to")]
    to_password_file: Option<PathBuf>,
    /// The configuration of a server that is to have the copy: it goes to the database that this one names
    #[arg(long, value_name = "FILE", conflicts_with = "to")]
    to_config: Option<PathBuf>,
}

/// Which kind of a source a run has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Imap,
    Jmap,
}

/// Where the accounts are, and the core that was opened for them.
struct Opened {
    destination: Destination,
    core: Option<jmap_core::Core>,
}

impl Opened {
    async fn new(config: &Config) -> Result<Opened, AnyError> {
        let folder = Folder::open(&config.data)?;
        let socket = folder.control_socket();
        if control::connect(&socket).await?.is_some() {
            return Ok(Opened {
                destination: Destination::Server(socket),
                core: None,
            });
        }
        let (core, live) = wire::open(config, &folder).await?;
        let target = Target {
            core: core.clone(),
            clock: wire::clock(),
            publisher: Publisher::new(live.current()),
            way: jmap_core::Way::CommandLine,
            certificates: None,
            connections: None,
            keys: None,
        };
        Ok(Opened {
            destination: Destination::Folder(Box::new(target)),
            core: Some(core),
        })
    }

    async fn close(self) -> Result<(), AnyError> {
        if let Some(core) = self.core {
            core.tell_others().await;
            core.leave_cluster().await?;
        }
        Ok(())
    }
}

fn told() -> Progress {
    Arc::new(progress)
}

/// Brings mail in.
pub async fn import(config: &Config, verb: ImportVerb) -> Result<Answer, AnyError> {
    // What is wrong with the command line is said before anything is opened.
    let many = match &verb {
        ImportVerb::Imap(args) => Some(many(Kind::Imap, &args.whom, args.master_user.is_some())?),
        ImportVerb::Jmap(args) => Some(many(Kind::Jmap, &args.whom, false)?),
        _ => None,
    };
    let opened = Opened::new(config).await?;
    let to = &opened.destination;
    let tally = match verb {
        ImportVerb::Maildir {
            folder,
            account,
            how,
        } => {
            let mut intake = intake(to, &account, how).await?;
            let end = maildir::import(&folder, &mut intake).await;
            Ok(intake.finish(end).await)
        }
        ImportVerb::Mbox {
            file,
            account,
            into,
            quoting,
            how,
        } => {
            let mut intake = intake(to, &account, how).await?;
            let end = mbox::import(&file, into.as_deref(), quoting, &mut intake).await;
            Ok(intake.finish(end).await)
        }
        ImportVerb::Imap(args) => import_imap(to, *args, many.unwrap_or_default()).await,
        ImportVerb::Jmap(args) => import_jmap(to, *args, many.unwrap_or_default()).await,
        ImportVerb::Forget { account } => {
            let mut intake = Intake::open(to, &account, told()).await?;
            intake.forget().await?;
            intake.finish(Ok(())).await;
            opened.close().await?;
            return Ok(Answer::Done(format!(
                "what was imported into {account} is forgotten; its mail stays"
            )));
        }
    };
    let tally = tally?;
    opened.close().await?;
    Ok(Answer::Moved(MovedRow::new("imported", tally)))
}

async fn intake(to: &Destination, account: &str, how: How) -> Result<Intake, MoveError> {
    let mut intake = Intake::open(to, account, told()).await?;
    intake.joins = !how.separate;
    intake.updates_flags = how.update_flags;
    Ok(intake)
}

/// The accounts of a run, each with its password.
fn many(kind: Kind, whom: &Whom, has_master: bool) -> Result<Vec<AccountRow>, AnyError> {
    let password = match &whom.password_file {
        Some(file) => Some(
            delivery::password(file)
                .map(|password| Secret::new(password.expose().clone()))
                .map_err(|error| format!("{}: {error}", file.display()))?,
        ),
        None => None,
    };
    let mut rows = match (&whom.accounts, &whom.account) {
        (Some(file), _) => {
            let wrong = |why: String| format!("{}: {why}", file.display());
            let size = std::fs::metadata(file)
                .map_err(|e| wrong(e.to_string()))?
                .len();
            if size > moving::ACCOUNTS_FILE_OCTETS_MAX {
                return Err(wrong("it is too large".to_owned()).into());
            }
            let text = std::fs::read_to_string(file).map_err(|e| wrong(e.to_string()))?;
            let text = zeroize::Zeroizing::new(text);
            read_accounts(&text).map_err(wrong)?
        }
        (None, Some(account)) => vec![AccountRow {
            user: whom.user.clone().unwrap_or_else(|| account.clone()),
            account: account.clone(),
            password: None,
        }],
        (None, None) => return Err("an account has to be named".into()),
    };
    for row in &mut rows {
        // With a master user, it is the master's password that counts.
        if row.password.is_none() || has_master && password.is_some() {
            row.password = password.clone();
        }
        if row.password.is_none() {
            let what = match kind {
                Kind::Imap => "a password",
                Kind::Jmap => "a password or a token",
            };
            return Err(format!(
                "there is no {what} for {}; give it with --password-file, or in the file of the accounts",
                row.user
            )
            .into());
        }
    }
    Ok(rows)
}

async fn import_imap(
    to: &Destination,
    args: ImapArgs,
    rows: Vec<AccountRow>,
) -> Result<Tally, AnyError> {
    let encryption = match (args.starttls, args.plain) {
        (true, _) => Encryption::StartTls,
        (_, true) => Encryption::Plain,
        _ => Encryption::Tls,
    };
    let server = Server {
        host: args.host,
        port: args.port.unwrap_or_else(|| imap::port_of(encryption)),
        encryption,
        tls: tls_config(args.whom.ca_file.as_deref())?,
        proxy: args.master_user.map(|master| match args.master_separator {
            Some(separator) => Proxy::Name { master, separator },
            None => Proxy::Sasl { master },
        }),
    };
    let (how, excluded) = (args.how, args.exclude);
    let each = move |to: Destination, row: AccountRow| {
        let source = imap::Source {
            server: server.clone(),
            user: row.user,
            password: row.password.unwrap_or_else(|| Secret::new(String::new())),
            excluded: excluded.clone(),
        };
        async move {
            let mut intake = intake(&to, &row.account, how).await?;
            let end = imap::import(&source, &mut intake).await;
            Ok(intake.finish(end).await)
        }
    };
    Ok(at_a_time(to, rows, args.whom.parallel, each).await)
}

async fn import_jmap(
    to: &Destination,
    args: JmapArgs,
    rows: Vec<AccountRow>,
) -> Result<Tally, AnyError> {
    let tls = tls_config(args.whom.ca_file.as_deref())?;
    let (how, url, bearer, account) = (args.how, args.url, args.bearer, args.from_account);
    let each = move |to: Destination, row: AccountRow| {
        let password = row.password.unwrap_or_else(|| Secret::new(String::new()));
        let source = jmap::Source {
            url: url.clone(),
            login: match bearer {
                true => jmap::Login::Token(password),
                false => jmap::Login::Password(row.user, password),
            },
            account: account.clone(),
            tls: tls.clone(),
        };
        async move {
            let mut intake = intake(&to, &row.account, how).await?;
            let end = jmap::import(&source, &mut intake).await;
            Ok(intake.finish(end).await)
        }
    };
    Ok(at_a_time(to, rows, args.whom.parallel, each).await)
}

/// Moves several accounts at a time. What is wrong with one doesn't stop the others.
async fn at_a_time<F>(
    to: &Destination,
    rows: Vec<AccountRow>,
    parallel: u16,
    each: impl Fn(Destination, AccountRow) -> F,
) -> Tally
where
    F: Future<Output = Result<Tally, MoveError>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(usize::from(parallel)));
    let mut running = JoinSet::new();
    let mut sum = Tally::default();
    for row in rows {
        let place = places.clone().acquire_owned().await;
        while let Some(done) = running.try_join_next() {
            add(&mut sum, done);
        }
        let account = row.account.clone();
        let moved = each(to.clone(), row);
        running.spawn(async move {
            let _place = place;
            let outcome = moved.await;
            (account, outcome)
        });
    }
    while let Some(done) = running.join_next().await {
        add(&mut sum, done);
    }
    sum
}

type One = Result<(String, Result<Tally, MoveError>), tokio::task::JoinError>;

fn add(sum: &mut Tally, done: One) {
    match done {
        Ok((_, Ok(tally))) => sum.add(tally),
        Ok((account, Err(error))) => sum.problem(&account, &error.to_string()),
        Err(error) => sum.problem("an account", &error.to_string()),
    }
}

/// Writes an account into files.
pub async fn export(config: &Config, verb: ExportVerb) -> Result<Answer, AnyError> {
    let opened = Opened::new(config).await?;
    let to = &opened.destination;
    let tally = match verb {
        ExportVerb::Maildir { folder, account } => {
            exports::maildir::export(to, &account, &folder, &told()).await
        }
        ExportVerb::Mbox { folder, account } => {
            exports::mbox::export(to, &account, &folder, &told()).await
        }
    };
    let tally = tally?;
    opened.close().await?;
    Ok(Answer::Moved(MovedRow::new("exported", tally)))
}

/// Copies everything to another database.
pub async fn copy(config: &Config, args: CopyArgs) -> Result<Answer, AnyError> {
    let folder = Folder::open(&config.data)?;
    if control::connect(&folder.control_socket()).await?.is_some() {
        return Err("a server runs over this folder; stop it first".into());
    }
    let (there, target_folder) = target_of(config, &folder, args)?;
    let source = engine::open(config, &folder).await?;
    let watch_for = config.cluster.heartbeat.0 * 3;
    if find_live_node(&source, watch_for).await? {
        return Err("a server runs over this database; stop all of them first".into());
    }
    let target = engine::open_any(&there, &target_folder).await?;
    let mark = moving::copy::begin(&source, &target).await?;
    let target = blobs::over(target, &there, &target_folder).await?;
    let copied = moving::copy::copy(&source, &target, mark, &told()).await?;
    let tally = Tally {
        new: copied.records,
        octets: copied.octets,
        ..Tally::default()
    };
    let row = MovedRow {
        hash: Some(copied.hash),
        ..MovedRow::new("copied", tally)
    };
    Ok(Answer::Moved(row))
}

/// The configuration by which the target is opened, and its folder.
fn target_of(
    config: &Config,
    folder: &Folder,
    args: CopyArgs,
) -> Result<(Config, Folder), AnyError> {
    if let Some(file) = &args.to_config {
        let there = Config::read(file)?;
        let folder = Folder::make(&there.data)?;
        return Ok((there, folder));
    }
    let to = args.to.unwrap_or_default();
    let mut there = config.clone();
    there.store.password_file = args.to_password_file;
    if to.contains("://") || to.starts_with("sqlite:") {
        there.store.url = Some(DatabaseUrl(to));
        return Ok((there, folder.clone()));
    }
    there.store.url = None;
    Ok((there, Folder::make(std::path::Path::new(&to))?))
}

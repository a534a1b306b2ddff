//! The command line: words, options, and the [`Command`] that they make.
//!
//! Holds: a password is never an argument, where other users of the machine could read it.
//! Other half: `super::run` gives the commands to a server.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::audit::AuditArgs;
use super::backup::{BackupArgs, RestoreArgs};
use super::trace::TraceQuery;
use super::{
    ban::BanVerb,
    blobs::BlobsVerb,
    command::{
        Change, Command, CredentialKind, DomainLimits, Kind, NewAccount, Password, Posters, Quota,
        Role,
    },
    moving::{CopyArgs, ExportVerb, ImportVerb},
    queue::QueueVerb,
    repair::{CheckArgs, QuarantineVerb},
    session::SessionVerb,
    settings::SettingsVerb,
    tls::TlsVerb,
    undelete::UndeleteVerb,
    webhook::WebhookVerb,
};
use crate::config::values::{Octets, Span};

/// A mail and collaboration server, JMAP first.
#[derive(Debug, Parser)]
#[command(name = "posthorn", version, about, propagate_version = true)]
pub struct Cli {
    /// The data folder [default: as configured, or ./data]
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The configuration file (posthorn.example.toml has every key)
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Answers for machines
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Runs the server
    Serve {
        /// Listens on unprivileged ports of this machine alone, as localhost, and says what to try
        #[arg(long)]
        quickstart: bool,
    },
    /// Domains whose mail is kept here
    #[command(subcommand)]
    Domain(DomainVerb),
    /// Accounts of people
    #[command(subcommand)]
    Account(AccountVerb),
    /// Groups: accounts that their members see
    #[command(subcommand)]
    Group(GroupVerb),
    /// Addresses alone, whose mail goes on to others
    #[command(subcommand)]
    Alias(ForwardVerb),
    /// Lists: each member gets a copy of what comes to them
    #[command(subcommand)]
    List(ListVerb),
    /// Reports of other servers: who sends in our domains' names, and how mail to us was encrypted
    #[command(subcommand)]
    Report(ReportVerb),
    /// App passwords and tokens
    #[command(subcommand)]
    Credential(CredentialVerb),
    /// Mail that is under way
    #[command(subcommand)]
    Queue(QueueVerb),
    /// Where the octets of messages are, and how they are encrypted
    #[command(subcommand)]
    Blobs(BlobsVerb),
    /// The full-text index
    #[command(subcommand)]
    Search(SearchVerb),
    /// Reads every record and says what is wrong; exits with 1 if anything is
    Check(CheckArgs),
    /// Records that were put aside, as they could not stay where they were
    #[command(subcommand)]
    Quarantine(QuarantineVerb),
    /// Builds the search index of one account, or of all, anew, while what it has is still found
    Reindex { account: Option<String> },
    /// Brings the data to the format of this version, without serving
    Upgrade {
        /// Says what there is to do, and changes nothing
        #[arg(long)]
        check: bool,
    },
    /// Asks the running server whether all is well; exits with 1 if none runs, or it can't keep mail
    Health,
    /// Copies of the whole server: makes one, or looks after those that there are
    Backup(BackupArgs),
    /// Restores a whole server into an empty store, or brings back what an account had
    Restore(Box<RestoreArgs>),
    /// What is configured beside the configuration file; changes take effect at once
    #[command(subcommand)]
    Settings(SettingsVerb),
    /// What the server, or the data folder, has
    Status,
    /// What happened to messages, and why
    Trace(TraceArgs),
    /// What was changed, by whom, and from where
    Audit(AuditArgs),
    /// Networks that nobody may connect from
    #[command(subcommand)]
    Ban(BanVerb),
    /// Who is logged in
    #[command(subcommand)]
    Session(SessionVerb),
    /// Who is told of events, and what came of that
    #[command(subcommand)]
    Webhook(WebhookVerb),
    /// Mail that was deleted, and can be brought back for a while
    #[command(subcommand)]
    Undelete(UndeleteVerb),
    /// The certificates that the server shows
    #[command(subcommand)]
    Tls(TlsVerb),
    /// Brings mail in; given again, it brings what is new
    #[command(subcommand)]
    Import(ImportVerb),
    /// Writes an account into files
    #[command(subcommand)]
    Export(ExportVerb),
    /// Copies everything to another database, while no server runs
    Copy(CopyArgs),
}

#[derive(Debug, Args)]
pub struct TraceArgs {
    /// The Message-ID of a message
    message_id: Option<String>,
    /// The sender of the envelope; `@example.net`: anybody there
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// A recipient of the envelope; `@example.net`: anybody there
    #[arg(long, value_name = "ADDRESS")]
    to: Option<String>,
    /// What one account has sent and got
    #[arg(long)]
    account: Option<String>,
    /// No older than that, such as `2h`
    #[arg(long, value_name = "TIME")]
    since: Option<Span>,
    /// The last so many events
    #[arg(long, default_value_t = 100)]
    limit: u16,
}

#[derive(Debug, Subcommand)]
pub enum DomainVerb {
    /// Keeps mail for a domain from now on
    Add {
        name: String,
    },
    List,
    /// Keeps no mail for a domain any more; it must have no addresses
    Remove {
        name: String,
    },
    /// Changes a domain
    Set(DomainSet),
    /// The DKIM keys of a domain
    Keys {
        name: String,
    },
    /// Makes the next DKIM keys of a domain; they sign once they are published
    RotateKeys {
        name: String,
        /// Lets those that wait sign now, whether the DNS has them or not
        #[arg(long)]
        activate: bool,
    },
    /// Prints what to publish in the DNS, as lines of a zone file
    Records {
        name: String,
    },
    /// Compares the DNS with what is to be published; exits with 1 if something is wrong
    Check {
        name: String,
    },
}

#[derive(Debug, Args)]
pub struct DomainSet {
    name: String,
    /// The account that gets mail for addresses that nobody has
    #[arg(long, value_name = "ACCOUNT", conflicts_with = "no_catch_all")]
    catch_all: Option<String>,
    #[arg(long)]
    no_catch_all: bool,
    /// The domain whose addresses this one has too
    #[arg(long, value_name = "DOMAIN", conflicts_with = "no_alias")]
    alias_of: Option<String>,
    #[arg(long)]
    no_alias: bool,
    /// The domain of the reverse-path of mail that addresses of this one forward (SRS)
    #[arg(long, value_name = "DOMAIN", conflicts_with = "no_srs_domain")]
    srs_domain: Option<String>,
    #[arg(long)]
    no_srs_domain: bool,
    /// How much its accounts may use together: a size, or `unlimited`
    #[arg(long, value_name = "SIZE", value_parser = parse_quota)]
    quota: Option<Quota>,
    /// How many accounts and groups it may have: a number, or `unlimited`
    #[arg(long, value_name = "NUMBER", value_parser = parse_number)]
    max_accounts: Option<Quota>,
    /// How many recipients its accounts may send to together: a number, or `unlimited`
    #[arg(long, value_name = "NUMBER", value_parser = parse_number)]
    recipients_per_hour: Option<Quota>,
    #[arg(long, value_name = "NUMBER", value_parser = parse_number)]
    recipients_per_day: Option<Quota>,
}

#[derive(Debug, Subcommand)]
pub enum AccountVerb {
    /// Makes an account; asks for its password
    Add(AccountAdd),
    List,
    Show {
        name: String,
        /// Prints the account's JMAP id alone
        #[arg(long)]
        id: bool,
    },
    /// Removes an account and everything in it, for good
    Remove {
        name: String,
    },
    /// Changes a password; asks for it
    Password {
        name: String,
        /// Reads the password from the first line of the standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// Lets an account log in by another name
    Rename {
        name: String,
        new_name: String,
    },
    /// Changes the description, such as the person's name
    Describe {
        name: String,
        description: String,
    },
    Enable {
        name: String,
    },
    /// Neither logs in nor gets mail any more
    Disable {
        name: String,
    },
    /// Says what an account may do beyond its own mail
    Role {
        name: String,
        role: Role,
        /// A domain that a domain administrator looks after; may be given more than once
        #[arg(long = "domain", value_name = "DOMAIN")]
        domains: Vec<String>,
    },
    /// Sets how much the account may use: a size, `default`, or `unlimited`
    Quota {
        name: String,
        #[arg(value_parser = parse_quota)]
        quota: Quota,
    },
    /// More addresses of an account
    #[command(subcommand)]
    Alias(AliasVerb),
    /// Sets how many recipients an account may send to: numbers, `default`, or `unlimited`
    Budget {
        name: String,
        #[arg(long, default_value = "default", value_parser = parse_number)]
        per_hour: Quota,
        #[arg(long, default_value = "default", value_parser = parse_number)]
        per_day: Quota,
    },
    /// Changes where the mail of an account goes on to
    Set(AccountSet),
}

#[derive(Debug, Args)]
pub struct AccountSet {
    name: String,
    /// An address, here or elsewhere, that its mail goes on to; may be given more than once
    #[arg(long, value_name = "ADDRESS", required_unless_present = "no_forward")]
    forward_to: Vec<String>,
    /// The account keeps a copy
    #[arg(long, requires = "forward_to")]
    keep: bool,
    /// Its mail goes nowhere else any more
    #[arg(long, conflicts_with = "forward_to")]
    no_forward: bool,
}

#[derive(Debug, Subcommand)]
pub enum ForwardVerb {
    /// Makes an address whose mail goes on
    Add {
        address: String,
        /// Where its mail goes on to; may be given more than once
        #[arg(long, value_name = "ADDRESS", required = true)]
        to: Vec<String>,
    },
    List,
    /// Changes where its mail goes on to
    Set {
        address: String,
        #[arg(long, value_name = "ADDRESS", required = true)]
        to: Vec<String>,
    },
    Remove {
        address: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum ReportVerb {
    /// One line a report
    List {
        /// Of this domain alone
        domain: Option<String>,
        #[arg(long, default_value_t = REPORT_DAYS)]
        days: u64,
    },
    /// What the reports on a domain say, together
    Show {
        domain: String,
        #[arg(long, default_value_t = REPORT_DAYS)]
        days: u64,
    },
}

/// How far back reports are shown.
const REPORT_DAYS: u64 = 30;

#[derive(Debug, Subcommand)]
pub enum ListVerb {
    /// Makes a list
    Add {
        address: String,
        /// The account that gets what comes to the list's owner address, such as failures
        #[arg(long, value_name = "ACCOUNT")]
        owner: String,
        #[arg(long, default_value = "")]
        description: String,
        /// Who may write to it
        #[arg(long, default_value = "members")]
        posters: Posters,
        /// An address, here or elsewhere; may be given more than once
        #[arg(long, value_name = "ADDRESS")]
        member: Vec<String>,
    },
    /// Changes a list
    Set {
        address: String,
        #[arg(long)]
        description: Option<String>,
        #[arg(long)]
        posters: Option<Posters>,
        #[arg(long, value_name = "ADDRESS")]
        add: Vec<String>,
        #[arg(long, value_name = "ADDRESS")]
        remove: Vec<String>,
    },
    /// Shows a list, or all of them
    Show { address: Option<String> },
    /// Removes a list for good
    Remove { address: String },
}

#[derive(Debug, Args)]
pub struct AccountAdd {
    /// An address, or a name without a domain
    name: String,
    /// Reads the password from the first line of the standard input
    #[arg(long)]
    password_stdin: bool,
    /// Makes an account that can't log in with a password
    #[arg(long, conflicts_with = "password_stdin")]
    no_password: bool,
    /// Makes an administrator
    #[arg(long)]
    admin: bool,
    #[arg(long, default_value = "")]
    description: String,
    /// A size, `default`, or `unlimited`
    #[arg(long, default_value = "default", value_parser = parse_quota)]
    quota: Quota,
}

#[derive(Debug, Subcommand)]
pub enum AliasVerb {
    Add { account: String, address: String },
    Remove { account: String, address: String },
}

#[derive(Debug, Subcommand)]
pub enum GroupVerb {
    Add {
        /// An address, or a name without a domain
        name: String,
        #[arg(long, default_value = "")]
        description: String,
    },
    Members {
        group: String,
    },
    #[command(subcommand)]
    Member(MemberVerb),
    /// Removes a group and everything in it, for good
    Remove {
        group: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum MemberVerb {
    Add { group: String, account: String },
    Remove { group: String, account: String },
}

#[derive(Debug, Subcommand)]
pub enum CredentialVerb {
    List {
        account: String,
    },
    /// Makes a password for one device, and prints it once
    AppPassword(Issue),
    /// Makes a bearer token, and prints it once
    Token(Issue),
    Revoke {
        account: String,
        number: u64,
    },
}

#[derive(Debug, Args)]
pub struct Issue {
    account: String,
    /// What it is for, such as the name of a device
    #[arg(long, default_value = "")]
    description: String,
    /// How long it is good for, such as `90d`; without it, for ever
    #[arg(long, value_name = "TIME")]
    expires_in: Option<Span>,
    /// What it is good for: imap, pop3, submission, jmap, sieve, api; without it, everything
    #[arg(long, value_delimiter = ',', value_name = "SCOPE")]
    scopes: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub enum SearchVerb {
    /// Builds the index anew
    Rebuild,
}

fn parse_quota(text: &str) -> Result<Quota, String> {
    match text {
        "default" => Ok(Quota::Default),
        "unlimited" => Ok(Quota::Unlimited),
        size => match size.parse::<Octets>()? {
            Octets(0) => Err(
                "a quota of nothing is none; write `unlimited`, or disable the account".to_owned(),
            ),
            Octets(octets) => Ok(Quota::Octets(octets)),
        },
    }
}

fn parse_number(text: &str) -> Result<Quota, String> {
    match text {
        "default" => Ok(Quota::Default),
        "unlimited" => Ok(Quota::Unlimited),
        number => match number.parse() {
            Ok(0) | Err(_) => Err("write a number above 0, or `unlimited`".to_owned()),
            Ok(number) => Ok(Quota::Octets(number)),
        },
    }
}

/// A limit of a domain: there is none by default.
fn limit(set: Option<Quota>) -> Change<u64> {
    match set {
        None => Change::Keep,
        Some(Quota::Default | Quota::Unlimited) => Change::Clear,
        Some(Quota::Octets(number)) => Change::Set(number),
    }
}

/// How the password of a command is to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordFrom {
    Stdin,
    Prompt,
}

/// Asks for a password.
pub type AskPassword<'a> = &'a dyn Fn(PasswordFrom) -> std::io::Result<Password>;

impl Verb {
    /// The command for a server; `None` for what runs one, or is more than a command.
    pub fn command(self, password: AskPassword<'_>) -> std::io::Result<Option<Command>> {
        Ok(Some(match self {
            // A server runs as long as it is let; moving and backups are not all a server's work.
            Verb::Serve { .. }
            | Verb::Import(_)
            | Verb::Export(_)
            | Verb::Copy(_)
            | Verb::Backup(_)
            | Verb::Restore(_)
            | Verb::Upgrade { .. } => return Ok(None),
            Verb::Domain(verb) => verb.command(),
            Verb::Account(verb) => verb.command(password)?,
            Verb::Group(verb) => verb.command(),
            Verb::Alias(verb) => verb.command(),
            Verb::List(verb) => verb.command(),
            Verb::Report(ReportVerb::List { domain, days }) => Command::ReportList { domain, days },
            Verb::Report(ReportVerb::Show { domain, days }) => Command::ReportShow { domain, days },
            Verb::Credential(verb) => verb.command(),
            Verb::Queue(verb) => Command::Queue(verb.command()),
            Verb::Blobs(verb) => verb.command(),
            Verb::Search(SearchVerb::Rebuild) => Command::SearchRebuild,
            Verb::Check(args) => args.command(),
            Verb::Quarantine(verb) => verb.command(),
            Verb::Reindex { account } => Command::Reindex { account },
            Verb::Health => Command::Health,
            Verb::Status => Command::Status,
            Verb::Settings(verb) => {
                let command = verb.command();
                Command::Settings(
                    command.map_err(|error| std::io::Error::other(error.to_string()))?,
                )
            }
            Verb::Undelete(verb) => Command::Undelete(verb.command()),
            Verb::Ban(verb) => Command::Ban(verb.command()),
            Verb::Session(verb) => Command::Session(verb.command()),
            Verb::Webhook(verb) => Command::Webhook(verb.command()),
            Verb::Audit(args) => Command::Audit(args.query()),
            Verb::Tls(verb) => Command::Tls(verb.command()?),
            Verb::Trace(args) => Command::Trace(TraceQuery {
                message_id: args.message_id,
                from: args.from,
                to: args.to,
                account: args.account,
                since_seconds: args.since.map(|span| span.0.as_secs()),
                limit: args.limit.into(),
            }),
        }))
    }
}

impl DomainVerb {
    fn command(self) -> Command {
        match self {
            DomainVerb::Add { name } => Command::DomainAdd { name },
            DomainVerb::List => Command::DomainList,
            DomainVerb::Remove { name } => Command::DomainRemove { name },
            DomainVerb::Set(set) => Command::DomainSet {
                name: set.name,
                catch_all: change(set.catch_all, set.no_catch_all),
                alias_of: change(set.alias_of, set.no_alias),
                srs_domain: change(set.srs_domain, set.no_srs_domain),
                limits: DomainLimits {
                    octets: limit(set.quota),
                    accounts: limit(set.max_accounts),
                    recipients_per_hour: limit(set.recipients_per_hour),
                    recipients_per_day: limit(set.recipients_per_day),
                },
            },
            DomainVerb::Keys { name } => Command::DomainKeys { name },
            DomainVerb::RotateKeys { name, activate } => {
                Command::DomainRotateKeys { name, activate }
            }
            DomainVerb::Records { name } => Command::DomainRecords { name },
            DomainVerb::Check { name } => Command::DomainCheck { name },
        }
    }
}

fn change(set: Option<String>, clear: bool) -> Change<String> {
    match (set, clear) {
        (Some(value), _) => Change::Set(value),
        (None, true) => Change::Clear,
        (None, false) => Change::Keep,
    }
}

fn from(stdin: bool) -> PasswordFrom {
    if stdin {
        PasswordFrom::Stdin
    } else {
        PasswordFrom::Prompt
    }
}

impl AccountVerb {
    fn command(self, password: AskPassword<'_>) -> std::io::Result<Command> {
        Ok(match self {
            AccountVerb::Add(add) => Command::AccountAdd(NewAccount {
                password: match add.no_password {
                    true => None,
                    false => Some(password(from(add.password_stdin))?),
                },
                name: add.name,
                kind: Kind::Person,
                role: if add.admin {
                    Role::Administrator
                } else {
                    Role::User
                },
                description: add.description,
                quota: add.quota,
            }),
            AccountVerb::List => Command::AccountList,
            AccountVerb::Show { name, id: _ } => Command::AccountShow { name },
            AccountVerb::Remove { name } => Command::AccountRemove { name },
            AccountVerb::Password {
                name,
                password_stdin,
            } => Command::AccountPassword {
                name,
                password: password(from(password_stdin))?,
            },
            AccountVerb::Rename { name, new_name } => Command::AccountRename { name, new_name },
            AccountVerb::Describe { name, description } => {
                Command::AccountDescribe { name, description }
            }
            AccountVerb::Enable { name } => Command::AccountEnable { name },
            AccountVerb::Disable { name } => Command::AccountDisable { name },
            AccountVerb::Role {
                name,
                role,
                domains,
            } => Command::AccountRole {
                name,
                role,
                domains,
            },
            AccountVerb::Quota { name, quota } => Command::AccountQuota { name, quota },
            AccountVerb::Alias(AliasVerb::Add { account, address }) => Command::AliasAdd {
                name: account,
                address,
            },
            AccountVerb::Alias(AliasVerb::Remove { account, address }) => Command::AliasRemove {
                name: account,
                address,
            },
            AccountVerb::Budget {
                name,
                per_hour,
                per_day,
            } => Command::AccountBudget {
                name,
                per_hour,
                per_day,
            },
            AccountVerb::Set(set) => Command::AccountForward {
                name: set.name,
                to: set.forward_to,
                keep: set.keep,
            },
        })
    }
}

impl ForwardVerb {
    fn command(self) -> Command {
        match self {
            ForwardVerb::Add { address, to } => Command::ForwardAdd { address, to },
            ForwardVerb::List => Command::ForwardList,
            ForwardVerb::Set { address, to } => Command::ForwardSet { address, to },
            ForwardVerb::Remove { address } => Command::ForwardRemove { address },
        }
    }
}

impl ListVerb {
    fn command(self) -> Command {
        match self {
            ListVerb::Add {
                address,
                owner,
                description,
                posters,
                member,
            } => Command::ListAdd {
                address,
                owner,
                description,
                posters,
                members: member,
            },
            ListVerb::Set {
                address,
                description,
                posters,
                add,
                remove,
            } => Command::ListSet {
                address,
                description,
                posters,
                add,
                remove,
            },
            ListVerb::Show { address } => Command::ListShow { address },
            ListVerb::Remove { address } => Command::ListRemove { address },
        }
    }
}

impl GroupVerb {
    fn command(self) -> Command {
        match self {
            GroupVerb::Add { name, description } => Command::AccountAdd(NewAccount {
                name,
                kind: Kind::Group,
                role: Role::User,
                description,
                quota: Quota::Default,
                password: None,
            }),
            GroupVerb::Members { group } => Command::Members { group },
            GroupVerb::Member(MemberVerb::Add { group, account }) => Command::MemberAdd {
                group,
                member: account,
            },
            GroupVerb::Member(MemberVerb::Remove { group, account }) => Command::MemberRemove {
                group,
                member: account,
            },
            GroupVerb::Remove { group } => Command::AccountRemove { name: group },
        }
    }
}

impl CredentialVerb {
    fn command(self) -> Command {
        let add = |issue: Issue, kind| Command::CredentialAdd {
            name: issue.account,
            kind,
            description: issue.description,
            expires_seconds: issue.expires_in.map(|span| span.0.as_secs()),
            scopes: issue.scopes,
        };
        match self {
            CredentialVerb::List { account } => Command::CredentialList { name: account },
            CredentialVerb::AppPassword(issue) => add(issue, CredentialKind::AppPassword),
            CredentialVerb::Token(issue) => add(issue, CredentialKind::Token),
            CredentialVerb::Revoke { account, number } => Command::CredentialRevoke {
                name: account,
                number,
            },
        }
    }
}

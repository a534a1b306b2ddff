//! Does commands on a core.
//!
//! Holds: one function for a running server and for a folder that is opened for it; the caller is the server
//! itself, since whoever may open the folder or its socket owns the store.
//! Other half: `command` has what is asked and answered.

use std::{sync::Arc, time::Duration};

use jmap_core::{
    Caller, Core, Way,
    access::Operation,
    admin::{Deed, Terms},
    auth::Scopes,
    clock::Clock,
    directory::{
        self, AccountKind, DirectoryError, Domain, DomainChange, Grant,
        NewAccount as NewCoreAccount, NewCredential, dkim::DkimKey,
    },
    inproc::queue::QueueError,
    trace::TraceError,
    work::{
        check::{CheckError, Progress, RepairError},
        quarantine::QuarantineError,
    },
};

use store::blob::keyring::Keyring;

use super::{
    audit,
    backup::{self, BackupCommand},
    ban, blobs,
    command::{
        AccountRow, Answer, Change, Command, CredentialKind, CredentialRow, DkimKeyRow, DomainRow,
        IssuedRow, Kind, NewAccount, Password, Quota, RecordRow, RecordsRow, StatusRow,
    },
    forwards, queue,
    repair::{self, QuarantineCommand},
    reports, session, settings, tls, trace, undelete, webhook,
};
use crate::backups::BackupError;
use crate::publish::{self, PublishError, Publisher, records::Record};
use crate::tls::{CertificateError, Certificates};

/// Reads the encryption keys that the configuration names now. Errors: a sentence for the operator.
pub type ReadKeys = Arc<dyn Fn() -> Result<Keyring, String> + Send + Sync>;

/// What commands work with.
#[derive(Clone)]
pub struct Target {
    pub core: Core,
    pub clock: Arc<dyn Clock>,
    pub publisher: Publisher,
    /// By which way whoever gives commands has come.
    pub way: Way,
    /// A server runs; it shows these.
    pub certificates: Option<Arc<Certificates>>,
    /// A server runs; it has so many connections.
    pub connections: Option<Arc<dyn Fn() -> u64 + Send + Sync>>,
    /// A server runs; this reads its encryption keys anew.
    pub keys: Option<ReadKeys>,
}

/// Why a command was refused: a sentence for whoever gave it.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Trace(#[from] TraceError),
    #[error(transparent)]
    Check(#[from] CheckError),
    #[error(transparent)]
    Repair(#[from] RepairError),
    #[error(transparent)]
    Quarantine(#[from] QuarantineError),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(transparent)]
    Search(#[from] jmap_core::mail::search::Error),
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(transparent)]
    Blobs(#[from] store::blob::RewriteError),
    #[error(transparent)]
    Settings(#[from] jmap_core::settings::SettingsError),
    #[error(transparent)]
    Undelete(#[from] jmap_core::mail::undelete::UndeleteError),
    #[error(transparent)]
    Import(#[from] jmap_core::inproc::import::ImportError),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error(transparent)]
    Stored(#[from] jmap_core::inproc::certificates::CertificateError),
    #[error(transparent)]
    Tls(#[from] net::tls::TlsError),
    #[error(transparent)]
    Ban(#[from] jmap_core::bans::BanError),
    #[error(transparent)]
    Webhook(#[from] jmap_core::webhook::WebhookError),
    #[error("{0}")]
    Keys(String),
    #[error("{0}")]
    Refused(&'static str),
}

pub(super) type Done = Result<Answer, CommandError>;

impl Target {
    /// Whoever gives commands.
    pub fn operator(&self) -> Caller {
        Caller::operator(self.way)
    }
}

/// What a command is in the audit, where what it does leaves no row of its own.
fn deed(command: &Command) -> Option<Deed> {
    let named = |operation, object: &str| Some(Deed::new(operation, object));
    match command {
        Command::Check { repair: true, .. } => named(Operation::Repair, "check"),
        Command::Quarantine(QuarantineCommand::Delete { .. }) => {
            named(Operation::Repair, "quarantine")
        }
        Command::Quarantine(QuarantineCommand::Export { key, .. }) => {
            named(Operation::Repair, &format!("quarantine export {key}"))
        }
        Command::Reindex { account } => named(
            Operation::Repair,
            &format!("reindex {}", account.as_deref().unwrap_or_default()),
        ),
        Command::BlobsRewrite => named(Operation::Repair, "blobs rewrite"),
        Command::BlobsLoadKeys => named(Operation::Repair, "blobs load-keys"),
        Command::SearchRebuild => named(Operation::Repair, "search rebuild"),
        Command::Backup(BackupCommand::Run { .. }) => named(Operation::Backup, "backup"),
        Command::Backup(BackupCommand::BringBack(_)) => named(Operation::MoveMail, "bring back"),
        _ => None,
    }
}

/// Does one command.
pub async fn execute(target: &Target, command: Command, progress: Progress<'_>) -> Done {
    let core = &target.core;
    let who = &target.operator();
    if let Some(deed) = deed(&command) {
        core.note_deed(who, deed).await?;
    }
    match command {
        Command::DomainAdd { .. }
        | Command::DomainList
        | Command::DomainRemove { .. }
        | Command::DomainSet { .. } => domain(core, who, command).await,
        Command::DomainKeys { .. } | Command::DomainRotateKeys { .. } => {
            dkim(core, who, command).await
        }
        Command::DomainRecords { name } => records(target, who, &name).await,
        Command::DomainCheck { name } => Ok(Answer::Findings(
            target.publisher.check(core, who, &name).await?,
        )),
        Command::CredentialList { .. }
        | Command::CredentialAdd { .. }
        | Command::CredentialRevoke { .. } => credential(target, who, command).await,
        Command::Members { .. } | Command::MemberAdd { .. } | Command::MemberRemove { .. } => {
            group(core, who, command).await
        }
        Command::AccountForward { .. }
        | Command::ForwardAdd { .. }
        | Command::ForwardList
        | Command::ForwardSet { .. }
        | Command::ForwardRemove { .. }
        | Command::ListAdd { .. }
        | Command::ListSet { .. }
        | Command::ListShow { .. }
        | Command::ListRemove { .. } => forwards::execute(core, who, command).await,
        Command::ReportList { domain, days } => {
            let rows = reports::rows(target, who, domain.as_deref(), days, false).await?;
            Ok(Answer::Reports(rows))
        }
        Command::ReportShow { domain, days } => {
            let rows = reports::rows(target, who, Some(&domain), days, true).await?;
            Ok(Answer::ReportsTogether(rows))
        }
        Command::Check { fast, repair } => repair::check(core, fast, repair, progress).await,
        Command::Quarantine(command) => repair::quarantine(core, command).await,
        Command::Reindex { account } => repair::reindex(core, account, progress).await,
        Command::BlobsStatus => blobs::status(core, progress).await,
        Command::BlobsRewrite => blobs::rewrite(core, progress).await,
        Command::BlobsLoadKeys => blobs::load_keys(core, target.keys.as_ref()).await,
        Command::SearchRebuild => {
            core.rebuild_search().await?;
            done("the search index was built anew")
        }
        Command::Health => health(target),
        Command::Status => status(target, who).await,
        Command::Settings(command) => settings::execute(target, who, command).await,
        Command::Queue(command) => Ok(match queue::execute(core, who, command).await? {
            queue::Done::Rows(answer) => Answer::Queue(answer),
            queue::Done::Sentence(sentence) => Answer::Done(sentence),
        }),
        Command::Backup(command) => Ok(Answer::Backup(
            backup::execute(target, command, progress).await?,
        )),
        Command::Trace(query) => {
            let now = target.clock.now().0;
            Ok(Answer::Trace(trace::find(core, who, query, now).await?))
        }
        Command::Audit(query) => {
            let now = target.clock.now().0;
            Ok(Answer::Audit(audit::find(core, who, query, now).await?))
        }
        Command::Ban(command) => ban::execute(core, who, command).await,
        Command::Session(command) => session::execute(target, who, command).await,
        Command::Undelete(command) => undelete::execute(target, who, command).await,
        Command::Webhook(command) => webhook::execute(core, who, command).await,
        Command::Tls(command) => tls::execute(target, who, command).await,
        Command::Move => Err(CommandError::Refused("a session is no command")),
        command => account(core, who, command).await,
    }
}

pub(super) fn done(sentence: impl Into<String>) -> Done {
    Ok(Answer::Done(sentence.into()))
}

async fn domain(core: &Core, who: &Caller, command: Command) -> Done {
    match command {
        Command::DomainAdd { name } => {
            let domain = core.add_domain(who, &name).await?;
            done(format!("mail for {} is kept here from now on", domain.name))
        }
        Command::DomainRemove { name } => {
            core.remove_domain(who, &name).await?;
            done(format!("mail for {name} is no longer kept here"))
        }
        Command::DomainSet {
            name,
            catch_all,
            alias_of,
            srs_domain,
            limits,
        } => {
            let change = DomainChange {
                catch_all: optional(catch_all),
                alias_of: optional(alias_of),
                srs_domain: optional(srs_domain),
                accounts_max: optional(limits.accounts),
                octets_max: optional(limits.octets),
                recipients_per_hour: optional(limits.recipients_per_hour),
                recipients_per_day: optional(limits.recipients_per_day),
            };
            let domain = core.set_domain(who, &name, change).await?;
            Ok(Answer::Domain(domain_row(core, who, domain).await?))
        }
        _ => {
            let mut rows = Vec::new();
            for domain in core.domains(who).await? {
                rows.push(domain_row(core, who, domain).await?);
            }
            Ok(Answer::Domains(rows))
        }
    }
}

async fn dkim(core: &Core, who: &Caller, command: Command) -> Done {
    let keys = match command {
        Command::DomainRotateKeys {
            name,
            activate: true,
        } => core.activate_dkim_keys(who, &name).await?,
        Command::DomainRotateKeys { name, .. } => core.prepare_dkim_keys(who, &name).await?,
        Command::DomainKeys { name } => core.dkim_keys(who, &name).await?,
        _ => return Err(CommandError::Refused("this is no command for keys")),
    };
    let row = |key: DkimKey| DkimKeyRow {
        algorithm: key.record.algorithm.name().to_owned(),
        state: publish::state_name(&key).to_owned(),
        created: key.record.created,
        since: key.record.since,
        name: key.name(),
        record: key.txt(),
        selector: key.selector,
    };
    Ok(Answer::DkimKeys(keys.into_iter().map(row).collect()))
}

async fn records(target: &Target, who: &Caller, name: &str) -> Done {
    let records = target.publisher.records(&target.core, who, name).await?;
    let row = |record: Record| RecordRow {
        kind: record.kind().name().to_owned(),
        data: record.data_text(),
        is_needed: record.is_needed(),
        is_in_domain: record.is_in_domain,
        name: record.name,
    };
    Ok(Answer::Records(RecordsRow {
        domain: directory::names::domain(name)?,
        hostname: target.core.hostname().to_string(),
        records: records.into_iter().map(row).collect(),
    }))
}

fn optional<T>(change: Change<T>) -> Option<Option<T>> {
    match change {
        Change::Keep => None,
        Change::Clear => Some(None),
        Change::Set(value) => Some(Some(value)),
    }
}

async fn domain_row(core: &Core, who: &Caller, domain: Domain) -> Result<DomainRow, CommandError> {
    let catch_all = match domain.record.catch_all {
        Some(number) => Some(
            core.account(who, jmap_types::AccountId::new(number))
                .await?
                .record
                .name
                .clone(),
        ),
        None => None,
    };
    Ok(DomainRow {
        name: domain.name,
        catch_all,
        alias_of: domain.record.alias_of,
        srs_domain: domain.record.srs_domain,
        quota_octets: domain.record.octets_max,
        accounts_max: domain.record.accounts_max,
        recipients_per_hour: domain.record.recipients_per_hour,
        recipients_per_day: domain.record.recipients_per_day,
        created: domain.record.created,
    })
}

async fn account(core: &Core, who: &Caller, command: Command) -> Done {
    let changed = match command {
        Command::AccountAdd(new) => core.add_account(who, new_account(new)).await?,
        Command::AccountShow { name } => core.account_named(&name).await?,
        Command::AccountRemove { name } => {
            let account = core.account_named(&name).await?;
            core.remove_account(who, account.id).await?;
            return done(format!(
                "{} was removed, with everything in it",
                account.record.name
            ));
        }
        Command::AccountPassword { name, password } => {
            let account = core.account_named(&name).await?;
            core.set_password(who, account.id, &password.0).await?;
            return done(format!("{} has the new password", account.record.name));
        }
        Command::AccountRename { name, new_name } => {
            core.rename_account(who, core.account_named(&name).await?.id, &new_name)
                .await?
        }
        Command::AccountDescribe { name, description } => {
            core.set_description(who, core.account_named(&name).await?.id, &description)
                .await?
        }
        Command::AccountEnable { name } => {
            core.set_disabled(who, core.account_named(&name).await?.id, false)
                .await?
        }
        Command::AccountDisable { name } => {
            core.set_disabled(who, core.account_named(&name).await?.id, true)
                .await?
        }
        Command::AccountRole {
            name,
            role,
            domains,
        } => {
            let grant = Grant {
                role: role.into(),
                domains,
            };
            core.set_role(who, core.account_named(&name).await?.id, grant)
                .await?
        }
        Command::AccountQuota { name, quota } => {
            core.set_quota(
                who,
                core.account_named(&name).await?.id,
                quota_octets(quota),
            )
            .await?
        }
        Command::AccountBudget {
            name,
            per_hour,
            per_day,
        } => {
            let id = core.account_named(&name).await?.id;
            core.set_budget(who, id, quota_octets(per_hour), quota_octets(per_day))
                .await?
        }
        Command::AliasAdd { name, address } => {
            core.add_alias(who, core.account_named(&name).await?.id, &address)
                .await?
        }
        Command::AliasRemove { name, address } => {
            core.remove_alias(who, core.account_named(&name).await?.id, &address)
                .await?
        }
        _ => {
            return Ok(Answer::Accounts(
                account_rows(core, core.accounts(who).await?).await?,
            ));
        }
    };
    let mut row = account_row(core, &changed).await?;
    row.groups = groups_of(core, who, &changed).await?;
    Ok(Answer::Account(Box::new(row)))
}

fn new_account(new: NewAccount) -> NewCoreAccount {
    NewCoreAccount {
        name: new.name,
        kind: match new.kind {
            Kind::Person => AccountKind::Person,
            Kind::Group => AccountKind::Group,
            Kind::List => AccountKind::List,
            Kind::Alias => AccountKind::Alias,
            Kind::Service => AccountKind::Service,
        },
        role: new.role.into(),
        description: new.description,
        quota_octets: quota_octets(new.quota),
        password: new.password.map(|password| password.0),
        forward: None,
        list: None,
        administers: Vec::new(),
    }
}

fn quota_octets(quota: Quota) -> Option<u64> {
    match quota {
        Quota::Default => None,
        Quota::Unlimited => Some(0),
        Quota::Octets(octets) => Some(octets),
    }
}

pub(super) async fn account_rows(
    core: &Core,
    accounts: Vec<directory::Account>,
) -> Result<Vec<AccountRow>, CommandError> {
    let mut rows = Vec::with_capacity(accounts.len());
    for account in &accounts {
        rows.push(account_row(core, account).await?);
    }
    Ok(rows)
}

pub(super) async fn account_row(
    core: &Core,
    account: &directory::Account,
) -> Result<AccountRow, CommandError> {
    let quota = core.own_quota_octets(account.id).await?;
    let record = &account.record;
    Ok(AccountRow {
        id: account.id.to_string(),
        name: record.name.clone(),
        kind: match record.kind {
            AccountKind::Person => Kind::Person,
            AccountKind::Group => Kind::Group,
            AccountKind::List => Kind::List,
            AccountKind::Alias => Kind::Alias,
            AccountKind::Service => Kind::Service,
        },
        role: record.role.into(),
        administers: record.administers.clone().unwrap_or_default(),
        description: record.description.clone(),
        is_disabled: record.disabled,
        addresses: record.addresses.clone(),
        quota_octets: (quota != 0).then_some(quota),
        used_octets: core.used_octets(account.id).await?,
        groups: Vec::new(),
        forward_to: record
            .forward
            .as_ref()
            .map(|forward| forward.to.clone())
            .unwrap_or_default(),
        keeps_copy: record.forward.as_ref().is_none_or(|forward| forward.keep),
        posters: record
            .list
            .as_ref()
            .map(|list| forwards::posters(list.posters)),
        owner: match &record.list {
            Some(list) => forwards::owner(core, list).await?,
            None => None,
        },
        recipients_per_hour: record.recipients_per_hour,
        recipients_per_day: record.recipients_per_day,
        created: record.created,
    })
}

async fn groups_of(
    core: &Core,
    who: &Caller,
    account: &directory::Account,
) -> Result<Vec<String>, CommandError> {
    let groups = core.groups(who, account.id).await?;
    Ok(groups
        .into_iter()
        .map(|group| group.record.name.clone())
        .collect())
}

async fn group(core: &Core, who: &Caller, command: Command) -> Done {
    match command {
        Command::MemberAdd { group, member } => {
            let (of, added) = (
                core.account_named(&group).await?,
                core.account_named(&member).await?,
            );
            core.add_member(who, of.id, added.id).await?;
            done(format!(
                "{} is a member of {}",
                added.record.name, of.record.name
            ))
        }
        Command::MemberRemove { group, member } => {
            let (of, removed) = (
                core.account_named(&group).await?,
                core.account_named(&member).await?,
            );
            core.remove_member(who, of.id, removed.id).await?;
            done(format!(
                "{} is no longer a member of {}",
                removed.record.name, of.record.name
            ))
        }
        Command::Members { group } => {
            let group = core.account_named(&group).await?;
            Ok(Answer::Accounts(
                account_rows(core, core.members(who, group.id).await?).await?,
            ))
        }
        _ => Err(CommandError::Refused("this is no command for groups")),
    }
}

async fn credential(target: &Target, who: &Caller, command: Command) -> Done {
    let core = &target.core;
    match command {
        Command::CredentialAdd {
            name,
            kind,
            description,
            expires_seconds,
            scopes,
        } => {
            let scopes = scopes_named(&scopes)?;
            let id = core.account_named(&name).await?.id;
            let after = |seconds| {
                target
                    .clock
                    .now()
                    .saturating_add(Duration::from_secs(seconds))
            };
            let expires = expires_seconds.map(after);
            let kind = match kind {
                CredentialKind::AppPassword => directory::CredentialKind::AppPassword,
                CredentialKind::Token => directory::CredentialKind::Token,
                CredentialKind::Password
                | CredentialKind::Grant
                | CredentialKind::Totp
                | CredentialKind::Passkey => {
                    let why = "only app passwords and tokens are made like this";
                    return Err(CommandError::Refused(why));
                }
            };
            let new = NewCredential {
                kind,
                description: &description,
                expires,
                scopes,
            };
            let issued = core
                .issue_credential(who, id, new, &Terms::default())
                .await?;
            let credential = credential_row(issued.credential);
            Ok(Answer::Issued(IssuedRow {
                credential,
                secret: Password(issued.secret),
            }))
        }
        Command::CredentialRevoke { name, number } => {
            let account = core.account_named(&name).await?;
            core.revoke_credential(who, account.id, number).await?;
            done(format!(
                "credential {number} of {} is good for nothing any more",
                account.record.name
            ))
        }
        Command::CredentialList { name } => {
            let id = core.account_named(&name).await?.id;
            let credentials = core.credentials(who, id).await?;
            Ok(Answer::Credentials(
                credentials.into_iter().map(credential_row).collect(),
            ))
        }
        _ => Err(CommandError::Refused("this is no command for credentials")),
    }
}

fn scopes_named(names: &[String]) -> Result<Scopes, CommandError> {
    let mut scopes = Scopes::NONE;
    for name in names {
        let why = "there are these scopes: imap, pop3, submission, jmap, sieve, vacation, api";
        let scope = Scopes::named(name).ok_or(CommandError::Refused(why))?;
        scopes = scopes.union(scope);
    }
    Ok(match names {
        [] => Scopes::ALL,
        _ => scopes,
    })
}

fn credential_row(credential: directory::Credential) -> CredentialRow {
    CredentialRow {
        number: credential.number,
        kind: match credential.kind {
            directory::CredentialKind::Password => CredentialKind::Password,
            directory::CredentialKind::AppPassword => CredentialKind::AppPassword,
            directory::CredentialKind::Token => CredentialKind::Token,
            directory::CredentialKind::Grant => CredentialKind::Grant,
            directory::CredentialKind::Totp => CredentialKind::Totp,
            directory::CredentialKind::Passkey => CredentialKind::Passkey,
        },
        description: credential.description,
        created: credential.created,
        expires: credential.expires.map(|expires| expires.seconds()),
        scopes: credential.scopes.names().map(|names| names.join(" ")),
    }
}

/// What `/healthz` says.
fn health(target: &Target) -> Done {
    if !target.core.is_writable() {
        let why = "the server runs, and can't write to its database";
        return Err(CommandError::Refused(why));
    }
    match &target.core.supervisor.failing()[..] {
        [] => done("all is well"),
        failing => done(format!(
            "the server runs, but this fails: {}",
            failing.join(", ")
        )),
    }
}

async fn status(target: &Target, who: &Caller) -> Done {
    let core = &target.core;
    let gauges = core.gauges();
    Ok(Answer::Status(StatusRow {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        hostname: core.hostname().to_string(),
        is_running: target.connections.is_some(),
        accounts: core.accounts(who).await?.len() as u64,
        domains: core.domains(who).await?.len() as u64,
        accounts_in_memory: gauges.accounts as u64,
        view_octets: gauges.view_octets as u64,
        search_pending: gauges.search_pending as u64,
        disk_octets: core.disk_octets().await?,
        memory_octets: crate::metrics::resident_octets(),
        connections: target.connections.as_ref().map_or(0, |count| count()),
    }))
}

//! What can be asked of a server on the command line, as data: the same whether it runs or not.
//!
//! Holds: a command and its answer survive the control socket; a password is shown by nothing but the socket itself.
//! Other half: `execute` does them, `args` makes them, `print` shows the answers.

use jmap_core::auth::Secret;
use serde::{Deserialize, Serialize, Serializer};

use super::audit::{AuditQuery, AuditRow};
use super::backup::{BackupAnswer, BackupCommand};
use super::ban::{BanCommand, BanRow};
use super::blobs::{BlobsRewriteRow, BlobsStatusRow};
use super::queue::{QueueAnswer, QueueCommand};
use super::repair::{CheckRow, ExportRow, QuarantineCommand, QuarantineRows};
use super::session::{SessionCommand, SessionRow};
use super::settings::{SettingsAnswer, SettingsCommand};
use super::tls::{CertificateRow, TlsCommand};
use super::trace::{TraceQuery, TraceRow};
use super::undelete::{DeletedRow, RestoredRow, UndeleteCommand};
use super::webhook::{WebhookAnswer, WebhookCommand};
use crate::moving::MovedRow;
use crate::publish::check::Finding;

/// A command. Accounts and groups are named by their login name or by an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    deny_unknown_fields
)]
pub enum Command {
    DomainAdd {
        name: String,
    },
    DomainList,
    DomainRemove {
        name: String,
    },
    DomainSet {
        name: String,
        catch_all: Change<String>,
        alias_of: Change<String>,
        srs_domain: Change<String>,
        limits: DomainLimits,
    },
    DomainKeys {
        name: String,
    },
    DomainRotateKeys {
        name: String,
        activate: bool,
    },
    DomainRecords {
        name: String,
    },
    DomainCheck {
        name: String,
    },
    AccountAdd(NewAccount),
    AccountList,
    AccountShow {
        name: String,
    },
    AccountRemove {
        name: String,
    },
    AccountPassword {
        name: String,
        password: Password,
    },
    AccountRename {
        name: String,
        new_name: String,
    },
    AccountDescribe {
        name: String,
        description: String,
    },
    AccountEnable {
        name: String,
    },
    AccountDisable {
        name: String,
    },
    AccountRole {
        name: String,
        role: Role,
        /// Of a domain administrator.
        domains: Vec<String>,
    },
    AccountQuota {
        name: String,
        quota: Quota,
    },
    AliasAdd {
        name: String,
        address: String,
    },
    AliasRemove {
        name: String,
        address: String,
    },
    AccountBudget {
        name: String,
        per_hour: Quota,
        per_day: Quota,
    },
    /// `to` empty: it forwards no more.
    AccountForward {
        name: String,
        to: Vec<String>,
        keep: bool,
    },
    ForwardAdd {
        address: String,
        to: Vec<String>,
    },
    ForwardList,
    ForwardSet {
        address: String,
        to: Vec<String>,
    },
    ForwardRemove {
        address: String,
    },
    ListAdd {
        address: String,
        owner: String,
        description: String,
        posters: Posters,
        members: Vec<String>,
    },
    ListSet {
        address: String,
        description: Option<String>,
        posters: Option<Posters>,
        add: Vec<String>,
        remove: Vec<String>,
    },
    ListShow {
        address: Option<String>,
    },
    ListRemove {
        address: String,
    },
    ReportList {
        domain: Option<String>,
        days: u64,
    },
    ReportShow {
        domain: String,
        days: u64,
    },
    Members {
        group: String,
    },
    MemberAdd {
        group: String,
        member: String,
    },
    MemberRemove {
        group: String,
        member: String,
    },
    CredentialList {
        name: String,
    },
    CredentialAdd {
        name: String,
        kind: CredentialKind,
        description: String,
        expires_seconds: Option<u64>,
        /// None: it is good for everything.
        #[serde(default)]
        scopes: Vec<String>,
    },
    CredentialRevoke {
        name: String,
        number: u64,
    },
    Check {
        fast: bool,
        repair: bool,
    },
    Quarantine(QuarantineCommand),
    Reindex {
        account: Option<String>,
    },
    BlobsStatus,
    BlobsRewrite,
    BlobsLoadKeys,
    SearchRebuild,
    Health,
    Status,
    Settings(SettingsCommand),
    Queue(QueueCommand),
    Trace(TraceQuery),
    Audit(AuditQuery),
    Session(SessionCommand),
    Ban(BanCommand),
    Undelete(UndeleteCommand),
    Webhook(WebhookCommand),
    Tls(TlsCommand),
    /// Mail is moved in or out: a session of `moving` follows.
    Move,
    Backup(BackupCommand),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NewAccount {
    pub name: String,
    pub kind: Kind,
    pub role: Role,
    pub description: String,
    pub quota: Quota,
    pub password: Option<Password>,
}

/// What is to become of the limits of a domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DomainLimits {
    pub octets: Change<u64>,
    pub accounts: Change<u64>,
    pub recipients_per_hour: Change<u64>,
    pub recipients_per_day: Change<u64>,
}

/// What is to become of an optional value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change<T> {
    #[default]
    Keep,
    Clear,
    Set(T),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    User,
    Administrator,
    /// Of the domains that are named
    DomainAdministrator,
    /// Sees accounts and traces, and sets passwords of users
    HelpDesk,
}

impl From<Role> for jmap_core::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::User => Self::User,
            Role::Administrator => Self::Administrator,
            Role::DomainAdministrator => Self::DomainAdministrator,
            Role::HelpDesk => Self::HelpDesk,
        }
    }
}

impl From<jmap_core::Role> for Role {
    fn from(role: jmap_core::Role) -> Self {
        match role {
            jmap_core::Role::User => Self::User,
            jmap_core::Role::Administrator => Self::Administrator,
            jmap_core::Role::DomainAdministrator => Self::DomainAdministrator,
            jmap_core::Role::HelpDesk => Self::HelpDesk,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Person,
    Group,
    List,
    Alias,
    Service,
}

/// Who may write to a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Posters {
    Anyone,
    /// Its members.
    Members,
    /// Authors with an address in its domain.
    Domain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quota {
    /// What the configuration says.
    Default,
    Unlimited,
    Octets(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialKind {
    Password,
    AppPassword,
    Token,
    Grant,
    Totp,
    Passkey,
}

/// A secret on its way through the control socket, or to the one who asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Password(pub Secret<String>);

impl Serialize for Password {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

/// What a command comes to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "kebab-case")]
pub enum Answer {
    /// It is done, and there is nothing more to say than this sentence.
    Done(String),
    Domain(DomainRow),
    Domains(Vec<DomainRow>),
    DkimKeys(Vec<DkimKeyRow>),
    Records(RecordsRow),
    Findings(Vec<Finding>),
    Account(Box<AccountRow>),
    Accounts(Vec<AccountRow>),
    Credentials(Vec<CredentialRow>),
    Issued(IssuedRow),
    Reports(Vec<ReportRow>),
    /// Their rows are shown together.
    ReportsTogether(Vec<ReportRow>),
    Check(CheckRow),
    Quarantine(QuarantineRows),
    Export(ExportRow),
    Blobs(BlobsStatusRow),
    BlobsRewritten(BlobsRewriteRow),
    /// The id of the key that new blobs are encrypted by.
    BlobKeysLoaded(Option<String>),
    Status(StatusRow),
    Settings(SettingsAnswer),
    Queue(QueueAnswer),
    Trace(Vec<TraceRow>),
    Audit(Vec<AuditRow>),
    Sessions(Vec<SessionRow>),
    Bans(Vec<BanRow>),
    Moved(MovedRow),
    Deleted(Vec<DeletedRow>),
    Restored(RestoredRow),
    Webhooks(WebhookAnswer),
    Certificates(Vec<CertificateRow>),
    Backup(BackupAnswer),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DomainRow {
    pub name: String,
    /// The name of an account.
    pub catch_all: Option<String>,
    pub alias_of: Option<String>,
    pub srs_domain: Option<String>,
    /// `None`: there is no limit.
    pub quota_octets: Option<u64>,
    pub accounts_max: Option<u64>,
    pub recipients_per_hour: Option<u64>,
    pub recipients_per_day: Option<u64>,
    /// Seconds since 1970.
    pub created: i64,
}

/// A DKIM key, without what is secret of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DkimKeyRow {
    pub selector: String,
    /// "rsa" or "ed25519".
    pub algorithm: String,
    /// "waiting", "active" or "retired".
    pub state: String,
    /// Seconds since 1970.
    pub created: i64,
    /// When it came to its state, in seconds since 1970.
    pub since: i64,
    /// Where it is published, and what.
    pub name: String,
    pub record: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordsRow {
    pub domain: String,
    pub hostname: String,
    pub records: Vec<RecordRow>,
}

/// A record to publish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordRow {
    /// Without the last dot.
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// As a zone file has it.
    pub data: String,
    pub is_needed: bool,
    /// Of the domain's zone, not of that of the server's name.
    pub is_in_domain: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountRow {
    /// As JMAP has it.
    pub id: String,
    pub name: String,
    pub kind: Kind,
    pub role: Role,
    /// The domains that a domain administrator looks after.
    pub administers: Vec<String>,
    pub description: String,
    pub is_disabled: bool,
    pub addresses: Vec<String>,
    /// `None`: there is no limit.
    pub quota_octets: Option<u64>,
    pub used_octets: u64,
    /// Names of the groups that it is a member of; only where one account is shown.
    pub groups: Vec<String>,
    /// Where its mail goes on to; the members of a list.
    pub forward_to: Vec<String>,
    pub keeps_copy: bool,
    /// Of a list: who may write to it, and whose it is.
    pub posters: Option<Posters>,
    pub owner: Option<String>,
    /// Recipients that it may send to. `None`: the server's default. 0: no limit.
    pub recipients_per_hour: Option<u64>,
    pub recipients_per_day: Option<u64>,
    /// Seconds since 1970.
    pub created: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CredentialRow {
    pub number: u64,
    pub kind: CredentialKind,
    pub description: String,
    /// Seconds since 1970.
    pub created: i64,
    pub expires: Option<i64>,
    /// `None`: it is good for everything.
    pub scopes: Option<String>,
}

/// A secret that was just made, for the one who asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IssuedRow {
    pub credential: CredentialRow,
    pub secret: Password,
}

/// A report that came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportRow {
    pub domain: String,
    pub kind: ReportKind,
    pub reporter: String,
    pub contact: String,
    pub report_id: String,
    /// Seconds since 1970.
    pub begin: i64,
    pub end: i64,
    pub received_at: i64,
    /// Messages that passed DMARC, or sessions that kept to the policy; and the others.
    pub passed: u64,
    pub failed: u64,
    /// There was more in it than is kept.
    pub is_cut: bool,
    /// Only where the rows are asked for.
    pub sources: Vec<SourceRow>,
    pub policies: Vec<PolicyRow>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReportKind {
    Dmarc,
    Tls,
}

/// Messages from one address that fared alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceRow {
    pub address: String,
    pub messages: u64,
    pub disposition: String,
    pub is_dkim_aligned: bool,
    pub is_spf_aligned: bool,
    pub header_from: String,
    pub envelope_from: String,
    /// `domain selector: result`
    pub dkim: Vec<String>,
    pub spf: Vec<String>,
}

/// Sessions under one policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRow {
    pub policy_type: String,
    pub policy_domain: String,
    pub successes: u64,
    pub failures: u64,
    pub failed: Vec<FailureRow>,
}

/// Sessions that failed alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureRow {
    pub result_type: String,
    pub mx: String,
    pub sessions: u64,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusRow {
    pub version: String,
    pub hostname: String,
    /// A server answered; otherwise the folder was read.
    pub is_running: bool,
    pub accounts: u64,
    pub domains: u64,
    pub accounts_in_memory: u64,
    pub view_octets: u64,
    pub search_pending: u64,
    pub disk_octets: u64,
    pub memory_octets: u64,
    pub connections: u64,
}

//! What can be asked of a server on the command line, as data: the same whether it runs or not.
//!
//! Holds: a command and its answer survive the control socket; a password is shown by nothing but the socket itself.
//! Other half: `execute` does them, `args` makes them, `print` shows the answers.

use jmap_core::auth::Secret;
use serde::{Deserialize, Serialize, Serializer};

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
    },
    CredentialRevoke {
        name: String,
        number: u64,
    },
    Check {
        fast: bool,
    },
    SearchRebuild,
    Status,
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Person,
    Group,
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
    Account(Box<AccountRow>),
    Accounts(Vec<AccountRow>),
    Credentials(Vec<CredentialRow>),
    Issued(IssuedRow),
    Check(CheckRow),
    Status(StatusRow),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DomainRow {
    pub name: String,
    /// The name of an account.
    pub catch_all: Option<String>,
    pub alias_of: Option<String>,
    /// Seconds since 1970.
    pub created: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountRow {
    /// As JMAP has it.
    pub id: String,
    pub name: String,
    pub kind: Kind,
    pub role: Role,
    pub description: String,
    pub is_disabled: bool,
    pub addresses: Vec<String>,
    /// `None`: there is no limit.
    pub quota_octets: Option<u64>,
    pub used_octets: u64,
    /// Names of the groups that it is a member of; only where one account is shown.
    pub groups: Vec<String>,
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
}

/// A secret that was just made, for the one who asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IssuedRow {
    pub credential: CredentialRow,
    pub secret: Password,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckRow {
    pub records: u64,
    pub accounts: u64,
    pub emails: u64,
    pub blobs: u64,
    pub problems: Vec<ProblemRow>,
    /// More were found than are listed.
    pub has_more: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProblemRow {
    /// In hexadecimal; the first octet is the subspace.
    pub key: String,
    pub what: String,
    pub sentence: String,
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

//! The one place that answers "may they?".
//!
//! Holds: no other module, and no other crate, decides access (invariant 2 of ARCHITECTURE.md).

use jmap_types::{AccountId, MethodError, MethodErrorKind, method::Access};

use crate::{
    auth::Scopes,
    caller::{Caller, Role},
    directory::{AccountKind, AccountRecord, CredentialKind, DirectoryError, names::AccountName},
    mail::records::MailboxRecord,
};

/// What a caller is to an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Their own account, or that of a group they are a member of.
    Owner,
    /// Somebody granted them rights on mailboxes of the account.
    Guest,
}

/// The rights of RFC 8621 §2 `myRights`, and `mayShare` and `mayAdmin` for those that may give rights on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MailboxRights(pub u16);

impl MailboxRights {
    pub const READ_ITEMS: Self = Self(1);
    pub const ADD_ITEMS: Self = Self(1 << 1);
    pub const REMOVE_ITEMS: Self = Self(1 << 2);
    pub const SET_SEEN: Self = Self(1 << 3);
    pub const SET_KEYWORDS: Self = Self(1 << 4);
    pub const CREATE_CHILD: Self = Self(1 << 5);
    pub const RENAME: Self = Self(1 << 6);
    pub const DELETE: Self = Self(1 << 7);
    pub const SUBMIT: Self = Self(1 << 8);
    /// To see and change whom the mailbox is shared with.
    pub const SHARE: Self = Self(1 << 9);
    pub const ALL: Self = Self((1 << 10) - 1);

    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What `who` is to `account`, or the error that the RFC has for strangers.
pub fn standing(who: &Caller, account: AccountId) -> Result<Standing, MethodError> {
    if who.account == account || who.groups.contains(&account) {
        return Ok(Standing::Owner);
    }
    if who.shares.contains(&account) {
        return Ok(Standing::Guest);
    }
    // RFC 8620 §3.6.2: to a stranger, an account that exists is one that doesn't.
    Err(MethodErrorKind::AccountNotFound.into())
}

/// RFC 8620 §2 `accountCapabilities`: whether somebody of this standing may use the methods of a capability with an account. Of what
/// isn't their own, there are mailboxes with their emails, and blobs: the rest can't be shared.
pub fn has_capability(standing: Standing, uri: &str) -> bool {
    match standing {
        Standing::Owner => true,
        Standing::Guest => matches!(
            uri,
            "urn:ietf:params:jmap:mail" | "urn:ietf:params:jmap:blob"
        ),
    }
}

/// Whether the credential that was used is good for a method: an app password or a token may be for reading mail alone.
pub fn may_use(who: &Caller, method: &str) -> Result<(), MethodError> {
    let has = |scope| who.scopes().contains(scope);
    let may = match method {
        "EmailSubmission/set" | "MDN/send" => has(Scopes::SUBMISSION),
        // It sends mail, of one text.
        "VacationResponse/set" => has(Scopes::VACATION) || has(Scopes::SUBMISSION),
        // Scripts tell whom mail is from and where it goes on to: to read them is no part of reading mail.
        method if method.starts_with("SieveScript/") => has(Scopes::SIEVE),
        _ => true,
    };
    match may {
        true => Ok(()),
        false => Err(MethodErrorKind::Forbidden.into()),
    }
}

/// Whether `who` may change how the account is logged in to: password, second factor, passkeys. To their own, what is good for some things
/// alone may not, nor an app password: a program that has it could make itself the owner.
pub fn may_change_login(who: &Caller, account: AccountId) -> Result<(), DirectoryError> {
    let is_full = who.scopes() == Scopes::ALL && who.kind != Some(CredentialKind::AppPassword);
    match who.account != account || is_full {
        true => Ok(()),
        false => Err(DirectoryError::Forbidden),
    }
}

/// Whether a call of this kind may begin at all; single objects are checked by their handlers.
pub fn may_call(
    who: &Caller,
    account: AccountId,
    _needed: Access,
) -> Result<Standing, MethodError> {
    standing(who, account)
}

macro_rules! operations {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal),* $(,)?) => {
        /// What an administrator does. Each is asked for by its name here, so that a new one doesn't compile until it is decided
        /// whose it is.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Operation { $($(#[doc = $doc])* $variant),* }

        impl Operation {
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// As the audit has it: a noun, a dot, and what is done to it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

operations! {
    SeeDomain = "domain.see",
    AddDomain = "domain.add",
    RemoveDomain = "domain.remove",
    /// Who gets mail that is nobody's.
    ChangeDomain = "domain.change",
    /// What the domain may use, and what it is an alias of.
    LimitDomain = "domain.limit",
    SeeDnsRecords = "dns.see",
    RotateDkimKeys = "dkim.rotate",
    SeeReports = "report.see",
    /// Accounts of people, groups, aliases and lists.
    SeeAccount = "account.see",
    AddAccount = "account.add",
    RemoveAccount = "account.remove",
    ChangeAccount = "account.change",
    GiveRole = "account.role",
    ChangeQuota = "account.quota",
    /// To say where the mail of an account goes on to.
    ChangeForwarding = "account.forward",
    ChangeMembers = "group.members",
    SeeCredentials = "credential.see",
    SetPassword = "credential.password",
    IssueCredential = "credential.add",
    RevokeCredential = "credential.revoke",
    /// Who is logged in, and from where.
    SeeSessions = "session.see",
    EndSession = "session.end",
    /// Programs that may ask people for access (RFC 6749).
    SeeClients = "client.see",
    ChangeClients = "client.change",
    SeeDeleted = "deleted.see",
    RestoreDeleted = "deleted.restore",
    SeeQueue = "queue.see",
    /// To retry or cancel one message.
    ChangeQueue = "queue.change",
    /// To pause, retry or cancel what is others' too.
    RunQueue = "queue.run",
    SeeTraces = "trace.see",
    SeeAudit = "audit.see",
    /// Numbers, nodes, and how work that was begun gets on.
    SeeServer = "server.see",
    /// What the server has written down of what it does.
    SeeLogs = "log.see",
    CheckStore = "store.check",
    Repair = "store.repair",
    Backup = "backup.run",
    /// To bring accounts back, or mail in and out.
    MoveMail = "mail.move",
    SeeSettings = "settings.see",
    ChangeSettings = "settings.change",
    /// From where nobody may connect, and why.
    SeeBans = "ban.see",
    ChangeBans = "ban.change",
    SeeCertificates = "certificate.see",
    ChangeCertificates = "certificate.change",
    /// Who is told of events by webhooks, and what came of that.
    SeeWebhooks = "webhook.see",
    ChangeWebhooks = "webhook.change",
    /// What needs an administrator.
    SeeAlerts = "alert.see",
    DismissAlert = "alert.dismiss",
}

/// What it is done to.
#[derive(Clone, Copy, Debug)]
pub enum Object<'o> {
    Server,
    /// Lower-case A-labels.
    Domain(&'o str),
    Account(AccountId, &'o AccountRecord),
    /// An account that is to be made.
    Name(&'o AccountName),
}

/// Whose accounts and domains somebody may do something to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reach {
    Nobody,
    /// The domains that the account looks after, and accounts of plain users that are in no other.
    Domains,
    /// Accounts of people who are plain users.
    PlainUsers,
    Everybody,
}

/// Who may do something, beside administrators.
struct WhoMay {
    domain_administrator: Reach,
    help_desk: Reach,
    /// Everybody may, to their own account.
    own: bool,
}

const fn who_may(operation: Operation) -> WhoMay {
    const fn row(domain_administrator: Reach, help_desk: Reach, own: bool) -> WhoMay {
        WhoMay {
            domain_administrator,
            help_desk,
            own,
        }
    }
    use Reach::{Domains, Everybody, Nobody, PlainUsers};
    match operation {
        Operation::SeeDomain | Operation::ChangeDomain => row(Domains, Nobody, false),
        Operation::SeeDnsRecords | Operation::RotateDkimKeys => row(Domains, Nobody, false),
        Operation::SeeReports => row(Domains, Nobody, false),
        Operation::AddDomain | Operation::RemoveDomain => row(Nobody, Nobody, false),
        Operation::LimitDomain => row(Nobody, Nobody, false),
        Operation::SeeAccount => row(Domains, Everybody, true),
        Operation::AddAccount | Operation::RemoveAccount => row(Domains, Nobody, false),
        Operation::ChangeAccount | Operation::ChangeQuota => row(Domains, Nobody, false),
        Operation::ChangeForwarding => row(Domains, Nobody, true),
        Operation::ChangeMembers => row(Domains, Nobody, false),
        Operation::GiveRole => row(Nobody, Nobody, false),
        Operation::SeeCredentials => row(Domains, Nobody, true),
        Operation::SetPassword => row(Domains, PlainUsers, true),
        Operation::IssueCredential | Operation::RevokeCredential => row(Domains, Nobody, true),
        Operation::SeeSessions => row(Domains, Everybody, true),
        Operation::EndSession => row(Domains, PlainUsers, true),
        Operation::SeeClients | Operation::ChangeClients => row(Nobody, Nobody, false),
        Operation::SeeDeleted | Operation::RestoreDeleted => row(Domains, Nobody, true),
        Operation::SeeQueue | Operation::ChangeQueue => row(Domains, Nobody, false),
        Operation::RunQueue => row(Nobody, Nobody, false),
        Operation::SeeTraces => row(Domains, Everybody, false),
        Operation::SeeAudit => row(Domains, Nobody, false),
        Operation::SeeServer | Operation::CheckStore => row(Nobody, Nobody, false),
        Operation::SeeLogs => row(Nobody, Nobody, false),
        Operation::Repair | Operation::Backup => row(Nobody, Nobody, false),
        Operation::MoveMail => row(Nobody, Nobody, false),
        Operation::SeeSettings | Operation::ChangeSettings => row(Nobody, Nobody, false),
        // Who is asked why nobody of an office can log in has to be able to find out.
        Operation::SeeBans => row(Nobody, Everybody, false),
        Operation::ChangeBans => row(Nobody, Nobody, false),
        Operation::SeeCertificates | Operation::ChangeCertificates => row(Nobody, Nobody, false),
        Operation::SeeWebhooks | Operation::ChangeWebhooks => row(Nobody, Nobody, false),
        Operation::SeeAlerts | Operation::DismissAlert => row(Nobody, Nobody, false),
    }
}

fn reach(who: &Caller, operation: Operation) -> Reach {
    let may = who_may(operation);
    match who.role {
        Role::Administrator => Reach::Everybody,
        Role::DomainAdministrator => may.domain_administrator,
        Role::HelpDesk => may.help_desk,
        Role::User => Reach::Nobody,
    }
}

fn is_own(who: &Caller, operation: Operation, account: AccountId) -> bool {
    who_may(operation).own && who.account == account
}

/// Whether `who` may do this to anything at all; `account`: to this one, whether or not it is there.
/// Who is refused here is told so before anything is looked up.
pub fn may_begin(
    who: &Caller,
    operation: Operation,
    account: Option<AccountId>,
) -> Result<(), DirectoryError> {
    let own = account.is_some_and(|account| is_own(who, operation, account));
    match own || reach(who, operation) != Reach::Nobody {
        true => Ok(()),
        false => Err(DirectoryError::Forbidden),
    }
}

/// Whether `who` may do this. Of what they may not see they are told what everybody is told of what isn't there.
pub fn may(who: &Caller, operation: Operation, object: Object<'_>) -> Result<(), DirectoryError> {
    if reaches(who, operation, object) {
        return Ok(());
    }
    match object {
        Object::Domain(name) if !reaches(who, Operation::SeeDomain, object) => {
            Err(hidden(who, operation, name.to_owned()))
        }
        Object::Account(id, _) if !reaches(who, Operation::SeeAccount, object) => {
            Err(hidden(who, operation, id.to_string()))
        }
        // As for a domain that isn't served.
        Object::Name(AccountName::Address(address)) => {
            Err(hidden(who, operation, address.domain.clone()))
        }
        _ => Err(DirectoryError::Forbidden),
    }
}

fn hidden(who: &Caller, operation: Operation, name: String) -> DirectoryError {
    match reach(who, operation) {
        Reach::Nobody => DirectoryError::Forbidden,
        Reach::Domains | Reach::PlainUsers | Reach::Everybody => DirectoryError::NotFound(name),
    }
}

fn reaches(who: &Caller, operation: Operation, object: Object<'_>) -> bool {
    if let Object::Account(id, _) = object
        && is_own(who, operation, id)
    {
        return true;
    }
    match reach(who, operation) {
        Reach::Nobody => false,
        Reach::Everybody => true,
        Reach::PlainUsers => match object {
            Object::Account(_, record) => {
                record.role == Role::User && record.kind == AccountKind::Person
            }
            Object::Server | Object::Domain(_) | Object::Name(_) => false,
        },
        Reach::Domains => match object {
            Object::Server => false,
            Object::Domain(name) => looks_after(who, name),
            Object::Name(AccountName::Bare(_)) => false,
            Object::Name(AccountName::Address(address)) => looks_after(who, &address.domain),
            Object::Account(_, record) => {
                let mut domains = record.domains().peekable();
                record.role == Role::User
                    && domains.peek().is_some()
                    && domains.all(|domain| looks_after(who, domain))
            }
        },
    }
}

fn looks_after(who: &Caller, domain: &str) -> bool {
    who.domains.iter().any(|of| of == domain)
}

/// The operations that `who` may do, at least to something that is theirs.
pub fn operations(who: &Caller) -> impl Iterator<Item = Operation> {
    let all = Operation::ALL.iter().copied();
    all.filter(|operation| may_begin(who, *operation, Some(who.account)).is_ok())
}

/// Whether the domains of something are all among those that `who` may do this to.
pub fn may_all(who: &Caller, operation: Operation, domains: &[String]) -> bool {
    match reach(who, operation) {
        Reach::Everybody => true,
        Reach::Domains => !domains.is_empty() && domains.iter().all(|of| looks_after(who, of)),
        Reach::Nobody | Reach::PlainUsers => false,
    }
}

/// Whether `who` may do this to everything, so that no object has to be looked at.
pub fn may_everywhere(who: &Caller, operation: Operation) -> bool {
    reach(who, operation) == Reach::Everybody
}

/// Whether `who` may do what concerns the server as a whole.
pub fn may_run(who: &Caller, operation: Operation) -> Result<(), DirectoryError> {
    may(who, operation, Object::Server)
}

/// What `who` may do with a mailbox.
pub fn mailbox_rights(who: &Caller, standing: Standing, mailbox: &MailboxRecord) -> MailboxRights {
    match standing {
        Standing::Owner => MailboxRights::ALL,
        Standing::Guest => mailbox
            .share_with
            .iter()
            .filter(|grant| {
                who.account.number() == grant.account
                    || who.groups.iter().any(|g| g.number() == grant.account)
            })
            .fold(MailboxRights::default(), |rights, grant| {
                rights.union(MailboxRights(grant.rights))
            }),
    }
}

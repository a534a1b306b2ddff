//! Accounts of people.

use http::Method;
use jmap_core::{
    access::Operation,
    admin::Version,
    auth::Secret,
    directory::{self, AccountChange, AccountKind, Grant, NewAccount as NewCoreAccount},
};
use serde_json::json;

use super::{
    LIST, OF_DOMAIN,
    forwarding::{Forwarding, NewForwarding},
    handler,
};
use crate::{
    describe::{Described as _, Optional, Patch, choice, object},
    page::{self, Page},
    problem::{Kind, Problem},
    request::{Request, tag},
    table::{Answer, Outcome, Parameter, Route},
};

choice! {
    /// What an account may do beyond its own mail.
    Role {
        User = "user",
        Administrator = "administrator",
        DomainAdministrator = "domain-administrator",
        HelpDesk = "help-desk",
    }
}

impl From<jmap_core::Role> for Role {
    fn from(role: jmap_core::Role) -> Role {
        match role {
            jmap_core::Role::User => Role::User,
            jmap_core::Role::Administrator => Role::Administrator,
            jmap_core::Role::DomainAdministrator => Role::DomainAdministrator,
            jmap_core::Role::HelpDesk => Role::HelpDesk,
        }
    }
}

impl From<Role> for jmap_core::Role {
    fn from(role: Role) -> jmap_core::Role {
        match role {
            Role::User => jmap_core::Role::User,
            Role::Administrator => jmap_core::Role::Administrator,
            Role::DomainAdministrator => jmap_core::Role::DomainAdministrator,
            Role::HelpDesk => jmap_core::Role::HelpDesk,
        }
    }
}

object! {
    answer
    /// The account of a person.
    Account {
        id: String,
        /// What it logs in as: its first address, or a word.
        name: String,
        description: String,
        /// It neither logs in nor gets mail.
        disabled: bool,
        role: Role,
        /// The domains that a domain administrator looks after.
        administers: Vec<String>,
        addresses: Vec<String>,
        forwarding: Option<Forwarding>,
        /// Octets that it may use; null: the server's default; 0: no limit.
        quota_octets: Option<u64>,
        /// Octets that it uses.
        used_octets: u64,
        /// Recipients that it may send to; null: the server's default; 0: no limit.
        recipients_per_hour: Option<u64>,
        recipients_per_day: Option<u64>,
        created: String = {"format": "date-time"},
    }
}

object! {
    request
    /// A new account of a person.
    NewAccount {
        /// An address in a domain that is served here, or a word.
        name: String = {"minLength": 1, "maxLength": 320},
        description: Option<String> = {"maxLength": 500},
        /// Without one, it can't log in until it gets one.
        password: Option<String> = {"format": "password", "writeOnly": true},
        role: Option<Role>,
        /// Of a domain administrator, and of nobody else.
        administers: Option<Vec<String>> = {"maxItems": 1000},
        quota_octets: Option<u64>,
    }
}

object! {
    patch
    /// What is to change of an account. Members that are left out stay as they are.
    AccountPatch {
        name: Optional<String> = {"minLength": 1, "maxLength": 320},
        description: Optional<String> = {"maxLength": 500},
        disabled: Optional<bool>,
        role: Optional<Role>,
        /// All domains that a domain administrator looks after; together with the role.
        administers: Optional<Vec<String>> = {"maxItems": 1000},
        forwarding: Patch<NewForwarding>,
        quota_octets: Patch<u64>,
        recipients_per_hour: Patch<u64>,
        recipients_per_day: Patch<u64>,
    }
}

object! {
    answer
    /// What an account may use, and what it uses.
    Quota {
        /// Its own; null: the server's default; 0: no limit.
        quota_octets: Option<u64>,
        /// What it comes to, with the server's default and what its domain has left; 0: no limit.
        effective_octets: u64,
        used_octets: u64,
        recipients_per_hour: Option<u64>,
        recipients_per_day: Option<u64>,
    }
}

object! {
    request
    /// What an account is to be allowed to use.
    NewQuota {
        /// Null: the server's default; 0: no limit.
        quota_octets: Option<u64>,
        recipients_per_hour: Option<u64>,
        recipients_per_day: Option<u64>,
    }
}

const TAG: &str = "Accounts";
const OF_ROLE: Parameter = Parameter {
    name: "role",
    about: "Only those with this role.",
    schema: || json!({"type": "string", "enum": Role::WORDS}),
};
const DISABLED: Parameter = Parameter {
    name: "disabled",
    about: "Only those that are disabled, or that aren't.",
    schema: super::flag,
};

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/accounts",
            (TAG, "listAccounts"),
            "Lists the accounts of people that the account may see",
            Operation::SeeAccount,
            handler!(list),
        )
        .query(LIST)
        .query(&[OF_DOMAIN, OF_ROLE, DISABLED])
        .may_fail(&[Kind::InvalidValue])
        .answers(|schemas| page::schema::<Account>(schemas, true)),
        Route::new(
            Method::POST,
            "/accounts",
            (TAG, "addAccount"),
            "Makes an account with its mailboxes",
            Operation::AddAccount,
            handler!(add),
        )
        .body(NewAccount::schema)
        .creates(Account::schema),
        Route::new(
            Method::GET,
            "/accounts/{account}",
            (TAG, "getAccount"),
            "Shows an account",
            Operation::SeeAccount,
            handler!(get),
        )
        .versioned()
        .answers(Account::schema),
        Route::new(
            Method::PATCH,
            "/accounts/{account}",
            (TAG, "changeAccount"),
            "Changes an account; its role is for administrators of the server",
            Operation::ChangeAccount,
            handler!(change),
        )
        .versioned()
        .body(AccountPatch::schema)
        .may_fail(&[
            Kind::AlreadyExists,
            Kind::InUse,
            Kind::InvalidValue,
            Kind::LimitReached,
        ])
        .answers(Account::schema),
        Route::new(
            Method::DELETE,
            "/accounts/{account}",
            (TAG, "removeAccount"),
            "Removes an account with all that is in it",
            Operation::RemoveAccount,
            handler!(remove),
        )
        .versioned()
        .may_fail(&[Kind::InUse]),
        Route::new(
            Method::GET,
            "/accounts/{account}/quota",
            (TAG, "getQuota"),
            "Shows what an account may use, and what it uses",
            Operation::SeeAccount,
            handler!(get_quota),
        )
        .versioned()
        .answers(Quota::schema),
        Route::new(
            Method::PUT,
            "/accounts/{account}/quota",
            (TAG, "setQuota"),
            "Says what an account may use",
            Operation::ChangeQuota,
            handler!(set_quota),
        )
        .versioned()
        .body(NewQuota::schema)
        .answers(Quota::schema),
    ]
}

async fn account(request: &Request, of: &directory::Account) -> Result<Account, Problem> {
    let record = &of.record;
    let used = request.core.used_octets(of.id).await;
    Ok(Account {
        id: of.id.to_string(),
        name: record.name.clone(),
        description: record.description.clone(),
        disabled: record.disabled,
        role: record.role.into(),
        administers: record.administers.clone().unwrap_or_default(),
        addresses: record.addresses.clone(),
        forwarding: record.forward.as_ref().map(Into::into),
        quota_octets: record.quota_octets,
        used_octets: used.map_err(directory::DirectoryError::from)?,
        recipients_per_hour: record.recipients_per_hour,
        recipients_per_day: record.recipients_per_day,
        created: super::date_text(record.created),
    })
}

pub(super) async fn answer(request: &Request, of: &directory::Account) -> Outcome {
    let shown = account(request, of).await?;
    Ok(Answer::ok(json!(shown)).with_tag(tag(Version::of(&*of.record))))
}

async fn list(request: &Request) -> Outcome {
    let mut accounts = super::accounts_of_kind(request, AccountKind::Person).await?;
    if let Some(role) = request.asked_as::<Role>("role")? {
        accounts.retain(|account| Role::from(account.record.role) == role);
    }
    if let Some(disabled) = request.asked_as::<bool>("disabled")? {
        accounts.retain(|account| account.record.disabled == disabled);
    }
    let sort = request.asked_as("sort")?;
    let page = Page::of(request, accounts, |of| {
        let id = super::sortable(of.id);
        super::place(sort, &of.record.name, of.record.created, id)
    })?;
    let mut items = Vec::with_capacity(page.items.len());
    for of in &page.items {
        items.push(json!(account(request, of).await?));
    }
    Ok(Answer::ok(page::json_of(
        items,
        page.next,
        Some(page.total),
    )))
}

async fn add(request: &Request) -> Outcome {
    let new: NewAccount = request.read()?;
    let (core, who) = (&request.core, &request.who);
    let new = NewCoreAccount {
        description: new.description.unwrap_or_default(),
        quota_octets: new.quota_octets,
        role: new.role.map_or(jmap_core::Role::User, Into::into),
        administers: new.administers.unwrap_or_default(),
        ..NewCoreAccount::person(new.name, new.password.map(Secret::new))
    };
    let made = super::made(request, |terms| async move {
        let account = core.add_account_on(who, new, &terms).await?;
        Ok(account.id.to_string())
    })
    .await?;
    let account = core.account(who, super::id_of(&made)?).await?;
    let answer = answer(request, &account).await?;
    Ok(answer.created(format!("/accounts/{made}")))
}

async fn get(request: &Request) -> Outcome {
    let account = super::account_of_kind(request, &[AccountKind::Person]).await?;
    answer(request, &account).await
}

async fn change(request: &Request) -> Outcome {
    let patch: AccountPatch = request.read()?;
    let account = super::account_of_kind(request, &[AccountKind::Person]).await?;
    let grant = match (patch.role.0, patch.administers.0) {
        (None, None) => None,
        // Other domains for who is one already; whoever isn't can't have any.
        (role, domains) => Some(Grant {
            role: role.map_or(account.record.role, Into::into),
            domains: domains.unwrap_or_default(),
        }),
    };
    let change = AccountChange {
        name: patch.name.0,
        description: patch.description.0,
        disabled: patch.disabled.0,
        grant,
        grant_from_outside: false,
        quota_octets: patch.quota_octets.change(),
        recipients_per_hour: patch.recipients_per_hour.change(),
        recipients_per_day: patch.recipients_per_day.change(),
        forward: patch
            .forwarding
            .change()
            .map(|forwarding| forwarding.map(Into::into)),
    };
    let terms = request.terms()?;
    let changed = request
        .core
        .change_account_on(&request.who, account.id, change, &terms)
        .await?;
    answer(request, &changed).await
}

async fn remove(request: &Request) -> Outcome {
    let account = super::account_of_kind(request, &[AccountKind::Person]).await?;
    let terms = request.terms()?;
    request
        .core
        .remove_account_on(&request.who, account.id, &terms)
        .await?;
    Ok(Answer::nothing())
}

async fn quota(request: &Request, of: &directory::Account) -> Outcome {
    let store = directory::DirectoryError::from;
    let record = &of.record;
    let quota = Quota {
        quota_octets: record.quota_octets,
        effective_octets: request.core.quota_octets(of.id).await.map_err(store)?,
        used_octets: request.core.used_octets(of.id).await.map_err(store)?,
        recipients_per_hour: record.recipients_per_hour,
        recipients_per_day: record.recipients_per_day,
    };
    Ok(Answer::ok(json!(quota)).with_tag(tag(Version::of(&*of.record))))
}

const WITH_QUOTA: &[AccountKind] = &[AccountKind::Person, AccountKind::Group];

async fn get_quota(request: &Request) -> Outcome {
    let account = super::account_of_kind(request, WITH_QUOTA).await?;
    quota(request, &account).await
}

async fn set_quota(request: &Request) -> Outcome {
    let new: NewQuota = request.read()?;
    let account = super::account_of_kind(request, WITH_QUOTA).await?;
    let change = AccountChange {
        quota_octets: Some(new.quota_octets),
        recipients_per_hour: Some(new.recipients_per_hour),
        recipients_per_day: Some(new.recipients_per_day),
        ..AccountChange::default()
    };
    let terms = request.terms()?;
    let changed = request
        .core
        .change_account_on(&request.who, account.id, change, &terms)
        .await?;
    quota(request, &changed).await
}

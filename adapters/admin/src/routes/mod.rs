//! The rows of the table, a file for each kind of object.
//!
//! Other half: `jmap_core::directory` and `jmap_core::admin`.

mod accounts;
mod addresses;
mod alerts;
mod aliases;
mod audit;
mod bans;
mod certificates;
mod credentials;
mod deleted;
mod dns;
mod domains;
mod factors;
mod forwarding;
mod groups;
mod jobs;
mod lists;
mod logs;
mod me;
mod oauth;
mod passkeys;
mod quarantine;
mod queue;
mod reports;
mod server;
mod sessions;
mod settings;
mod sign_in;
mod traces;
mod webhooks;

use std::future::Future;

use jmap_core::{
    admin::Terms,
    directory::{Account, AccountKind, DirectoryError},
};
use jmap_types::{AccountId, UtcDate};
use serde_json::{Value, json};

use crate::{
    describe::choice,
    problem::Problem,
    request::Request,
    table::{Parameter, Route},
};

/// Makes a function of the table out of one that is async.
macro_rules! handler {
    ($function:path) => {{
        fn run(
            request: &crate::request::Request,
        ) -> futures_util::future::BoxFuture<'_, crate::table::Outcome> {
            Box::pin($function(request))
        }
        run
    }};
}
pub(crate) use handler;

/// The same of a route that is open.
macro_rules! open_handler {
    ($function:path) => {{
        fn run(
            visit: &crate::request::Visit,
        ) -> futures_util::future::BoxFuture<'_, crate::table::Outcome> {
            Box::pin($function(visit))
        }
        run
    }};
}
pub(crate) use open_handler;

/// All rows, in the order of the document: a line for each file.
pub fn all() -> Vec<Route> {
    let files: &[fn() -> Vec<Route>] = &[
        me::routes,
        sign_in::routes,
        domains::routes,
        accounts::routes,
        forwarding::routes,
        addresses::routes,
        credentials::routes,
        groups::routes,
        aliases::routes,
        lists::routes,
        dns::routes,
        queue::routes,
        traces::routes,
        reports::routes,
        deleted::routes,
        audit::routes,
        server::routes,
        jobs::routes,
        quarantine::routes,
        settings::routes,
        certificates::routes,
        sessions::routes,
        bans::routes,
        factors::routes,
        passkeys::routes,
        oauth::routes,
        logs::routes,
        webhooks::routes,
        alerts::routes,
    ];
    files.iter().flat_map(|routes| routes()).collect()
}

fn text() -> Value {
    json!({"type": "string"})
}

fn number() -> Value {
    json!({"type": "integer", "minimum": 0, "maximum": u64::MAX})
}

fn flag() -> Value {
    json!({"type": "boolean"})
}

fn date() -> Value {
    json!({"type": "string", "format": "date-time"})
}

/// Parameters of paths: each has one meaning, wherever it is.
pub const PATH_PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "domain",
        about: "The name of a domain, as A-labels or in Unicode.",
        schema: || json!({"type": "string", "minLength": 1, "maxLength": 253}),
    },
    Parameter {
        name: "account",
        about: "The id of an account, a group, an alias or a list; `me`: the account that asks.",
        schema: || json!({"type": "string", "minLength": 1, "maxLength": 255}),
    },
    Parameter {
        name: "member",
        about: "The id of the account of a person.",
        schema: || json!({"type": "string", "minLength": 1, "maxLength": 255}),
    },
    Parameter {
        name: "credential",
        about: "The number of a credential, within its account.",
        schema: number,
    },
    Parameter {
        name: "client",
        about: "The id of a client of OAuth.",
        schema: || json!({"type": "string", "minLength": 1, "maxLength": 100}),
    },
    Parameter {
        name: "submission",
        about: "The id of an EmailSubmission.",
        schema: || json!({"type": "string", "minLength": 1, "maxLength": 255}),
    },
    Parameter {
        name: "destination",
        about: "A domain that mail goes to; `*`: the whole queue.",
        schema: || json!({"type": "string", "minLength": 1, "maxLength": 253}),
    },
    Parameter {
        name: "deleted",
        about: "The id of a deleted email.",
        schema: || json!({"type": "string", "minLength": 1, "maxLength": 255}),
    },
    Parameter {
        name: "alert",
        about: "The number of an alert.",
        schema: number,
    },
    Parameter {
        name: "webhook",
        about: "The number of a webhook.",
        schema: number,
    },
    Parameter {
        name: "job",
        about: "The number of a job.",
        schema: number,
    },
    Parameter {
        name: "selector",
        about: "The selector of a DKIM key.",
        schema: || json!({"type": "string", "minLength": 1, "maxLength": 63}),
    },
    Parameter {
        name: "setting",
        about: "A key of the configuration, with tables in front: `smtp.idle-timeout`.",
        schema: || json!({"type": "string", "minLength": 1, "maxLength": 200}),
    },
    Parameter {
        name: "certificate",
        about: "The first name of a certificate in the store.",
        schema: || json!({"type": "string", "minLength": 1, "maxLength": 253}),
    },
    Parameter {
        name: "key",
        about: "The key of a record, in hexadecimal.",
        schema: || json!({"type": "string", "pattern": "^([0-9a-f]{2})+$", "maxLength": 4000}),
    },
    Parameter {
        name: "network",
        about: "A network, with its slash percent-encoded: 192.0.2.0%2F24.",
        schema: || json!({"type": "string", "minLength": 2, "maxLength": 50}),
    },
    Parameter {
        name: "session",
        about: "The id of a session.",
        schema: || json!({"type": "string", "minLength": 1, "maxLength": 16}),
    },
    Parameter {
        name: "address",
        about: "A mail address.",
        schema: || json!({"type": "string", "minLength": 3, "maxLength": 320}),
    },
];

const CURSOR: Parameter = Parameter {
    name: "cursor",
    about: "Where the list goes on: `next` of the page before.",
    schema: text,
};
const LIMIT: Parameter = Parameter {
    name: "limit",
    about: "How many items the page has at most.",
    schema: || json!({"type": "integer", "minimum": 1, "maximum": crate::PAGE_MAX, "default": crate::PAGE_DEFAULT}),
};
const QUERY: Parameter = Parameter {
    name: "q",
    about: "Only those that have this text in their name, description or addresses, in any letter case.",
    schema: text,
};
const OF_DOMAIN: Parameter = Parameter {
    name: "domain",
    about: "Only those with an address in this domain.",
    schema: text,
};

choice! {
    /// What a list is sorted by; with a minus sign, backwards.
    Sort {
        Name = "name",
        NameBackwards = "-name",
        Created = "created",
        CreatedBackwards = "-created",
    }
}

const SORT: Parameter = Parameter {
    name: "sort",
    about: "What the list is sorted by; with a minus sign, backwards.",
    schema: || json!({"type": "string", "enum": Sort::WORDS, "default": "name"}),
};

/// Of all lists that can be sorted.
const LIST: &[Parameter] = &[CURSOR, LIMIT, QUERY, SORT];

/// By what an object is sorted. `created`: seconds since 1970.
fn place(sort: Option<Sort>, name: &str, created: i64, id: String) -> crate::page::Place {
    match sort.unwrap_or(Sort::Name) {
        Sort::Name | Sort::NameBackwards => (name.to_owned(), id),
        // As text, in the order of the numbers.
        Sort::Created | Sort::CreatedBackwards => (
            format!("{:020}", created.saturating_add(1 << 40).max(0)),
            id,
        ),
    }
}

/// A number as text that sorts as the number does.
fn sortable(id: AccountId) -> String {
    format!("{:020}", id.number())
}

fn date_text(seconds: i64) -> String {
    UtcDate(seconds).to_string()
}

/// Whether a text has another one, in any letter case.
fn has(text: &str, asked: &str) -> bool {
    text.to_lowercase().contains(asked)
}

/// The account of the path, if it is one of these kinds.
async fn account_of_kind(request: &Request, kinds: &[AccountKind]) -> Result<Account, Problem> {
    let id = request.account("account")?;
    let account = request.core.account(&request.who, id).await?;
    match kinds.contains(&account.record.kind) {
        true => Ok(account),
        false => Err(Problem::not_found()),
    }
}

/// Accounts of a kind that the caller may see, as the query asks for.
async fn accounts_of_kind(request: &Request, kind: AccountKind) -> Result<Vec<Account>, Problem> {
    let mut accounts = request.core.accounts(&request.who).await?;
    let asked = request.asked("q").map(str::to_lowercase);
    let domain = match request.asked("domain") {
        Some(name) => Some(jmap_core::directory::names::domain(name)?),
        None => None,
    };
    accounts.retain(|account| {
        let record = &account.record;
        let is_asked = |asked: &String| {
            let mut texts = record
                .addresses
                .iter()
                .chain([&record.name, &record.description]);
            texts.any(|text| has(text, asked))
        };
        record.kind == kind
            && asked.as_ref().is_none_or(is_asked)
            && domain
                .as_deref()
                .is_none_or(|domain| record.domains().any(|of| of == domain))
    });
    Ok(accounts)
}

/// Makes something, or finds what the same request has made before. The name or number of it.
async fn made<F>(request: &Request, make: impl FnOnce(Terms) -> F) -> Result<String, Problem>
where
    F: Future<Output = Result<String, DirectoryError>>,
{
    let terms = request.terms()?;
    let once = terms.once.clone();
    if let Some(made) = made_before(request, &once).await? {
        return Ok(made);
    }
    match make(terms).await {
        Ok(made) => Ok(made),
        // It may have been the same request, which was faster.
        Err(error) => match made_before(request, &once).await? {
            Some(made) => Ok(made),
            None => Err(error.into()),
        },
    }
}

async fn made_before(
    request: &Request,
    once: &Option<jmap_core::admin::Once>,
) -> Result<Option<String>, Problem> {
    match once {
        Some(once) => Ok(request.core.done_before(&request.who, once).await?),
        None => Ok(None),
    }
}

/// The id that something which was made has.
fn id_of(made: &str) -> Result<AccountId, Problem> {
    jmap_types::Id::parse(made).ok_or_else(Problem::not_found)
}

//! The audit: what was changed, by whom, and from where.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use http::Method;
use jmap_core::{
    access::Operation,
    admin::{self, AuditFilter},
};
use jmap_types::AccountId;
use serde_json::json;

use super::{
    CURSOR, LIMIT,
    accounts::Role,
    handler,
    traces::{account, moment},
};
use crate::{
    describe::{choice, object},
    page,
    problem::{Kind, Problem},
    request::Request,
    table::{Answer, Outcome as Answered, Parameter, Route},
};

choice! {
    /// What came of it.
    Outcome {
        Done = "done",
        Refused = "refused",
    }
}

object! {
    answer
    /// A field of an object, before and after.
    ChangedField {
        field: String,
        /// Null: it had no value, or it isn't told.
        before: Option<String>,
        after: Option<String>,
    }
}

object! {
    answer
    /// What somebody has done.
    AuditEntry {
        id: String,
        at: String = {"format": "date-time"},
        /// The id of the account; null: the server, or whoever owns its store.
        account: Option<String>,
        /// As the account was called then.
        name: String,
        role: Role,
        /// By which way: `admin` is this API.
        way: String,
        /// From which address; null: from the server's machine, or it isn't told.
        address: Option<String>,
        operation: String,
        /// The name of what it was done to.
        object: String,
        /// The id of the account that it was done to.
        of_account: Option<String>,
        changes: Vec<ChangedField>,
        outcome: Outcome,
        /// Why it was refused.
        note: Option<String>,
    }
}

const FILTERS: &[Parameter] = &[
    Parameter {
        name: "by",
        about: "Only what the account with this id has done.",
        schema: super::text,
    },
    Parameter {
        name: "account",
        about: "Only what was done to the account with this id.",
        schema: super::text,
    },
    Parameter {
        name: "domain",
        about: "Only what was done to this domain and what is in it.",
        schema: super::text,
    },
    Parameter {
        name: "operation",
        about: "Only this operation, such as `account.remove`, or all on such an object: `account`.",
        schema: super::text,
    },
    Parameter {
        name: "outcome",
        about: "Only what came to this.",
        schema: || json!({"type": "string", "enum": Outcome::WORDS}),
    },
    Parameter {
        name: "since",
        about: "Only from this moment on.",
        schema: super::date,
    },
    Parameter {
        name: "until",
        about: "Only before this moment.",
        schema: super::date,
    },
];

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/audit",
            ("Audit", "listAudit"),
            "Lists what was changed, by whom and from where, newest first",
            Operation::SeeAudit,
            handler!(list),
        )
        .query(&[CURSOR, LIMIT])
        .query(FILTERS)
        .may_fail(&[Kind::InvalidValue])
        .answers(|schemas| page::schema::<AuditEntry>(schemas, false)),
    ]
}

async fn list(request: &Request) -> Answered {
    let limit = page::limit(request)?;
    let filter = AuditFilter {
        by: account(request, "by")?,
        of_account: account(request, "account")?,
        domain: match request.asked("domain") {
            Some(name) => Some(jmap_core::directory::names::domain(name)?),
            None => None,
        },
        operation: request.asked("operation").map(str::to_owned),
        outcome: request
            .asked_as::<Outcome>("outcome")?
            .map(|outcome| match outcome {
                Outcome::Done => admin::Outcome::Done,
                Outcome::Refused => admin::Outcome::Refused,
            }),
        since: moment(request, "since")?,
        until: moment(request, "until")?,
    };
    let after = match request.asked("cursor") {
        Some(text) => Some(sealed(text).ok_or_else(|| Problem::of(Kind::InvalidCursor))?),
        None => None,
    };
    let after = after.map(|sealed| request.core.opened_place(sealed));
    let (rows, next) = request
        .core
        .audit_rows(&request.who, &filter, after, limit)
        .await?;
    let items = rows.into_iter().map(|row| json!(entry(row))).collect();
    // It may be that of a row which is none of the caller's business.
    let next = next.map(|place| BASE64_URL_SAFE_NO_PAD.encode(request.core.sealed_place(place)));
    Ok(Answer::ok(page::json_of(items, next, None)))
}

fn sealed(text: &str) -> Option<[u8; 16]> {
    let octets = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    octets.try_into().ok()
}

fn entry(row: admin::AuditRow) -> AuditEntry {
    let record = row.record;
    let id = |number: u64| AccountId::new(number).to_string();
    let seconds = i64::try_from(row.time / 1000).unwrap_or(i64::MAX);
    AuditEntry {
        id: format!("{:x}-{:x}", row.time, row.number),
        at: super::date_text(seconds),
        account: (record.account != 0).then(|| id(record.account)),
        name: record.name,
        role: record.role.into(),
        way: record.way,
        address: record.address,
        operation: record.operation,
        object: record.object,
        of_account: record.of_account.map(id),
        changes: record
            .changes
            .into_iter()
            .map(|change| ChangedField {
                field: change.field,
                before: change.before,
                after: change.after,
            })
            .collect(),
        outcome: match record.outcome {
            admin::Outcome::Done => Outcome::Done,
            admin::Outcome::Refused => Outcome::Refused,
        },
        note: record.note,
    }
}

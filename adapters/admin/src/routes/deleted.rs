//! Mail that was deleted, and can be brought back for a while.

use http::Method;
use jmap_core::{
    access::Operation,
    directory::{AccountKind, DirectoryError},
    mail::{
        message::Summary,
        undelete::{Deleted, DeletedFilter, DeletedId, UndeleteError},
    },
};
use jmap_types::{
    Id,
    mail::{EmailId, MailboxId},
};
use serde_json::json;

use super::{CURSOR, LIMIT, handler};
use crate::{
    describe::{Described as _, object},
    page::{self, Page},
    problem::{Kind, Problem},
    request::Request,
    table::{Answer, Outcome, Parameter, Route},
};

object! {
    answer
    /// An email that was deleted.
    DeletedEmail {
        id: String,
        deleted: String = {"format": "date-time"},
        received: String = {"format": "date-time"},
        size: u64,
        subject: Option<String>,
        from: Vec<String>,
    }
}

object! {
    request
    /// Where an email is to come back to.
    Restoration {
        /// The id of a mailbox; without it, those that it was in, or the inbox.
        mailbox: Option<String>,
    }
}

object! {
    answer
    /// An email that is back.
    RestoredEmail {
        /// The id of the new Email.
        email: String,
        /// The ids of the mailboxes that it is in.
        mailboxes: Vec<String>,
    }
}

const TAG: &str = "Deleted mail";
const WITH_MAIL: &[AccountKind] = &[AccountKind::Person, AccountKind::Group];
const FILTERS: &[Parameter] = &[Parameter {
    name: "q",
    about: "Only those that have this text in their subject or sender.",
    schema: super::text,
}];

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/accounts/{account}/deleted",
            (TAG, "listDeleted"),
            "Lists what was deleted of an account and can be brought back, newest first; people see their own",
            Operation::SeeDeleted,
            handler!(list),
        )
        .query(&[CURSOR, LIMIT])
        .query(FILTERS)
        .answers(|schemas| page::schema::<DeletedEmail>(schemas, true)),
        Route::new(
            Method::POST,
            "/accounts/{account}/deleted/{deleted}/restore",
            (TAG, "restoreDeleted"),
            "Brings an email back, as a new one",
            Operation::RestoreDeleted,
            handler!(restore),
        )
        .body(Restoration::schema)
        .may_fail(&[Kind::InUse])
        .answers(RestoredEmail::schema),
    ]
}

impl From<UndeleteError> for Problem {
    fn from(error: UndeleteError) -> Problem {
        match error {
            UndeleteError::NotFound => Problem::not_found(),
            UndeleteError::Forbidden => Problem::of(Kind::Forbidden),
            UndeleteError::Refused(_) => Problem::new(Kind::InUse, error.to_string()),
            UndeleteError::Directory(error) => error.into(),
            UndeleteError::Store(error) => DirectoryError::Store(error).into(),
        }
    }
}

fn shown(of: &Deleted) -> DeletedEmail {
    let seconds = |ms: u64| i64::try_from(ms / 1000).unwrap_or(i64::MAX);
    let summary = of.summary.as_deref();
    let from = summary.and_then(|summary| Summary::addresses(&summary.from));
    DeletedEmail {
        id: of.id.to_string(),
        deleted: super::date_text(seconds(of.id.time)),
        received: super::date_text(of.record.received_at),
        size: of.record.size,
        subject: summary.and_then(|summary| summary.subject.clone()),
        from: from
            .unwrap_or_default()
            .into_iter()
            .map(|address| address.email)
            .collect(),
    }
}

async fn list(request: &Request) -> Outcome {
    let account = super::account_of_kind(request, WITH_MAIL).await?;
    let (core, who) = (&request.core, &request.who);
    let filter = DeletedFilter {
        text: request.asked("q").map(str::to_owned),
        ..DeletedFilter::default()
    };
    let found = core.deleted_emails(who, account.id, &filter).await?;
    // Newest first.
    let page = Page::of(request, found, |deleted| {
        let newest = u64::MAX - deleted.id.time;
        (format!("{newest:020}"), format!("{:020}", deleted.id.email))
    })?;
    let mut items = Vec::with_capacity(page.items.len());
    for deleted in &page.items {
        // With its summary.
        if let Some(deleted) = core.deleted_email(who, account.id, deleted.id).await? {
            items.push(json!(shown(&deleted)));
        }
    }
    Ok(Answer::ok(page::json_of(
        items,
        page.next,
        Some(page.total),
    )))
}

async fn restore(request: &Request) -> Outcome {
    let asked: Restoration = request.read()?;
    let account = super::account_of_kind(request, WITH_MAIL).await?;
    let id = DeletedId::parse(request.text("deleted")?).ok_or_else(Problem::not_found)?;
    let into = match &asked.mailbox {
        None => None,
        Some(text) => {
            let id: Option<MailboxId> = Id::parse(text);
            Some(id.ok_or_else(Problem::not_found)?.number())
        }
    };
    let restored = request
        .core
        .restore_deleted(&request.who, account.id, id, into)
        .await?;
    Ok(Answer::ok(json!(RestoredEmail {
        email: EmailId::new(restored.email).to_string(),
        mailboxes: restored
            .mailboxes
            .iter()
            .map(|mailbox| MailboxId::new(*mailbox).to_string())
            .collect(),
    })))
}

//! Where the mail of an account goes on to: of people, and of groups.
//!
//! Holds: people say it of their own account; all else of it is for who looks after them.

use http::Method;
use jmap_core::{
    access::Operation,
    admin::Version,
    directory::{self, AccountChange, AccountKind, Forward},
};
use serde_json::json;

use super::handler;
use crate::{
    describe::{Described as _, object},
    problem::{Kind, Problem},
    request::{Request, tag},
    table::{Answer, Outcome, Route},
};

object! {
    answer
    /// Where the mail of an account goes on to.
    Forwarding {
        /// Addresses, here or elsewhere.
        to: Vec<String>,
        /// The account keeps a copy.
        keeps_copy: bool,
    }
}

object! {
    request
    /// Where the mail of an account is to go on to.
    NewForwarding {
        to: Vec<String> = {"minItems": 1, "maxItems": 20},
        /// The account keeps a copy.
        keeps_copy: bool,
    }
}

const TAG: &str = "Accounts";
const WITH_MAIL: &[AccountKind] = &[AccountKind::Person, AccountKind::Group];

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::PUT,
            "/accounts/{account}/forwarding",
            (TAG, "setForwarding"),
            "Says where the mail of an account goes on to; people say it of their own",
            Operation::ChangeForwarding,
            handler!(set),
        )
        .versioned()
        .body(NewForwarding::schema)
        .may_fail(&[Kind::InvalidValue, Kind::LimitReached])
        .answers(Forwarding::schema),
        Route::new(
            Method::DELETE,
            "/accounts/{account}/forwarding",
            (TAG, "removeForwarding"),
            "Lets the mail of an account stay where it arrives",
            Operation::ChangeForwarding,
            handler!(remove),
        )
        .versioned(),
    ]
}

impl From<&Forward> for Forwarding {
    fn from(forward: &Forward) -> Forwarding {
        Forwarding {
            to: forward.to.clone(),
            keeps_copy: forward.keep,
        }
    }
}

impl From<NewForwarding> for Forward {
    fn from(forwarding: NewForwarding) -> Forward {
        Forward {
            to: forwarding.to,
            keep: forwarding.keeps_copy,
        }
    }
}

/// Changes where the mail of an account goes on to, and nothing else.
async fn change(request: &Request, to: Option<Forward>) -> Result<directory::Account, Problem> {
    let account = super::account_of_kind(request, WITH_MAIL).await?;
    let change = AccountChange {
        forward: Some(to),
        ..AccountChange::default()
    };
    let terms = request.terms()?;
    let changed = request
        .core
        .change_account_on(&request.who, account.id, change, &terms)
        .await?;
    Ok(changed)
}

async fn set(request: &Request) -> Outcome {
    let new: NewForwarding = request.read()?;
    let changed = change(request, Some(new.into())).await?;
    let shown = changed.record.forward.as_ref().map(Forwarding::from);
    let tag = tag(Version::of(&*changed.record));
    Ok(Answer::ok(json!(shown)).with_tag(tag))
}

async fn remove(request: &Request) -> Outcome {
    change(request, None).await?;
    Ok(Answer::nothing())
}

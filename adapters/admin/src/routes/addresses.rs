//! More addresses of accounts and groups.

use http::Method;
use jmap_core::{
    access::{self, Object, Operation},
    directory::AccountKind,
};

use super::handler;
use crate::{
    problem::Kind,
    request::Request,
    table::{Answer, Outcome, Route},
};

const WITH_ADDRESSES: &[AccountKind] = &[AccountKind::Person, AccountKind::Group];

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::PUT,
            "/accounts/{account}/addresses/{address}",
            ("Accounts", "addAddress"),
            "Gives an account or a group another address",
            Operation::ChangeAccount,
            handler!(add),
        )
        .versioned()
        .may_fail(&[Kind::AlreadyExists, Kind::InvalidValue, Kind::LimitReached]),
        Route::new(
            Method::DELETE,
            "/accounts/{account}/addresses/{address}",
            ("Accounts", "removeAddress"),
            "Takes an address from an account or a group",
            Operation::ChangeAccount,
            handler!(remove),
        )
        .versioned()
        .may_fail(&[Kind::InUse, Kind::InvalidValue]),
    ]
}

async fn add(request: &Request) -> Outcome {
    let account = super::account_of_kind(request, WITH_ADDRESSES).await?;
    let address = request.text("address")?;
    let stored = jmap_core::directory::names::address(address)?.to_string();
    // It is there after the first request, however many follow.
    if account.record.addresses.contains(&stored) {
        let object = Object::Account(account.id, &account.record);
        access::may(&request.who, Operation::ChangeAccount, object)?;
        return Ok(Answer::nothing());
    }
    let terms = request.terms()?;
    request
        .core
        .add_alias_on(&request.who, account.id, address, &terms)
        .await?;
    Ok(Answer::nothing())
}

async fn remove(request: &Request) -> Outcome {
    let account = super::account_of_kind(request, WITH_ADDRESSES).await?;
    let terms = request.terms()?;
    let address = request.text("address")?;
    request
        .core
        .remove_alias_on(&request.who, account.id, address, &terms)
        .await?;
    Ok(Answer::nothing())
}

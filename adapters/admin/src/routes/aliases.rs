//! Aliases: addresses alone, whose mail goes on to others.

use http::Method;
use jmap_core::{
    access::Operation,
    admin::Version,
    directory::{self, AccountChange, AccountKind, Forward, NewAlias as NewCoreAlias},
};
use serde_json::json;

use super::{LIST, OF_DOMAIN, handler};
use crate::{
    describe::{Described as _, Optional, object},
    page::{self, Page},
    problem::Kind,
    request::{Request, tag},
    table::{Answer, Outcome, Route},
};

object! {
    answer
    /// An address alone.
    Alias {
        id: String,
        address: String,
        description: String,
        /// Where its mail goes on to.
        to: Vec<String>,
        /// It gets no mail.
        disabled: bool,
        created: String = {"format": "date-time"},
    }
}

object! {
    request
    /// A new alias.
    NewAlias {
        /// In a domain that is served here.
        address: String = {"minLength": 3, "maxLength": 320},
        description: Option<String> = {"maxLength": 500},
        to: Vec<String> = {"minItems": 1, "maxItems": 20},
    }
}

object! {
    patch
    /// What is to change of an alias. Members that are left out stay as they are.
    AliasPatch {
        description: Optional<String> = {"maxLength": 500},
        to: Optional<Vec<String>> = {"minItems": 1, "maxItems": 20},
        disabled: Optional<bool>,
    }
}

const TAG: &str = "Aliases";
const KIND: &[AccountKind] = &[AccountKind::Alias];

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/aliases",
            (TAG, "listAliases"),
            "Lists the aliases that the account may see",
            Operation::SeeAccount,
            handler!(list),
        )
        .query(LIST)
        .query(&[OF_DOMAIN])
        .may_fail(&[Kind::InvalidValue])
        .answers(|schemas| page::schema::<Alias>(schemas, true)),
        Route::new(
            Method::POST,
            "/aliases",
            (TAG, "addAlias"),
            "Makes an alias",
            Operation::AddAccount,
            handler!(add),
        )
        .body(NewAlias::schema)
        .creates(Alias::schema),
        Route::new(
            Method::GET,
            "/aliases/{account}",
            (TAG, "getAlias"),
            "Shows an alias",
            Operation::SeeAccount,
            handler!(get),
        )
        .versioned()
        .answers(Alias::schema),
        Route::new(
            Method::PATCH,
            "/aliases/{account}",
            (TAG, "changeAlias"),
            "Changes an alias",
            Operation::ChangeAccount,
            handler!(change),
        )
        .versioned()
        .body(AliasPatch::schema)
        .may_fail(&[Kind::InvalidValue, Kind::LimitReached])
        .answers(Alias::schema),
        Route::new(
            Method::DELETE,
            "/aliases/{account}",
            (TAG, "removeAlias"),
            "Removes an alias",
            Operation::RemoveAccount,
            handler!(remove),
        )
        .versioned()
        .may_fail(&[Kind::InUse]),
    ]
}

fn alias(of: &directory::Account) -> Alias {
    let record = &of.record;
    let forward = record.forward.as_ref();
    Alias {
        id: of.id.to_string(),
        address: record.name.clone(),
        description: record.description.clone(),
        to: forward
            .map(|forward| forward.to.clone())
            .unwrap_or_default(),
        disabled: record.disabled,
        created: super::date_text(record.created),
    }
}

fn answer(of: &directory::Account) -> Answer {
    Answer::ok(json!(alias(of))).with_tag(tag(Version::of(&*of.record)))
}

async fn list(request: &Request) -> Outcome {
    let aliases = super::accounts_of_kind(request, AccountKind::Alias).await?;
    let sort = request.asked_as("sort")?;
    let page = Page::of(request, aliases, |of| {
        let id = super::sortable(of.id);
        super::place(sort, &of.record.name, of.record.created, id)
    })?;
    let items = page.items.iter().map(|of| json!(alias(of))).collect();
    Ok(Answer::ok(page::json_of(
        items,
        page.next,
        Some(page.total),
    )))
}

async fn add(request: &Request) -> Outcome {
    let new: NewAlias = request.read()?;
    let (core, who) = (&request.core, &request.who);
    let new = NewCoreAlias {
        address: new.address,
        description: new.description.unwrap_or_default(),
        to: new.to,
    };
    let made = super::made(request, |terms| async move {
        let alias = core.add_forwarding_alias_on(who, new, &terms).await?;
        Ok(alias.id.to_string())
    })
    .await?;
    let alias = core.account(who, super::id_of(&made)?).await?;
    Ok(answer(&alias).created(format!("/aliases/{made}")))
}

async fn get(request: &Request) -> Outcome {
    Ok(answer(&super::account_of_kind(request, KIND).await?))
}

async fn change(request: &Request) -> Outcome {
    let patch: AliasPatch = request.read()?;
    let alias = super::account_of_kind(request, KIND).await?;
    let change = AccountChange {
        description: patch.description.0,
        disabled: patch.disabled.0,
        forward: patch.to.0.map(|to| Some(Forward { to, keep: false })),
        ..AccountChange::default()
    };
    let terms = request.terms()?;
    let changed = request
        .core
        .change_account_on(&request.who, alias.id, change, &terms)
        .await?;
    Ok(answer(&changed))
}

async fn remove(request: &Request) -> Outcome {
    let alias = super::account_of_kind(request, KIND).await?;
    let terms = request.terms()?;
    request
        .core
        .remove_account_on(&request.who, alias.id, &terms)
        .await?;
    Ok(Answer::nothing())
}

//! Lists: each member gets a copy of what comes to them.

use http::Method;
use jmap_core::{
    access::Operation,
    admin::Version,
    directory::{
        self, AccountKind, LIST_MEMBERS_MAX, ListChange, NewList as NewCoreList,
        Posters as CorePosters,
    },
};
use jmap_types::AccountId;
use serde_json::json;

use super::{LIST, OF_DOMAIN, handler};
use crate::{
    describe::{Described as _, Optional, choice, object},
    page::{self, Page},
    problem::Kind,
    request::{Request, tag},
    table::{Answer, Outcome, Route},
};

choice! {
    /// Who may write to a list.
    Posters {
        Anyone = "anyone",
        Members = "members",
        Domain = "domain",
    }
}

impl From<CorePosters> for Posters {
    fn from(posters: CorePosters) -> Posters {
        match posters {
            CorePosters::Anyone => Posters::Anyone,
            CorePosters::Members => Posters::Members,
            CorePosters::Domain => Posters::Domain,
        }
    }
}

impl From<Posters> for CorePosters {
    fn from(posters: Posters) -> CorePosters {
        match posters {
            Posters::Anyone => CorePosters::Anyone,
            Posters::Members => CorePosters::Members,
            Posters::Domain => CorePosters::Domain,
        }
    }
}

object! {
    answer
    /// A list.
    List {
        id: String,
        address: String,
        description: String,
        /// The id of the account that gets what comes to the list's owner address.
        owner: String,
        posters: Posters,
        members: Vec<String>,
        created: String = {"format": "date-time"},
    }
}

object! {
    request
    /// A new list.
    NewList {
        /// In a domain that is served here.
        address: String = {"minLength": 3, "maxLength": 320},
        description: Option<String> = {"maxLength": 500},
        /// The name, an address or the id of an account or a group.
        owner: String = {"minLength": 1, "maxLength": 320},
        posters: Option<Posters>,
        members: Vec<String> = {"maxItems": LIST_MEMBERS_MAX},
    }
}

object! {
    patch
    /// What is to change of a list. Members that are left out stay as they are.
    ListPatch {
        description: Optional<String> = {"maxLength": 500},
        posters: Optional<Posters>,
        members: Optional<Vec<String>> = {"maxItems": LIST_MEMBERS_MAX},
    }
}

const TAG: &str = "Lists";
const KIND: &[AccountKind] = &[AccountKind::List];

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/lists",
            (TAG, "listLists"),
            "Lists the lists that the account may see",
            Operation::SeeAccount,
            handler!(list),
        )
        .query(LIST)
        .query(&[OF_DOMAIN])
        .may_fail(&[Kind::InvalidValue])
        .answers(|schemas| page::schema::<List>(schemas, true)),
        Route::new(
            Method::POST,
            "/lists",
            (TAG, "addList"),
            "Makes a list; its owner gets the list's owner address",
            Operation::AddAccount,
            handler!(add),
        )
        .body(NewList::schema)
        .creates(List::schema),
        Route::new(
            Method::GET,
            "/lists/{account}",
            (TAG, "getList"),
            "Shows a list",
            Operation::SeeAccount,
            handler!(get),
        )
        .versioned()
        .answers(List::schema),
        Route::new(
            Method::PATCH,
            "/lists/{account}",
            (TAG, "changeList"),
            "Changes a list",
            Operation::ChangeAccount,
            handler!(change),
        )
        .versioned()
        .body(ListPatch::schema)
        .may_fail(&[Kind::InvalidValue, Kind::LimitReached])
        .answers(List::schema),
        Route::new(
            Method::DELETE,
            "/lists/{account}",
            (TAG, "removeList"),
            "Removes a list, and its owner address",
            Operation::RemoveAccount,
            handler!(remove),
        )
        .versioned()
        .may_fail(&[Kind::InUse, Kind::InvalidValue]),
    ]
}

fn shown(of: &directory::Account) -> List {
    let record = &of.record;
    let (list, forward) = (record.list.unwrap_or_default(), record.forward.as_ref());
    List {
        id: of.id.to_string(),
        address: record.name.clone(),
        description: record.description.clone(),
        owner: AccountId::new(list.owner).to_string(),
        posters: list.posters.into(),
        members: forward
            .map(|forward| forward.to.clone())
            .unwrap_or_default(),
        created: super::date_text(record.created),
    }
}

fn answer(of: &directory::Account) -> Answer {
    Answer::ok(json!(shown(of))).with_tag(tag(Version::of(&*of.record)))
}

async fn list(request: &Request) -> Outcome {
    let lists = super::accounts_of_kind(request, AccountKind::List).await?;
    let sort = request.asked_as("sort")?;
    let page = Page::of(request, lists, |of| {
        let id = super::sortable(of.id);
        super::place(sort, &of.record.name, of.record.created, id)
    })?;
    let items = page.items.iter().map(|of| json!(shown(of))).collect();
    Ok(Answer::ok(page::json_of(
        items,
        page.next,
        Some(page.total),
    )))
}

async fn add(request: &Request) -> Outcome {
    let new: NewList = request.read()?;
    let (core, who) = (&request.core, &request.who);
    let owner = match super::id_of(&new.owner) {
        Ok(id) => core.account(who, id).await.ok(),
        Err(_) => None,
    };
    let new = NewCoreList {
        address: new.address,
        owner: owner.map_or(new.owner, |owner| owner.record.name.clone()),
        description: new.description.unwrap_or_default(),
        posters: new.posters.map(Into::into).unwrap_or_default(),
        members: new.members,
    };
    let made = super::made(request, |terms| async move {
        let list = core.add_list_on(who, new, &terms).await?;
        Ok(list.id.to_string())
    })
    .await?;
    let list = core.account(who, super::id_of(&made)?).await?;
    Ok(answer(&list).created(format!("/lists/{made}")))
}

async fn get(request: &Request) -> Outcome {
    Ok(answer(&super::account_of_kind(request, KIND).await?))
}

async fn change(request: &Request) -> Outcome {
    let patch: ListPatch = request.read()?;
    let list = super::account_of_kind(request, KIND).await?;
    let change = ListChange {
        description: patch.description.0,
        posters: patch.posters.0.map(Into::into),
        members: patch.members.0,
        ..ListChange::default()
    };
    let terms = request.terms()?;
    let changed = request
        .core
        .set_list_on(&request.who, list.id, change, &terms)
        .await?;
    Ok(answer(&changed))
}

async fn remove(request: &Request) -> Outcome {
    let list = super::account_of_kind(request, KIND).await?;
    let terms = request.terms()?;
    request
        .core
        .remove_list_on(&request.who, list.id, &terms)
        .await?;
    Ok(Answer::nothing())
}

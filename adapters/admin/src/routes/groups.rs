//! Groups: accounts that their members see.

use http::Method;
use jmap_core::{
    access::Operation,
    admin::Version,
    directory::{self, AccountChange, AccountKind, NewAccount},
};
use serde_json::json;

use super::{
    LIST, OF_DOMAIN,
    forwarding::{Forwarding, NewForwarding},
    handler,
};
use crate::{
    describe::{Described as _, Optional, Patch, object},
    page::{self, Page},
    problem::{Kind, Problem},
    request::{Request, tag},
    table::{Answer, Outcome, Route},
};

object! {
    answer
    /// A group.
    Group {
        id: String,
        /// Its first address, or a word.
        name: String,
        description: String,
        /// It gets no mail, and its members don't see it.
        disabled: bool,
        addresses: Vec<String>,
        forwarding: Option<Forwarding>,
        /// Octets that it may use; null: the server's default; 0: no limit.
        quota_octets: Option<u64>,
        used_octets: u64,
        created: String = {"format": "date-time"},
    }
}

object! {
    request
    /// A new group.
    NewGroup {
        /// An address in a domain that is served here, or a word.
        name: String = {"minLength": 1, "maxLength": 320},
        description: Option<String> = {"maxLength": 500},
        quota_octets: Option<u64>,
    }
}

object! {
    patch
    /// What is to change of a group. Members that are left out stay as they are.
    GroupPatch {
        name: Optional<String> = {"minLength": 1, "maxLength": 320},
        description: Optional<String> = {"maxLength": 500},
        disabled: Optional<bool>,
        forwarding: Patch<NewForwarding>,
        quota_octets: Patch<u64>,
    }
}

object! {
    answer
    /// A member of a group.
    Member {
        id: String,
        name: String,
        description: String,
    }
}

const TAG: &str = "Groups";

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/groups",
            (TAG, "listGroups"),
            "Lists the groups that the account may see",
            Operation::SeeAccount,
            handler!(list),
        )
        .query(LIST)
        .query(&[OF_DOMAIN])
        .may_fail(&[Kind::InvalidValue])
        .answers(|schemas| page::schema::<Group>(schemas, true)),
        Route::new(
            Method::POST,
            "/groups",
            (TAG, "addGroup"),
            "Makes a group",
            Operation::AddAccount,
            handler!(add),
        )
        .body(NewGroup::schema)
        .creates(Group::schema),
        Route::new(
            Method::GET,
            "/groups/{account}",
            (TAG, "getGroup"),
            "Shows a group",
            Operation::SeeAccount,
            handler!(get),
        )
        .versioned()
        .answers(Group::schema),
        Route::new(
            Method::PATCH,
            "/groups/{account}",
            (TAG, "changeGroup"),
            "Changes a group",
            Operation::ChangeAccount,
            handler!(change),
        )
        .versioned()
        .body(GroupPatch::schema)
        .may_fail(&[Kind::AlreadyExists, Kind::InvalidValue, Kind::LimitReached])
        .answers(Group::schema),
        Route::new(
            Method::DELETE,
            "/groups/{account}",
            (TAG, "removeGroup"),
            "Removes a group with all that is in it",
            Operation::RemoveAccount,
            handler!(remove),
        )
        .versioned()
        .may_fail(&[Kind::InUse]),
        Route::new(
            Method::GET,
            "/groups/{account}/members",
            (TAG, "listMembers"),
            "Lists the members of a group that the account may see",
            Operation::SeeAccount,
            handler!(list_members),
        )
        .query(LIST)
        .answers(|schemas| page::schema::<Member>(schemas, true)),
        Route::new(
            Method::PUT,
            "/groups/{account}/members/{member}",
            (TAG, "addMember"),
            "Makes an account a member of a group, so that it sees all of the group's mail",
            Operation::ChangeMembers,
            handler!(add_member),
        )
        .may_fail(&[Kind::InvalidValue, Kind::LimitReached]),
        Route::new(
            Method::DELETE,
            "/groups/{account}/members/{member}",
            (TAG, "removeMember"),
            "Takes an account off the members of a group",
            Operation::ChangeMembers,
            handler!(remove_member),
        ),
    ]
}

const KIND: &[AccountKind] = &[AccountKind::Group];

async fn group(request: &Request, of: &directory::Account) -> Result<Group, Problem> {
    let record = &of.record;
    let used = request.core.used_octets(of.id).await;
    Ok(Group {
        id: of.id.to_string(),
        name: record.name.clone(),
        description: record.description.clone(),
        disabled: record.disabled,
        addresses: record.addresses.clone(),
        forwarding: record.forward.as_ref().map(Into::into),
        quota_octets: record.quota_octets,
        used_octets: used.map_err(directory::DirectoryError::from)?,
        created: super::date_text(record.created),
    })
}

async fn answer(request: &Request, of: &directory::Account) -> Outcome {
    let shown = group(request, of).await?;
    Ok(Answer::ok(json!(shown)).with_tag(tag(Version::of(&*of.record))))
}

async fn list(request: &Request) -> Outcome {
    let groups = super::accounts_of_kind(request, AccountKind::Group).await?;
    let sort = request.asked_as("sort")?;
    let page = Page::of(request, groups, |of| {
        let id = super::sortable(of.id);
        super::place(sort, &of.record.name, of.record.created, id)
    })?;
    let mut items = Vec::with_capacity(page.items.len());
    for of in &page.items {
        items.push(json!(group(request, of).await?));
    }
    Ok(Answer::ok(page::json_of(
        items,
        page.next,
        Some(page.total),
    )))
}

async fn add(request: &Request) -> Outcome {
    let new: NewGroup = request.read()?;
    let (core, who) = (&request.core, &request.who);
    let new = NewAccount {
        description: new.description.unwrap_or_default(),
        quota_octets: new.quota_octets,
        ..NewAccount::group(new.name)
    };
    let made = super::made(request, |terms| async move {
        let group = core.add_account_on(who, new, &terms).await?;
        Ok(group.id.to_string())
    })
    .await?;
    let group = core.account(who, super::id_of(&made)?).await?;
    let answer = answer(request, &group).await?;
    Ok(answer.created(format!("/groups/{made}")))
}

async fn get(request: &Request) -> Outcome {
    let group = super::account_of_kind(request, KIND).await?;
    answer(request, &group).await
}

async fn change(request: &Request) -> Outcome {
    let patch: GroupPatch = request.read()?;
    let group = super::account_of_kind(request, KIND).await?;
    let change = AccountChange {
        name: patch.name.0,
        description: patch.description.0,
        disabled: patch.disabled.0,
        quota_octets: patch.quota_octets.change(),
        forward: patch
            .forwarding
            .change()
            .map(|forwarding| forwarding.map(Into::into)),
        ..AccountChange::default()
    };
    let terms = request.terms()?;
    let changed = request
        .core
        .change_account_on(&request.who, group.id, change, &terms)
        .await?;
    answer(request, &changed).await
}

async fn remove(request: &Request) -> Outcome {
    let group = super::account_of_kind(request, KIND).await?;
    let terms = request.terms()?;
    request
        .core
        .remove_account_on(&request.who, group.id, &terms)
        .await?;
    Ok(Answer::nothing())
}

async fn list_members(request: &Request) -> Outcome {
    let group = super::account_of_kind(request, KIND).await?;
    let mut members = request.core.members(&request.who, group.id).await?;
    if let Some(asked) = request.asked("q").map(str::to_lowercase) {
        members.retain(|member| super::has(&member.record.name, &asked));
    }
    let sort = request.asked_as("sort")?;
    let page = Page::of(request, members, |of| {
        let id = super::sortable(of.id);
        super::place(sort, &of.record.name, of.record.created, id)
    })?;
    let member = |of: &directory::Account| Member {
        id: of.id.to_string(),
        name: of.record.name.clone(),
        description: of.record.description.clone(),
    };
    let items = page.items.iter().map(|of| json!(member(of))).collect();
    Ok(Answer::ok(page::json_of(
        items,
        page.next,
        Some(page.total),
    )))
}

async fn add_member(request: &Request) -> Outcome {
    let group = super::account_of_kind(request, KIND).await?;
    let member = request.account("member")?;
    request
        .core
        .add_member(&request.who, group.id, member)
        .await?;
    Ok(Answer::nothing())
}

async fn remove_member(request: &Request) -> Outcome {
    let group = super::account_of_kind(request, KIND).await?;
    let member = request.account("member")?;
    request
        .core
        .remove_member(&request.who, group.id, member)
        .await?;
    Ok(Answer::nothing())
}

//! Groups: accounts that their members share.

use leptos::prelude::*;
use serde_json::Value;

use super::{
    account::{addresses_of, forwarding_form, put},
    addressed::Objects,
};
use crate::{
    json as read,
    messages::{fill, t},
    problem::Problem,
    query,
    ui::{
        api::{self, Reply},
        components::{
            dialog::{Question, questions},
            form::{Field, Kind, form, send},
            load::Loaded,
            page::{self, card},
            table::{Bulk, Column, List, back, table},
            tabs::tabs,
            toast,
        },
        pages::common,
        route,
        session::Session,
    },
};

const API: &str = "/groups";

fn objects() -> Objects {
    Objects {
        title: t().groups,
        api: API,
        page: "/admin/groups",
        name: "/name",
        search: t().directory.search_groups,
        empty: t().directory.no_groups,
    }
}

pub fn page(session: &Session) -> AnyView {
    let state = Column::new(t().state, super::accounts::state);
    let storage = Column::new(t().storage, |row| {
        let used = read::number(row, "/usedOctets").unwrap_or_default();
        page::usage(used, read::number(row, "/quotaOctets").unwrap_or_default())
    });
    let mut list = objects().list(vec![state, storage]);
    if session.may("account.change") {
        list.bulk.extend(objects().disabling());
    }
    if session.may("account.remove") {
        let address = |row: &Value| objects().address(row);
        list.bulk
            .push(common::bulk_remove(t().directory.remove_groups, address));
    }
    let add = session.may("account.add").then(|| {
        let fields = || {
            vec![
                Field::new("/name", t().address, Kind::Address)
                    .required()
                    .hint(t().account_name_hint),
                Field::new("/description", t().description, Kind::Text),
                Field::new("/quotaOctets", t().directory.quota, Kind::Octets)
                    .hint(t().directory.quota_hint),
            ]
        };
        common::add(t().directory.add_group, API, fields, |reply| {
            route::go(&common::of("/admin/groups", read::text(&reply.body, "/id")));
        })
    });
    view! {
        {page::head(t().groups, t().directory.groups_lead, add.into_any())}
        {table(list)}
    }
    .into_any()
}

/// One group.
pub fn one(session: &Session, id: &str) -> AnyView {
    let loaded = Loaded::of(common::of(API, id));
    let question = RwSignal::new(None::<Question>);
    let remove = session.may("account.remove").then(|| {
        let texts = (t().directory.remove_this_group, t().directory.remove_group);
        objects().remove(id, texts, question)
    });
    let may_change = session.may("account.change");
    let of = id.to_owned();
    let is_of = move |part: fn(&str, &Reply, Loaded) -> AnyView| {
        let id = of.clone();
        ViewFn::from(move || {
            let id = id.clone();
            loaded.show(move |reply| part(&id, &reply, loaded))
        })
    };
    let id = id.to_owned();
    let mut parts: Vec<(&'static str, &'static str, ViewFn)> = vec![(
        "members",
        t().directory.members,
        ViewFn::from(move || members(&id, may_change)),
    )];
    if may_change {
        parts.push(("general", t().general, is_of(general)));
        parts.push(("addresses", t().directory.addresses, is_of(addresses)));
        parts.push(("forwarding", t().forwarding, is_of(forwarding)));
    }
    view! {
        {objects().head(loaded, remove.into_any())}
        {tabs(t().group, parts)}
        {questions(question)}
    }
    .into_any()
}

fn general(id: &str, reply: &Reply, loaded: Loaded) -> AnyView {
    let fields = vec![
        Field::new("/name", t().name, Kind::Address).required(),
        Field::new("/description", t().description, Kind::Text).empty_is_text(),
        Field::new("/disabled", t().directory.disabled, Kind::Check)
            .hint(t().directory.disabled_group_hint),
        Field::new("/quotaOctets", t().directory.quota, Kind::Octets)
            .hint(t().directory.quota_hint),
    ];
    card(
        t().general,
        "",
        common::edit(common::of(API, id), reply, fields, loaded),
    )
}

fn addresses(id: &str, reply: &Reply, loaded: Loaded) -> AnyView {
    card(
        t().directory.addresses,
        t().directory.addresses_lead,
        addresses_of(id, reply, loaded),
    )
}

fn forwarding(id: &str, reply: &Reply, loaded: Loaded) -> AnyView {
    card(
        t().forwarding,
        t().directory.forwarding_lead,
        forwarding_form(API, id, reply, loaded),
    )
}

fn members(id: &str, may_change: bool) -> AnyView {
    let members = format!("{}/members", common::of(API, id));
    let mut list = List::new(t().directory.members, members.clone(), "/id");
    list.columns = vec![
        Column::new(t().name, |row| {
            let address = common::of("/admin/accounts", read::text(row, "/id"));
            common::link(address, read::text(row, "/name"))
        })
        .sorted("name"),
        Column::new(t().description, |row| {
            read::text(row, "/description").to_owned().into_any()
        }),
    ];
    list.searches = vec![("q", t().directory.search)];
    list.empty = t().directory.no_members;
    let changed = list.changed;
    let add = may_change.then(|| {
        let members = members.clone();
        let fields = vec![
            Field::new("/name", t().account, Kind::Address)
                .required()
                .hint(t().directory.member_hint),
        ];
        let sent = send(move |value| {
            let members = members.clone();
            async move {
                let id = id_of_account(read::text(&value, "/name")).await?;
                put(&format!("{members}/{}", query::encode(&id))).await?;
                toast::show(t().added);
                changed.update(|count| *count += 1);
                Ok(())
            }
        });
        card(
            t().directory.add_member,
            t().directory.add_member_lead,
            form(fields, t().directory.add, sent),
        )
    });
    if may_change {
        list.bulk = vec![Bulk::new(t().remove, t().removed_count, move |row| {
            let address = format!("{members}/{}", query::encode(read::text(&row, "/id")));
            async move {
                api::delete(&address).await?;
                Ok(back(move || {
                    let address = address.clone();
                    async move { put(&address).await }
                }))
            }
        })];
    }
    view! { {table(list)} {add} }.into_any()
}

/// The id of the account with this name or address.
async fn id_of_account(name: &str) -> Result<String, Problem> {
    let found = api::get(&query::with("/accounts", &[("q", name), ("limit", "200")]))
        .await?
        .body;
    let is_it = |row: &&Value| {
        let name = name.to_lowercase();
        read::text(row, "/name").to_lowercase() == name
            || read::texts(row, "/addresses").contains(&name)
    };
    match read::items(&found, "/items").iter().find(is_it) {
        Some(row) => Ok(read::text(row, "/id").to_owned()),
        None => Err(Problem {
            fields: vec![(
                "/name".into(),
                fill(t().directory.no_such_account, &[("name", name)]),
            )],
            ..Problem::default()
        }),
    }
}

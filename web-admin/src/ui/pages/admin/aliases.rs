//! Aliases: addresses alone, whose mail goes on to others.

use leptos::prelude::*;
use serde_json::{Value, json};

use crate::{
    json as read,
    messages::t,
    ui::{
        api,
        components::{
            form::{Field, Kind},
            load::Loaded,
            page::{self, card},
            table::{Bulk, Column, List, back, table},
        },
        pages::common,
        session::Session,
    },
};

const API: &str = "/aliases";

pub fn page(session: &Session) -> AnyView {
    let mut list = List::new(t().aliases, API, "/id");
    list.columns = vec![
        Column::new(t().address, |row| {
            let address = common::of("/admin/aliases", read::text(row, "/id"));
            view! {
                {common::link(address, read::text(row, "/address"))}
                <div class="sub">{read::text(row, "/description").to_owned()}</div>
            }
            .into_any()
        })
        .sorted("name"),
        Column::new(t().directory.goes_to, |row| {
            read::texts(row, "/to").join(", ").into_any()
        }),
        Column::new(t().state, super::accounts::state),
        Column::new(t().directory.created, |row| page::date_at(row, "/created"))
            .sorted("created")
            .class("nowrap"),
    ];
    list.searches = vec![("q", t().directory.search_aliases)];
    list.empty = t().directory.no_aliases;
    list.in_address = true;
    let address: fn(&Value) -> String = |row| common::of(API, read::text(row, "/id"));
    if session.may("account.change") {
        list.bulk = vec![
            common::bulk_disable(true, address),
            common::bulk_disable(false, address),
        ];
    }
    if session.may("account.remove") && session.may("account.add") {
        list.bulk
            .push(Bulk::new(t().remove, t().removed_count, move |row| {
                remove(address(&row), row)
            }));
    }
    let changed = list.changed;
    let add = session.may("account.add").then(|| {
        common::add(t().directory.add_alias, API, fields, move |_| {
            changed.update(|count| *count += 1)
        })
    });
    view! {
        {page::head(t().aliases, t().directory.aliases_lead, add.into_any())}
        {table(list)}
    }
    .into_any()
}

/// An alias is nothing but what its row shows, so it can be made again.
async fn remove(
    address: String,
    row: Value,
) -> Result<Option<crate::ui::components::table::Back>, crate::problem::Problem> {
    api::delete(&address).await?;
    let same = json!({
        "address": read::text(&row, "/address"),
        "description": read::text(&row, "/description"),
        "to": read::texts(&row, "/to"),
    });
    Ok(back(move || {
        let same = same.clone();
        async move { api::post(API, &same).await.map(|_| ()) }
    }))
}

fn fields() -> Vec<Field> {
    vec![
        Field::new("/address", t().address, Kind::Address).required(),
        Field::new("/to", t().directory.goes_to, Kind::Lines)
            .required()
            .hint(t().one_a_line),
        Field::new("/description", t().description, Kind::Text).empty_is_text(),
    ]
}

/// One alias.
pub fn one(session: &Session, id: &str) -> AnyView {
    let loaded = Loaded::of(common::of(API, id));
    let title = move || match loaded.answer.get() {
        Some(Ok(reply)) => read::text(&reply.body, "/address").to_owned(),
        _ => String::new(),
    };
    let (id, may_change) = (id.to_owned(), session.may("account.change"));
    view! {
        {page::crumbs("/admin/aliases", t().aliases)}
        {page::head_of(title, ().into_any())}
        {loaded.show(move |reply| {
            let content = match may_change {
                true => {
                    let fields = vec![
                        Field::new("/to", t().directory.goes_to, Kind::Lines).required().hint(t().one_a_line),
                        Field::new("/description", t().description, Kind::Text).empty_is_text(),
                        Field::new("/disabled", t().directory.disabled, Kind::Check).hint(t().directory.disabled_group_hint),
                    ];
                    common::edit(common::of(API, &id), &reply, fields, loaded)
                }
                false => page::facts(vec![
                    (t().directory.goes_to, read::texts(&reply.body, "/to").join(", ").into_any()),
                    (t().description, read::text(&reply.body, "/description").to_owned().into_any()),
                    (t().state, super::accounts::state(&reply.body)),
                ]),
            };
            card(t().general, "", content)
        })}
    }
    .into_any()
}

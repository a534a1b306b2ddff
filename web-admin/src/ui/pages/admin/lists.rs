//! Lists: each member gets a copy of what comes to them.

use leptos::prelude::*;
use serde_json::Value;

use crate::{
    format, json as read,
    messages::t,
    ui::{
        components::{
            dialog::{Question, questions},
            form::{Field, Kind},
            load::Loaded,
            page::{self, card},
            table::{Column, List, table},
        },
        pages::common,
        route,
        session::Session,
    },
};

const API: &str = "/lists";

pub fn page(session: &Session) -> AnyView {
    let mut list = List::new(t().lists, API, "/id");
    list.columns = vec![
        Column::new(t().address, |row| {
            let address = common::of("/admin/lists", read::text(row, "/id"));
            view! {
                {common::link(address, read::text(row, "/address"))}
                <div class="sub">{read::text(row, "/description").to_owned()}</div>
            }
            .into_any()
        })
        .sorted("name"),
        Column::new(t().directory.members, |row| {
            format::count(read::items(row, "/members").len() as u64).into_any()
        })
        .class("number"),
        Column::new(t().directory.posters, |row| {
            posters(read::text(row, "/posters")).into_any()
        }),
        Column::new(t().directory.created, |row| page::date_at(row, "/created"))
            .sorted("created")
            .class("nowrap"),
    ];
    list.searches = vec![("q", t().directory.search_lists)];
    list.empty = t().directory.no_lists;
    list.in_address = true;
    if session.may("account.remove") {
        let address: fn(&Value) -> String = |row| common::of(API, read::text(row, "/id"));
        list.bulk = vec![common::bulk_remove(t().directory.remove_lists, address)];
    }
    let own = session.name.clone();
    let add = session.may("account.add").then(|| {
        let fields = move || {
            vec![
                Field::new("/address", t().address, Kind::Address).required(),
                Field::new("/description", t().description, Kind::Text),
                Field::new("/owner", t().directory.owner, Kind::Address)
                    .required()
                    .value(own.clone())
                    .hint(t().directory.owner_hint),
                Field::new("/posters", t().directory.posters, posters_choices()).value("members"),
                Field::new("/members", t().directory.members, Kind::Lines).hint(t().one_a_line),
            ]
        };
        common::add(t().directory.add_list, API, fields, |reply| {
            route::go(&common::of("/admin/lists", read::text(&reply.body, "/id")));
        })
    });
    view! {
        {page::head(t().lists, t().directory.lists_lead, add.into_any())}
        {table(list)}
    }
    .into_any()
}

fn all_posters() -> [(&'static str, &'static str); 3] {
    [
        ("anyone", t().directory.posters_anyone),
        ("members", t().directory.posters_members),
        ("domain", t().directory.posters_domain),
    ]
}

fn posters(of: &str) -> &'static str {
    let found = all_posters().into_iter().find(|(name, _)| *name == of);
    found.map_or("", |(_, text)| text)
}

fn posters_choices() -> Kind {
    let choices = all_posters().into_iter();
    Kind::Choice(
        choices
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .collect(),
    )
}

/// One list.
pub fn one(session: &Session, id: &str) -> AnyView {
    let loaded = Loaded::of(common::of(API, id));
    let question = RwSignal::new(None::<Question>);
    let title = move || match loaded.answer.get() {
        Some(Ok(reply)) => read::text(&reply.body, "/address").to_owned(),
        _ => String::new(),
    };
    let remove = session.may("account.remove").then(|| {
        common::remove(
            question,
            (t().directory.remove_this_list, t().directory.remove_list),
            id.to_owned(),
            common::of(API, id),
            "/admin/lists",
        )
    });
    let (id, may_change) = (id.to_owned(), session.may("account.change"));
    view! {
        {page::crumbs("/admin/lists", t().lists)}
        {page::head_of(title, remove.into_any())}
        {loaded.show(move |reply| {
            let content = match may_change {
                true => {
                    let fields = vec![
                        Field::new("/description", t().description, Kind::Text).empty_is_text(),
                        Field::new("/posters", t().directory.posters, posters_choices()),
                        Field::new("/members", t().directory.members, Kind::Lines).hint(t().one_a_line),
                    ];
                    common::edit(common::of(API, &id), &reply, fields, loaded)
                }
                false => page::facts(vec![
                    (t().description, read::text(&reply.body, "/description").to_owned().into_any()),
                    (t().directory.posters, posters(read::text(&reply.body, "/posters")).into_any()),
                    (t().directory.members, read::texts(&reply.body, "/members").join(", ").into_any()),
                ]),
            };
            card(t().general, "", content)
        })}
        {questions(question)}
    }
    .into_any()
}

//! Lists: each member gets a copy of what comes to them.

use leptos::prelude::*;

use super::addressed::Objects;
use crate::{
    format, json as read,
    messages::t,
    ui::{
        components::{
            form::{Field, Kind},
            load::Loaded,
            page::{self, card},
            table::{Column, table},
        },
        pages::common,
        route,
        session::Session,
    },
};

const API: &str = "/lists";

fn objects() -> Objects {
    Objects {
        title: t().lists,
        api: API,
        page: "/admin/lists",
        name: "/address",
        search: t().directory.search_lists,
        empty: t().directory.no_lists,
    }
}

/// What makes another one that is the same.
const MEMBERS: &[&str] = &["address", "description", "owner", "posters", "members"];

pub fn page(session: &Session) -> AnyView {
    let members = Column::new(t().directory.members, |row| {
        format::count(read::items(row, "/members").len() as u64).into_any()
    });
    let may_write = Column::new(t().directory.posters, |row| {
        posters(read::text(row, "/posters")).into_any()
    });
    let mut list = objects().list(vec![members.class("number"), may_write]);
    if may_remove(session) {
        list.bulk.push(objects().removing_whole(MEMBERS));
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

/// Who can't make it again is not offered a way back, and so no removal.
fn may_remove(session: &Session) -> bool {
    session.may("account.remove") && session.may("account.add")
}

/// One list.
pub fn one(session: &Session, id: &str) -> AnyView {
    let loaded = Loaded::of(common::of(API, id));
    let remove = may_remove(session).then(|| {
        let label = t().directory.remove_this_list;
        objects().remove_one_whole(label, loaded, MEMBERS)
    });
    let (id, may_change) = (id.to_owned(), session.may("account.change"));
    view! {
        {objects().head(loaded, remove.into_any())}
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
    }
    .into_any()
}

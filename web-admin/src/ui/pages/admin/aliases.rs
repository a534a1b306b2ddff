//! Aliases: addresses alone, whose mail goes on to others.

use leptos::prelude::*;

use super::addressed::Objects;
use crate::{
    json as read,
    messages::t,
    ui::{
        components::{
            form::{Field, Kind},
            load::Loaded,
            page::{self, card},
            table::{Column, table},
        },
        pages::common,
        session::Session,
    },
};

fn objects() -> Objects {
    Objects {
        title: t().aliases,
        api: "/aliases",
        page: "/admin/aliases",
        name: "/address",
        search: t().directory.search_aliases,
        empty: t().directory.no_aliases,
    }
}

/// What makes another one that is the same.
const MEMBERS: &[&str] = &["address", "description", "to"];

pub fn page(session: &Session) -> AnyView {
    let goes_to = Column::new(t().directory.goes_to, |row| {
        read::texts(row, "/to").join(", ").into_any()
    });
    let state = Column::new(t().state, super::accounts::state);
    let mut list = objects().list(vec![goes_to, state]);
    if session.may("account.change") {
        list.bulk.extend(objects().disabling());
    }
    if may_remove(session) {
        list.bulk.push(objects().removing_whole(MEMBERS));
    }
    let changed = list.changed;
    let add = session.may("account.add").then(|| {
        common::add(t().directory.add_alias, objects().api, fields, move |_| {
            changed.update(|count| *count += 1)
        })
    });
    view! {
        {page::head(t().aliases, t().directory.aliases_lead, add.into_any())}
        {table(list)}
    }
    .into_any()
}

/// Who can't make it again is not offered a way back, and so no removal.
fn may_remove(session: &Session) -> bool {
    session.may("account.remove") && session.may("account.add")
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
    let loaded = Loaded::of(common::of(objects().api, id));
    let remove = may_remove(session).then(|| {
        let label = t().directory.remove_this_alias;
        objects().remove_one_whole(label, loaded, MEMBERS)
    });
    let (id, may_change) = (id.to_owned(), session.may("account.change"));
    view! {
        {objects().head(loaded, remove.into_any())}
        {loaded.show(move |reply| {
            let content = match may_change {
                true => {
                    let fields = vec![
                        Field::new("/to", t().directory.goes_to, Kind::Lines).required().hint(t().one_a_line),
                        Field::new("/description", t().description, Kind::Text).empty_is_text(),
                        Field::new("/disabled", t().directory.disabled, Kind::Check).hint(t().directory.disabled_group_hint),
                    ];
                    common::edit(common::of(objects().api, &id), &reply, fields, loaded)
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

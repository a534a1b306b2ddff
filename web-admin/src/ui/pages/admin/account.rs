//! One account.

use leptos::prelude::*;
use serde_json::{Value, json};

use super::{accounts::role_choices, credentials, sessions};
use crate::{
    format, json as read,
    messages::{fill, t},
    ui::{
        api::{self, Reply},
        components::{
            dialog::{Question, questions},
            form::{Field, Kind, form, send},
            load::Loaded,
            page::{self, card, facts, usage},
            table::{Bulk, Column, List, table},
            tabs::tabs,
            toast,
        },
        pages::common,
        session::Session,
    },
};

const API: &str = super::accounts::API;

pub fn page(session: &Session, id: &str) -> AnyView {
    let address = common::of(API, id);
    let loaded = Loaded::of(address.clone());
    let question = RwSignal::new(None::<Question>);
    let title = move || match loaded.answer.get() {
        Some(Ok(reply)) => read::text(&reply.body, "/name").to_owned(),
        _ => String::new(),
    };
    let remove = session.may("account.remove").then(|| {
        common::remove(
            question,
            (
                t().directory.remove_this_account,
                t().directory.remove_account,
            ),
            id.to_owned(),
            address.clone(),
            "/admin/accounts",
        )
    });
    let may_change = session.may("account.change");
    let may_give = session.may("account.role");
    let is_of = |part: fn(&str, &Reply, Loaded) -> AnyView| {
        let id = id.to_owned();
        ViewFn::from(move || {
            let id = id.clone();
            loaded.show(move |reply| part(&id, &reply, loaded))
        })
    };
    let mut parts: Vec<(&'static str, &'static str, ViewFn)> = Vec::new();
    if may_change {
        let id = id.to_owned();
        parts.push((
            "general",
            t().general,
            ViewFn::from(move || {
                let id = id.clone();
                loaded.show(move |reply| general(&id, &reply, loaded, may_give))
            }),
        ));
        parts.push(("addresses", t().directory.addresses, is_of(addresses)));
        parts.push(("forwarding", t().forwarding, is_of(forwarding)));
        parts.push(("limits", t().directory.limits, is_of(limits)));
    } else {
        parts.push(("general", t().general, is_of(seen)));
    }
    if session.may("credential.password") {
        let (id, may_see) = (id.to_owned(), session.may_to("credential.see", id));
        parts.push((
            "credentials",
            t().credentials,
            ViewFn::from(move || {
                let id = id.clone();
                loaded.show(move |reply| {
                    credentials::part(&id, read::text(&reply.body, "/name"), may_see)
                })
            }),
        ));
    }
    if session.may("session.see") {
        let (id, may_end) = (id.to_owned(), session.may("session.end"));
        let address = crate::query::with("/sessions", &[("account", &id)]);
        parts.push((
            "sessions",
            t().access.sessions,
            ViewFn::from(move || sessions::of_account(&id, address.clone(), may_end)),
        ));
    }
    if session.may_to("deleted.see", id) {
        let (id, may_restore) = (id.to_owned(), session.may_to("deleted.restore", id));
        let part = move || deleted(&id, may_restore);
        parts.push(("deleted", t().deleted_mail, ViewFn::from(part)));
    }
    view! {
        {page::crumbs("/admin/accounts", t().accounts)}
        {page::head_of(title, remove.into_any())}
        {tabs(t().account, parts)}
        {questions(question)}
    }
    .into_any()
}

fn seen(_: &str, reply: &Reply, _: Loaded) -> AnyView {
    let body = &reply.body;
    let used = read::number(body, "/usedOctets").unwrap_or_default();
    let rows = vec![
        (t().name, read::text(body, "/name").to_owned().into_any()),
        (
            t().description,
            read::text(body, "/description").to_owned().into_any(),
        ),
        (
            t().directory.role,
            super::accounts::role_name(read::text(body, "/role")).into_any(),
        ),
        (t().state, super::accounts::state(body)),
        (
            t().directory.addresses,
            read::texts(body, "/addresses").join(", ").into_any(),
        ),
        (
            t().storage,
            usage(used, read::number(body, "/quotaOctets").unwrap_or_default()),
        ),
        (t().directory.created, page::date_at(body, "/created")),
    ];
    card(t().general, "", facts(rows))
}

fn general(id: &str, reply: &Reply, loaded: Loaded, may_give: bool) -> AnyView {
    let mut fields = vec![
        Field::new("/name", t().name, Kind::Address)
            .required()
            .hint(t().directory.account_rename_hint),
        Field::new("/description", t().description, Kind::Text).empty_is_text(),
        Field::new("/disabled", t().directory.disabled, Kind::Check)
            .hint(t().directory.disabled_hint),
    ];
    if may_give {
        fields.push(Field::new("/role", t().directory.role, role_choices()));
        fields.push(
            Field::new("/administers", t().directory.administers, Kind::Lines)
                .hint(t().directory.administers_hint),
        );
    }
    card(
        t().general,
        "",
        common::edit(common::of(API, id), reply, fields, loaded),
    )
}

fn limits(id: &str, reply: &Reply, loaded: Loaded) -> AnyView {
    let used = read::number(&reply.body, "/usedOctets").unwrap_or_default();
    let fields = vec![
        Field::new("/quotaOctets", t().directory.quota, Kind::Octets)
            .hint(t().directory.quota_hint),
        Field::new("/recipientsPerHour", t().recipients_per_hour, Kind::Number)
            .hint(t().directory.quota_hint),
        Field::new("/recipientsPerDay", t().recipients_per_day, Kind::Number)
            .hint(t().directory.quota_hint),
    ];
    let content = view! {
        <div class="note">{usage(used, read::number(&reply.body, "/quotaOctets").unwrap_or_default())}</div>
        {common::edit(common::of(API, id), reply, fields, loaded)}
    };
    card(t().directory.limits, "", content.into_any())
}

/// Where mail goes on to. An empty list of addresses: nowhere.
fn forwarding(id: &str, reply: &Reply, loaded: Loaded) -> AnyView {
    card(
        t().forwarding,
        t().directory.forwarding_lead,
        forwarding_form(API, id, reply, loaded),
    )
}

pub fn forwarding_form(list: &'static str, id: &str, reply: &Reply, loaded: Loaded) -> AnyView {
    let now = reply.body.get("forwarding").cloned().unwrap_or_default();
    let keeps = now.is_null() || read::flag(&now, "/keepsCopy");
    let fields = vec![
        Field::new("/to", t().forward_to, Kind::Lines)
            .from(&now)
            .hint(t().one_a_line),
        Field::new("/keepsCopy", t().keeps_copy, Kind::Check).value(keeps),
    ];
    let (address, etag) = (common::of(list, id), reply.etag.clone());
    let before = json!({"forwarding": now});
    let sent = send(move |value| {
        let (address, etag, before) = (address.clone(), etag.clone(), before.clone());
        async move {
            let forwarding = match read::items(&value, "/to").is_empty() {
                true => Value::Null,
                false => value,
            };
            let changes = json!({"forwarding": forwarding});
            if common::change(&address, &etag, &changes, loaded).await? {
                let back = common::undo(address, before, loaded);
                toast::show_with(t().saved.to_owned(), Some(back));
            }
            Ok(())
        }
    });
    form(fields, t().save, sent)
}

fn addresses(id: &str, reply: &Reply, loaded: Loaded) -> AnyView {
    card(
        t().directory.addresses,
        t().directory.addresses_lead,
        addresses_of(id, reply, loaded),
    )
}

/// The addresses of an account or a group: added, and taken away with a way back.
pub fn addresses_of(id: &str, reply: &Reply, loaded: Loaded) -> AnyView {
    let name = read::text(&reply.body, "/name").to_owned();
    let of = {
        let id = id.to_owned();
        move |address: &str| {
            format!(
                "{}/addresses/{}",
                common::of(API, &id),
                crate::query::encode(address)
            )
        }
    };
    let rows = read::texts(&reply.body, "/addresses")
        .into_iter()
        .map(|address| {
            let is_name = address == name;
            let path = of(&address);
            let shown = address.clone();
            let take = move || {
                let (path, address) = (path.clone(), address.clone());
                async move {
                    api::delete(&path).await?;
                    loaded.again();
                    let undo: toast::Undo = std::sync::Arc::new(move || {
                        let path = path.clone();
                        crate::ui::components::load::run(async move {
                            put(&path).await?;
                            loaded.again();
                            toast::show(t().undone);
                            Ok(())
                        });
                    });
                    toast::show_with(
                        fill(t().directory.address_removed, &[("address", &address)]),
                        Some(undo),
                    );
                    Ok(())
                }
            };
            let act = match is_name {
                true => view! { <span class="muted">{t().directory.is_its_name}</span> }.into_any(),
                false => common::button(t().remove, "small danger", take),
            };
            view! { <tr><td data-label=t().address>{shown}</td><td class="act">{act}</td></tr> }
        });
    let rows = rows.collect_view();
    let fields = vec![Field::new("/address", t().directory.new_address, Kind::Address).required()];
    let sent = send(move |value| {
        let path = of(read::text(&value, "/address"));
        async move {
            put(&path).await?;
            toast::show(t().added);
            loaded.again();
            Ok(())
        }
    });
    view! {
        <table class="cards-on-phone">
            <caption class="visually-hidden">{t().directory.addresses}</caption>
            <thead><tr><th scope="col">{t().address}</th><th scope="col"><span class="visually-hidden">{t().actions}</span></th></tr></thead>
            <tbody>{rows}</tbody>
        </table>
        {form(fields, t().directory.add_address, sent)}
    }
    .into_any()
}

pub async fn put(address: &str) -> Result<(), crate::problem::Problem> {
    api::Call::new("PUT", address).send().await?;
    Ok(())
}

/// Mail that was deleted, and the way back.
fn deleted(id: &str, may_restore: bool) -> AnyView {
    let address = format!("{}/deleted", common::of(API, id));
    let mut list = List::new(t().deleted_mail, address.clone(), "/id");
    list.columns = vec![
        Column::new(t().subject, |row| match read::text(row, "/subject") {
            "" => t().no_subject.into_any(),
            subject => subject.to_owned().into_any(),
        }),
        Column::new(t().from, |row| {
            read::texts(row, "/from").join(", ").into_any()
        }),
        Column::new(t().deleted, |row| page::date_at(row, "/deleted")).class("nowrap"),
        Column::new(t().size, |row| {
            format::octets(read::number(row, "/size").unwrap_or_default()).into_any()
        })
        .class("number nowrap"),
    ];
    list.searches = vec![("q", t().search_deleted)];
    list.empty = t().nothing_deleted;
    if may_restore {
        list.bulk = vec![Bulk::new(t().restore, t().restored, move |row| {
            let of = crate::query::encode(read::text(&row, "/id"));
            let address = format!("{address}/{of}/restore");
            async move {
                api::post(&address, &json!({})).await?;
                Ok(None)
            }
        })];
    }
    table(list)
}

//! Domains: the list, and one of them.

use leptos::prelude::*;
use serde_json::Value;

use super::{dkim, dns};
use crate::{
    format, json as read,
    messages::t,
    query,
    ui::{
        api::Reply,
        components::{
            dialog::{Question, questions},
            form::{Field, Kind},
            load::Loaded,
            page::{self, card},
            table::{Column, List, table},
            tabs::tabs,
        },
        pages::common,
        route,
        session::Session,
    },
};

const API: &str = "/domains";

pub fn page(session: &Session) -> AnyView {
    let mut list = List::new(t().domains, API, "/name");
    list.columns = vec![
        Column::new(t().name, |row| {
            let name = read::text(row, "/name");
            common::link(common::of("/admin/domains", name), name)
        })
        .sorted("name"),
        Column::new(t().directory.alias_of, |row| {
            read::text(row, "/aliasOf").to_owned().into_any()
        }),
        Column::new(t().directory.accounts_max, |row| {
            limit(row, "/accountsMax", format::count)
        })
        .class("number"),
        Column::new(t().directory.quota, |row| {
            limit(row, "/quotaOctets", format::octets)
        })
        .class("number nowrap"),
        Column::new(t().directory.created, |row| page::date_at(row, "/created"))
            .sorted("created")
            .class("nowrap"),
    ];
    list.searches = vec![("q", t().directory.search_domains)];
    list.empty = t().no_domains;
    list.in_address = true;
    if session.may("domain.remove") {
        list.bulk = vec![common::bulk_remove(t().directory.remove_domains, |row| {
            common::of(API, read::text(row, "/name"))
        })];
    }
    let add = session.may("domain.add").then(|| {
        common::add(t().add_domain, API, fields_of_new, |reply| {
            route::go(&common::of(
                "/admin/domains",
                read::text(&reply.body, "/name"),
            ));
        })
    });
    view! {
        {page::head(t().domains, t().directory.domains_lead, add.into_any())}
        {table(list)}
    }
    .into_any()
}

fn fields_of_new() -> Vec<Field> {
    vec![
        Field::new("/name", t().name, Kind::Text)
            .required()
            .hint(t().domain_hint),
    ]
}

/// A limit, where there is one.
fn limit(row: &Value, pointer: &str, show: fn(u64) -> String) -> AnyView {
    match read::number(row, pointer) {
        Some(limit) => show(limit).into_any(),
        None => view! { <span class="muted">{t().directory.no_limit}</span> }.into_any(),
    }
}

/// One domain.
pub fn one(session: &Session, name: &str) -> AnyView {
    let loaded = Loaded::of(common::of(API, name));
    let question = RwSignal::new(None::<Question>);
    let remove = session.may("domain.remove").then(|| {
        common::remove(
            question,
            (
                t().directory.remove_this_domain,
                t().directory.remove_domain,
            ),
            name.to_owned(),
            common::of(API, name),
            "/admin/domains",
        )
    });
    let is_limits = session.may("domain.limit");
    let name = name.to_owned();
    let of_accounts = name.clone();
    let settings = move || {
        loaded.show({
            let name = name.clone();
            move |reply| settings(&name, &reply, loaded, is_limits)
        })
    };
    let title = of_accounts.clone();
    let mut parts: Vec<(&'static str, &'static str, ViewFn)> =
        vec![("settings", t().settings, ViewFn::from(settings))];
    if session.may("dns.see") {
        let (of_dns, of_keys) = (title.clone(), title.clone());
        let may_rotate = session.may("dkim.rotate");
        parts.push((
            "dns",
            t().directory.dns,
            ViewFn::from(move || dns::part(&of_dns)),
        ));
        let keys = move || dkim::part(&of_keys, may_rotate);
        parts.push(("dkim", t().dkim, ViewFn::from(keys)));
    }
    let accounts = move || accounts(&of_accounts);
    parts.push(("accounts", t().accounts, ViewFn::from(accounts)));
    view! {
        {page::crumbs("/admin/domains", t().domains)}
        {page::head(title, "", remove.into_any())}
        {tabs(t().domain, parts)}
        {questions(question)}
    }
    .into_any()
}

fn settings(name: &str, reply: &Reply, loaded: Loaded, is_limits: bool) -> AnyView {
    // The API tells an id, and takes a name as well.
    let mut fields = vec![
        Field::new("/catchAll", t().directory.catch_all, Kind::Address)
            .hint(t().directory.catch_all_hint),
    ];
    if is_limits {
        fields.extend([
            Field::new("/aliasOf", t().directory.alias_of, Kind::Text)
                .hint(t().directory.alias_of_hint),
            Field::new("/accountsMax", t().directory.accounts_max, Kind::Number)
                .hint(t().directory.empty_no_limit),
            Field::new("/quotaOctets", t().directory.quota, Kind::Octets)
                .hint(t().directory.empty_no_limit),
            Field::new("/recipientsPerHour", t().recipients_per_hour, Kind::Number)
                .hint(t().directory.empty_no_limit),
            Field::new("/recipientsPerDay", t().recipients_per_day, Kind::Number)
                .hint(t().directory.empty_no_limit),
            Field::new("/srsDomain", t().directory.srs_domain, Kind::Text)
                .hint(t().directory.srs_domain_hint),
        ]);
    }
    card(
        t().settings,
        "",
        common::edit(common::of(API, name), reply, fields, loaded),
    )
}

fn accounts(name: &str) -> AnyView {
    let mut list = List::new(
        t().accounts,
        query::with("/accounts", &[("domain", name)]),
        "/id",
    );
    list.columns = super::accounts::columns();
    list.searches = vec![("q", t().directory.search)];
    table(list)
}

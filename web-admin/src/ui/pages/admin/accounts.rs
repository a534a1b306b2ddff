//! Accounts of people.

use leptos::prelude::*;
use serde_json::Value;

use crate::{
    json as read,
    messages::t,
    ui::{
        components::{
            form::{Field, Kind},
            page::{self, Tone, badge, usage},
            table::{Column, List, table},
        },
        pages::common,
        route,
        session::Session,
    },
};

pub const API: &str = "/accounts";

pub fn page(session: &Session) -> AnyView {
    let mut list = List::new(t().accounts, API, "/id");
    list.columns = columns();
    list.searches = vec![("q", t().directory.search_accounts)];
    list.empty = t().directory.no_accounts;
    list.in_address = true;
    let mut roles = vec![("", t().directory.all_roles)];
    roles.extend(roles_of());
    list.filters = vec![
        ("role", t().directory.role, roles),
        (
            "disabled",
            t().state,
            vec![
                ("", t().all_states),
                ("false", t().active),
                ("true", t().directory.disabled),
            ],
        ),
    ];
    let address: fn(&Value) -> String = |row| common::of(API, read::text(row, "/id"));
    if session.may("account.change") {
        list.bulk = vec![
            common::bulk_disable(true, address),
            common::bulk_disable(false, address),
        ];
    }
    if session.may("account.remove") {
        list.bulk
            .push(common::bulk_remove(t().directory.remove_accounts, address));
    }
    let gives_roles = session.may("account.role");
    let add = session.may("account.add").then(|| {
        common::add(
            t().add_account,
            API,
            move || fields_of_new(gives_roles),
            |reply| {
                route::go(&common::of(
                    "/admin/accounts",
                    read::text(&reply.body, "/id"),
                ));
            },
        )
    });
    view! {
        {page::head(t().accounts, t().directory.accounts_lead, add.into_any())}
        {table(list)}
    }
    .into_any()
}

/// (as the API has it, as people call it)
pub fn roles_of() -> [(&'static str, &'static str); 4] {
    [
        ("user", t().directory.role_user),
        ("help-desk", t().directory.role_help_desk),
        (
            "domain-administrator",
            t().directory.role_domain_administrator,
        ),
        ("administrator", t().directory.role_administrator),
    ]
}

pub fn role_name(role: &str) -> &'static str {
    let found = roles_of().into_iter().find(|(of, _)| *of == role);
    found.map_or("", |(_, name)| name)
}

pub fn role_choices() -> Kind {
    let choices = roles_of().into_iter();
    Kind::Choice(
        choices
            .map(|(role, name)| (role.to_owned(), name.to_owned()))
            .collect(),
    )
}

fn fields_of_new(gives_roles: bool) -> Vec<Field> {
    let mut fields = vec![
        Field::new("/name", t().address, Kind::Username)
            .required()
            .hint(t().account_name_hint),
        Field::new("/description", t().description, Kind::Text),
        Field::new("/password", t().password, Kind::NewPassword)
            .hint(t().directory.new_account_password_hint),
        Field::new("/quotaOctets", t().directory.quota, Kind::Octets)
            .hint(t().directory.quota_hint),
    ];
    if gives_roles {
        fields.push(Field::new("/role", t().directory.role, role_choices()).value("user"));
    }
    fields
}

pub fn columns() -> Vec<Column> {
    vec![
        Column::new(t().name, name).sorted("name"),
        Column::new(t().directory.role, |row| {
            let role = read::text(row, "/role");
            match role {
                "user" => role_name(role).into_any(),
                _ => badge(Tone::Accent, role_name(role)),
            }
        }),
        Column::new(t().state, state),
        Column::new(t().storage, |row| {
            let used = read::number(row, "/usedOctets").unwrap_or_default();
            usage(used, read::number(row, "/quotaOctets").unwrap_or_default())
        }),
        Column::new(t().directory.created, |row| page::date_at(row, "/created"))
            .sorted("created")
            .class("nowrap"),
    ]
}

pub fn state(row: &Value) -> AnyView {
    match read::flag(row, "/disabled") {
        true => badge(Tone::Warn, t().directory.disabled),
        false => badge(Tone::Good, t().active),
    }
}

fn name(row: &Value) -> AnyView {
    let address = common::of("/admin/accounts", read::text(row, "/id"));
    let more = read::items(row, "/addresses").len().saturating_sub(1);
    let more = (more > 0).then(|| view! { <span class="sub">{format!(" +{more}")}</span> });
    view! {
        {common::link(address, read::text(row, "/name"))}{more}
        <div class="sub">{read::text(row, "/description").to_owned()}</div>
    }
    .into_any()
}

//! From nothing to mail that flows both ways, step by step. Each step sees by itself whether it is done, so that it can be left and
//! gone on with at any time.

use std::time::Duration;

use leptos::prelude::*;
use serde_json::Value;

use super::{accounts, dns, queue};
use crate::{
    json as read,
    messages::{fill, t},
    query,
    ui::{
        api::{self, Reply},
        components::{
            form::{Field, Kind, form, send},
            load::{Loaded, waiting},
            page::{self, Tone, badge, note},
            toast,
        },
        pages::common,
        route,
        session::Session,
    },
};

/// How often it is looked whether a mail has come or gone.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// `?domain=`: which one is set up; without it, the first.
pub fn page(session: &Session) -> AnyView {
    let domains = Loaded::of("/domains?sort=created&limit=200");
    let may_add = session.may("domain.add");
    view! {
        {page::head(t().setup, t().setup_lead, ().into_any())}
        {domains.show(move |reply| {
            let names = read::items(&reply.body, "/items").iter().map(|of| read::text(of, "/name").to_owned());
            steps(&names.collect::<Vec<_>>(), domains, may_add)
        })}
    }
    .into_any()
}

fn steps(names: &[String], domains: Loaded, may_add: bool) -> AnyView {
    let asked = route::current().get_untracked().parameter("domain");
    let chosen = names.iter().find(|name| **name == asked).or(names.first());
    let Some(domain) = chosen.cloned() else {
        return step(1, t().setup_domain, false, first_domain(domains, may_add));
    };
    let accounts = Loaded::of(query::with(
        "/accounts",
        &[("domain", &domain), ("sort", "created"), ("limit", "1")],
    ));
    let done = view! { <p>{fill(t().setup_domain_is, &[("name", &domain)])}</p> };
    view! {
        {step(1, t().setup_domain, true, done.into_any())}
        {step_of_dns(&domain)}
        {move || match accounts.answer.get() {
            Some(Ok(reply)) => last_steps(&domain, &reply, accounts),
            _ => waiting(),
        }}
    }
    .into_any()
}

fn step(number: u32, title: &'static str, is_done: bool, content: AnyView) -> AnyView {
    let state = match is_done {
        true => badge(Tone::Good, t().done),
        false => badge(Tone::Warn, t().to_be_done),
    };
    view! {
        <section class="card step">
            <h2>{format!("{number}. {title} ")}{state}</h2>
            {content}
        </section>
    }
    .into_any()
}

fn first_domain(domains: Loaded, may_add: bool) -> AnyView {
    if !may_add {
        return view! { <p>{t().no_domains}</p> }.into_any();
    }
    let fields = vec![
        Field::new("/name", t().name, Kind::Text)
            .required()
            .hint(t().domain_hint),
    ];
    let sent = send(move |value| async move {
        api::post("/domains", &value).await?;
        toast::show(t().added);
        domains.again();
        Ok(())
    });
    form(fields, t().add_domain, sent)
}

/// The records, and what the DNS has of them.
fn step_of_dns(domain: &str) -> AnyView {
    let of = common::of("/domains", domain);
    let check = Loaded::of(format!("{of}/dns-check"));
    let records = Loaded::of(format!("{of}/dns-records"));
    let is_done =
        move || matches!(check.answer.get(), Some(Ok(reply)) if dns::bad_count(&reply.body) == 0);
    let state = move || match is_done() {
        true => badge(Tone::Good, t().done),
        false => badge(Tone::Warn, t().to_be_done),
    };
    let again = common::button(t().check_again, "primary", move || {
        check.answer.set(None);
        check.again();
        async { Ok(()) }
    });
    view! {
        <section class="card step">
            <h2>{format!("2. {} ", t().setup_dns)}{state}</h2>
            <p>{t().dns_records_lead}</p>
            {records.show(|reply| dns::published(&reply.body))}
            <h3>{t().dns_doctor}</h3>
            {check.show(|reply| dns::findings(&reply.body))}
            <div class="actions">{again}</div>
        </section>
    }
    .into_any()
}

fn last_steps(domain: &str, reply: &Reply, accounts: Loaded) -> AnyView {
    let Some(account) = read::items(&reply.body, "/items").first() else {
        return step(3, t().setup_account, false, first_account(domain, accounts));
    };
    let name = read::text(account, "/name").to_owned();
    let of = common::of("/admin/accounts", read::text(account, "/id"));
    view! {
        {step(3, t().setup_account, true, common::link(of, &name))}
        {mail(4, t().setup_mail_in, fill(t().setup_mail_in_lead, &[("name", &name)]), &[("to", &name), ("event", "received")])}
        {mail(5, t().setup_mail_out, fill(t().setup_mail_out_lead, &[("name", &name)]), &[("from", &name), ("event", "attempted")])}
    }
    .into_any()
}

fn first_account(domain: &str, accounts: Loaded) -> AnyView {
    let fields = vec![
        Field::new("/name", t().address, Kind::Username)
            .required()
            .value(format!("@{domain}"))
            .hint(t().account_name_hint),
        Field::new("/password", t().password, Kind::NewPassword)
            .required()
            .hint(t().password_lead),
    ];
    let sent = send(move |value| async move {
        api::post(accounts::API, &value).await?;
        toast::show(t().added);
        accounts.again();
        Ok(())
    });
    form(fields, t().add_account, sent)
}

/// Waits for a mail, and shows what became of it.
fn mail(number: u32, title: &'static str, lead: String, of: &[(&str, &str)]) -> AnyView {
    let mut parameters = of.to_vec();
    parameters.push(("limit", "1"));
    let loaded = Loaded::of(query::with("/traces", &parameters)).keep_fresh(LOOK_EVERY);
    let newest = move || match loaded.answer.get() {
        Some(Ok(reply)) => read::items(&reply.body, "/items").first().cloned(),
        _ => None,
    };
    let newest = Memo::new(move |_| newest());
    let state = move || match newest.with(|newest| newest.as_ref().map(is_good)) {
        Some(true) => badge(Tone::Good, t().done),
        Some(false) => badge(Tone::Bad, t().failed),
        None => badge(Tone::Warn, t().waited_for),
    };
    let content = move || newest.get().map(|of| found(&of));
    view! {
        <section class="card step">
            <h2>{format!("{number}. {title} ")}{state}</h2>
            <p>{lead}</p>
            <div role="status">{content}</div>
        </section>
    }
    .into_any()
}

/// Whether everybody's reply is a good one.
fn is_good(of: &Value) -> bool {
    let mut replies = read::items(of, "/recipients")
        .iter()
        .map(|to| read::text(to, "/reply"));
    replies.all(|reply| reply.is_empty() || reply.starts_with('2'))
}

fn found(of: &Value) -> AnyView {
    let replies = read::items(of, "/recipients").iter().map(|to| {
        let text = format!(
            "{}: {}",
            read::text(to, "/address"),
            read::text(to, "/reply")
        );
        view! { <li>{text}</li> }
    });
    let hosts = read::items(of, "/hosts")
        .iter()
        .map(queue::host)
        .collect_view();
    let way = match read::text(of, "/messageId") {
        "" => ().into_any(),
        id => common::link(common::of("/admin/traces", id), t().journey),
    };
    let tone = if is_good(of) { Tone::Good } else { Tone::Bad };
    let text = if is_good(of) {
        t().mail_went_well
    } else {
        t().mail_went_wrong
    };
    view! {
        {note(tone, text)}
        <p>{page::date_at(of, "/at")}</p>
        <ul>{replies.collect_view()}</ul>
        <ol class="journey">{hosts}</ol>
        {way}
    }
    .into_any()
}

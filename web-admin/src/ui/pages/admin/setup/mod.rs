//! From nothing to mail that flows both ways, step by step. Each step sees by itself whether it is done, so that it can be left and
//! gone on with at any time.

mod mail;
mod send;
mod steps;
mod tls;

use leptos::prelude::*;
use serde_json::{Value, json};

use self::steps::{Step, Steps};
use super::{accounts, dns};
use crate::{
    json as read,
    messages::{fill, t},
    query,
    ui::{
        api,
        components::{
            form::{Field, Kind, form, send},
            load::Loaded,
            page::{self, Tone, note},
            toast,
        },
        pages::common,
        route,
        session::Session,
    },
};

/// The name that a server has which nobody has named.
const NAMELESS: &str = "localhost";

/// `?domain=`: which one is set up; without it, the first.
pub fn page(session: &Session) -> AnyView {
    let may_set = session.may("settings.change");
    let may_certify = session.may("certificate.see");
    let may_add = session.may("domain.add");
    let mut all = Vec::new();
    all.extend(may_set.then_some(Step::Name));
    all.extend([Step::Domain, Step::Dns]);
    all.extend(may_certify.then_some(Step::Tls));
    all.extend([Step::Account, Step::MailIn, Step::MailOut]);
    let steps = Steps::new(all);
    let (own, of_in, of_out) = (session.name.clone(), Step::MailIn, Step::MailOut);
    let mail = move |step: Step| {
        let own = own.clone();
        move |name: String| mail::step(steps, step, &name, &own)
    };
    let domains = Loaded::of("/domains?sort=created&limit=200");
    let place = route::current();
    // The domain that all later steps are about.
    let domain = Memo::new(move |_| match domains.answer.get() {
        Some(Ok(reply)) => chosen(&reply.body, &place.get().parameter("domain")),
        _ => None,
    });
    view! {
        {page::head(t().server.setup, t().server.setup_lead, ().into_any())}
        {steps.progress()}
        <ol class="steps">
            {may_set.then(|| steps.view(Step::Name, name(steps)))}
            {steps.view(Step::Domain, domain_step(steps, domains, domain, may_add))}
            {steps.view(Step::Dns, of_domain(domain, move |name| dns_step(steps, &name)))}
            {may_certify.then(|| steps.view(Step::Tls, tls::step(steps, may_set)))}
            {steps.view(Step::Account, of_domain(domain, move |name| account(steps, &name)))}
            {steps.view(of_in, of_domain(domain, mail(of_in)))}
            {steps.view(of_out, of_domain(domain, mail(of_out)))}
        </ol>
    }
    .into_any()
}

fn chosen(body: &Value, asked: &str) -> Option<String> {
    let names = read::items(body, "/items").iter();
    let mut names = names.map(|of| read::text(of, "/name"));
    let first = names.clone().next();
    let found = names.find(|name| *name == asked).or(first);
    found.map(str::to_owned)
}

/// What is about a domain, once there is one.
fn of_domain(
    domain: Memo<Option<String>>,
    content: impl Fn(String) -> AnyView + Send + Sync + 'static,
) -> AnyView {
    (move || match domain.get() {
        Some(name) => content(name),
        None => view! { <p class="muted">{t().server.domain_first}</p> }.into_any(),
    })
    .into_any()
}

/// The name of the server.
fn name(steps: Steps) -> AnyView {
    let loaded = Loaded::of("/settings/hostname");
    let value = |body: &Value| read::text(body, "/value").trim_matches('"').to_owned();
    Effect::new(move |_| {
        if let Some(Ok(reply)) = loaded.answer.get() {
            steps.is_done(Step::Name, value(&reply.body) != NAMELESS);
        }
    });
    loaded.show(move |reply| {
        let now = value(&reply.body);
        if !read::flag(&reply.body, "/changeable") {
            let text = fill(t().server.name_in_file, &[("name", &now)]);
            return note(Tone::Accent, text);
        }
        let shown = if now == NAMELESS { String::new() } else { now };
        let fields = vec![
            Field::new("/value", t().server.hostname, Kind::Text)
                .required()
                .value(shown)
                .hint(t().server.hostname_hint),
        ];
        let sent = send(move |value| async move {
            api::Call::new("PUT", "/settings/hostname")
                .json(&value)
                .send()
                .await?;
            toast::show(t().saved);
            loaded.again();
            steps.next(Step::Name);
            Ok(())
        });
        view! { <p>{t().server.name_lead}</p> {form(fields, t().save, sent)} }.into_any()
    })
}

fn domain_step(
    steps: Steps,
    domains: Loaded,
    domain: Memo<Option<String>>,
    may_add: bool,
) -> AnyView {
    Effect::new(move |_| {
        if domains.answer.with(Option::is_some) {
            steps.is_done(Step::Domain, domain.with(Option::is_some));
        }
    });
    domains.show(move |reply| {
        let names: Vec<String> = read::items(&reply.body, "/items")
            .iter()
            .map(|of| read::text(of, "/name").to_owned())
            .collect();
        match (names.is_empty(), may_add) {
            (true, true) => first_domain(steps, domains),
            (true, false) => note(Tone::Warn, t().no_domains),
            (false, _) => those_domains(&names, domain),
        }
    })
}

fn first_domain(steps: Steps, domains: Loaded) -> AnyView {
    let fields = vec![
        Field::new("/name", t().name, Kind::Text)
            .required()
            .hint(t().domain_hint),
    ];
    let sent = send(move |value| async move {
        api::post("/domains", &value).await?;
        toast::show(t().added);
        domains.again();
        steps.next(Step::Domain);
        Ok(())
    });
    view! { <p>{t().server.domain_lead}</p> {form(fields, t().add_domain, sent)} }.into_any()
}

/// The domain that is set up, and the way to another one.
fn those_domains(names: &[String], domain: Memo<Option<String>>) -> AnyView {
    let others = names.iter().map(|name| {
        let address = query::with("/admin/setup", &[("domain", name)]);
        let of = name.clone();
        let is_it = move || {
            domain
                .with(|domain| domain.as_ref() == Some(&of))
                .then_some("true")
        };
        view! { <li><a href=address aria-current=is_it>{name.clone()}</a></li> }
    });
    let others = (names.len() > 1).then(|| {
        view! { <p>{t().server.other_domains}</p><ul class="ways">{others.collect_view()}</ul> }
    });
    let said = move || {
        domain
            .get()
            .map(|name| fill(t().server.setup_domain_is, &[("name", &name)]))
    };
    view! { <p>{said}</p> {others} }.into_any()
}

/// The records, and what the DNS has of them, looked up again now and then.
fn dns_step(steps: Steps, domain: &str) -> AnyView {
    let part = dns::Part::new(domain).keep_fresh_while(move || steps.is_waited_for(Step::Dns));
    Effect::new(move |_| {
        if let Some(Ok(reply)) = part.check.answer.get() {
            steps.is_done(Step::Dns, dns::is_good(&reply.body));
        }
    });
    view! {
        <p>{t().dns_records_lead}</p>
        {part.records()}
        <h3>{t().dns_doctor}</h3>
        {part.doctor()}
        {steps.onward(Step::Dns)}
    }
    .into_any()
}

/// Somebody who gets mail in the domain.
fn account(steps: Steps, domain: &str) -> AnyView {
    let parameters = [("domain", domain), ("sort", "created"), ("limit", "1")];
    let loaded = Loaded::of(query::with(accounts::API, &parameters));
    Effect::new(move |_| {
        if let Some(Ok(reply)) = loaded.answer.get() {
            let first = read::text(&reply.body, "/items/0/name").to_owned();
            steps.is_done(Step::Account, !first.is_empty());
            steps.account.set(first);
        }
    });
    let domain = domain.to_owned();
    loaded.show(
        move |reply| match read::items(&reply.body, "/items").first() {
            Some(first) => {
                let page = common::of("/admin/accounts", read::text(first, "/id"));
                let link = common::link(page, read::text(first, "/name"));
                view! { <p>{t().server.first_is}" "{link}</p> }.into_any()
            }
            None => first_account(steps, &domain, loaded),
        },
    )
}

fn first_account(steps: Steps, domain: &str, loaded: Loaded) -> AnyView {
    let fields = vec![
        Field::new("/name", t().address, Kind::Username)
            .required()
            .value(format!("@{domain}"))
            .hint(t().account_name_hint),
        Field::new("/description", t().description, Kind::Text).hint(t().server.description_hint),
        Field::new("/password", t().password, Kind::NewPassword)
            .required()
            .hint(t().password_lead),
    ];
    let sent = send(move |value| async move {
        api::post(accounts::API, &read::changes(&json!({}), &value)).await?;
        toast::show(t().added);
        loaded.again();
        steps.next(Step::Account);
        Ok(())
    });
    view! { <p>{t().server.account_lead}</p> {form(fields, t().add_account, sent)} }.into_any()
}

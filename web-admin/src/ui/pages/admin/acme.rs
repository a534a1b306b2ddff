//! Certificates by themselves: what the server has to know to order them (RFC 8555).
//!
//! Other half: `tls.acme` of the configuration, which takes effect at once.

use leptos::prelude::*;
use serde_json::{Value, json};

use crate::{
    json as read,
    messages::t,
    orders,
    problem::Problem,
    ui::{
        api,
        components::{
            form::{Field, Kind, form, send},
            load::Loaded,
            page::{self, Tone, note},
            toast,
        },
    },
};

const AGREED: &str = "tls.acme.agree-to-terms";
const CONTACT: &str = "tls.acme.contact";
const ORDERS: &str = "tls.acme.certificate";
const CHALLENGE: &str = "tls.acme.challenge";

/// `ordered` counts up when something was ordered.
pub fn card(ordered: RwSignal<u32>) -> AnyView {
    page::card(t().server.acme, t().server.acme_lead, part(ordered))
}

/// The form, with the name of the server as what is asked for first.
pub fn part(ordered: RwSignal<u32>) -> AnyView {
    let settings = Loaded::of("/settings?q=tls.acme&limit=200");
    let server = Loaded::of("/settings/hostname");
    (move || match (settings.answer.get(), server.answer.get()) {
        (Some(Ok(settings)), Some(Ok(server))) => filled(&settings.body, &server.body, ordered),
        (Some(Err(problem)), _) | (_, Some(Err(problem))) => note(Tone::Bad, problem.detail),
        _ => crate::ui::components::load::waiting(),
    })
    .into_any()
}

/// A setting of those that were asked for.
fn setting<'v>(body: &'v Value, key: &str) -> Option<&'v Value> {
    let mut items = read::items(body, "/items").iter();
    items.find(|of| read::text(of, "/key") == key)
}

fn filled(settings: &Value, server: &Value, ordered: RwSignal<u32>) -> AnyView {
    let keys = [AGREED, CONTACT, ORDERS, CHALLENGE];
    let pinned = keys.iter().filter_map(|key| setting(settings, key));
    if let Some(pinned) = pinned.into_iter().find(|of| !read::flag(of, "/changeable")) {
        let text = format!("{} {}", t().server.acme_in_file, read::text(pinned, "/key"));
        return note(Tone::Accent, text);
    }
    let value = |key: &str| setting(settings, key).map_or("", |of| read::text(of, "/value"));
    let hostname = read::text(server, "/value").trim_matches('"');
    let hostname = if hostname == "localhost" {
        ""
    } else {
        hostname
    };
    let challenges = [
        ("tls-alpn-01", t().server.challenge_tls),
        ("http-01", t().server.challenge_http),
        ("dns-01", t().server.challenge_dns),
    ];
    let challenges = challenges.map(|(name, text)| (name.to_owned(), text.to_owned()));
    let fields = vec![
        Field::new("/names", t().server.host_names, Kind::Lines)
            .required()
            .value(json!([hostname]))
            .hint(t().server.host_names_hint),
        Field::new("/contact", t().server.acme_contact, Kind::Address)
            .hint(t().server.acme_contact_hint),
        Field::new(
            "/challenge",
            t().server.challenge,
            Kind::Choice(challenges.to_vec()),
        )
        .value(value(CHALLENGE).trim_matches('"')),
        Field::new("/agreed", t().server.acme_agree, Kind::Check).value(value(AGREED) == "true"),
    ];
    let before = value(ORDERS).to_owned();
    let sent = send(move |value| {
        let before = before.clone();
        async move {
            api::patch("/settings", "", &wanted(&value, &before)?).await?;
            toast::show(t().server.is_ordered);
            ordered.update(|count| *count += 1);
            Ok(())
        }
    });
    form(fields, t().server.order, sent)
}

/// The settings that order a certificate, besides what is ordered already. Values are TOML; a JSON text is that as well.
fn wanted(value: &Value, before: &str) -> Result<Value, Problem> {
    if !read::flag(value, "/agreed") {
        return Err(Problem {
            fields: vec![("/agreed".into(), t().server.acme_must_agree.into())],
            ..Problem::default()
        });
    }
    let orders = orders::with(before, &read::texts(value, "/names"));
    let mut wanted = json!({
        AGREED: "true",
        ORDERS: orders,
        CHALLENGE: Value::from(read::text(value, "/challenge")).to_string(),
    });
    let contact = read::text(value, "/contact");
    if !contact.is_empty() {
        read::put(
            &mut wanted,
            &format!("/{CONTACT}"),
            json!(json!([contact]).to_string()),
        );
    }
    Ok(wanted)
}

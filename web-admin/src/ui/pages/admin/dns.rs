//! The DNS of a domain: what to publish, whether it is there, and the DKIM keys.

use leptos::prelude::*;
use serde_json::Value;

use crate::{
    json as read,
    messages::{fill, t},
    ui::{
        api,
        components::{
            copy,
            load::Loaded,
            page::{self, Tone, badge, card, note},
            toast,
        },
        pages::common,
    },
};

/// The doctor, and below it what to publish.
pub fn part(domain: &str) -> AnyView {
    let of = common::of("/domains", domain);
    let check = Loaded::of(format!("{of}/dns-check"));
    let records = Loaded::of(format!("{of}/dns-records"));
    let again = common::button(t().check_again, "", move || {
        check.answer.set(None);
        check.again();
        async { Ok(()) }
    });
    view! {
        {card(t().dns_doctor, t().dns_doctor_lead, view! {
            {check.show(|reply| findings(&reply.body))}
            <div class="actions">{again}</div>
        }.into_any())}
        {card(t().dns_records, t().dns_records_lead, records.show(|reply| published(&reply.body)))}
    }
    .into_any()
}

pub fn findings(body: &Value) -> AnyView {
    let mut items: Vec<&Value> = read::items(body, "/items").iter().collect();
    // What has to be mended comes first.
    items.sort_by_key(
        |of| match (read::text(of, "/status"), read::flag(of, "/needed")) {
            ("ok", _) => 3,
            ("unknown", _) => 1,
            (_, true) => 0,
            (_, false) => 2,
        },
    );
    let bad = bad_count(body);
    let summary = match bad {
        0 => note(Tone::Good, t().dns_is_good),
        count => note(
            Tone::Bad,
            fill(t().dns_is_bad, &[("count", &count.to_string())]),
        ),
    };
    let rows = items.into_iter().map(|of| {
        let (tone, text) = match read::text(of, "/status") {
            "ok" => (Tone::Good, t().dns_ok),
            "missing" => (if is_bad(of) { Tone::Bad } else { Tone::Warn }, t().dns_missing),
            "different" => (if is_bad(of) { Tone::Bad } else { Tone::Warn }, t().dns_different),
            _ => (Tone::Plain, t().unknown),
        };
        view! {
            <tr>
                <td data-label=t().state>{badge(tone, text)}</td>
                <td data-label=t().what class="nowrap">{read::text(of, "/what").to_owned()}</td>
                <td data-label=t().finding>{read::text(of, "/sentence").to_owned()}<div class="sub">{read::text(of, "/name").to_owned()}</div></td>
            </tr>
        }
    });
    let rows = rows.collect_view();
    view! {
        {summary}
        <table class="cards-on-phone">
            <caption class="visually-hidden">{t().dns_doctor}</caption>
            <thead><tr><th scope="col">{t().state}</th><th scope="col">{t().what}</th><th scope="col">{t().finding}</th></tr></thead>
            <tbody>{rows}</tbody>
        </table>
    }
    .into_any()
}

fn is_bad(of: &Value) -> bool {
    read::flag(of, "/needed") && matches!(read::text(of, "/status"), "missing" | "different")
}

/// How many of the records that are needed aren't published as they should be.
pub fn bad_count(body: &Value) -> usize {
    let items = read::items(body, "/items").iter();
    items.filter(|of| is_bad(of)).count()
}

/// Records with buttons to copy them, and all of them as a zone file.
pub fn published(body: &Value) -> AnyView {
    let line = |of: &Value| {
        let text = |pointer: &str| read::text(of, pointer).to_owned();
        format!("{}. IN {} {}", text("/name"), text("/type"), text("/data"))
    };
    let all: Vec<String> = read::items(body, "/items").iter().map(line).collect();
    let rows = read::items(body, "/items").iter().map(|of| {
        let data = read::text(of, "/data").to_owned();
        let name = read::text(of, "/name").to_owned();
        let needed = match read::flag(of, "/needed") {
            true => badge(Tone::Accent, t().needed),
            false => badge(Tone::Plain, t().recommended),
        };
        let what = format!("{} {name}", read::text(of, "/type"));
        view! {
            <tr>
                <td data-label=t().name><span class="mono">{name}</span><div class="sub">{needed}</div></td>
                <td data-label=t().record_type>{read::text(of, "/type").to_owned()}</td>
                <td data-label=t().record_data><span class="mono record">{data.clone()}</span></td>
                <td class="act">{copy::button(data, &what)}</td>
            </tr>
        }
    });
    let rows = rows.collect_view();
    view! {
        <table class="cards-on-phone">
            <caption class="visually-hidden">{t().dns_records}</caption>
            <thead><tr>
                <th scope="col">{t().name}</th><th scope="col">{t().record_type}</th><th scope="col">{t().record_data}</th>
                <th scope="col"><span class="visually-hidden">{t().actions}</span></th>
            </tr></thead>
            <tbody>{rows}</tbody>
        </table>
        {copy::all(all.join("\n") + "\n")}
    }
    .into_any()
}

/// DKIM keys, and putting others in their place.
pub fn keys(domain: &str, may_rotate: bool) -> AnyView {
    let of = format!("{}/dkim-keys", common::of("/domains", domain));
    let loaded = Loaded::of(of.clone());
    let rotate = may_rotate.then(|| {
        let (prepare, activate) = (format!("{of}/prepare"), format!("{of}/activate"));
        let step = move |address: String, done: &'static str| {
            move || {
                let address = address.clone();
                async move {
                    api::Call::new("POST", &address).send().await?;
                    toast::show(done);
                    loaded.again();
                    Ok(())
                }
            }
        };
        view! {
            <div class="actions">
                {common::button(t().prepare_keys, "", step(prepare, t().keys_prepared))}
                {common::button(t().activate_keys, "", step(activate, t().keys_activated))}
            </div>
        }
    });
    let content = view! {
        {loaded.show(|reply| key_rows(&reply.body))}
        {rotate}
    };
    card(t().dkim, t().dkim_lead, content.into_any())
}

fn key_rows(body: &Value) -> AnyView {
    let rows = read::items(body, "/items").iter().map(|of| {
        let state = match read::text(of, "/state") {
            "waiting" => badge(Tone::Warn, t().key_waiting),
            "active" => badge(Tone::Good, t().key_active),
            _ => badge(Tone::Plain, t().key_retired),
        };
        let record = read::text(of, "/record").to_owned();
        let selector = read::text(of, "/selector").to_owned();
        view! {
            <tr>
                <td data-label=t().selector class="mono">{selector.clone()}</td>
                <td data-label=t().algorithm>{read::text(of, "/algorithm").to_owned()}</td>
                <td data-label=t().state>{state}</td>
                <td data-label=t().since class="nowrap">{page::date_at(of, "/since")}</td>
                <td class="act">{copy::button(record, &selector)}</td>
            </tr>
        }
    });
    let rows = rows.collect_view();
    view! {
        <table class="cards-on-phone">
            <caption class="visually-hidden">{t().dkim}</caption>
            <thead><tr>
                <th scope="col">{t().selector}</th><th scope="col">{t().algorithm}</th><th scope="col">{t().state}</th>
                <th scope="col">{t().since}</th><th scope="col"><span class="visually-hidden">{t().actions}</span></th>
            </tr></thead>
            <tbody>{rows}</tbody>
        </table>
    }
    .into_any()
}

//! The DNS of a domain: what to publish, and whether it is there.

use std::time::Duration;

use leptos::prelude::*;
use serde_json::Value;

use crate::{
    json as read,
    messages::{fill, t},
    ui::{
        components::{
            copy,
            icon::{Icon, icon},
            load::{self, Loaded},
            page::{Tone, badge, card, note},
        },
        pages::common,
        time,
    },
};

/// How often the DNS is looked at while somebody waits for it.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// The doctor, and below it what to publish.
pub fn part(domain: &str) -> AnyView {
    let part = Part::new(domain);
    view! {
        {card(t().dns_doctor, t().directory.dns_doctor_lead, part.doctor())}
        {card(t().directory.dns_records, t().dns_records_lead, part.records())}
    }
    .into_any()
}

/// What a domain has to publish, and what was found of it.
#[derive(Clone, Copy)]
pub struct Part {
    pub check: Loaded,
    records: Loaded,
    /// When it was looked last.
    looked: RwSignal<i64>,
}

impl Part {
    pub fn new(domain: &str) -> Self {
        let of = common::of("/domains", domain);
        let part = Self {
            check: Loaded::of(format!("{of}/dns-check")),
            records: Loaded::of(format!("{of}/dns-records")),
            looked: RwSignal::new(time::now()),
        };
        let (check, looked) = (part.check, part.looked);
        Effect::new(move |_| {
            check.answer.track();
            looked.set(time::now());
        });
        part
    }

    /// Looks again now and then.
    pub fn keep_fresh_while(mut self, is_worth: impl Fn() -> bool + 'static) -> Self {
        self.check = self.check.keep_fresh_while(LOOK_EVERY, is_worth);
        self
    }

    pub fn doctor(self) -> AnyView {
        let again = common::button(t().check_again, "", move || {
            self.check.answer.set(None);
            self.check.again();
            async { Ok(()) }
        });
        let findings = move || match self.check.answer.get() {
            None => load::waiting_for(t().directory.dns_is_asked),
            Some(Err(problem)) => load::failed(&problem, move || self.check.again()),
            Some(Ok(check)) => {
                let records = self.records.answer.get().and_then(Result::ok);
                let records = records.map(|reply| reply.body).unwrap_or_default();
                findings(&check.body, &records)
            }
        };
        let looked = move || {
            fill(
                t().directory.looked_at,
                &[("time", &time::clock(self.looked.get()))],
            )
        };
        view! {
            {findings}
            <div class="actions">{again}<span class="muted">{looked}</span></div>
        }
        .into_any()
    }

    pub fn records(self) -> AnyView {
        self.records.show(|reply| published(&reply.body))
    }
}

fn is_bad(of: &Value) -> bool {
    read::flag(of, "/needed") && matches!(read::text(of, "/status"), "missing" | "different")
}

/// The DNS doesn't tell of something that mail needs.
fn is_unknown(of: &Value) -> bool {
    read::flag(of, "/needed") && read::text(of, "/status") == "unknown"
}

fn count(body: &Value, is_it: fn(&Value) -> bool) -> usize {
    let items = read::items(body, "/items").iter();
    items.filter(|of| is_it(of)).count()
}

/// Whether all that mail needs was seen.
pub fn is_good(body: &Value) -> bool {
    count(body, is_bad) == 0 && count(body, is_unknown) == 0
}

/// What has to be mended comes first; what is good is out of the way.
fn findings(body: &Value, records: &Value) -> AnyView {
    let mut items: Vec<&Value> = read::items(body, "/items").iter().collect();
    items.sort_by_key(|of| match (read::text(of, "/status"), is_bad(of)) {
        (_, true) => 0,
        ("unknown", _) => 1,
        (_, false) => 2,
    });
    let (good, others): (Vec<&Value>, Vec<&Value>) = items
        .into_iter()
        .partition(|of| read::text(of, "/status") == "ok");
    let summary = match (count(body, is_bad), count(body, is_unknown)) {
        (0, 0) => note(Tone::Good, t().directory.dns_is_good),
        (0, unknown) => {
            let values = [("count", &*unknown.to_string())];
            note(Tone::Warn, fill(t().directory.dns_is_unknown, &values))
        }
        (bad, _) => {
            let values = [("count", &*bad.to_string())];
            note(Tone::Bad, fill(t().directory.dns_is_bad, &values))
        }
    };
    let good_count = good.len().to_string();
    let all = |of: Vec<&Value>| of.into_iter().map(|of| finding(of, records)).collect_view();
    let good = (!good.is_empty()).then(|| {
        let text = fill(t().directory.dns_good_count, &[("count", &good_count)]);
        view! { <details><summary>{text}</summary><ul class="findings">{all(good)}</ul></details> }
    });
    view! {
        {summary}
        <ul class="findings">{all(others)}</ul>
        {good}
    }
    .into_any()
}

fn finding(of: &Value, records: &Value) -> AnyView {
    let bad = if is_bad(of) { Tone::Bad } else { Tone::Warn };
    let (tone, text, drawing) = match read::text(of, "/status") {
        "ok" => (Tone::Good, t().directory.dns_ok, Icon::Good),
        "missing" => (bad, t().directory.dns_missing, Icon::Warning),
        "different" => (bad, t().directory.dns_different, Icon::Warning),
        _ if is_unknown(of) => (Tone::Warn, t().unknown, Icon::Help),
        _ => (Tone::Plain, t().unknown, Icon::Help),
    };
    let (what, name) = (read::text(of, "/what"), read::text(of, "/name"));
    // What to publish, right where it is missed.
    let is_it = |record: &&Value| {
        read::text(record, "/name") == name && read::text(record, "/type") == what
    };
    let is_missed = matches!(tone, Tone::Bad | Tone::Warn);
    let fix = read::items(records, "/items").iter().find(is_it);
    let fix = fix.filter(|_| is_missed).map(|record| {
        let data = read::text(record, "/data").to_owned();
        let label = format!("{what} {name}");
        view! { <div class="secret"><code>{data.clone()}</code>{copy::button(data, &label)}</div> }
    });
    view! {
        <li class=tone.class()>
            {icon(drawing)}
            <div>
                <div class="finding-head"><strong>{what.to_owned()}</strong>" "<span class="mono">{name.to_owned()}</span>" "{badge(tone, text)}</div>
                <div>{read::text(of, "/sentence").to_owned()}</div>
                {fix}
            </div>
        </li>
    }
    .into_any()
}

/// Records with buttons to copy them, and all of them as a zone file.
fn published(body: &Value) -> AnyView {
    let line = |of: &Value| {
        let text = |pointer: &str| read::text(of, pointer).to_owned();
        format!("{}. IN {} {}", text("/name"), text("/type"), text("/data"))
    };
    let all: Vec<String> = read::items(body, "/items").iter().map(line).collect();
    let rows = read::items(body, "/items").iter().map(|of| {
        let data = read::text(of, "/data").to_owned();
        let name = read::text(of, "/name").to_owned();
        let needed = match read::flag(of, "/needed") {
            true => badge(Tone::Accent, t().directory.needed),
            false => badge(Tone::Plain, t().directory.recommended),
        };
        let what = format!("{} {name}", read::text(of, "/type"));
        view! {
            <tr>
                <td data-label=t().name><span class="mono">{name}</span><div class="sub">{needed}</div></td>
                <td data-label=t().directory.record_type>{read::text(of, "/type").to_owned()}</td>
                <td data-label=t().directory.record_data><span class="mono record">{data.clone()}</span></td>
                <td class="act">{copy::button(data, &what)}</td>
            </tr>
        }
    });
    let rows = rows.collect_view();
    view! {
        <table class="cards-on-phone">
            <caption class="visually-hidden">{t().directory.dns_records}</caption>
            <thead><tr>
                <th scope="col">{t().name}</th><th scope="col">{t().directory.record_type}</th><th scope="col">{t().directory.record_data}</th>
                <th scope="col"><span class="visually-hidden">{t().actions}</span></th>
            </tr></thead>
            <tbody>{rows}</tbody>
        </table>
        {copy::all(all.join("\n") + "\n", t().copy_all)}
    }
    .into_any()
}

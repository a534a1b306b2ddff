//! What somebody should look at, the worst first, each with the way to where it is mended.
//!
//! Holds: whoever may not see something isn't asked for it; what can't be found out is no reason to worry.

use std::time::Duration;

use leptos::prelude::*;
use serde_json::Value;

use crate::{
    format, json as read,
    messages::{fill, t},
    ui::{
        components::{
            icon::{Icon, icon},
            load::Loaded,
            page::Tone,
        },
        pages::admin::certificates,
        session::Session,
        time,
    },
};

/// How often everything is looked at.
const EVERY: Duration = Duration::from_secs(30);
/// Failures in a row that are more than a hiccup.
const FAILURES_MIN: u64 = 2;

/// Something to look at.
struct Matter {
    tone: Tone,
    text: String,
    /// Where it is mended, and what the link says.
    way: (String, &'static str),
}

type Find = fn(&Value) -> Vec<Matter>;

/// What is looked at: the operation that it takes, the address, and what is found in the answer.
const LOOKS: [(&str, &str, Find); 7] = [
    ("server.see", "/metrics", of_server),
    ("alert.see", "/alerts", of_alerts),
    ("domain.see", "/domains?limit=1", of_domains),
    ("certificate.see", "/certificates", of_certificates),
    ("queue.run", "/queue/destinations", of_queue),
    ("store.check", "/jobs", of_jobs),
    (
        "settings.see",
        "/settings?changed=true&limit=200",
        of_settings,
    ),
];

pub fn view(session: &Session) -> AnyView {
    let looks = LOOKS
        .iter()
        .filter(|(operation, ..)| session.may(operation));
    let looks: Vec<(Loaded, Find)> = looks
        .map(|(_, address, find)| (Loaded::of(*address).keep_fresh(EVERY), *find))
        .collect();
    let matters = move || {
        let mut matters = Vec::new();
        let mut is_known = true;
        for (loaded, find) in &looks {
            loaded.answer.with(|answer| match answer {
                Some(Ok(reply)) => matters.extend(find(&reply.body)),
                Some(Err(_)) => {}
                None => is_known = false,
            });
        }
        matters.sort_by_key(|matter| match matter.tone {
            Tone::Bad => 0,
            Tone::Warn => 1,
            _ => 2,
        });
        match (matters.is_empty(), is_known) {
            (true, false) => ().into_any(),
            (true, true) => all_is_well(),
            (false, _) => list(matters),
        }
    };
    view! { <section class="attention" aria-label=t().watching.attention>{matters}</section> }
        .into_any()
}

fn all_is_well() -> AnyView {
    view! { <p class="matter good">{icon(Icon::Good)}<span>{t().watching.all_is_well}</span></p> }
        .into_any()
}

fn list(matters: Vec<Matter>) -> AnyView {
    let rows = matters.into_iter().map(|matter| {
        let drawing = if matter.tone == Tone::Accent {
            Icon::Help
        } else {
            Icon::Warning
        };
        let (address, label) = matter.way;
        view! {
            <li class=format!("matter {}", matter.tone.class())>
                {icon(drawing)}<span>{matter.text}</span><a href=address>{label}</a>
            </li>
        }
    });
    view! { <ul>{rows.collect_view()}</ul> }.into_any()
}

fn matter(tone: Tone, text: impl Into<String>, address: &str, label: &'static str) -> Matter {
    Matter {
        tone,
        text: text.into(),
        way: (address.to_owned(), label),
    }
}

fn of_server(body: &Value) -> Vec<Matter> {
    let mut matters = Vec::new();
    if !read::flag(body, "/writable") {
        let way = t().server.checks_and_backups;
        matters.push(matter(
            Tone::Bad,
            t().watching.not_writable,
            "/admin/server",
            way,
        ));
    }
    if read::text(body, "/hostname") == "localhost" {
        matters.push(matter(
            Tone::Warn,
            t().watching.no_hostname,
            "/admin/setup",
            t().server.setup,
        ));
    }
    let failures = read::number(body, "/workFailures").unwrap_or_default();
    if failures > 0 {
        let text = fill(
            t().watching.work_failed,
            &[("count", &format::count(failures))],
        );
        matters.push(matter(
            Tone::Warn,
            text,
            "/admin/server",
            t().server.maintenance,
        ));
    }
    matters
}

/// Alerts of what the other looks see for themselves.
const TOLD_ELSEWHERE: [&str; 4] = [
    "store-failing",
    "certificate-ending",
    "certificate-failing",
    "backup-failed",
];

fn of_alerts(body: &Value) -> Vec<Matter> {
    let alerts = read::items(body, "/items").iter();
    let alerts = alerts.filter(|of| !TOLD_ELSEWHERE.contains(&read::text(of, "/kind")));
    let matters = alerts.map(|of| {
        let sentence = read::text(of, "/sentence");
        matter(Tone::Bad, sentence, "/admin/alerts", t().telling.alerts)
    });
    matters.collect()
}

fn of_domains(body: &Value) -> Vec<Matter> {
    match read::number(body, "/total") {
        Some(0) => {
            let text = t().watching.setup_note;
            let label = t().watching.setup_begin;
            vec![matter(Tone::Accent, text, "/admin/setup", label)]
        }
        _ => Vec::new(),
    }
}

fn of_certificates(body: &Value) -> Vec<Matter> {
    let now = time::now();
    let wrong = read::items(body, "/items").iter().filter_map(|of| {
        let (tone, text) = certificates::trouble(of, now)?;
        let label = t().server.certificates;
        Some(matter(tone, text, "/admin/certificates", label))
    });
    wrong.collect()
}

fn of_queue(body: &Value) -> Vec<Matter> {
    let items = read::items(body, "/items").iter();
    let failing = items.filter(|of| {
        let number = |pointer: &str| read::number(of, pointer).unwrap_or_default();
        number("/failures") >= FAILURES_MIN && number("/waiting") > 0
    });
    let failing = failing.map(|of| {
        let text = fill(
            t().watching.mail_waits,
            &[
                ("name", read::text(of, "/name")),
                ("reply", read::text(of, "/lastReply")),
            ],
        );
        let address = "/admin/queue?tab=destinations";
        matter(Tone::Warn, text, address, t().watching.queue)
    });
    failing.collect()
}

/// Of each kind of job, the last one.
fn of_jobs(body: &Value) -> Vec<Matter> {
    let items = read::items(body, "/items");
    let last = ["check", "backup"].into_iter().filter_map(|kind| {
        let is_over =
            |of: &&Value| read::text(of, "/kind") == kind && read::text(of, "/state") != "running";
        items.iter().find(is_over)
    });
    let wrong = last.filter(|of| read::flag(of, "/wrong") || read::text(of, "/state") == "failed");
    let wrong = wrong.map(|of| {
        let said = read::text(of, "/sentence");
        matter(
            Tone::Bad,
            said,
            "/admin/server",
            t().server.checks_and_backups,
        )
    });
    wrong.collect()
}

fn of_settings(body: &Value) -> Vec<Matter> {
    let items = read::items(body, "/items").iter();
    let faulty = items.filter(|of| !read::text(of, "/fault").is_empty());
    let faulty = faulty.map(|of| {
        let text = format!("{}: {}", read::text(of, "/key"), read::text(of, "/fault"));
        let address = "/admin/settings?changed=true";
        matter(Tone::Bad, text, address, t().settings)
    });
    faulty.collect()
}

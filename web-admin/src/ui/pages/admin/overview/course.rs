//! What the server counts, live and over time.

use std::time::Duration;

use leptos::prelude::*;
use serde_json::Value;

use crate::{
    course, format, json as read,
    messages::t,
    ui::{
        components::{
            chart::{Chart, Kind, bad, plain, second, spark},
            load::Loaded,
            page::{Tone, badge},
        },
        time,
    },
};

/// How often the numbers are asked for, and those over time.
const EVERY: Duration = Duration::from_secs(5);
const COURSE_EVERY: Duration = Duration::from_secs(10);
/// Bars of a chart; more points are put together.
const BARS_MAX: usize = 48;

/// What rises and falls; all else is counted.
const LEVELS: [&str; 4] = [
    "/queueLength",
    "/connections",
    "/memoryOctets",
    "/diskOctets",
];

pub fn live() -> AnyView {
    let now = Loaded::of("/metrics").keep_fresh(EVERY);
    let span = RwSignal::new("hour");
    let over_time = Loaded::new(move || {
        let address = format!("/metrics/history?span={}", span.get());
        async move { crate::ui::api::get(&address).await }
    })
    .keep_fresh(COURSE_EVERY);
    let points = Memo::new(move |_| match over_time.answer.get() {
        Some(Ok(reply)) => read::items(&reply.body, "/points").to_vec(),
        _ => Vec::new(),
    });
    let choice = |name: &'static str, label: &'static str| {
        let pressed = move || if span.get() == name { "true" } else { "false" };
        view! { <button type="button" class="small" aria-pressed=pressed on:click=move |_| span.set(name)>{label}</button> }
    };
    view! {
        {now.show(move |reply| figures(&reply.body, points))}
        <div class="section-head">
            <h2>{t().watching.over_time}</h2>
            <div class="switch" role="group" aria-label=t().watching.period>
                {choice("hour", t().watching.last_hour)}{choice("day", t().watching.last_day)}
            </div>
        </div>
        {move || points.with(|points| charts(points))}
    }
    .into_any()
}

/// The values of a field, one a point.
fn values(points: &[Value], pointer: &str) -> Vec<u64> {
    let number = |point: &Value| read::number(point, pointer).unwrap_or_default();
    points.iter().map(number).collect()
}

fn figures(body: &Value, points: Memo<Vec<Value>>) -> AnyView {
    let number = |pointer: &str| read::number(body, pointer).unwrap_or_default();
    let count = |pointer: &str| format::count(number(pointer));
    let open: u64 = read::items(body, "/connections")
        .iter()
        .filter_map(|of| of.get("open").and_then(Value::as_u64))
        .sum();
    let watching = &t().watching;
    let all = [
        (
            watching.messages_received,
            count("/messagesReceived"),
            "/messagesReceived",
        ),
        (watching.sent, count("/queueDelivered"), "/queueDelivered"),
        (watching.in_queue, count("/queueLength"), "/queueLength"),
        (watching.connections, format::count(open), "/connections"),
        (watching.logins, count("/logins"), "/logins"),
        (
            watching.logins_failed,
            count("/loginsFailed"),
            "/loginsFailed",
        ),
        (
            watching.disk,
            format::octets(number("/diskOctets")),
            "/diskOctets",
        ),
        (
            watching.memory,
            format::octets(number("/memoryOctets")),
            "/memoryOctets",
        ),
    ];
    let all = all.map(|(label, value, pointer)| {
        let is_count = !LEVELS.contains(&pointer);
        let course = move || points.with(|points| spark(&values(points, pointer), is_count));
        view! {
            <div class="card">
                <div class="figure-label">{label}</div>
                <div class="figure">{value}</div>
                {course}
            </div>
        }
    });
    let version = read::text(body, "/version").to_owned();
    view! {
        <p class="server-line">
            <strong>{read::text(body, "/hostname").to_owned()}</strong>
            {badge(Tone::Plain, format!("Posthorn {version}"))}
        </p>
        <div class="cards large">{all.into_iter().collect_view()}</div>
    }
    .into_any()
}

fn charts(points: &[Value]) -> AnyView {
    if points.is_empty() {
        return view! { <p class="muted">{t().watching.no_course}</p> }.into_any();
    }
    let names = points
        .chunks(course::size(points.len(), BARS_MAX))
        .map(|part| {
            let at = part.last().map_or("", |point| read::text(point, "/at"));
            time::clock(format::parse_date(at).unwrap_or_default())
        });
    let names: Vec<String> = names.collect();
    let watching = &t().watching;
    let count = |pointer: &str| course::together(&values(points, pointer), BARS_MAX, true);
    let level = |pointer: &str| course::together(&values(points, pointer), BARS_MAX, false);
    let chart = |title, kind, series, show| {
        let chart = Chart {
            title,
            kind,
            points: names.clone(),
            series,
            show,
        };
        view! { <section class="card"><h3>{title}</h3>{chart.view()}</section> }
    };
    let counted: fn(u64) -> String = format::count;
    let charts = [
        chart(
            watching.mail_now,
            Kind::Bars,
            vec![
                plain(watching.mail_in, count("/messagesReceived")),
                second(watching.mail_out, count("/queueDelivered")),
                bad(watching.mail_failed, count("/queueFailed")),
            ],
            counted,
        ),
        chart(
            watching.queue,
            Kind::Line,
            vec![plain(watching.in_queue, level("/queueLength"))],
            counted,
        ),
        chart(
            watching.logins,
            Kind::Bars,
            vec![
                plain(watching.logins_good, count("/logins")),
                bad(watching.mail_failed, count("/loginsFailed")),
            ],
            counted,
        ),
        chart(
            watching.memory,
            Kind::Line,
            vec![plain(watching.memory, level("/memoryOctets"))],
            format::octets,
        ),
    ];
    view! { <div class="charts">{charts.into_iter().collect_view()}</div> }.into_any()
}

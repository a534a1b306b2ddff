//! Networks that nobody may connect from.

use leptos::prelude::*;
use serde_json::{Value, json};

use crate::{
    format, json as read,
    messages::t,
    problem::Problem,
    ui::{
        api,
        components::{
            dialog::dialog,
            form::{Field, Kind, form, send},
            page::{self, Tone, badge},
            table::{Bulk, Column, List, back, table},
            toast,
        },
        pages::common,
        session::Session,
        time,
    },
};

const API: &str = "/bans";
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

pub fn page(session: &Session) -> AnyView {
    let may_change = session.may("ban.change");
    let mut list = List::new(t().access.bans, API, "/network");
    list.columns = vec![
        Column::new(t().access.ban_network, |row| {
            let network = read::text(row, "/network").to_owned();
            view! { <code>{network}</code> }.into_any()
        }),
        Column::new(t().access.rule, rule),
        Column::new(t().access.reason, |row| {
            read::text(row, "/reason").to_owned().into_any()
        }),
        Column::new(t().since, |row| page::date_at(row, "/since")).class("nowrap"),
        Column::new(t().until, until).class("nowrap"),
        Column::new(t().access.times, |row| {
            let times = read::number(row, "/times").unwrap_or_default();
            format::count(times).into_any()
        })
        .class("number"),
    ];
    if may_change {
        list.bulk = vec![lift()];
    }
    list.empty = t().access.no_bans;
    list.is_live = true;
    let add = may_change.then(|| add(list.changed));
    view! {
        {page::head(t().access.bans, t().access.bans_lead, add.into_any())}
        {table(list)}
    }
    .into_any()
}

fn rule(row: &Value) -> AnyView {
    let (tone, text) = match read::text(row, "/rule") {
        "administrator" => (Tone::Accent, t().access.rule_administrator),
        "failed-logins" => (Tone::Plain, t().access.rule_failed_logins),
        "unknown-recipients" => (Tone::Plain, t().access.rule_unknown_recipients),
        "bad-commands" => (Tone::Plain, t().access.rule_bad_commands),
        "handshakes" => (Tone::Plain, t().access.rule_handshakes),
        _ => (Tone::Plain, t().access.rule_probing),
    };
    let by = read::text(row, "/by").to_owned();
    let by = (!by.is_empty()).then(|| view! { <div class="sub">{t().access.by}" "{by}</div> });
    view! { {badge(tone, text)}{by} }.into_any()
}

fn until(row: &Value) -> AnyView {
    match read::text(row, "/until") {
        "" => view! { <span class="muted">{t().access.for_ever}</span> }.into_any(),
        date => page::date(date),
    }
}

/// Lifts the chosen bans; the way back bans for the time that was left.
fn lift() -> Bulk {
    Bulk::new(t().access.lift, t().access.ban_lifted, |row| async move {
        let network = read::text(&row, "/network").to_owned();
        api::delete(&common::of(API, &network)).await?;
        let reason = read::text(&row, "/reason").to_owned();
        let until = format::parse_date(read::text(&row, "/until"));
        let undo = back(move || {
            let left = until.map(|until| (until - time::now()).max(1));
            let ban = json!({"network": network, "reason": reason, "seconds": left});
            async move { put(&ban).await }
        });
        Ok(undo)
    })
}

async fn put(ban: &Value) -> Result<(), Problem> {
    api::Call::new("PUT", API).json(ban).send().await?;
    Ok(())
}

fn add(changed: RwSignal<u32>) -> AnyView {
    let open = RwSignal::new(None::<()>);
    let content = move |()| {
        let times = [
            (HOUR, t().access.hour),
            (DAY, t().access.day),
            (7 * DAY, t().access.week),
            (30 * DAY, t().access.days_30),
        ];
        let times = times.map(|(seconds, label)| (seconds.to_string(), label.to_owned()));
        let for_ever = (String::new(), t().access.for_ever.to_owned());
        let times = times.into_iter().chain([for_ever]).collect();
        let fields = vec![
            Field::new("/network", t().access.ban_network, Kind::Text)
                .required()
                .hint(t().access.ban_network_hint),
            Field::new("/reason", t().access.reason, Kind::Text),
            Field::new("/seconds", t().access.ban_seconds, Kind::Choice(times))
                .value(DAY.to_string()),
        ];
        let sent = send(move |mut value| async move {
            let seconds: Option<u64> = read::text(&value, "/seconds").parse().ok();
            read::put(&mut value, "/seconds", json!(seconds));
            put(&value).await?;
            open.set(None);
            toast::show(t().access.banned);
            changed.update(|count| *count += 1);
            Ok(())
        });
        form(fields, t().access.add_ban, sent)
    };
    view! {
        <button type="button" class="primary" on:click=move |_| open.set(Some(()))>{t().access.add_ban}</button>
        {dialog(open, |()| t().access.add_ban.to_owned(), content)}
    }
    .into_any()
}

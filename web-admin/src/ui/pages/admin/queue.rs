//! Mail on its way: what is in the queue, where it waits for, and what is held back.

use leptos::prelude::*;
use serde_json::{Value, json};

use crate::{
    format, json as read,
    messages::{fill, t},
    ui::{
        api,
        components::{
            dialog::{Question, questions},
            form::{Field, Kind, form, send},
            load::Loaded,
            page::{self, Tone, badge, card, facts},
            table::{Bulk, Column, List, back, table},
            tabs::tabs,
            toast,
        },
        pages::common,
        route,
        session::Session,
    },
};

const MESSAGES: &str = "/queue/messages";
const HOLDS: &str = "/queue/holds";

pub fn page(session: &Session) -> AnyView {
    let (may_change, may_run) = (session.may("queue.change"), session.may("queue.run"));
    let mut parts: Vec<(&'static str, &'static str, ViewFn)> = vec![(
        "messages",
        t().watching.messages,
        ViewFn::from(move || messages(may_change)),
    )];
    if may_run {
        parts.push((
            "destinations",
            t().watching.destinations,
            ViewFn::from(destinations),
        ));
        parts.push(("holds", t().watching.holds, ViewFn::from(holds)));
    }
    let retry = may_run.then(|| {
        common::button(t().watching.retry_all, "", || async {
            let answer = api::post("/queue/retry", &json!({})).await?.body;
            let count = read::number(&answer, "/messages")
                .unwrap_or_default()
                .to_string();
            toast::show(fill(t().watching.retried_count, &[("count", &count)]));
            Ok(())
        })
    });
    view! {
        {page::head(t().watching.queue, t().watching.queue_lead, retry.into_any())}
        {tabs(t().watching.queue, parts)}
    }
    .into_any()
}

/// Where a message of the queue is, in the API.
fn address(row: &Value) -> String {
    format!(
        "{}/{}",
        common::of(MESSAGES, read::text(row, "/account")),
        crate::query::encode(read::text(row, "/submission"))
    )
}

/// The hold of a message, by the address of that.
fn hold_of(address: &str) -> String {
    format!("{address}/hold")
}

fn messages(may_change: bool) -> AnyView {
    let mut list = List::new(t().watching.queue, MESSAGES, "/submission");
    list.columns = vec![
        Column::new(t().watching.recipients, |row| {
            let to: Vec<&str> = read::items(row, "/recipients")
                .iter()
                .map(|of| read::text(of, "/address"))
                .collect();
            let page = format!("/admin{}", address(row));
            view! {
                {common::link(page, &shortened(&to))}
                <div class="sub">{sender(row)}</div>
            }
            .into_any()
        }),
        Column::new(t().state, |row| state(read::text(row, "/state"))),
        Column::new(t().watching.last_reply, |row| last_reply(row).into_any()),
        Column::new(t().watching.next_try, |row| page::date_at(row, "/due")).class("nowrap"),
        Column::new(t().size, |row| {
            format::octets(read::number(row, "/size").unwrap_or_default()).into_any()
        })
        .class("number nowrap"),
    ];
    list.searches = vec![("q", t().watching.search_queue)];
    list.filters = vec![(
        "state",
        t().state,
        vec![
            ("", t().all_states),
            ("held", t().watching.state_held),
            ("on-hold", t().watching.state_on_hold),
            ("sending", t().watching.state_sending),
            ("waiting", t().watching.state_waiting),
            ("deferred", t().watching.state_deferred),
        ],
    )];
    list.in_address = true;
    list.is_live = true;
    list.empty = t().watching.empty_queue;
    if may_change {
        list.bulk = vec![
            Bulk::new(t().watching.retry, t().watching.retried_count, |row| {
                let address = format!("{}/retry", address(&row));
                async move {
                    api::Call::new("POST", &address).send().await?;
                    Ok(None)
                }
            }),
            Bulk::new(t().watching.hold, t().watching.held_count, |row| {
                let address = hold_of(&address(&row));
                async move {
                    api::Call::new("PUT", &address).send().await?;
                    Ok(back(move || {
                        let address = address.clone();
                        async move { api::delete(&address).await.map(|_| ()) }
                    }))
                }
            }),
            Bulk::new(t().watching.release, t().watching.released_count, |row| {
                let address = hold_of(&address(&row));
                async move {
                    api::delete(&address).await?;
                    Ok(back(move || {
                        let address = address.clone();
                        async move { api::Call::new("PUT", &address).send().await.map(|_| ()) }
                    }))
                }
            }),
            Bulk::new(
                t().watching.cancel_mail,
                t().watching.cancelled_count,
                |row| {
                    let address = address(&row);
                    async move {
                        api::delete(&address).await?;
                        Ok(None)
                    }
                },
            )
            .asks(t().watching.cancel_question),
        ];
    }
    table(list)
}

/// The first ones, and how many more.
fn shortened(all: &[&str]) -> String {
    match all {
        [one, two, _, rest @ ..] => format!("{one}, {two}, +{}", rest.len() + 1),
        few => few.join(", "),
    }
}

fn sender(row: &Value) -> String {
    match read::text(row, "/sender") {
        "" => fill(
            t().watching.from_sender,
            &[("name", t().watching.null_sender)],
        ),
        sender => fill(t().watching.from_sender, &[("name", sender)]),
    }
}

fn last_reply(row: &Value) -> String {
    let mut replies = read::items(row, "/recipients")
        .iter()
        .map(|of| read::text(of, "/reply"));
    replies
        .rfind(|reply| !reply.is_empty())
        .unwrap_or_default()
        .to_owned()
}

fn state(state: &str) -> AnyView {
    match state {
        "held" => badge(Tone::Warn, t().watching.state_held),
        "on-hold" => badge(Tone::Warn, t().watching.state_on_hold),
        "sending" => badge(Tone::Accent, t().watching.state_sending),
        "waiting" => badge(Tone::Plain, t().watching.state_waiting),
        "deferred" => badge(Tone::Warn, t().watching.state_deferred),
        _ => badge(Tone::Good, t().watching.state_done),
    }
}

/// One message: who gets it, and every host that was tried.
pub fn one(session: &Session, account: &str, submission: &str) -> AnyView {
    let row = json!({"account": account, "submission": submission});
    let address = address(&row);
    let loaded = Loaded::of(address.clone());
    let question = RwSignal::new(None::<Question>);
    let may_change = session.may("queue.change");
    let held = address.clone();
    let actions = may_change.then(|| {
        let (to_retry, to_cancel) = (format!("{address}/retry"), address.clone());
        let retry = common::button(t().watching.retry, "", move || {
            let address = to_retry.clone();
            async move {
                api::Call::new("POST", &address).send().await?;
                toast::show(t().watching.is_tried_now);
                loaded.again();
                Ok(())
            }
        });
        let ask = move |_| {
            let address = to_cancel.clone();
            let text = fill(t().watching.cancel_question, &[("count", "1")]);
            question.set(Some(Question::new(t().watching.cancel_mail, text, t().watching.cancel_mail, move || {
                let address = address.clone();
                async move {
                    api::delete(&address).await?;
                    toast::show(fill(t().watching.cancelled_count, &[("count", "1")]));
                    route::go("/admin/queue");
                    Ok(())
                }
            })));
        };
        view! { {retry}<button type="button" class="danger" on:click=ask>{t().watching.cancel_mail}</button> }
    });
    view! {
        {page::crumbs("/admin/queue", t().watching.queue)}
        {page::head(t().message, "", actions.into_any())}
        {loaded.show(move |reply| {
            let hold = may_change.then(|| hold(&held, &reply.body, loaded)).flatten();
            view! { {hold}{message(&reply.body)} }.into_any()
        })}
        {questions(question)}
    }
    .into_any()
}

/// Holds a message back that waits, or releases it.
fn hold(address: &str, body: &Value, loaded: Loaded) -> Option<AnyView> {
    let is_held = match read::text(body, "/state") {
        "done" => return None,
        state => state == "on-hold",
    };
    let address = hold_of(address);
    let (label, told, method) = match is_held {
        true => (t().watching.release, t().watching.is_tried_now, "DELETE"),
        false => (t().watching.hold, t().watching.is_on_hold, "PUT"),
    };
    let lead = match is_held {
        true => t().watching.on_hold_lead,
        false => t().watching.hold_message_lead,
    };
    let press = common::button(label, "", move || {
        let address = address.clone();
        async move {
            api::Call::new(method, &address).send().await?;
            toast::show(told);
            loaded.again();
            Ok(())
        }
    });
    Some(card(t().watching.hold_mail, lead, press))
}

fn message(body: &Value) -> AnyView {
    let account = common::of("/admin/accounts", read::text(body, "/account"));
    let rows = vec![
        (t().state, state(read::text(body, "/state"))),
        (t().watching.sender, sender(body).into_any()),
        (
            t().account,
            common::link(account, read::text(body, "/accountName")),
        ),
        (
            t().size,
            format::octets(read::number(body, "/size").unwrap_or_default()).into_any(),
        ),
        (t().watching.arrived, page::date_at(body, "/arrived")),
        match read::text(body, "/heldSince") {
            "" => (t().watching.next_try, page::date_at(body, "/due")),
            _ => (
                t().watching.on_hold_since,
                page::date_at(body, "/heldSince"),
            ),
        },
    ];
    let recipients = read::items(body, "/recipients").iter().map(|of| {
        let remote = match read::text(of, "/remote") {
            "" => String::new(),
            host => format!(" ({host})"),
        };
        view! {
            <tr>
                <td data-label=t().address>{read::text(of, "/address").to_owned()}</td>
                <td data-label=t().watching.delivered>{delivered(read::text(of, "/delivered"))}</td>
                <td data-label=t().watching.last_reply>{format!("{}{remote}", read::text(of, "/reply"))}</td>
                <td data-label=t().watching.tries class="number">{read::number(of, "/attempts").unwrap_or_default()}</td>
            </tr>
        }
    });
    let recipients = view! {
        <table class="cards-on-phone">
            <caption class="visually-hidden">{t().watching.recipients}</caption>
            <thead><tr>
                <th scope="col">{t().address}</th><th scope="col">{t().watching.delivered}</th>
                <th scope="col">{t().watching.last_reply}</th><th class="number" scope="col">{t().watching.tries}</th>
            </tr></thead>
            <tbody>{recipients.collect_view()}</tbody>
        </table>
    };
    let hosts = read::items(body, "/hosts");
    let journey = match hosts.is_empty() {
        true => view! { <p>{t().watching.no_host_tried}</p> }.into_any(),
        false => {
            view! { <ol class="journey">{hosts.iter().map(host).collect_view()}</ol> }.into_any()
        }
    };
    view! {
        {card(t().general, "", facts(rows))}
        {card(t().watching.recipients, "", recipients.into_any())}
        {card(t().watching.hosts_tried, "", journey)}
    }
    .into_any()
}

fn delivered(value: &str) -> AnyView {
    match value {
        "yes" => badge(Tone::Good, t().yes),
        "no" => badge(Tone::Bad, t().no),
        "queued" => badge(Tone::Plain, t().watching.not_yet),
        _ => badge(Tone::Plain, t().unknown),
    }
}

/// A host that was tried, as a stop of the journey.
pub fn host(of: &Value) -> AnyView {
    let result = read::text(of, "/result").to_owned();
    let tone = match result.as_bytes().first() {
        Some(b'2') => "good",
        Some(b'5') => "bad",
        _ => "warn",
    };
    let tls = match read::text(of, "/tls") {
        "" => t().watching.not_encrypted.to_owned(),
        tls => tls.to_owned(),
    };
    let place = match read::text(of, "/address") {
        "" => read::text(of, "/host").to_owned(),
        address => format!("{} [{address}]", read::text(of, "/host")),
    };
    view! {
        <li class=tone>
            {page::date_at(of, "/at")}
            <div>{place}", "{tls}</div>
            <div class="muted">{result}</div>
        </li>
    }
    .into_any()
}

fn destinations() -> AnyView {
    let mut list = List::new(t().watching.destinations, "/queue/destinations", "/name");
    list.columns = vec![
        Column::new(t().watching.destination, |row| {
            match read::text(row, "/name") {
                "" => t().watching.mailboxes_here.into_any(),
                name => name.to_owned().into_any(),
            }
        }),
        Column::new(t().watching.state_waiting, |row| number(row, "/waiting")).class("number"),
        Column::new(t().watching.state_sending, |row| number(row, "/sending")).class("number"),
        Column::new(t().watching.failures, |row| number(row, "/failures")).class("number"),
        Column::new(t().watching.left_alone, |row| {
            match read::number(row, "/leftAloneSeconds") {
                Some(seconds) if seconds > 0 => format::duration(seconds).into_any(),
                _ => ().into_any(),
            }
        }),
        Column::new(t().watching.last_reply, |row| {
            read::text(row, "/lastReply").to_owned().into_any()
        }),
        Column::new(t().state, |row| match read::flag(row, "/held") {
            true => badge(Tone::Warn, t().watching.state_held),
            false => ().into_any(),
        }),
    ];
    list.is_live = true;
    list.empty = t().watching.no_destinations;
    list.bulk = vec![Bulk::new(
        t().watching.hold,
        t().watching.held_count,
        |row| {
            let address = common::of(HOLDS, read::text(&row, "/name"));
            async move {
                api::Call::new("PUT", &address).send().await?;
                Ok(back(move || {
                    let address = address.clone();
                    async move { api::delete(&address).await.map(|_| ()) }
                }))
            }
        },
    )];
    table(list)
}

fn number(row: &Value, pointer: &str) -> AnyView {
    format::count(read::number(row, pointer).unwrap_or_default()).into_any()
}

fn holds() -> AnyView {
    let mut list = List::new(t().watching.holds, HOLDS, "/destination");
    list.columns = vec![
        Column::new(t().watching.destination, |row| {
            match read::text(row, "/destination") {
                "*" => t().watching.whole_queue.into_any(),
                name => name.to_owned().into_any(),
            }
        }),
        Column::new(t().since, |row| page::date_at(row, "/since")),
    ];
    list.empty = t().watching.no_holds;
    list.bulk = vec![Bulk::new(
        t().watching.release,
        t().watching.released_count,
        |row| {
            let address = common::of(HOLDS, read::text(&row, "/destination"));
            async move {
                api::delete(&address).await?;
                Ok(back(move || {
                    let address = address.clone();
                    async move { api::Call::new("PUT", &address).send().await.map(|_| ()) }
                }))
            }
        },
    )];
    let changed = list.changed;
    let fields = vec![
        Field::new("/destination", t().watching.destination, Kind::Text)
            .hint(t().watching.hold_hint),
    ];
    let sent = send(move |value| async move {
        let name = match read::text(&value, "/destination") {
            "" => "*",
            name => name,
        };
        api::Call::new("PUT", &common::of(HOLDS, name))
            .send()
            .await?;
        toast::show(fill(t().watching.held_count, &[("count", "1")]));
        changed.update(|count| *count += 1);
        Ok(())
    });
    view! {
        {table(list)}
        {card(t().watching.hold_mail, t().watching.hold_mail_lead, form(fields, t().watching.hold, sent))}
    }
    .into_any()
}

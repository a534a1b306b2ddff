//! The server itself: checks and backups, nodes, and what was put aside.

use std::time::Duration;

use leptos::prelude::*;
use serde_json::{Value, json};

use crate::{
    format, json as read,
    messages::t,
    ui::{
        api,
        components::{
            dialog::{Question, questions},
            load::Loaded,
            page::{self, Tone, badge, card},
            table::{Column, List, table},
            tabs::tabs,
            toast,
        },
        pages::common,
        session::Session,
    },
};

/// How often a job that runs is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

pub fn page(session: &Session) -> AnyView {
    let mut parts: Vec<(&'static str, &'static str, ViewFn)> = Vec::new();
    if session.may("store.check") {
        let (may_repair, may_back_up) = (session.may("store.repair"), session.may("backup.run"));
        parts.push((
            "jobs",
            t().server.checks_and_backups,
            ViewFn::from(move || jobs(may_repair, may_back_up)),
        ));
    }
    parts.push(("nodes", t().server.nodes, ViewFn::from(nodes)));
    if session.may("store.repair") {
        parts.push((
            "quarantine",
            t().server.quarantine,
            ViewFn::from(quarantine),
        ));
    }
    view! {
        {page::head(t().server.maintenance, t().server.server_lead, ().into_any())}
        {tabs(t().server.maintenance, parts)}
    }
    .into_any()
}

fn jobs(may_repair: bool, may_back_up: bool) -> AnyView {
    let loaded = Loaded::of("/jobs").keep_fresh(LOOK_EVERY);
    let question = RwSignal::new(None::<Question>);
    let begin = move |kind: &'static str| {
        move || async move {
            api::post("/jobs", &json!({"kind": kind})).await?;
            toast::show(t().server.begun);
            loaded.again();
            Ok(())
        }
    };
    let repair = may_repair.then(|| {
        let ask = move |_| {
            question.set(Some(Question::new(
                t().server.repair,
                t().server.repair_question,
                t().server.repair,
                begin("repair"),
            )));
        };
        view! { <button type="button" class="danger" on:click=ask>{t().server.repair}</button> }
    });
    let back_up = may_back_up.then(|| common::button(t().server.back_up, "", begin("backup")));
    let content = view! {
        <div class="actions">{common::button(t().server.check_now, "primary", begin("check"))}{back_up}{repair}</div>
        {questions(question)}
    };
    view! {
        {card(t().server.checks_and_backups, t().server.jobs_lead, content.into_any())}
        {loaded.show(move |reply| {
            let items = read::items(&reply.body, "/items");
            match items.is_empty() {
                true => view! { <div class="table-box empty"><p>{t().server.no_jobs}</p></div> }.into_any(),
                false => items.iter().map(|of| job(of, loaded)).collect_view().into_any(),
            }
        })}
    }
    .into_any()
}

fn job(of: &Value, loaded: Loaded) -> AnyView {
    let kind = match read::text(of, "/kind") {
        "check" => t().server.job_check,
        "repair" => t().server.repair,
        _ => t().server.back_up,
    };
    let is_running = read::text(of, "/state") == "running";
    let state = match read::text(of, "/state") {
        "running" => badge(Tone::Accent, t().server.running),
        "done" if read::flag(of, "/wrong") => badge(Tone::Bad, t().server.something_is_wrong),
        "done" => badge(Tone::Good, t().done),
        "failed" => badge(Tone::Bad, t().failed),
        _ => badge(Tone::Warn, t().server.stopped),
    };
    let address = common::of("/jobs", read::text(of, "/id"));
    let stop = is_running.then(|| {
        common::button(t().server.stop, "small danger", move || {
            let address = address.clone();
            async move {
                api::delete(&address).await?;
                loaded.again();
                Ok(())
            }
        })
    });
    let said = match read::text(of, "/sentence") {
        "" => read::text(of, "/progress").to_owned(),
        sentence => sentence.to_owned(),
    };
    let findings = read::items(of, "/findings").iter().map(|found| {
        view! {
            <li class="bad">
                <div><code>{read::text(found, "/code").to_owned()}</code>" "{read::text(found, "/sentence").to_owned()}</div>
                <div class="muted">{read::text(found, "/record").to_owned()}</div>
                <div class="muted">{read::text(found, "/meaning").to_owned()}" "{read::text(found, "/remedy").to_owned()}</div>
            </li>
        }
    });
    let findings = findings.collect_view();
    view! {
        <section class="card job">
            <h2>{kind}" "{state}</h2>
            <p>{page::date_at(of, "/began")}", "{read::text(of, "/by").to_owned()}</p>
            <div role="status">{said}</div>
            <ol class="journey">{findings}</ol>
            {stop}
        </section>
    }
    .into_any()
}

fn nodes() -> AnyView {
    let mut list = List::new(t().server.nodes, "/nodes", "/id");
    list.columns = vec![
        Column::new(t().name, |row| {
            let this = read::flag(row, "/answers")
                .then(|| view! { " " {badge(Tone::Accent, t().server.this_one)} });
            view! { {read::text(row, "/name").to_owned()}{this} }.into_any()
        }),
        Column::new(t().server.version, |row| {
            read::text(row, "/version").to_owned().into_any()
        }),
        Column::new(t().since, |row| page::date_at(row, "/joined")),
    ];
    list.empty = t().server.one_node;
    list.is_plain = true;
    table(list)
}

fn quarantine() -> AnyView {
    let mut list = List::new(t().server.quarantine, "/quarantine", "/key");
    list.columns = vec![
        Column::new(t().server.record, |row| {
            view! { {read::text(row, "/record").to_owned()}<div class="sub mono">{read::text(row, "/key").to_owned()}</div> }.into_any()
        }),
        Column::new(t().server.reason, |row| {
            read::text(row, "/reason").to_owned().into_any()
        }),
        Column::new(t().when, |row| page::date_at(row, "/at")).class("nowrap"),
        Column::new(t().size, |row| {
            format::octets(read::number(row, "/octets").unwrap_or_default()).into_any()
        })
        .class("number nowrap"),
    ];
    list.empty = t().server.empty_quarantine;
    list.bulk = vec![common::bulk_remove(t().server.forget_quarantined, |row| {
        common::of("/quarantine", read::text(row, "/key"))
    })];
    table(list)
}

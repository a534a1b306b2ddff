//! Mail that was deleted, and the way back.

use leptos::prelude::*;
use serde_json::{Value, json};

use crate::{
    format, json as read,
    messages::{fill, t},
    ui::{
        api::Reply,
        components::{
            load::{self, Loaded},
            page, toast,
        },
        jmap,
    },
};

/// Messages that are shown; who looks for others narrows the search.
const SHOWN_MAX: u32 = 100;

pub fn page() -> AnyView {
    let search = RwSignal::new(String::new());
    let loaded = Loaded::new(move || {
        let text = search.get();
        async move {
            let mut query = json!({"limit": SHOWN_MAX});
            if !text.is_empty() {
                read::put(&mut query, "/filter/text", json!(text));
            }
            let get =
                json!({"#ids": {"resultOf": "0", "name": "DeletedEmail/query", "path": "/ids"}});
            let calls = vec![("DeletedEmail/query", query), ("DeletedEmail/get", get)];
            let mut answers = jmap::calls(&[jmap::MAIL, jmap::UNDELETE], calls).await?;
            Ok(Reply {
                body: answers.pop().unwrap_or_default(),
                ..Reply::default()
            })
        }
    });
    let chosen = RwSignal::new(Vec::<String>::new());
    let restore = move |_| {
        let ids = chosen.get_untracked();
        load::run(async move {
            let answer = jmap::set(
                &[jmap::MAIL, jmap::UNDELETE],
                "DeletedEmail/restore",
                json!({"ids": ids}),
            )
            .await;
            loaded.again();
            let restored = answer?
                .get("restored")
                .and_then(Value::as_object)
                .map_or(0, serde_json::Map::len);
            toast::show(fill(t().restored, &[("count", &restored.to_string())]));
            chosen.set(Vec::new());
            Ok(())
        });
    };
    let submit = move |event: leptos::ev::SubmitEvent| event.prevent_default();
    view! {
        {page::head(t().deleted_mail, t().own.deleted_lead, ().into_any())}
        <form class="table-tools" on:submit=submit>
            <div class="search">
                <input type="search" id="search" aria-label=t().search_deleted placeholder=t().search_deleted autocomplete="off"
                    on:change=move |event| search.set(event_target_value(&event).trim().to_owned()) />
            </div>
            <button type="button" class="primary" disabled=move || chosen.with(Vec::is_empty) on:click=restore>{t().restore}</button>
        </form>
        {loaded.show(move |reply| list(&reply.body, chosen))}
    }
    .into_any()
}

fn list(body: &Value, chosen: RwSignal<Vec<String>>) -> AnyView {
    let rows = read::items(body, "/list");
    if rows.is_empty() {
        return view! { <div class="table-box empty"><p>{t().nothing_deleted}</p></div> }
            .into_any();
    }
    let rows = rows.iter().map(|row| {
        let id = read::text(row, "/id").to_owned();
        let subject = match read::text(row, "/subject") {
            "" => t().no_subject.to_owned(),
            subject => subject.to_owned(),
        };
        let from = match (read::text(row, "/from/0/name"), read::text(row, "/from/0/email")) {
            ("", address) => address.to_owned(),
            (name, _) => name.to_owned(),
        };
        let label = format!("{} {subject}", t().choose);
        let is_chosen = {
            let id = id.clone();
            move || chosen.with(|chosen| chosen.contains(&id))
        };
        let change = move |event| {
            let is_checked = event_target_checked(&event);
            chosen.update(|chosen| {
                chosen.retain(|other| *other != id);
                if is_checked {
                    chosen.push(id.clone());
                }
            });
        };
        view! {
            <tr>
                <td class="choose"><input type="checkbox" aria-label=label prop:checked=is_chosen on:change=change /></td>
                <td data-label=t().subject>{subject}<div class="sub">{read::text(row, "/preview").to_owned()}</div></td>
                <td data-label=t().from>{from}</td>
                <td data-label=t().deleted class="nowrap">{page::date_at(row, "/deletedAt")}</td>
                <td data-label=t().own.kept_until class="nowrap">{page::date_at(row, "/expiresAt")}</td>
                <td data-label=t().size class="number nowrap">{format::octets(read::number(row, "/size").unwrap_or_default())}</td>
            </tr>
        }
    });
    let rows = rows.collect_view();
    view! {
        <div class="table-box">
            <table class="cards-on-phone">
                <caption class="visually-hidden">{t().deleted_mail}</caption>
                <thead><tr>
                    <th class="choose" scope="col"><span class="visually-hidden">{t().choose}</span></th>
                    <th scope="col">{t().subject}</th><th scope="col">{t().from}</th><th scope="col">{t().deleted}</th>
                    <th scope="col">{t().own.kept_until}</th><th class="number" scope="col">{t().size}</th>
                </tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
    .into_any()
}

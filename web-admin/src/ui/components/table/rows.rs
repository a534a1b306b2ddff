//! The rows of a list, their heads, and the way to the next page.

use leptos::prelude::*;
use serde_json::Value;

use super::{Column, List, asked::Asked, key_of};
use crate::{
    format, json,
    messages::{fill, t},
};

pub fn view(
    list: &List,
    body: &Value,
    now: &Asked,
    asked: RwSignal<Asked>,
    chosen: RwSignal<Vec<String>>,
) -> AnyView {
    let items = json::items(body, "/items");
    if items.is_empty() {
        let text = if now.is_narrowed() {
            t().nothing_found
        } else {
            list.empty
        };
        return view! { <div class="table-box empty"><p>{text}</p></div> {pager(list, body, now, asked)} }.into_any();
    }
    let can_choose = !list.bulk.is_empty();
    let key = list.key;
    let keys: Vec<String> = items.iter().map(|row| key_of(row, key)).collect();
    let all = can_choose.then(|| {
        let keys = keys.clone();
        let count = keys.len();
        let change = move |event| match event_target_checked(&event) {
            true => chosen.set(keys.clone()),
            false => chosen.set(Vec::new()),
        };
        view! {
            <th class="choose" scope="col">
                <input type="checkbox" aria-label=t().choose_all prop:checked=move || chosen.with(Vec::len) == count on:change=change />
            </th>
        }
    });
    let heads = list
        .columns
        .iter()
        .map(|column| head_view(column, now, asked))
        .collect_view();
    let rows = items.iter().zip(keys).map(|(row, key)| {
        let choose = can_choose.then(|| {
            let (of_checked, of_change, label) = (key.clone(), key.clone(), format!("{} {key}", t().choose));
            let change = move |event| {
                let is_checked = event_target_checked(&event);
                chosen.update(|chosen| {
                    chosen.retain(|other| *other != of_change);
                    if is_checked {
                        chosen.push(of_change.clone());
                    }
                });
            };
            view! {
                <td class="choose">
                    <input type="checkbox" aria-label=label
                        prop:checked=move || chosen.with(|chosen| chosen.contains(&of_checked)) on:change=change />
                </td>
            }
        });
        let cells = list.columns.iter().map(|column| {
            view! { <td class=column.class data-label=column.label>{(column.show)(row)}</td> }
        });
        view! { <tr>{choose}{cells.collect_view()}</tr> }
    });
    let rows = rows.collect_view();
    view! {
        <div class="table-box">
            <table class="cards-on-phone">
                <caption class="visually-hidden">{list.label}</caption>
                <thead><tr>{all}{heads}</tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
        {pager(list, body, now, asked)}
    }
    .into_any()
}

fn head_view(column: &Column, now: &Asked, asked: RwSignal<Asked>) -> AnyView {
    let (label, sort) = (column.label, column.sort);
    if label.is_empty() {
        return view! { <th class=column.class scope="col"><span class="visually-hidden">{t().actions}</span></th> }
            .into_any();
    }
    if sort.is_empty() {
        return view! { <th class=column.class scope="col">{label}</th> }.into_any();
    }
    let down = format!("-{sort}");
    let (order, arrow) = match now.sort.as_str() {
        by if by == sort => (Some("ascending"), " ▲"),
        by if by == down => (Some("descending"), " ▼"),
        _ => (None, ""),
    };
    let next = if order == Some("ascending") {
        down
    } else {
        sort.to_owned()
    };
    let press = move |_| {
        let next = next.clone();
        asked.update(|asked| {
            asked.sort = next;
            asked.cursors.clear();
        });
    };
    view! {
        <th class=column.class scope="col" aria-sort=order>
            <button type="button" on:click=press>{label}<span aria-hidden="true">{arrow}</span></button>
        </th>
    }
    .into_any()
}

fn pager(list: &List, body: &Value, now: &Asked, asked: RwSignal<Asked>) -> AnyView {
    if list.is_whole {
        return ().into_any();
    }
    let next = json::text(body, "/next").to_owned();
    let has_before = !now.cursors.is_empty();
    let total = json::number(body, "/total").map(|total| match total {
        0 => String::new(),
        1 => t().one_row.to_owned(),
        _ => fill(t().rows, &[("count", &format::count(total))]),
    });
    if next.is_empty() && !has_before {
        return view! { <div class="pager"><span>{total}</span></div> }.into_any();
    }
    let has_next = !next.is_empty();
    let forward = move |_| asked.update(|asked| asked.cursors.push(next.clone()));
    let backward = move |_| {
        asked.update(|asked| {
            asked.cursors.pop();
        });
    };
    view! {
        <nav class="pager" aria-label=t().pages>
            <span>{total}</span>
            <span class="actions">
                <button type="button" disabled=!has_before on:click=backward>{t().previous}</button>
                <button type="button" disabled=!has_next on:click=forward>{t().next}</button>
            </span>
        </nav>
    }
    .into_any()
}

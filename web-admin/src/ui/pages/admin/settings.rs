//! Settings: what each means, what it has, where that is from; changed with a way back, one by one or as a file.
//!
//! Holds: values are TOML, as in the configuration file; what the file has can't be changed here, and says so.

use leptos::prelude::*;
use serde_json::{Value, json};

use crate::{
    json as read,
    messages::{fill, t},
    problem::Problem,
    ui::{
        api,
        components::{
            dialog::dialog,
            form::{Field, Kind, form, send},
            load::run,
            page::{self, Tone, badge, note},
            table::{Column, List, table},
            tabs::tabs,
            toast,
        },
        pages::common,
        session::Session,
    },
};

const API: &str = "/settings";

pub fn page(session: &Session) -> AnyView {
    let may_change = session.may("settings.change");
    let mut parts: Vec<(&'static str, &'static str, ViewFn)> = vec![(
        "all",
        t().server.one_by_one,
        ViewFn::from(move || all(may_change)),
    )];
    parts.push((
        "file",
        t().server.as_file,
        ViewFn::from(move || super::settings_file::part(may_change)),
    ));
    view! {
        {page::head(t().settings, t().server.settings_lead, ().into_any())}
        {tabs(t().settings, parts)}
    }
    .into_any()
}

fn all(may_change: bool) -> AnyView {
    let mut list = List::new(t().settings, API, "/key");
    let changed = list.changed;
    let editing = RwSignal::new(None::<Value>);
    list.columns = vec![
        Column::new(t().server.setting, |row| {
            view! {
                <code>{read::text(row, "/key").to_owned()}</code>
                <div class="sub about">{read::text(row, "/description").to_owned()}</div>
            }
            .into_any()
        }),
        Column::new(t().server.value, value),
        Column::new(t().server.source, source),
    ];
    if may_change {
        let actions = move |row: &Value| actions(row, editing, changed);
        list.columns.push(Column::new("", actions).class("act"));
    }
    list.searches = vec![("q", t().server.search_settings)];
    list.filters = vec![(
        "changed",
        t().state,
        vec![
            ("", t().server.all_settings),
            ("true", t().server.only_changed),
        ],
    )];
    list.in_address = true;
    let title = |row: &Value| read::text(row, "/key").to_owned();
    view! {
        {table(list)}
        {dialog(editing, title, move |row| editor(&row, editing, changed))}
    }
    .into_any()
}

/// What counts, and below it what would if nothing were set.
fn value(row: &Value) -> AnyView {
    let value = match row.get("value").and_then(Value::as_str) {
        Some(value) => view! { <code class="value">{value.to_owned()}</code> }.into_any(),
        None => view! { <span class="muted">{t().server.no_value}</span> }.into_any(),
    };
    let default = row.get("default").and_then(Value::as_str);
    let default = default.filter(|default| *default != read::text(row, "/value"));
    let default = default.map(|default| {
        let text = format!("{} {default}", t().server.by_default);
        view! { <div class="sub">{text}</div> }
    });
    let fault = read::text(row, "/fault").to_owned();
    let fault = (!fault.is_empty()).then(|| view! { <div class="sub bad-text">{fault}</div> });
    view! { {value}{default}{fault} }.into_any()
}

fn source(row: &Value) -> AnyView {
    let by = match read::text(row, "/setBy") {
        "" => None,
        name => Some(
            view! { <div class="sub">{name.to_owned()}", "{page::date_at(row, "/setAt")}</div> },
        ),
    };
    let badge = match read::text(row, "/source") {
        "store" => badge(Tone::Accent, t().server.from_store),
        "file" => badge(Tone::Warn, t().server.from_file),
        _ => badge(Tone::Plain, t().server.from_default),
    };
    let place = match (read::text(row, "/place"), read::text(row, "/fileAlone")) {
        ("", "") => None,
        ("", why) => Some(fill(t().server.file_alone, &[("why", why)])),
        (place, _) => Some(place.to_owned()),
    };
    let place = place.map(|place| view! { <div class="sub">{place}</div> });
    view! { {badge}{place}{by} }.into_any()
}

fn actions(row: &Value, editing: RwSignal<Option<Value>>, changed: RwSignal<u32>) -> AnyView {
    if !read::flag(row, "/changeable") {
        return ().into_any();
    }
    let label = format!("{} {}", t().change, read::text(row, "/key"));
    let edit = {
        let row = row.clone();
        move |_| editing.set(Some(row.clone()))
    };
    let reset = stored(row).map(|before| {
        let key = read::text(row, "/key").to_owned();
        let label = format!("{} {key}", t().server.reset);
        let press = move |_| {
            let (key, before) = (key.clone(), before.clone());
            run(async move {
                put(&key, None).await?;
                tell(key, Some(before), changed);
                Ok(())
            });
        };
        view! { <button type="button" class="small" aria-label=label on:click=press>{t().server.reset}</button> }
    });
    view! {
        <div class="actions">
            <button type="button" class="small" aria-label=label on:click=edit>{t().change}</button>
            {reset}
        </div>
    }
    .into_any()
}

fn stored(row: &Value) -> Option<String> {
    row.get("stored").and_then(Value::as_str).map(str::to_owned)
}

/// Sets a value, or takes it away.
async fn put(key: &str, value: Option<&str>) -> Result<(), Problem> {
    let address = common::of(API, key);
    match value {
        Some(value) => {
            let body = json!({"value": value});
            api::Call::new("PUT", &address).json(&body).send().await?;
        }
        None => {
            api::delete(&address).await?;
        }
    }
    Ok(())
}

/// Says that a setting was changed, with the way back to what the store had before.
fn tell(key: String, before: Option<String>, changed: RwSignal<u32>) {
    changed.update(|count| *count += 1);
    let text = fill(t().server.setting_changed, &[("key", &key)]);
    let undo: toast::Undo = std::sync::Arc::new(move || {
        let (key, before) = (key.clone(), before.clone());
        run(async move {
            put(&key, before.as_deref()).await?;
            changed.update(|count| *count += 1);
            toast::show(t().undone);
            Ok(())
        });
    });
    toast::show_with(text, Some(undo));
}

fn editor(row: &Value, editing: RwSignal<Option<Value>>, changed: RwSignal<u32>) -> AnyView {
    let text = |pointer: &str| read::text(row, pointer).to_owned();
    let kind = match read::text(row, "/kind") {
        "true or false" => {
            let choice = |value: &str, label: &str| (value.to_owned(), label.to_owned());
            Kind::Choice(vec![choice("true", t().yes), choice("false", t().no)])
        }
        "list" | "table" => Kind::Area,
        "number" => Kind::Number,
        _ => Kind::Text,
    };
    let is_text = matches!(kind, Kind::Text);
    // Around a text, TOML's quotation marks can be left out.
    let shown = |text: String| match is_text {
        true => text.trim_matches('"').to_owned(),
        false => text,
    };
    let example = fill(
        t().server.for_example,
        &[("value", &shown(text("/example")))],
    );
    let mut hint = vec![example];
    if let Some(default) = row.get("default").and_then(Value::as_str) {
        hint.push(format!(
            "{} {}",
            t().server.by_default,
            shown(default.to_owned())
        ));
    }
    let field = Field::new("/value", kind_name(read::text(row, "/kind")), kind)
        .value(shown(text("/value")))
        .hint(hint.join(" "))
        .required();
    let (key, before) = (text("/key"), stored(row));
    let sent = send(move |value| {
        let (key, before) = (key.clone(), before.clone());
        async move {
            let value = match value.get("value") {
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
                None => String::new(),
            };
            put(&key, Some(&value)).await?;
            editing.set(None);
            tell(key, before, changed);
            Ok(())
        }
    });
    let fault = text("/fault");
    view! {
        <p class="about">{text("/description")}</p>
        {(!fault.is_empty()).then(|| note(Tone::Bad, fault))}
        {form(vec![field], t().save, sent)}
    }
    .into_any()
}

/// What kind of value it is.
fn kind_name(kind: &str) -> &'static str {
    let server = &t().server;
    match kind {
        "true or false" => server.kind_flag,
        "number" => server.kind_number,
        "list" => server.kind_list,
        "table" => server.kind_table,
        "rate" => server.kind_rate,
        "time" => server.kind_time,
        "size" => server.kind_size,
        _ => server.kind_text,
    }
}

//! Settings as a file, for those who keep configuration in git: shown, compared, applied.

use leptos::{prelude::*, task::spawn_local};
use serde_json::{Value, json};

use crate::{
    json as read,
    messages::t,
    ui::{
        api,
        components::{
            copy,
            form::{Field, Kind, form_with, send},
            load::Loaded,
            page::{self, Tone, note},
            toast,
        },
    },
};

pub fn part(may_change: bool) -> AnyView {
    let loaded = Loaded::of("/settings-file");
    loaded.show(move |reply| {
        let toml = read::text(&reply.body, "/toml").to_owned();
        let content = match may_change {
            true => editor(toml, loaded),
            false => view! { <pre class="file">{toml.clone()}</pre>{copy::all(toml, t().copy)} }
                .into_any(),
        };
        page::card(t().server.as_file, t().server.as_file_lead, content)
    })
}

fn editor(toml: String, loaded: Loaded) -> AnyView {
    let plan = RwSignal::new(None::<Result<Value, String>>);
    let fields = vec![
        Field::new("/toml", t().server.file, Kind::Code)
            .value(toml)
            .hint(t().server.file_hint),
    ];
    let compare = move |_| {
        let element = document().get_element_by_id("field-toml");
        let element =
            element.map(wasm_bindgen::JsCast::unchecked_into::<web_sys::HtmlTextAreaElement>);
        let toml = element.map(|element| element.value()).unwrap_or_default();
        spawn_local(async move {
            let body = json!({"toml": toml});
            let found = api::Call::new("POST", "/settings-file/plan")
                .json(&body)
                .send()
                .await;
            let found = found.map(|reply| reply.body);
            plan.try_set(Some(found.map_err(|problem| problem.detail)));
        });
    };
    let shown = view! {
        <div role="status">{move || plan.get().map(|plan| match plan {
            Ok(body) => changes(&body),
            Err(why) => note(Tone::Bad, why),
        })}</div>
        <div><button type="button" on:click=compare>{t().server.compare}</button></div>
    };
    let sent = send(move |value| async move {
        let done = api::Call::new("POST", "/settings-file/apply")
            .json(&value)
            .send()
            .await?;
        toast::show(match read::items(&done.body, "/changes").is_empty() {
            true => t().nothing_changed,
            false => t().saved,
        });
        loaded.again();
        Ok(())
    });
    form_with(fields, t().server.apply, shown.into_any(), sent)
}

/// What would change.
fn changes(body: &Value) -> AnyView {
    let changes = read::items(body, "/changes");
    if changes.is_empty() {
        return note(Tone::Plain, t().nothing_changed);
    }
    let value = |of: &Value, pointer: &str| match of.pointer(pointer).and_then(Value::as_str) {
        Some(value) => value.to_owned(),
        None => t().server.no_value.to_owned(),
    };
    let rows = changes.iter().map(|of| {
        view! {
            <li>
                <code>{read::text(of, "/key").to_owned()}</code>": "
                <del>{value(of, "/before")}</del>" → "<ins>{value(of, "/after")}</ins>
            </li>
        }
    });
    view! { <ul class="changes">{rows.collect_view()}</ul> }.into_any()
}

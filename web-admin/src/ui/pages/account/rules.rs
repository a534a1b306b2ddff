//! Sieve scripts (RFC 5228), over JMAP (RFC 9661): an editor that lets the server check them.

use leptos::{prelude::*, task::spawn_local};
use serde_json::{Value, json};

use crate::{
    json as read,
    messages::{fill, t},
    problem::Problem,
    ui::{
        api::Reply,
        components::{
            dialog::{Question, dialog, questions},
            form::{Field, Kind, form_with, send},
            load::{self, Loaded},
            page::{self, Tone, badge, note},
            toast,
        },
        jmap,
    },
};

const USING: &[&str] = &[jmap::SIEVE, jmap::BLOB];

/// What a new script begins with.
const TEMPLATE: &str = "require [\"fileinto\"];\n\nif header :contains \"list-id\" \"example.org\" {\n    fileinto \"Lists\";\n}\n";

#[derive(Clone)]
struct Script {
    /// Empty: it isn't stored yet.
    id: String,
    name: String,
    text: String,
}

pub fn page() -> AnyView {
    let loaded = Loaded::new(|| async {
        let body = jmap::call(USING, "SieveScript/get", json!({"ids": null})).await?;
        Ok(Reply {
            body,
            ..Reply::default()
        })
    });
    let editing = RwSignal::new(None::<Script>);
    let question = RwSignal::new(None::<Question>);
    let new = move |_| {
        editing.set(Some(Script {
            id: String::new(),
            name: String::new(),
            text: TEMPLATE.into(),
        }));
    };
    let actions =
        view! { <button type="button" class="primary" on:click=new>{t().own.new_script}</button> }
            .into_any();
    let title = |script: &Script| match script.name.as_str() {
        "" => t().own.new_script.to_owned(),
        name => name.to_owned(),
    };
    view! {
        {page::head(t().own.rules, t().own.rules_lead, actions)}
        {loaded.show(move |reply| list(&reply.body, loaded, editing, question))}
        {dialog(editing, title, move |script| editor(script, editing, loaded))}
        {questions(question)}
    }
    .into_any()
}

fn list(
    body: &Value,
    loaded: Loaded,
    editing: RwSignal<Option<Script>>,
    question: RwSignal<Option<Question>>,
) -> AnyView {
    let scripts = read::items(body, "/list");
    if scripts.is_empty() {
        return view! { <div class="table-box empty"><p>{t().own.no_scripts}</p></div> }.into_any();
    }
    let rows = scripts
        .iter()
        .map(|script| row(script, loaded, editing, question))
        .collect_view();
    view! {
        <div class="table-box">
            <table class="cards-on-phone">
                <caption class="visually-hidden">{t().own.rules}</caption>
                <thead><tr><th scope="col">{t().name}</th><th scope="col">{t().state}</th><th scope="col"><span class="visually-hidden">{t().actions}</span></th></tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
    .into_any()
}

fn row(
    script: &Value,
    loaded: Loaded,
    editing: RwSignal<Option<Script>>,
    question: RwSignal<Option<Question>>,
) -> AnyView {
    let text = |pointer: &str| read::text(script, pointer).to_owned();
    let (id, blob) = (text("/id"), text("/blobId"));
    let name = match text("/name") {
        name if name.is_empty() => t().own.unnamed.to_owned(),
        name => name,
    };
    let is_active = read::flag(script, "/isActive");
    let edit = {
        let (id, name) = (id.clone(), name.clone());
        move |_| {
            let (id, name, blob) = (id.clone(), name.clone(), blob.clone());
            load::run(async move {
                let text = text_of(&blob).await?;
                editing.set(Some(Script { id, name, text }));
                Ok(())
            });
        }
    };
    let switch = {
        let id = id.clone();
        move |_| {
            let arguments = match is_active {
                true => json!({"onSuccessDeactivateScript": true}),
                false => json!({"onSuccessActivateScript": id}),
            };
            load::run(async move {
                jmap::set(USING, "SieveScript/set", arguments).await?;
                toast::show(if is_active {
                    t().own.script_off
                } else {
                    t().own.script_on
                });
                loaded.again();
                Ok(())
            });
        }
    };
    let remove = {
        let name = name.clone();
        move |_| {
            let id = id.clone();
            let text = fill(t().own.remove_script, &[("name", &name)]);
            question.set(Some(Question::new(
                t().remove,
                text,
                t().remove,
                move || {
                    let arguments = json!({"destroy": [id]});
                    async move {
                        jmap::set(USING, "SieveScript/set", arguments).await?;
                        toast::show(t().removed);
                        loaded.again();
                        Ok(())
                    }
                },
            )));
        }
    };
    let state = match is_active {
        true => badge(Tone::Good, t().active),
        false => badge(Tone::Plain, t().own.inactive),
    };
    let label = if is_active {
        t().own.switch_off
    } else {
        t().own.switch_on
    };
    view! {
        <tr>
            <td data-label=t().name>{name}</td>
            <td data-label=t().state>{state}</td>
            <td class="act">
                <div class="actions">
                    <button type="button" class="small" on:click=edit>{t().own.edit}</button>
                    <button type="button" class="small" on:click=switch>{label}</button>
                    <button type="button" class="small danger" disabled=is_active on:click=remove>{t().remove}</button>
                </div>
            </td>
        </tr>
    }
    .into_any()
}

fn editor(script: Script, editing: RwSignal<Option<Script>>, loaded: Loaded) -> AnyView {
    let checked = RwSignal::new(None::<Result<(), String>>);
    let id = script.id.clone();
    let fields = vec![
        Field::new("/name", t().name, Kind::Text)
            .value(script.name)
            .required(),
        Field::new("/text", t().own.script, Kind::Code)
            .value(script.text)
            .required()
            .hint(t().own.script_hint),
    ];
    let check = move |_| {
        let text = document()
            .get_element_by_id("field-text")
            .map(|element| {
                wasm_bindgen::JsCast::unchecked_into::<web_sys::HtmlTextAreaElement>(element)
                    .value()
            })
            .unwrap_or_default();
        spawn_local(async move {
            let result = validate(&text).await;
            checked.try_set(Some(result.map_err(|problem| problem.detail)));
        });
    };
    let extra = view! {
        {move || checked.get().map(|result| match result {
            Ok(()) => note(Tone::Good, t().own.script_is_good),
            Err(why) => note(Tone::Bad, why),
        })}
        <div><button type="button" on:click=check>{t().own.check}</button></div>
    };
    let sent = send(move |value| {
        let id = id.clone();
        async move {
            store(
                &id,
                read::text(&value, "/name"),
                read::text(&value, "/text"),
            )
            .await?;
            toast::show(t().saved);
            editing.set(None);
            loaded.again();
            Ok(())
        }
    });
    form_with(fields, t().save, extra.into_any(), sent)
}

/// Puts a text into a blob, and returns its id.
async fn upload(text: &str) -> Result<String, Problem> {
    let blob = json!({"data": [{"data:asText": text}], "type": "application/sieve"});
    let answer = jmap::set(USING, "Blob/upload", json!({"create": {"script": blob}})).await?;
    Ok(read::text(&answer, "/created/script/id").to_owned())
}

async fn text_of(blob: &str) -> Result<String, Problem> {
    let arguments = json!({"ids": [blob], "properties": ["data:asText"]});
    let answer = jmap::call(USING, "Blob/get", arguments).await?;
    Ok(read::text(&answer, "/list/0/data:asText").to_owned())
}

async fn validate(text: &str) -> Result<(), Problem> {
    let arguments = json!({"blobId": upload(text).await?});
    let answer = jmap::call(USING, "SieveScript/validate", arguments).await?;
    match answer.get("error").filter(|error| !error.is_null()) {
        Some(error) => Err(jmap::problem_of(error)),
        None => Ok(()),
    }
}

async fn store(id: &str, name: &str, text: &str) -> Result<(), Problem> {
    let script = json!({"name": name, "blobId": upload(text).await?});
    let arguments = match id {
        "" => json!({"create": {"new": script}}),
        id => json!({"update": {id: script}}),
    };
    jmap::set(USING, "SieveScript/set", arguments)
        .await
        .map(|_| ())
}

//! Forms: fields that make a JSON object, and say what the server finds wrong with each.

mod control;
mod field;

use std::{future::Future, pin::Pin, sync::Arc};

use leptos::{ev::SubmitEvent, prelude::*, task::spawn_local};
use serde_json::Value;
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

use self::field::Input;
pub use self::field::{Field, Kind};
use super::page::{Tone, note};
use crate::{json, messages::t, problem::Problem};

/// What is sent when the form is.
pub type Send = Arc<
    dyn Fn(Value) -> Pin<Box<dyn Future<Output = Result<(), Problem>>>> + std::marker::Send + Sync,
>;

pub fn send<F>(with: impl Fn(Value) -> F + std::marker::Send + Sync + 'static) -> Send
where
    F: Future<Output = Result<(), Problem>> + 'static,
{
    Arc::new(move |value| Box::pin(with(value)))
}

/// A form. `sent` gets the object; what it finds wrong is shown, and the first wrong field gets the focus.
pub fn form(fields: Vec<Field>, submit: &'static str, sent: Send) -> AnyView {
    form_with(fields, submit, ().into_any(), sent)
}

/// A form with something between the fields and the button.
pub fn form_with(fields: Vec<Field>, submit: &'static str, extra: AnyView, sent: Send) -> AnyView {
    form_around(().into_any(), fields, extra, submit, sent)
}

/// A form with something before its fields, and something behind them.
pub fn form_around(
    before: AnyView,
    fields: Vec<Field>,
    behind: AnyView,
    submit: &'static str,
    sent: Send,
) -> AnyView {
    let inputs: Vec<(Field, Input)> = fields
        .into_iter()
        .map(|field| {
            let input = Input::new(&field);
            (field, input)
        })
        .collect();
    let problem = RwSignal::new(None::<Problem>);
    let busy = RwSignal::new(false);
    let views = inputs
        .iter()
        .map(|(field, input)| field_view(field, *input, problem))
        .collect_view();
    let known: Vec<_> = inputs
        .iter()
        .map(|(field, _)| field.pointer.clone())
        .collect();
    let ids: Vec<_> = inputs
        .iter()
        .map(|(field, _)| (field.pointer.clone(), field.id()))
        .collect();
    let refuse = move |wrong: Problem| {
        let first = ids
            .iter()
            .find(|(pointer, _)| wrong.of_field(pointer).is_some());
        let first = first.map(|(_, id)| id.clone());
        problem.try_set(Some(wrong));
        if let Some(element) = first.and_then(|id| document().get_element_by_id(&id))
            && let Ok(element) = element.dyn_into::<HtmlElement>()
        {
            let _ = element.focus();
        }
    };
    let press = move |event: SubmitEvent| {
        event.prevent_default();
        if busy.get_untracked() {
            return;
        }
        let mut object = Value::Object(serde_json::Map::new());
        let mut wrong = Problem::default();
        for (field, input) in &inputs {
            match input.value(field) {
                Ok(value)
                    if field.required
                        && (value.is_null() || value == Value::String(String::new())) =>
                {
                    wrong
                        .fields
                        .push((field.pointer.to_string(), t().required.to_owned()));
                }
                Ok(value) => json::put(&mut object, &field.pointer, value),
                Err(why) => wrong
                    .fields
                    .push((field.pointer.to_string(), why.to_owned())),
            }
        }
        if !wrong.fields.is_empty() {
            refuse(wrong);
            return;
        }
        busy.set(true);
        problem.set(None);
        let future = sent(object);
        let refuse = refuse.clone();
        spawn_local(async move {
            let done = future.await;
            busy.try_set(false);
            if let Err(wrong) = done {
                refuse(wrong);
            }
        });
    };
    // What is wrong with no field of the form is said above it.
    let general = move || {
        let wrong = problem.get()?;
        let elsewhere = wrong.fields.iter().filter(|(at, _)| {
            !known
                .iter()
                .any(|pointer| at == pointer.as_ref() || at.starts_with(&format!("{pointer}/")))
        });
        let mut text = wrong.detail.clone();
        for (at, detail) in elsewhere {
            text.push_str(&format!(" {}: {detail}", at.trim_start_matches('/')));
        }
        (!text.is_empty()).then(|| note(Tone::Bad, text))
    };
    view! {
        <form class="form" novalidate on:submit=press>
            {general}
            {before}
            {views}
            {behind}
            <div class="actions">
                <button type="submit" class="primary" disabled=move || busy.get()>{submit}</button>
            </div>
        </form>
    }
    .into_any()
}

fn field_view(field: &Field, input: Input, problem: RwSignal<Option<Problem>>) -> AnyView {
    let (id, pointer, label) = (field.id(), field.pointer.clone(), field.label.clone());
    let wrong = Memo::new(move |_| {
        problem.with(|problem| problem.as_ref()?.of_field(&pointer).map(str::to_owned))
    });
    let error = {
        let id = format!("{id}-error");
        move || {
            wrong
                .get()
                .map(|text| view! { <p class="error" id=id.clone()>{text}</p> })
        }
    };
    let hint_id = format!("{id}-hint");
    if matches!(field.kind, Kind::Check) {
        let hint = (!field.hint.is_empty())
            .then(|| view! { <span class="hint">{field.hint.clone()}</span> });
        return view! {
            <div class="field">
                <div class="check">
                    <input type="checkbox" id=id.clone() prop:checked=move || input.checked.get()
                        on:change=move |event| input.checked.set(event_target_checked(&event)) />
                    <label for=id>{label}{hint}</label>
                </div>
                {error}
            </div>
        }
        .into_any();
    }
    let hint = (!field.hint.is_empty())
        .then(|| view! { <span class="hint" id=hint_id.clone()>{field.hint.clone()}</span> });
    let described = {
        let (error, hint) = (format!("{id}-error"), hint.is_some().then_some(hint_id));
        move || match (wrong.with(Option::is_some), &hint) {
            (true, Some(hint)) => Some(format!("{error} {hint}")),
            (true, None) => Some(error.clone()),
            (false, hint) => hint.clone(),
        }
    };
    let optional = (!field.required
        && matches!(
            field.kind,
            Kind::Text | Kind::Address | Kind::Number | Kind::Octets | Kind::Date
        ))
    .then(|| view! { <span class="muted">" " {t().optional}</span> });
    if matches!(field.kind, Kind::Several(_)) {
        let control = control::control(field, input, wrong, described.clone());
        return view! {
            <fieldset class="field" aria-describedby=described>
                <legend>{label}</legend>
                {control}
                {hint}
                {error}
            </fieldset>
        }
        .into_any();
    }
    let control = control::control(field, input, wrong, described);
    view! {
        <div class="field">
            <label for=id>{label}{optional}</label>
            {control}
            {hint}
            {error}
        </div>
    }
    .into_any()
}

//! Forms: fields that make a JSON object, and say what the server finds wrong with each.

use std::{future::Future, pin::Pin, sync::Arc};

use leptos::{ev::SubmitEvent, prelude::*, task::spawn_local};
use serde_json::Value;
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

use super::page::{Tone, note};
use crate::{json, messages::t, problem::Problem};

const OCTET_UNITS: [(&str, u64); 4] = [
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

#[derive(Clone, Debug)]
pub enum Kind {
    Text,
    Address,
    /// Of whoever signs in.
    Username,
    /// The one that is there.
    Password,
    NewPassword,
    Number,
    Octets,
    Check,
    /// (value, label)
    Choice(Vec<(String, String)>),
    /// An array of strings, one a line.
    Lines,
    Area,
    Code,
    /// A time, in local time.
    Date,
}

#[derive(Clone, Debug)]
pub struct Field {
    /// Where the value belongs in the object.
    pub pointer: &'static str,
    pub label: &'static str,
    pub hint: &'static str,
    pub kind: Kind,
    pub required: bool,
    /// Nothing is an empty text, and not no value.
    pub empty_is_text: bool,
    pub initial: Value,
}

impl Field {
    pub fn new(pointer: &'static str, label: &'static str, kind: Kind) -> Self {
        Self {
            pointer,
            label,
            hint: "",
            kind,
            required: false,
            empty_is_text: false,
            initial: Value::Null,
        }
    }

    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub fn empty_is_text(mut self) -> Self {
        self.empty_is_text = true;
        self
    }

    pub fn hint(mut self, hint: &'static str) -> Self {
        self.hint = hint;
        self
    }

    pub fn value(mut self, value: impl Into<Value>) -> Self {
        self.initial = value.into();
        self
    }

    /// With what the object has.
    pub fn from(mut self, object: &Value) -> Self {
        self.initial = object.pointer(self.pointer).cloned().unwrap_or_default();
        self
    }

    fn id(&self) -> String {
        format!("field{}", self.pointer.replace('/', "-"))
    }
}

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

/// What is in a field now.
#[derive(Clone, Copy)]
struct Input {
    text: RwSignal<String>,
    unit: RwSignal<u64>,
    checked: RwSignal<bool>,
}

impl Input {
    fn new(field: &Field) -> Self {
        let initial = &field.initial;
        let mut unit = 1_000_000_000;
        let text = match (&field.kind, initial) {
            (Kind::Octets, Value::Number(number)) => {
                let octets = number.as_u64().unwrap_or_default();
                let fits = OCTET_UNITS
                    .iter()
                    .rev()
                    .find(|(_, of)| octets >= *of && octets.is_multiple_of(*of / 10));
                unit = fits.map_or(1000, |(_, of)| *of);
                let value = octets as f64 / unit as f64;
                value.to_string()
            }
            (Kind::Lines, _) => json::texts(initial, "").join("\n"),
            (Kind::Date, Value::String(date)) => local_input(date),
            (_, Value::String(text)) => text.clone(),
            (_, Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        Self {
            text: RwSignal::new(text),
            unit: RwSignal::new(unit),
            checked: RwSignal::new(initial.as_bool().unwrap_or_default()),
        }
    }

    /// The field's value, or why it has none.
    fn value(&self, field: &Field) -> Result<Value, &'static str> {
        let text = self.text.get_untracked();
        let trimmed = text.trim();
        Ok(match &field.kind {
            Kind::Check => Value::Bool(self.checked.get_untracked()),
            Kind::Lines => {
                let lines = trimmed
                    .lines()
                    .map(str::trim)
                    .filter(|line| !line.is_empty());
                lines.map(Value::from).collect()
            }
            Kind::Area | Kind::Code => Value::String(text),
            _ if text.is_empty() && field.empty_is_text => Value::String(text),
            _ if text.is_empty() => Value::Null,
            Kind::Password | Kind::NewPassword => Value::String(text),
            Kind::Number => trimmed
                .parse::<u64>()
                .map(Value::from)
                .map_err(|_| t().not_a_number)?,
            Kind::Octets => {
                let number = trimmed.parse::<f64>().map_err(|_| t().not_a_number)?;
                if !(0.0..1e7).contains(&number) {
                    return Err(t().not_a_number);
                }
                Value::from((number * self.unit.get_untracked() as f64).round() as u64)
            }
            Kind::Date => Value::from(utc_of_input(trimmed).ok_or(t().not_a_date)?),
            Kind::Text | Kind::Address | Kind::Username | Kind::Choice(_) => Value::from(trimmed),
        })
    }
}

/// A date of the API as an `<input type="datetime-local">` has it.
fn local_input(date: &str) -> String {
    let Some(seconds) = crate::format::parse_date(date) else {
        return String::new();
    };
    let then = js_sys::Date::new(&((seconds as f64) * 1000.0).into());
    let local = seconds - (then.get_timezone_offset() as i64) * 60;
    crate::format::utc_date(local)
        .get(..16)
        .unwrap_or_default()
        .to_owned()
}

fn utc_of_input(text: &str) -> Option<String> {
    let millis = js_sys::Date::parse(text);
    millis
        .is_finite()
        .then(|| crate::format::utc_date((millis / 1000.0) as i64))
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
    let known: Vec<&'static str> = inputs.iter().map(|(field, _)| field.pointer).collect();
    let ids: Vec<(&'static str, String)> = inputs
        .iter()
        .map(|(field, _)| (field.pointer, field.id()))
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
                        .push((field.pointer.to_owned(), t().required.to_owned()));
                }
                Ok(value) => json::put(&mut object, field.pointer, value),
                Err(why) => wrong
                    .fields
                    .push((field.pointer.to_owned(), why.to_owned())),
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
                .any(|pointer| at == pointer || at.starts_with(&format!("{pointer}/")))
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
    let (id, pointer, label) = (field.id(), field.pointer, field.label);
    let wrong = Memo::new(move |_| {
        problem.with(|problem| problem.as_ref()?.of_field(pointer).map(str::to_owned))
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
        let hint =
            (!field.hint.is_empty()).then(|| view! { <span class="hint">{field.hint}</span> });
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
        .then(|| view! { <span class="hint" id=hint_id.clone()>{field.hint}</span> });
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
    let control = control(field, input, wrong, described);
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

fn control(
    field: &Field,
    input: Input,
    wrong: Memo<Option<String>>,
    described: impl Fn() -> Option<String> + Clone + std::marker::Send + Sync + 'static,
) -> AnyView {
    let id = field.id();
    let invalid = move || wrong.with(Option::is_some).then_some("true");
    let required = field.required.then_some("true");
    let text = input.text;
    let typed = move |event| text.set(event_target_value(&event));
    match &field.kind {
        Kind::Choice(choices) => {
            let options = choices.iter().map(|(value, label)| {
                let chosen = value.clone();
                view! {
                    <option value=value.clone() selected=move || text.with(|text| *text == chosen)>{label.clone()}</option>
                }
            });
            let options = options.collect_view();
            view! {
                <select id=id aria-invalid=invalid aria-describedby=described aria-required=required
                    on:change=typed>{options}</select>
            }
            .into_any()
        }
        Kind::Lines | Kind::Area | Kind::Code => {
            let class = if matches!(field.kind, Kind::Code) {
                "code"
            } else {
                ""
            };
            let spellcheck = if matches!(field.kind, Kind::Area) {
                "true"
            } else {
                "false"
            };
            view! {
                <textarea id=id class=class spellcheck=spellcheck aria-invalid=invalid aria-describedby=described
                    aria-required=required prop:value=move || text.get() on:input=typed></textarea>
            }
            .into_any()
        }
        Kind::Octets => {
            let units = OCTET_UNITS.iter().map(|(name, octets)| {
                let octets = *octets;
                view! { <option value=octets.to_string() selected=move || input.unit.get() == octets>{*name}</option> }
            });
            let units = units.collect_view();
            let unit = move |event| {
                input
                    .unit
                    .set(event_target_value(&event).parse().unwrap_or(1))
            };
            let label = format!("{}: {}", field.label, t().unit);
            view! {
                <div class="row">
                    <div class="grow">
                        <input id=id type="text" inputmode="decimal" autocomplete="off" aria-invalid=invalid
                            aria-describedby=described aria-required=required prop:value=move || text.get() on:input=typed />
                    </div>
                    <div><select aria-label=label on:change=unit>{units}</select></div>
                </div>
            }
            .into_any()
        }
        kind => {
            let (kind, autocomplete, mode) = match kind {
                Kind::Password => ("password", "current-password", "text"),
                Kind::NewPassword => ("password", "new-password", "text"),
                Kind::Address => ("text", "off", "email"),
                Kind::Username => ("text", "username", "email"),
                Kind::Number => ("text", "off", "numeric"),
                Kind::Date => ("datetime-local", "off", "text"),
                _ => ("text", "off", "text"),
            };
            view! {
                <input id=id type=kind autocomplete=autocomplete inputmode=mode autocapitalize="none" spellcheck="false"
                    aria-invalid=invalid aria-describedby=described aria-required=required
                    prop:value=move || text.get() on:input=typed />
            }
            .into_any()
        }
    }
}

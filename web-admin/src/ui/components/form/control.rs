//! What a field looks like.

use leptos::prelude::*;

use super::field::{Field, Input, Kind, OCTET_UNITS};
use crate::messages::t;

pub fn control(
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
        Kind::Several(choices) => several(id, choices, input),
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
                Kind::OneTimeCode => ("text", "one-time-code", "text"),
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

/// A box for each of the choices. What is ticked is kept as lines, in the order of the choices.
fn several(id: String, choices: &[(String, String)], input: Input) -> AnyView {
    let text = input.text;
    let values: Vec<String> = choices.iter().map(|(value, _)| value.clone()).collect();
    let boxes = choices.iter().map(|(value, label)| {
        let (of_box, of_change, values) = (value.clone(), value.clone(), values.clone());
        let has = |text: &str, value: &str| text.lines().any(|line| line == value);
        let change = move |event| {
            let is_ticked = event_target_checked(&event);
            text.update(|text| {
                let is_in = |value: &&String| match **value == of_change {
                    true => is_ticked,
                    false => has(text, value),
                };
                let ticked: Vec<&str> = values.iter().filter(is_in).map(String::as_str).collect();
                *text = ticked.join("\n");
            });
        };
        let id = format!("{id}-{value}");
        view! {
            <div class="check">
                <input type="checkbox" id=id.clone() prop:checked=move || text.with(|text| has(text, &of_box)) on:change=change />
                <label for=id>{label.clone()}</label>
            </div>
        }
    });
    view! { <div class="several" id=id.clone()>{boxes.collect_view()}</div> }.into_any()
}

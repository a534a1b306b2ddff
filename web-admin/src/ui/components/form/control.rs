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

//! What the pages of the directory have in common: making objects, changing them, and naming them.

use std::{future::Future, sync::Arc};

use leptos::prelude::*;
use serde_json::{Value, json};

use crate::{
    json as read,
    messages::{fill, t},
    problem::Problem,
    query,
    ui::{
        api::{self, Reply},
        components::{
            dialog::{Question, dialog},
            form::{Field, form, send},
            load::{self, Loaded},
            table::Bulk,
            toast,
        },
        route,
    },
};

/// A button that opens a form for something new. `made` is told what was made.
pub fn add(
    label: &'static str,
    address: &'static str,
    fields: impl Fn() -> Vec<Field> + Send + Sync + 'static,
    made: impl Fn(&Reply) + Send + Sync + 'static,
) -> AnyView {
    let open = RwSignal::new(None::<()>);
    let made = Arc::new(made);
    let content = move |()| {
        let made = made.clone();
        let sent = send(move |value| {
            let made = made.clone();
            async move {
                // Members that were left empty are left out.
                let value = read::changes(&json!({}), &value);
                let reply = api::post(address, &value).await?;
                open.set(None);
                toast::show(t().added);
                made(&reply);
                Ok(())
            }
        });
        form(fields(), label, sent)
    };
    view! {
        <button type="button" class="primary" on:click=move |_| open.set(Some(()))>{label}</button>
        {dialog(open, move |()| label.to_owned(), content)}
    }
    .into_any()
}

/// A form over an object that is there: sends what differs, if the object is still the one that is shown.
pub fn edit(address: String, reply: &Reply, fields: Vec<Field>, loaded: Loaded) -> AnyView {
    let before = StoredValue::new((reply.body.clone(), reply.etag.clone()));
    let fields = fields
        .into_iter()
        .map(|field| field.from(&reply.body))
        .collect();
    let sent = send(move |value| {
        let address = address.clone();
        async move {
            let (before, etag) = before.get_value();
            let changes = read::changes(&before, &value);
            if changes == json!({}) {
                toast::show(t().nothing_changed);
                return Ok(());
            }
            if change(&address, &etag, &changes, loaded).await? {
                let back = undo(address, read::reverse(&before, &changes), loaded);
                toast::show_with(t().saved.to_owned(), Some(back));
            }
            Ok(())
        }
    });
    form(fields, t().save, sent)
}

/// Gives an object the members back that it had.
pub fn undo(address: String, back: Value, loaded: Loaded) -> toast::Undo {
    Arc::new(move || {
        let (address, back) = (address.clone(), back.clone());
        load::run(async move {
            api::patch(&address, "", &back).await?;
            loaded.again();
            toast::show(t().undone);
            Ok(())
        });
    })
}

/// Changes an object, and shows what it is then. Whoever was overtaken sees the object as it is now; then it is `false`.
pub async fn change(
    address: &str,
    etag: &str,
    changes: &Value,
    loaded: Loaded,
) -> Result<bool, Problem> {
    match api::patch(address, etag, changes).await {
        Ok(_) => {
            loaded.again();
            Ok(true)
        }
        Err(problem) if problem.is_conflict() => {
            loaded.again();
            toast::show(t().changed_meanwhile);
            Ok(false)
        }
        Err(problem) => Err(problem),
    }
}

/// A button that removes an object, and goes back to the list. `label`: what it says, such as “Remove the group”.
pub fn remove(
    question: RwSignal<Option<Question>>,
    (label, text): (&'static str, &'static str),
    name: String,
    address: String,
    list: &'static str,
) -> AnyView {
    let press = move |_| {
        let address = address.clone();
        question.set(Some(Question::new(
            label,
            fill(text, &[("name", &name)]),
            t().remove,
            move || {
                let address = address.clone();
                async move {
                    api::delete(&address).await?;
                    toast::show(t().removed);
                    route::go(list);
                    Ok(())
                }
            },
        )));
    };
    view! { <button type="button" class="danger" on:click=press>{label}</button> }.into_any()
}

/// Removes the chosen rows. `address` of a row.
pub fn bulk_remove(
    question: &'static str,
    address: impl Fn(&Value) -> String + Send + Sync + 'static,
) -> Bulk {
    Bulk::new(t().remove, t().removed_count, move |row| {
        let address = address(&row);
        async move {
            api::delete(&address).await?;
            Ok(None)
        }
    })
    .asks(question)
}

/// Switches the chosen rows off or on, with a way back.
pub fn bulk_disable(
    disabled: bool,
    address: impl Fn(&Value) -> String + Send + Sync + 'static,
) -> Bulk {
    let (label, done) = match disabled {
        true => (t().disable, t().disabled_count),
        false => (t().enable, t().enabled_count),
    };
    Bulk::new(label, done, move |row| {
        let address = address(&row);
        let was = read::flag(&row, "/disabled");
        async move {
            set_disabled(&address, disabled).await?;
            let undo = crate::ui::components::table::back(move || {
                let address = address.clone();
                async move { set_disabled(&address, was).await }
            });
            Ok(undo)
        }
    })
}

async fn set_disabled(address: &str, disabled: bool) -> Result<(), Problem> {
    api::patch(address, "", &json!({"disabled": disabled})).await?;
    Ok(())
}

/// `/accounts/ID`
pub fn of(list: &str, id: &str) -> String {
    format!("{list}/{}", query::encode(id))
}

/// Does something when a button is pressed; what goes wrong is said.
pub fn button<F>(label: &'static str, class: &'static str, act: impl Fn() -> F + 'static) -> AnyView
where
    F: Future<Output = Result<(), Problem>> + 'static,
{
    let press = move |_| load::run(act());
    view! { <button type="button" class=class on:click=press>{label}</button> }.into_any()
}

/// A link to the page of an object.
pub fn link(address: String, text: &str) -> AnyView {
    view! { <a href=address>{text.to_owned()}</a> }.into_any()
}

//! The keys that a domain's mail is signed with, and putting others in their place.

use leptos::prelude::*;
use serde_json::Value;

use crate::{
    json as read,
    messages::{fill, t},
    ui::{
        api,
        components::{
            copy,
            dialog::{Question, questions},
            load::Loaded,
            page::{self, Tone, badge, card},
            toast,
        },
        pages::common,
    },
};

pub fn part(domain: &str, may_rotate: bool) -> AnyView {
    let of = format!("{}/dkim-keys", common::of("/domains", domain));
    let loaded = Loaded::of(of.clone());
    let question = RwSignal::new(None::<Question>);
    let rotate = may_rotate.then(|| rotate(&of, loaded));
    let content = view! {
        {loaded.show(move |reply| rows(&reply.body, &of, may_rotate, loaded, question))}
        {rotate}
        {questions(question)}
    };
    card(t().dkim, t().directory.dkim_lead, content.into_any())
}

fn rotate(of: &str, loaded: Loaded) -> AnyView {
    let step = move |address: String, done: &'static str| {
        move || {
            let address = address.clone();
            async move {
                api::Call::new("POST", &address).send().await?;
                toast::show(done);
                loaded.again();
                Ok(())
            }
        }
    };
    let directory = &t().directory;
    let prepare = step(format!("{of}/prepare"), directory.keys_prepared);
    let activate = step(format!("{of}/activate"), directory.keys_activated);
    view! {
        <div class="actions">
            {common::button(directory.prepare_keys, "", prepare)}
            {common::button(directory.activate_keys, "", activate)}
        </div>
    }
    .into_any()
}

fn rows(
    body: &Value,
    list: &str,
    may_remove: bool,
    loaded: Loaded,
    question: RwSignal<Option<Question>>,
) -> AnyView {
    let rows = read::items(body, "/items").iter().map(|of| {
        let (state, signs) = match read::text(of, "/state") {
            "waiting" => (badge(Tone::Warn, t().directory.key_waiting), false),
            "active" => (badge(Tone::Good, t().directory.key_active), true),
            _ => (badge(Tone::Plain, t().directory.key_retired), false),
        };
        let record = read::text(of, "/record").to_owned();
        let selector = read::text(of, "/selector").to_owned();
        let remove = (may_remove && !signs).then(|| remove(list, &selector, loaded, question));
        view! {
            <tr>
                <td data-label=t().directory.selector class="mono">{selector.clone()}</td>
                <td data-label=t().directory.algorithm>{read::text(of, "/algorithm").to_owned()}</td>
                <td data-label=t().state>{state}</td>
                <td data-label=t().since class="nowrap">{page::date_at(of, "/since")}</td>
                <td class="act"><div class="actions">{copy::button(record, &selector)}{remove}</div></td>
            </tr>
        }
    });
    let rows = rows.collect_view();
    view! {
        <table class="cards-on-phone">
            <caption class="visually-hidden">{t().dkim}</caption>
            <thead><tr>
                <th scope="col">{t().directory.selector}</th><th scope="col">{t().directory.algorithm}</th><th scope="col">{t().state}</th>
                <th scope="col">{t().since}</th><th scope="col"><span class="visually-hidden">{t().actions}</span></th>
            </tr></thead>
            <tbody>{rows}</tbody>
        </table>
    }
    .into_any()
}

/// A key that doesn't sign can go; what was signed with it can't be checked then.
fn remove(
    list: &str,
    selector: &str,
    loaded: Loaded,
    question: RwSignal<Option<Question>>,
) -> AnyView {
    let address = common::of(list, selector);
    let text = fill(t().directory.remove_key, &[("name", selector)]);
    let press = move |_| {
        let address = address.clone();
        question.set(Some(Question::new(
            t().remove,
            text.clone(),
            t().remove,
            move || {
                let address = address.clone();
                async move {
                    api::delete(&address).await?;
                    toast::show(t().removed);
                    loaded.again();
                    Ok(())
                }
            },
        )));
    };
    view! { <button type="button" class="small danger" on:click=press>{t().remove}</button> }
        .into_any()
}

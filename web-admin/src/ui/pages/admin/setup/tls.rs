//! A certificate that others believe.

use std::time::Duration;

use leptos::prelude::*;

use super::steps::{Step, Steps};
use crate::{
    messages::t,
    ui::{
        components::{
            load::Loaded,
            page::{Tone, note},
            table::{List, table},
        },
        pages::admin::{acme, certificates},
        time,
    },
};

/// How often it is looked whether it has come.
const LOOK_EVERY: Duration = Duration::from_secs(5);

pub fn step(steps: Steps, may_order: bool) -> AnyView {
    let loaded = Loaded::of("/certificates")
        .keep_fresh_while(LOOK_EVERY, move || steps.is_waited_for(Step::Tls));
    let is_good = Memo::new(move |_| match loaded.answer.get() {
        Some(Ok(reply)) => Some(certificates::is_good(&reply.body, time::now())),
        _ => None,
    });
    let mut list = List::new(t().server.certificates, "/certificates", "/name");
    let changed = list.changed;
    list.columns = certificates::columns();
    list.is_whole = true;
    // What has come is shown.
    Effect::new(move |before: Option<Option<crate::ui::api::Answer>>| {
        let now = loaded.answer.get();
        if before.is_some_and(|before| before != now) {
            changed.update(|count| *count += 1);
        }
        now
    });
    Effect::new(move |_| {
        if let Some(is_good) = is_good.get() {
            steps.is_done(Step::Tls, is_good);
        }
    });
    let rest = move || match (is_good.get(), may_order) {
        (Some(true), _) => note(Tone::Good, t().server.tls_is_good),
        (Some(false), true) => {
            view! { <p>{t().server.acme_lead}</p> {acme::part(changed)} }.into_any()
        }
        _ => ().into_any(),
    };
    view! {
        <p>{t().server.tls_lead}</p>
        {table(list)}
        {rest}
        {steps.onward(Step::Tls)}
    }
    .into_any()
}

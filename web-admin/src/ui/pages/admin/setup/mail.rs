//! A mail that comes, and one that goes: waited for, and followed to what became of it.

use std::time::Duration;

use leptos::prelude::*;
use serde_json::Value;

use super::{
    send,
    steps::{Step, Steps},
};
use crate::{
    json as read,
    messages::{fill, t},
    query,
    ui::{
        components::{
            copy,
            load::{self, Loaded},
            page::{self, Tone, note},
        },
        pages::{admin::queue, common},
    },
};

/// How often it is looked whether a mail has come or gone.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// `own`: the name of whoever looks; if it is an address, they can send a mail from here.
pub fn step(steps: Steps, step: Step, domain: &str, own: &str) -> AnyView {
    let domain = domain.to_owned();
    let sends = step == Step::MailOut && own.contains('@');
    let own = own.to_owned();
    // To or from the first account; before there is one, anybody of the domain.
    let loaded = Loaded::new(move || {
        let whose = match steps.account.get() {
            _ if sends => own.clone(),
            name if name.is_empty() => format!("@{domain}"),
            name => name,
        };
        let parameters = match step {
            Step::MailIn => [("to", &*whose), ("event", "received"), ("limit", "1")],
            _ => [("from", &*whose), ("event", "attempted"), ("limit", "1")],
        };
        let address = query::with("/traces", &parameters);
        async move { crate::ui::api::get(&address).await }
    })
    .keep_fresh_while(LOOK_EVERY, move || steps.is_waited_for(step));
    let newest = Memo::new(move |_| match loaded.answer.get() {
        Some(Ok(reply)) => Some(read::items(&reply.body, "/items").first().cloned()),
        _ => None,
    });
    Effect::new(move |_| {
        if let Some(newest) = newest.get() {
            steps.is_done(step, newest.as_ref().is_some_and(is_good));
        }
    });
    let lead = move || {
        let lead = match step {
            Step::MailIn => t().server.setup_mail_in_lead,
            _ if sends => return t().server.send_lead.into_any(),
            _ => t().server.setup_mail_out_lead,
        };
        let name = steps.account.get();
        let copied = (!name.is_empty()).then(|| copy::button(name.clone(), &name));
        view! { {fill(lead, &[("name", &name)])}{copied} }.into_any()
    };
    let content = move || match newest.get().flatten() {
        Some(of) => found(&of),
        None => load::waiting_for(t().server.waited_for),
    };
    view! {
        <p class="row">{lead}</p>
        {sends.then(send::part)}
        {content}
        {steps.onward(step)}
    }
    .into_any()
}

/// Whether everybody's reply is a good one.
fn is_good(of: &Value) -> bool {
    let mut replies = read::items(of, "/recipients")
        .iter()
        .map(|to| read::text(to, "/reply"));
    replies.all(|reply| reply.is_empty() || reply.starts_with('2'))
}

fn found(of: &Value) -> AnyView {
    let replies = read::items(of, "/recipients").iter().map(|to| {
        let text = format!(
            "{}: {}",
            read::text(to, "/address"),
            read::text(to, "/reply")
        );
        view! { <li>{text}</li> }
    });
    let hosts = read::items(of, "/hosts")
        .iter()
        .map(queue::host)
        .collect_view();
    let way = match read::text(of, "/messageId") {
        "" => ().into_any(),
        id => common::link(common::of("/admin/traces", id), t().journey),
    };
    let (tone, text) = match is_good(of) {
        true => (Tone::Good, t().server.mail_went_well),
        false => (Tone::Bad, t().server.mail_went_wrong),
    };
    view! {
        {note(tone, text)}
        <p>{page::date_at(of, "/at")}</p>
        <ul>{replies.collect_view()}</ul>
        <ol class="journey">{hosts}</ol>
        {way}
    }
    .into_any()
}

//! How a phone is set up: a profile behind a QR code, and an app password.

use leptos::prelude::*;
use serde_json::Value;

use crate::{
    json as read,
    messages::t,
    ui::{
        api::Reply,
        components::{
            copy,
            load::{Loaded, failed, waiting},
            page::{self, Tone, card, facts, note},
            picture,
        },
        pages::common,
    },
};

pub fn page() -> AnyView {
    let loaded = Loaded::of("/me/setup");
    let content = move || match loaded.answer.get() {
        None => waiting(),
        Some(Ok(Reply { body, .. })) => shown(&body),
        // The server has no name that others could find.
        Some(Err(problem)) if problem.status == 404 => note(Tone::Plain, t().access.no_profile),
        Some(Err(problem)) => failed(&problem, move || loaded.again()),
    };
    view! {
        {page::head(t().access.phone, "", ().into_any())}
        {content}
    }
    .into_any()
}

fn shown(body: &Value) -> AnyView {
    let address = read::text(body, "/address").to_owned();
    let profile = read::text(body, "/profileUrl").to_owned();
    let row = view! { <span class="row">{address.clone()}{copy::button(address.clone(), t().access.user_name)}</span> };
    let way = common::link("/account/security".into(), t().directory.new_credential);
    let of_apple = view! {
        {picture::svg(read::text(body, "/qrCode"), t().access.picture_of_profile)}
        <p>{t().access.apple_profile}</p>
        {copy::secret(profile, t().access.phone)}
    };
    let of_others = view! {
        <p>{t().access.phone_other}</p>
        {facts(vec![(t().access.user_name, row.into_any()), (t().password, t().directory.app_password.into_any())])}
        <p>{t().access.phone_password}</p>
        {way}
    };
    view! {
        <div class="charts">
            {card("Apple", t().access.phone_lead, of_apple.into_any())}
            {card(t().access.phone_others, "", of_others.into_any())}
        </div>
    }
    .into_any()
}

//! Going somewhere by typing its name: a page, or an object of the directory.
//!
//! Holds: it is a combobox with a list (WAI-ARIA Authoring Practices): the focus stays in the field, the arrow keys choose.

use leptos::{ev, prelude::*, task::spawn_local};
use serde_json::Value;
use web_sys::KeyboardEvent;

use super::{
    api,
    components::{
        dialog::dialog,
        icon::{Icon, icon},
    },
    route,
    session::{Role, Session},
    time,
    ways::ways,
};
use crate::{json as read, messages::t, query};

/// Time that somebody types on before the server is asked.
const TYPING_MS: i32 = 200;
/// Shorter texts are in too many names.
const ASKED_CHARS_MIN: usize = 2;
const OF_EACH_MAX: &str = "5";
const PAGES_MAX: usize = 8;

/// Somewhere to go to.
#[derive(Clone, PartialEq, Debug)]
struct Place {
    address: String,
    text: String,
    /// What it is.
    kind: &'static str,
    icon: Icon,
}

/// What is searched: address of the API and of the pages, where a row has its key and its name.
type Source = (&'static str, &'static str, &'static str, &'static str, Icon);

fn sources(session: &Session) -> Vec<(&'static str, Source)> {
    let mut sources: Vec<(&'static str, Source)> = Vec::new();
    if session.role == Role::User {
        return sources;
    }
    if session.may("domain.see") {
        let of = ("/domains", "/admin/domains", "/name", "/name", Icon::Domain);
        sources.push((t().domain, of));
    }
    if session.may("account.see") {
        let accounts = (
            "/accounts",
            "/admin/accounts",
            "/id",
            "/name",
            Icon::Accounts,
        );
        let groups = ("/groups", "/admin/groups", "/id", "/name", Icon::Group);
        let aliases = ("/aliases", "/admin/aliases", "/id", "/address", Icon::Alias);
        let lists = ("/lists", "/admin/lists", "/id", "/address", Icon::List);
        sources.extend([
            (t().account, accounts),
            (t().group, groups),
            (t().alias, aliases),
            (t().list, lists),
        ]);
    }
    sources
}

pub fn palette(session: &Session, open: RwSignal<Option<()>>) -> AnyView {
    let session = session.clone();
    dialog(
        open,
        |()| t().shell.go_to.to_owned(),
        move |()| content(&session, open),
    )
}

/// Pages whose names have the text.
fn pages(session: &Session, text: &str) -> Vec<Place> {
    let text = text.to_lowercase();
    let all = ways(session).into_iter();
    let all = all.flat_map(|(group, ways)| ways.into_iter().map(move |way| (group, way)));
    let found = all.filter(|(group, way)| {
        way.text.to_lowercase().contains(&text) || group.to_lowercase().contains(&text)
    });
    let found = found.map(|(group, way)| Place {
        address: way.address.to_owned(),
        text: way.text.to_owned(),
        kind: group,
        icon: way.icon,
    });
    found.take(PAGES_MAX).collect()
}

async fn objects(sources: Vec<(&'static str, Source)>, text: String) -> Vec<Place> {
    let mut found = Vec::new();
    for (kind, (list, page, key, name, icon)) in sources {
        let address = query::with(list, &[("q", &text), ("limit", OF_EACH_MAX)]);
        let Ok(reply) = api::get(&address).await else {
            continue;
        };
        found.extend(
            read::items(&reply.body, "/items")
                .iter()
                .map(|row: &Value| Place {
                    address: format!("{page}/{}", query::encode(read::text(row, key))),
                    text: read::text(row, name).to_owned(),
                    kind,
                    icon,
                }),
        );
    }
    found
}

fn content(session: &Session, open: RwSignal<Option<()>>) -> AnyView {
    let places = RwSignal::new(pages(session, ""));
    let chosen = RwSignal::new(0_usize);
    let typed = RwSignal::new(0_u32);
    let go = move |place: &Place| {
        open.set(None);
        route::go(&place.address);
    };
    let session = session.clone();
    let input = move |event: ev::Event| {
        let text = event_target_value(&event).trim().to_owned();
        let number = typed.get_untracked() + 1;
        typed.set(number);
        places.set(pages(&session, &text));
        chosen.set(0);
        if text.chars().count() < ASKED_CHARS_MIN {
            return;
        }
        let sources = sources(&session);
        spawn_local(async move {
            time::sleep(TYPING_MS).await;
            if typed.try_get_untracked() != Some(number) {
                return;
            }
            let found = objects(sources, text).await;
            if typed.try_get_untracked() == Some(number) {
                places.update(|places| places.extend(found));
            }
        });
    };
    let key = move |event: KeyboardEvent| {
        let count = places.with(Vec::len).max(1);
        let at = chosen.get_untracked();
        match event.key().as_str() {
            "ArrowDown" => chosen.set((at + 1) % count),
            "ArrowUp" => chosen.set((at + count - 1) % count),
            "Enter" => {
                if let Some(place) = places.with(|places| places.get(at).cloned()) {
                    go(&place);
                }
            }
            _ => return,
        }
        event.prevent_default();
    };
    let rows = move || {
        let rows = places.get().into_iter().enumerate().map(|(at, place)| {
            let is_chosen = move || if chosen.get() == at { "true" } else { "false" };
            let (drawing, text, kind) = (place.icon, place.text.clone(), place.kind);
            view! {
                <li role="option" id=format!("place-{at}") aria-selected=is_chosen on:click=move |_| go(&place)>
                    {icon(drawing)}<span>{text}</span><span class="muted">{kind}</span>
                </li>
            }
        });
        rows.collect_view()
    };
    let nothing = move || {
        places
            .with(Vec::is_empty)
            .then(|| view! { <p class="muted" role="status">{t().nothing_found}</p> })
    };
    let active = move || (!places.with(Vec::is_empty)).then(|| format!("place-{}", chosen.get()));
    view! {
        <div class="palette">
            <input type="text" role="combobox" aria-label=t().shell.go_to placeholder=t().shell.go_to_hint autocomplete="off"
                aria-expanded="true" aria-controls="places" aria-autocomplete="list" aria-activedescendant=active
                on:input=input on:keydown=key />
            <ul id="places" role="listbox" aria-label=t().shell.go_to>{rows}</ul>
            {nothing}
        </div>
    }
    .into_any()
}

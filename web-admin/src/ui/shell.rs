//! What is around every page: the bar above, the ways to the pages, and the keys that lead there.

use leptos::{ev, prelude::*};
use wasm_bindgen::JsCast;
use web_sys::{HtmlElement, KeyboardEvent};

use super::{
    components::{
        dialog::dialog,
        icon::{Icon, icon},
    },
    pages, palette, route,
    session::{self, Role, Session},
    theme::{self, Theme},
    ways::ways,
};
use crate::messages::t;

/// Our mark.
pub fn mark() -> AnyView {
    view! {
        <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
            <rect width="32" height="32" rx="7" fill="#3447d4"></rect>
            <g fill="none" stroke="#fff" stroke-width="2.4" stroke-linecap="round" stroke-linejoin="round">
                <circle cx="14" cy="16.5" r="6"></circle>
                <path d="M8 16.5H5m9 6h6l6 4V10l-6 4.5h-2"></path>
            </g>
        </svg>
    }
    .into_any()
}

pub fn shell(session: Session) -> AnyView {
    let role = session.role;
    let open = RwSignal::new(false);
    let help = RwSignal::new(None::<()>);
    let going = RwSignal::new(None::<()>);
    let keys = window_event_listener(ev::keydown, move |event| {
        shortcut(&event, open, help, going);
    });
    on_cleanup(move || keys.remove());
    let place = route::current();
    let path = Memo::new(move |_| place.get().path);
    Effect::new(move |_| {
        path.track();
        open.set(false);
    });
    let name = session.name.clone();
    let palette = palette::palette(&session, going);
    let of_pages = session.clone();
    let out = move |_| session::sign_out(&session);
    view! {
        <a class="skip" href="#main">{t().shell.skip}</a>
        <div class="shell">
            <header class="top">
                <button type="button" class="icon menu-button" aria-label=t().shell.menu aria-controls="nav"
                    aria-expanded=move || if open.get() { "true" } else { "false" }
                    on:click=move |_| open.update(|open| *open = !*open)>{icon(Icon::Menu)}</button>
                <a class="brand" href=home(role)>{mark()}<span>"Posthorn"</span></a>
                <button type="button" class="go-to" aria-label=t().shell.go_to on:click=move |_| going.set(Some(()))>
                    {icon(Icon::Search)}<span>{t().shell.go_to_short}</span><kbd>"Ctrl K"</kbd>
                </button>
                <span class="who" title=name.clone()>{name.clone()}</span>
                {theme_button()}
                <button type="button" class="icon" aria-label=t().shell.keys title=t().shell.keys
                    on:click=move |_| help.set(Some(()))>{icon(Icon::Help)}</button>
                <button type="button" class="icon" aria-label=t().shell.sign_out title=t().shell.sign_out on:click=out>
                    {icon(Icon::SignOut)}
                </button>
            </header>
            <nav id="nav" class="nav" class:open=move || open.get() aria-label=t().shell.navigation>{navigation(&of_pages, path)}</nav>
            <main id="main" class="main" tabindex="-1">
                {move || {
                    path.track();
                    let parts = place.with_untracked(route::Place::parts);
                    pages::page(&of_pages, &parts)
                }}
            </main>
        </div>
        {palette}
        {dialog(help, |_| t().shell.keys.to_owned(), |()| keys_view())}
    }
    .into_any()
}

/// Where somebody of a role begins.
pub fn home(role: Role) -> &'static str {
    match role {
        Role::Administrator | Role::DomainAdministrator => "/admin/",
        Role::HelpDesk => "/admin/accounts",
        Role::User => "/account/",
    }
}

fn navigation(session: &Session, path: Memo<String>) -> AnyView {
    let groups = ways(session).into_iter().map(|(name, ways)| {
        let ways = ways.into_iter().map(|way| {
            let address = way.address;
            let is_here = move || {
                let path = path.get();
                match address.ends_with('/') {
                    true => path == address,
                    false => path.strip_prefix(address).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
                }
            };
            view! {
                <li><a href=address aria-current=move || is_here().then_some("page")>{icon(way.icon)}{way.text}</a></li>
            }
        });
        let heading = (!name.is_empty()).then(|| view! { <h2>{name}</h2> });
        view! { {heading}<ul>{ways.collect_view()}</ul> }
    });
    groups.collect_view().into_any()
}

/// Light, dark, as the system: one after the other.
fn theme_button() -> AnyView {
    let signal = theme::current();
    let next = move || match signal.get() {
        Theme::System => Theme::Light,
        Theme::Light => Theme::Dark,
        Theme::Dark => Theme::System,
    };
    let label = move || match next() {
        Theme::System => t().shell.to_system_colours,
        Theme::Light => t().shell.to_light,
        Theme::Dark => t().shell.to_dark,
    };
    let drawing = move || match next() {
        Theme::Dark => icon(Icon::Moon),
        _ => icon(Icon::Sun),
    };
    view! {
        <button type="button" class="icon theme" aria-label=label title=label
            on:click=move |_| theme::set(signal, next())>{drawing}</button>
    }
    .into_any()
}

fn shortcut(
    event: &KeyboardEvent,
    open: RwSignal<bool>,
    help: RwSignal<Option<()>>,
    going: RwSignal<Option<()>>,
) {
    if event.key() == "k" && (event.ctrl_key() || event.meta_key()) && !is_in_dialog() {
        event.prevent_default();
        going.set(Some(()));
        return;
    }
    if event.key() == "Escape" && open.get_untracked() {
        open.set(false);
        return;
    }
    let is_plain = !(event.ctrl_key() || event.meta_key() || event.alt_key());
    if !is_plain || is_typing() {
        return;
    }
    match event.key().as_str() {
        "?" => {
            event.prevent_default();
            help.set(Some(()));
        }
        "/" => {
            let search = document().get_element_by_id("search");
            if let Some(search) = search.and_then(|search| search.dyn_into::<HtmlElement>().ok()) {
                event.prevent_default();
                let _ = search.focus();
            }
        }
        _ => {}
    }
}

/// Whether what is typed belongs into a field, or a dialog is open.
fn is_typing() -> bool {
    let Some(active) = document().active_element() else {
        return false;
    };
    let field = "input:not([type=checkbox]), textarea, select, dialog *, dialog";
    active.matches(field).unwrap_or(false)
}

fn is_in_dialog() -> bool {
    let open = document().query_selector("dialog[open]");
    open.is_ok_and(|open| open.is_some())
}

fn keys_view() -> AnyView {
    let rows = [
        ("Ctrl K", t().shell.key_go),
        ("/", t().shell.key_search),
        ("?", t().shell.key_help),
        ("Esc", t().shell.key_close),
        ("Tab", t().shell.key_next),
        ("← →", t().shell.key_tabs),
    ];
    let rows = rows.map(|(key, what)| view! { <dt><kbd>{key}</kbd></dt><dd>{what}</dd> });
    view! { <dl class="facts">{rows.into_iter().collect_view()}</dl> }.into_any()
}

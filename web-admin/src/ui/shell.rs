//! What is around every page: the bar above, the ways to the pages, and the keys that lead there.

use leptos::{ev, prelude::*};
use wasm_bindgen::JsCast;
use web_sys::{HtmlElement, KeyboardEvent};

use super::{
    components::{
        dialog::dialog,
        icon::{Icon, icon},
    },
    pages, route,
    session::{self, Role, Session},
    theme::{self, Theme},
};
use crate::messages::t;

/// A way to a page.
struct Way {
    address: &'static str,
    text: &'static str,
    icon: Icon,
}

/// What somebody can get to, in groups. What the server would refuse isn't offered.
fn ways(session: &Session) -> Vec<(&'static str, Vec<Way>)> {
    let text = t();
    let is_staff = session.role != Role::User;
    let one = |is_there: bool, address, name, icon| {
        is_there.then_some(Way {
            address,
            text: name,
            icon,
        })
    };
    let domains = session.may("domain.see");
    let accounts = is_staff && session.may("account.see");
    let directory = [
        one(domains, "/admin/", text.overview, Icon::Dashboard),
        one(
            domains && session.may("dns.see"),
            "/admin/setup",
            text.setup,
            Icon::Setup,
        ),
        one(domains, "/admin/domains", text.domains, Icon::Domain),
        one(accounts, "/admin/accounts", text.accounts, Icon::Accounts),
        one(accounts, "/admin/groups", text.groups, Icon::Group),
        one(accounts, "/admin/aliases", text.aliases, Icon::Alias),
        one(accounts, "/admin/lists", text.lists, Icon::List),
    ];
    let watching = [
        one(
            session.may("queue.see"),
            "/admin/queue",
            text.queue,
            Icon::Queue,
        ),
        one(
            is_staff && session.may("trace.see"),
            "/admin/traces",
            text.traces,
            Icon::Trace,
        ),
        one(
            session.may("report.see"),
            "/admin/reports",
            text.reports,
            Icon::Report,
        ),
        one(
            session.may("audit.see"),
            "/admin/audit",
            text.audit,
            Icon::Audit,
        ),
        one(
            session.may("server.see"),
            "/admin/server",
            text.server,
            Icon::Node,
        ),
    ];
    let own = [
        one(true, "/account/", text.my_overview, Icon::Accounts),
        one(true, "/account/security", text.security, Icon::Key),
        one(true, "/account/vacation", text.vacation, Icon::Vacation),
        one(true, "/account/rules", text.rules, Icon::Rules),
        one(true, "/account/deleted", text.deleted_mail, Icon::Undelete),
    ];
    let groups = [
        (
            text.directory,
            directory.into_iter().flatten().collect::<Vec<_>>(),
        ),
        (text.watching, watching.into_iter().flatten().collect()),
        (text.my_account, own.into_iter().flatten().collect()),
    ];
    groups
        .into_iter()
        .filter(|(_, ways)| !ways.is_empty())
        .collect()
}

/// Our mark.
pub fn mark() -> AnyView {
    view! {
        <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
            <rect width="32" height="32" rx="7" fill="#1d4ed8"></rect>
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
    let keys = window_event_listener(ev::keydown, move |event| shortcut(&event, open, help));
    on_cleanup(move || keys.remove());
    let place = route::current();
    let path = Memo::new(move |_| place.get().path);
    Effect::new(move |_| {
        path.track();
        open.set(false);
    });
    let name = session.name.clone();
    let of_pages = session.clone();
    let out = move |_| session::sign_out(&session);
    view! {
        <a class="skip" href="#main">{t().skip}</a>
        <div class="shell">
            <header class="top">
                <button type="button" class="icon menu-button" aria-label=t().menu aria-controls="nav"
                    aria-expanded=move || if open.get() { "true" } else { "false" }
                    on:click=move |_| open.update(|open| *open = !*open)>{icon(Icon::Menu)}</button>
                <a class="brand" href=home(role)>{mark()}<span>"Posthorn"</span></a>
                <span class="who" title=name.clone()>{name.clone()}</span>
                {theme_button()}
                <button type="button" class="icon" aria-label=t().keys title=t().keys
                    on:click=move |_| help.set(Some(()))>{icon(Icon::Help)}</button>
                <button type="button" class="icon" aria-label=t().sign_out title=t().sign_out on:click=out>
                    {icon(Icon::SignOut)}
                </button>
            </header>
            <nav id="nav" class="nav" class:open=move || open.get() aria-label=t().navigation>{navigation(&of_pages, path)}</nav>
            <main id="main" class="main" tabindex="-1">
                {move || {
                    path.track();
                    let parts = place.with_untracked(route::Place::parts);
                    pages::page(&of_pages, &parts)
                }}
            </main>
        </div>
        {dialog(help, |_| t().keys.to_owned(), |()| keys_view())}
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
        view! { <h2>{name}</h2><ul>{ways.collect_view()}</ul> }
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
        Theme::System => t().to_system_colours,
        Theme::Light => t().to_light,
        Theme::Dark => t().to_dark,
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

fn shortcut(event: &KeyboardEvent, open: RwSignal<bool>, help: RwSignal<Option<()>>) {
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

fn keys_view() -> AnyView {
    let rows = [
        ("/", t().key_search),
        ("?", t().key_help),
        ("Esc", t().key_close),
        ("Tab", t().key_next),
        ("← →", t().key_tabs),
    ];
    let rows = rows.map(|(key, what)| view! { <dt><kbd>{key}</kbd></dt><dd>{what}</dd> });
    view! { <dl class="facts">{rows.into_iter().collect_view()}</dl> }.into_any()
}

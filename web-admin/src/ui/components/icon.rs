//! Small drawings, for those who see. What they mean is always said as well.

use leptos::prelude::*;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Icon {
    Account,
    Accounts,
    Alias,
    Audit,
    Ban,
    Certificate,
    Check,
    Close,
    Copy,
    Dashboard,
    Domain,
    Good,
    Group,
    Help,
    Key,
    List,
    Log,
    Menu,
    Moon,
    Node,
    Phone,
    Program,
    Queue,
    Report,
    Rules,
    Search,
    Session,
    Settings,
    Setup,
    SignOut,
    Sun,
    Trace,
    Undelete,
    Vacation,
    Warning,
    Webhook,
}

/// Strokes on a sheet of 24 by 24.
fn strokes(icon: Icon) -> &'static str {
    match icon {
        Icon::Account => "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8m-7 8a7 7 0 0 1 14 0",
        Icon::Accounts => "M16 19a4 4 0 0 0-8 0m4-7a3 3 0 1 0 0-6 3 3 0 0 0 0 6m9-8H3v16h18z",
        Icon::Alias => "M4 7h9a4 4 0 0 1 4 4v6m0 0-3-3m3 3 3-3",
        Icon::Audit => "M6 3h9l4 4v14H6zM9 12h7m-7 4h7M9 8h3",
        Icon::Ban => "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18M5.700 5.700l12.600 12.600",
        Icon::Certificate => "M12 3 5 6v5c0 4.500 3 8 7 10 4-2 7-5.500 7-10V6zm-3 9 2 2 4-4",
        Icon::Check => "M5 12.500 10 17.500 19.500 7",
        Icon::Close => "M6 6l12 12M18 6 6 18",
        Icon::Copy => "M9 9h11v11H9zM5 15H4V4h11v1",
        Icon::Dashboard => "M4 4h7v9H4zm9 0h7v5h-7zm0 7h7v9h-7zm-9 4h7v5H4z",
        Icon::Domain => {
            "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18m-9 9h18M12 3c3 2.5 3 15.5 0 18M12 3c-3 2.5-3 15.5 0 18"
        }
        Icon::Good => "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18m-4-8.500 3 3 5.500-6",
        Icon::Group => {
            "M9 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6m-6 8a6 6 0 0 1 12 0m0-14a3 3 0 0 1 0 6m2 2a6 6 0 0 1 4 6"
        }
        Icon::Help => {
            "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18m-2.5-11.5a2.5 2.5 0 1 1 3.5 2.300c-.7.3-1 .9-1 1.700m0 3v.1"
        }
        Icon::Key => "M14.5 9.5a4.5 4.5 0 1 0-3.200 4.300l1.200 1.200H15v2h2v2h3v-3.5z",
        Icon::List => "M8 6h12M8 12h12M8 18h12M4 6h.1M4 12h.1M4 18h.1",
        Icon::Log => "M4 5h16v14H4zm3 4 3 3-3 3m5 0h4",
        Icon::Menu => "M4 7h16M4 12h16M4 17h16",
        Icon::Moon => "M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z",
        Icon::Node => "M4 5h16v5H4zm0 9h16v5H4zm3-6.5h.1m-.1 9h.1",
        Icon::Phone => "M7 3h10v18H7zm4 15h2",
        Icon::Program => "M4 4h7v7H4zm9 0h7v7h-7zm-9 9h7v7H4zm12.500 0v7m-3.500-3.500h7",
        Icon::Queue => "M3 13h5l1.5 3h5L16 13h5M5.5 5h13L21 13v6H3v-6z",
        Icon::Report => "M4 20V4m0 16h16M8 16v-4m4 4V8m4 8v-6",
        Icon::Rules => "M4 5h16l-6 7.5V20l-4-2v-5.5z",
        Icon::Search => {
            "M10.500 17a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13m4.700-1.800L20 20"
        }
        Icon::Session => "M3 5h18v12H3zm6 16h6m-3-4v4m-3-10 2 2 4-4",
        Icon::Settings => {
            "M4 7h9m4 0h3M4 17h3m4 0h9M15 9.500a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5M9 19.500a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5"
        }
        Icon::Setup => "M5 6h2l1 2 3-4m-6 9h2l1 2 3-4m3-4h7m-7 7h7M5 20h2l1 1 3-3m3 2h7",
        Icon::SignOut => "M14 4H5v16h9m-4-8h11m0 0-4-4m4 4-4 4",
        Icon::Sun => {
            "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8m0-13v2m0 14v2M3 12h2m14 0h2M5.6 5.6 7 7m10 10 1.4 1.4M5.6 18.4 7 17M17 7l1.4-1.4"
        }
        Icon::Trace => "M5 5h.1M5 12h.1M5 19h.1M9 5h11M9 12h11M9 19h11M5 5v14",
        Icon::Undelete => "M5 7h14M9 7V4h6v3m2 0-1 13H8L7 7m5 10v-6m0 0-2 2m2-2 2 2",
        Icon::Vacation => "M4 6h16v14H4zm0 5h16M8 3v4m8-4v4",
        Icon::Warning => "M12 4 2.500 20h19zm0 6v5m0 2.500v.1",
        Icon::Webhook => "M4 12h10m0 0-4-4m4 4-4 4M14 5h6v14h-6",
    }
}

pub fn icon(icon: Icon) -> AnyView {
    view! {
        <svg viewBox="0 0 24 24" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.8"
            stroke-linecap="round" stroke-linejoin="round">
            <path d=strokes(icon)></path>
        </svg>
    }
    .into_any()
}

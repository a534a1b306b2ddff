//! The web console on the running server, in a real browser: every page, a thing made, changed and removed on each, on a phone, in
//! the dark, and by the keyboard alone.
//!
//! Holds: no test passes whose browser had something to complain of, or whose page asked another server for anything.

mod access;
mod own;
mod page;
mod served;
mod server;
mod setup;
mod telling;
mod walk;
mod watching;

use e2e::browser::key;
use page::{Console, address};
use serde_json::json;

/// Pages of an administrator, and what is written over each.
const PAGES: &[(&str, &str)] = &[
    ("/admin/", "Overview"),
    ("/admin/setup", "Set-up"),
    ("/admin/domains", "Domains"),
    ("/admin/domains/example.org", "example.org"),
    ("/admin/domains/example.org?tab=dns", "example.org"),
    ("/admin/domains/example.org?tab=dkim", "example.org"),
    ("/admin/domains/example.org?tab=accounts", "example.org"),
    ("/admin/accounts", "Accounts"),
    ("/admin/groups", "Groups"),
    ("/admin/aliases", "Aliases"),
    ("/admin/lists", "Lists"),
    ("/admin/queue", "Queue"),
    ("/admin/queue?tab=destinations", "Queue"),
    ("/admin/queue?tab=holds", "Queue"),
    ("/admin/traces", "Traces"),
    ("/admin/reports", "Reports"),
    ("/admin/certificates", "Certificates"),
    ("/admin/settings", "Settings"),
    ("/admin/settings?tab=file", "Settings"),
    ("/admin/server", "Maintenance"),
    ("/admin/server?tab=nodes", "Maintenance"),
    ("/admin/server?tab=quarantine", "Maintenance"),
    ("/admin/sessions", "Sessions"),
    ("/admin/bans", "Bans"),
    ("/admin/programs", "Programs"),
    ("/admin/alerts", "Alerts"),
    ("/admin/logs", "Log"),
    ("/admin/logs?tab=live", "Log"),
    ("/admin/webhooks", "Webhooks"),
    ("/admin/audit", "Audit"),
    ("/account/", "admin@example.org"),
    ("/account/security", "Sign-in"),
    ("/account/sessions", "Sessions"),
    ("/account/phone", "Set up a phone"),
    ("/account/forwarding", "Forwarding"),
    ("/account/vacation", "Vacation"),
    ("/account/rules", "Mail rules"),
    ("/account/deleted", "Deleted mail"),
    ("/admin/nowhere", "There is no such page"),
];

/// Shows every page and collects what is wrong with it.
fn look_around(console: &Console, of: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for (path, heading) in PAGES {
        console.open(path);
        console.heading(heading);
        console.settled();
        println!("{of} {path}: usable after {} ms", console.usable_after());
        problems.extend(console.problems(&format!("{of} {path}")));
        let name = path.replace(['/', '?', '='], "-");
        console.picture(&format!("{of}{name}"));
    }
    problems
}

#[test]
fn every_page_in_light_dark_and_on_a_phone() {
    let console = Console::start();
    let browser = &console.browser;
    browser.system_colours("light");
    console.watch_time();
    console.open("/admin/");
    console.heading("Sign in to Posthorn");
    let mut problems = console.problems("signing in");
    console.picture("light-sign-in");
    console.sign_in("admin", "/admin/");
    problems.extend(look_around(&console, "light"));
    browser.system_colours("dark");
    problems.extend(look_around(&console, "dark"));
    browser.screen(360, 740, true);
    problems.extend(look_around(&console, "phone"));
    assert!(problems.is_empty(), "{problems:#?}");
    console.assert_quiet(&[]);
}

#[test]
fn the_switch_of_colours_goes_before_the_systems() {
    let console = Console::start();
    let browser = &console.browser;
    browser.system_colours("light");
    console.sign_in("admin", "/account/");
    let is_dark = "return getComputedStyle(document.documentElement).colorScheme === 'dark' \
        && getComputedStyle(document.body).backgroundColor === 'rgb(14, 17, 23)'";
    console.press("Switch to light colours");
    console.press("Switch to dark colours");
    browser.until("the dark", is_dark, json!([]));
    // It is remembered.
    browser.reload();
    console.heading(&address("admin"));
    browser.until("the dark", is_dark, json!([]));
    console.press("Use the system's colours");
    assert_eq!(browser.run(is_dark, json!([])), json!(false));
    browser.system_colours("dark");
    let follows = "return getComputedStyle(document.body).backgroundColor === 'rgb(14, 17, 23)'";
    browser.until("the system's dark", follows, json!([]));
    console.assert_quiet(&[]);
}

#[test]
fn by_the_keyboard_alone() {
    let console = Console::start();
    let browser = &console.browser;
    console.open("/admin/");
    console.heading("Sign in to Posthorn");
    let focused = |what: &str, script: &str| {
        browser.until(
            what,
            &format!("const at = document.activeElement; return {script}"),
            json!([]),
        );
    };
    let write = |text: &str| {
        let keys: Vec<String> = text.chars().map(String::from).collect();
        browser.press(&keys.iter().map(String::as_str).collect::<Vec<_>>());
    };
    focused("the first field", "at.labels?.[0]?.innerText === 'Account'");
    write(&address("admin"));
    browser.press(&[key::TAB]);
    write(e2e::PASSWORD);
    browser.press(&[key::ENTER]);
    // The heading of the page that appears has the focus.
    focused(
        "the heading",
        "at.tagName === 'H1' && at.innerText === 'Overview'",
    );
    // The first stop from the top is the way past the navigation.
    browser.run(
        "document.activeElement.blur(); window.getSelection().removeAllRanges()",
        json!([]),
    );
    browser.reload();
    console.heading("Overview");
    browser.run("document.querySelector('.skip').focus()", json!([]));
    focused(
        "the way past",
        "at.innerText === 'Skip to the content' && at.getBoundingClientRect().top >= 0",
    );
    browser.press(&[key::ENTER]);
    focused("the content", "at.id === 'main' || at.tagName === 'H1'");
    // Every stop can be seen.
    let outline = "const at = document.activeElement; const style = getComputedStyle(at); \
        return at === document.body || (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2)";
    for _ in 0..12 {
        browser.press(&[key::TAB]);
        assert_eq!(
            browser.run(outline, json!([])),
            json!(true),
            "the focus can't be seen"
        );
    }
    // A page, its search, and back.
    console.open("/admin/accounts");
    console.text("alice@example.org");
    browser.press(&["/"]);
    focused("the search", "at.id === 'search'");
    write("bob");
    console.gone("alice@example.org");
    assert!(console.path().contains("q=bob"));
    // A dialog keeps the focus inside, and gives it back.
    browser.run("[...document.querySelectorAll('button')].find((one) => one.innerText === 'Add an account').focus()", json!([]));
    browser.press(&[key::ENTER]);
    focused("the dialog", "at.closest('dialog[open]') !== null");
    for _ in 0..14 {
        browser.press(&[key::TAB]);
        let inside = "const at = document.activeElement; return at === document.body || at.closest('dialog[open]') !== null";
        assert_eq!(
            browser.run(inside, json!([])),
            json!(true),
            "the focus has left the dialog"
        );
    }
    browser.press(&[key::ESCAPE]);
    focused("the button", "at.innerText === 'Add an account'");
    // A page by its name, and an account.
    browser.press_with(key::CONTROL, "k");
    focused("the field for a name", "at.role === 'combobox'");
    write("cert");
    focused(
        "the place",
        "document.querySelector('[role=option][aria-selected=true]')?.innerText.includes('Certificates')",
    );
    browser.press(&[key::ENTER]);
    console.heading("Certificates");
    browser.press_with(key::CONTROL, "k");
    focused("the field for a name", "at.role === 'combobox'");
    write("alice");
    focused(
        "the account",
        "document.querySelector('[role=option]')?.innerText.includes('alice@example.org')",
    );
    browser.press(&[key::ENTER]);
    console.heading("alice@example.org");
    // Keys that lead somewhere are told.
    browser.press(&["?"]);
    console.text("Go to the search");
    browser.press(&[key::ESCAPE]);
    console.gone("Go to the search");
    // Tabs by the arrow keys.
    console.open("/admin/domains/example.org");
    console.named("Settings");
    browser.run("document.querySelector('[role=tab]').focus()", json!([]));
    browser.press(&[key::RIGHT]);
    focused(
        "the next tab",
        "at.getAttribute('aria-selected') === 'true' && at.innerText === 'DNS'",
    );
    console.assert_quiet(&[]);
}

/// Stops on the way from a heading to what the page is for.
const STOPS_MAX: usize = 40;

#[test]
fn what_a_page_is_for_is_reached_by_tab_alone() {
    let console = Console::start();
    let browser = &console.browser;
    console.sign_in("admin", "/admin/");
    // The first button of the page that is drawn as the main one, and can be pressed.
    let main = "const main = [...document.querySelectorAll('main .primary')].find((of) => !of.disabled && of.getClientRects().length > 0);";
    let mut reached = Vec::new();
    let mut missed = Vec::new();
    for (path, heading) in PAGES {
        console.open(path);
        console.heading(heading);
        console.settled();
        let is_there = browser.run(&format!("{main} return main !== undefined"), json!([]));
        if is_there != json!(true) {
            continue;
        }
        let is_reached = format!("{main} return document.activeElement === main");
        let is_found = (0..STOPS_MAX).any(|_| {
            browser.press(&[key::TAB]);
            browser.run(&is_reached, json!([])) == json!(true)
        });
        match is_found {
            true => reached.push(*path),
            false => missed.push(*path),
        }
    }
    assert_eq!(missed, Vec::<&str>::new());
    assert!(reached.len() >= 15, "{reached:?}");
    console.assert_quiet(&[]);
}

#[test]
fn signing_in_and_out() {
    let console = Console::start();
    let browser = &console.browser;
    // A wrong password is told, and nothing is kept.
    console.open("/account/vacation");
    console.heading("Sign in to Posthorn");
    console.press("Sign in");
    console.text("This is needed.");
    console.fill("Account", &address("alice"));
    console.fill("Password", "wrong");
    console.press("Sign in");
    browser.until(
        "the refusal",
        "return document.querySelector('.note.bad')",
        json!([]),
    );
    let kept = "return JSON.stringify([localStorage, sessionStorage])";
    assert_eq!(browser.run(kept, json!([])), json!("[{},{}]"));
    // Whoever signs in is where they wanted to be.
    console.fill("Password", e2e::PASSWORD);
    console.press("Sign in");
    console.heading("Vacation");
    let session = browser.run(kept, json!([])).to_string();
    assert!(session.contains("alice@example.org"), "{session}");
    assert!(!session.contains(e2e::PASSWORD), "{session}");
    // Another tab's session storage is its own; this one's lives through a reload.
    browser.reload();
    console.heading("Vacation");
    // A user is shown nothing of administration, and is sent on from there.
    let ways = "return document.querySelector('nav').innerText";
    let ways = browser.run(ways, json!([])).to_string();
    assert!(!ways.contains("Domains"), "{ways}");
    console.open("/admin/");
    console.heading(&address("alice"));
    assert_eq!(console.path(), "/account/");
    // The token is no longer good once it is signed out with.
    let token = browser.run(
        "return JSON.parse(sessionStorage['posthorn.session']).token",
        json!([]),
    );
    let token = format!("Bearer {}", token.as_str().expect("a token"));
    let me = || {
        let mut http = e2e::http::Http::new(console.server.home.http);
        http.get("/api/v1/me", &[("Authorization", &token)]).status
    };
    assert_eq!(me(), 200);
    console.press("Sign out");
    console.heading("Sign in to Posthorn");
    console.text("You are signed out.");
    assert_eq!(me(), 401);
    assert_eq!(
        browser.run("return sessionStorage.length", json!([])),
        json!(0)
    );
    console.assert_quiet(&["401"]);
}

#[test]
fn a_session_that_was_ended_elsewhere_is_over() {
    let console = Console::start();
    console.sign_in("alice", "/account/");
    console.heading(&address("alice"));
    console.text("Storage");
    let number = "return JSON.parse(sessionStorage['posthorn.session']).credential";
    let number = console.browser.run(number, json!([])).to_string();
    let alice = address("alice");
    console
        .server
        .home
        .cli(&["credential", "revoke", &alice, &number], "");
    console.press("Sign-in");
    console.heading("Sign in to Posthorn");
    console.text("Your session is over.");
    console.assert_quiet(&["401"]);
}

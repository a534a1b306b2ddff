//! A thing made, changed and removed on each page of administration.

use serde_json::json;

use crate::page::{Console, address};

fn admin() -> Console {
    let console = Console::start();
    console.sign_in("admin", "/admin/");
    console.heading("Overview");
    console
}

#[test]
fn domains() {
    let console = admin();
    console.press("Domains");
    console.heading("Domains");
    console.press("Add a domain");
    console.fill("Name", "not a domain");
    console.press("Add a domain");
    console.browser.until(
        "the refusal",
        "return document.querySelector('dialog .note.bad')",
        json!([]),
    );
    console.fill("Name", "example.net");
    console.press("Add a domain");
    console.heading("example.net");
    console.fill("Accounts at most", "5");
    console.fill("Storage limit", "2.5");
    console.fill("Catch-all", &address("alice"));
    console.press("Save");
    console.text("Saved.");
    let list = console.server.home.cli(&["--json", "domain", "list"], "");
    assert!(list.contains("2500000000"), "{list}");
    console.press("‹ Domains");
    console.heading("Domains");
    console.text("2.5 GB");
    console.choose("example.net");
    console.press("Remove");
    console.text("the chosen domains (1)");
    console.press("Remove");
    console.text("Removed: 1");
    console.gone("example.net");
    // What is in use isn't removed, and says why.
    console.choose("example.org");
    console.press("Remove");
    console.text("They must have no addresses");
    console.press("Remove");
    console.browser.until(
        "the refusal",
        "return document.querySelector('dialog .note.bad')",
        json!([]),
    );
    console.press("Cancel");
    console.text("example.org");
    console.assert_quiet(&["status of 4"]);
}

#[test]
fn accounts() {
    let console = admin();
    console.press("Accounts");
    console.text(&address("alice"));
    console.press("Add an account");
    console.fill("Address", &address("carol"));
    console.fill("Description", "Carol Chandler");
    console.fill("Password", "nine yellow teapots 52");
    console.press("Add an account");
    console.heading(&address("carol"));
    // The new account signs in.
    let mut http = e2e::http::Http::new(console.server.home.http);
    let login = e2e::jmap::basic(&address("carol"), "nine yellow teapots 52");
    assert_eq!(
        http.get("/jmap/session", &[("Authorization", &login)])
            .status,
        200
    );
    console.fill("Description", "Carol");
    console.select("Role", "Help desk");
    console.press("Save");
    console.text("Saved.");
    console.press("Addresses");
    console.fill("New address", &address("chandler"));
    console.press("Add the address");
    console.text("Added.");
    console.press_in_row("chandler@", "Remove");
    console.text("is taken away");
    console.undo();
    console.text("Undone.");
    console.text("chandler@example.org");
    console.tab("Forwarding");
    console.fill("Goes on to", "carol@elsewhere.example");
    console.press("Save");
    console.text("Saved.");
    console.press("Limits");
    console.fill("Storage limit", "3");
    console.press("Save");
    console.text("/ 3 GB");
    let shown = console.server.home.cli(&["--json", "account", "list"], "");
    for part in [
        "carol@elsewhere.example",
        "chandler@example.org",
        "3000000000",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    credentials(&console);
    // Switched off, and back.
    console.press("‹ Accounts");
    console.heading("Accounts");
    console.choose("bob@");
    console.press("Disable");
    console.text("Disabled: 1");
    console.select("State", "Disabled");
    console.gone("alice@");
    console.text("bob@");
    console.undo();
    console.text("Undone.");
    console.select("State", "All states");
    console.text("alice@");
    // Searched, sorted, removed.
    console.fill("Search in names and addresses", "CAROL");
    console.gone("alice@");
    assert_eq!(console.rows().len(), 1);
    console.choose("carol@");
    console.press("Remove");
    console.text("can't be undone");
    console.press("Remove");
    console.text("Removed: 1");
    console.text("Nothing matches.");
    console.fill("Search in names and addresses", "example");
    console.text("alice@");
    let first = |console: &Console| console.rows().first().cloned().unwrap_or_default();
    console.press("Name");
    console.browser.until(
        "the order",
        "return document.querySelector('th[aria-sort=ascending]')",
        json!([]),
    );
    assert!(first(&console).contains("admin@"), "{}", first(&console));
    console.press("Name ▲");
    console.browser.until(
        "the order",
        "return document.querySelector('th[aria-sort=descending]')",
        json!([]),
    );
    assert!(first(&console).contains("bob@"), "{}", first(&console));
    // The address of the page has all of it.
    assert!(console.path().contains("sort=-name"), "{}", console.path());
    console.browser.reload();
    console.text("bob@");
    assert!(first(&console).contains("bob@"), "{}", first(&console));
    console.assert_quiet(&[]);
}

/// On the page of an account.
fn credentials(console: &Console) {
    console.press("Passwords and tokens");
    console.fill("New password", "eight purple lamps 63");
    console.fill("The same once more", "other");
    console.press("Set the password");
    console.text("The two are not the same.");
    console.fill("The same once more", "eight purple lamps 63");
    console.press("Set the password");
    console.text("The password is changed.");
    console.press("New app password or token");
    console.fill("What it is for", "Phone");
    console.press("Make it");
    console.text("It is shown this once.");
    let secret = console.browser.run(
        "return document.querySelector('dialog[open] .secret code').innerText",
        json!([]),
    );
    let secret = secret.as_str().expect("a secret").to_owned();
    console.press("Close");
    console.gone(&secret);
    let mut http = e2e::http::Http::new(console.server.home.http);
    let login = e2e::jmap::basic(&address("carol"), &secret);
    let mut status = || {
        http.get("/jmap/session", &[("Authorization", &login)])
            .status
    };
    assert_eq!(status(), 200);
    console.press_in_row("Phone", "Take back");
    console.text("will not get in any more");
    console.press("Take back");
    console.text("Taken back.");
    assert_eq!(status(), 401);
}

#[test]
fn groups() {
    let console = admin();
    console.press("Groups");
    console.text("There are no groups yet.");
    console.press("Add a group");
    console.fill("Address", &address("sales"));
    console.press("Add a group");
    console.heading(&address("sales"));
    console.fill("Account", &address("nobody"));
    console.press("Add");
    console.text("There is no account nobody@example.org.");
    console.fill("Account", &address("alice"));
    console.press("Add");
    console.browser.until(
        "the member",
        "return document.querySelector('tbody')?.innerText.includes('alice@')",
        json!([]),
    );
    console.choose("alice@");
    console.press("Remove");
    console.text("Removed: 1");
    console.text("The group has no members yet.");
    console.undo();
    console.browser.until(
        "the member",
        "return document.querySelector('tbody')?.innerText.includes('alice@')",
        json!([]),
    );
    console.press("General");
    console.fill("Description", "Who sells");
    console.press("Save");
    console.text("Saved.");
    console.undo();
    console.text("Undone.");
    let back = "return document.getElementById('field-description')?.value === ''";
    console
        .browser
        .until("the old description", back, json!([]));
    console.press("Remove the group");
    console.text("can't be undone");
    console.press("Remove");
    console.text("There are no groups yet.");
    console.assert_quiet(&[]);
}

#[test]
fn aliases() {
    let console = admin();
    console.press("Aliases");
    console.press("Add an alias");
    console.fill("Address", &address("info"));
    console.fill(
        "Goes to",
        &format!("{}\nx@elsewhere.example", address("alice")),
    );
    console.press("Add an alias");
    console.text("info@example.org");
    console.text("alice@example.org, x@elsewhere.example");
    console.press("info@example.org");
    console.heading("info@example.org");
    console.fill("Goes to", &address("bob"));
    console.press("Save");
    console.text("Saved.");
    console.press("‹ Aliases");
    console.text("bob@example.org");
    console.choose("info@");
    console.press("Remove");
    console.text("Removed: 1");
    console.text("There are no aliases yet.");
    console.undo();
    console.text("info@example.org");
    // On its own page as well; what comes back is as it was, also that it is disabled.
    console.choose("info@");
    console.press("Disable");
    console.text("Disabled: 1");
    console.press("info@example.org");
    console.heading("info@example.org");
    console.press("Remove the alias");
    console.text("There are no aliases yet.");
    console.undo();
    console.heading("info@example.org");
    let kept = "return document.getElementById('field-disabled')?.checked \
        && document.getElementById('field-to')?.value === 'bob@example.org'";
    console.browser.until("what it was", kept, json!([]));
    console.assert_quiet(&[]);
}

#[test]
fn lists() {
    let console = admin();
    console.press("Lists");
    console.press("Add a list");
    console.fill("Address", &address("news"));
    console.select("Who may write", "Anyone");
    console.fill("Members", "one@elsewhere.example\ntwo@elsewhere.example");
    console.press("Add a list");
    console.heading(&address("news"));
    console.select("Who may write", "Members");
    console.fill("Members", "one@elsewhere.example");
    console.press("Save");
    console.text("Saved.");
    console.press("‹ Lists");
    console.heading("Lists");
    console.text("news@example.org");
    let row = console.rows().concat();
    assert!(row.contains('1') && row.contains("Members"), "{row}");
    console.choose("news@");
    console.press("Remove");
    console.text("Removed: 1");
    console.text("There are no lists yet.");
    console.undo();
    console.text("news@example.org");
    let row = console.rows().concat();
    assert!(row.contains('1') && row.contains("Members"), "{row}");
    console.press("news@example.org");
    console.heading("news@example.org");
    console.press("Remove the list");
    console.text("There are no lists yet.");
    console.undo();
    console.heading("news@example.org");
    let kept = "return document.getElementById('field-members')?.value === 'one@elsewhere.example'";
    console.browser.until("its members", kept, json!([]));
    console.assert_quiet(&[]);
}

#[test]
fn what_was_done_is_in_the_audit() {
    let console = admin();
    console.press("Accounts");
    console.text(&address("bob"));
    console.choose("bob@");
    console.press("Disable");
    console.text("Disabled: 1");
    console.press("Audit");
    console.heading("Audit");
    console.text("account.change");
    console.text("bob@example.org");
    console.select("Outcome", "Refused");
    console.text("Nothing matches.");
    console.assert_quiet(&[]);
}

#[test]
fn what_somebody_else_has_changed_is_not_written_over() {
    let console = admin();
    console.press("Aliases");
    console.press("Add an alias");
    console.fill("Address", &address("info"));
    console.fill("Goes to", &address("alice"));
    console.press("Add an alias");
    console.press("info@example.org");
    console.field("Description");
    let mut http = e2e::http::Http::new(console.server.home.http);
    let login = e2e::jmap::basic(&address("admin"), e2e::PASSWORD);
    let fields = [
        ("Authorization", login.as_str()),
        ("Content-Type", "application/json"),
    ];
    let list = http.get("/api/v1/aliases", &fields).json();
    let path = format!(
        "/api/v1/aliases/{}",
        list["items"][0]["id"].as_str().expect("an id")
    );
    let changed = http.request(
        "PATCH",
        &path,
        &fields,
        br#"{"description": "by somebody else"}"#,
    );
    assert_eq!(changed.expect("an answer").status, 200);
    console.fill("Description", "mine");
    console.press("Save");
    console.text("Somebody else has changed it meanwhile.");
    let shown = "return document.getElementById('field-description')?.value === 'by somebody else'";
    console.browser.until("what it is now", shown, json!([]));
    console.assert_quiet(&["412"]);
}

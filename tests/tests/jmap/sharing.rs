//! Mailboxes that are shared (`shareWith`): what a guest sees and may do, from outside.

use std::io::ErrorKind;

use e2e::{
    Home, Jmap, Server,
    http::receive_chunk,
    jmap::{string, strings},
    reading::Connection,
};
use serde_json::{Value, json};

use super::{mail, outcome};

const ALL: [&str; 9] = [
    "mayReadItems",
    "mayAddItems",
    "mayRemoveItems",
    "maySetSeen",
    "maySetKeywords",
    "mayCreateChild",
    "mayRename",
    "mayDelete",
    "maySubmit",
];

/// Rights by name.
fn rights(names: &[&str]) -> Value {
    names
        .iter()
        .map(|name| ((*name).to_owned(), json!(true)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn share(owner: &mut Jmap, mailbox: &str, with: &str, names: &[&str]) {
    let update = json!({mailbox: {format!("shareWith/{with}"): rights(names)}});
    let response = owner.call("Mailbox/set", json!({"update": update}));
    assert_eq!(outcome(&response, mailbox), "ok", "{response}");
}

fn unshare(owner: &mut Jmap, mailbox: &str) {
    let response = owner.call(
        "Mailbox/set",
        json!({"update": {mailbox: {"shareWith": null}}}),
    );
    assert_eq!(outcome(&response, mailbox), "ok", "{response}");
}

fn mailbox(jmap: &mut Jmap, name: &str) -> String {
    let response = jmap.call("Mailbox/set", json!({"create": {"m": {"name": name}}}));
    string(&response["created"]["m"]["id"])
}

/// One call to an account, as a guest.
fn guest_call(guest: &mut Jmap, account: &str, name: &str, mut arguments: Value) -> Value {
    arguments["accountId"] = json!(account);
    guest
        .try_call(name, arguments)
        .unwrap_or_else(|error| error)
}

#[test]
fn a_guest_sees_what_is_shared_and_nothing_else() {
    let server = Server::start();
    let (mut alice, bob) = (server.jmap("alice"), server.jmap("bob"));
    let inbox = alice.mailbox("inbox");
    let shown = mail(&mut alice, "shown");
    let private = mailbox(&mut alice, "Private");
    let hidden = alice.import(b"Subject: hidden\r\n\r\nx\r\n", &private);
    let blobs = alice.get_emails(&[shown.clone(), hidden.clone()], &["blobId", "threadId"]);
    share(&mut alice, &inbox, &bob.account, &["mayReadItems"]);

    // The session of the next login has the account.
    let (mut bob, owner) = (server.jmap("bob"), alice.account.clone());
    let account = bob.session["accounts"][&owner].clone();
    assert_eq!(account["isPersonal"], false, "{}", bob.session);
    // What bob subscribes to is his own, so the account isn't read-only as a whole (RFC 8620 §2).
    assert_eq!(account["isReadOnly"], false);
    let subscribe = json!({"update": {&inbox: {"isSubscribed": true}}});
    let response = guest_call(&mut bob, &owner, "Mailbox/set", subscribe);
    assert_eq!(outcome(&response, &inbox), "ok", "{response}");
    let unsubscribe = json!({"update": {&inbox: {"isSubscribed": false}}});
    let response = guest_call(&mut bob, &owner, "Mailbox/set", unsubscribe);
    assert_eq!(outcome(&response, &inbox), "ok", "{response}");
    let capabilities: Vec<&str> = account["accountCapabilities"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(uri, _)| uri.as_str())
        .collect();
    assert_eq!(
        capabilities,
        ["urn:ietf:params:jmap:blob", "urn:ietf:params:jmap:mail"]
    );
    let mail_capability = &account["accountCapabilities"]["urn:ietf:params:jmap:mail"];
    assert_eq!(mail_capability["mayCreateTopLevelMailbox"], false);

    let mailboxes = guest_call(&mut bob, &owner, "Mailbox/get", json!({"ids": null}));
    assert_eq!(
        mailboxes["list"].as_array().map(Vec::len),
        Some(1),
        "{mailboxes}"
    );
    let mailbox = &mailboxes["list"][0];
    assert_eq!(
        (&mailbox["id"], &mailbox["isSubscribed"]),
        (&json!(inbox), &json!(false))
    );
    for name in ALL {
        assert_eq!(mailbox["myRights"][name], name == "mayReadItems", "{name}");
    }
    let emails = guest_call(&mut bob, &owner, "Email/query", json!({}));
    assert_eq!(emails["ids"], json!([shown]));
    let text = guest_call(
        &mut bob,
        &owner,
        "Email/query",
        json!({"filter": {"text": "hidden"}}),
    );
    assert_eq!(text["ids"], json!([]));
    let emails = guest_call(
        &mut bob,
        &owner,
        "Email/get",
        json!({"ids": [shown, hidden], "properties": ["mailboxIds"]}),
    );
    assert_eq!(emails["notFound"], json!([hidden]));
    let threads = guest_call(
        &mut bob,
        &owner,
        "Thread/get",
        json!({"ids": [blobs[1]["threadId"]]}),
    );
    assert_eq!(threads["list"], json!([]), "{threads}");
    for (blob, status) in [(&blobs[0]["blobId"], 200), (&blobs[1]["blobId"], 404)] {
        let path = format!("/jmap/download/{owner}/{}/x", string(blob));
        let authorization = bob.authorization.clone();
        let answer = bob.http.get(&path, &[("Authorization", &authorization)]);
        assert_eq!(answer.status, status);
    }
    let rows = [
        (
            "Blob/get",
            json!({"ids": [blobs[1]["blobId"]]}),
            "/notFound/0",
            blobs[1]["blobId"].clone(),
        ),
        (
            "Email/parse",
            json!({"blobIds": [blobs[1]["blobId"]]}),
            "/notFound/0",
            blobs[1]["blobId"].clone(),
        ),
        (
            "Mailbox/set",
            json!({"create": {"x": {"name": "new"}}}),
            "/notCreated/x/type",
            json!("forbidden"),
        ),
        (
            "Mailbox/set",
            json!({"update": {&private: {"name": "x"}}}),
            "/notUpdated",
            json!({&private: {"type": "notFound"}}),
        ),
        (
            "Email/set",
            json!({"destroy": [hidden]}),
            "/notDestroyed",
            json!({&hidden: {"type": "notFound"}}),
        ),
    ];
    for (name, arguments, pointer, expected) in rows {
        let response = guest_call(&mut bob, &owner, name, arguments.clone());
        assert_eq!(
            response.pointer(pointer),
            Some(&expected),
            "{name} {arguments} {response}"
        );
    }
    // What the session doesn't say the account has (RFC 8620 §2).
    let all = json!({"ids": null});
    let rows = [
        ("Identity/get", all.clone()),
        ("Identity/changes", json!({"sinceState": "s0"})),
        (
            "Identity/set",
            json!({"create": {"x": {"email": "alice@example.org"}}}),
        ),
        ("Quota/get", all.clone()),
        ("Quota/query", json!({})),
        ("Quota/changes", json!({"sinceState": "s0"})),
        ("EmailSubmission/get", all.clone()),
        ("EmailSubmission/query", json!({})),
        (
            "EmailSubmission/set",
            json!({"create": {"x": {"identityId": "i1", "emailId": shown}}}),
        ),
        ("VacationResponse/get", all.clone()),
        ("VacationResponse/set", json!({"update": {"singleton": {}}})),
        ("MDN/send", json!({"identityId": "i1", "send": {}})),
        ("MDN/parse", json!({"blobIds": []})),
        ("SieveScript/get", all),
        ("SieveScript/set", json!({})),
    ];
    for (name, arguments) in rows {
        let response = guest_call(&mut bob, &owner, name, arguments);
        assert_eq!(
            response["type"], "accountNotSupportedByMethod",
            "{name} {response}"
        );
    }
}

#[test]
fn each_right_is_needed_for_what_it_is_for() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.jmap("alice"), server.jmap("bob"));
    let owner = alice.account.clone();
    let own_blob = |bob: &mut Jmap, account: &str| {
        let blob = bob.upload(b"Subject: added\r\n\r\nx\r\n", "message/rfc822");
        let copy = json!({"fromAccountId": bob.account, "accountId": account, "blobIds": [blob]});
        string(&bob.call("Blob/copy", copy)["copied"][&blob])
    };
    // A right, and what it is for: a call, and the item that is refused without the right.
    let rights: [(&str, &str); 8] = [
        ("mayAddItems", "import"),
        ("mayRemoveItems", "destroy"),
        ("maySetSeen", "seen"),
        ("maySetKeywords", "flag"),
        ("mayCreateChild", "child"),
        ("mayRename", "rename"),
        ("mayDelete", "delete"),
        ("mayShare", "share"),
    ];
    for (right, action) in rights {
        for with_right in [false, true] {
            let room = mailbox(&mut alice, &format!("{action} {with_right}"));
            let email = alice.import(
                format!("Subject: {action} {with_right}\r\n\r\nx\r\n").as_bytes(),
                &room,
            );
            let mut names: Vec<&str> = ALL
                .into_iter()
                .chain(["mayShare"])
                .filter(|name| *name != right)
                .collect();
            if with_right {
                names.push(right);
            }
            if action == "delete" {
                alice.call("Email/set", json!({"destroy": [email]}));
            }
            share(&mut alice, &room, &bob.account, &names);
            let (name, arguments, item) = match action {
                "import" => {
                    let blob = own_blob(&mut bob, &owner);
                    (
                        "Email/import",
                        json!({"emails": {"x": {"blobId": blob, "mailboxIds": {&room: true}}}}),
                        "x".to_owned(),
                    )
                }
                "destroy" => ("Email/set", json!({"destroy": [email]}), email.clone()),
                "seen" => (
                    "Email/set",
                    json!({"update": {&email: {"keywords/$seen": true}}}),
                    email.clone(),
                ),
                "flag" => (
                    "Email/set",
                    json!({"update": {&email: {"keywords/$flagged": true}}}),
                    email.clone(),
                ),
                "child" => (
                    "Mailbox/set",
                    json!({"create": {"x": {"name": "child", "parentId": room}}}),
                    "x".to_owned(),
                ),
                "rename" => (
                    "Mailbox/set",
                    json!({"update": {&room: {"name": format!("new {with_right}")}}}),
                    room.clone(),
                ),
                "delete" => ("Mailbox/set", json!({"destroy": [room]}), room.clone()),
                _ => (
                    "Mailbox/set",
                    json!({"update": {&room: {format!("shareWith/{}", bob.account): null}}}),
                    room.clone(),
                ),
            };
            let response = guest_call(&mut bob, &owner, name, arguments);
            let expected = if with_right { "ok" } else { "forbidden" };
            assert_eq!(
                outcome(&response, &item),
                expected,
                "{right} {with_right}: {response}"
            );
        }
    }
    server.home.check();
}

#[test]
fn without_read_items_emails_are_not_there() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.jmap("alice"), server.jmap("bob"));
    let (inbox, owner) = (alice.mailbox("inbox"), alice.account.clone());
    let email = mail(&mut alice, "unread");
    let names: Vec<&str> = ALL
        .into_iter()
        .filter(|name| *name != "mayReadItems")
        .collect();
    share(&mut alice, &inbox, &bob.account, &names);
    let mailboxes = guest_call(&mut bob, &owner, "Mailbox/get", json!({"ids": null}));
    assert_eq!(mailboxes["list"][0]["id"], json!(inbox));
    let emails = guest_call(&mut bob, &owner, "Email/query", json!({}));
    assert_eq!(emails["ids"], json!([]));
    let emails = guest_call(&mut bob, &owner, "Email/get", json!({"ids": [email]}));
    assert_eq!(emails["notFound"], json!([email]));
    let set = guest_call(
        &mut bob,
        &owner,
        "Email/set",
        json!({"update": {&email: {"keywords/$seen": true}}}),
    );
    assert_eq!(outcome(&set, &email), "notFound");
}

#[test]
fn emails_are_copied_from_and_to_a_shared_account() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.jmap("alice"), server.jmap("bob"));
    let (inbox, owner, own) = (
        alice.mailbox("inbox"),
        alice.account.clone(),
        bob.account.clone(),
    );
    let email = mail(&mut alice, "copied");
    let mut into = bob.mailbox("inbox");
    let copy = |from: &str, to: &str, email: &str, mailbox: &str| json!({"fromAccountId": from, "accountId": to, "create": {"c": {"id": email, "mailboxIds": {mailbox: true}}}, "onSuccessDestroyOriginal": true});
    assert_eq!(
        bob.error_of("Email/copy", copy(&owner, &own, &email, &into)),
        "fromAccountNotFound"
    );
    share(&mut alice, &inbox, &own, &["mayReadItems"]);
    let responses = bob.request(json!([[
        "Email/copy",
        copy(&owner, &own, &email, &into),
        "0"
    ]]));
    let copied = string(&responses[0][1]["created"]["c"]["id"]);
    // It may read, and not remove.
    assert_eq!(
        outcome(&responses[1][1], &email),
        "forbidden",
        "{responses:?}"
    );
    let response = guest_call(
        &mut bob,
        &owner,
        "Email/copy",
        copy(&own, &owner, &copied, &inbox),
    );
    assert_eq!(outcome(&response, "c"), "forbidden", "{response}");
    share(
        &mut alice,
        &inbox,
        &own,
        &["mayReadItems", "mayAddItems", "mayRemoveItems"],
    );
    let response = guest_call(
        &mut bob,
        &owner,
        "Email/copy",
        copy(&own, &owner, &copied, &inbox),
    );
    assert_eq!(outcome(&response, "c"), "ok", "{response}");
    assert!(bob.query_all(Value::Null).is_empty());
    assert_eq!(alice.query_all(Value::Null).len(), 2);
    into = mailbox(&mut alice, "Hidden");
    let response = guest_call(
        &mut bob,
        &owner,
        "Email/set",
        json!({"update": {&email: {format!("mailboxIds/{into}"): true}}}),
    );
    assert_eq!(
        outcome(&response, &email),
        "invalidProperties",
        "{response}"
    );
}

#[test]
fn members_of_a_group_are_guests_too() {
    let home = Home::with_people();
    home.add_account("carol");
    home.cli(&["group", "add", "team@example.org"], "");
    home.cli(
        &[
            "group",
            "member",
            "add",
            "team@example.org",
            "bob@example.org",
        ],
        "",
    );
    let group = home
        .cli(&["account", "show", "team@example.org", "--id"], "")
        .trim()
        .to_owned();
    let server = Server::start_in(home);
    let mut alice = server.jmap("alice");
    let (inbox, owner) = (alice.mailbox("inbox"), alice.account.clone());
    let email = mail(&mut alice, "for the team");
    share(&mut alice, &inbox, &group, &["mayReadItems", "maySetSeen"]);
    let (mut bob, mut carol) = (server.jmap("bob"), server.jmap("carol"));
    let emails = guest_call(&mut bob, &owner, "Email/query", json!({}));
    assert_eq!(emails["ids"], json!([email]));
    let refused = guest_call(&mut carol, &owner, "Email/query", json!({}));
    assert_eq!(refused["type"], "accountNotFound");
    assert!(carol.session["accounts"].get(&owner).is_none());
    // A subscription of one member is nobody else's business, and outlives other changes.
    let subscribe = guest_call(
        &mut bob,
        &owner,
        "Mailbox/set",
        json!({"update": {&inbox: {"isSubscribed": true}}}),
    );
    assert_eq!(outcome(&subscribe, &inbox), "ok", "{subscribe}");
    share(&mut alice, &inbox, &carol.account, &["mayReadItems"]);
    let shared = alice.call(
        "Mailbox/get",
        json!({"ids": [inbox], "properties": ["shareWith"]}),
    );
    let shared = shared["list"][0]["shareWith"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    let mut with: Vec<String> = shared.keys().cloned().collect();
    with.sort();
    let mut expected = vec![group.clone(), carol.account.clone()];
    expected.sort();
    assert_eq!(with, expected);
    let subscribed = guest_call(
        &mut bob,
        &owner,
        "Mailbox/get",
        json!({"ids": [inbox], "properties": ["isSubscribed"]}),
    );
    assert_eq!(subscribed["list"][0]["isSubscribed"], true);
    server.home.cli(
        &[
            "group",
            "member",
            "remove",
            "team@example.org",
            "bob@example.org",
        ],
        "",
    );
    let refused = guest_call(&mut bob, &owner, "Email/query", json!({}));
    assert_eq!(refused["type"], "accountNotFound");
    server.home.check();
}

#[test]
fn a_mailbox_is_shared_from_its_creation_on() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.jmap("alice"), server.jmap("bob"));
    let (own, owner) = (bob.account.clone(), alice.account.clone());
    let create = json!({"create": {"m": {"name": "Shared", "shareWith": {&own: rights(&["mayReadItems"])}}}});
    let id = string(&alice.call("Mailbox/set", create)["created"]["m"]["id"]);
    let seen = guest_call(&mut bob, &owner, "Mailbox/get", json!({"ids": null}));
    assert_eq!(seen["list"][0]["id"], json!(id), "{seen}");
    server.home.check();
    let destroyed = alice.call("Mailbox/set", json!({"destroy": [id]}));
    assert_eq!(destroyed["destroyed"], json!([id]));
    let refused = guest_call(&mut bob, &owner, "Mailbox/get", json!({"ids": null}));
    assert_eq!(refused["type"], "accountNotFound");
    server.home.check();
    for (with, error) in [
        ("a999", "invalidProperties"),
        (&*owner, "invalidProperties"),
        ("nonsense", "invalidProperties"),
    ] {
        let create = json!({"create": {"m": {"name": "Other", "shareWith": {with: rights(&["mayReadItems"])}}}});
        let response = alice.call("Mailbox/set", create);
        assert_eq!(outcome(&response, "m"), error, "{with}");
    }
}

#[test]
fn a_guest_begins_anew_when_more_is_shared() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.jmap("alice"), server.jmap("bob"));
    let (inbox, owner, own) = (
        alice.mailbox("inbox"),
        alice.account.clone(),
        bob.account.clone(),
    );
    let archive = mailbox(&mut alice, "Archive 2");
    let old = alice.import(b"Subject: old\r\n\r\nx\r\n", &archive);
    share(&mut alice, &inbox, &own, &["mayReadItems"]);
    let first = mail(&mut alice, "first");
    let state = guest_call(
        &mut bob,
        &owner,
        "Email/get",
        json!({"ids": null, "properties": ["id"]}),
    );
    assert_eq!(state["list"], json!([{"id": first}]));
    let since = json!({"sinceState": state["state"]});
    let new = mail(&mut alice, "new");
    let changes = guest_call(&mut bob, &owner, "Email/changes", since.clone());
    assert_eq!(changes["created"], json!([new]), "{changes}");
    share(&mut alice, &archive, &own, &["mayReadItems"]);
    // The log of changes has nothing of what was there before it was shared.
    let changes = guest_call(&mut bob, &owner, "Email/changes", since.clone());
    assert_eq!(changes["type"], "cannotCalculateChanges");
    let asked = json!({"sinceQueryState": state["state"]});
    let changes = guest_call(&mut bob, &owner, "Email/queryChanges", asked);
    assert_eq!(changes["type"], "cannotCalculateChanges");
    let emails = guest_call(
        &mut bob,
        &owner,
        "Email/query",
        json!({"sort": [{"property": "subject"}]}),
    );
    assert_eq!(strings(&emails["ids"]), [first, new, old]);
}

/// An event source of everything, whose first event was read.
fn event_source(jmap: &Jmap) -> Connection {
    let fields = [("Authorization", jmap.authorization.as_str())];
    let path = "/jmap/eventsource?types=*&closeafter=no&ping=0";
    let (answer, mut stream) = jmap
        .http
        .open_stream(path, &fields)
        .expect("no event source");
    assert_eq!(answer.status, 200);
    receive_chunk(&mut stream).expect("no first event");
    stream
}

/// The next event, if there is one soon.
fn event(stream: &mut Connection) -> Option<String> {
    match receive_chunk(stream) {
        Ok(chunk) => Some(String::from_utf8_lossy(&chunk).into_owned()),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
        Err(error) => panic!("the event source has ended: {error}"),
    }
}

#[test]
fn open_event_sources_follow_what_is_shared() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.jmap("alice"), server.jmap("bob"));
    let (inbox, owner, own) = (
        alice.mailbox("inbox"),
        alice.account.clone(),
        bob.account.clone(),
    );
    let mut stream = event_source(&bob);
    mail(&mut alice, "not yet");
    share(&mut alice, &inbox, &own, &["mayReadItems"]);
    // At once: the account that there is now, with its states.
    let told = event(&mut stream).expect("no event of the new account");
    assert!(told.contains(&format!("\"{owner}\":{{")), "{told}");
    mail(&mut alice, "shared");
    let told = event(&mut stream).expect("no event of the mail");
    assert!(told.contains(&format!("\"{owner}\":{{")), "{told}");
    unshare(&mut alice, &inbox);
    // What is told of the account from here on is of before, at most.
    stream
        .stream()
        .set_read_timeout(Some(std::time::Duration::from_millis(1500)))
        .expect("no timeout");
    while let Some(told) = event(&mut stream) {
        assert!(told.contains(&owner), "{told}");
    }
    mail(&mut alice, "secret");
    mail(&mut bob, "own");
    let mut told = String::new();
    while let Some(more) = event(&mut stream) {
        told.push_str(&more);
    }
    assert!(
        told.contains(&format!("\"{own}\":{{")) && !told.contains(&format!("\"{owner}\":{{")),
        "{told}"
    );
    // And no request sees it any more.
    let refused = guest_call(&mut bob, &owner, "Email/query", json!({}));
    assert_eq!(refused["type"], "accountNotFound");
    let path = format!("/jmap/upload/{owner}");
    let authorization = bob.authorization.clone();
    assert_eq!(
        bob.http
            .post(&path, &[("Authorization", &authorization)], b"x")
            .status,
        404
    );
}

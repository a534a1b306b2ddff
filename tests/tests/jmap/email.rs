//! Email/copy, Email/parse, Email/import, Email/queryChanges, and the forms of header fields (RFC 8621 §4).

use e2e::{
    Server,
    jmap::{string, strings},
};
use serde_json::{Value, json};

use super::{inbox_of, mail, message, outcome, with_team};

#[test]
fn a_copy_is_the_same_message_with_its_own_metadata() {
    let (_server, mut alice, team) = with_team();
    let original = mail(&mut alice, "copied");
    let inbox = inbox_of(&mut alice, &team);
    let create = json!({"c": {"id": original, "mailboxIds": {&inbox: true}, "keywords": {"$flagged": true},
        "receivedAt": "2020-01-01T00:00:00Z"}});
    let from = alice.account.clone();
    let copied = alice.call(
        "Email/copy",
        json!({"fromAccountId": from, "accountId": team, "create": create}),
    );
    let created = &copied["created"]["c"];
    for name in ["id", "blobId", "threadId", "size"] {
        assert!(!created[name].is_null(), "no {name}: {copied}");
    }
    let properties = ["blobId", "subject", "keywords", "mailboxIds", "receivedAt"];
    let get = json!({"accountId": team, "ids": [created["id"]], "properties": properties});
    let copy = alice.call("Email/get", get)["list"][0].clone();
    assert_eq!(copy["subject"], "copied");
    assert_eq!(copy["keywords"], json!({"$flagged": true}));
    assert_eq!(copy["mailboxIds"], json!({&inbox: true}));
    assert_eq!(copy["receivedAt"], "2020-01-01T00:00:00Z");
    // The original stays as it was.
    let of_original = alice.get_emails(&[original], &["keywords"]);
    assert_eq!(of_original[0]["keywords"], json!({}));
}

#[test]
fn on_success_destroy_original_moves_between_accounts() {
    let (_server, mut alice, team) = with_team();
    let (kept, moved) = (mail(&mut alice, "kept"), mail(&mut alice, "moved"));
    let inbox = inbox_of(&mut alice, &team);
    let from = alice.account.clone();
    let create = json!({
        "m": {"id": moved, "mailboxIds": {&inbox: true}},
        "x": {"id": kept, "mailboxIds": {"m9999": true}},
    });
    let copy = json!({"fromAccountId": from, "accountId": team, "create": create, "onSuccessDestroyOriginal": true});
    let responses = alice.request(json!([["Email/copy", copy, "c"]]));
    assert_eq!(responses.len(), 2, "{responses:?}");
    assert_eq!(outcome(&responses[0][1], "x"), "invalidProperties");
    assert_eq!(
        (&responses[1][0], &responses[1][2]),
        (&json!("Email/set"), &json!("c"))
    );
    assert_eq!(responses[1][1]["accountId"], json!(from));
    assert_eq!(responses[1][1]["destroyed"], json!([moved]));
    assert_eq!(alice.query_all(Value::Null), [kept]);
    let in_team = alice.call("Email/query", json!({"accountId": team}));
    assert_eq!(in_team["ids"].as_array().map(Vec::len), Some(1));
}

#[test]
fn copies_that_are_refused() {
    let (_server, mut alice, team) = with_team();
    let id = mail(&mut alice, "refused");
    let inbox = inbox_of(&mut alice, &team);
    let (from, state) = (alice.account.clone(), alice.email_state());
    let team_state =
        string(&alice.call("Email/get", json!({"accountId": team, "ids": []}))["state"]);
    let good = json!({"c": {"id": id, "mailboxIds": {&inbox: true}}});
    let rows = [
        (
            json!({"fromAccountId": "a999", "create": good}),
            "fromAccountNotFound",
        ),
        (json!({"fromAccountId": "a999"}), "invalidArguments"),
        (json!({"create": good}), "invalidArguments"),
        (
            json!({"fromAccountId": team, "create": good}),
            "invalidArguments",
        ),
        (
            json!({"fromAccountId": from, "create": good, "accountId": "a999"}),
            "accountNotFound",
        ),
        (
            json!({"fromAccountId": from, "create": good, "ifFromInState": "s0"}),
            "stateMismatch",
        ),
        (
            json!({"fromAccountId": from, "create": good, "ifInState": "s999"}),
            "stateMismatch",
        ),
        (
            json!({"fromAccountId": from, "create": good, "other": 1}),
            "invalidArguments",
        ),
    ];
    for (mut arguments, error) in rows {
        if arguments.get("accountId").is_none() {
            arguments["accountId"] = json!(team);
        }
        assert_eq!(
            alice.error_of("Email/copy", arguments.clone()),
            error,
            "{arguments}"
        );
    }
    let rows = [
        (
            json!({"id": "e9999", "mailboxIds": {&inbox: true}}),
            "notFound",
        ),
        (json!({"id": id}), "invalidProperties"),
        (json!({"id": id, "mailboxIds": {}}), "invalidProperties"),
        (
            json!({"id": id, "mailboxIds": {"m9999": true}}),
            "invalidProperties",
        ),
        (
            json!({"id": id, "mailboxIds": {&inbox: true}, "subject": "x"}),
            "invalidProperties",
        ),
        (
            json!({"id": id, "mailboxIds": {&inbox: true}, "keywords": {"(": true}}),
            "invalidProperties",
        ),
        (json!({"mailboxIds": {&inbox: true}}), "invalidProperties"),
    ];
    for (create, error) in rows {
        let copy = json!({"fromAccountId": from, "accountId": team, "create": {"c": create}});
        let response = alice.call("Email/copy", copy);
        assert_eq!(outcome(&response, "c"), error, "{create} {response}");
    }
    // The states that are right.
    let copy = json!({"fromAccountId": from, "accountId": team, "create": good, "ifFromInState": state,
        "ifInState": team_state, "onSuccessDestroyOriginal": true, "destroyFromIfInState": "s0"});
    let responses = alice.request(json!([["Email/copy", copy, "c"]]));
    assert!(responses[0][1]["created"]["c"].is_object(), "{responses:?}");
    assert_eq!(
        (&responses[1][0], &responses[1][1]["type"]),
        (&json!("error"), &json!("stateMismatch"))
    );
    assert_eq!(alice.query_all(Value::Null), [id]);
}

const NESTED: &str = "From: a@x.example\nSubject: outer\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n\
    --b\nContent-Type: text/plain\n\nouter text\n--b\nContent-Type: message/rfc822\n\n\
    From: b@x.example\nSubject: inner\n\ninner text\n--b--\n";

#[test]
fn a_blob_is_parsed_without_becoming_an_email() {
    let server = Server::start();
    let mut alice = server.jmap("alice");
    let blob = alice.upload(&message(NESTED), "message/rfc822");
    let garbage = alice.upload(b"\x00\x01 no message at all", "application/octet-stream");
    let properties = [
        "subject",
        "from",
        "attachments",
        "textBody",
        "id",
        "keywords",
        "blobId",
    ];
    let parse = json!({"blobIds": [blob, garbage, "nothing"], "properties": properties, "fetchTextBodyValues": true});
    let parsed = alice.call("Email/parse", parse);
    assert_eq!(parsed["notParsable"], json!([garbage]), "{parsed}");
    assert_eq!(parsed["notFound"], json!(["nothing"]));
    let email = &parsed["parsed"][&blob];
    assert_eq!(email["subject"], "outer");
    // RFC 8621 §4.9: what only emails have is null.
    assert_eq!(
        (&email["id"], &email["keywords"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(email["blobId"], json!(blob));
    let inner = string(&email["attachments"][0]["blobId"]);
    let parsed = alice.call(
        "Email/parse",
        json!({"blobIds": [inner], "properties": ["subject", "preview"]}),
    );
    assert_eq!(parsed["parsed"][&inner]["subject"], "inner", "{parsed}");
    assert_eq!(parsed["parsed"][&inner]["preview"], "inner text");
    assert!(alice.query_all(Value::Null).is_empty());
    let rows = [
        json!({"blobIds": [blob], "properties": ["nonsense"]}),
        json!({"blobIds": [blob], "bodyProperties": ["nonsense"]}),
        json!({"blobIds": [blob], "maxBodyValueBytes": -1}),
        json!({"blobIds": blob}),
        json!({}),
    ];
    for arguments in rows {
        assert_eq!(
            alice.error_of("Email/parse", arguments.clone()),
            "invalidArguments",
            "{arguments}"
        );
    }
}

#[test]
fn imports_that_are_refused() {
    let server = Server::start();
    let mut alice = server.jmap("alice");
    let inbox = alice.mailbox("inbox");
    let blob = alice.upload(
        &message("From: a@x.example\nSubject: good\n\nx\n"),
        "message/rfc822",
    );
    let none = alice.upload(b"", "message/rfc822");
    let binary = alice.upload(&[0xff; 100], "application/octet-stream");
    let of_bob = server
        .jmap("bob")
        .upload(b"Subject: secret\r\n\r\nx", "message/rfc822");
    let in_inbox = json!({&inbox: true});
    let rows = [
        (json!({"blobId": blob, "mailboxIds": in_inbox}), "ok"),
        (json!({"mailboxIds": in_inbox}), "invalidProperties"),
        (
            json!({"blobId": "nothing", "mailboxIds": in_inbox}),
            "invalidProperties",
        ),
        (
            json!({"blobId": of_bob, "mailboxIds": in_inbox}),
            "invalidProperties",
        ),
        (
            json!({"blobId": none, "mailboxIds": in_inbox}),
            "invalidEmail",
        ),
        (
            json!({"blobId": binary, "mailboxIds": in_inbox}),
            "invalidEmail",
        ),
        (json!({"blobId": blob}), "invalidProperties"),
        (
            json!({"blobId": blob, "mailboxIds": {}}),
            "invalidProperties",
        ),
        (
            json!({"blobId": blob, "mailboxIds": {"m9999": true}}),
            "invalidProperties",
        ),
        (
            json!({"blobId": blob, "mailboxIds": {&inbox: false}}),
            "invalidProperties",
        ),
        (
            json!({"blobId": blob, "mailboxIds": in_inbox, "keywords": {"a b": true}}),
            "invalidProperties",
        ),
        (
            json!({"blobId": blob, "mailboxIds": in_inbox, "receivedAt": "yesterday"}),
            "invalidProperties",
        ),
        (
            json!({"blobId": blob, "mailboxIds": in_inbox, "subject": "x"}),
            "invalidProperties",
        ),
    ];
    for (email, expected) in rows {
        let response = alice.call("Email/import", json!({"emails": {"m": email}}));
        assert_eq!(outcome(&response, "m"), expected, "{email} {response}");
    }
    assert_eq!(alice.query_all(Value::Null).len(), 1);
    let stale = json!({"emails": {}, "ifInState": "s0"});
    assert_eq!(alice.error_of("Email/import", stale), "stateMismatch");
}

#[test]
fn changes_of_a_query_lead_to_its_new_result() {
    let server = Server::start();
    let mut alice = server.jmap("alice");
    let mut ids: Vec<String> = (0..8)
        .map(|n| mail(&mut alice, &format!("number {n}")))
        .collect();
    let queries = [
        json!({"sort": [{"property": "subject"}]}),
        json!({"sort": [{"property": "subject", "isAscending": false}], "filter": {"notKeyword": "$flagged"}}),
        json!({"filter": {"operator": "NOT", "conditions": [{"hasKeyword": "$flagged"}]}}),
        json!({"filter": {"subject": "number"}, "sort": [{"property": "hasKeyword", "keyword": "$flagged"}, {"property": "size"}]}),
    ];
    let before: Vec<Value> = queries
        .iter()
        .map(|query| alice.call("Email/query", query.clone()))
        .collect();
    let gone = ids.remove(2);
    let update = json!({&ids[0]: {"keywords/$flagged": true}, &ids[5]: {"keywords/$seen": true}});
    alice.call("Email/set", json!({"destroy": [gone], "update": update}));
    mail(&mut alice, "number 35");
    for (query, before) in queries.iter().zip(&before) {
        assert_eq!(before["canCalculateChanges"], true, "{query}");
        let mut asked = query.clone();
        asked["sinceQueryState"] = before["queryState"].clone();
        asked["calculateTotal"] = json!(true);
        let changes = alice.call("Email/queryChanges", asked.clone());
        let removed = strings(&changes["removed"]);
        let mut result = strings(&before["ids"]);
        result.retain(|id| !removed.contains(id));
        for added in changes["added"].as_array().expect("no list") {
            let index = added["index"].as_u64().expect("no index") as usize;
            assert!(index <= result.len(), "{changes}");
            result.insert(index, string(&added["id"]));
        }
        let now = alice.call("Email/query", query.clone());
        assert_eq!(result, strings(&now["ids"]), "{query}");
        assert_eq!(changes["total"], json!(result.len()), "{query}");
        assert_eq!(changes["newQueryState"], now["queryState"]);
        asked["maxChanges"] = json!(1);
        assert_eq!(
            alice.error_of("Email/queryChanges", asked.clone()),
            "tooManyChanges"
        );
        asked["maxChanges"] = Value::Null;
        for state in ["nonsense", "s999999", ""] {
            asked["sinceQueryState"] = json!(state);
            let error = alice.error_of("Email/queryChanges", asked.clone());
            assert_eq!(error, "cannotCalculateChanges", "{state}");
        }
    }
    let by_thread = json!({"collapseThreads": true});
    let query = alice.call("Email/query", by_thread);
    if query["canCalculateChanges"] == json!(false) {
        let asked = json!({"collapseThreads": true, "sinceQueryState": query["queryState"]});
        assert_eq!(
            alice.error_of("Email/queryChanges", asked),
            "cannotCalculateChanges"
        );
    }
}

const HEADERS: &str = "From: =?utf-8?q?J=C3=BCrgen?= <j@x.example>\nTo: Friends: a@x.example, \"B. C\" <b@x.example>;, d@x.example\n\
    Subject: =?utf-8?b?R3LDvMOfZQ==?=\n  folded\nMessage-ID: <1@x.example>\nReferences: <a@x.example>\n <b@x.example>\n\
    Date: Mon, 2 Feb 2026 10:00:00 +0100\nList-Post: <mailto:list@x.example>, <https://x.example/post>\n\
    X-Note: one\nX-Note: two\nX-Odd: =?utf-8?q?=?= \nDisposition: none\n\nx\n";

#[test]
fn every_form_of_a_header_field() {
    let server = Server::start();
    let mut alice = server.jmap("alice");
    let inbox = alice.mailbox("inbox");
    let id = alice.import(&message(HEADERS), &inbox);
    let address = |name: Value, email: &str| json!({"name": name, "email": email});
    let (a, b, d) = (
        address(Value::Null, "a@x.example"),
        address(json!("B. C"), "b@x.example"),
        address(Value::Null, "d@x.example"),
    );
    let rows = [
        (
            "header:Subject",
            json!(" =?utf-8?b?R3LDvMOfZQ==?=\r\n  folded"),
        ),
        (
            "header:Subject:asRaw",
            json!(" =?utf-8?b?R3LDvMOfZQ==?=\r\n  folded"),
        ),
        ("header:subject:asText", json!("Grüße  folded")),
        (
            "header:From:asAddresses",
            json!([address(json!("Jürgen"), "j@x.example")]),
        ),
        ("header:To:asAddresses", json!([a, b, d])),
        (
            "header:To:asGroupedAddresses",
            json!([{"name": "Friends", "addresses": [a, b]}, {"name": null, "addresses": [d]}]),
        ),
        ("header:Message-ID:asMessageIds", json!(["1@x.example"])),
        (
            "header:References:asMessageIds",
            json!(["a@x.example", "b@x.example"]),
        ),
        ("header:Date:asDate", json!("2026-02-02T10:00:00+01:00")),
        (
            "header:List-Post:asURLs",
            json!(["mailto:list@x.example", "https://x.example/post"]),
        ),
        ("header:X-Note", json!(" two")),
        ("header:X-Note:all", json!([" one", " two"])),
        ("header:X-Note:asText:all", json!(["one", "two"])),
        ("header:X-Nothing", Value::Null),
        ("header:X-Nothing:asText:all", json!([])),
        (
            "header:X-Note:asAddresses",
            json!([address(Value::Null, "two")]),
        ),
        ("header:X-Note:asDate", Value::Null),
        ("header:X-Note:asURLs", Value::Null),
    ];
    for (property, expected) in rows {
        let email = &alice.get_emails(std::slice::from_ref(&id), &[property])[0];
        assert_eq!(email.get(property), Some(&expected), "{property}");
    }
    let refused = [
        "header:",
        "header:Subject:asDate",
        "header:From:asText",
        "header:From:asURLs",
        "header:From:asMessageIds",
        "header:Date:asText",
        "header:Date:asAddresses",
        "header:Subject:asNothing",
        "header:Subject:all:asText",
        "header:Subject:all:all",
        "header:Sub ject",
        "header:Subject:asText:asText",
    ];
    for property in refused {
        let arguments = json!({"ids": [id], "properties": [property]});
        assert_eq!(
            alice.error_of("Email/get", arguments),
            "invalidArguments",
            "{property}"
        );
    }
}

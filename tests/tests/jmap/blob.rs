//! Blob/upload, Blob/get, Blob/lookup (RFC 9404) and Blob/copy (RFC 8620 §6.3).

use e2e::{Jmap, Server, jmap::string};
use serde_json::{Value, json};

use super::{inbox_of, mail, outcome, with_team};

const FOX: &str = "The quick brown fox jumped over the lazy dog.";

fn uploaded(jmap: &mut Jmap, data: Value) -> String {
    let response = jmap.call("Blob/upload", json!({"create": {"b": {"data": data}}}));
    assert_eq!(outcome(&response, "b"), "ok", "{response}");
    string(&response["created"]["b"]["id"])
}

fn get(jmap: &mut Jmap, id: &str, more: Value) -> Value {
    let mut arguments = json!({"ids": [id]});
    for (name, value) in more.as_object().into_iter().flatten() {
        arguments[name] = value.clone();
    }
    let response = jmap.call("Blob/get", arguments);
    assert_eq!(response["notFound"], json!([]));
    response["list"][0].clone()
}

/// RFC 9404 §4.1.2: sources of all kinds, and a blob of the same request.
#[test]
fn a_blob_is_made_of_parts_of_others() {
    let server = Server::start();
    let mut alice = server.jmap("alice");
    let account = alice.account.clone();
    let cat = json!([
        {"data:asText": "How"}, {"blobId": "#b4", "offset": 3, "length": 7}, {"data:asText": "was t"},
        {"blobId": "#b4", "offset": 1, "length": 1}, {"data:asBase64": "YXQ/"},
    ]);
    let responses = alice.request(json!([
        ["Blob/upload", {"accountId": account, "create": {"b4": {"data": [{"data:asText": FOX}], "type": "text/plain"}}}, "S4"],
        ["Blob/upload", {"accountId": account, "create": {"cat": {"data": cat}}}, "CAT"],
        ["Blob/get", {"accountId": account, "ids": ["#cat"], "properties": ["data:asText", "size"]}, "G4"],
    ]));
    let created = &responses[0][1]["created"]["b4"];
    assert_eq!(
        (&created["size"], &created["type"]),
        (&json!(45), &json!("text/plain"))
    );
    let found = &responses[2][1]["list"][0];
    assert_eq!(found["data:asText"], "How quick was that?", "{responses:?}");
    assert_eq!(found["size"], 19);
    assert_eq!(found["id"], responses[1][1]["created"]["cat"]["id"]);
    // It is a blob like any other.
    let id = string(&found["id"]);
    assert_eq!(alice.download(&id), b"How quick was that?");
    let empty = uploaded(&mut alice, json!([]));
    assert_eq!(alice.download(&empty), b"");
}

#[test]
fn uploads_that_are_refused() {
    let server = Server::start();
    let mut alice = server.jmap("alice");
    let id = uploaded(&mut alice, json!([{"data:asText": "abc"}]));
    let of_bob = server.jmap("bob").upload(b"secret of bob", "text/plain");
    let many = |count: usize| json!(vec![json!({"data:asText": "x"}); count]);
    let rows = [
        (many(64), "ok"),
        (many(65), "invalidProperties"),
        (json!([{"blobId": id, "offset": 1, "length": 2}]), "ok"),
        (
            json!([{"blobId": id, "offset": null, "length": null}]),
            "ok",
        ),
        (
            json!([{"blobId": id, "offset": 1, "length": 3}]),
            "invalidProperties",
        ),
        (json!([{"blobId": id, "offset": 4}]), "invalidProperties"),
        (json!([{"blobId": id, "offset": -1}]), "invalidProperties"),
        (json!([{"blobId": "nothing"}]), "blobNotFound"),
        (json!([{"blobId": of_bob}]), "blobNotFound"),
        (json!([{"data:asBase64": "%%%"}]), "invalidProperties"),
        (json!([{"data:asBase64": "eHg"}]), "invalidProperties"),
        (
            json!([{"data:asText": "x", "data:asBase64": "eHg="}]),
            "invalidProperties",
        ),
        (
            json!([{"data:asText": "x", "length": 1}]),
            "invalidProperties",
        ),
        (json!([{}]), "invalidProperties"),
        (json!(["x"]), "invalidProperties"),
        (json!("x"), "invalidProperties"),
    ];
    for (data, expected) in rows {
        let response = alice.call("Blob/upload", json!({"create": {"b": {"data": data}}}));
        assert_eq!(outcome(&response, "b"), expected, "{data} {response}");
    }
}

/// RFC 9404 §4.2: what octets are as text, and where there are fewer than were asked for.
#[test]
fn encoding_problems_and_truncation_are_told() {
    let server = Server::start();
    let mut alice = server.jmap("alice");
    let octets = b"The quick brown fox jumped over the \x81\x81 dog.";
    let id = alice.upload(octets, "text/plain");
    let base64 = "VGhlIHF1aWNrIGJyb3duIGZveCBqdW1wZWQgb3ZlciB0aGUggYEgZG9nLg==";
    let size = octets.len();
    let euro = alice.upload("a€".as_bytes(), "text/plain");
    let rows = [
        (
            &id,
            json!({}),
            json!({"data:asText": null, "data:asBase64": base64, "size": size, "isEncodingProblem": true}),
        ),
        (
            &id,
            json!({"properties": ["data:asText", "size"]}),
            json!({"data:asText": null, "size": size, "isEncodingProblem": true}),
        ),
        (
            &id,
            json!({"properties": ["data:asBase64"]}),
            json!({"data:asBase64": base64}),
        ),
        (&id, json!({"properties": ["size"]}), json!({"size": size})),
        (
            &id,
            json!({"offset": 0, "length": 5}),
            json!({"data:asText": "The q", "size": size}),
        ),
        (
            &id,
            json!({"offset": 39, "length": null}),
            json!({"data:asText": "dog.", "size": size}),
        ),
        (
            &id,
            json!({"offset": 39, "length": 4}),
            json!({"data:asText": "dog.", "size": size}),
        ),
        (
            &id,
            json!({"offset": 39, "length": 5}),
            json!({"data:asText": "dog.", "size": size, "isTruncated": true}),
        ),
        (
            &id,
            json!({"offset": 99}),
            json!({"data:asText": "", "size": size, "isTruncated": true}),
        ),
        (
            &id,
            json!({"offset": 35, "length": 100}),
            json!({"data:asText": null, "data:asBase64": "IIGBIGRvZy4=", "size": size, "isEncodingProblem": true, "isTruncated": true}),
        ),
        // The middle of a character is no text.
        (
            &euro,
            json!({"offset": 0, "length": 2}),
            json!({"data:asText": null, "data:asBase64": "YeI=", "size": 4, "isEncodingProblem": true}),
        ),
        (
            &euro,
            json!({"properties": ["digest:sha", "digest:sha-256"], "offset": 0, "length": 1}),
            json!({
            "digest:sha": "hvfkN/qlp/zhXR3cuerq6jd2Z7g=", "digest:sha-256": "ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs="}),
        ),
    ];
    for (id, arguments, mut expected) in rows {
        expected["id"] = json!(id);
        assert_eq!(
            get(&mut alice, id, arguments.clone()),
            expected,
            "{arguments}"
        );
    }
    for property in ["nonsense", "digest:md5", "digest:SHA-256", "data:asHex"] {
        let arguments = json!({"ids": [id], "properties": [property]});
        assert_eq!(
            alice.error_of("Blob/get", arguments),
            "invalidArguments",
            "{property}"
        );
    }
    let response = alice.call("Blob/get", json!({"ids": ["nothing", "#nothing"]}));
    assert_eq!(response["notFound"], json!(["nothing", "#nothing"]));
}

#[test]
fn a_lookup_finds_what_refers_to_a_blob() {
    let server = Server::start();
    let mut alice = server.jmap("alice");
    let id = mail(&mut alice, "looked up");
    let email = alice.get_emails(std::slice::from_ref(&id), &["blobId", "threadId"])[0].clone();
    let unused = alice.upload(b"unused", "text/plain");
    let of_bob = server.jmap("bob").upload(b"secret of bob", "text/plain");
    let types = ["Mailbox", "Thread", "Email"];
    let ids = json!([email["blobId"], unused, of_bob, "nothing"]);
    let found = alice.call("Blob/lookup", json!({"typeNames": types, "ids": ids}));
    let inbox = alice.mailbox("inbox");
    let matched = json!({"Mailbox": [inbox], "Thread": [email["threadId"]], "Email": [id]});
    let none = json!({"Mailbox": [], "Thread": [], "Email": []});
    let list =
        json!([{"id": email["blobId"], "matchedIds": matched}, {"id": unused, "matchedIds": none}]);
    assert_eq!(found["list"], list);
    assert_eq!(found["notFound"], json!([of_bob, "nothing"]));
    // §4.3: the capability that defines a type has to be used as well.
    let lookup =
        json!(["Blob/lookup", {"accountId": alice.account, "typeNames": types, "ids": []}, "0"]);
    for (mail_too, expected) in [(true, "Blob/lookup"), (false, "error")] {
        let mut using = vec!["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:blob"];
        if mail_too {
            using.push("urn:ietf:params:jmap:mail");
        }
        let request = json!({"using": using, "methodCalls": [lookup]}).to_string();
        let answer = alice.post_api(request.as_bytes()).json();
        assert_eq!(answer["methodResponses"][0][0], expected, "{answer}");
        if !mail_too {
            assert_eq!(answer["methodResponses"][0][1]["type"], "unknownDataType");
        }
    }
}

#[test]
fn blobs_are_copied_between_accounts() {
    let (server, mut alice, team) = with_team();
    let blob = alice.upload(b"for the team", "text/plain");
    let of_bob = server.jmap("bob").upload(b"secret of bob", "text/plain");
    let from = alice.account.clone();
    let copy =
        json!({"fromAccountId": from, "accountId": team, "blobIds": [blob, of_bob, "nothing"]});
    let copied = alice.call("Blob/copy", copy);
    let new = string(&copied["copied"][&blob]);
    assert_eq!(outcome(&copied, &of_bob), "notFound", "{copied}");
    assert_eq!(outcome(&copied, "nothing"), "notFound");
    let inbox = inbox_of(&mut alice, &team);
    let import =
        json!({"accountId": team, "emails": {"m": {"blobId": new, "mailboxIds": {&inbox: true}}}});
    let imported = alice.call("Email/import", import);
    // It is there now, though it is no message.
    assert_eq!(outcome(&imported, "m"), "invalidEmail", "{imported}");
    let missing = json!({"fromAccountId": "a999", "accountId": team, "blobIds": [blob]});
    assert_eq!(alice.error_of("Blob/copy", missing), "fromAccountNotFound");
    let missing = json!({"fromAccountId": from, "accountId": "a999", "blobIds": [blob]});
    assert_eq!(alice.error_of("Blob/copy", missing), "accountNotFound");
}

#[test]
fn the_session_tells_the_limits() {
    let server = Server::start();
    let alice = server.jmap("alice");
    let uri = "urn:ietf:params:jmap:blob";
    let account = &alice.session["accounts"][&alice.account]["accountCapabilities"][uri];
    assert_eq!(alice.session["capabilities"][uri], json!({}));
    assert_eq!(account["maxDataSources"], 64);
    assert_eq!(
        account["supportedTypeNames"],
        json!(["Mailbox", "Thread", "Email"])
    );
    assert_eq!(
        account["supportedDigestAlgorithms"],
        json!(["sha", "sha-256", "sha-512"])
    );
    assert!(account["maxSizeBlobSet"].is_u64());
}

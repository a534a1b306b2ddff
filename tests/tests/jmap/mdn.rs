//! Message disposition notifications (RFC 9007), from the message that asks for one to the one that arrives.

use e2e::{Jmap, Server, jmap::string};
use serde_json::{Value, json};

use super::{arrival, outcome};

const SUBJECT: &str = "World domination";

/// Bob writes to alice and asks for a notification (§3.2).
fn bob_asks(bob: &mut Jmap) {
    let drafts = bob.mailbox("drafts");
    let identity = string(&bob.call("Identity/get", json!({"ids": null}))["list"][0]["id"]);
    let email = json!({
        "mailboxIds": {drafts: true}, "from": [{"email": "bob@example.org", "name": "Bob"}], "to": [{"email": "alice@example.org"}],
        "header:Disposition-Notification-To:asText": "bob@example.org", "subject": SUBJECT,
        "textBody": [{"partId": "1"}], "bodyValues": {"1": {"value": "The plan."}},
    });
    let account = bob.account.clone();
    let responses = bob.request(json!([
        ["Email/set", {"accountId": account, "create": {"m": email}}, "0"],
        ["EmailSubmission/set", {"accountId": account, "create": {"s": {"identityId": identity, "emailId": "#m"}}}, "1"],
    ]));
    assert_eq!(outcome(&responses[1][1], "s"), "ok", "{responses:?}");
}

fn identity(jmap: &mut Jmap) -> String {
    string(&jmap.call("Identity/get", json!({"ids": null}))["list"][0]["id"])
}

fn mdn(email: &str) -> Value {
    json!({
        "forEmailId": email, "subject": "Read receipt for: World domination", "textBody": "It has been displayed.",
        "reportingUA": "joes-pc.cs.example.com; Foomail 97.1",
        "disposition": {"actionMode": "manual-action", "sendingMode": "mdn-sent-manually", "type": "displayed"},
        "extensionFields": {"EXTENSION-EXAMPLE": "example.com"},
    })
}

#[test]
fn a_notification_is_sent_arrives_and_is_parsed() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.jmap("alice"), server.jmap("bob"));
    let uri = "urn:ietf:params:jmap:mdn";
    assert_eq!(alice.session["capabilities"][uri], json!({}));
    assert_eq!(
        alice.session["accounts"][&alice.account]["accountCapabilities"][uri],
        json!({})
    );
    bob_asks(&mut bob);
    let email = arrival(&mut alice, SUBJECT);
    let (account, identity) = (alice.account.clone(), identity(&mut alice));
    let send = json!({"accountId": account, "identityId": identity, "send": {"k": mdn(&email)},
        "onSuccessUpdateEmail": {"#k": {"keywords/$mdnsent": true}}});
    let responses = alice.request(json!([["MDN/send", send, "0"]]));
    let told = &responses[0][1]["sent"]["k"];
    assert_eq!(
        told["finalRecipient"], "rfc822; alice@example.org",
        "{responses:?}"
    );
    assert_eq!(
        (&responses[1][0], &responses[1][2]),
        (&json!("Email/set"), &json!("0"))
    );
    assert_eq!(responses[1][1]["updated"], json!({&email: null}));
    assert_eq!(
        alice.get_emails(std::slice::from_ref(&email), &["keywords"])[0]["keywords"]["$mdnsent"],
        true
    );
    // Once.
    let again = alice.request(json!([["MDN/send", send, "0"]]));
    assert_eq!(outcome(&again[0][1], "k"), "mdnAlreadySent", "{again:?}");
    assert_eq!((again.len(), &again[0][1]["sent"]), (1, &Value::Null));

    let id = arrival(&mut bob, "Read receipt");
    let properties = [
        "blobId",
        "bodyStructure",
        "from",
        "to",
        "header:Auto-Submitted:asText",
        "header:Return-Path",
        "header:Disposition-Notification-To",
        "references",
    ];
    let report = bob.get_emails(&[id], &properties)[0].clone();
    let structure = &report["bodyStructure"];
    assert_eq!(structure["type"], "multipart/report");
    assert_eq!(structure["subParts"][0]["type"], "text/plain");
    assert_eq!(
        structure["subParts"][1]["type"],
        "message/disposition-notification"
    );
    assert_eq!(report["from"][0]["email"], "alice@example.org");
    assert_eq!(report["to"][0]["email"], "bob@example.org");
    assert_eq!(report["header:Auto-Submitted:asText"], "auto-replied");
    // RFC 8098 §3: the null reverse-path, and no notification about a notification.
    assert_eq!(report["header:Return-Path"], " <>");
    assert_eq!(report["header:Disposition-Notification-To"], Value::Null);
    assert_eq!(
        report["references"][0],
        told["originalMessageId"]
            .as_str()
            .unwrap_or_default()
            .trim_matches(['<', '>'])
    );
    let blob = string(&report["blobId"]);
    let text = bob.upload(b"Subject: no report\r\n\r\nx\r\n", "message/rfc822");
    let parsed = bob.call("MDN/parse", json!({"blobIds": [blob, text, "nothing"]}));
    assert_eq!(
        (&parsed["notParsable"], &parsed["notFound"]),
        (&json!([text]), &json!(["nothing"]))
    );
    let parsed = &parsed["parsed"][&blob];
    let mut expected = mdn(&email);
    expected["forEmailId"] = Value::Null;
    for (name, value) in expected.as_object().into_iter().flatten() {
        assert_eq!(parsed[name], *value, "{name}");
    }
    assert_eq!(parsed["originalMessageId"], told["originalMessageId"]);
    assert_eq!(parsed["finalRecipient"], "rfc822; alice@example.org");
}

#[test]
fn notifications_that_are_refused() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.jmap("alice"), server.jmap("bob"));
    bob_asks(&mut bob);
    let email = arrival(&mut alice, SUBJECT);
    let inbox = alice.mailbox("inbox");
    let silent = alice.import(
        b"From: bob@example.org\r\nSubject: silent\r\n\r\nx\r\n",
        &inbox,
    );
    let identity = identity(&mut alice);
    let marked = json!({"#k": {"keywords/$mdnsent": true}});
    let mut of_bob = mdn(&email);
    of_bob["finalRecipient"] = json!("rfc822; bob@example.org");
    let mut shouted = mdn(&email);
    shouted["disposition"]["type"] = json!("Displayed");
    let rows = [
        (mdn("e999"), &marked, "notFound"),
        (mdn(&silent), &marked, "notFound"),
        (of_bob, &marked, "forbiddenFrom"),
        (shouted, &marked, "invalidProperties"),
        (mdn(&email), &Value::Null, "invalidProperties"),
        (
            mdn(&email),
            &json!({"#k": {"keywords/$seen": true}}),
            "invalidProperties",
        ),
    ];
    for (mdn, patches, error) in rows {
        let send =
            json!({"identityId": identity, "send": {"k": mdn}, "onSuccessUpdateEmail": patches});
        let response = alice.call("MDN/send", send);
        assert_eq!(outcome(&response, "k"), error, "{mdn} {patches} {response}");
    }
    let none = json!({"identityId": "i999", "send": {"k": mdn(&email)}});
    assert_eq!(alice.error_of("MDN/send", none), "invalidArguments");
    let elsewhere = json!({"accountId": bob.account, "identityId": identity, "send": {}});
    assert_eq!(alice.error_of("MDN/send", elsewhere), "invalidArguments");
    let elsewhere = json!({"accountId": bob.account, "blobIds": []});
    assert_eq!(alice.error_of("MDN/parse", elsewhere), "invalidArguments");
    // RFC 9007 §2.1: it implies an Email/set, whose capability has to be used.
    let send =
        json!(["MDN/send", {"accountId": alice.account, "identityId": identity, "send": {}}, "0"]);
    let using = ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mdn"];
    let request = json!({"using": using, "methodCalls": [send]}).to_string();
    let answer = alice.post_api(request.as_bytes()).json();
    assert_eq!(
        answer["methodResponses"][0][1]["type"], "unknownMethod",
        "{answer}"
    );
    assert_eq!(
        alice.get_emails(&[email], &["keywords"])[0]["keywords"],
        json!({})
    );
    assert!(bob.query_all(json!({"subject": "receipt"})).is_empty());
}

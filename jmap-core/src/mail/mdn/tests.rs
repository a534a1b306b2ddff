use jmap_types::{
    Arguments, MethodError, MethodErrorKind, Value,
    mail::Email,
    mdn::{MdnParse, MdnSend},
    method::{Get, MethodCall},
};
use serde_json::{Value as Json, json};

use crate::{
    Caller, Handle,
    mail::{
        message::Summary,
        submission::tests::{Server, caller},
    },
};

const ORIGINAL: &str = "From: Bob <bob@example.org>\nTo: ann@example.org\nMessage-ID: <1@x.example>\n\
    Disposition-Notification-To: Bob <bob@example.org>\nOriginal-Recipient: rfc822;sales@example.org\n\
    Subject: hello\n\nHi\n";

fn displayed() -> Json {
    json!({"actionMode": "manual-action", "sendingMode": "mdn-sent-manually", "type": "displayed"})
}

/// An MDN about an email, with other properties on top.
fn mdn(email: &str, more: Json) -> Json {
    let mut mdn = json!({"forEmailId": email, "disposition": displayed()});
    for (name, value) in more.as_object().into_iter().flatten() {
        mdn[name] = value.clone();
    }
    mdn
}

async fn send(server: &Server, mdns: Json, patches: Json) -> Json {
    let identity = server.identity(&server.ann).await;
    let arguments = json!({"identityId": identity, "send": mdns, "onSuccessUpdateEmail": patches});
    server.call::<MdnSend>(&server.ann, arguments).await
}

/// One MDN with the patch that it needs.
async fn send_one(server: &Server, email: &str, more: Json) -> Json {
    let patches = json!({"#k": {"keywords/$mdnsent": true}});
    send(server, json!({"k": mdn(email, more)}), patches).await
}

async fn keywords(server: &Server, email: &str) -> Json {
    let arguments = json!({"ids": [email], "properties": ["keywords"]});
    let got = server.call::<Get<Email>>(&server.ann, arguments).await;
    got["list"][0]["keywords"].clone()
}

async fn error_of<C: MethodCall + Handle>(
    server: &Server,
    who: &Caller,
    arguments: Json,
) -> MethodErrorKind {
    let text: &'static str = arguments.to_string().leak();
    let map = Value::parse_json(text).unwrap().into_object().unwrap();
    let call = match C::from_arguments(Arguments::new(map)) {
        Ok(call) => call,
        Err(MethodError { kind, .. }) => return kind,
    };
    match server.core.call(who, call).await {
        Ok(_) => panic!("{} has no error: {arguments}", C::NAME),
        Err(error) => error.kind,
    }
}

#[tokio::test]
async fn who_asked_gets_a_report() {
    let server = Server::new().await;
    let email = server.draft(ORIGINAL).await;
    let given = json!({
        "subject": "Read: hello", "textBody": "It was read.\n", "includeOriginalMessage": true,
        "reportingUA": "pc.example.org; Mail 1", "extensionFields": {"X-Mood": "fine"},
    });
    let answer = send_one(&server, &email, given).await;
    // RFC 9007 §2.1: the properties that the client hasn't set.
    let told = json!({
        "finalRecipient": "rfc822; ann@example.org", "originalMessageId": "<1@x.example>",
        "originalRecipient": "rfc822;sales@example.org", "mdnGateway": null, "error": null,
    });
    assert_eq!(answer["sent"], json!({"k": told}), "{answer}");
    assert_eq!(answer["notSent"], Json::Null);
    assert_eq!(answer["implicit"][0][0], "Email/set");
    assert_eq!(answer["implicit"][0][1]["updated"], json!({&email: null}));
    assert_eq!(keywords(&server, &email).await["$mdnsent"], true);
    server.core.send_due().await.unwrap();
    let [message] = &server.inbox_messages(&server.bob).await[..] else {
        panic!("not one message");
    };
    let summary = Summary::parse(message);
    let types: Vec<&str> = summary.parts.iter().map(|part| &*part.media_type).collect();
    let parts = [
        "multipart/report",
        "text/plain",
        "message/disposition-notification",
        "message/rfc822",
    ];
    assert_eq!(types, parts);
    let text = String::from_utf8_lossy(message).into_owned();
    for line in [
        "Return-Path: <>",
        "From: <ann@example.org>",
        "To: \"Bob\" <bob@example.org>",
        "Subject: Read: hello",
        "Auto-Submitted: auto-replied",
        "References: <1@x.example>",
        "It was read.",
        "Reporting-UA: pc.example.org; Mail 1",
        "Original-Recipient: rfc822;sales@example.org",
        "Final-Recipient: rfc822; ann@example.org",
        "Original-Message-ID: <1@x.example>",
        "Disposition: manual-action/mdn-sent-manually; displayed",
        "X-Mood: fine",
    ] {
        assert!(
            text.contains(&format!("{line}\r\n")),
            "no {line:?} in {text}"
        );
    }
    let report_type = ["report-type", "disposition-notification"];
    let params: Vec<&str> = summary.parts[0].params.iter().map(String::as_str).collect();
    assert!(
        params.windows(2).any(|pair| pair == report_type),
        "{params:?}"
    );
}

#[tokio::test]
async fn what_is_left_out_has_a_default_that_is_told() {
    let server = Server::new().await;
    let email = server
        .draft("From: bob@example.org\nDisposition-Notification-To: bob@example.org\n\nHi\n")
        .await;
    let answer = send_one(
        &server,
        &email,
        json!({"finalRecipient": "ann+x@example.org"}),
    )
    .await;
    let told = &answer["sent"]["k"];
    assert_eq!(
        told["finalRecipient"], "rfc822; ann+x@example.org",
        "{answer}"
    );
    assert_eq!(told["subject"], "Message disposition notification");
    assert_eq!(told["includeOriginalMessage"], false);
    assert!(told["textBody"].is_string());
    for name in [
        "originalMessageId",
        "originalRecipient",
        "reportingUA",
        "extensionFields",
    ] {
        assert_eq!(told.get(name), Some(&Json::Null), "{name}");
    }
    assert_eq!(told.get("disposition"), None);
    server.core.send_due().await.unwrap();
    let text = String::from_utf8_lossy(&server.inbox_messages(&server.bob).await[0]).into_owned();
    assert!(
        !text.contains("Original-Message-ID") && !text.contains("References"),
        "{text}"
    );
}

#[tokio::test]
async fn refusals_send_nothing() {
    let server = Server::new().await;
    let marked = json!({"#k": {"keywords/$mdnsent": true}});
    let asks = server.draft(ORIGINAL).await;
    let silent = server
        .draft("From: bob@example.org\nSubject: x\n\nHi\n")
        .await;
    let garbled = server
        .draft("From: bob@example.org\nDisposition-Notification-To: nobody at all\n\nHi\n")
        .await;
    let many: Vec<String> = (0..17).map(|n| format!("a{n}@example.org")).collect();
    let many = format!(
        "From: bob@example.org\nDisposition-Notification-To: {}\n\nHi\n",
        many.join(", ")
    );
    let many = server.draft(&many).await;
    let report = "Disposition-Notification-To: bob@example.org\nContent-Type: multipart/report; boundary=b\n\n--b\n\nx\n--b\n\
        Content-Type: message/disposition-notification\n\nFinal-Recipient: rfc822;a@b.example\n\
        Disposition: manual-action/MDN-sent-manually; displayed\n\n--b--\n";
    let report = server.draft(report).await;
    let with = |more: Json| mdn(&asks, more);
    let without = |name: &str| {
        let mut mdn = with(json!({}));
        mdn.as_object_mut().unwrap().remove(name);
        mdn
    };
    let rows = [
        (mdn("e9999", json!({})), &marked, "notFound"),
        (mdn(&silent, json!({})), &marked, "notFound"),
        (mdn(&garbled, json!({})), &marked, "notFound"),
        (mdn(&report, json!({})), &marked, "notFound"),
        (mdn(&many, json!({})), &marked, "overQuota"),
        (
            with(json!({"finalRecipient": "rfc822; bob@example.org"})),
            &marked,
            "forbiddenFrom",
        ),
        (
            with(json!({"finalRecipient": "x400; ann@example.org"})),
            &marked,
            "invalidProperties",
        ),
        (without("forEmailId"), &marked, "invalidProperties"),
        (without("disposition"), &marked, "invalidProperties"),
        (
            with(json!({"forEmailId": null})),
            &marked,
            "invalidProperties",
        ),
        (
            with(json!({"disposition": {"actionMode": "manual-action"}})),
            &marked,
            "invalidProperties",
        ),
        (
            with(
                json!({"disposition": {"actionMode": "x", "sendingMode": "mdn-sent-manually", "type": "displayed"}}),
            ),
            &marked,
            "invalidProperties",
        ),
        (
            with(json!({"mdnGateway": "dns; x"})),
            &marked,
            "invalidProperties",
        ),
        (
            with(json!({"originalMessageId": "<2@x>"})),
            &marked,
            "invalidProperties",
        ),
        (
            with(json!({"includeOriginalMessage": 1})),
            &marked,
            "invalidProperties",
        ),
        (
            with(json!({"subject": "a\nX: b"})),
            &marked,
            "invalidProperties",
        ),
        (
            with(json!({"reportingUA": "a\r\nX: b"})),
            &marked,
            "invalidProperties",
        ),
        (
            with(json!({"extensionFields": {"Disposition": "x"}})),
            &marked,
            "invalidProperties",
        ),
        (with(json!({"other": 1})), &marked, "invalidProperties"),
        (with(json!({})), &json!({}), "invalidProperties"),
        (with(json!({})), &Json::Null, "invalidProperties"),
        (
            with(json!({})),
            &json!({"#k": {"keywords/$seen": true}}),
            "invalidProperties",
        ),
        (
            with(json!({})),
            &json!({"#k": {"keywords/$mdnsent": null}}),
            "invalidProperties",
        ),
        (
            with(json!({})),
            &json!({"#k": {"keywords/$mdnsent": true, "other": 1}}),
            "invalidProperties",
        ),
        (
            with(json!({})),
            &json!({"#k": {"keywords/$mdnsent": true, "mailboxIds/m99": true}}),
            "invalidProperties",
        ),
        (
            with(json!({})),
            &json!({"#other": {"keywords/$mdnsent": true}}),
            "invalidProperties",
        ),
    ];
    for (mdn, patches, kind) in rows {
        let answer = send(&server, json!({"k": &mdn}), patches.clone()).await;
        assert_eq!(
            answer["notSent"]["k"]["type"], kind,
            "{mdn} {patches} {answer}"
        );
        assert_eq!(
            (&answer["sent"], &answer["implicit"]),
            (&Json::Null, &json!([]))
        );
    }
    server.core.send_due().await.unwrap();
    assert_eq!(server.inbox(&server.bob).await, Vec::<String>::new());
    assert_eq!(keywords(&server, &asks).await.get("$mdnsent"), None);
    // As many as are allowed.
    let sixteen: Vec<String> = (0..16).map(|n| format!("bob+{n}@example.org")).collect();
    let sixteen = format!(
        "From: bob@example.org\nDisposition-Notification-To: {}\n\nHi\n",
        sixteen.join(", ")
    );
    let email = server.draft(&sixteen).await;
    let answer = send_one(&server, &email, json!({})).await;
    assert!(answer["sent"]["k"].is_object(), "{answer}");
}

#[tokio::test]
async fn an_email_is_answered_once() {
    let server = Server::new().await;
    let email = server.draft(ORIGINAL).await;
    let twice = json!({"a": mdn(&email, json!({})), "b": mdn(&email, json!({}))});
    let patches = json!({&email: {"keywords": {"$mdnsent": true}}});
    let (one, other) = tokio::join!(
        send(&server, twice.clone(), patches.clone()),
        send(&server, twice, patches)
    );
    let mut sent = 0;
    for answer in [one, other] {
        for name in ["a", "b"] {
            match answer["sent"][name].is_object() {
                true => sent += 1,
                false => assert_eq!(
                    answer["notSent"][name]["type"], "mdnAlreadySent",
                    "{answer}"
                ),
            }
        }
    }
    assert_eq!(sent, 1);
    server.core.send_due().await.unwrap();
    assert_eq!(
        server.inbox(&server.bob).await,
        ["Message disposition notification"]
    );
    let again = send_one(&server, &email, json!({})).await;
    assert_eq!(again["notSent"]["k"]["type"], "mdnAlreadySent", "{again}");
}

/// The sender of a message chooses its fields: they can't keep the recipient from answering.
#[tokio::test]
async fn fields_that_cannot_be_repeated_are_left_out() {
    let server = Server::new().await;
    let long = "x".repeat(950);
    let message = format!(
        "From: bob@example.org\nMessage-ID: <{long}@x.example>\nOriginal-Recipient: {long}\n\
         Disposition-Notification-To: bob@example.org\n\nHi\n"
    );
    let email = server.draft(&message).await;
    let answer = send_one(&server, &email, json!({})).await;
    let told = &answer["sent"]["k"];
    assert_eq!(told["originalMessageId"], Json::Null, "{answer}");
    assert_eq!(told["originalRecipient"], Json::Null, "{answer}");
    server.core.send_due().await.unwrap();
    assert_eq!(server.inbox(&server.bob).await.len(), 1);
}

#[tokio::test]
async fn accounts_and_identities_that_are_not_found_are_invalid_arguments() {
    let server = Server::new().await;
    let (ann, bob) = (
        server.ann.account.to_string(),
        server.bob.account.to_string(),
    );
    let identity = server.identity(&server.ann).await;
    let rows = [
        (&ann, "i9999"),
        (&bob, &*identity),
        (&"nonsense".to_owned(), &*identity),
    ];
    for (account, identity) in rows {
        let arguments = json!({"accountId": account, "identityId": identity, "send": {}});
        let kind = error_of::<MdnSend>(&server, &server.ann, arguments).await;
        assert_eq!(
            kind,
            MethodErrorKind::InvalidArguments,
            "{account} {identity}"
        );
    }
    for account in [bob, "nonsense".to_owned()] {
        let arguments = json!({"accountId": account, "blobIds": []});
        let kind = error_of::<MdnParse>(&server, &server.ann, arguments).await;
        assert_eq!(kind, MethodErrorKind::InvalidArguments, "{account}");
    }
    let stranger = caller(server.eve.account, "eve@example.org");
    let arguments = json!({"accountId": ann, "identityId": identity, "send": {}});
    let kind = error_of::<MdnSend>(&server, &stranger, arguments).await;
    assert_eq!(kind, MethodErrorKind::InvalidArguments);
}

//! What a client may ask for at most: as much is done, one more is refused, and nothing of it stays.

use jmap_types::{
    AccountId, MethodErrorKind, WireId,
    email::ParseResponse,
    mail::{Email, EmailGetArguments, Identity, Mailbox, VacationResponse},
    method::{Access, Get, Set},
    value::weight,
};
use serde_json::{Map, Value as Json, json};

use super::{
    super::{budget::Budget, get, parse, plan::Plan},
    Bench, OWNER, caller,
};
use crate::{
    Handle, Limits,
    mail::{
        identity::{ADDRESSES_MAX, EMAIL_OCTETS_MAX, NAME_OCTETS_MAX, SIGNATURE_OCTETS_MAX},
        vacation::{BODY_OCTETS_MAX, SUBJECT_OCTETS_MAX},
    },
};

async fn call<C: Handle>(bench: &Bench, mut arguments: Json) -> Json {
    arguments["accountId"] = json!("a1");
    bench
        .json::<C>(&caller(OWNER, &[]), &arguments.to_string())
        .await
}

/// An update with each value: `None` is done, or the type of the error.
async fn check_update<C: Handle>(bench: &Bench, id: &str, rows: Vec<(&str, Json, Option<&str>)>) {
    for (what, patch, error) in rows {
        let answer = call::<C>(bench, json!({"update": {id: patch}})).await;
        let refused = answer["notUpdated"][id]["type"].as_str();
        assert_eq!(refused, error, "{what}");
        let done = answer["updated"].get(id).is_some();
        assert_eq!(done, error.is_none(), "{what}: {answer}");
    }
}

const INVALID: Option<&str> = Some("invalidProperties");

fn text(octets: usize) -> Json {
    Json::String("x".repeat(octets))
}

fn many(count: usize, key: impl Fn(usize) -> String, value: Json) -> Json {
    Json::Object(
        (0..count)
            .map(|n| (key(n), value.clone()))
            .collect::<Map<_, _>>(),
    )
}

#[tokio::test]
async fn one_past_the_limits_of_a_mailbox() {
    let bench = Bench::new().await;
    let grants = |count| {
        let share = many(
            count,
            |n| format!("a{}", n + 10),
            json!({"mayReadItems": true}),
        );
        json!({"shareWith": share})
    };
    let order = |order: u64| json!({"sortOrder": order});
    let rows = vec![
        ("name", json!({"name": text(490)}), None),
        ("a longer name", json!({"name": text(491)}), INVALID),
        ("order", order((1 << 31) - 1), None),
        ("a greater order", order(1 << 31), INVALID),
        ("more grants", grants(1001), INVALID),
    ];
    check_update::<Set<Mailbox>>(&bench, "m4", rows).await;
}

#[tokio::test]
async fn one_past_the_number_and_depth_of_mailboxes() {
    let bench = Bench::with_limits(Limits {
        max_mailboxes: 9,
        max_mailbox_depth: 2,
        ..Limits::default()
    })
    .await;
    let create =
        |name: &str, parent: Json| json!({"create": {"k": {"name": name, "parentId": parent}}});
    let one = call::<Set<Mailbox>>(&bench, create("one", Json::Null)).await;
    let one = one["created"]["k"]["id"].clone();
    let two = call::<Set<Mailbox>>(&bench, create("two", one)).await;
    let two = two["created"]["k"]["id"].clone();
    assert!(two.is_string());
    let three = call::<Set<Mailbox>>(&bench, create("three", two)).await;
    assert_eq!(
        three["notCreated"]["k"]["type"], "invalidProperties",
        "{three}"
    );
    let ninth = call::<Set<Mailbox>>(&bench, create("ninth", Json::Null)).await;
    assert!(ninth["created"]["k"].is_object(), "{ninth}");
    let tenth = call::<Set<Mailbox>>(&bench, create("tenth", Json::Null)).await;
    assert_eq!(tenth["notCreated"]["k"]["type"], "overQuota", "{tenth}");
}

#[tokio::test]
async fn one_past_the_limits_of_an_email() {
    let bench = Bench::with_limits(Limits {
        max_mailboxes_per_email: 2,
        ..Limits::default()
    })
    .await;
    bench.deliver("Subject: x\r\n\r\nx").await;
    let keywords = |count| json!({"keywords": many(count, |n| format!("k{n}"), json!(true))});
    let keyword = |octets: usize| json!({"keywords": {"k".repeat(octets): true}});
    let paths = |count| {
        many(
            count,
            |n| format!("keywords/k{}", n % 7 + n / 7 * 7),
            Json::Null,
        )
    };
    let rows = vec![
        ("keywords", keywords(100), None),
        ("more keywords", keywords(101), Some("tooManyKeywords")),
        ("keyword", keyword(255), None),
        ("a longer keyword", keyword(256), INVALID),
        (
            "mailboxes",
            json!({"mailboxIds": {"m1": true, "m2": true}}),
            None,
        ),
        (
            "more mailboxes",
            json!({"mailboxIds": {"m1": true, "m2": true, "m3": true}}),
            Some("tooManyMailboxes"),
        ),
        ("paths", paths(1000), None),
        ("more paths", paths(1001), Some("tooLarge")),
    ];
    check_update::<Set<Email>>(&bench, "e7", rows).await;
}

#[tokio::test]
async fn one_past_the_limits_of_an_identity() {
    let bench = Bench::new().await;
    let got = call::<Get<Identity>>(&bench, json!({"ids": null})).await;
    let Some(id) = got["list"][0]["id"].as_str() else {
        // Without addresses of its own the account has no identity; the limits are those of reading.
        return check_identity_create(&bench).await;
    };
    check_update::<Set<Identity>>(&bench, id, identity_rows()).await;
}

fn identity_rows() -> Vec<(&'static str, Json, Option<&'static str>)> {
    let addresses =
        |count: usize| json!({"bcc": vec![json!({"name": null, "email": "b@example.org"}); count]});
    let name = |octets| json!({"bcc": [{"name": text(octets), "email": "b@example.org"}]});
    let email = |octets| json!({"bcc": [{"name": null, "email": text(octets)}]});
    vec![
        (
            "a longer name",
            json!({"name": text(NAME_OCTETS_MAX + 1)}),
            INVALID,
        ),
        (
            "a longer signature",
            json!({"textSignature": text(SIGNATURE_OCTETS_MAX + 1)}),
            INVALID,
        ),
        ("more addresses", addresses(ADDRESSES_MAX + 1), INVALID),
        (
            "a longer name of an address",
            name(NAME_OCTETS_MAX + 1),
            INVALID,
        ),
        ("a longer address", email(EMAIL_OCTETS_MAX + 1), INVALID),
    ]
}

async fn check_identity_create(bench: &Bench) {
    for (what, mut properties, error) in identity_rows() {
        properties["email"] = json!("ann@example.com");
        let answer = call::<Set<Identity>>(bench, json!({"create": {"k": properties}})).await;
        let refused = answer["notCreated"]["k"]["type"].as_str();
        assert_eq!(refused, error, "{what}: {answer}");
    }
}

#[tokio::test]
async fn one_past_the_limits_of_a_vacation_response() {
    let bench = Bench::new().await;
    let rows = vec![
        (
            "subject",
            json!({"subject": text(SUBJECT_OCTETS_MAX)}),
            None,
        ),
        (
            "a longer subject",
            json!({"subject": text(SUBJECT_OCTETS_MAX + 1)}),
            INVALID,
        ),
        ("body", json!({"textBody": text(BODY_OCTETS_MAX)}), None),
        (
            "a longer body",
            json!({"htmlBody": text(BODY_OCTETS_MAX + 1)}),
            INVALID,
        ),
    ];
    check_update::<Set<VacationResponse>>(&bench, "singleton", rows).await;
}

/// Some emails with such properties, as Email/get and as Email/parse: with room for them, and with half of it.
async fn check_budget(what: &str, names: &[&str], part_names: Option<&[&str]>) {
    const EMAILS: usize = 4;
    let bench = Bench::new().await;
    let field = format!("X-Long: {}\r\n", "long ".repeat(2000));
    let part = format!(
        "{field}Content-Type: text/plain\r\n\r\n{}",
        "x".repeat(10_000)
    );
    let message = format!(
        "{field}Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n{part}\r\n--b--\r\n"
    );
    let (mut ids, mut blobs) = (Vec::new(), Vec::new());
    for number in 0..EMAILS {
        let message = format!("Subject: {number}\r\n{message}");
        blobs.push(WireId::parse(&bench.upload(message.clone()).await.to_string()).unwrap());
        ids.push(bench.deliver(message).await);
    }
    let arguments = EmailGetArguments {
        fetch_all_body_values: true,
        body_properties: part_names.map(|names| names.iter().map(|n| (*n).to_owned()).collect()),
        ..EmailGetArguments::default()
    };
    let plan = Plan::new(names.iter().copied(), &arguments).unwrap();
    let account = Some(AccountId::new(OWNER));
    let who = caller(OWNER, &[]);
    let context = bench.core.context(&who, account, Access::Read).unwrap();
    let got = async |octets| get::fetch(&context, &ids, &plan, &Budget::new(octets)).await;
    let parsed = async |octets| {
        let mut response = ParseResponse {
            account_id: AccountId::new(OWNER),
            parsed: Vec::new(),
            not_parsable: Vec::new(),
            not_found: Vec::new(),
        };
        let budget = Budget::new(octets);
        let blobs = blobs.clone();
        let parsed = parse::parse_all(&context, &plan, &budget, blobs, &mut response).await;
        parsed.map(|()| response)
    };
    let emails = got(usize::MAX).await.unwrap();
    let octets = emails.iter().flatten().map(weight).sum::<usize>();
    assert!(octets > EMAILS * 10_000, "{what}: {octets}");
    assert_eq!(got(2 * octets).await.unwrap().len(), EMAILS, "{what}");
    let refused = got(octets / 2).await.unwrap_err();
    assert_eq!(refused.kind, MethodErrorKind::RequestTooLarge, "{what}");
    let emails = parsed(usize::MAX).await.unwrap().parsed;
    let octets = emails.iter().map(|(_, email)| weight(email)).sum::<usize>();
    assert!(octets > EMAILS * 10_000, "{what}, parsed: {octets}");
    assert_eq!(
        parsed(2 * octets).await.unwrap().parsed.len(),
        EMAILS,
        "{what}"
    );
    let refused = parsed(octets / 2).await.unwrap_err();
    assert_eq!(refused.kind, MethodErrorKind::RequestTooLarge, "{what}");
}

#[tokio::test]
async fn what_one_answer_may_take_is_counted_in_all_that_it_is_made_of() {
    check_budget("body values", &["bodyValues"], None).await;
    check_budget("a header field", &["header:X-Long"], None).await;
    check_budget("all of a name", &["header:X-Long:asText:all"], None).await;
    check_budget("the header", &["headers"], None).await;
    for list in ["bodyStructure", "textBody"] {
        check_budget(list, &[list], Some(&["header:X-Long"])).await;
        check_budget(list, &[list], Some(&["headers"])).await;
    }
}

#[tokio::test]
async fn names_are_counted_as_well() {
    let bench = Bench::new().await;
    let id = bench.deliver("Subject: a\r\n\r\nx").await;
    let names: Vec<String> = (0..100)
        .map(|n| format!("header:{}{n}", "x".repeat(250)))
        .collect();
    let arguments = EmailGetArguments::default();
    let plan = Plan::new(names.iter().map(String::as_str), &arguments).unwrap();
    let (who, account) = (caller(OWNER, &[]), Some(AccountId::new(OWNER)));
    let context = bench.core.context(&who, account, Access::Read).unwrap();
    let budget = Budget::new(20_000);
    let refused = get::fetch(&context, &[id], &plan, &budget).await;
    assert_eq!(refused.unwrap_err().kind, MethodErrorKind::RequestTooLarge);
}

#[tokio::test]
async fn a_field_is_given_once_however_its_name_is_written() {
    let bench = Bench::new().await;
    let id = bench.deliver("X-Aaa: once\r\n\r\nx").await;
    let id = jmap_types::mail::EmailId::new(id).to_string();
    let names = [
        "header:X-Aaa",
        "header:x-aaA",
        "header:X-Aaa:asText",
        "header:X-AAA",
    ];
    let answer = call::<Get<Email>>(&bench, json!({"ids": [id], "properties": names})).await;
    let given = answer["list"][0].as_object().unwrap();
    let given: Vec<&str> = given.keys().map(String::as_str).collect();
    assert_eq!(given, ["header:X-Aaa", "header:X-Aaa:asText", "id"]);
    let parts = call::<Get<Email>>(
        &bench,
        json!({"ids": [id], "properties": ["textBody"], "bodyProperties": names}),
    );
    let given = parts.await["list"][0]["textBody"][0].clone();
    assert_eq!(given.as_object().unwrap().len(), 2, "{given}");
}

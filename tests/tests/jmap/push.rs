//! PushSubscription (RFC 8620 §7.2). The server pushes to public hosts alone, so what is pushed is tested over a
//! transport in the core and in the binary's own tests; here is what clients may do with subscriptions.

use std::time::{SystemTime, UNIX_EPOCH};

use e2e::{Home, Jmap, Server, jmap::string};
use serde_json::{Value, json};

use super::outcome;

fn set(jmap: &mut Jmap, arguments: Value) -> Value {
    jmap.request(json!([["PushSubscription/set", arguments, "0"]]))[0][1].clone()
}

fn get(jmap: &mut Jmap, arguments: Value) -> Value {
    jmap.request(json!([["PushSubscription/get", arguments, "0"]]))[0][1].clone()
}

fn subscription(url: &str) -> Value {
    json!({"deviceClientId": "device", "url": url, "types": ["Email"]})
}

#[test]
fn subscriptions_that_are_refused() {
    let server = Server::start();
    let mut alice = server.jmap("alice");
    let good = "https://push.invalid.example.com/x";
    let with = |name: &str, value: Value| {
        let mut subscription = subscription(good);
        subscription[name] = value;
        subscription
    };
    let rows = [
        (subscription(good), "ok"),
        (
            subscription("http://push.example.com/x"),
            "invalidProperties",
        ),
        (subscription("https://127.0.0.1/x"), "invalidProperties"),
        (subscription("https://[::1]/x"), "invalidProperties"),
        (subscription("https://localhost/x"), "invalidProperties"),
        (subscription("https://10.0.0.1/x"), "invalidProperties"),
        (
            subscription("https://169.254.169.254/latest"),
            "invalidProperties",
        ),
        (
            subscription("https://[::ffff:127.0.0.1]/x"),
            "invalidProperties",
        ),
        (
            subscription("https://user:pw@push.example.com/"),
            "invalidProperties",
        ),
        (subscription("nonsense"), "invalidProperties"),
        (with("url", Value::Null), "invalidProperties"),
        (with("deviceClientId", json!("")), "invalidProperties"),
        (
            with("deviceClientId", json!("x".repeat(513))),
            "invalidProperties",
        ),
        (
            with("expires", json!("2001-01-01T00:00:00Z")),
            "invalidProperties",
        ),
        (
            with("verificationCode", json!("guess")),
            "invalidProperties",
        ),
        (
            with("keys", json!({"p256dh": "x", "auth": "y"})),
            "invalidProperties",
        ),
        (with("types", json!("Email")), "invalidProperties"),
        (with("other", json!(1)), "invalidProperties"),
    ];
    for (create, expected) in rows {
        let response = set(&mut alice, json!({"create": {"s": create}}));
        assert_eq!(outcome(&response, "s"), expected, "{create} {response}");
    }
    // RFC 8620 §7.2.1: they belong to no account.
    let account = alice.account.clone();
    let response = get(&mut alice, json!({"accountId": account, "ids": null}));
    assert_eq!(response["type"], "invalidArguments", "{response}");
}

#[test]
fn a_subscription_belongs_to_the_credential_that_made_it() {
    let home = Home::with_people();
    let issued = home.cli(
        &["--json", "credential", "app-password", "alice@example.org"],
        "",
    );
    let issued: Value = serde_json::from_str(&issued).expect("no JSON");
    let secret = issued.as_object().and_then(|issued| {
        issued
            .values()
            .filter_map(Value::as_str)
            .max_by_key(|text| text.len())
    });
    let secret = secret.expect("no app password").to_owned();
    let server = Server::start_in(home);
    let mut alice = server.jmap("alice");
    let mut phone = Jmap::login(server.home.http, "alice@example.org", &secret);
    let created = set(
        &mut alice,
        json!({"create": {"s": subscription("https://push.example.com/x")}}),
    );
    let id = string(&created["created"]["s"]["id"]);
    assert_eq!(created["created"]["s"]["keys"], Value::Null);
    let expires = string(&created["created"]["s"]["expires"]);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("no clock")
        .as_secs();
    assert!(
        expires.len() == 20 && expires.ends_with('Z'),
        "{expires} at {now}"
    );

    let list = get(&mut alice, json!({"ids": null}))["list"].clone();
    assert_eq!(list[0]["id"], json!(id));
    // RFC 8620 §7.2.1: url and keys are not returned, and the code only once it was proved.
    assert_eq!((list[0].get("url"), list[0].get("keys")), (None, None));
    assert_eq!(list[0]["verificationCode"], Value::Null);
    for property in ["url", "keys"] {
        let response = get(&mut alice, json!({"ids": [id], "properties": [property]}));
        assert_eq!(response["type"], "forbidden", "{property}");
    }
    assert_eq!(get(&mut phone, json!({"ids": null}))["list"], json!([]));
    assert_eq!(
        get(&mut phone, json!({"ids": [id]}))["notFound"],
        json!([id])
    );
    let rows = [
        (true, json!({"update": {&id: {"types": null}}}), "notFound"),
        (true, json!({"destroy": [id]}), "notFound"),
        (
            false,
            json!({"update": {&id: {"verificationCode": "guess"}}}),
            "invalidProperties",
        ),
        (
            false,
            json!({"update": {&id: {"url": "https://push.example.com/y"}}}),
            "invalidProperties",
        ),
        (
            false,
            json!({"update": {&id: {"deviceClientId": "other"}}}),
            "invalidProperties",
        ),
        (
            false,
            json!({"update": {&id: {"expires": "2001-01-01T00:00:00Z"}}}),
            "invalidProperties",
        ),
        (
            false,
            json!({"update": {&id: {"types": ["Mailbox"]}}}),
            "ok",
        ),
        (
            false,
            json!({"update": {&id: {}}, "destroy": [id]}),
            "willDestroy",
        ),
        (false, json!({"destroy": [id]}), "notFound"),
    ];
    for (from_phone, arguments, expected) in rows {
        let who = if from_phone { &mut phone } else { &mut alice };
        let response = set(who, arguments.clone());
        assert_eq!(outcome(&response, &id), expected, "{arguments} {response}");
    }
}

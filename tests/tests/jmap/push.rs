//! PushSubscription (RFC 8620 §7.2): what clients may do with subscriptions, and what a push service gets.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use e2e::{Home, Jmap, Server, corpus::message, jmap::string};
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

/// How long a push may take.
const PUSH_WAIT: Duration = Duration::from_secs(20);

/// A push service with a client behind it, written by others but for the few lines that put them together.
struct PushService {
    child: Child,
    lines: mpsc::Receiver<Value>,
    /// Its address and the client's keys.
    about: Value,
}

impl PushService {
    fn start() -> PushService {
        let python = std::env::var_os("POSTHORN_PYTHON").expect(
            "POSTHORN_PYTHON has to name a python with http-ece; `cargo xtask test` makes one",
        );
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/push_service.py");
        let mut command = Command::new(python);
        command.arg(script).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python can't be run");
        let out = child.stdout.take().expect("no output");
        let (send, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line).expect("no JSON");
                if send.send(value).is_err() {
                    return;
                }
            }
        });
        let about = lines.recv_timeout(PUSH_WAIT).expect("no push service");
        PushService {
            child,
            lines,
            about,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.about["port"])
    }

    fn next(&self) -> Value {
        self.lines.recv_timeout(PUSH_WAIT).expect("no push came")
    }
}

impl Drop for PushService {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_device_is_pushed_to_once_it_has_proved_itself() {
    let home = Home::with_people().set("push", "private-services = true");
    let server = Server::start_in(home);
    let service = PushService::start();
    let mut alice = server.jmap("alice");
    let device = json!({
        "deviceClientId": "device",
        "url": service.url("/device"),
        "types": ["Email"],
        "keys": {"p256dh": service.about["p256dh"], "auth": service.about["auth"]},
    });
    let created = set(&mut alice, json!({"create": {"s": device}}));
    let id = string(&created["created"]["s"]["id"]);

    // RFC 8620 §7.2.2
    let push = service.next();
    assert_eq!(push["path"], "/device");
    assert_eq!(push["headers"]["content-encoding"], "aes128gcm");
    assert!(push["headers"]["ttl"].is_string(), "{push}");
    assert_eq!(push["body"]["@type"], "PushVerification");
    assert_eq!(push["body"]["pushSubscriptionId"], json!(id));
    // RFC 9749: the key is the one that the session names.
    let key = &alice.session["capabilities"]["urn:ietf:params:jmap:webpush-vapid"]["applicationServerKey"];
    assert_eq!(push["vapid"]["key"], *key, "{push}");
    assert_eq!(push["vapid"]["scheme"], "vapid");
    let audience = service.url("");
    assert_eq!(push["vapid"]["claims"]["aud"], json!(audience));

    // Nothing is pushed before the code has come back.
    let code = string(&push["body"]["verificationCode"]);
    let mail = message("1@push.example", "before", "text");
    let sent = server
        .lmtp()
        .send("a@example.net", "alice@example.org", &mail);
    assert_eq!(sent.expect("no reply").code, 250);
    let early = service.lines.recv_timeout(Duration::from_secs(2));
    assert!(
        early.is_err(),
        "pushed to who has not proved itself: {early:?}"
    );
    let proved = set(
        &mut alice,
        json!({"update": {&id: {"verificationCode": code}}}),
    );
    assert_eq!(outcome(&proved, &id), "ok", "{proved}");

    let mail = message("2@push.example", "after", "text");
    let sent = server
        .lmtp()
        .send("a@example.net", "alice@example.org", &mail);
    assert_eq!(sent.expect("no reply").code, 250);
    let push = service.next();
    assert_eq!(push["body"]["@type"], "StateChange", "{push}");
    let changed = push["body"]["changed"].as_object().expect("no accounts");
    let (account, types) = changed.iter().next().expect("no account");
    assert_eq!(*account, alice.account);
    let names: Vec<&String> = types.as_object().expect("no types").keys().collect();
    assert_eq!(names, ["Email"], "only what was asked for");
    let got = alice.request(json!([["Email/get", {"accountId": account, "ids": []}, "0"]]));
    assert_eq!(got[0][1]["state"], types["Email"]);
    assert!(push["vapid"].is_object(), "{push}");
}

//! Webhooks: a receiver of its own, over real TLS, that fails first; a server that is killed in between.

use aws_lc_rs::hmac;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use e2e::{
    Server,
    corpus::message,
    receiver::{Received, Receiver},
};
use serde_json::{Value, json};

use crate::client::{Api, problem, staffed, staffed_home};

/// A server that trusts a receiver of the same machine.
fn trusting(receiver: &Receiver) -> Server {
    let home = staffed_home();
    let authority = home.path().join("receiver.pem");
    std::fs::write(&authority, &receiver.certificate_pem).expect("not written");
    let home = home
        .with_variable("SSL_CERT_FILE", authority)
        .set("webhooks", "private-services = true");
    Server::start_in(home)
}

fn is_of(kind: &'static str) -> impl Fn(&Received) -> bool {
    move |received| received.json()["type"] == kind
}

/// As a receiver checks it, by the specification.
fn check_signature(secret: &str, received: &Received) {
    let key = secret.strip_prefix("whsec_").expect("a secret");
    let key = BASE64_STANDARD.decode(key).expect("base64");
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let (id, time) = (
        received.header("webhook-id"),
        received.header("webhook-timestamp"),
    );
    let signed = [format!("{id}.{time}.").as_bytes(), &received.body].concat();
    let tag = received.header("webhook-signature").strip_prefix("v1,");
    let tag = BASE64_STANDARD
        .decode(tag.expect("a version"))
        .expect("base64");
    hmac::verify(&key, &signed, &tag).expect("the signature is wrong");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let age = now
        .expect("a time")
        .as_secs()
        .abs_diff(time.parse().expect("seconds"));
    assert!(age < 300, "{age}");
}

fn deliver(server: &Server, id: &str) {
    let octets = message(&format!("{id}@example.net"), "A subject", "A plover.");
    let reply = server
        .lmtp()
        .send("carol@example.net", "alice@example.org", &octets);
    assert!(reply.expect("no answer").is_ok());
}

#[test]
fn an_event_arrives_though_the_receiver_fails_and_the_server_is_killed() {
    let receiver = Receiver::start();
    let mut server = trusting(&receiver);
    let mut root = Api::new(&server, "root");
    let made = root.made(
        "/webhooks",
        json!({"url": receiver.url(), "events": ["message.received"]}),
    );
    let secret = made["secret"].as_str().expect("a secret").to_owned();
    let number = made["webhook"]["number"].as_u64().expect("a number");
    receiver.answer_with(&[503]);
    deliver(&server, "one");
    let first = receiver.wait_for(1, is_of("message.received")).remove(0);
    check_signature(&secret, &first);
    assert_eq!(first.line, "POST /hook?a=b HTTP/1.1");
    let body = first.json();
    assert_eq!(body["data"]["messageId"], "one@example.net");
    assert_eq!(body["data"]["mailFrom"], "carol@example.net");
    assert_eq!(body["data"]["recipients"], json!(["alice@example.org"]));
    assert!(!body.to_string().contains("plover") && !body.to_string().contains("subject"));
    let shown = |root: &mut Api| root.shown(&format!("/webhooks/{number}"));
    for _ in 0..100 {
        if shown(&mut root)["failingSince"].is_string() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(shown(&mut root)["waiting"], 1);
    assert!(shown(&mut root)["failingSince"].is_string());
    server.kill();
    server.restart();
    let both = receiver.wait_for(2, is_of("message.received"));
    assert_eq!(both[1].header("webhook-id"), first.header("webhook-id"));
    assert_eq!(both[1].body, first.body);
    check_signature(&secret, &both[1]);
    let mut root = Api::new(&server, "root");
    let path = format!("/webhooks/{number}/deliveries");
    for _ in 0..100 {
        if root.all(&path)[0]["delivered"] == true {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let deliveries = root.all(&path);
    assert_eq!(deliveries.len(), 1, "{deliveries:?}");
    assert_eq!(deliveries[0]["id"], first.header("webhook-id"));
    assert_eq!(deliveries[0]["attempts"], 2);
    assert_eq!(deliveries[0]["delivered"], true);
    assert_eq!(shown(&mut root)["failingSince"], Value::Null);
    assert_eq!(shown(&mut root)["waiting"], 0);
    // What was told arrives once more at the most where nothing fails.
    deliver(&server, "two");
    receiver.wait_for(3, is_of("message.received"));
    server.stop();
    server.home.check();
}

#[test]
fn what_administrators_and_strangers_do_is_told() {
    let receiver = Receiver::start();
    let server = trusting(&receiver);
    let url = receiver.url();
    let listed = server.home.cli(
        &["webhook", "add", &url, "--description", "for the test"],
        "",
    );
    assert!(listed.contains("whsec_"), "{listed}");
    let number = listed
        .split_whitespace()
        .next()
        .expect("a number")
        .to_owned();
    let answer = server.home.cli(&["webhook", "test", &number], "");
    assert_eq!(answer.trim(), "it has answered with 200");
    receiver.wait_for(1, is_of("webhook.test"));
    let mut root = Api::new(&server, "root");
    let id = root.made("/accounts", json!({"name": "new@example.org"}))["id"].clone();
    let id = id.as_str().expect("an id");
    let created = receiver
        .wait_for(1, is_of("account.created"))
        .remove(0)
        .json();
    assert_eq!(created["data"]["name"], "new@example.org");
    assert_eq!(created["data"]["by"], "root");
    assert_eq!(
        root.patch(&format!("/accounts/{id}"), json!({"description": "x"}))
            .status,
        200
    );
    let changed = receiver
        .wait_for(1, is_of("account.changed"))
        .remove(0)
        .json();
    assert_eq!(changed["data"]["fields"], json!(["description"]));
    assert_eq!(root.delete(&format!("/accounts/{id}")).status, 204);
    receiver.wait_for(1, is_of("account.removed"));
    let mut wrong = Api::with(&server, "alice@example.org", "not this one");
    assert_eq!(wrong.get("/me").status, 401);
    let failed = receiver.wait_for(1, is_of("login.failed")).remove(0).json();
    assert_eq!(failed["data"]["login"], "alice@example.org");
    assert_eq!(failed["data"]["protocol"], "admin");
    assert!(!failed.to_string().contains("not this one"));
    let events = server.home.cli(&["webhook", "events"], "");
    for name in [
        "message.bounced",
        "backup.failed",
        "certificate.renewed",
        "alert.raised",
        "ban.lifted",
    ] {
        assert!(events.contains(name), "{events}");
    }
    let deliveries = server.home.cli(&["webhook", "deliveries", &number], "");
    assert!(deliveries.contains("login.failed"), "{deliveries}");
    server.home.cli(
        &["webhook", "change", &number, "--event", "backup.done"],
        "",
    );
    assert!(
        server
            .home
            .cli(&["webhook", "list"], "")
            .contains("of backup.done")
    );
    server.home.cli(&["webhook", "remove", &number], "");
    assert!(!server.home.cli(&["webhook", "list"], "").contains(&number));
    // Secrets are in no log and no audit.
    let rows = server.home.cli(&["audit", "--limit", "1000"], "");
    assert!(
        rows.contains("webhook.change") && !rows.contains("whsec_"),
        "{rows}"
    );
    assert!(!server.log().contains("whsec_"));
    server.home.check();
}

#[test]
fn a_webhook_goes_to_the_internet_alone() {
    let server = staffed();
    let mut root = Api::new(&server, "root");
    for url in [
        "http://hooks.far.example/",
        "https://127.0.0.1/",
        "https://[::1]:8443/",
        "https://localhost/",
        "https://a:b@hooks.far.example/",
        "https://10.0.0.1/x",
        "gopher://far.example/",
    ] {
        let answer = root.post("/webhooks", json!({"url": url}));
        assert_eq!(problem(&answer), "invalid-value", "{url}");
    }
    for (body, name) in [
        (
            json!({"url": "https://far.example/", "secret": "short"}),
            "invalid-value",
        ),
        (
            json!({"url": "https://far.example/", "events": ["no.such"]}),
            "invalid-value",
        ),
        (json!({"events": []}), "invalid-request"),
    ] {
        assert_eq!(problem(&root.post("/webhooks", body)), name);
    }
    // The same request makes one, and its secret is told once.
    let body = || Some(json!({"url": "https://far.example/"}));
    let once = [("Idempotency-Key", "k1")];
    let first = root.ask("POST", "/webhooks", &once, body());
    let again = root.ask("POST", "/webhooks", &once, body());
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(
        first.json()["webhook"]["number"],
        again.json()["webhook"]["number"]
    );
    assert_eq!(again.json()["secret"], Value::Null);
    let place = first.header("location").expect("a place").to_owned();
    let below = place.strip_prefix("/api/v1").expect("below the base");
    let tag = root.get(below).header("etag").expect("a tag").to_owned();
    let off = || Some(json!({"disabled": true}));
    assert_eq!(
        root.ask("PATCH", below, &[("If-Match", &tag)], off())
            .status,
        200
    );
    let late = root.ask("PATCH", below, &[("If-Match", &tag)], off());
    assert_eq!(problem(&late), "changed");
    assert_eq!(root.delete(below).status, 204);
    assert_eq!(problem(&root.get(below)), "not-found");
}

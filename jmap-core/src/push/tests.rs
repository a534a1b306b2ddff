use std::{collections::VecDeque, time::Duration};

use async_trait::async_trait;
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jmap_types::{
    Arguments, DataType, MethodError, Value,
    method::MethodResponse,
    push::{PushSubscriptionGet, PushSubscriptionSet},
    value::Map,
};
use serde_json::{Value as Json, json};
use store::{
    Change, Record,
    engine::MemoryEngine,
    log::ChangeKind,
    search::{SearchIndex, SearchOptions},
};

use super::{
    record::{KeysRecord, PushSubscriptionRecord},
    worker::{Housekeeping, Told},
    *,
};
use crate::{
    Caller, Handle, Limits, Parts,
    auth::Secret,
    clock::{TestClock, UtcMillis},
    directory::{NewAccount, records::PASSWORD},
    push::crypto::{message, vapid},
    rng::SeededRng,
};

/// 2026-01-01T00:00:00Z
const NOW: UtcMillis = UtcMillis(1_767_225_600_000);
const ORIGIN: &str = "http://push.test";

/// A push service that keeps what it gets, and answers as it was told (201 when it wasn't).
#[derive(Debug, Default)]
struct FakeService {
    requests: Mutex<Vec<PushRequest>>,
    answers: Mutex<VecDeque<Result<PushResponse, PushError>>>,
}

#[async_trait]
impl PushTransport for FakeService {
    async fn post(&self, request: PushRequest) -> Result<PushResponse, PushError> {
        self.requests.lock().push(request);
        let answer = self.answers.lock().pop_front();
        answer.unwrap_or(Ok(PushResponse {
            status: 201,
            retry_after: None,
        }))
    }
}

impl FakeService {
    fn will_answer(&self, status: u16, retry_after: Option<u64>) {
        let retry_after = retry_after.map(Duration::from_secs);
        self.answers.lock().push_back(Ok(PushResponse {
            status,
            retry_after,
        }));
    }
}

struct Server {
    core: Core,
    clock: Arc<TestClock>,
    service: Arc<FakeService>,
    engine: Arc<MemoryEngine>,
    housekeeping: Housekeeping,
    _search: tempfile::TempDir,
}

impl Server {
    async fn new() -> Self {
        let clock = Arc::new(TestClock::new(NOW));
        Self::over(MemoryEngine::new(), clock, Some(Arc::default()), 1).await
    }

    async fn over(
        engine: Arc<MemoryEngine>,
        clock: Arc<TestClock>,
        service: Option<Arc<FakeService>>,
        seed: u64,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let search = SearchIndex::open(folder.path(), &SearchOptions::default()).unwrap();
        let transport = service
            .clone()
            .map(|service| service as Arc<dyn PushTransport>);
        let core = Core::open(Parts {
            engine: engine.clone(),
            clock: clock.clone(),
            rng: Arc::new(SeededRng::new(seed)),
            limits: Limits {
                max_push_subscriptions: 4,
                ..Limits::default()
            },
            hostname: "mail.test".into(),
            search: Arc::new(search),
            push: PushConfig {
                transport,
                policy: EndpointPolicy::AllowInsecure,
                contact: Some("mailto:postmaster@mail.test".into()),
            },
        })
        .await
        .unwrap();
        Self {
            core,
            clock,
            service: service.unwrap_or_default(),
            engine,
            housekeeping: Housekeeping::default(),
            _search: folder,
        }
    }

    /// An account, and a caller with an app password of it.
    async fn account(&self, name: &str) -> Caller {
        let server = Caller::server();
        let account = self
            .core
            .add_account(&server, NewAccount::person(name, None))
            .await
            .unwrap();
        self.caller(account.id).await
    }

    async fn caller(&self, id: AccountId) -> Caller {
        let issued = self
            .core
            .add_app_password(&Caller::server(), id, "test", None)
            .await
            .unwrap();
        self.caller_with(id, issued.credential.number).await
    }

    async fn caller_with(&self, id: AccountId, credential: u64) -> Caller {
        let record = self.core.account_record(id).await.unwrap().unwrap();
        let generation = self.core.directory.generation();
        self.core
            .caller(id, &record, credential, generation)
            .await
            .unwrap()
    }

    async fn call<C: Handle>(&self, who: &Caller, arguments: Json) -> Result<Json, MethodError> {
        let call = C::from_arguments(Arguments::new(map(&arguments)))?;
        let response = self.core.call(who, call).await?;
        Ok(serde_json::from_str(&Value::Object(response.into_map()).to_string()).unwrap())
    }

    async fn set(&self, who: &Caller, arguments: Json) -> Json {
        self.call::<PushSubscriptionSet>(who, arguments)
            .await
            .unwrap()
    }

    async fn list(&self, who: &Caller) -> Json {
        self.call::<PushSubscriptionGet>(who, json!({}))
            .await
            .unwrap()["list"]
            .take()
    }

    /// Creates a subscription: its id.
    async fn subscribe(&self, who: &Caller, more: Json) -> String {
        let mut object = json!({"deviceClientId": "d1", "url": format!("{ORIGIN}/p")});
        object
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let response = self.set(who, json!({"create": {"k": object}})).await;
        assert_eq!(response["notCreated"], Json::Null);
        response["created"]["k"]["id"].as_str().unwrap().to_owned()
    }

    /// Creates a subscription and verifies it.
    async fn verified(&mut self, who: &Caller, more: Json) -> String {
        let id = self.subscribe(who, more).await;
        let pushed = self.pushed().await;
        let code = &pushed[0]["verificationCode"];
        let response = self
            .set(who, json!({"update": {&id: {"verificationCode": code}}}))
            .await;
        assert_eq!(response["updated"], json!({&id: null}));
        id
    }

    /// Does all that is due now; the bodies that were pushed, of subscriptions without keys.
    async fn pushed(&mut self) -> Vec<Json> {
        let requests = self.requests().await;
        requests
            .iter()
            .map(|request| serde_json::from_slice(&request.body).unwrap())
            .collect()
    }

    async fn requests(&mut self) -> Vec<PushRequest> {
        let transport: Arc<dyn PushTransport> = self.service.clone();
        self.core.keep_house(&mut self.housekeeping).await;
        let (jobs, _) = self.core.push.take_due(self.clock.monotonic(), 100);
        for job in jobs {
            self.core.clone().push_one(transport.clone(), job).await;
        }
        std::mem::take(&mut *self.service.requests.lock())
    }

    /// A change of objects of these types; the state that it led to.
    async fn change(&self, account: AccountId, types: &[DataType]) -> String {
        let handle = self.core.accounts.handle(account);
        let mut txn = handle.writer.begin().await.unwrap();
        for data_type in types {
            txn.changed(Change::new(*data_type, 1, ChangeKind::Updated));
        }
        format!("s{}", txn.commit().await.unwrap())
    }

    fn wait(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

fn map(json: &Json) -> Map {
    let text: &'static str = json.to_string().leak();
    Value::parse_json(text).unwrap().into_object().unwrap()
}

fn state_change(account: AccountId, types: Json) -> Json {
    json!({"@type": "StateChange", "changed": {account.to_string(): types}})
}

fn header<'r>(request: &'r PushRequest, name: &str) -> Option<&'r str> {
    let mut headers = request.headers.iter();
    headers
        .find(|(n, _)| *n == name)
        .map(|(_, value)| value.as_str())
}

#[test]
fn record_bytes_stay_readable() {
    let record = PushSubscriptionRecord {
        credential: 2,
        credential_created: 3,
        device_client_id: "d".into(),
        url: "u".into(),
        keys: Some(KeysRecord {
            p256dh: "p".into(),
            auth: "a".into(),
        }),
        verification_code: "c".into(),
        verified: true,
        expires: 4,
        types: Some(vec!["Email".into()]),
    };
    let golden = [
        0x89, 2, 3, 0x61, b'd', 0x61, b'u', 0x82, 0x61, b'p', 0x61, b'a', 0x61, b'c', 0xf5, 4,
        0x81, 0x65, b'E', b'm', b'a', b'i', b'l',
    ];
    assert_eq!(record.to_bytes()[..], golden);
    assert_eq!(
        PushSubscriptionRecord::from_bytes(b"", &golden).unwrap(),
        record
    );
}

#[tokio::test]
async fn nothing_is_pushed_before_verification() {
    let mut server = Server::new().await;
    let alice = server.account("alice").await;
    let id = server.subscribe(&alice, json!({})).await;
    server.change(alice.account, &[DataType::Email]).await;
    let requests = server.requests().await;
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].endpoint.url(), format!("{ORIGIN}/p"));
    assert_eq!(
        header(&requests[0], "content-type"),
        Some("application/json")
    );
    assert_eq!(header(&requests[0], "ttl"), Some("3600"));
    let (claims, key) =
        vapid::verify(header(&requests[0], "authorization").unwrap(), ORIGIN, NOW).unwrap();
    assert_eq!(claims.sub.as_deref(), Some("mailto:postmaster@mail.test"));
    assert_eq!(URL_SAFE_NO_PAD.encode(key), server.core.vapid_public_key());
    let body: Json = serde_json::from_slice(&requests[0].body).unwrap();
    assert_eq!(body["@type"], "PushVerification");
    assert_eq!(body["pushSubscriptionId"], *id);
    assert_eq!(server.list(&alice).await[0]["verificationCode"], Json::Null);

    server.wait(60);
    server.change(alice.account, &[DataType::Email]).await;
    assert!(server.pushed().await.is_empty());
    let wrong = server
        .set(&alice, json!({"update": {&id: {"verificationCode": "x"}}}))
        .await;
    assert_eq!(wrong["notUpdated"][&id]["type"], "invalidProperties");
    let code = &body["verificationCode"];
    let right = server
        .set(&alice, json!({"update": {&id: {"verificationCode": code}}}))
        .await;
    assert_eq!(right["updated"], json!({&id: null}));
    assert_eq!(server.list(&alice).await[0]["verificationCode"], *code);
    let state = server.change(alice.account, &[DataType::Email]).await;
    assert_eq!(
        server.pushed().await,
        [state_change(alice.account, json!({"Email": state}))]
    );
}

#[tokio::test]
async fn create_refuses() {
    let server = Server::new().await;
    let alice = server.account("alice").await;
    let good = json!({"deviceClientId": "d", "url": "https://push.test/p"});
    let rows = [
        (json!({"url": null}), "url"),
        (json!({"url": "ftp://push.test/"}), "url"),
        (json!({"url": "https://u@push.test/"}), "url"),
        (json!({"deviceClientId": ""}), "deviceClientId"),
        (json!({"deviceClientId": "d".repeat(513)}), "deviceClientId"),
        (json!({"verificationCode": "x"}), "verificationCode"),
        (json!({"keys": {}}), "keys"),
        (json!({"keys": {"p256dh": "x", "auth": "y"}}), "keys"),
        (json!({"expires": "2025-12-31T23:59:59Z"}), "expires"),
        (json!({"expires": "soon"}), "expires"),
        (json!({"types": "Email"}), "types"),
        (json!({"types": vec!["Email"; 65]}), "types"),
        (json!({"id": "p1"}), "id"),
        (json!({"colour": "red"}), "colour"),
    ];
    for (wrong, property) in rows {
        let mut object = good.clone();
        object
            .as_object_mut()
            .unwrap()
            .extend(wrong.as_object().unwrap().clone());
        let response = server.set(&alice, json!({"create": {"k": object}})).await;
        assert_eq!(
            response["notCreated"]["k"]["type"], "invalidProperties",
            "{wrong}"
        );
        assert_eq!(
            response["notCreated"]["k"]["properties"],
            json!([property]),
            "{wrong}"
        );
    }
    for _ in 0..4 {
        server.subscribe(&alice, json!({})).await;
    }
    let response = server.set(&alice, json!({"create": {"k": good}})).await;
    assert_eq!(response["notCreated"]["k"]["type"], "overQuota");
}

#[tokio::test]
async fn verifications_are_rationed() {
    let server = Server::new().await;
    let alice = server.account("alice").await;
    for _ in 0..rate::PER_ACCOUNT {
        let id = server.subscribe(&alice, json!({})).await;
        server.set(&alice, json!({"destroy": [id]})).await;
    }
    let create = json!({"create": {"k": {"deviceClientId": "d", "url": "https://push.test/p"}}});
    let response = server.set(&alice, create.clone()).await;
    assert_eq!(response["notCreated"]["k"]["type"], "rateLimit");
    server.wait(3600);
    assert_eq!(server.set(&alice, create).await["notCreated"], Json::Null);
}

#[tokio::test]
async fn without_a_transport_nothing_is_created() {
    let clock = Arc::new(TestClock::new(NOW));
    let server = Server::over(MemoryEngine::new(), clock, None, 1).await;
    let alice = server.account("alice").await;
    let create = json!({"create": {"k": {"deviceClientId": "d", "url": "https://push.test/p"}}});
    let response = server.set(&alice, create).await;
    assert_eq!(response["notCreated"]["k"]["type"], "forbidden");
    assert_eq!(server.list(&alice).await, json!([]));
}

#[tokio::test]
async fn get_gives_no_url_and_no_keys() {
    let server = Server::new().await;
    let alice = server.account("alice").await;
    let id = server
        .subscribe(&alice, json!({"types": ["Email", "Todo"]}))
        .await;
    let all = server
        .call::<PushSubscriptionGet>(&alice, json!({"ids": [id, "p999", "x"]}))
        .await
        .unwrap();
    let object = json!({
        "id": id, "deviceClientId": "d1", "verificationCode": null,
        "expires": "2026-01-08T00:00:00Z", "types": ["Email", "Todo"],
    });
    assert_eq!(all, json!({"list": [object], "notFound": ["p999", "x"]}));
    for (name, error) in [
        ("url", "forbidden"),
        ("keys", "forbidden"),
        ("state", "invalidArguments"),
    ] {
        let asked = server
            .call::<PushSubscriptionGet>(&alice, json!({"properties": [name]}))
            .await;
        assert_eq!(asked.unwrap_err().kind.as_str(), error);
    }
    let with_account = server
        .call::<PushSubscriptionGet>(&alice, json!({"accountId": "a1"}))
        .await;
    assert!(with_account.is_err());
}

#[tokio::test]
async fn another_credential_sees_nothing() {
    let mut server = Server::new().await;
    let alice = server.account("alice").await;
    let other = server.caller(alice.account).await;
    let id = server.verified(&alice, json!({})).await;
    assert_eq!(server.list(&other).await, json!([]));
    let response = server
        .set(&other, json!({"update": {&id: {"types": null}}}))
        .await;
    assert_eq!(response["notUpdated"][&id]["type"], "notFound");
    let response = server.set(&other, json!({"destroy": [&id]})).await;
    assert_eq!(response["notDestroyed"][&id]["type"], "notFound");
    let bob = server.account("bob").await;
    assert_eq!(server.list(&bob).await, json!([]));

    // RFC 8620 §7.2: it goes with its credential.
    server.change(alice.account, &[DataType::Email]).await;
    server
        .core
        .revoke_credential(&alice, alice.account, alice.credential)
        .await
        .unwrap();
    server.wait(60);
    assert!(server.pushed().await.is_empty());
    assert_eq!(rows(&server, &alice).await, 0);
}

#[tokio::test]
async fn a_new_password_ends_what_the_old_one_made() {
    let mut server = Server::new().await;
    let password = |text: &str| Secret::new(text.to_owned());
    let new = NewAccount::person("alice", Some(password("correct horse battery")));
    let account = server
        .core
        .add_account(&Caller::server(), new)
        .await
        .unwrap();
    let alice = server.caller_with(account.id, PASSWORD).await;
    server.verified(&alice, json!({})).await;
    server.wait(60);
    let changed = server
        .core
        .set_password(&alice, account.id, &password("staple horse battery"))
        .await;
    changed.unwrap();
    assert_eq!(server.list(&alice).await, json!([]));
    server.change(account.id, &[DataType::Email]).await;
    assert!(server.pushed().await.is_empty());
    assert_eq!(rows(&server, &alice).await, 0);
}

async fn rows(server: &Server, who: &Caller) -> usize {
    let range = store::keys::objects(who.account, DataType::PushSubscription);
    let engine: Arc<dyn Engine> = server.engine.clone();
    engine
        .scan(store::engine::Page::first(range, 100))
        .await
        .unwrap()
        .len()
}

#[tokio::test]
async fn expiry_is_bounded_and_kept() {
    let mut server = Server::new().await;
    let alice = server.account("alice").await;
    let id = server
        .verified(&alice, json!({"expires": "2030-01-01T00:00:00Z"}))
        .await;
    assert_eq!(
        server.list(&alice).await[0]["expires"],
        "2026-01-31T00:00:00Z"
    );
    let response = server
        .set(
            &alice,
            json!({"update": {&id: {"expires": "2027-01-01T00:00:00Z"}}}),
        )
        .await;
    assert_eq!(
        response["updated"][&id],
        json!({"expires": "2026-01-31T00:00:00Z"})
    );
    let response = server
        .set(
            &alice,
            json!({"update": {&id: {"expires": "2026-01-02T00:00:00Z"}}}),
        )
        .await;
    assert_eq!(response["updated"][&id], Json::Null);
    server.wait(86_400);
    assert_eq!(server.list(&alice).await, json!([]));
    server.change(alice.account, &[DataType::Email]).await;
    assert!(server.pushed().await.is_empty());
    assert_eq!(rows(&server, &alice).await, 0);
}

#[tokio::test]
async fn update_keeps_what_is_immutable() {
    let server = Server::new().await;
    let alice = server.account("alice").await;
    let id = server.subscribe(&alice, json!({})).await;
    for property in ["url", "keys", "deviceClientId", "id", "colour"] {
        let response = server
            .set(&alice, json!({"update": {&id: {property: "x"}}}))
            .await;
        let error = &response["notUpdated"][&id];
        assert_eq!(error["type"], "invalidProperties", "{property}");
        assert_eq!(error["properties"], json!([property]));
    }
    for patch in [
        json!({"types/0": "Email"}),
        json!({"types": null, "types/0": "Email"}),
        json!({"expires/x": 1}),
    ] {
        let response = server
            .set(&alice, json!({"update": {&id: patch.clone()}}))
            .await;
        let error = &response["notUpdated"][&id];
        assert_eq!(error["type"], "invalidPatch", "{patch} {error}");
    }
    let same =
        json!({"update": {&id: {"deviceClientId": "d1", "id": id, "verificationCode": null}}});
    assert_eq!(
        server.set(&alice, same).await["updated"],
        json!({&id: null})
    );
}

#[tokio::test]
async fn only_wanted_types_of_visible_accounts() {
    let mut server = Server::new().await;
    let (alice, bob) = (server.account("alice").await, server.account("bob").await);
    let id = server
        .verified(&alice, json!({"types": ["Mailbox", "Todo"]}))
        .await;
    server.wait(60);
    server.change(alice.account, &[DataType::Email]).await;
    server.change(bob.account, &[DataType::Mailbox]).await;
    assert!(server.pushed().await.is_empty());
    let state = server
        .change(alice.account, &[DataType::Email, DataType::Mailbox])
        .await;
    assert_eq!(
        server.pushed().await,
        [state_change(alice.account, json!({"Mailbox": state}))]
    );
    server
        .set(&alice, json!({"update": {&id: {"types": []}}}))
        .await;
    server.wait(60);
    server.change(alice.account, &[DataType::Mailbox]).await;
    assert!(server.pushed().await.is_empty());
}

#[tokio::test]
async fn what_was_changed_meanwhile_is_not_undone() {
    let mut server = Server::new().await;
    let alice = server.account("alice").await;
    let id = server.subscribe(&alice, json!({})).await;
    let key = server.core.push.index.lock().of_account(alice.account)[0];
    let read_before = server.core.subscription(key).await.unwrap().unwrap();
    let code = &server.pushed().await[0]["verificationCode"];
    let update = json!({"update": {&id: {"verificationCode": code}}});
    server.set(&alice, update).await;
    // Who had read it before comes late.
    let late = server.core.take_in(key, read_before, Told::AsBefore);
    late.await.unwrap();
    server.wait(60);
    let state = server.change(alice.account, &[DataType::Email]).await;
    let want = state_change(alice.account, json!({"Email": state}));
    assert_eq!(server.pushed().await, [want]);
}

#[tokio::test]
async fn changes_are_gathered() {
    let mut server = Server::new().await;
    let alice = server.account("alice").await;
    server.verified(&alice, json!({})).await;
    server.wait(60);
    server.change(alice.account, &[DataType::Email]).await;
    let last = server.change(alice.account, &[DataType::Email]).await;
    assert_eq!(
        server.pushed().await,
        [state_change(alice.account, json!({"Email": last}))]
    );
    // Within a second, nothing more; then all of it at once.
    let email = server.change(alice.account, &[DataType::Email]).await;
    let mailbox = server.change(alice.account, &[DataType::Mailbox]).await;
    assert!(server.pushed().await.is_empty());
    server.wait(1);
    let want = state_change(alice.account, json!({"Email": email, "Mailbox": mailbox}));
    assert_eq!(server.pushed().await, [want]);
    server.wait(60);
    assert!(server.pushed().await.is_empty());
}

#[tokio::test]
async fn one_request_at_a_time() {
    let mut server = Server::new().await;
    let alice = server.account("alice").await;
    server.verified(&alice, json!({})).await;
    server.wait(60);
    server.change(alice.account, &[DataType::Email]).await;
    let (jobs, _) = server.core.push.take_due(server.clock.monotonic(), 100);
    assert_eq!(jobs.len(), 1);
    server.wait(60);
    let state = server.change(alice.account, &[DataType::Email]).await;
    assert!(server.pushed().await.is_empty());
    let transport: Arc<dyn PushTransport> = server.service.clone();
    for job in jobs {
        server.core.clone().push_one(transport.clone(), job).await;
    }
    server.service.requests.lock().clear();
    server.wait(1);
    assert_eq!(
        server.pushed().await,
        [state_change(alice.account, json!({"Email": state}))]
    );
}

#[tokio::test]
async fn a_subscription_that_is_gone_is_destroyed() {
    for status in [404, 410] {
        let mut server = Server::new().await;
        let alice = server.account("alice").await;
        server.verified(&alice, json!({})).await;
        server.wait(60);
        server.service.will_answer(status, None);
        server.change(alice.account, &[DataType::Email]).await;
        assert_eq!(server.pushed().await.len(), 1);
        assert_eq!(server.list(&alice).await, json!([]));
        server.wait(60);
        server.change(alice.account, &[DataType::Email]).await;
        assert!(server.pushed().await.is_empty());
    }
}

#[tokio::test]
async fn failures_back_off_and_lose_nothing() {
    // Status, Retry-After, and after how many seconds it is tried again.
    let rows = [
        (503, None, 5),
        (429, Some(120), 120),
        (500, Some(1), 5),
        (302, None, 5),
        (403, None, 5),
    ];
    for (status, retry_after, seconds) in rows {
        let mut server = Server::new().await;
        let alice = server.account("alice").await;
        server.verified(&alice, json!({})).await;
        server.wait(60);
        server.service.will_answer(status, retry_after);
        server.change(alice.account, &[DataType::Email]).await;
        assert_eq!(server.pushed().await.len(), 1);
        server.wait(seconds - 1);
        let state = server.change(alice.account, &[DataType::Mailbox]).await;
        assert!(server.pushed().await.is_empty(), "{status}");
        server.wait(1);
        let pushed = server.pushed().await;
        let states = &pushed[0]["changed"][alice.account.to_string()];
        assert_eq!(
            (&states["Mailbox"], states["Email"].is_string()),
            (&json!(state), true),
            "{status}"
        );
    }
}

#[tokio::test]
async fn endless_failure_ends_the_subscription() {
    let mut server = Server::new().await;
    let alice = server.account("alice").await;
    server
        .verified(&alice, json!({"expires": "2026-01-30T00:00:00Z"}))
        .await;
    server.change(alice.account, &[DataType::Email]).await;
    for tried in 1..=worker::FAILURES_MAX {
        server.wait(3600);
        server.service.will_answer(500, None);
        assert_eq!(server.pushed().await.len(), 1, "{tried}");
    }
    assert_eq!(server.list(&alice).await, json!([]));
    // A verification is given up sooner, and what it was for may stay until its time is over.
    server.subscribe(&alice, json!({})).await;
    for tried in 0..=worker::VERIFICATION_TRIES {
        server.service.will_answer(500, None);
        let expected = usize::from(tried < worker::VERIFICATION_TRIES);
        assert_eq!(server.pushed().await.len(), expected, "{tried}");
        server.wait(3600);
    }
}

#[tokio::test]
async fn with_keys_all_is_encrypted() {
    let mut server = Server::new().await;
    let alice = server.account("alice").await;
    let private = PrivateKey::from_private_key(&ECDH_P256, &[7; 32]).unwrap();
    let public = private.compute_public_key().unwrap();
    let auth = [9; 16];
    let keys = json!({"p256dh": URL_SAFE_NO_PAD.encode(public.as_ref()), "auth": URL_SAFE_NO_PAD.encode(auth)});
    let id = server.subscribe(&alice, json!({"keys": keys})).await;
    let open = |request: &PushRequest| -> Json {
        assert_eq!(header(request, "content-encoding"), Some("aes128gcm"));
        serde_json::from_slice(&message::decrypt(&private, &auth, &request.body).unwrap()).unwrap()
    };
    let verification = open(&server.requests().await[0]);
    let code = &verification["verificationCode"];
    server
        .set(&alice, json!({"update": {&id: {"verificationCode": code}}}))
        .await;
    let mut topics = Vec::new();
    for types in [
        &[DataType::Email][..],
        &[DataType::Email],
        &[DataType::Mailbox],
    ] {
        server.wait(60);
        let state = server.change(alice.account, types).await;
        let requests = server.requests().await;
        let want = state_change(alice.account, json!({types[0].name(): state}));
        assert_eq!(open(&requests[0]), want);
        topics.push(header(&requests[0], "topic").unwrap().to_owned());
    }
    // What tells of the same replaces what waits at the push service; what tells of something else does not.
    assert_eq!(topics[0], topics[1]);
    assert_ne!(topics[0], topics[2]);
    assert_eq!(topics[0].len(), 24);
}

#[tokio::test]
async fn a_host_has_so_many_requests_at_a_time() {
    let mut server = Server::new().await;
    let mut callers = Vec::new();
    for number in 0..=index::PER_HOST_MAX {
        let who = server.account(&format!("user{number}")).await;
        server.subscribe(&who, json!({})).await;
        callers.push(who);
    }
    let (jobs, _) = server.core.push.take_due(server.clock.monotonic(), 100);
    assert_eq!(jobs.len(), index::PER_HOST_MAX);
    assert!(server.requests().await.is_empty());
    let transport: Arc<dyn PushTransport> = server.service.clone();
    for job in jobs {
        server.core.clone().push_one(transport.clone(), job).await;
    }
    assert_eq!(server.requests().await.len(), index::PER_HOST_MAX + 1);
}

#[tokio::test]
async fn after_a_restart_the_states_of_now_are_told() {
    let mut before = Server::new().await;
    let alice = before.account("alice").await;
    before.verified(&alice, json!({})).await;
    let state = before.change(alice.account, &[DataType::Email]).await;
    let service = Some(before.service.clone());
    let mut after = Server::over(before.engine.clone(), before.clock.clone(), service, 2).await;
    assert_eq!(
        after.core.vapid_public_key(),
        before.core.vapid_public_key()
    );
    after.core.load_subscriptions().await.unwrap();
    let pushed = after.pushed().await;
    assert_eq!(
        pushed[0]["changed"][alice.account.to_string()]["Email"],
        state
    );
    assert_eq!(pushed.len(), 1);
}

#[tokio::test]
async fn the_worker_pushes_by_itself() {
    let server = Server::new().await;
    let alice = server.account("alice").await;
    let worker = {
        let core = server.core.clone();
        tokio::spawn(async move { run(&core).await })
    };
    server.subscribe(&alice, json!({})).await;
    let arrived = async {
        while server.service.requests.lock().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), arrived)
        .await
        .unwrap();
    worker.abort();
}

/// Two nodes over one engine: the one that leads, and the one at which clients are.
#[tokio::test]
async fn one_node_pushes_for_all() {
    let clock = Arc::new(TestClock::new(NOW));
    let engine = MemoryEngine::new();
    let service = Arc::new(FakeService::default());
    let mut nodes = Vec::new();
    for seed in 1..3 {
        let folder = tempfile::tempdir().unwrap();
        let search =
            SearchIndex::open(&folder.path().join("s"), &SearchOptions::default()).unwrap();
        let parts = Parts {
            engine: engine.clone(),
            clock: clock.clone(),
            rng: Arc::new(SeededRng::new(seed)),
            limits: Limits::default(),
            hostname: "mail.test".into(),
            search: Arc::new(search),
            push: PushConfig {
                transport: Some(service.clone()),
                policy: EndpointPolicy::AllowInsecure,
                contact: None,
            },
        };
        let settings = crate::cluster::Settings::new(folder.path().to_owned(), "node");
        let core = Core::open_node(parts, settings).await.unwrap();
        nodes.push(Server {
            core,
            clock: clock.clone(),
            service: service.clone(),
            engine: engine.clone(),
            housekeeping: Housekeeping::default(),
            _search: folder,
        });
    }
    let [leader, other] = &nodes[..] else {
        panic!("two nodes")
    };
    for node in &nodes {
        node.core.beat_once().await.unwrap();
    }
    let pushing = {
        let core = leader.core.clone();
        tokio::spawn(async move { run(&core).await })
    };
    let idle = {
        let core = other.core.clone();
        tokio::spawn(async move { run(&core).await })
    };
    while !leader
        .core
        .push
        .is_ours
        .load(std::sync::atomic::Ordering::Acquire)
    {
        tokio::task::yield_now().await;
    }
    let who = other.account("ann").await;
    let subscription =
        json!({"create": {"s": {"deviceClientId": "d", "url": format!("{ORIGIN}/1")}}});
    let made = other.set(&who, subscription).await;
    assert!(made["created"]["s"]["id"].is_string(), "{made}");
    assert!(service.requests.lock().is_empty());
    // The notice.
    for text in other.core.cluster().unwrap().take_outbox() {
        let packet = crate::cluster::Packet::decode(&text).unwrap();
        leader.core.take_packet(packet).await;
    }
    for _ in 0..200 {
        if !service.requests.lock().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(service.requests.lock().len(), 1, "the verification, once");
    pushing.abort();
    idle.abort();
}

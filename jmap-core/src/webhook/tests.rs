//! Bytes and signatures, tries and waits, what is told and to whom.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_trait::async_trait;
use expect_test::{Expect, expect};
use parking_lot::Mutex;
use store::{
    Record,
    engine::{Batch, FaultPlan, FaultyEngine, Page},
    keys,
};

use super::{
    Event, EventKind, NewWebhook, PER_MINUTE_MAX, WAITING_MAX, WEBHOOKS_MAX, WebhookChange,
    WebhookError, read_secret, records::*, secret_text, sign, worker::WAITS,
};
use crate::{
    Caller, Core,
    admin::{AuditFilter, Terms},
    directory::tests::{PASSWORD, Server},
    push::{PushError, PushRequest, PushResponse, PushTransport, crypto::EndpointPolicy},
};

fn golden<R: Record + PartialEq + std::fmt::Debug>(record: R, want: Expect) {
    let bytes = record.to_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    want.assert_eq(&hex);
    assert_eq!(R::from_bytes(b"", &bytes).unwrap(), record);
}

#[test]
fn bytes_of_version_1() {
    let webhook = WebhookRecord {
        url: "https://a.example/".into(),
        description: "d".into(),
        secret: vec![3; 4].into(),
        events: vec![EventKind::MessageBounced, EventKind::AlertRaised],
        disabled: true,
        disabled_reason: Some("x".into()),
        failing_since: Some(1_700_000_000_000),
        created: 1_700_000_000,
    };
    assert!(!format!("{webhook:?}").contains('3'));
    golden(
        webhook,
        expect![
            "887268747470733a2f2f612e6578616d706c652f6164440303030382030df561781b0000018bcfe568001a6553f100"
        ],
    );
    let due = DueRecord {
        kind: EventKind::LoginFailed,
        at: 1_700_000_000_000,
        data: "{}".into(),
        attempts: 2,
    };
    golden(due, expect!["84041b0000018bcfe56800627b7d02"]);
    let done = DoneRecord {
        kind: EventKind::Test,
        at: 1_700_000_000_000,
        tried: 1_700_000_000_001,
        attempts: 1,
        status: Some(503),
        problem: Some("no".into()),
        next_try: Some(1_700_000_000_002),
        delivered: false,
    };
    golden(
        done,
        expect!["880f1b0000018bcfe568001b0000018bcfe56801011901f7626e6f1b0000018bcfe56802f4"],
    );
}

#[test]
fn kinds_have_names_of_their_own() {
    for kind in EventKind::ALL {
        assert_eq!(EventKind::parse(kind.name()), Some(*kind));
        assert!(
            kind.about().ends_with('.') || kind.about().contains(". "),
            "{kind}"
        );
    }
}

/// The example of the specification: its text says how, its libraries have this as their test.
#[test]
fn signatures_are_those_of_the_specification() {
    let secret = read_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    assert_eq!(
        secret_text(&secret),
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    );
    let signed = b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{\"test\": 2432232314}";
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret);
    let want = "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    assert_eq!(STANDARD.encode(aws_lc_rs::hmac::sign(&key, signed)), want);
    let fields = sign::headers(&secret, 7, 1_614_265_330, b"{}");
    let field = |name: &str| fields.iter().find(|(of, _)| *of == name).unwrap().1.clone();
    assert_eq!(field("webhook-id"), "evt_0000000000000007");
    assert_eq!(field("webhook-timestamp"), "1614265330");
    let signed = b"evt_0000000000000007.1614265330.{}";
    let signature = STANDARD.encode(aws_lc_rs::hmac::sign(&key, signed));
    assert_eq!(field("webhook-signature"), format!("v1,{signature}"));
    for wrong in [
        "",
        "whsec_",
        "whsec_AAAA",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    ] {
        assert!(read_secret(wrong).is_err(), "{wrong}");
    }
}

/// Answers as it is told to, then with 200.
#[derive(Debug, Default)]
struct Receiver {
    answers: Mutex<VecDeque<Result<u16, PushError>>>,
    seen: Mutex<Vec<PushRequest>>,
}

#[async_trait]
impl PushTransport for Receiver {
    async fn post(&self, request: PushRequest) -> Result<PushResponse, PushError> {
        self.seen.lock().push(request);
        let answer = self.answers.lock().pop_front().unwrap_or(Ok(200));
        answer.map(|status| PushResponse {
            status,
            retry_after: None,
        })
    }
}

impl Receiver {
    /// Type and id of what was received.
    fn ids(&self) -> Vec<(String, String)> {
        let seen = self.seen.lock();
        let of = seen.iter().map(|request| {
            let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
            let id = request
                .headers
                .iter()
                .find(|(name, _)| *name == "webhook-id");
            (
                body["type"].as_str().unwrap().to_owned(),
                id.unwrap().1.clone(),
            )
        });
        of.collect()
    }
}

static TERMS: Terms = Terms {
    expected: None,
    once: None,
};

struct Told {
    server: Server,
    receiver: Arc<Receiver>,
    webhook: u64,
}

impl Told {
    async fn new() -> Told {
        Told::of(Server::with_domain().await).await
    }

    async fn of(server: Server) -> Told {
        let receiver = Arc::new(Receiver::default());
        server
            .core
            .tell_webhooks_by(receiver.clone(), EndpointPolicy::Public);
        let new = NewWebhook {
            url: "https://hooks.example.com/x".into(),
            ..NewWebhook::default()
        };
        let made = server.core.add_webhook(&server.admin, new, &TERMS);
        let webhook = made.await.unwrap().number;
        Told {
            server,
            receiver,
            webhook,
        }
    }

    fn core(&self) -> &Core {
        &self.server.core
    }

    /// Tells what is due.
    async fn round(&self) {
        let core = self.core();
        core.flush_events().await.unwrap();
        loop {
            let (mut jobs, mut under_way) = Default::default();
            core.tell_some(&mut jobs, &mut under_way).await.unwrap();
            if jobs.is_empty() {
                return;
            }
            while jobs.join_next().await.is_some() {}
        }
    }

    async fn waiting(&self) -> usize {
        let page = Page::first(keys::webhook_due_of(self.webhook), 10_000).keys_only();
        self.core().engine.scan(page).await.unwrap().len()
    }
}

fn event(text: &str) -> Event {
    Event::new(EventKind::MessageReceived).with("messageId", text)
}

#[tokio::test]
async fn what_fails_is_tried_again_later_under_the_same_id() {
    let told = Told::new().await;
    *told.receiver.answers.lock() = [Ok(503), Err(PushError::TimedOut), Ok(302)].into();
    told.core().tell_event(event("a"));
    for (seen, wait) in [(1, 4), (1, 2), (2, 31), (3, 130), (4, 0)] {
        told.round().await;
        assert_eq!(told.receiver.ids().len(), seen);
        told.server.clock.advance(Duration::from_secs(wait));
    }
    let ids = told.receiver.ids();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(ids[0].0, "message.received");
    assert_eq!(told.waiting().await, 0);
    let admin = &told.server.admin;
    let deliveries = told.core().webhook_deliveries(admin, told.webhook);
    let deliveries = deliveries.await.unwrap();
    assert_eq!(deliveries.len(), 1);
    let record = &deliveries[0].record;
    assert_eq!(
        (record.attempts, record.status, record.delivered),
        (4, Some(200), true)
    );
    assert_eq!(deliveries[0].id, ids[0].1);
    let webhook = told.core().webhook(admin, told.webhook).await.unwrap();
    assert_eq!(webhook.record.failing_since, None);
}

#[tokio::test]
async fn one_that_stays_away_is_disabled_and_why_is_told() {
    let told = Told::new().await;
    let admin = &told.server.admin;
    let away = || Err(PushError::Unreachable("connection refused".into()));
    *told.receiver.answers.lock() = (0..100).map(|_| away()).collect();
    for _ in 0..6 {
        told.core().tell_event(event("a"));
        told.round().await;
        told.server.clock.advance(Duration::from_secs(86_400));
    }
    let webhook = told.core().webhook(admin, told.webhook).await.unwrap();
    assert!(webhook.record.disabled);
    assert_eq!(
        webhook.record.disabled_reason.as_deref(),
        Some(
            "nothing has arrived for 5 days; the last time, it can't be reached: connection refused"
        )
    );
    let before = told.receiver.ids().len();
    told.core().tell_event(event("b"));
    told.round().await;
    assert_eq!(told.receiver.ids().len(), before);
    // Enabled again, it begins anew.
    told.receiver.answers.lock().clear();
    let enabled = WebhookChange {
        disabled: Some(false),
        ..WebhookChange::default()
    };
    let changed = told
        .core()
        .change_webhook(admin, told.webhook, enabled, &TERMS);
    assert_eq!(changed.await.unwrap().record.failing_since, None);
    told.round().await;
    assert_eq!(told.waiting().await, 0);
}

#[tokio::test]
async fn gone_is_gone() {
    let told = Told::new().await;
    told.receiver.answers.lock().push_back(Ok(410));
    told.core().tell_event(event("a"));
    told.round().await;
    let webhook = told
        .core()
        .webhook(&told.server.admin, told.webhook)
        .await
        .unwrap();
    assert!(webhook.record.disabled);
    assert_eq!(told.waiting().await, 0);
}

#[tokio::test]
async fn an_event_is_given_up_after_some_days() {
    let told = Told::new().await;
    *told.receiver.answers.lock() = (0..100).map(|_| Ok(500)).collect();
    told.core().tell_event(event("a"));
    for wait in WAITS {
        told.round().await;
        assert_eq!(told.waiting().await, 1);
        let longest = wait + wait / 10 + 1;
        told.server.clock.advance(Duration::from_secs(longest));
    }
    told.round().await;
    assert_eq!(told.waiting().await, 0);
    assert_eq!(told.receiver.ids().len(), WAITS.len() + 1);
}

#[tokio::test]
async fn what_waits_is_bounded_and_so_is_what_is_told_in_a_minute() {
    let told = Told::new().await;
    for _ in 0..PER_MINUTE_MAX + 50 {
        told.core().tell_event(event("a"));
    }
    told.core().flush_events().await.unwrap();
    assert_eq!(told.waiting().await, PER_MINUTE_MAX as usize);
    for _ in 0..5 {
        told.server.clock.advance(Duration::from_secs(60));
        for _ in 0..PER_MINUTE_MAX {
            told.core().tell_event(event("a"));
        }
    }
    told.core().flush_events().await.unwrap();
    assert_eq!(told.waiting().await, WAITING_MAX);
    assert!(told.core().metrics.webhook_events_lost.get() > 0);
    told.server.clock.advance(Duration::from_secs(3600));
    told.round().await;
    let seen = told.receiver.seen.lock();
    let omitted = seen.iter().filter(|request| {
        let text = String::from_utf8_lossy(&request.body);
        text.contains("\"omitted\":50")
    });
    assert_eq!(omitted.count(), 1);
}

#[tokio::test]
async fn bans_are_told_of() {
    use crate::{
        Way,
        bans::{BanRule, BanSettings, NewBan, Threshold},
    };
    let told = Told::new().await;
    let operator = Caller::operator(Way::ControlSocket);
    let network = "192.0.2.0/24".parse().unwrap();
    let new = NewBan {
        network,
        reason: "too much".into(),
        duration: Some(Duration::from_secs(60)),
    };
    told.core().ban(&operator, new).await.unwrap();
    told.core().lift_ban(&operator, network).await.unwrap();
    // Both are in the commit of what they tell.
    assert!(told.core().webhooks.unwritten.lock().is_empty());
    let threshold = Threshold::new(1, Duration::from_secs(600));
    told.core().set_bans(BanSettings {
        probing: threshold,
        ..BanSettings::default()
    });
    let client = "198.51.100.7".parse().unwrap();
    for _ in 0..3 {
        told.core().note_offence(client, BanRule::Probing, "/etc");
    }
    told.round().await;
    let seen = told.receiver.seen.lock();
    let bodies = seen.iter().map(|request| {
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        let data = &body["data"];
        let text = |name: &str| data[name].as_str().unwrap_or("-").to_owned();
        format!(
            "{} {} {} {} {} {}",
            body["type"].as_str().unwrap(),
            text("network"),
            text("rule"),
            text("by"),
            text("until").len(),
            text("reason")
        )
    });
    let by = &operator.name;
    assert_eq!(
        bodies.collect::<Vec<_>>(),
        [
            format!("ban.set 192.0.2.0/24 administrator {by} 20 too much"),
            format!("ban.lifted 192.0.2.0/24 administrator {by} 20 too much"),
            "ban.set 198.51.100.7/32 probing - 20 1 requests for addresses that lead nowhere within 10 minutes; /etc"
                .to_owned(),
        ]
    );
}

#[tokio::test]
async fn changes_of_accounts_are_told_with_their_commit() {
    let told = Told::new().await;
    let admin = &told.server.admin;
    let ann = told.server.person("ann@example.org").await;
    told.core().remove_account(admin, ann).await.unwrap();
    // Nothing is in memory alone.
    assert!(told.core().webhooks.unwritten.lock().is_empty());
    told.round().await;
    let ids = told.receiver.ids();
    let kinds: Vec<&str> = ids.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["account.created", "account.removed"]);
}

#[tokio::test]
async fn only_what_is_wanted_is_told() {
    let told = Told::new().await;
    let admin = &told.server.admin;
    let change = WebhookChange {
        events: Some(vec![
            EventKind::Test,
            EventKind::MessageReceived,
            EventKind::Test,
        ]),
        ..WebhookChange::default()
    };
    let changed = told
        .core()
        .change_webhook(admin, told.webhook, change, &TERMS);
    let events = changed.await.unwrap().record.events;
    assert_eq!(events, [EventKind::MessageReceived, EventKind::Test]);
    told.server.person("ann@example.org").await;
    told.core().tell_event(event("a"));
    told.round().await;
    assert_eq!(told.receiver.ids().len(), 1);
}

#[tokio::test]
async fn webhooks_are_administrators_business_and_audited() {
    let told = Told::new().await;
    let (core, admin) = (told.core(), &told.server.admin);
    told.server.person_with_password("ann@example.org").await;
    let ann = told
        .server
        .login("ann@example.org", PASSWORD)
        .await
        .unwrap();
    let terms = Terms::default();
    assert!(matches!(
        core.webhooks(&ann).await,
        Err(WebhookError::Forbidden)
    ));
    assert!(matches!(
        core.remove_webhook(&ann, told.webhook, &terms).await,
        Err(WebhookError::Forbidden)
    ));
    for url in [
        "http://hooks.example.com/",
        "https://127.0.0.1/",
        "https://user:x@a.example/",
        "x",
    ] {
        let new = NewWebhook {
            url: url.into(),
            ..NewWebhook::default()
        };
        let error = core.add_webhook(admin, new, &terms).await.unwrap_err();
        assert!(matches!(error, WebhookError::InvalidUrl(_)), "{url}");
    }
    for _ in 1..WEBHOOKS_MAX {
        let new = NewWebhook {
            url: "https://a.example/".into(),
            ..NewWebhook::default()
        };
        core.add_webhook(admin, new, &terms).await.unwrap();
    }
    let new = NewWebhook {
        url: "https://a.example/".into(),
        ..NewWebhook::default()
    };
    assert!(matches!(
        core.add_webhook(admin, new, &terms).await,
        Err(WebhookError::TooMany)
    ));
    assert_eq!(
        core.test_webhook(admin, told.webhook).await.unwrap(),
        Ok(200)
    );
    core.tell_event(event("a"));
    core.flush_events().await.unwrap();
    core.remove_webhook(admin, told.webhook, &terms)
        .await
        .unwrap();
    assert_eq!(told.waiting().await, 0);
    let filter = AuditFilter {
        operation: Some("webhook".into()),
        ..AuditFilter::default()
    };
    let (rows, _) = core.audit_rows(admin, &filter, None, 1000).await.unwrap();
    assert_eq!(rows.len(), WEBHOOKS_MAX + 2);
    assert!(
        rows.iter()
            .all(|row| !format!("{row:?}").contains("whsec_"))
    );
}

#[tokio::test]
async fn what_is_left_of_one_that_is_gone_goes() {
    let told = Told::new().await;
    let core = told.core();
    core.tell_event(event("a"));
    told.round().await;
    core.tell_event(event("b"));
    core.flush_events().await.unwrap();
    let mut batch = store::engine::Batch::new();
    batch.delete(keys::webhook(told.webhook));
    core.engine.commit(batch).await.unwrap();
    core.purge_webhooks().await.unwrap();
    assert_eq!(told.waiting().await, 0);
    let page = Page::first(keys::webhook_done_of(told.webhook), 10);
    assert!(core.engine.scan(page).await.unwrap().is_empty());
}

#[tokio::test]
async fn events_outlive_a_store_that_fails_and_a_writer_that_is_broken_off() {
    let engine = FaultyEngine::new(FaultPlan::default());
    let told = Told::of(Server::over(engine.clone(), 1).await).await;
    let core = told.core();
    core.tell_event(event("a"));
    let plans = [
        FaultPlan {
            reads_fail: 1000,
            ..FaultPlan::default()
        },
        FaultPlan {
            commits_fail: 1000,
            ..FaultPlan::default()
        },
    ];
    for plan in plans {
        engine.set_plan(plan);
        assert!(core.flush_events().await.is_err());
        core.tell_event(event("b"));
    }
    engine.set_plan(FaultPlan::default());
    {
        // It waits for its commit when the server is stopped.
        let mut writing = Box::pin(core.flush_events());
        assert!(futures_util::poll!(&mut writing).is_pending());
    }
    told.round().await;
    assert_eq!(told.receiver.ids().len(), 3);
    assert_eq!(core.metrics.webhook_events_lost.get(), 0);
}

/// What is put with a commit is counted up, and another node tells it.
#[tokio::test]
async fn what_others_have_told_makes_room() {
    let told = Told::new().await;
    let core = told.core();
    for _ in 0..WAITING_MAX + 100 {
        let mut batch = Batch::new();
        core.tell_event_with(&mut batch, event("a"));
        core.engine.commit(batch).await.unwrap();
        // Another node's work, and what this one does when something was put.
        let mut told_there = Batch::new();
        let page = Page::first(keys::webhook_due_of(told.webhook), 10).keys_only();
        for (key, _) in core.engine.scan(page).await.unwrap() {
            told_there.delete(key.to_vec());
        }
        core.engine.commit(told_there).await.unwrap();
        told.server.clock.advance(Duration::from_millis(20));
        core.flush_events().await.unwrap();
    }
    assert_eq!(core.metrics.webhook_events_lost.get(), 0);
}

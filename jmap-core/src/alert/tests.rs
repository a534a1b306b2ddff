//! What is mailed, when, and to whom.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use expect_test::expect;
use jmap_types::AccountId;
use store::{
    Record as _,
    engine::{FaultPlan, FaultyEngine},
};

use super::{AlertKind, AlertRecord, AlertSettings, Condition, OF_NODE, Thresholds};
use crate::{
    Limits, Role,
    admin::Terms,
    auth::Secret,
    directory::{
        NewAccount,
        external::{Away, Chosen, ExternalDirectory, GoodToken, Person},
        names::Address,
        tests::{PASSWORD, Server},
    },
    webhook::{EventKind, NewWebhook},
};

#[test]
fn bytes_of_version_1() {
    let record = AlertRecord {
        kind: AlertKind::QueueLong,
        node: "mx1".into(),
        subject: "s".into(),
        sentence: "Many.".into(),
        since: 1_700_000_000_000,
        mailed: Some(1_700_000_000_001),
        over: None,
    };
    let bytes = record.to_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    expect!["8603636d78316173654d616e792e1b0000018bcfe568001b0000018bcfe56801"].assert_eq(&hex);
    assert_eq!(AlertRecord::from_bytes(b"", &bytes).unwrap(), record);
}

const LOOKED: &[AlertKind] = &[AlertKind::DiskFull, AlertKind::QueueLong];

struct Alerted {
    server: Server,
    boss: AccountId,
    settings: AlertSettings,
}

impl Alerted {
    async fn new() -> Alerted {
        Alerted::of(Server::with_domain().await).await
    }

    async fn of(server: Server) -> Alerted {
        let new = NewAccount {
            role: Role::Administrator,
            ..NewAccount::person("boss@example.org", Some(Secret::from(PASSWORD)))
        };
        let boss = server
            .core
            .add_account(&server.admin, new)
            .await
            .unwrap()
            .id;
        server.person("ann@example.org").await;
        Alerted {
            server,
            boss,
            settings: AlertSettings {
                is_mailed: true,
                to: Vec::new(),
                remind_ms: 86_400_000,
                calm_ms: 300_000,
            },
        }
    }

    async fn look(&self, found: &[Condition]) {
        self.look_for(LOOKED, found).await;
    }

    async fn look_for(&self, looked: &[AlertKind], found: &[Condition]) {
        let core = &self.server.core;
        let noted = core.note_conditions("", looked, found, &self.settings);
        noted.await.unwrap();
    }

    /// Emails that an account has.
    async fn mails(&self, account: AccountId) -> usize {
        let handle = self.server.core.accounts.handle(account);
        handle.view().await.unwrap().emails().count()
    }
}

fn full() -> Condition {
    Condition::new(AlertKind::DiskFull, "/data", "The disk is full.")
}

#[tokio::test]
async fn one_mail_when_it_begins_one_a_day_and_one_when_it_is_over() {
    let alerted = Alerted::new().await;
    let clock = &alerted.server.clock;
    let minute = Duration::from_secs(60);
    for _ in 0..5 {
        alerted.look(&[full()]).await;
        clock.advance(minute);
    }
    assert_eq!(alerted.mails(alerted.boss).await, 1);
    let shown = alerted
        .server
        .core
        .alerts(&alerted.server.admin)
        .await
        .unwrap();
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0].record.sentence, "The disk is full.");
    clock.advance(Duration::from_secs(86_400));
    alerted.look(&[full()]).await;
    assert_eq!(alerted.mails(alerted.boss).await, 2);
    // It comes and goes.
    alerted.look(&[]).await;
    clock.advance(minute);
    alerted.look(&[full()]).await;
    alerted.look(&[]).await;
    clock.advance(minute * 4);
    alerted.look(&[]).await;
    assert_eq!(alerted.mails(alerted.boss).await, 2);
    clock.advance(minute * 2);
    alerted.look(&[]).await;
    assert_eq!(alerted.mails(alerted.boss).await, 3);
    assert_eq!(
        alerted
            .server
            .core
            .alerts(&alerted.server.admin)
            .await
            .unwrap(),
        []
    );
    alerted.look(&[]).await;
    assert_eq!(alerted.mails(alerted.boss).await, 3);
    // Nobody else was told.
    let ann = alerted
        .server
        .core
        .account_named("ann@example.org")
        .await
        .unwrap();
    assert_eq!(alerted.mails(ann.id).await, 0);
}

#[tokio::test]
async fn what_was_not_looked_for_stays() {
    let alerted = Alerted::new().await;
    alerted.look(&[full()]).await;
    alerted.server.clock.advance(Duration::from_secs(3600));
    let core = &alerted.server.core;
    for (node, looked) in [("", &[AlertKind::QueueOld][..]), ("other", LOOKED)] {
        for _ in 0..2 {
            core.note_conditions(node, looked, &[], &alerted.settings)
                .await
                .unwrap();
            alerted.server.clock.advance(Duration::from_secs(3600));
        }
    }
    assert_eq!(core.alerts(&alerted.server.admin).await.unwrap().len(), 1);
}

#[tokio::test]
async fn addresses_of_the_settings_are_told_and_webhooks() {
    let mut alerted = Alerted::new().await;
    alerted.settings.to = vec!["ann@example.org".into(), "nobody@example.org".into()];
    let (core, admin) = (&alerted.server.core, &alerted.server.admin);
    let new = NewWebhook {
        url: "https://hooks.example.com/".into(),
        events: vec![EventKind::AlertRaised, EventKind::AlertCleared],
        ..NewWebhook::default()
    };
    let webhook = core
        .add_webhook(admin, new, &Terms::default())
        .await
        .unwrap();
    alerted.look(&[full()]).await;
    let ann = core.account_named("ann@example.org").await.unwrap();
    assert_eq!(alerted.mails(ann.id).await, 1);
    assert_eq!(alerted.mails(alerted.boss).await, 0);
    alerted.look(&[]).await;
    alerted.server.clock.advance(Duration::from_secs(301));
    alerted.look(&[]).await;
    let webhook = core.webhook(admin, webhook.number).await.unwrap();
    assert_eq!(webhook.waiting, 2);
    // Without mail it is shown, and no mail comes when it is over.
    alerted.settings.is_mailed = false;
    alerted.look(&[full()]).await;
    alerted.settings.is_mailed = true;
    alerted.settings.remind_ms = i64::MAX;
    assert_eq!(core.alerts(admin).await.unwrap().len(), 1);
    assert_eq!(alerted.mails(ann.id).await, 2);
}

/// A directory that can't be asked.
#[derive(Debug)]
struct IsAway;

#[async_trait]
impl ExternalDirectory for IsAway {
    fn name(&self) -> &str {
        "away"
    }

    async fn check_password(
        &self,
        _: &Address,
        _: &Secret<String>,
    ) -> Result<Option<Person>, Away> {
        Err(Away("it is away".into()))
    }

    async fn find(&self, _: &Address) -> Result<Option<Person>, Away> {
        Err(Away("it is away".into()))
    }

    async fn check_token(&self, _: &Secret<String>) -> Result<Option<GoodToken>, Away> {
        Err(Away("it is away".into()))
    }
}

#[tokio::test]
async fn who_is_unknown_for_now_is_told_later() {
    let mut alerted = Alerted::new().await;
    alerted.settings.to = vec!["eve@example.org".into()];
    let core = &alerted.server.core;
    core.use_directories(vec![Chosen {
        directory: Arc::new(IsAway),
        domains: vec!["example.org".to_owned()],
    }]);
    alerted.look(&[full()]).await;
    core.use_directories(Vec::new());
    let eve = alerted.server.person("eve@example.org").await;
    alerted.look(&[full()]).await;
    assert_eq!(alerted.mails(eve).await, 1);
}

#[tokio::test]
async fn who_has_it_does_not_get_it_again_because_others_have_not() {
    let mut alerted = Alerted::new().await;
    alerted.settings.to = vec!["ann@example.org".into(), "boss@elsewhere.example".into()];
    let core = &alerted.server.core;
    // Nothing can be queued.
    core.set_limits(Limits {
        max_submissions: 0,
        ..Limits::default()
    });
    let ann = core.account_named("ann@example.org").await.unwrap();
    for _ in 0..3 {
        alerted.look(&[full()]).await;
    }
    assert_eq!(alerted.mails(ann.id).await, 1);
}

#[tokio::test]
async fn that_the_store_fails_is_shown_while_it_does_and_mailed_afterwards() {
    let engine = FaultyEngine::new(FaultPlan::default());
    let server = Server::over(engine.clone(), 1).await;
    let domain = server.core.add_domain(&server.admin, "example.org");
    domain.await.unwrap();
    let alerted = Alerted::of(server).await;
    let (core, admin) = (&alerted.server.core, &alerted.server.admin);
    let failing = [Condition::new(AlertKind::StoreFailing, "", "It fails.")];
    let shown = async || {
        let alerts = core.alerts(admin).await.unwrap();
        let kinds = alerts.iter().map(|of| of.record.kind);
        assert_eq!(core.gauges().alerts, alerts.len() as u64);
        kinds.collect::<Vec<_>>()
    };
    engine.set_plan(FaultPlan {
        commits_fail: 1000,
        ..FaultPlan::default()
    });
    for _ in 0..3 {
        alerted.look_for(OF_NODE, &failing).await;
        alerted.server.clock.advance(Duration::from_secs(60));
        assert_eq!(shown().await, [AlertKind::StoreFailing]);
    }
    engine.set_plan(FaultPlan::default());
    let since = core.alerts(admin).await.unwrap()[0].record.since;
    alerted.look_for(OF_NODE, &[]).await;
    let known = core.alerts(admin).await.unwrap();
    assert_eq!((known.len(), known[0].record.since), (1, since));
    for _ in 0..2 {
        alerted.look_for(OF_NODE, &[]).await;
        alerted.server.clock.advance(Duration::from_secs(301));
    }
    assert_eq!(alerted.mails(alerted.boss).await, 1);
    alerted.look_for(OF_NODE, &[]).await;
    assert_eq!(shown().await, []);
    assert_eq!(alerted.mails(alerted.boss).await, 1);
}

#[tokio::test]
async fn what_nobody_could_be_mailed_of_while_it_lasted_is_mailed_when_it_is_over() {
    let mut alerted = Alerted::new().await;
    alerted.settings.to = vec!["eve@example.org".into()];
    let core = &alerted.server.core;
    core.use_directories(vec![Chosen {
        directory: Arc::new(IsAway),
        domains: vec!["example.org".to_owned()],
    }]);
    let failing = [Condition::new(AlertKind::BlobsFailing, "", "They fail.")];
    alerted.look_for(OF_NODE, &failing).await;
    core.use_directories(Vec::new());
    let eve = alerted.server.person("eve@example.org").await;
    alerted.look_for(OF_NODE, &[]).await;
    alerted.server.clock.advance(Duration::from_secs(301));
    alerted.look_for(OF_NODE, &[]).await;
    assert_eq!(alerted.mails(eve).await, 1);
}

#[tokio::test]
async fn a_dismissed_one_begins_anew() {
    let alerted = Alerted::new().await;
    alerted.look(&[full()]).await;
    let (core, admin) = (&alerted.server.core, &alerted.server.admin);
    let number = core.alerts(admin).await.unwrap()[0].number;
    core.dismiss_alert(admin, number).await.unwrap();
    assert!(core.dismiss_alert(admin, number).await.is_err());
    assert_eq!(core.alerts(admin).await.unwrap(), []);
    alerted.look(&[full()]).await;
    assert_eq!(alerted.mails(alerted.boss).await, 2);
    let ann = alerted.server.person_with_password("eve@example.org").await;
    let _ = ann;
    let eve = alerted
        .server
        .login("eve@example.org", PASSWORD)
        .await
        .unwrap();
    assert!(core.alerts(&eve).await.is_err());
    assert!(core.dismiss_alert(&eve, number).await.is_err());
}

#[tokio::test]
async fn a_server_that_is_well_has_no_conditions() {
    let alerted = Alerted::new().await;
    let limits = Thresholds {
        queue_length: 1,
        queue_age: 1,
    };
    let core = &alerted.server.core;
    assert_eq!(core.find_conditions(&limits).await.unwrap(), []);
    assert_eq!(core.find_node_conditions(), []);
}

//! A submission through crashes: each recipient gets the message once, wherever the power fails.

use std::time::Duration;

use bytes::Bytes;
use store::engine::{FaultPlan, FaultyEngine};

use super::{ANN, BOB, HELLO, Server, core_over};
use crate::{Limits, mail::write};

async fn inbox_count(core: &crate::Core, account: jmap_types::AccountId) -> usize {
    let handle = core.accounts.handle(account);
    let view = handle.view().await.unwrap();
    view.mailbox(write::INBOX).unwrap().by_received.len()
}

/// Accepts a message for two recipients, stops at commit number `at` of sending it, and goes on after a restart.
async fn crash_at(at: u64) -> bool {
    let engine = FaultyEngine::new(FaultPlan {
        seed: at,
        ..FaultPlan::default()
    });
    let server = Server::with(engine.clone(), Limits::default()).await;
    let message = Bytes::from(HELLO.replace('\n', "\r\n"));
    let to = vec![
        BOB.to_owned(),
        "eve@example.org".to_owned(),
        "nobody@example.org".to_owned(),
    ];
    server
        .core
        .submit(&server.ann, Some(ANN.to_owned()), to, message)
        .await
        .unwrap();
    let accounts = [server.ann.account, server.bob.account, server.eve.account];

    let plan = FaultPlan {
        seed: at,
        crash_at_commit: Some(at),
        ..FaultPlan::default()
    };
    let engine = engine.restart_with(plan);
    let (core, clock, _folder) = core_over(engine.clone(), 2, Limits::default()).await;
    clock.advance(Duration::from_secs(3600));
    let _ = core.send_due().await;
    let crashed = engine.is_crashed();

    let engine = engine.restart_with(FaultPlan::default());
    let (core, clock, _folder) = core_over(engine, 3, Limits::default()).await;
    clock.advance(Duration::from_secs(7200));
    core.send_due().await.unwrap();
    clock.advance(Duration::from_secs(7200));
    core.send_due().await.unwrap();
    for account in accounts {
        assert_eq!(
            inbox_count(&core, account).await,
            1,
            "crash at commit {at}, account {account}"
        );
    }
    crashed
}

#[tokio::test]
async fn each_recipient_once() {
    let mut crashes = 0;
    for at in 1..12 {
        crashes += usize::from(crash_at(at).await);
    }
    assert!(crashes >= 3, "only {crashes} runs were interrupted");
}

//! A submission through crashes: each recipient gets the message once, wherever the power fails.

use std::time::Duration;

use bytes::Bytes;
use store::engine::{Engine as _, FaultPlan, FaultyEngine, MemoryEngine};

use crate::mail::submission::records::EnvelopeAddress;

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
    let to = [BOB, "eve@example.org", "nobody@example.org"];
    let to = to.map(EnvelopeAddress::plain).to_vec();
    server
        .core
        .submit(&server.ann, EnvelopeAddress::plain(ANN), to, message, None)
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

/// A message of ann's to bob that is in the queue, with the lease of the process that took it.
async fn submit(server: &Server) {
    let message = Bytes::from(HELLO.replace('\n', "\r\n"));
    let to = vec![EnvelopeAddress::plain(BOB)];
    let taken = server
        .core
        .submit(&server.ann, EnvelopeAddress::plain(ANN), to, message, None);
    taken.await.unwrap();
}

#[tokio::test]
async fn the_lease_of_a_process_that_has_crashed_is_taken_over_at_once() {
    let engine = FaultyEngine::new(FaultPlan::default());
    let server = Server::with(engine.clone(), Limits::default()).await;
    submit(&server).await;
    let engine = engine.restart();
    let (core, _clock, _folder) = core_over(engine, 2, Limits::default()).await;
    core.send_due().await.unwrap();
    assert_eq!(inbox_count(&core, server.bob.account).await, 1);
}

#[tokio::test]
async fn on_a_shared_database_the_lease_of_another_node_counts() {
    let engine = MemoryEngine::new();
    assert!(!engine.is_exclusive());
    let server = Server::with(engine.clone(), Limits::default()).await;
    submit(&server).await;
    let (other, clock, _folder) = core_over(engine, 2, Limits::default()).await;
    let now = other.queue_now();
    // Whether the first node lives, only time tells.
    assert_eq!(other.send_due().await.unwrap(), Some(now + 120_000));
    assert_eq!(inbox_count(&other, server.bob.account).await, 0);
    clock.advance(Duration::from_secs(121));
    other.send_due().await.unwrap();
    assert_eq!(inbox_count(&other, server.bob.account).await, 1);
}

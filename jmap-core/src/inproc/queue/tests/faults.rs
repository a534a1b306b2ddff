//! Crashes, failed and lost commits, lost leases: everybody gets the message, and nobody twice.

use std::{sync::Arc, time::Duration};

use store::{
    blob::{
        BlobEngine, BlobSettings, Source,
        keyring::{Keyring, MasterKey},
    },
    engine::{Batch, Engine, FaultPlan, FaultyEngine, MemoryEngine},
};

use super::*;
use crate::{
    Limits,
    admin::Terms,
    mail::submission::{records::Delivered, tests::core_over},
    webhook::NewWebhook,
};

const TO: [&str; 5] = [
    "x@one.example",
    "y@one.example",
    "z@two.example",
    "bob@example.org",
    "nobody@three.example",
];

/// One takes one recipient at a time; three refuses.
fn answer(job: &Job) -> Attempt {
    if job.domain == "three.example" {
        return all(job, Fate::Refused, "550 5.1.1 No", Some("mx"));
    }
    let mut attempt = takes(job);
    attempt.outcomes.truncate(1);
    attempt
}

/// Stops at commit number `at` of sending a message, and goes on after a restart. Returns whether it stopped, and how many
/// recipients have it twice.
async fn crash_at(at: u64) -> (bool, usize) {
    let engine = FaultyEngine::new(FaultPlan {
        seed: at,
        ..FaultPlan::default()
    });
    let server = Server::with(engine.clone(), Limits::default()).await;
    submit(&server, &TO).await;
    let others = Others::new(answer);
    let plan = FaultPlan {
        seed: at,
        crash_at_commit: Some(at),
        ..FaultPlan::default()
    };
    let engine = engine.restart_with(plan);
    let (core, _clock, _folder) = core_over(engine.clone(), 2, Limits::default()).await;
    core.send_with(others.clone());
    let _ = core.send_due().await;
    let has_crashed = engine.is_crashed();

    let engine = engine.restart_with(FaultPlan::default());
    let (core, clock, _folder) = core_over(engine, 3, Limits::default()).await;
    core.send_with(others.clone());
    for _ in 0..3 {
        clock.advance(Duration::from_secs(7200));
        core.send_due().await.unwrap();
    }
    let mut twice = 0;
    for recipient in ["x@one.example", "y@one.example", "z@two.example"] {
        match others.taken(recipient) {
            1 => {}
            2 => twice += 1,
            count => panic!("{recipient} has it {count} times after a crash at commit {at}"),
        }
    }
    let (_, record) = records(&core, &server.ann).await.remove(0);
    let delivered = record.recipients.iter().map(|r| r.delivered);
    use Delivered::{No, Unknown, Yes};
    assert_eq!(
        delivered.collect::<Vec<_>>(),
        [Unknown, Unknown, Unknown, Yes, No],
        "crash at commit {at}"
    );
    assert!(record.is_done);
    assert_eq!(record.dsns.len(), 1, "crash at commit {at}");
    assert_eq!(inbox(&core, &server.bob).await, 1);
    assert_eq!(inbox(&core, &server.ann).await, 1);
    check_is_clean(&core).await;
    (has_crashed, twice)
}

async fn inbox(core: &Core, who: &Caller) -> usize {
    let handle = core.accounts.handle(who.account);
    let view = handle.view().await.unwrap();
    let inbox = view.mailbox(crate::mail::write::INBOX).unwrap();
    inbox.by_received.len()
}

#[tokio::test]
async fn each_recipient_once_through_crashes() {
    let (mut crashes, mut twice) = (0, 0);
    for at in 1..24 {
        let (has_crashed, of_this) = crash_at(at).await;
        crashes += usize::from(has_crashed);
        // Who is lost between the peer's answer and the commit that records it: at most those whose commits went together.
        assert!(of_this <= 2, "{of_this} recipients twice at commit {at}");
        twice += of_this;
    }
    assert!(crashes >= 5, "only {crashes} runs were interrupted");
    assert!(twice <= crashes * 2, "{twice} in {crashes}");
}

#[tokio::test]
async fn what_cannot_be_recorded_is_recorded_later_and_not_sent_again() {
    for seed in 0..30 {
        let engine = FaultyEngine::new(FaultPlan {
            seed,
            ..FaultPlan::default()
        });
        let server = Server::with(engine.clone(), Limits::default()).await;
        submit(&server, &TO).await;
        let others = Others::new(answer);
        let plan = FaultPlan {
            seed,
            commits_fail: 200,
            answers_lost: 200,
            ..FaultPlan::default()
        };
        let engine = engine.restart_with(plan);
        let clock;
        let core;
        let _folder;
        loop {
            // Opening writes as well.
            let opened =
                std::panic::AssertUnwindSafe(core_over(engine.clone(), seed, Limits::default()));
            if let Ok(opened) = futures_util::FutureExt::catch_unwind(opened).await {
                (core, clock, _folder) = opened;
                break;
            }
        }
        core.send_with(others.clone());
        for _ in 0..60 {
            clock.advance(Duration::from_secs(900));
            let _ = core.send_due().await;
        }
        for recipient in ["x@one.example", "y@one.example", "z@two.example"] {
            assert_eq!(
                others.taken(recipient),
                1,
                "{recipient}, seed {seed}: {:#?} {:?}",
                records(&core, &server.ann).await,
                core.queue.board.lock()
            );
        }
        let (_, record) = records(&core, &server.ann).await.remove(0);
        assert!(record.is_done, "seed {seed}: {record:?}");
        assert_eq!(record.dsns.len(), 1, "seed {seed}");
    }
}

#[tokio::test]
async fn what_has_come_of_a_try_is_told_once_and_when_it_is_on_disk() {
    let engine = FaultyEngine::new(FaultPlan::default());
    let server = Server::with(engine.clone(), Limits::default()).await;
    let (core, admin) = (&server.core, Caller::server());
    let new = NewWebhook {
        url: "https://hooks.example.com/x".into(),
        ..NewWebhook::default()
    };
    core.add_webhook(&admin, new, &Terms::default())
        .await
        .unwrap();
    let failing = FaultPlan {
        commits_fail: 1000,
        ..FaultPlan::default()
    };
    let others = {
        let engine = engine.clone();
        // Both are being sent to before anything fails.
        let answered = AtomicUsize::new(0);
        Others::new(move |job| {
            if answered.fetch_add(1, Ordering::Relaxed) == 0 {
                engine.set_plan(failing);
            }
            answer(job)
        })
    };
    for domain in ["one.example", "three.example"] {
        let a_while = Duration::from_millis(50);
        others.slow.lock().insert(domain.to_owned(), a_while);
    }
    core.send_with(others.clone());
    submit(&server, &["x@one.example", "nobody@three.example"]).await;
    let told = || {
        let metrics = &core.metrics;
        let counters = [
            &metrics.queue_delivered,
            &metrics.queue_failed,
            &metrics.queue_reports,
        ];
        counters.map(|counter| counter.get())
    };
    // More often than a sender is told the same.
    for _ in 0..20 {
        let _ = core.send_due().await;
        server.pass(60);
    }
    assert_eq!(told(), [0; 3]);
    engine.set_plan(FaultPlan::default());
    core.send_due().await.unwrap();
    assert_eq!(told(), [1; 3]);
    assert_eq!(others.tries(), 2);
    assert_eq!(inbox(core, &server.ann).await, 1);
    core.flush_events().await.unwrap();
    let range = keys::all(keys::Subspace::WebhookDue);
    let events = core.engine.scan(Page::first(range, 100)).await.unwrap();
    assert_eq!(events.len(), 2);
}

#[derive(Debug)]
struct NoDice;

impl Source for NoDice {
    fn now_ms(&self) -> u64 {
        1_700_000_000_000
    }

    fn fill(&self, out: &mut [u8]) {
        out.fill(7);
    }
}

#[tokio::test]
async fn a_damaged_message_is_given_up_and_its_sender_told() {
    let memory: Arc<dyn Engine> = MemoryEngine::new();
    let mut keyring = Keyring::none();
    keyring.add("one", MasterKey::new([7; 32])).unwrap();
    let settings = BlobSettings {
        outside: None,
        writes_outside: false,
        threshold: 0,
        cache: None,
        keyring,
        source: Arc::new(NoDice),
    };
    let engine = BlobEngine::open(memory.clone(), settings).await.unwrap();
    let server = Server::with(engine, Limits::default()).await;
    let core = &server.core;
    let others = Others::new(|job| all(job, Fate::Later, "450 4.7.1 Later", Some("mx")));
    core.send_with(others.clone());
    submit(&server, &["x@one.example"]).await;
    core.send_due().await.unwrap();
    let (_, record) = records(core, &server.ann).await.remove(0);
    let key = keys::blob(&record.blob);
    let mut octets = memory.get(&key).await.unwrap().unwrap().to_vec();
    octets[40] ^= 1;
    let mut batch = Batch::new();
    batch.put(key, octets);
    memory.commit(batch).await.unwrap();
    // A week, in which the whole queue is looked at all the time.
    for _ in 0..7 * 24 * 6 {
        server.pass(600);
        core.send_due().await.unwrap();
    }
    assert_eq!(others.tries(), 1);
    let (_, record) = records(core, &server.ann).await.remove(0);
    assert!(record.is_done, "{record:?}");
    assert!(record.attempts < 100, "{record:?}");
    let subjects = server.inbox(&server.ann).await;
    let failed = "Your message could not be delivered";
    assert_eq!(
        subjects.last().map(String::as_str),
        Some(failed),
        "{subjects:?}"
    );
}

#[tokio::test]
async fn a_lease_is_renewed_while_a_job_takes_long() {
    let engine = MemoryEngine::new();
    let server = Server::with(engine.clone(), Limits::default()).await;
    let others = Others::new(takes);
    others
        .slow
        .lock()
        .insert("slow.example".to_owned(), Duration::from_millis(300));
    server.core.send_with(others.clone());
    submit(&server, &["x@slow.example"]).await;
    let (other, other_clock, _folder) = core_over(engine, 2, Limits::default()).await;
    other.send_with(others.clone());
    let sending = {
        let core = server.core.clone();
        tokio::spawn(async move { core.send_due().await })
    };
    while others.tries() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Ten minutes on both nodes; the one that sends looks at its leases now and then.
    for _ in 0..15 {
        server.pass(40);
        other_clock.advance(Duration::from_secs(40));
        server.core.renew_leases().await;
        other.send_due().await.unwrap();
    }
    sending.await.unwrap().unwrap();
    assert_eq!(others.tries(), 1);
    assert_eq!(others.taken("x@slow.example"), 1);
}

#[tokio::test]
async fn nobody_goes_on_with_a_lease_that_has_run_out() {
    use super::super::lease::Hold;
    let engine = MemoryEngine::new();
    let server = Server::with(engine.clone(), Limits::default()).await;
    submit(&server, &["x@a.example", "y@b.example"]).await;
    let (other, other_clock, _folder) = core_over(engine, 2, Limits::default()).await;
    let item = (server.ann.account, records(&other, &server.ann).await[0].0);
    let mut hold = Hold::default();
    assert!(server.core.hold(&mut hold, item).await.unwrap().is_some());
    server.pass(119);
    assert!(server.core.hold(&mut hold, item).await.unwrap().is_some());
    // One lane took long, nobody renewed the lease, and the other node has it: the next lane doesn't begin.
    server.pass(2);
    other_clock.advance(Duration::from_secs(121));
    let mut theirs = Hold::default();
    assert!(other.hold(&mut theirs, item).await.unwrap().is_some());
    assert!(server.core.hold(&mut hold, item).await.unwrap().is_none());
}

#[tokio::test]
async fn a_message_that_is_lost_is_told_to_its_sender() {
    let server = Server::new().await;
    let others = Others::new(takes);
    server.core.send_with(others.clone());
    submit(&server, &["x@a.example", "y@b.example"]).await;
    let blob = records(&server.core, &server.ann).await[0].1.blob;
    let mut batch = store::engine::Batch::new();
    batch.delete(keys::blob(&blob));
    server.core.engine.commit(batch).await.unwrap();
    server.core.send_due().await.unwrap();
    assert_eq!(others.tries(), 0);
    let (_, record) = records(&server.core, &server.ann).await.remove(0);
    assert!(record.is_done, "{record:?}");
    for recipient in &record.recipients {
        assert_eq!(recipient.delivered, Delivered::No);
        assert!(recipient.smtp_reply.starts_with("554 5.3.0"));
    }
    let subjects = server.inbox(&server.ann).await;
    assert_eq!(subjects, ["Your message could not be delivered"]);
    check_is_clean(&server.core).await;
}

#[tokio::test]
async fn what_was_taken_is_recorded_without_a_lease_too() {
    let engine = MemoryEngine::new();
    let server = Server::with(engine.clone(), Limits::default()).await;
    let others = Others::new(takes);
    others
        .slow
        .lock()
        .insert("slow.example".to_owned(), Duration::from_millis(200));
    server.core.send_with(others.clone());
    submit(&server, &["x@slow.example"]).await;
    let (other, other_clock, _folder) = core_over(engine, 2, Limits::default()).await;
    let refusing = Others::new(|job| all(job, Fate::Later, "450 4.2.0 Later", Some("mx")));
    other.send_with(refusing.clone());
    let sending = {
        let core = server.core.clone();
        tokio::spawn(async move { core.send_due().await })
    };
    while others.tries() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Nobody renews: the other node takes it for dead.
    other_clock.advance(Duration::from_secs(121));
    other.send_due().await.unwrap();
    assert_eq!(refusing.tries(), 1);
    sending.await.unwrap().unwrap();
    let record = recipients(&other, &server.ann).await.remove(0);
    assert_eq!(record.delivered, Delivered::Unknown);
    // The other node closes it.
    other_clock.advance(Duration::from_secs(7200));
    other.send_due().await.unwrap();
    assert_eq!(refusing.tries(), 1);
    assert!(records(&other, &server.ann).await[0].1.is_done);
}

#[tokio::test]
async fn who_panics_is_tried_again() {
    let server = Server::new().await;
    let others = Others::new(|_| panic!("a bug"));
    server.core.send_with(others.clone());
    submit(&server, &["x@a.example"]).await;
    server.core.send_due().await.unwrap();
    let record = recipients(&server.core, &server.ann).await.remove(0);
    assert_eq!(record.delivered, Delivered::Queued);
    assert!(record.smtp_reply.starts_with("451 4.3.0"), "{record:?}");
    others.answers(takes);
    server.pass(300);
    server.core.send_due().await.unwrap();
    assert_eq!(others.taken("x@a.example"), 1);
}

#[tokio::test]
async fn a_stop_waits_for_what_is_being_sent() {
    let server = Server::new().await;
    let others = Others::new(takes);
    let slow = Duration::from_millis(200);
    others.slow.lock().insert("a.example".to_owned(), slow);
    server.core.send_with(others.clone());
    submit(&server, &["x@a.example"]).await;
    let running: Arc<Core> = Arc::new(server.core.clone());
    let working = {
        let core = running.clone();
        tokio::spawn(async move { core.run_queue().await })
    };
    while others.tries() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    submit(&server, &["y@b.example"]).await;
    server.core.stop_queue(Duration::from_secs(10)).await;
    working.abort();
    assert_eq!(others.taken("x@a.example"), 1);
    let delivered: Vec<_> = recipients(&server.core, &server.ann).await;
    assert_eq!(delivered[0].delivered, Delivered::Unknown);
    assert_eq!(delivered[1].delivered, Delivered::Queued);
}

#[tokio::test]
async fn a_row_stays_where_it_is_while_some_of_it_is_being_sent() {
    let engine = MemoryEngine::new();
    let server = Server::with(engine.clone(), Limits::default()).await;
    let others = Others::new(|job| all(job, Fate::Later, "450 4.7.1 Later", Some("mx")));
    server.core.send_with(others.clone());
    let fast = ["x@a.example"];
    submit(&server, &[&["w@slow.example"], &fast[..]].concat()).await;
    server.core.send_due().await.unwrap();
    // The second time all have a time of their own, and the slow one the last.
    {
        use crate::mail::submission::stage;
        let id = records(&server.core, &server.ann).await[0].0;
        let account = server.core.accounts.handle(server.ann.account);
        let mut txn = account.writer.begin().await.unwrap();
        let mut record = stage::read(&txn, id).await.unwrap().unwrap();
        let due = record.due;
        record.recipients[0].next_try = Some(due + 1000);
        stage::update(&mut txn, id, &mut record, due);
        txn.commit().await.unwrap();
    }
    others.answers(takes);
    let slow = Duration::from_millis(400);
    others.slow.lock().insert("slow.example".to_owned(), slow);
    let (other, other_clock, _folder) = core_over(engine, 2, Limits::default()).await;
    other.send_with(others.clone());
    server.pass(70);
    other_clock.advance(Duration::from_secs(70));
    let sending = {
        let core = server.core.clone();
        tokio::spawn(async move { core.send_due().await })
    };
    while fast.iter().any(|to| others.taken(to) == 0) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    other.send_due().await.unwrap();
    sending.await.unwrap().unwrap();
    assert_eq!(others.taken("w@slow.example"), 1);
}

#[tokio::test]
async fn a_refusal_counts_for_nothing_once_the_lease_is_lost() {
    let engine = MemoryEngine::new();
    let server = Server::with(engine.clone(), Limits::default()).await;
    let refusing = Others::new(|job| all(job, Fate::Refused, "550 5.1.1 No", Some("mx")));
    let slow = |others: &Others, ms| {
        let slow = Duration::from_millis(ms);
        others.slow.lock().insert("slow.example".to_owned(), slow);
    };
    slow(&refusing, 200);
    server.core.send_with(refusing.clone());
    submit(&server, &["x@slow.example"]).await;
    let (other, other_clock, _folder) = core_over(engine, 2, Limits::default()).await;
    let taking = Others::new(takes);
    slow(&taking, 600);
    other.send_with(taking.clone());
    let send = |core: &Core| {
        let core = core.clone();
        tokio::spawn(async move { core.send_due().await })
    };
    let first = send(&server.core);
    while refusing.tries() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Nobody renews: the other node takes it for dead, and sends as well. What it hears is what counts.
    other_clock.advance(Duration::from_secs(121));
    let second = send(&other);
    for sending in [first, second] {
        sending.await.unwrap().unwrap();
    }
    let record = recipients(&other, &server.ann).await.remove(0);
    assert_eq!(record.delivered, Delivered::Unknown);
    assert_eq!(inbox(&other, &server.ann).await, 0, "a report of failure");
}

/// A row that can't be read costs itself, and not the mail behind it.
#[tokio::test]
async fn damaged_rows_keep_no_others() {
    let server = Server::new().await;
    let core = &server.core;
    let others = Others::new(takes);
    core.send_with(others.clone());
    submit(&server, &["x@one.example"]).await;
    submit(&server, &["y@two.example"]).await;
    submit(&server, &["bob@example.org"]).await;
    let range = keys::all(keys::Subspace::QueueDue);
    let rows = core.engine.scan(Page::first(range, 10)).await.unwrap();
    let [(lost, _), (unclear, _), _] = &rows[..] else {
        panic!("{rows:?}");
    };
    let mut batch = Batch::new();
    // One has lost an octet at its end, the lease of another one says nothing.
    batch.delete(lost.to_vec());
    batch.put(lost[..lost.len() - 1].to_vec(), "");
    batch.put(unclear.to_vec(), "damaged");
    core.engine.commit(batch).await.unwrap();
    core.send_due().await.unwrap();
    assert_eq!(inbox(core, &server.bob).await, 1);
    let sent = |to: &str| others.taken(to);
    let of_remote = [sent("x@one.example"), sent("y@two.example")];
    assert_eq!(of_remote.iter().sum::<usize>(), 1, "{of_remote:?}");
    // It is put aside, once.
    let aside = keys::all(keys::Subspace::Quarantine);
    let page = Page::first(aside, 10).keys_only();
    assert_eq!(core.engine.scan(page.clone()).await.unwrap().len(), 1);
    core.send_due().await.unwrap();
    assert_eq!(core.engine.scan(page).await.unwrap().len(), 1);
    // Its submission is found again.
    let report = core.check(Default::default(), &|_| ()).await.unwrap();
    let codes: Vec<_> = report.problems.iter().map(|p| p.code.name()).collect();
    assert!(codes.contains(&"queue/forgotten"), "{codes:?}");
    core.repair(Default::default(), &|_| ()).await.unwrap();
    check_is_clean(core).await;
    core.send_due().await.unwrap();
    assert_eq!([sent("x@one.example"), sent("y@two.example")], [1, 1]);
}

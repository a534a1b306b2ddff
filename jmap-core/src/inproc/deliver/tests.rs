//! A message for several recipients when something is in the way of one of them: each gets it once, or its sender hears of it.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use jmap_types::DataType;
use store::{
    engine::{
        Batch, CommitError, Engine, FaultPlan, FaultyEngine, Key, MemoryEngine, Page, Snapshot,
        Write,
    },
    keys::Subspace,
};

use super::*;
use crate::{
    Caller, Limits,
    inproc::queue::reports,
    mail::{
        submission::{
            records::SubmissionRecord,
            tests::{ANN, BOB, HELLO, Server, core_over},
        },
        write::INBOX,
    },
    work::check::Code,
};

const FAR: &str = "far@example.net";
const INFO: &str = "info@example.org";

type Results = Vec<Result<(), DeliverError>>;

async fn inbound(core: &Core, from: Option<&str>, to: &[&str]) -> Inbound {
    let mut recipients = Vec::new();
    for to in to {
        recipients.push(core.resolve_recipient(to).await.unwrap());
    }
    Inbound {
        mail_from: from.map(str::to_owned),
        recipients,
        message: Bytes::from(HELLO.replace('\n', "\r\n")),
        peer: None,
        is_junk: false,
        answers_each: false,
        arrival: Arrival::default(),
    }
}

async fn arrives(core: &Core, to: &[&str]) -> Results {
    let inbound = inbound(core, Some(FAR), to).await;
    core.deliver(inbound).await
}

/// What is queued for the sender: the reports, as text.
async fn told(core: &Core) -> Vec<String> {
    let range = keys::all(Subspace::Object);
    let rows = core.engine.scan(Page::first(range, 10_000)).await.unwrap();
    let mut reports = Vec::new();
    for (key, bytes) in rows {
        if !matches!(
            keys::decode_object(&key),
            Some((_, DataType::EmailSubmission, _))
        ) {
            continue;
        }
        let record = SubmissionRecord::from_bytes(&key, &bytes).unwrap();
        if record.recipients[0].address.email == FAR {
            let octets = store::blob::get(&core.engine, &record.blob).await;
            let octets = octets.unwrap().unwrap();
            reports.push(String::from_utf8_lossy(&octets).into_owned());
        }
    }
    reports
}

async fn count(core: &Core, who: &Caller) -> usize {
    let handle = core.accounts.handle(who.account);
    let view = handle.view().await.unwrap();
    view.mailbox(INBOX).unwrap().by_received.len()
}

async fn counts(server: &Server) -> [usize; 2] {
    let core = &server.core;
    [
        count(core, &server.ann).await,
        count(core, &server.bob).await,
    ]
}

async fn check_is_clean(core: &Core) {
    let report = core.check(Default::default(), &|_| ()).await.unwrap();
    assert_eq!(report.problems, []);
}

/// A server on which bob's mailbox is empty, and has no room for the message.
async fn with_little_room(engine: Arc<dyn Engine>) -> Server {
    let server = Server::with(engine, Limits::default()).await;
    let (admin, bob) = (Caller::server(), server.bob.account);
    let set = server.core.set_quota(&admin, bob, Some(20));
    set.await.unwrap();
    server
}

async fn change(core: &Core, change: impl FnOnce(&mut Batch)) {
    let mut batch = Batch::new();
    change(&mut batch);
    core.engine.commit(batch).await.unwrap();
}

#[tokio::test]
async fn who_has_it_does_not_get_it_again_because_another_has_no_room() {
    let server = with_little_room(MemoryEngine::new()).await;
    let results = arrives(&server.core, &[ANN, BOB]).await;
    assert_eq!(results, [Ok(()), Err(DeliverError::OverQuota)]);
    assert_eq!(counts(&server).await, [1, 0]);
    let reports = told(&server.core).await;
    assert_eq!(reports.len(), 1);
    for part in [
        "bob@example.org\r\n    552 5.2.2 The mailbox is full",
        "Action: failed",
        "Status: 5.2.2",
    ] {
        assert!(reports[0].contains(part), "{part}: {}", reports[0]);
    }
    assert!(!reports[0].contains("for <ann@"), "{}", reports[0]);
    assert_eq!(server.core.resume_deliveries().await.unwrap(), 0);
    check_is_clean(&server.core).await;
}

#[tokio::test]
async fn with_an_answer_for_each_it_is_said_at_once() {
    let server = with_little_room(MemoryEngine::new()).await;
    let mut inbound = inbound(&server.core, Some(FAR), &[ANN, BOB]).await;
    inbound.answers_each = true;
    let results = server.core.deliver(inbound).await;
    assert_eq!(results, [Ok(()), Err(DeliverError::OverQuota)]);
    assert_eq!(counts(&server).await, [1, 0]);
    assert_eq!(told(&server.core).await.len(), 0);
}

#[tokio::test]
async fn what_nobody_has_room_for_comes_again() {
    let server = with_little_room(MemoryEngine::new()).await;
    let (admin, ann) = (Caller::server(), server.ann.account);
    let set = server.core.set_quota(&admin, ann, Some(20));
    set.await.unwrap();
    let full = || Err(DeliverError::OverQuota);
    assert_eq!(arrives(&server.core, &[ANN, BOB]).await, [full(), full()]);
    assert_eq!(counts(&server).await, [0, 0]);
    assert_eq!(told(&server.core).await.len(), 0);
}

/// It was accepted: then it is kept, though there is no room.
#[tokio::test]
async fn who_can_not_be_told_has_it_delivered() {
    type Change = fn(&mut Inbound);
    let rows: [(&str, Change); 3] = [
        ("the null reverse-path", |inbound| inbound.mail_from = None),
        ("NOTIFY=NEVER", |inbound| {
            let never = parameters::of_rcpt("NOTIFY", Some("NEVER")).unwrap();
            inbound.arrival.recipients = vec![Vec::new(), vec![never]];
        }),
        ("nobody is written to about junk", |inbound| {
            inbound.is_junk = true;
        }),
    ];
    for (what, change) in rows {
        let server = with_little_room(MemoryEngine::new()).await;
        let mut inbound = inbound(&server.core, Some(FAR), &[ANN, BOB]).await;
        change(&mut inbound);
        let results = server.core.deliver(inbound).await;
        assert_eq!(results, [Ok(()), Ok(())], "{what}");
        let head = server.core.accounts.handle(server.bob.account).head().await;
        assert_ne!(head.unwrap().used_octets, 0, "{what}");
        assert_eq!(told(&server.core).await.len(), 0, "{what}");
        check_is_clean(&server.core).await;
    }
    // One past the reports that an hour has for a sender.
    let server = with_little_room(MemoryEngine::new()).await;
    for _ in 0..reports::SAME_MAX {
        let results = arrives(&server.core, &[ANN, BOB]).await;
        assert_eq!(results, [Ok(()), Err(DeliverError::OverQuota)]);
    }
    assert_eq!(arrives(&server.core, &[ANN, BOB]).await, [Ok(()), Ok(())]);
    // The report has no room in the queue either.
    let server = with_little_room(MemoryEngine::new()).await;
    server.core.set_limits(Limits {
        max_submissions: 0,
        ..Limits::default()
    });
    assert_eq!(arrives(&server.core, &[ANN, BOB]).await, [Ok(()), Ok(())]);
    assert_eq!(counts(&server).await, [1, 1]);
}

/// Stops at commit number `at` of a delivery, and goes on after a restart. Returns whether it stopped.
async fn crash_at(at: u64) -> bool {
    let engine = FaultyEngine::new(FaultPlan::default());
    let server = with_little_room(engine.clone()).await;
    let plan = FaultPlan {
        seed: at,
        crash_at_commit: Some(at),
        ..FaultPlan::default()
    };
    let engine = engine.restart_with(plan);
    let (core, _clock, _folder) = core_over(engine.clone(), 2, Limits::default()).await;
    let results = arrives(&core, &[ANN, BOB]).await;
    let has_crashed = engine.is_crashed();
    let engine = engine.restart_with(FaultPlan::default());
    let (core, _clock, _folder) = core_over(engine, 3, Limits::default()).await;
    assert_eq!(core.resume_deliveries().await.unwrap(), 0);
    let found = (
        count(&core, &server.ann).await,
        count(&core, &server.bob).await,
        told(&core).await.len(),
    );
    match found {
        (1, 0, 1) => {}
        (0, 0, 0) => assert!(results.iter().all(Result::is_err), "at {at}: {results:?}"),
        _ => panic!("at {at}: {found:?}"),
    }
    check_is_clean(&core).await;
    has_crashed
}

#[tokio::test]
async fn the_sender_is_told_once_through_crashes() {
    let mut crashes = 0;
    for at in 1..10 {
        crashes += usize::from(crash_at(at).await);
    }
    assert!(crashes >= 3, "only {crashes} runs were interrupted");
}

#[tokio::test]
async fn an_account_whose_head_is_damaged_gets_it_when_that_is_mended() {
    let engine = MemoryEngine::new();
    let server = Server::with(engine.clone(), Limits::default()).await;
    let head = keys::head(server.bob.account);
    let sound = engine.get(&head).await.unwrap().unwrap();
    change(&server.core, |batch| {
        batch.put(head.clone(), "damaged");
    })
    .await;
    let (core, _clock, _folder) = core_over(engine, 2, Limits::default()).await;
    assert_eq!(arrives(&core, &[ANN, BOB]).await, [Ok(()), Ok(())]);
    assert_eq!(count(&core, &server.ann).await, 1);
    assert_eq!(core.resume_deliveries().await.unwrap(), 1);
    change(&core, |batch| {
        batch.put(head, sound);
    })
    .await;
    assert_eq!(core.resume_deliveries().await.unwrap(), 0);
    let found = (
        count(&core, &server.ann).await,
        count(&core, &server.bob).await,
    );
    assert_eq!(found, (1, 1));
}

#[tokio::test]
async fn nobody_has_it_while_an_alias_can_not_send_it_on() {
    let server = Server::new().await;
    let core = &server.core;
    let to = vec!["x@a.example".to_owned()];
    core.add_forwarding_alias(&Caller::server(), INFO, to)
        .await
        .unwrap();
    core.set_limits(Limits {
        max_submissions: 1,
        ..Limits::default()
    });
    assert_eq!(arrives(core, &[ANN, INFO]).await, [Ok(()), Ok(())]);
    assert_eq!(count(core, &server.ann).await, 1);
    let later = || Err(DeliverError::Temporary);
    for _ in 0..2 {
        assert_eq!(arrives(core, &[ANN, INFO]).await, [later(), later()]);
    }
    assert_eq!(count(core, &server.ann).await, 1);
    // Nothing waits on the list for that.
    assert_eq!(core.resume_deliveries().await.unwrap(), 0);
    let mut each = inbound(core, Some(FAR), &[ANN, INFO]).await;
    each.answers_each = true;
    assert_eq!(core.deliver(each).await, [Ok(()), later()]);
    assert_eq!(count(core, &server.ann).await, 2);
}

/// A report comes back to one who has forwarded, and goes to somebody else as well.
#[tokio::test]
async fn what_comes_again_for_one_comes_again_for_all() {
    let server = Server::new().await;
    let core = &server.core;
    let day = u64::try_from(core.clock.now().seconds() / 86_400).unwrap();
    let local = core.srs.local_part(FAR, day).unwrap();
    let returned = format!("{local}@example.org");
    core.set_limits(Limits {
        max_submissions: 0,
        ..Limits::default()
    });
    let later = || Err(DeliverError::Temporary);
    let both = inbound(core, None, &[ANN, &returned]).await;
    assert_eq!(core.deliver(both.clone()).await, [later(), later()]);
    assert_eq!(count(core, &server.ann).await, 0);
    core.set_limits(Limits::default());
    assert_eq!(core.deliver(both.clone()).await, [Ok(()), Ok(())]);
    assert_eq!(count(core, &server.ann).await, 1);
    let recipient = &both.recipients[1];
    assert_eq!(recipient.refuses(None), None);
    assert!(matches!(
        recipient.refuses(Some(ANN)),
        Some(DeliverError::Refused(_))
    ));
    assert_eq!(both.recipients[0].refuses(Some(BOB)), None);
}

/// A delivery on the list whose message is missing.
fn stuck() -> PendingDelivery {
    PendingDelivery {
        blob: [9; 32],
        accounts: vec![1],
        received_at: 0,
        mail_from: None,
        recipients: None,
        is_junk: None,
        mail_parameters: None,
        parameters: None,
        reported: None,
        author: None,
        full: None,
    }
}

#[tokio::test]
async fn deliveries_that_stay_keep_no_others() {
    let engine = MemoryEngine::new();
    let server = Server::with(engine.clone(), Limits::default()).await;
    let row = keys::mailbox_uid(server.bob.account, INBOX);
    let uids = engine.get(&row).await.unwrap().unwrap();
    change(&server.core, |batch| {
        batch.delete(row.clone());
        for number in 1..=many::TRIED_AT_ONCE as u64 {
            batch.put(keys::pending_delivery(number), stuck().to_bytes());
        }
        // Nobody can read these.
        batch.put(vec![Subspace::PendingDelivery as u8, 0], "x");
        batch.put(keys::pending_delivery(0), "x");
    })
    .await;
    assert_eq!(arrives(&server.core, &[ANN, BOB]).await, [Ok(()), Ok(())]);
    change(&server.core, |batch| {
        batch.put(row, uids);
    })
    .await;
    // One round doesn't get through; the next one goes on where it was.
    let open = server.core.resume_deliveries().await.unwrap();
    assert_eq!(open, many::TRIED_AT_ONCE + 1);
    assert_eq!(counts(&server).await, [1, 0]);
    server.core.resume_deliveries().await.unwrap();
    assert_eq!(counts(&server).await, [1, 1]);
}

#[tokio::test]
async fn an_inbox_that_can_not_take_mail_loses_none() {
    let engine = MemoryEngine::new();
    let server = Server::with(engine.clone(), Limits::default()).await;
    let core = &server.core;
    let row = keys::mailbox_uid(server.bob.account, INBOX);
    change(core, |batch| {
        batch.delete(row);
    })
    .await;
    let later = Err(DeliverError::Temporary);
    assert_eq!(arrives(core, &[BOB]).await, [later]);
    assert_eq!(arrives(core, &[ANN, BOB]).await, [Ok(()), Ok(())]);
    assert_eq!(core.resume_deliveries().await.unwrap(), 1);
    assert_eq!(told(core).await.len(), 0);
    let report = core.check(Default::default(), &|_| ()).await.unwrap();
    let codes: Vec<Code> = report.problems.iter().map(|p| p.code).collect();
    assert_eq!(codes, [Code::UidRow]);
    core.repair(Default::default(), &|_| ()).await.unwrap();
    check_is_clean(core).await;
    assert_eq!(core.resume_deliveries().await.unwrap(), 0);
    assert_eq!(counts(&server).await, [1, 1]);
}

#[tokio::test]
async fn the_sender_hears_of_an_account_that_went_away() {
    let server = Server::new().await;
    let core = &server.core;
    let both = inbound(core, Some(FAR), &[ANN, BOB]).await;
    let one = inbound(core, Some(FAR), &[BOB]).await;
    let admin = Caller::server();
    core.remove_account(&admin, server.bob.account)
        .await
        .unwrap();
    let gone = Err(DeliverError::NoSuchMailbox);
    assert_eq!(core.deliver(one).await, [gone]);
    assert_eq!(told(core).await.len(), 0);
    assert_eq!(core.deliver(both).await[0], Ok(()));
    let reports = told(core).await;
    assert_eq!(reports.len(), 1);
    let want = "bob@example.org\r\n    550 5.1.1 There is no such mailbox";
    assert!(reports[0].contains(want), "{}", reports[0]);
    assert_eq!(core.resume_deliveries().await.unwrap(), 0);
    let noted = keys::all(Subspace::Delivered);
    let noted = core.engine.scan(Page::first(noted, 10)).await.unwrap();
    assert_eq!(noted, []);
    check_is_clean(core).await;
}

/// An engine over a network that loses the answer to a commit that puts something on the list.
#[derive(Debug)]
struct Losing {
    memory: Arc<MemoryEngine>,
    /// What is applied of such commits is all or nothing.
    is_applied: bool,
    lost: AtomicU64,
}

#[async_trait]
impl Engine for Losing {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.memory.get(key).await
    }

    async fn multi_get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, EngineError> {
        self.memory.multi_get(keys).await
    }

    async fn scan(&self, page: Page) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        self.memory.scan(page).await
    }

    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, EngineError> {
        self.memory.snapshot().await
    }

    async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        let is_listed = |write: &Write| match write {
            Write::Put(key, _) => keys::decode_pending_delivery(key).is_some(),
            _ => false,
        };
        if !batch.writes.iter().any(is_listed) {
            return self.memory.commit(batch).await;
        }
        self.lost.fetch_add(1, Ordering::Relaxed);
        if self.is_applied {
            self.memory.commit(batch).await?;
        }
        Err(EngineError::Io("the answer was lost".into()).into())
    }

    async fn disk_octets(&self) -> Result<u64, EngineError> {
        Ok(0)
    }
}

#[tokio::test]
async fn a_lost_answer_does_not_bring_the_message_again() {
    for is_applied in [true, false] {
        let engine = Arc::new(Losing {
            memory: MemoryEngine::new(),
            is_applied,
            lost: AtomicU64::new(0),
        });
        let server = Server::with(engine.clone(), Limits::default()).await;
        let results = arrives(&server.core, &[ANN, BOB]).await;
        assert_eq!(engine.lost.load(Ordering::Relaxed), 1);
        let is_taken = results.iter().all(Result::is_ok);
        assert_eq!(is_taken, is_applied, "{results:?}");
        assert_eq!(server.core.resume_deliveries().await.unwrap(), 0);
        let count = usize::from(is_applied);
        assert_eq!(counts(&server).await, [count, count]);
    }
}

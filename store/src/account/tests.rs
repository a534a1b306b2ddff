use std::sync::atomic::{AtomicU64, Ordering};

use jmap_types::DataType;

use super::*;
use crate::{
    ChangeKind,
    engine::{FaultPlan, FaultyEngine, sql::tests::FreshEngine},
};

const ACCOUNT: AccountId = AccountId::new(3);

type Published = Arc<parking_lot::Mutex<Vec<(u64, Vec<u64>)>>>;

fn writer(engine: Arc<dyn Engine>) -> (AccountWriter<u64>, Published) {
    let published = Published::default();
    let seen = published.clone();
    let sink: Sink<u64> = Arc::new(move |_, committed| {
        seen.lock()
            .extend(committed.into_iter().map(|c| (c.sequence, c.events)));
    });
    (AccountWriter::new(ACCOUNT, engine, sink), published)
}

/// A transaction that counts up a number, and tells of it.
async fn count(writer: &AccountWriter<u64>) -> Ticket {
    let mut txn = writer.begin().await.unwrap();
    let key = keys::object(ACCOUNT, DataType::Email, 1);
    let before = match txn.get(&key).await.unwrap() {
        Some(bytes) => crate::decode_numbers::<1>(&key, &bytes).unwrap()[0],
        None => 0,
    };
    txn.put(key, numbers(&[before + 1]));
    txn.changed(Change::new(DataType::Email, 1, ChangeKind::Updated));
    txn.emit(before + 1);
    txn.stage()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_nothing_to_write_waits_for_what_it_has_read() {
    const SOON: std::time::Duration = std::time::Duration::from_millis(50);
    for fresh in FreshEngine::of_all_kinds().await {
        let (writer, published) = writer(fresh.engine.clone());
        let look = async || writer.begin().await.unwrap().stage_or_seen();
        assert!(look().await.is_none());
        let paused = writer.pause_commits().await;
        let ticket = count(&writer).await;
        let mut seen = look().await.expect("it is not on disk yet");
        assert!(ticket.has_written() && !seen.has_written());
        assert!(tokio::time::timeout(SOON, seen.wait()).await.is_err());
        drop(paused);
        seen.durable().await.unwrap();
        assert_eq!(published.lock().len(), 1);
        ticket.durable().await.unwrap();
        // Staged, on its way, or on disk: whatever it is at the moment.
        for _ in 0..200 {
            let upto = count(&writer).await.sequence;
            if let Some(seen) = look().await {
                assert_eq!(seen.sequence, upto);
                seen.durable().await.unwrap();
            }
            assert!(published.lock().last().is_some_and(|last| last.0 >= upto));
        }
        assert!(look().await.is_none());
    }
}

async fn counted(writer: AccountWriter<u64>) -> Result<u64, Error> {
    let mut txn = writer.begin().await.unwrap();
    txn.changed(Change::new(DataType::Email, 1, ChangeKind::Updated));
    txn.emit(txn.sequence());
    txn.commit().await
}

/// Where the engine has nothing to wait for, a commit is done by whoever asks for it: no other task is begun.
#[tokio::test]
async fn a_commit_that_waits_for_nothing_is_done_at_once() {
    use futures_util::FutureExt as _;
    let (writer, published) = writer(crate::engine::MemoryEngine::new());
    for sequence in 1..=3 {
        let done = counted(writer.clone()).now_or_never();
        assert_eq!(done.expect("done at once").unwrap(), sequence);
        assert_eq!(published.lock().len() as u64, sequence);
    }
}

/// Whoever goes away while it waits leaves its transaction to a task, which goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_handed_in_is_written_also_when_the_caller_is_gone() {
    use futures_util::FutureExt as _;
    for fresh in FreshEngine::of_all_kinds().await {
        let (writer, published) = writer(fresh.engine.clone());
        drop(writer.begin().await.unwrap());
        let paused = writer.pause_commits().await;
        let mut commit = Box::pin(counted(writer.clone()));
        assert!(commit.as_mut().now_or_never().is_none());
        drop(commit);
        assert!(published.lock().is_empty());
        drop(paused);
        writer.drained().await;
        assert_eq!(*published.lock(), [(1, vec![1])]);
        assert_eq!(writer.stored_head().await.unwrap().sequence, 1);
        counted(writer.clone()).await.unwrap();
        assert_eq!(writer.stored_head().await.unwrap().sequence, 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_sees_those_staged_before_it() {
    for fresh in FreshEngine::of_all_kinds().await {
        let (writer, published) = writer(fresh.engine.clone());
        let mut tickets = Vec::new();
        for _ in 0..100 {
            tickets.push(count(&writer).await);
        }
        for (at, ticket) in tickets.into_iter().enumerate() {
            assert_eq!(ticket.sequence, at as u64 + 1);
            ticket.durable().await.unwrap();
        }
        let expected: Vec<(u64, Vec<u64>)> = (1..=100).map(|n| (n, vec![n])).collect();
        assert_eq!(*published.lock(), expected);
        let head = writer.stored_head().await.unwrap();
        assert_eq!(
            (
                head.sequence,
                head.state(DataType::Email),
                head.state(DataType::Mailbox)
            ),
            (100, 100, 0)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_transaction_leaves_nothing() {
    for fresh in FreshEngine::of_all_kinds().await {
        let (writer, published) = writer(fresh.engine.clone());
        let mut txn = writer.begin().await.unwrap();
        assert_eq!(txn.new_id(), 1);
        txn.put(b"x".to_vec(), "1");
        txn.changed(Change::new(DataType::Email, 1, ChangeKind::Created));
        drop(txn);
        let mut txn = writer.begin().await.unwrap();
        assert_eq!(
            (txn.new_id(), txn.sequence(), txn.get(b"x").await.unwrap()),
            (1, 1, None)
        );
        drop(txn);
        assert!(published.lock().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scans_see_what_is_staged() {
    for fresh in FreshEngine::of_all_kinds().await {
        let (writer, _) = writer(fresh.engine.clone());
        let mut txn = writer.begin().await.unwrap();
        txn.put(b"a1".to_vec(), "1");
        txn.put(b"a2".to_vec(), "2");
        let _ = txn.stage();
        let mut txn = writer.begin().await.unwrap();
        txn.delete(b"a1".to_vec());
        txn.put(b"a3".to_vec(), "3");
        let rows = txn.scan(keys::prefix(b"a".to_vec())).await.unwrap();
        let rows: Vec<&[u8]> = rows.iter().map(|(key, _)| key.as_ref()).collect();
        assert_eq!(rows, [b"a2", b"a3"]);
    }
}

/// Whatever fails, what was acknowledged is there, and numbers are given once.
#[tokio::test]
async fn failed_commits_take_what_stands_on_them_along() {
    for seed in 0..50 {
        let plan = FaultPlan {
            seed,
            commits_fail: 200,
            ..FaultPlan::default()
        };
        let engine = FaultyEngine::new(plan);
        let (writer, published) = writer(engine.clone());
        let acknowledged = AtomicU64::new(0);
        for _ in 0..20 {
            let tickets = [
                count(&writer).await,
                count(&writer).await,
                count(&writer).await,
            ];
            for ticket in tickets {
                if ticket.durable().await.is_ok() {
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        let values: Vec<u64> = published
            .lock()
            .iter()
            .flat_map(|(_, events)| events.clone())
            .collect();
        let expected: Vec<u64> = (1..=acknowledged.load(Ordering::Relaxed)).collect();
        assert_eq!(values, expected, "seed {seed}: {:?}", engine.journal());
    }
}

#[test]
fn heads_have_golden_bytes() {
    let head = Head {
        sequence: 2,
        states: vec![0, 1],
        last_id: 3,
        used_octets: 4,
        log_trimmed: 5,
        submissions: None,
        uid_validity: None,
        revision: None,
        writers: None,
    };
    let counted = Head {
        submissions: Some(6),
        ..head.clone()
    };
    let numbered = Head {
        uid_validity: Some(7),
        ..counted.clone()
    };
    let shared = Head {
        revision: Some(9),
        writers: Some(vec![Written {
            node: 8,
            revision: 9,
        }]),
        ..numbered.clone()
    };
    let rows = [
        (head, "8502820001030405"),
        (counted, "860282000103040506"),
        (numbered, "87028200010304050607"),
        (shared, "890282000103040506070981820809"),
    ];
    for (head, golden) in rows {
        let bytes = head.to_bytes();
        assert_eq!(crate::record::hex(&bytes), golden);
        assert_eq!(Head::from_bytes(b"", &bytes).unwrap(), head);
    }
    assert!(Head::from_bytes(b"", b"\xff").is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_comes_between_the_transactions_of_a_turn() {
    for fresh in FreshEngine::of_all_kinds().await {
        let (writer, published) = writer(fresh.engine.clone());
        let other = writer.clone();
        let (entered, mut has_entered) = tokio::sync::mpsc::channel(1);
        let others = tokio::spawn(async move {
            has_entered.recv().await;
            count(&other).await.durable().await.unwrap();
        });
        let sequences = writer
            .in_turn(async {
                entered.send(()).await.unwrap();
                let mut sequences = Vec::new();
                for _ in 0..5 {
                    let before = writer.begin().await.unwrap();
                    let last = sequences.last().copied().unwrap_or(0);
                    assert_eq!(before.head.sequence, last);
                    assert_eq!(before.staged_before(), last);
                    drop(before);
                    let ticket = count(&writer).await;
                    sequences.push(ticket.sequence);
                    // What is staged goes to disk meanwhile.
                    ticket.durable().await.unwrap();
                    tokio::task::yield_now().await;
                }
                sequences
            })
            .await;
        assert_eq!(sequences, [1, 2, 3, 4, 5]);
        others.await.unwrap();
        assert_eq!(published.lock().last(), Some(&(6, vec![6])));
    }
}

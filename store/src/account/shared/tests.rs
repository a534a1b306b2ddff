use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use async_trait::async_trait;
use jmap_types::{AccountId, DataType};
use tokio::sync::Barrier;

use super::*;
use crate::{
    Change, ChangeKind,
    account::Sink,
    decode_numbers,
    engine::{Engine, Key, MemoryEngine, Page, Snapshot},
};

const ACCOUNT: AccountId = AccountId::new(3);

/// An engine over a network: commits take a moment, and answers get lost when the test says so.
#[derive(Debug)]
struct Distant {
    memory: Arc<MemoryEngine>,
    loses_answers: AtomicBool,
    /// The commit isn't done at all: neither is it answered.
    loses_requests: AtomicBool,
    commits: AtomicU64,
    /// What another node commits after the next read, before it is answered.
    meanwhile: parking_lot::Mutex<Option<Batch>>,
}

impl Distant {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            memory: MemoryEngine::new(),
            loses_answers: AtomicBool::new(false),
            loses_requests: AtomicBool::new(false),
            commits: AtomicU64::new(0),
            meanwhile: parking_lot::Mutex::default(),
        })
    }
}

#[async_trait]
impl Engine for Distant {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        tokio::task::yield_now().await;
        self.memory.get(key).await
    }

    async fn multi_get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, EngineError> {
        let found = self.memory.multi_get(keys).await?;
        let meanwhile = self.meanwhile.lock().take();
        if let Some(batch) = meanwhile {
            self.memory.commit(batch).await.unwrap();
        }
        Ok(found)
    }

    async fn scan(&self, page: Page) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        self.memory.scan(page).await
    }

    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, EngineError> {
        self.memory.snapshot().await
    }

    async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        let lost = || CommitError::Engine(EngineError::Io("the connection is gone".into()));
        tokio::task::yield_now().await;
        self.commits.fetch_add(1, Ordering::Relaxed);
        if self.loses_requests.swap(false, Ordering::Relaxed) {
            return Err(lost());
        }
        self.memory.commit(batch).await?;
        tokio::task::yield_now().await;
        match self.loses_answers.swap(false, Ordering::Relaxed) {
            true => Err(lost()),
            false => Ok(()),
        }
    }

    async fn disk_octets(&self) -> Result<u64, EngineError> {
        Ok(0)
    }
}

fn writer(engine: Arc<dyn Engine>, node: u64) -> AccountWriter<u64> {
    let sink: Sink<u64> = Arc::new(|_, _| ());
    AccountWriter::of_node(ACCOUNT, engine, sink, node)
}

fn counter() -> Key {
    keys::object(ACCOUNT, DataType::Email, 1)
}

/// One try to count up: the number that it gave away.
async fn count(writer: &AccountWriter<u64>) -> Result<u64, Error> {
    let mut txn = writer.begin().await?;
    let key = counter();
    let before = match txn.get(&key).await? {
        Some(bytes) => decode_numbers::<1>(&key, &bytes)?[0],
        None => 0,
    };
    let id = txn.new_id();
    txn.put(key, numbers(&[before + 1]));
    txn.changed(Change::new(DataType::Email, id, ChangeKind::Created));
    txn.commit().await.map(|_| id)
}

/// Nobody claims the turn.
async fn is_free(engine: &Arc<dyn Engine>) -> bool {
    let turn = engine.get(&keys::turn(ACCOUNT)).await.unwrap();
    turn.is_none_or(|turn| turn.is_empty())
}

async fn counted(engine: &Arc<dyn Engine>) -> u64 {
    let bytes = engine.get(&counter()).await.unwrap().unwrap();
    decode_numbers::<1>(&counter(), &bytes).unwrap()[0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_that_write_at_the_same_time_all_have_their_turn() {
    const NODES: u64 = 3;
    const EACH: u64 = 60;
    let engine: Arc<dyn Engine> = Distant::new();
    let begin = Arc::new(Barrier::new(NODES as usize));
    let tasks = (1..=NODES).map(|node| {
        let (engine, begin) = (engine.clone(), begin.clone());
        tokio::spawn(async move {
            let writer = writer(engine, node);
            begin.wait().await;
            let (mut ids, mut worst) = (Vec::new(), 0);
            for _ in 0..EACH {
                let mut tries = 1;
                loop {
                    match count(&writer).await {
                        Ok(id) => break ids.push(id),
                        Err(Error::Conflict) => tries += 1,
                        Err(error) => panic!("{error}"),
                    }
                }
                worst = worst.max(tries);
            }
            (ids, worst)
        })
    });
    let mut all = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        let (ids, worst) = task.await.unwrap();
        assert!(ids.is_sorted());
        assert!(worst <= 6, "a transaction was begun {worst} times");
        all.extend(ids);
    }
    all.sort_unstable();
    assert_eq!(all, (1..=NODES * EACH).collect::<Vec<_>>());
    assert_eq!(counted(&engine).await, NODES * EACH);
    assert!(is_free(&engine).await, "a claim was left behind");
}

#[tokio::test]
async fn two_that_change_no_object_do_not_both_count() {
    let engine: Arc<dyn Engine> = Distant::new();
    let (a, b) = (writer(engine.clone(), 1), writer(engine.clone(), 2));
    // The row of the turn is there, and is not what the slower one trips over.
    count(&a).await.unwrap();
    // Both have the head in memory.
    for writer in [&a, &b] {
        drop(writer.begin().await.unwrap());
    }
    let mut results = Vec::new();
    for writer in [&a, &b] {
        let mut txn = writer.begin().await.unwrap();
        txn.put(b"x".to_vec(), "1");
        results.push(txn.commit().await.is_ok());
    }
    assert_eq!(results, [true, false]);
}

#[tokio::test]
async fn a_notice_saves_the_conflict() {
    let engine: Arc<dyn Engine> = Distant::new();
    let (a, b) = (writer(engine.clone(), 1), writer(engine.clone(), 2));
    count(&a).await.unwrap();
    count(&b).await.unwrap();
    assert!(matches!(count(&a).await, Err(Error::Conflict)));
    a.told(b.newest());
    assert_eq!(count(&a).await.unwrap(), 3);
    b.told(a.newest());
    assert_eq!(count(&b).await.unwrap(), 4);
}

#[tokio::test]
async fn a_lost_answer_is_found_out_about() {
    let distant = Distant::new();
    let engine: Arc<dyn Engine> = distant.clone();
    let writer = writer(engine.clone(), 1);
    count(&writer).await.unwrap();
    distant.loses_answers.store(true, Ordering::Relaxed);
    assert_eq!(count(&writer).await.unwrap(), 2);
    // It never got there, and is kept from getting there later.
    let before = engine.get(&keys::head(ACCOUNT)).await.unwrap();
    distant.loses_requests.store(true, Ordering::Relaxed);
    assert!(matches!(count(&writer).await, Err(Error::Conflict)));
    assert_ne!(engine.get(&keys::head(ACCOUNT)).await.unwrap(), before);
    assert_eq!(count(&writer).await.unwrap(), 3);
    assert_eq!(counted(&engine).await, 3);
}

#[tokio::test]
async fn a_lost_answer_is_found_behind_what_others_wrote() {
    let distant = Distant::new();
    let engine: Arc<dyn Engine> = distant.clone();
    let (a, b) = (writer(engine.clone(), 1), writer(engine.clone(), 2));
    count(&a).await.unwrap();
    let mut building = a.building.lock().await;
    let mut group = Group::new();
    group
        .batch
        .assert(Assertion::Absent(b"of the head".to_vec()));
    let base = building.base.clone();
    let expected = a.take_turn(&mut building, &mut group, base).unwrap();
    let head = building.head.clone().unwrap();
    let mut batch = Batch::new();
    batch.put(keys::head(ACCOUNT), head.to_bytes());
    engine.commit(batch).await.unwrap();
    drop(building);
    count(&b).await.unwrap();
    let lost = CommitError::Engine(EngineError::Io("lost".into()));
    a.find_out(Err(lost), expected).await.unwrap();
}

#[tokio::test]
async fn the_claim_of_a_dead_node_holds_nobody_up_for_ever() {
    let engine: Arc<dyn Engine> = Distant::new();
    let (dead, living) = (writer(engine.clone(), 1), writer(engine.clone(), 2));
    let shared = dead.shared.clone().unwrap();
    dead.claim(&shared).await.unwrap();
    let began = tokio::time::Instant::now();
    let mut tries = 0;
    while count(&living).await.is_err() {
        tries += 1;
    }
    assert!(tries <= 2, "{tries}");
    let waited = began.elapsed();
    assert!(
        waited > Duration::from_secs(2) && waited < Duration::from_secs(10),
        "{waited:?}"
    );
    assert!(is_free(&engine).await);
}

#[tokio::test]
async fn a_claim_without_a_transaction_is_given_back() {
    let engine: Arc<dyn Engine> = Distant::new();
    let writer = writer(engine.clone(), 1);
    let shared = writer.shared.clone().unwrap();
    shared.losses.store(CLAIM_AFTER, Ordering::Relaxed);
    let txn = writer.begin().await.unwrap();
    assert!(!is_free(&engine).await);
    drop(txn);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(is_free(&engine).await);
}

/// All rows of a store, as one commit.
async fn rows(engine: &Arc<dyn Engine>) -> Batch {
    let page = Page::first(vec![0]..vec![0xff; 64], usize::MAX);
    let mut batch = Batch::new();
    for (key, value) in engine.scan(page).await.unwrap() {
        batch.put(key.to_vec(), value);
    }
    batch
}

#[tokio::test]
async fn an_account_that_another_node_has_just_begun_is_no_damaged_one() {
    let first = Distant::new();
    let engine: Arc<dyn Engine> = first.clone();
    assert_eq!(count(&writer(engine.clone(), 1)).await.unwrap(), 1);
    let begun = rows(&engine).await;
    // Between its look at the head and its look at the records, all of that comes.
    let second = Distant::new();
    let engine: Arc<dyn Engine> = second.clone();
    *second.meanwhile.lock() = Some(begun);
    let late = writer(engine.clone(), 2);
    assert_eq!(count(&late).await.unwrap(), 2);
    assert_eq!(counted(&engine).await, 2);
    // A head that is really lost is told, and nothing is written.
    let mut batch = Batch::new();
    batch.delete(keys::head(ACCOUNT));
    engine.commit(batch).await.unwrap();
    let lost = count(&writer(engine.clone(), 3)).await;
    assert!(matches!(lost, Err(Error::Corrupt { .. })), "{lost:?}");
    assert_eq!(counted(&engine).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_has_an_account_alone_is_disturbed_by_nobody() {
    let engine: Arc<dyn Engine> = Distant::new();
    let (mending, other) = (writer(engine.clone(), 1), writer(engine.clone(), 2));
    count(&mending).await.unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let busy = {
        let is_over = is_over.clone();
        tokio::spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                match count(&other).await {
                    Ok(_) | Err(Error::Conflict) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        })
    };
    let work = async {
        let key = keys::head(ACCOUNT);
        let mut found = engine.get(&key).await.unwrap().unwrap();
        let mut head = Head::from_bytes(&key, &found).unwrap();
        let began = tokio::time::Instant::now();
        // Longer than a claim may stand still.
        while began.elapsed() < Duration::from_millis(4500) {
            head.used_octets += 1;
            let mended = mending.mend(Some(&found), head, Vec::new(), Batch::new());
            (head, found) = mended.await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        head.used_octets
    };
    let octets = mending.alone(work).await.unwrap();
    assert!(octets > 10, "{octets}");
    // The others go on at once.
    let before = counted(&engine).await;
    while counted(&engine).await < before + 3 {
        tokio::task::yield_now().await;
    }
    is_over.store(true, Ordering::Relaxed);
    busy.await.unwrap();
    assert_eq!(mending.stored_head().await.unwrap().used_octets, octets);
    assert!(is_free(&engine).await, "a claim was left behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_writes_alone_is_not_refused() {
    const NODES: u64 = 3;
    const WRITERS: u64 = 2;
    const EACH: u64 = 30;
    let engine: Arc<dyn Engine> = Distant::new();
    let mut tasks = Vec::new();
    for node in 1..=NODES {
        let writer = writer(engine.clone(), node);
        for each in 0..WRITERS {
            let writer = writer.clone();
            tasks.push(tokio::spawn(async move {
                for number in 0..EACH {
                    if number % 5 == each {
                        // Not one conflict, though all others go on.
                        writer.alone(count(&writer)).await.unwrap().unwrap();
                        continue;
                    }
                    while let Err(error) = count(&writer).await {
                        assert!(matches!(error, Error::Conflict), "{error}");
                    }
                }
            }));
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(counted(&engine).await, NODES * WRITERS * EACH);
    assert!(is_free(&engine).await, "a claim was left behind");
}

#[tokio::test]
async fn what_is_staged_alone_goes_to_disk_with_the_claim() {
    let engine: Arc<dyn Engine> = Distant::new();
    let (one, other) = (writer(engine.clone(), 1), writer(engine.clone(), 2));
    count(&one).await.unwrap();
    let staging = async {
        let mut txn = one.begin().await.unwrap();
        txn.put(counter(), numbers(&[9]));
        // Nobody is faster meanwhile.
        let refused = tokio::time::timeout(Duration::from_millis(200), count(&other));
        assert!(!matches!(refused.await, Ok(Ok(_))));
        txn.stage()
    };
    let ticket = one.alone(staging).await.unwrap();
    ticket.durable().await.unwrap();
    assert_eq!(counted(&engine).await, 9);
    while count(&other).await.is_err() {}
    assert_eq!(counted(&engine).await, 10);
    assert!(is_free(&engine).await, "a claim was left behind");
}

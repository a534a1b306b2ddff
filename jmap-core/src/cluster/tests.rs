use store::{
    Record as _,
    engine::{Batch, MemoryEngine},
};

use super::*;
use crate::{
    clock::{TestClock, UtcMillis},
    rng::SeededRng,
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn records_have_golden_bytes() {
    let node = NodeRecord {
        session: 1,
        epoch: 2,
        beat: 3,
        name: "a".into(),
        joined: 4,
        version: "b".into(),
        search: None,
    };
    let golden = "8601020361610461 62".replace(' ', "");
    assert_eq!(hex(&node.to_bytes()), golden);
    assert_eq!(NodeRecord::from_bytes(b"", &node.to_bytes()).unwrap(), node);
    let builder = NodeRecord {
        search: Some((3, 4)),
        ..node
    };
    let golden = "87010203616104616282 0304".replace(' ', "");
    assert_eq!(hex(&builder.to_bytes()), golden);
    assert_eq!(
        NodeRecord::from_bytes(b"", &builder.to_bytes()).unwrap(),
        builder
    );
    let lease = LeaseRecord {
        session: 1,
        epoch: 2,
        token: 3,
    };
    assert_eq!(hex(&lease.to_bytes()), "83010203");
    assert_eq!(
        LeaseRecord::from_bytes(b"", &lease.to_bytes()).unwrap(),
        lease
    );
}

fn account(number: u64, revision: u64) -> Notice {
    Notice::Account {
        account: AccountId::new(number),
        revision,
    }
}

#[test]
fn packets_come_back_as_they_were() {
    let packet = Packet {
        from: 0xabc,
        notices: vec![
            account(1, 0xff),
            Notice::Subscriptions(AccountId::new(2)),
            Notice::Directory,
            Notice::Queue,
            Notice::Search,
            Notice::Index(AccountId::new(0x1f)),
            Notice::Settings,
            Notice::Bans,
        ],
    };
    assert_eq!(packet.encode(), ["1 abc a1:ff s2 d q i x1f c b"]);
    assert_eq!(Packet::decode("1 abc a1:ff s2 d q i x1f c b"), Some(packet));
    let rows = [
        ("", None),
        ("2 abc d", None),
        ("1", None),
        ("1 +a d", None),
        ("1 abc", Some(vec![])),
        // What a newer version says.
        ("1 abc z9 d dd a1 a:1 a1:x é", Some(vec![Notice::Directory])),
        ("1 abc a10000000000000000:1", Some(vec![])),
    ];
    for (text, expected) in rows {
        let found = Packet::decode(text).map(|packet| packet.notices);
        assert_eq!(found, expected, "{text:?}");
    }
    let long = format!("1 abc {}", "d ".repeat(NOTICE_OCTETS_MAX / 2));
    assert_eq!(Packet::decode(&long), None);
}

#[test]
fn many_notices_are_several_packets() {
    let notices: Vec<Notice> = (0..5000).map(|n| account(n, u64::MAX)).collect();
    let packet = Packet {
        from: u64::MAX,
        notices: notices.clone(),
    };
    let texts = packet.encode();
    assert!(texts.len() > 1);
    assert!(texts.iter().all(|text| text.len() <= NOTICE_OCTETS_MAX));
    let back = texts.iter().filter_map(|text| Packet::decode(text));
    assert_eq!(
        back.flat_map(|packet| packet.notices).collect::<Vec<_>>(),
        notices
    );
    assert!(
        Packet {
            notices: vec![],
            ..packet
        }
        .encode()
        .is_empty()
    );
}

/// Nodes over one engine, without cores.
struct Bench {
    engine: Arc<dyn Engine>,
    clock: Arc<TestClock>,
    folders: Vec<tempfile::TempDir>,
}

impl Bench {
    fn new(nodes: usize) -> Self {
        Self {
            engine: MemoryEngine::new(),
            clock: Arc::new(TestClock::new(UtcMillis(1_700_000_000_000))),
            folders: (0..nodes).map(|_| tempfile::tempdir().unwrap()).collect(),
        }
    }

    async fn start(&self, node: usize, seed: u64) -> Arc<Cluster> {
        let settings = Settings::new(self.folders[node].path().to_owned(), &format!("n{node}"));
        let clock: Arc<dyn Clock> = self.clock.clone();
        Cluster::open(settings, &self.engine, &clock, &SeededRng::new(seed))
            .await
            .unwrap()
    }
}

async fn beat(nodes: &[&Arc<Cluster>]) {
    for node in nodes {
        node.beat().await.unwrap();
        node.look_around().await.unwrap();
    }
}

#[tokio::test]
async fn a_node_keeps_its_number_and_not_its_process() {
    let bench = Bench::new(1);
    let first = bench.start(0, 1).await;
    let before = first.nodes().await.unwrap().remove(0);
    let again = bench.start(0, 2).await;
    let nodes = again.nodes().await.unwrap();
    assert_eq!(nodes.len(), 1);
    assert_eq!(nodes[0].node, before.node);
    assert!(nodes[0].is_self && nodes[0].record.epoch > before.record.epoch);
    assert_ne!(nodes[0].record.session, before.record.session);
    // The former process is still there: a folder was copied, it may be. Both go on, under two numbers.
    assert!(first.beat().await.unwrap());
    assert!(!again.beat().await.unwrap());
    assert_eq!(again.nodes().await.unwrap().len(), 2);
}

#[tokio::test]
async fn one_node_has_a_lease_until_it_dies_or_goes() {
    let bench = Bench::new(2);
    let (a, b) = (bench.start(0, 1).await, bench.start(1, 2).await);
    beat(&[&a, &b]).await;
    let fence = a.lease("work").await.unwrap().expect("nobody else has it");
    assert_eq!(b.lease("work").await.unwrap(), None);
    assert_eq!(a.lease("work").await.unwrap(), Some(fence.clone()));
    let half = a.dead_after() / 2;
    // As long as it beats, it lives; clocks are not compared.
    for _ in 0..5 {
        bench.clock.advance(half);
        beat(&[&a, &b]).await;
        assert_eq!(b.lease("work").await.unwrap(), None);
    }
    bench.clock.advance(half);
    beat(&[&b]).await;
    assert_eq!(b.lease("work").await.unwrap(), None);
    // One that was silent for too long, as a machine that has slept, says that it lives before it has the lease.
    assert_eq!(a.own_epoch().await, None);
    assert_eq!(a.lease("work").await.unwrap(), Some(fence.clone()));
    assert!(a.own_epoch().await.is_some());
    for _ in 0..3 {
        assert!(!b.has_lost_some());
        bench.clock.advance(half);
        beat(&[&b]).await;
    }
    assert!(b.has_lost_some());
    assert!(b.lease("work").await.unwrap().is_some());
    // What it still writes under its lease is refused, and it joins again as another one.
    let mut late = Batch::new();
    late.assert(fence).put(b"x".to_vec(), "late");
    assert!(bench.engine.commit(late).await.is_err());
    assert!(a.beat().await.unwrap());
    assert_eq!(a.lease("work").await.unwrap(), None);
    // Who goes by themselves is waited for by nobody.
    b.leave().await.unwrap();
    beat(&[&a]).await;
    assert!(a.lease("work").await.unwrap().is_some());
}

#[tokio::test]
async fn a_lease_is_not_taken_from_one_that_has_just_come() {
    let bench = Bench::new(2);
    let a = bench.start(0, 1).await;
    beat(&[&a]).await;
    let b = bench.start(1, 2).await;
    assert!(b.lease("work").await.unwrap().is_some());
    assert_eq!(a.lease("work").await.unwrap(), None);
}

#[test]
fn subscribers_hear_of_each_type_once() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let bench = Bench::new(1);
    let cluster = runtime.block_on(bench.start(0, 1));
    let account = AccountId::new(1);
    let head = |revision, states: &[u64]| Head {
        revision: Some(revision),
        states: states.to_vec(),
        ..Head::default()
    };
    let types = |types: DataTypes| types.iter().collect::<Vec<_>>();
    let all = cluster.learn(account, &head(1, &[3, 0, 2]));
    assert_eq!(types(all), [DataType::Mailbox, DataType::Email]);
    assert!(cluster.learn(account, &head(1, &[3, 0, 2])).is_empty());
    let some = cluster.learn(account, &head(3, &[3, 4, 2]));
    assert_eq!(types(some), [DataType::Thread]);
    // An older one comes late.
    assert!(cluster.learn(account, &head(2, &[3, 0, 2])).is_empty());
}

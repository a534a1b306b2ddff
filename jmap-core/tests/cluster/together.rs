//! What one node does, and what another one tells of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jmap_core::{
    Caller,
    cluster::{LocalNotices, NoticeError, NoticeStream, Notices, Packet},
    inproc::outbound::{Attempt, Fate, Job, JobRecipient, Outbound, Outcome},
    mail::submission::records::EnvelopeAddress,
};
use jmap_types::{
    data_type::DataTypes,
    mail::{Email, Mailbox},
    method::{Changes, Get, Query, Set},
};
use serde_json::json;
use store::{
    engine::{Engine as _, Page},
    keys::{self, Subspace},
};

use crate::world::{ADDRESS, Link, OTHER_ADDRESS, World, login, message, text};

async fn ids(world: &World, node: usize, filter: serde_json::Value) -> Vec<String> {
    let found = world.nodes[node]
        .call::<Query<Email>>(world, json!({"filter": filter}))
        .await;
    found["ids"]
        .as_array()
        .expect("no ids")
        .iter()
        .map(text)
        .collect()
}

async fn state(world: &World, node: usize) -> String {
    text(
        &world.nodes[node]
            .call::<Get<Email>>(world, json!({"ids": []}))
            .await["state"],
    )
}

/// What node 1 has told another node, as a packet.
fn packets(world: &World, node: usize) -> Vec<Packet> {
    let cluster = world.nodes[node].core.cluster().expect("no cluster");
    cluster
        .take_outbox()
        .iter()
        .filter_map(|text| Packet::decode(text))
        .collect()
}

#[tokio::test]
async fn a_state_of_another_node_is_known() {
    let world = World::new(1, 2, None).await;
    let (a, b) = (&world.nodes[0], &world.nodes[1]);
    assert!(ids(&world, 1, json!(null)).await.is_empty());
    let before = state(&world, 1).await;
    a.deliver(vec![world.recipient(ADDRESS)], message("1@x", "one"))
        .await;
    let now = state(&world, 0).await;
    // It has not heard of it yet.
    assert_eq!(state(&world, 1).await, before);
    let since = json!({"sinceState": now});
    let changes = b.call::<Changes<Email>>(&world, since).await;
    assert_eq!(changes["created"], json!([]));
    let changes = b
        .call::<Changes<Email>>(&world, json!({"sinceState": before}))
        .await;
    assert_eq!(changes["created"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn if_in_state_is_true_of_the_account_and_not_of_a_node() {
    let world = World::new(2, 2, None).await;
    let (a, b) = (&world.nodes[0], &world.nodes[1]);
    let before = state(&world, 1).await;
    a.deliver(vec![world.recipient(ADDRESS)], message("1@x", "one"))
        .await;
    let now = state(&world, 0).await;
    let id = ids(&world, 0, json!(null)).await.remove(0);
    let update =
        |state: &str| json!({"ifInState": state, "update": {&*id: {"keywords/work": true}}});
    let refused = b
        .try_call::<Set<Email>>(world.account, update(&before))
        .await;
    assert_eq!(refused.unwrap_err()["type"], json!("stateMismatch"));
    let done = b.call::<Set<Email>>(&world, update(&now)).await;
    assert_eq!(done["updated"], json!({&*id: null}), "{done}");
    // The other way round: A has the old head in memory.
    let refused = a.try_call::<Set<Email>>(world.account, update(&now)).await;
    assert_eq!(refused.unwrap_err()["type"], json!("stateMismatch"));
}

#[tokio::test]
async fn an_object_of_another_node_is_found() {
    let world = World::new(3, 2, None).await;
    let (a, b) = (&world.nodes[0], &world.nodes[1]);
    assert!(ids(&world, 1, json!(null)).await.is_empty());
    a.deliver(vec![world.recipient(ADDRESS)], message("1@x", "one"))
        .await;
    let id = ids(&world, 0, json!(null)).await.remove(0);
    let got = b
        .call::<Get<Email>>(&world, json!({"ids": [id], "properties": ["messageId"]}))
        .await;
    assert_eq!(got["list"][0]["messageId"], json!(["1@x"]), "{got}");
}

#[tokio::test]
async fn a_notice_brings_subscribers_what_another_node_did() {
    let world = World::new(4, 2, None).await;
    let (a, b) = (&world.nodes[0], &world.nodes[1]);
    let mut heard = b.core.subscribe(&b.who, DataTypes::ALL);
    state(&world, 1).await;
    packets(&world, 0);
    a.deliver(vec![world.recipient(ADDRESS)], message("1@x", "one"))
        .await;
    let packets = packets(&world, 0);
    assert_eq!(packets.len(), 1, "{packets:?}");
    b.core.take_packet(packets[0].clone()).await;
    let change = heard.next().await;
    let states = &change[&world.account];
    assert_eq!(
        states[&jmap_types::DataType::Email].to_string(),
        state(&world, 0).await
    );
    assert_eq!(ids(&world, 1, json!(null)).await.len(), 1);
    // Without a notice, looking finds it.
    a.deliver(vec![world.recipient(ADDRESS)], message("2@x", "two"))
        .await;
    b.core.poll_once().await.unwrap();
    heard.next().await;
    assert_eq!(ids(&world, 1, json!(null)).await.len(), 2);
}

#[tokio::test]
async fn nodes_that_run_hear_of_each_other() {
    let world = World::new(5, 2, Some(LocalNotices::default())).await;
    let mut running = Vec::new();
    for node in &world.nodes {
        running.push(tokio::spawn(
            node.core.clone().run_work(Box::new(|| Box::pin(async {}))),
        ));
    }
    let (a, b) = (&world.nodes[0], &world.nodes[1]);
    let is_connected = |node: &crate::world::Node| {
        node.core
            .cluster()
            .is_some_and(|cluster| cluster.is_connected())
    };
    while !(is_connected(a) && is_connected(b)) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut heard = b.core.subscribe(&b.who, DataTypes::ALL);
    assert!(ids(&world, 1, json!(null)).await.is_empty());
    a.deliver(vec![world.recipient(ADDRESS)], message("1@x", "one"))
        .await;
    // What is heard first may be that the account was made.
    while ids(&world, 1, json!(null)).await.is_empty() {
        let change = tokio::time::timeout(Duration::from_secs(5), heard.next()).await;
        let change = change.expect("nothing was heard");
        assert!(change.contains_key(&world.account));
    }
    running.iter().for_each(|task| task.abort());
}

/// Whoever listens panics.
#[derive(Debug)]
struct Broken;

#[async_trait]
impl Notices for Broken {
    async fn publish(&self, _: Vec<String>) -> Result<(), NoticeError> {
        Ok(())
    }

    async fn subscribe(&self) -> Result<Box<dyn NoticeStream>, NoticeError> {
        panic!("this is what is tested");
    }
}

#[tokio::test]
async fn a_part_that_panics_ends_no_other() {
    let mut world = World::new(7, 1, None).await;
    world.notices = Some(Arc::new(Broken));
    world.add_node().await;
    let core = &world.nodes[1].core;
    let running = tokio::spawn(core.clone().run_work(Box::new(|| Box::pin(async {}))));
    let cluster = core.cluster().expect("no cluster");
    let beat = async || {
        let nodes = cluster.nodes().await.unwrap();
        let own = nodes.iter().find(|node| node.record.name == "node 2");
        own.expect("no record").record.beat
    };
    let begun = async {
        while core.supervisor.panics() != [("cluster-hears", 2)] {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(core.supervisor.failing(), ["cluster-hears"]);
        let before = beat().await;
        while beat().await == before {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let begun = tokio::time::timeout(Duration::from_secs(20), begun).await;
    assert!(begun.is_ok(), "{:?}", core.supervisor);
    assert!(!running.is_finished());
    running.abort();
}

#[tokio::test]
async fn each_node_finds_the_words_of_all() {
    let world = World::new(6, 2, None).await;
    let (a, b) = (&world.nodes[0], &world.nodes[1]);
    let filter = json!({"text": "marmalade"});
    assert!(ids(&world, 1, filter.clone()).await.is_empty());
    a.deliver(
        vec![world.recipient(ADDRESS)],
        message("1@x", "some marmalade"),
    )
    .await;
    world.poll().await;
    let found = ids(&world, 1, filter.clone()).await;
    assert_eq!(found, ids(&world, 0, filter.clone()).await);
    assert_eq!(found.len(), 1);
    // Also from the indexes, each of which knows of it by its own.
    for node in [a, b] {
        node.core.index_now().await.unwrap();
        assert_eq!(node.core.search_pending(), 0);
    }
    assert_eq!(ids(&world, 1, filter.clone()).await, found);
    b.call::<Set<Email>>(&world, json!({"destroy": [found[0]]}))
        .await;
    world.poll().await;
    assert!(ids(&world, 0, filter.clone()).await.is_empty());
    // A node that comes later indexes what there is.
    a.deliver(
        vec![world.recipient(ADDRESS)],
        message("2@x", "more marmalade"),
    )
    .await;
    let mut world = world;
    world.add_node().await;
    world.nodes[2].core.index_now().await.unwrap();
    assert_eq!(ids(&world, 2, filter).await.len(), 1);
}

#[tokio::test]
async fn what_another_node_revokes_counts_for_nothing() {
    let world = World::new(7, 2, None).await;
    let (a, b) = (&world.nodes[0], &world.nodes[1]);
    login(&b.core, &world.token).await.expect("no login");
    let server = Caller::server();
    a.core
        .set_disabled(&server, world.account, true)
        .await
        .unwrap();
    assert!(login(&b.core, &world.token).await.is_err());
    a.core
        .set_disabled(&server, world.account, false)
        .await
        .unwrap();
    login(&b.core, &world.token).await.expect("no login");
    // What is shared, as well: of a session that began before.
    let generation = b.core.generation();
    let mut heard = b.core.subscribe(&b.who, DataTypes::ALL);
    let got = a.call::<Get<Mailbox>>(&world, json!({"ids": null})).await;
    let inbox = text(&got["list"][0]["id"]);
    let grant = json!({&*world.other.to_string(): {"mayReadItems": true}});
    let done = a
        .call::<Set<Mailbox>>(&world, json!({"update": {&*inbox: {"shareWith": grant}}}))
        .await;
    assert_eq!(done["updated"], json!({&*inbox: null}), "{done}");
    b.core.poll_once().await.unwrap();
    assert!(b.core.generation() > generation);
    heard.next().await;
}

async fn submit(world: &World, node: usize, number: usize) {
    submit_to(world, node, number, OTHER_ADDRESS).await;
}

async fn submit_to(world: &World, node: usize, number: usize, to: &str) {
    let node = &world.nodes[node];
    let octets =
        format!("From: {ADDRESS}\r\nTo: {to}\r\nMessage-ID: <{number}@queue>\r\n\r\ntext\r\n");
    let to = vec![EnvelopeAddress::plain(to)];
    let from = EnvelopeAddress::plain(ADDRESS);
    node.core
        .submit(&node.who, from, to, octets.into(), None)
        .await
        .expect("not submitted");
}

async fn arrived(world: &World, node: usize) -> u64 {
    let server = &world.nodes[node].core;
    let usage = server.check(Default::default(), &|_| ()).await.unwrap();
    assert_eq!(usage.problems, []);
    usage.emails
}

#[tokio::test]
async fn the_work_of_a_dead_node_is_taken_over_and_that_of_a_living_one_is_not() {
    let mut world = World::new(8, 2, None).await;
    world.beat().await;
    submit(&world, 0, 1).await;
    world.nodes[1].core.send_due().await.unwrap();
    assert_eq!(
        arrived(&world, 1).await,
        0,
        "a living node's mail was sent by another one"
    );
    // It dies, with the mail under its lease.
    drop(world.nodes.remove(0));
    let dead_after = world.nodes[0].core.cluster().unwrap().dead_after();
    world.clock.advance(dead_after / 2);
    world.beat().await;
    world.nodes[0].core.send_due().await.unwrap();
    assert_eq!(arrived(&world, 0).await, 0);
    world.clock.advance(dead_after / 2);
    world.beat().await;
    world.nodes[0].core.send_due().await.unwrap();
    assert_eq!(arrived(&world, 0).await, 1);
    world.nodes[0].core.send_due().await.unwrap();
    assert_eq!(arrived(&world, 0).await, 1);
}

/// Time passes, while all nodes say that they live.
async fn pass(world: &World, time: Duration) {
    let step = world.nodes[0].core.cluster().unwrap().dead_after() / 4;
    let mut left = time;
    while !left.is_zero() {
        let next = left.min(step);
        world.clock.advance(next);
        world.beat().await;
        left -= next;
    }
}

#[tokio::test]
async fn clocks_an_hour_apart_take_no_work_away_and_keep_none_back() {
    const HOUR_MS: i64 = 3_600_000;
    for (seed, ahead_ms) in [(10, HOUR_MS), (11, -HOUR_MS)] {
        let mut world = World::new(seed, 1, None).await;
        world.add_node_ahead(ahead_ms).await;
        world.beat().await;
        submit(&world, 0, 1).await;
        for _ in 0..4 {
            world.nodes[1].core.send_due().await.unwrap();
            assert_eq!(arrived(&world, 1).await, 0, "taken, {ahead_ms} ms ahead");
            // Longer than a lease lasts where nobody knows who lives.
            pass(&world, Duration::from_secs(130)).await;
        }
        world.nodes[0].core.send_due().await.unwrap();
        assert_eq!(arrived(&world, 0).await, 1);
        // It dies. The other one has what is due by its own clock, and what was due by that of the dead one.
        submit(&world, 0, 2).await;
        drop(world.nodes.remove(0));
        let dead_after = world.nodes[0].core.cluster().unwrap().dead_after();
        pass(&world, dead_after / 2).await;
        world.nodes[0].core.send_due().await.unwrap();
        assert_eq!(arrived(&world, 0).await, 1);
        pass(&world, dead_after / 2).await;
        world.nodes[0].core.send_due().await.unwrap();
        assert_eq!(arrived(&world, 0).await, 2, "left, {ahead_ms} ms ahead");
        world.nodes[0].core.send_due().await.unwrap();
        assert_eq!(arrived(&world, 0).await, 2);
    }
}

#[tokio::test]
async fn a_node_that_was_silent_begins_nothing_under_a_lease_that_it_has_lost() {
    let world = World::new(12, 2, None).await;
    world.beat().await;
    submit(&world, 0, 1).await;
    // A is frozen; B does its work.
    let (a, b) = (&world.nodes[0].core, &world.nodes[1].core);
    let dead_after = a.cluster().unwrap().dead_after();
    for _ in 0..4 {
        world.clock.advance(dead_after / 3);
        b.beat_once().await.unwrap();
    }
    b.send_due().await.unwrap();
    assert_eq!(arrived(&world, 1).await, 1);
    a.send_due().await.unwrap();
    assert_eq!(arrived(&world, 0).await, 1);
    // Frozen again, and not noticed by anybody: before it begins, it says that it lives.
    submit(&world, 0, 2).await;
    world.clock.advance(dead_after * 2);
    a.send_due().await.unwrap();
    assert_eq!(arrived(&world, 0).await, 2);
    b.beat_once().await.unwrap();
    b.send_due().await.unwrap();
    assert_eq!(arrived(&world, 0).await, 2);
}

#[tokio::test]
async fn the_work_of_a_node_that_has_just_come_is_its_own() {
    let mut world = World::new(15, 1, None).await;
    world.beat().await;
    world.add_node().await;
    submit(&world, 1, 1).await;
    // It hasn't heard of the other one yet.
    world.nodes[0].core.send_due().await.unwrap();
    assert_eq!(arrived(&world, 0).await, 0);
    world.nodes[1].core.send_due().await.unwrap();
    assert_eq!(arrived(&world, 0).await, 1);
}

#[tokio::test]
async fn work_that_panics_is_left_to_whoever_comes_next() {
    let world = World::new(13, 2, None).await;
    world.beat().await;
    submit(&world, 0, 1).await;
    let (a, b) = (&world.nodes[0], &world.nodes[1]);
    a.link.panic_at(vec![Subspace::Delivered as u8], 1);
    let sent = tokio::time::timeout(Duration::from_secs(60), a.core.send_due());
    sent.await.expect("nobody ends the work").unwrap();
    assert_eq!((a.link.panics_left(), arrived(&world, 0).await), (0, 0));
    // The node lives, and the row is not its own for ever: the other one sends it as soon as it is due again.
    pass(&world, Duration::from_secs(3600)).await;
    b.core.send_due().await.unwrap();
    assert_eq!(arrived(&world, 1).await, 1);
    a.core.send_due().await.unwrap();
    assert_eq!(arrived(&world, 1).await, 1);
}

/// Another server, which takes everything. With a link, there is a bug when that is to be written down.
#[derive(Debug)]
struct Peer {
    link: Option<Arc<Link>>,
    taken: AtomicUsize,
}

#[async_trait]
impl Outbound for Peer {
    async fn send(&self, job: &Job) -> Attempt {
        self.taken.fetch_add(1, Ordering::Relaxed);
        if let Some(link) = &self.link {
            link.panic_at(vec![Subspace::Object as u8], 2);
        }
        let outcome = |recipient: &JobRecipient| Outcome {
            at: recipient.at,
            fate: Fate::Accepted {
                tells_success: false,
            },
            reply: "250 2.0.0 OK".to_owned(),
            remote: Some("mx".to_owned()),
        };
        Attempt {
            outcomes: job.recipients.iter().map(outcome).collect(),
            hosts: Vec::new(),
        }
    }
}

#[tokio::test]
async fn what_was_sent_is_not_sent_again_because_writing_it_down_panics() {
    let world = World::new(14, 2, None).await;
    world.beat().await;
    let (a, b) = (&world.nodes[0], &world.nodes[1]);
    let peer = Arc::new(Peer {
        link: Some(a.link.clone()),
        taken: AtomicUsize::new(0),
    });
    a.core.send_with(peer.clone());
    b.core.send_with(peer.clone());
    submit_to(&world, 0, 1, "x@far.example").await;
    for _ in 0..4 {
        a.core.send_due().await.unwrap();
        b.core.send_due().await.unwrap();
        pass(&world, Duration::from_secs(3600)).await;
    }
    assert_eq!(a.link.panics_left(), 0);
    assert_eq!(peer.taken.load(Ordering::Relaxed), 1);
    let page = Page::first(keys::all(Subspace::QueueDue), 10);
    let open = world.engine.scan(page).await.unwrap();
    assert!(open.iter().all(|(_, lease)| lease.is_empty()), "{open:?}");
}

/// Those that are left all see that it has died, and begin on its work at the same moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_of_a_dead_node_is_divided_among_the_others() {
    const MAILS: usize = 20;
    let mut world = World::new(16, 3, None).await;
    world.beat().await;
    for number in 0..MAILS {
        submit_to(&world, 0, number, "x@far.example").await;
    }
    drop(world.nodes.remove(0));
    let dead_after = world.nodes[0].core.cluster().unwrap().dead_after();
    pass(&world, dead_after).await;
    let peer = Arc::new(Peer {
        link: None,
        taken: AtomicUsize::new(0),
    });
    let mut tasks = Vec::new();
    for node in &world.nodes {
        node.core.send_with(peer.clone());
        let core = node.core.clone();
        tasks.push(tokio::spawn(async move { core.send_due().await }));
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(peer.taken.load(Ordering::Relaxed), MAILS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_all_work_on_sends_once() {
    const MAILS: usize = 20;
    let world = Arc::new(World::new(9, 3, None).await);
    world.beat().await;
    for number in 0..MAILS {
        submit(&world, number % 3, number).await;
    }
    let mut tasks = Vec::new();
    for node in 0..3 {
        let world = world.clone();
        tasks.push(tokio::spawn(async move {
            for _ in 0..3 {
                world.nodes[node].core.send_due().await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(arrived(&world, 0).await, MAILS as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_for_many_that_two_nodes_finish_is_there_once() {
    for seed in 0..10 {
        let world = Arc::new(World::new(100 + seed, 3, None).await);
        let others: Vec<_> = [1, 2]
            .map(|node| {
                let world = world.clone();
                tokio::spawn(async move {
                    for _ in 0..10 {
                        world.nodes[node].core.resume_deliveries().await.unwrap();
                    }
                })
            })
            .into();
        for number in 0..5 {
            let recipients = vec![world.recipient(ADDRESS), world.recipient(OTHER_ADDRESS)];
            world.nodes[0]
                .deliver(recipients, message(&format!("{number}@x"), "text"))
                .await;
        }
        for task in others {
            task.await.unwrap();
        }
        world.nodes[0].core.resume_deliveries().await.unwrap();
        assert_eq!(arrived(&world, 0).await, 10, "seed {seed}");
    }
}

/// Background work finds a message for many on the list while it is being delivered by the same node, and another node gets in the way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_for_many_is_not_off_the_list_before_it_is_on_disk() {
    for seed in 0..20 {
        let world = Arc::new(World::new(300 + seed, 2, None).await);
        let resuming = {
            let world = world.clone();
            tokio::spawn(async move {
                for _ in 0..40 {
                    world.nodes[0].core.resume_deliveries().await.unwrap();
                }
            })
        };
        let other = {
            let world = world.clone();
            tokio::spawn(async move {
                for number in 0..20 {
                    let text = message(&format!("other{number}@x"), "text");
                    let recipients = vec![world.recipient(ADDRESS)];
                    world.nodes[1].deliver(recipients, text).await;
                }
            })
        };
        for number in 0..10 {
            let recipients = vec![world.recipient(ADDRESS), world.recipient(OTHER_ADDRESS)];
            world.nodes[0]
                .deliver(recipients, message(&format!("{number}@x"), "text"))
                .await;
        }
        for task in [resuming, other] {
            task.await.unwrap();
        }
        world.nodes[0].core.resume_deliveries().await.unwrap();
        world.poll().await;
        assert_eq!(arrived(&world, 0).await, 40, "seed {seed}");
    }
}

//! Shards of the search index that go from one node to another, or that nobody has any more.

use std::{collections::BTreeSet, fs, path::PathBuf, time::Duration};

use jmap_core::{
    Caller,
    alert::{AlertKind, AlertSettings, OF_SERVER, Thresholds},
};
use jmap_types::{mail::Email, method::Set};
use serde_json::json;
use store::{
    blob::s3_server::{S3Fault, S3Server},
    engine::{Engine as _, Page},
    keys::{self, Subspace},
};
use tempfile::TempDir;

use crate::{
    shards::{builder, builders, check, deliver, each_object, find, tend, time_passes, world},
    world::{ADDRESS, OTHER_ADDRESS, World, message},
};

/// Time passes, while all nodes say that they live.
async fn pass(world: &World, time: Duration) {
    let cluster = world.nodes[0].core.cluster().expect("no cluster");
    let step = cluster.dead_after() / 4;
    let mut left = time;
    while !left.is_zero() {
        let next = left.min(step);
        world.clock.advance(next);
        world.beat().await;
        left -= next;
    }
}

const MINUTE: Duration = Duration::from_secs(60);

fn objects_of(objects: &TempDir) -> BTreeSet<PathBuf> {
    let found = std::cell::RefCell::new(BTreeSet::new());
    each_object(objects, |path| {
        found.borrow_mut().insert(path.to_owned());
    });
    found.into_inner()
}

async fn deliver_to_both(world: &World, node: usize, id: &str) {
    let recipients = vec![world.recipient(ADDRESS), world.recipient(OTHER_ADDRESS)];
    world.nodes[node]
        .deliver(recipients, message(id, "some marmalade"))
        .await;
}

#[tokio::test]
async fn what_waits_for_the_object_store_is_known_to_whoever_takes_over() {
    for is_asked in [false, true] {
        let server = S3Server::start();
        let objects = server.settings(Duration::from_millis(500), "");
        let mut world = World::with_objects(41, 2, None, Some(objects), 1).await;
        deliver(&world, 0, "1@x", "some marmalade").await;
        tend(&world).await;
        let dies = builder(&world);
        server.set(S3Fault::Down);
        deliver(&world, 1 - dies, "2@x", "more marmalade").await;
        let core = &world.nodes[dies].core;
        assert!(core.tend_search().await.is_err());
        assert_eq!(core.search_documents(), 2);
        if is_asked {
            let done = core.reindex(Some(world.account), &|_| ()).await;
            assert!(done.is_err(), "it isn't published");
        }
        world.nodes.remove(dies).link.cut();
        time_passes(&world).await;
        server.set(S3Fault::None);
        tend(&world).await;
        // The mail that had not been published; and all, where somebody has asked for it.
        let documents = world.nodes[0].core.search_documents();
        assert_eq!(documents, 1 + u64::from(is_asked));
        check(&world, 0).await;
    }
}

#[tokio::test]
async fn what_a_node_had_not_published_when_it_died_is_not_in_its_copy() {
    let (mut world, _objects) = world(43, 2, 1).await;
    deliver(&world, 0, "1@x", "some marmalade").await;
    tend(&world).await;
    let old = builder(&world);
    let new = 1 - old;
    let first = find(&world, new, "marmalade").await;
    deliver(&world, old, "2@x", "more marmalade").await;
    let mut second = find(&world, new, "marmalade").await;
    second.retain(|id| !first.contains(id));
    world.nodes[old]
        .core
        .index_now()
        .await
        .expect("not indexed");
    world.restart(old).await;
    world.nodes[new]
        .call::<Set<Email>>(&world, json!({"destroy": second}))
        .await;
    time_passes(&world).await;
    world.nodes[new]
        .core
        .tend_search()
        .await
        .expect("no tending");
    tend(&world).await;
    assert_eq!(builder(&world), new);
    for node in 0..2 {
        assert_eq!(find(&world, node, "marmalade").await, first);
        check(&world, node).await;
    }
}

#[tokio::test]
async fn a_lease_that_is_lost_during_the_takeover_counts_for_nothing() {
    let (world, _objects) = world(44, 2, 1).await;
    deliver(&world, 0, "1@x", "some marmalade").await;
    let (slow, other) = (&world.nodes[0], &world.nodes[1]);
    world.beat().await;
    let stopped = slow.link.stop_reading(vec![Subspace::SearchShard as u8]);
    let core = slow.core.clone();
    let taking = tokio::spawn(async move { core.tend_search().await });
    stopped.reached().await;
    let dead_after = other.core.cluster().expect("no cluster").dead_after();
    for _ in 0..4 {
        world.clock.advance(dead_after / 3);
        other.core.beat_once().await.expect("no beat");
    }
    other.core.tend_search().await.expect("no tending");
    assert_eq!(builders(&world), [0, 1]);
    // It looks who builds, while it is at it.
    let core = slow.core.clone();
    let looking = tokio::spawn(async move { core.tend_search().await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    stopped.go_on();
    taking.await.expect("a bug").expect("no tending");
    looking.await.expect("a bug").expect("no tending");
    assert_eq!(builders(&world), [0, 1]);
}

#[tokio::test]
async fn who_hands_a_shard_over_publishes_it_first() {
    let (mut world, _objects) = world(45, 1, 2).await;
    deliver_to_both(&world, 0, "1@x").await;
    tend(&world).await;
    deliver_to_both(&world, 0, "2@x").await;
    world.nodes[0].core.index_now().await.expect("not indexed");
    world.add_node().await;
    for _ in 0..4 {
        world.beat().await;
        world.nodes[1].core.tend_search().await.expect("no tending");
        world.nodes[0].core.tend_search().await.expect("no tending");
    }
    assert_eq!(builders(&world), [1, 1]);
    let documents = world.nodes.iter().map(|node| node.core.search_documents());
    assert_eq!(documents.collect::<Vec<_>>(), [4, 0]);
}

#[tokio::test]
async fn what_nothing_names_goes_and_what_any_shard_names_stays() {
    let (mut world, objects) = world(46, 1, 2).await;
    deliver_to_both(&world, 0, "1@x").await;
    tend(&world).await;
    let named = objects_of(&objects);
    assert!(!named.is_empty());
    let strays: Vec<PathBuf> = named
        .iter()
        .map(|path| path.with_file_name("0123456789abcdef0123456789abcdef"))
        .collect();
    for stray in &strays {
        fs::write(stray, "left behind").expect("no object");
    }
    for minutes in [11, 11, 11] {
        pass(&world, minutes * MINUTE).await;
        tend(&world).await;
        assert!(strays.iter().all(|path| path.exists()));
    }
    pass(&world, 11 * MINUTE).await;
    tend(&world).await;
    assert_eq!(objects_of(&objects), named);
    world.add_node().await;
    tend(&world).await;
    assert_eq!(world.nodes[1].core.search_documents(), 0);
    assert_eq!(find(&world, 1, "marmalade").await.len(), 1);
}

/// Shards of how many there are rows.
async fn layouts(world: &World) -> BTreeSet<u64> {
    let page = Page::first(keys::all(Subspace::SearchShard), 1000);
    let rows = world.engine.scan(page).await.expect("no rows");
    let of = |(key, _): &(bytes::Bytes, bytes::Bytes)| keys::decode_search_shard(key);
    rows.iter().filter_map(of).map(|((_, of), ..)| of).collect()
}

#[tokio::test]
async fn two_layouts_are_built_side_by_side_and_what_nobody_builds_goes() {
    let (mut world, objects) = world(47, 1, 1).await;
    deliver(&world, 0, "1@x", "some marmalade").await;
    tend(&world).await;
    let old = objects_of(&objects);
    world.shards = 3;
    world.add_node().await;
    for minutes in [11, 40] {
        tend(&world).await;
        pass(&world, minutes * MINUTE).await;
    }
    tend(&world).await;
    assert_eq!(builders(&world), [1, 3]);
    assert_eq!(layouts(&world).await, [1, 3].into());
    assert!(objects_of(&objects).is_superset(&old));
    for node in 0..2 {
        assert_eq!(find(&world, node, "marmalade").await.len(), 1);
    }
    // The last one of the old layout goes.
    world.nodes.remove(0).link.cut();
    time_passes(&world).await;
    for minutes in [11, 40] {
        pass(&world, minutes * MINUTE).await;
        tend(&world).await;
    }
    assert_eq!(layouts(&world).await, [3].into());
    assert!(objects_of(&objects).is_disjoint(&old));
    assert_eq!(find(&world, 0, "marmalade").await.len(), 1);
}

#[tokio::test]
async fn that_a_node_is_gone_is_told_until_somebody_says_that_it_is_meant_to_be() {
    let mut world = World::new(47, 3, None).await;
    let settings = AlertSettings {
        is_mailed: false,
        to: Vec::new(),
        remind_ms: i64::MAX,
        calm_ms: 0,
    };
    let limits = Thresholds {
        queue_length: 0,
        queue_age: 0,
    };
    let name = {
        let cluster = world.nodes[2].core.cluster().expect("no cluster");
        cluster.settings.name.clone()
    };
    // One that leaves is not gone; one that says nothing is.
    let who = Caller::server();
    world.nodes.remove(2).link.cut();
    // Its last beat is seen after it.
    time_passes(&world).await;
    time_passes(&world).await;
    for node in &world.nodes {
        // One that is broken off has forgotten nothing.
        let stopped = node.link.stop_writing(keys::all(Subspace::Alert).start);
        tokio::select! {
            noted = node.core.note_gone_nodes(&settings) => noted.expect("noted"),
            () = stopped.reached() => {}
        }
        node.link.stop_writing(b"nothing".to_vec());
        node.core.note_gone_nodes(&settings).await.expect("noted");
    }
    let core = world.nodes[0].core.clone();
    let alerts = core.alerts(&who).await.expect("alerts");
    let of: Vec<(AlertKind, &str)> = alerts
        .iter()
        .map(|of| (of.record.kind, of.record.subject.as_str()))
        .collect();
    assert_eq!(of, [(AlertKind::NodeGone, name.as_str())]);
    // Whoever looks next sees that it still is.
    for _ in 0..3 {
        let found = core.find_conditions(&limits).await.expect("conditions");
        core.note_conditions("", OF_SERVER, &found, &settings)
            .await
            .expect("noted");
        time_passes(&world).await;
    }
    assert_eq!(core.alerts(&who).await.expect("alerts").len(), 1);
    core.dismiss_alert(&who, alerts[0].number)
        .await
        .expect("dismissed");
    let found = core.find_conditions(&limits).await.expect("conditions");
    assert_eq!(found, []);
    let left = world.nodes.pop().expect("a node");
    left.core.leave_cluster().await.expect("it leaves");
    time_passes(&world).await;
    core.note_gone_nodes(&settings).await.expect("noted");
    assert_eq!(core.alerts(&who).await.expect("alerts"), []);
}

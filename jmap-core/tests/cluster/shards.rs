//! One node builds each shard of the search index, and all find everything.

use std::{fs, sync::Arc, time::Duration};

use jmap_core::{Caller, cluster::LocalNotices, mail::search::SharedCounts};
use jmap_types::{
    mail::Email,
    method::{Query, Set},
};
use serde_json::json;
use store::{
    blob::{
        OutsidePlace, OutsideSettings,
        s3_server::{S3Fault, S3Server, walk},
    },
    engine::{Engine as _, Page},
    keys::{self, Subspace},
};
use tempfile::TempDir;

use crate::world::{ADDRESS, World, message, text};

const PATIENCE: Duration = Duration::from_secs(30);

pub fn in_folder(folder: &TempDir) -> OutsideSettings {
    OutsideSettings {
        place: OutsidePlace::Folder(folder.path().to_owned()),
        timeout: PATIENCE,
    }
}

/// Nodes that share a folder for objects, with one shard.
pub async fn world(seed: u64, nodes: usize, shards: u16) -> (World, TempDir) {
    let folder = tempfile::tempdir().expect("no temporary folder");
    let objects = Some(in_folder(&folder));
    let world = World::with_objects(seed, nodes, None, objects, shards).await;
    (world, folder)
}

pub async fn find(world: &World, node: usize, word: &str) -> Vec<String> {
    // What others wrote comes by a notice, or by looking.
    world.nodes[node].core.poll_once().await.expect("no poll");
    let found = world.nodes[node]
        .call::<Query<Email>>(world, json!({"filter": {"text": word}}))
        .await;
    let ids = found["ids"].as_array().expect("no ids");
    ids.iter().map(text).collect()
}

pub async fn deliver(world: &World, node: usize, id: &str, body: &str) {
    let recipients = vec![world.recipient(ADDRESS)];
    world.nodes[node]
        .deliver(recipients, message(id, body))
        .await;
}

/// Each node does what it has to do, twice: what the first one publishes, the others fetch.
pub async fn tend(world: &World) {
    world.beat().await;
    for _ in 0..2 {
        for node in &world.nodes {
            node.core.tend_search().await.expect("no tending");
        }
    }
}

pub fn counts(world: &World, node: usize) -> SharedCounts {
    let counts = world.nodes[node].core.search_shards();
    counts.expect("nothing is shared")
}

pub fn builders(world: &World) -> Vec<usize> {
    let nodes = 0..world.nodes.len();
    nodes.map(|node| counts(world, node).building).collect()
}

/// The node that builds the only shard.
pub fn builder(world: &World) -> usize {
    let builders = builders(world);
    assert_eq!(builders.iter().sum::<usize>(), 1, "{builders:?}");
    builders.iter().position(|count| *count == 1).expect("one")
}

pub async fn check(world: &World, node: usize) {
    let report = world.nodes[node]
        .core
        .check(Default::default(), &|_| ())
        .await;
    assert_eq!(report.expect("no check").problems, []);
}

/// The dead are taken for dead.
pub async fn time_passes(world: &World) {
    let dead_after = world.nodes[0]
        .core
        .cluster()
        .expect("no cluster")
        .dead_after();
    for _ in 0..4 {
        world.clock.advance(dead_after / 3);
        world.beat().await;
    }
}

#[tokio::test]
async fn one_node_indexes_and_the_others_fetch() {
    let (mut world, objects) = world(1, 3, 1).await;
    deliver(&world, 0, "1@x", "some marmalade").await;
    // Before anything is published, each looks for itself.
    for node in 0..3 {
        assert_eq!(find(&world, node, "marmalade").await.len(), 1);
    }
    tend(&world).await;
    let builder = builder(&world);
    for node in 0..3 {
        let documents = world.nodes[node].core.search_documents();
        assert_eq!(documents, u64::from(node == builder));
        assert_eq!(counts(&world, node).fetched_files > 0, node != builder);
        assert_eq!(world.nodes[node].core.search_pending(), 0);
        assert_eq!(find(&world, node, "marmalade").await.len(), 1);
        check(&world, node).await;
    }
    // Nobody waits any more.
    let waiting = Page::first(keys::all(Subspace::SearchPending), 9);
    assert_eq!(world.engine.scan(waiting).await.expect("no rows"), []);
    // Nobody has to read any mail to find it.
    world.add_node().await;
    tend(&world).await;
    assert_eq!(world.nodes[3].core.search_documents(), 0);
    assert!(counts(&world, 3).fetched_files > 0);
    assert_eq!(find(&world, 3, "marmalade").await.len(), 1);
    // And nothing is published where nothing has changed.
    let before = counts(&world, builder);
    tend(&world).await;
    assert_eq!(counts(&world, builder), before);
    let mut files = Vec::new();
    walk(objects.path(), &mut files);
    let is_plain = |file| {
        let octets = fs::read(file).unwrap_or_default();
        // Each file of tantivy's ends with a line that can be read.
        octets.windows(5).any(|part| part == b"\"crc\"")
    };
    assert!(
        !files.iter().any(is_plain),
        "the index can be read in the object store"
    );
}

#[tokio::test]
async fn a_destroyed_message_is_found_nowhere() {
    let (world, _objects) = world(2, 2, 1).await;
    deliver(&world, 0, "1@x", "some marmalade").await;
    deliver(&world, 1, "2@x", "more marmalade").await;
    tend(&world).await;
    let found = find(&world, 1, "marmalade").await;
    assert_eq!(found.len(), 2);
    world.nodes[0]
        .call::<Set<Email>>(&world, json!({"destroy": [found[0]]}))
        .await;
    for node in 0..2 {
        assert_eq!(find(&world, node, "marmalade").await, found[1..]);
    }
    tend(&world).await;
    for node in 0..2 {
        assert_eq!(find(&world, node, "marmalade").await, found[1..]);
        check(&world, node).await;
    }
}

#[tokio::test]
async fn shards_are_spread_and_each_who_comes_gets_some() {
    let (mut world, _objects) = world(3, 1, 4).await;
    tend(&world).await;
    assert_eq!(builders(&world), [4]);
    world.add_node().await;
    for _ in 0..6 {
        tend(&world).await;
    }
    assert_eq!(builders(&world), [2, 2]);
    world.add_node().await;
    for _ in 0..6 {
        tend(&world).await;
    }
    let mut spread = builders(&world);
    spread.sort_unstable();
    assert_eq!(spread, [1, 1, 2]);
    // One goes in order, one dies.
    let gone = world.nodes.remove(0);
    gone.core.leave_cluster().await.expect("it can't leave");
    gone.link.cut();
    for _ in 0..6 {
        tend(&world).await;
    }
    assert_eq!(builders(&world), [2, 2]);
    world.nodes.remove(0).link.cut();
    time_passes(&world).await;
    tend(&world).await;
    assert_eq!(builders(&world), [4]);
}

#[tokio::test]
async fn what_a_dead_builder_had_not_published_is_found() {
    let (mut world, _objects) = world(4, 3, 1).await;
    deliver(&world, 0, "1@x", "some marmalade").await;
    tend(&world).await;
    let dies = builder(&world);
    // It has indexed this, and nobody else has.
    deliver(&world, (dies + 1) % 3, "2@x", "more marmalade").await;
    world.nodes[dies].core.poll_once().await.expect("no poll");
    world.nodes[dies]
        .core
        .index_now()
        .await
        .expect("not indexed");
    let dead = world.nodes.remove(dies);
    dead.link.cut();
    for node in 0..2 {
        assert_eq!(find(&world, node, "marmalade").await.len(), 2);
    }
    time_passes(&world).await;
    tend(&world).await;
    let builder = builder(&world);
    assert_eq!(world.nodes[builder].core.search_documents(), 1);
    for node in 0..2 {
        assert_eq!(find(&world, node, "marmalade").await.len(), 2);
        check(&world, node).await;
    }
}

#[tokio::test]
async fn who_was_taken_for_dead_goes_back_to_what_is_published() {
    let (world, _objects) = world(5, 2, 1).await;
    deliver(&world, 0, "1@x", "some marmalade").await;
    tend(&world).await;
    let old = builder(&world);
    let new = 1 - old;
    deliver(&world, new, "2@x", "more marmalade").await;
    world.nodes[old].core.poll_once().await.expect("no poll");
    world.nodes[old]
        .core
        .index_now()
        .await
        .expect("not indexed");
    // The builder is silent, and the other one takes over.
    let dead_after = world.nodes[0]
        .core
        .cluster()
        .expect("no cluster")
        .dead_after();
    for _ in 0..4 {
        world.clock.advance(dead_after / 3);
        world.nodes[new].core.beat_once().await.expect("no beat");
    }
    deliver(&world, new, "3@x", "even more marmalade").await;
    world.nodes[new]
        .core
        .tend_search()
        .await
        .expect("no tending");
    assert_eq!(counts(&world, new).building, 1);
    // The old one doesn't know yet, and finds everything all the same.
    assert_eq!(find(&world, old, "marmalade").await.len(), 3);
    let before = counts(&world, old);
    let _ = world.nodes[old].core.tend_search().await;
    assert_eq!(counts(&world, old).publications, before.publications);
    assert_eq!(find(&world, old, "marmalade").await.len(), 3);
    tend(&world).await;
    assert_eq!(builder(&world), new);
    for node in 0..2 {
        assert_eq!(find(&world, node, "marmalade").await.len(), 3);
        check(&world, node).await;
    }
}

#[tokio::test]
async fn a_builder_that_starts_again_goes_on() {
    let (mut world, _objects) = world(6, 2, 1).await;
    deliver(&world, 0, "1@x", "some marmalade").await;
    tend(&world).await;
    let node = builder(&world);
    deliver(&world, 1 - node, "2@x", "more marmalade").await;
    world.nodes[node].core.poll_once().await.expect("no poll");
    world.nodes[node]
        .core
        .index_now()
        .await
        .expect("not indexed");
    world.restart(node).await;
    assert_eq!(find(&world, node, "marmalade").await.len(), 2);
    tend(&world).await;
    builder(&world);
    for node in 0..2 {
        assert_eq!(find(&world, node, "marmalade").await.len(), 2);
        check(&world, node).await;
    }
    // What was here was taken up, not fetched.
    assert!(counts(&world, node).fetched_files <= 8);
}

#[tokio::test]
async fn while_the_object_store_is_away_everything_is_found() {
    let server = S3Server::start();
    let objects = server.settings(Duration::from_millis(500), "");
    let mut world = World::with_objects(7, 3, None, Some(objects), 1).await;
    deliver(&world, 0, "1@x", "some marmalade").await;
    tend(&world).await;
    server.set(S3Fault::Down);
    let node = builder(&world);
    let before = counts(&world, node).publications;
    for number in 2..5 {
        deliver(&world, number % 3, &format!("{number}@x"), "more marmalade").await;
        let _ = world.nodes[node].core.tend_search().await;
        for node in 0..3 {
            assert_eq!(find(&world, node, "marmalade").await.len(), number);
        }
    }
    assert_eq!(counts(&world, node).publications, before);
    // The builder dies meanwhile: who takes over has no less.
    world.nodes.remove(node).link.cut();
    time_passes(&world).await;
    for node in 0..2 {
        let _ = world.nodes[node].core.tend_search().await;
        assert_eq!(find(&world, node, "marmalade").await.len(), 4);
    }
    server.set(S3Fault::None);
    tend(&world).await;
    for node in 0..2 {
        assert_eq!(find(&world, node, "marmalade").await.len(), 4);
        check(&world, node).await;
    }
}

/// Does something to each object of the search index.
pub fn each_object(objects: &TempDir, change: impl Fn(&std::path::Path)) {
    let mut files = Vec::new();
    walk(objects.path(), &mut files);
    let is_pack = |path: &&std::path::PathBuf| path.to_string_lossy().contains("/search/");
    files.iter().filter(is_pack).for_each(|path| change(path));
}

#[tokio::test]
async fn what_is_damaged_outside_is_published_again() {
    for is_missing in [true, false] {
        let (mut world, objects) = world(8, 2, 1).await;
        deliver(&world, 0, "1@x", "some marmalade").await;
        tend(&world).await;
        let builder = builder(&world);
        let before = counts(&world, builder).publications;
        each_object(&objects, |path| match is_missing {
            true => fs::remove_file(path).expect("no object"),
            false => fs::write(path, "something else").expect("no object"),
        });
        world.add_node().await;
        world.beat().await;
        let refused = world.nodes[2].core.tend_search().await;
        assert!(refused.is_err(), "the new node has taken what is damaged");
        assert_eq!(find(&world, 2, "marmalade").await.len(), 1);
        world.nodes[builder]
            .core
            .tend_search()
            .await
            .expect("no tending");
        tend(&world).await;
        assert_eq!(counts(&world, builder).publications, before + 1);
        assert!(counts(&world, 2).fetched_files > 0);
        assert_eq!(find(&world, 2, "marmalade").await.len(), 1);
        // Where nobody has it, it is made anew.
        each_object(&objects, |path| fs::remove_file(path).expect("no object"));
        for node in world.nodes.drain(..) {
            node.link.cut();
        }
        world.add_node().await;
        // It has to see the others before it can see that they don't move.
        world.beat().await;
        time_passes(&world).await;
        tend(&world).await;
        assert_eq!(world.nodes[0].core.search_documents(), 1);
        assert_eq!(find(&world, 0, "marmalade").await.len(), 1);
        world.add_node().await;
        tend(&world).await;
        assert_eq!(find(&world, 1, "marmalade").await.len(), 1);
        check(&world, 0).await;
    }
}

#[tokio::test]
async fn a_damaged_copy_is_fetched_anew() {
    let (mut world, _objects) = world(9, 2, 1).await;
    deliver(&world, 0, "1@x", "some marmalade").await;
    tend(&world).await;
    for node in 0..2 {
        let folder = world.nodes[node].folder.path().join("search/shard-00000");
        for entry in fs::read_dir(&folder).expect("no shard") {
            let path = entry.expect("no file").path();
            if path
                .extension()
                .is_some_and(|ending| ending == "idx" || ending == "term")
            {
                fs::remove_file(path).expect("no file");
            }
        }
        world.restart(node).await;
        assert_eq!(find(&world, node, "marmalade").await.len(), 1);
        tend(&world).await;
        assert_eq!(find(&world, node, "marmalade").await.len(), 1);
        assert!(counts(&world, node).fetched_files > 0);
        check(&world, node).await;
    }
}

#[tokio::test]
async fn much_that_is_not_published_is_looked_at_all_the_same() {
    const MAILS: usize = 410;
    let (world, _objects) = world(10, 2, 1).await;
    deliver(&world, 0, "0@x", "some marmalade").await;
    tend(&world).await;
    let other = 1 - builder(&world);
    for number in 1..MAILS {
        deliver(&world, other, &format!("{number}@x"), "more marmalade").await;
    }
    // Nobody publishes: after a while it is looked at in pieces.
    assert_eq!(find(&world, other, "marmalade").await.len(), MAILS);
    // The builder indexes it first.
    let node = 1 - other;
    assert_eq!(find(&world, node, "marmalade").await.len(), MAILS);
    assert_eq!(world.nodes[node].core.search_documents(), MAILS as u64);
    let tended = world.nodes[node].core.tend_search().await;
    tended.expect("no tending");
    let before = counts(&world, other).fetched_files;
    // What was published meanwhile is fetched by who needs it.
    assert_eq!(find(&world, other, "marmalade").await.len(), MAILS);
    assert!(counts(&world, other).fetched_files > before);
}

/// Nodes that run, and tell each other.
async fn running(
    seed: u64,
    nodes: usize,
) -> (Arc<World>, TempDir, Vec<tokio::task::JoinHandle<()>>) {
    let folder = tempfile::tempdir().expect("no temporary folder");
    let objects = Some(in_folder(&folder));
    let notices = Some(LocalNotices::default());
    let world = Arc::new(World::with_objects(seed, nodes, notices, objects, 2).await);
    let run = |node: &crate::world::Node| {
        let core = node.core.clone();
        tokio::spawn(core.run_work(Box::new(|| Box::pin(async {}))))
    };
    let tasks = world.nodes.iter().map(run).collect();
    (world, folder, tasks)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_indexed_anew_whichever_node_is_asked() {
    let (world, _objects, tasks) = running(11, 2).await;
    deliver(&world, 0, "1@x", "some marmalade").await;
    for node in 0..2 {
        let core = &world.nodes[node].core;
        let count = core.reindex(Some(world.account), &|_| ()).await;
        assert_eq!(count.expect("not indexed"), 1);
        assert_eq!(find(&world, node, "marmalade").await.len(), 1);
    }
    let count = world.nodes[1].core.reindex(None, &|_| ()).await;
    assert!(count.expect("not indexed") >= 2);
    check(&world, 0).await;
    tasks.iter().for_each(|task| task.abort());
}

#[tokio::test]
async fn an_account_that_is_removed_leaves_nothing_behind() {
    let (world, _objects) = world(12, 2, 1).await;
    deliver(&world, 0, "1@x", "some marmalade").await;
    tend(&world).await;
    let server = Caller::server();
    let removed = world.nodes[0].core.remove_account(&server, world.account);
    removed.await.expect("not removed");
    tend(&world).await;
    for node in 0..2 {
        check(&world, node).await;
    }
}

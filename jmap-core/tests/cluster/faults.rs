//! Published shards of the search index when something is damaged, lost, or comes in between: all mail is found all the same.

use std::{fs, time::Duration};

use jmap_core::inproc::imap_view::{Condition, MailboxKey};
use jmap_types::{Id, mail::Mailbox, method::Get};
use serde_json::json;
use store::{
    Head, Record as _,
    blob::s3_server::{S3Fault, S3Server},
    engine::{Batch, Engine as _, Key, Page},
    keys::{self, ShardRow, Subspace},
};

use crate::{
    shards::{builder, check, counts, deliver, each_object, find, tend, time_passes, world},
    world::{Node, World, text},
};

/// A row of the first shard.
fn row(world: &World, node: usize, row: ShardRow) -> Key {
    let layout = world.nodes[node].index.layout();
    keys::search_shard(layout, 0, row, jmap_types::AccountId::new(0))
}

async fn write(world: &World, change: impl FnOnce(&mut Batch)) {
    let mut batch = Batch::new();
    change(&mut batch);
    world.engine.commit(batch).await.expect("no commit");
}

async fn head(world: &World) -> Option<bytes::Bytes> {
    let key = row(world, 0, ShardRow::Head);
    world.engine.get(&key).await.expect("no head")
}

/// The node does what it has to do, and there is a bug when it reads an email to index it.
async fn tend_with_a_bug(node: &Node) {
    node.link.panic_at(vec![Subspace::Object as u8], 1);
    let core = node.core.clone();
    let tending = tokio::spawn(async move { core.tend_search().await });
    assert!(tending.await.is_err(), "nothing was indexed");
}

/// Emails that have a part of a word, as IMAP looks for it.
async fn find_part(world: &World, node: usize, part: &str) -> usize {
    let node = &world.nodes[node];
    node.core.poll_once().await.expect("no poll");
    let got = node.call::<Get<Mailbox>>(world, json!({"ids": null})).await;
    let inbox = Id::<Mailbox>::parse(&text(&got["list"][0]["id"])).expect("no id");
    let key = MailboxKey {
        account: world.account,
        mailbox: inbox.number(),
    };
    let opened = node.core.view_open(&node.who, key).await;
    let opened = opened.expect("no mailbox");
    let emails: Vec<u64> = opened.messages.iter().map(|(_, email)| email).collect();
    let condition = Condition::Text(part.to_owned());
    let found = node.core.view_search(&node.who, key, &emails, condition);
    found.await.expect("no search").len()
}

#[tokio::test]
async fn records_that_cant_be_read_are_made_again() {
    let (world, _objects) = world(21, 2, 1).await;
    deliver(&world, 0, "1@x", "some marmalade").await;
    tend(&world).await;
    for (number, damaged) in [(2, ShardRow::Head), (3, ShardRow::Manifest)] {
        let key = row(&world, 0, damaged);
        write(&world, |batch| {
            batch.put(key, "x");
        })
        .await;
        deliver(&world, 0, &format!("{number}@x"), "more marmalade").await;
        for _ in 0..2 {
            for node in 0..2 {
                assert_eq!(find(&world, node, "marmalade").await.len(), number);
            }
            tend(&world).await;
        }
        for node in 0..2 {
            check(&world, node).await;
        }
    }
    let key = keys::search_indexed(world.account);
    write(&world, |batch| {
        batch.put(key, "x");
    })
    .await;
    for node in 0..2 {
        assert_eq!(find(&world, node, "marmalade").await.len(), 3);
    }
    deliver(&world, 0, "4@x", "more marmalade").await;
    tend(&world).await;
    for node in 0..2 {
        assert_eq!(find(&world, node, "marmalade").await.len(), 4);
        check(&world, node).await;
    }
}

#[tokio::test]
async fn a_copy_of_what_was_forgotten_is_not_taken_for_what_is_published_now() {
    let (world, _objects) = world(22, 2, 1).await;
    deliver(&world, 0, "1@x", "some marmalade").await;
    tend(&world).await;
    // As when nobody has built shards of this layout for a while, or the store is another one behind the same folders.
    let rows = [ShardRow::Head, ShardRow::Manifest].map(|of| row(&world, 0, of));
    write(&world, |batch| {
        for key in rows {
            batch.delete(key);
        }
    })
    .await;
    world.clock.advance(Duration::from_secs(1));
    deliver(&world, 0, "2@x", "more marmalade").await;
    let node = builder(&world);
    world.nodes[node]
        .core
        .tend_search()
        .await
        .expect("no tending");
    for _ in 0..2 {
        for node in 0..2 {
            assert_eq!(find(&world, node, "marmalade").await.len(), 2);
        }
        tend(&world).await;
    }
    for node in 0..2 {
        check(&world, node).await;
    }
}

#[tokio::test]
async fn a_search_that_has_begun_finds_all_though_the_copy_becomes_another() {
    for is_of_part in [false, true] {
        let (world, _objects) = world(23, 2, 1).await;
        let world = std::sync::Arc::new(world);
        deliver(&world, 0, "1@x", "some marmalade").await;
        tend(&world).await;
        let node = builder(&world);
        let other = 1 - node;
        let key = keys::search_indexed(world.account);
        let stopped = world.nodes[other].link.stop_reading(key);
        let searching = {
            let world = world.clone();
            tokio::spawn(async move {
                match is_of_part {
                    true => find_part(&world, other, "rmalad").await,
                    false => find(&world, other, "marmalade").await.len(),
                }
            })
        };
        stopped.reached().await;
        // The shard is begun anew, and there is nothing in it yet.
        let key = row(&world, 0, ShardRow::Head);
        write(&world, |batch| {
            batch.put(key, "x");
        })
        .await;
        tend_with_a_bug(&world.nodes[node]).await;
        let tended = world.nodes[other].core.tend_search().await;
        tended.expect("no tending");
        stopped.go_on();
        assert_eq!(searching.await.expect("no search"), 1);
    }
}

#[tokio::test]
async fn a_shard_that_is_made_anew_is_published_when_it_is_whole() {
    let (mut world, objects) = world(24, 2, 1).await;
    deliver(&world, 0, "1@x", "some marmalade").await;
    tend(&world).await;
    let dies = builder(&world);
    world.add_node().await;
    world.beat().await;
    each_object(&objects, |path| fs::remove_file(path).expect("no object"));
    world.nodes.remove(dies).link.cut();
    time_passes(&world).await;
    let before = head(&world).await;
    // The new node has no copy to go on with.
    tend_with_a_bug(&world.nodes[1]).await;
    assert_eq!(counts(&world, 1).building, 1);
    assert_eq!(head(&world).await, before);
    for node in 0..2 {
        assert_eq!(find(&world, node, "marmalade").await.len(), 1);
    }
    world.nodes[1].core.tend_search().await.expect("no tending");
    tend(&world).await;
    assert_ne!(head(&world).await, before);
    assert_eq!(world.nodes[1].core.search_documents(), 1);
    for node in 0..2 {
        assert_eq!(find(&world, node, "marmalade").await.len(), 1);
        check(&world, node).await;
    }
}

#[tokio::test]
async fn what_is_built_anew_has_nothing_of_what_was_before() {
    let (mut world, objects) = world(25, 2, 1).await;
    deliver(&world, 0, "1@x", "some marmalade").await;
    deliver(&world, 0, "2@x", "more marmalade").await;
    tend(&world).await;
    let dies = builder(&world);
    let found = find(&world, dies, "marmalade").await;
    let node = &world.nodes[dies];
    let destroy = json!({"destroy": [found[0]]});
    node.call::<jmap_types::method::Set<jmap_types::mail::Email>>(&world, destroy)
        .await;
    // The other one doesn't have this any more when it takes over.
    node.core.tend_search().await.expect("no tending");
    each_object(&objects, |path| fs::remove_file(path).expect("no object"));
    world.nodes.remove(dies).link.cut();
    time_passes(&world).await;
    tend(&world).await;
    assert_eq!(find(&world, 0, "marmalade").await, found[1..]);
    check(&world, 0).await;
}

/// Files of the index of a node are other ones than they were.
fn damage(node: &Node) {
    node.index.trim_memory();
    let folder = node.folder.path().join("search/shard-00000");
    for entry in fs::read_dir(&folder).expect("no shard") {
        let path = entry.expect("no file").path();
        if path.extension().is_some_and(|ending| ending == "term") {
            let mut octets = fs::read(&path).expect("no file");
            octets[0] ^= 0xff;
            fs::remove_file(&path).expect("no file");
            fs::write(&path, octets).expect("no file");
        }
    }
}

#[tokio::test]
async fn what_is_damaged_at_its_builder_is_not_published() {
    let (mut world, objects) = world(26, 1, 1).await;
    deliver(&world, 0, "1@x", "some marmalade").await;
    tend(&world).await;
    damage(&world.nodes[0]);
    each_object(&objects, |path| fs::remove_file(path).expect("no object"));
    world.add_node().await;
    world.beat().await;
    assert!(world.nodes[1].core.tend_search().await.is_err());
    // It finds out, and then it begins anew.
    assert!(world.nodes[0].core.tend_search().await.is_err());
    tend(&world).await;
    assert_eq!(world.nodes[0].core.search_documents(), 2);
    for node in 0..2 {
        assert_eq!(find(&world, node, "marmalade").await.len(), 1);
        world.nodes[node].index.verify(0).expect("damaged");
        check(&world, node).await;
    }
}

#[tokio::test]
async fn a_copy_that_is_lost_while_the_object_store_is_away_is_done_without() {
    let server = S3Server::start();
    let objects = server.settings(Duration::from_millis(500), "");
    let world = World::with_objects(27, 2, None, Some(objects), 1).await;
    deliver(&world, 0, "1@x", "some marmalade").await;
    tend(&world).await;
    server.set(S3Fault::Down);
    let node = builder(&world);
    deliver(&world, node, "2@x", "more marmalade").await;
    world.nodes[node]
        .core
        .index_now()
        .await
        .expect("not indexed");
    for node in 0..2 {
        let folder = world.nodes[node].folder.path().join("search/shard-00000");
        world.nodes[node].index.trim_memory();
        for entry in fs::read_dir(&folder).expect("no shard") {
            let path = entry.expect("no file").path();
            if path.extension().is_some_and(|ending| ending == "term") {
                fs::remove_file(path).expect("no file");
            }
        }
        assert_eq!(find(&world, node, "marmalade").await.len(), 2);
    }
    server.set(S3Fault::None);
    tend(&world).await;
    for node in 0..2 {
        assert_eq!(find(&world, node, "marmalade").await.len(), 2);
        check(&world, node).await;
    }
}

#[tokio::test]
async fn a_word_that_mail_waits_is_not_taken_back_for_older_mail() {
    let (world, _objects) = world(29, 2, 1).await;
    deliver(&world, 0, "1@x", "some marmalade").await;
    tend(&world).await;
    let node = builder(&world);
    let other = 1 - node;
    deliver(&world, other, "2@x", "more marmalade").await;
    let key = keys::search_pending(world.account);
    let stopped = world.nodes[node].link.stop_writing(key);
    let core = world.nodes[node].core.clone();
    let tending = tokio::spawn(async move { core.tend_search().await });
    stopped.reached().await;
    deliver(&world, other, "3@x", "more marmalade").await;
    stopped.go_on();
    tending.await.expect("a bug").expect("no tending");
    world.nodes[node]
        .core
        .tend_search()
        .await
        .expect("no tending");
    assert_eq!(world.nodes[node].core.search_documents(), 3);
    tend(&world).await;
    check(&world, node).await;
}

#[tokio::test]
async fn an_account_that_cant_be_indexed_keeps_nobody_else_from_it() {
    let (world, _objects) = world(30, 1, 1).await;
    deliver(&world, 0, "1@x", "some marmalade").await;
    tend(&world).await;
    let layout = world.nodes[0].index.layout();
    let request = |account| keys::search_shard(layout, 0, ShardRow::Request, account);
    write(&world, |batch| {
        batch.put(keys::head(world.other), "x");
        batch.put(request(world.other), "");
        batch.put(request(world.account), "");
    })
    .await;
    world.nodes[0].core.tend_search().await.expect("no tending");
    let left = Page::first(keys::search_requests(layout, 0), 9);
    assert_eq!(world.engine.scan(left).await.expect("no rows"), []);
    assert_eq!(world.nodes[0].core.search_documents(), 2);
}

#[tokio::test]
async fn where_the_log_is_damaged_all_emails_are_looked_at() {
    let (world, _objects) = world(31, 2, 1).await;
    deliver(&world, 0, "1@x", "some marmalade").await;
    tend(&world).await;
    let other = 1 - builder(&world);
    deliver(&world, other, "2@x", "more marmalade").await;
    let key = keys::head(world.account);
    let found = world.engine.get(&key).await.expect("no head");
    let last = Head::from_bytes(&key, &found.expect("no head")).expect("no head");
    let log = keys::log(world.account, last.sequence);
    write(&world, |batch| {
        batch.put(log, "x");
    })
    .await;
    assert_eq!(find(&world, other, "marmalade").await.len(), 2);
}

#[tokio::test]
async fn before_anything_is_published_much_is_looked_at_all_the_same() {
    const MAILS: usize = 410;
    let (world, _objects) = world(32, 1, 1).await;
    for number in 0..MAILS {
        deliver(&world, 0, &format!("{number}@x"), "some marmalade").await;
    }
    assert_eq!(find(&world, 0, "marmalade").await.len(), MAILS);
}

#[tokio::test]
async fn parts_of_words_are_found_in_what_is_behind_the_copy_too() {
    let (world, _objects) = world(33, 2, 1).await;
    deliver(&world, 0, "1@x", "some marmalade").await;
    tend(&world).await;
    deliver(&world, 0, "2@x", "more marmalade").await;
    for node in 0..2 {
        assert_eq!(find_part(&world, node, "rmalad").await, 2);
    }
    tend(&world).await;
    for node in 0..2 {
        assert_eq!(find_part(&world, node, "rmalad").await, 2);
    }
}

//! What others commit between the look at a blob and what is done about it.

use jmap_types::{AccountId, DataType};

use super::{places::objects, *};
use crate::{
    Error, blob,
    engine::{
        MemoryEngine,
        between::{Between, Moment},
    },
};

#[tokio::test]
async fn a_blob_stays_that_is_taken_up_while_it_is_looked_at() {
    let octets = Bytes::from_static(b"the only copy");
    let hash = blob::hash(&octets);
    let reference = keys::blob_ref(&hash, AccountId::new(1), DataType::Email, 2);
    for taken_up in [Some(reference), Some(keys::backup_hold(3)), None] {
        let inner: Arc<dyn Engine> = MemoryEngine::new();
        let mut batch = Batch::new();
        batch.put(keys::blob(&hash), octets.clone());
        batch.put(keys::blob_candidate(1, &hash), Bytes::new());
        inner.commit(batch).await.unwrap();
        let is_taken_up = taken_up.is_some();
        let mut meanwhile = Batch::new();
        if let Some(key) = taken_up {
            meanwhile.put(key, Bytes::new());
        }
        let moment = Moment::Range(keys::blob_refs(&hash).start);
        let between = Between::new(inner.clone(), moment, inner, meanwhile);
        let engine: Arc<dyn Engine> = Arc::new(between);
        assert_eq!(blob::collect(&engine, 2).await.unwrap(), 1);
        let there = blob::get(&engine, &hash).await.unwrap();
        assert_eq!(there.is_some(), is_taken_up);
    }
}

#[tokio::test]
async fn what_refers_to_a_blob_that_was_collected_meanwhile_is_refused() {
    let octets = Bytes::from_static(b"the only copy");
    let hash = blob::hash(&octets);
    let engine: Arc<dyn Engine> = MemoryEngine::new();
    let mut batch = Batch::new();
    batch.put(keys::blob(&hash), octets.clone());
    batch.put(keys::blob_candidate(1, &hash), Bytes::new());
    engine.commit(batch).await.unwrap();
    let mut batch = put_batch(&octets);
    batch.writes.remove(0);
    blob::ensure(&engine, &mut batch, &hash, &octets)
        .await
        .unwrap();
    assert_eq!(blob::collect(&engine, 2).await.unwrap(), 1);
    let refused = engine.commit(batch).await.map_err(Error::from);
    assert!(matches!(refused, Err(Error::Conflict)), "{refused:?}");
}

/// Two nodes put the same blob, or one takes it away, at the same moment: each object is named by a stub, or it is garbage.
#[tokio::test]
async fn an_object_that_another_node_puts_meanwhile_is_not_forgotten() {
    for (was_there, is_deletion) in [(false, false), (true, false), (true, true)] {
        let folder = tempfile::tempdir().unwrap();
        let source = TestSource::new();
        let settings = BlobSettings {
            source: source.clone(),
            ..in_folder(folder.path())
        };
        let inner: Arc<dyn Engine> = MemoryEngine::new();
        let other = open(&inner, &settings).await;
        // With the first one, the place is known to be in use.
        put(&other, "another").await;
        if was_there {
            put(&other, "contested").await;
        }
        let hash = blob::hash(b"contested");
        let moment = Moment::Row(keys::blob_stub(&hash));
        let meanwhile = put_batch(&Bytes::from_static(b"contested"));
        let between = Arc::new(Between::new(inner, moment, other.clone(), meanwhile));
        let node = open(&(between.clone() as Arc<dyn Engine>), &settings).await;
        match is_deletion {
            false => drop(put(&node, "contested").await),
            true => {
                let mut batch = Batch::new();
                batch.delete(keys::blob(&hash));
                node.commit(batch).await.unwrap();
            }
        }
        assert!(between.has_happened());
        source.advance(Duration::from_secs(3 * 3600));
        while other.collect_garbage().await.unwrap() {}
        let left = 1 + usize::from(!is_deletion);
        assert_eq!(objects(folder.path()), left, "{was_there} {is_deletion}");
        assert_eq!(get(&other, &hash).await.is_some(), !is_deletion);
    }
}

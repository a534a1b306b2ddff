//! Objects that are kept near: bounded, compared, and nobody's after a crash.

use std::fs;

use super::*;
use crate::blob::{
    cache::{Cache, FILE_OCTETS_MIN},
    stub::ObjectName,
};

fn name(number: u8) -> ObjectName {
    ObjectName {
        hash: [number; 32],
        nonce: [0; 16],
    }
}

fn cache(folder: &Path, octets_max: u64) -> Arc<Cache> {
    Arc::new(Cache::open(folder.to_owned(), octets_max).unwrap())
}

#[tokio::test]
async fn the_one_that_was_used_longest_ago_goes() {
    let folder = tempfile::tempdir().unwrap();
    let cache = cache(folder.path(), 3 * FILE_OCTETS_MIN);
    for number in 0..3 {
        cache.put(name(number), Bytes::from(vec![number; 10])).await;
    }
    assert_eq!(cache.get(name(0)).await.unwrap(), vec![0; 10]);
    cache.put(name(3), Bytes::from_static(b"three")).await;
    assert_eq!(cache.get(name(1)).await, None);
    for number in [0, 2, 3] {
        assert!(cache.get(name(number)).await.is_some(), "{number}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    // One octet more than there is room for.
    let large = vec![9; 3 * FILE_OCTETS_MIN as usize + 1];
    cache.put(name(9), large.into()).await;
    assert_eq!(cache.get(name(9)).await, None);
    cache
        .put(name(9), vec![9; 3 * FILE_OCTETS_MIN as usize].into())
        .await;
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(cache.octets(), 3 * FILE_OCTETS_MIN);
}

#[tokio::test]
async fn a_new_process_takes_up_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    cache(folder.path(), 1 << 20)
        .put(name(1), "one".into())
        .await;
    fs::write(folder.path().join("17.new"), "not finished").unwrap();
    let again = cache(folder.path(), 1 << 20);
    assert_eq!(again.get(name(1)).await.unwrap(), "one");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(cache(folder.path(), 10).get(name(1)).await, None);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_near_is_not_fetched_and_what_is_wrong_is() {
    let server = S3Server::start();
    let folder = tempfile::tempdir().unwrap();
    let inner = crate::engine::MemoryEngine::new() as Arc<dyn Engine>;
    for keys in [&[][..], &[("key", 1)][..]] {
        let settings = BlobSettings {
            cache: Some((folder.path().to_owned(), 1 << 20)),
            keyring: keyring(keys),
            ..in_s3(&server, PATIENCE)
        };
        let engine = open(&inner, &settings).await;
        let octets = mail(keys.len() as u64, 5000);
        let hash = put(&engine, octets.clone()).await;
        let before = server.requests();
        assert_eq!(get(&engine, &hash).await, Some(octets.clone()));
        assert_eq!(server.requests(), before);
        // A crash may leave half of a file.
        for file in fs::read_dir(folder.path()).unwrap() {
            let file = fs::OpenOptions::new()
                .write(true)
                .open(file.unwrap().path());
            file.unwrap().set_len(2000).unwrap();
        }
        assert_eq!(get(&engine, &hash).await, Some(octets.clone()));
        assert_eq!(server.requests(), before + 1);
        assert_eq!(get(&engine, &hash).await, Some(octets));
        assert_eq!(server.requests(), before + 1);
        // The key has to be there for the next round.
        drop(engine);
        let all = keys::all(keys::Subspace::BlobStub);
        let mut batch = Batch::new();
        batch.delete_range(all);
        inner.commit(batch).await.unwrap();
    }
}

//! Structures: written with the message, gone with it, and made again where they are missing.

use store::{engine::Batch, keys};

use super::*;

async fn envelope(bench: &Bench, email: u64) -> String {
    let want = Want {
        structure: true,
        ..Want::default()
    };
    let messages = bench
        .core
        .view_messages(&owner(), own(INBOX), &[email], want)
        .await
        .unwrap();
    let structure = messages[0].clone().unwrap().structure.unwrap();
    String::from_utf8(structure.envelope.to_vec()).unwrap()
}

const EXPECTED: &str = r#"(NIL "a" NIL NIL NIL NIL NIL NIL NIL NIL)"#;

#[tokio::test]
async fn what_is_missing_or_damaged_is_made_again() {
    let hash = store::blob::hash(b"Subject: a\r\n\r\n");
    let key = keys::structure(&hash);
    for damage in [
        None,
        Some(&b""[..]),
        Some(b"\x84\x01\x41"),
        Some(b"\x84\x00\x40\x40\x40"),
    ] {
        let bench = Bench::new().await;
        let email = bench.deliver("Subject: a\r\n\r\n").await;
        assert!(bench.engine.get(&key).await.unwrap().is_some());
        let mut batch = Batch::new();
        match damage {
            None => batch.delete(key.clone()),
            Some(octets) => batch.put(key.clone(), octets),
        };
        bench.engine.commit(batch).await.unwrap();
        assert_eq!(envelope(&bench, email).await, EXPECTED);
        // From memory.
        assert_eq!(envelope(&bench, email).await, EXPECTED);
    }
}

#[tokio::test]
async fn it_goes_with_the_blob() {
    let bench = Bench::new().await;
    let email = bench.deliver("Subject: a\r\n\r\n").await;
    assert_eq!(envelope(&bench, email).await, EXPECTED);
    bench
        .core
        .view_remove(&owner(), own(INBOX), &[email])
        .await
        .unwrap();
    while store::blob::collect(&bench.engine, u64::MAX).await.unwrap() > 0 {}
    let key = keys::structure(&store::blob::hash(b"Subject: a\r\n\r\n"));
    assert!(bench.engine.get(&key).await.unwrap().is_none());
}

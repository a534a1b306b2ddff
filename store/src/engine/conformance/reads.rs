//! Reading: order, pages, values, snapshots.

use super::*;

pub(super) async fn get_and_multi_get_keep_the_order_of_the_keys(engine: Arc<dyn Engine>) {
    put(&engine, "a=1 b=2 c=3").await;
    assert_eq!(get(&engine, "b").await.as_deref(), Some("2"));
    assert_eq!(get(&engine, "bb").await, None);
    let keys = ["c", "x", "a", "c"].map(key);
    let values = engine.multi_get(&keys).await.expect("values");
    let values: Vec<_> = values
        .into_iter()
        .map(|value| value.unwrap_or_default())
        .collect();
    assert_eq!(values, ["3", "", "1", "3"]);
    assert_eq!(
        engine.multi_get(&[]).await.expect("none"),
        Vec::<Option<Bytes>>::new()
    );
}

pub(super) async fn scan_orders_by_octets_in_both_directions(engine: Arc<dyn Engine>) {
    let mut batch = Batch::new();
    let keys: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x00\x00",
        b"a",
        b"a\x00",
        b"a\xff",
        b"a\xff\xff",
        b"\xff\xff",
    ];
    for key in keys.iter().rev() {
        batch.put(key.to_vec(), key.to_vec());
    }
    engine.commit(batch).await.expect("a commit");
    let everything = Vec::new()..vec![0xff; 3];
    let scan = |page| async { engine.scan(page).await.expect("a scan") };
    let found = scan(Page::first(everything.clone(), 100)).await;
    assert_eq!(
        found.iter().map(|(key, _)| &key[..]).collect::<Vec<_>>(),
        keys
    );
    assert!(found.iter().all(|(key, value)| key == value));
    let mut found = scan(Page::last(everything, 100)).await;
    found.reverse();
    assert_eq!(
        found.iter().map(|(key, _)| &key[..]).collect::<Vec<_>>(),
        keys
    );
    // The start belongs to a range, the end doesn't.
    let found = scan(Page::first(b"a".to_vec()..b"a\xff\xff".to_vec(), 100)).await;
    assert_eq!(
        found.iter().map(|(key, _)| &key[..]).collect::<Vec<_>>(),
        &keys[3..6]
    );
    let found = scan(Page::last(b"a".to_vec()..b"a\xff\xff".to_vec(), 2)).await;
    assert_eq!(
        found.iter().map(|(key, _)| &key[..]).collect::<Vec<_>>(),
        [keys[5], keys[4]]
    );
}

pub(super) async fn scan_pages_go_on_from_the_last_key(engine: Arc<dyn Engine>) {
    let mut batch = Batch::new();
    for number in 0..1000_u16 {
        batch.put(number.to_be_bytes().to_vec(), number.to_string());
    }
    engine.commit(batch).await.expect("a commit");
    let mut range = Vec::new()..vec![0xff];
    let mut found = Vec::new();
    loop {
        let page = engine
            .scan(Page::first(range.clone(), 77))
            .await
            .expect("a page");
        assert!(page.len() <= 77);
        let Some((last, _)) = page.last() else { break };
        range.start = [&last[..], &[0]].concat();
        found.extend(page.into_iter().map(|(_, value)| value));
    }
    assert_eq!(
        found,
        (0..1000)
            .map(|number: u16| number.to_string())
            .collect::<Vec<_>>()
    );
    let mut range = Vec::new()..vec![0xff];
    let mut count = 0;
    loop {
        let page = engine
            .scan(Page::last(range.clone(), 77))
            .await
            .expect("a page");
        let Some((last, _)) = page.last() else { break };
        range.end = last.to_vec();
        count += page.len();
    }
    assert_eq!(count, 1000);
}

pub(super) async fn scan_of_an_empty_or_inverted_range_is_empty(engine: Arc<dyn Engine>) {
    put(&engine, "a=1 b=2 c=3").await;
    for (from, to) in [("a", "a"), ("c", "a"), ("d", "e"), ("", "a")] {
        for direction in [Direction::Ascending, Direction::Descending] {
            let page = Page {
                direction,
                ..Page::first(range(from, to), 10)
            };
            assert_eq!(engine.scan(page).await.expect("a scan"), [], "{from}..{to}");
        }
    }
    assert_eq!(
        engine
            .scan(Page::first(range("a", "z"), 0))
            .await
            .expect("a scan"),
        []
    );
}

pub(super) async fn keys_only_leaves_the_keys(engine: Arc<dyn Engine>) {
    put(&engine, "a=1 b=2").await;
    let page = Page::last(range("", "z"), 10).keys_only();
    let keys: Vec<_> = engine
        .scan(page)
        .await
        .expect("keys")
        .into_iter()
        .map(|p| p.0)
        .collect();
    assert_eq!(keys, ["b", "a"]);
}

pub(super) async fn empty_keys_and_values_are_keys_and_values(engine: Arc<dyn Engine>) {
    let mut batch = Batch::new();
    batch
        .put(Key::new(), "of the empty key")
        .put(key("empty"), "");
    engine.commit(batch).await.expect("a commit");
    assert_eq!(get(&engine, "").await.as_deref(), Some("of the empty key"));
    assert_eq!(get(&engine, "empty").await.as_deref(), Some(""));
    let mut batch = Batch::new();
    batch
        .assert(Assertion::Present(Key::new()))
        .assert(Assertion::Equals(key("empty"), Bytes::new()))
        .delete(Key::new());
    assert_eq!(commit(&engine, &batch).await, "ok");
    assert_eq!(all(&engine).await, "empty=");
}

pub(super) async fn large_values_come_back(engine: Arc<dyn Engine>) {
    let value = |size: usize| -> Bytes {
        (0..size)
            .map(|at| (at * 31 + at / 251) as u8)
            .collect::<Vec<_>>()
            .into()
    };
    let sizes = [1_usize, 1023, 1024, 1025, 40_000, 1 << 20];
    for size in sizes {
        let mut batch = Batch::new();
        batch.put(size.to_be_bytes().to_vec(), value(size));
        engine.commit(batch).await.expect("a commit");
    }
    engine.trim_memory().await;
    for size in sizes {
        let found = engine.get(&size.to_be_bytes()).await.expect("a get");
        assert!(found == Some(value(size)), "{size} octets");
    }
}

pub(super) async fn snapshots_do_not_move(engine: Arc<dyn Engine>) {
    put(&engine, "a=1 b=2").await;
    let snapshot = engine.snapshot().await.expect("a snapshot");
    put(&engine, "a=9 c=3").await;
    let mut batch = Batch::new();
    batch.delete_range(range("b", "c"));
    engine.commit(batch).await.expect("a commit");
    check_snapshot(&*snapshot).await;
    assert_eq!(all(&engine).await, "a=9 c=3");
    engine.trim_memory().await;
    check_snapshot(&*snapshot).await;
}

pub(super) async fn snapshots_outlive_the_engine(engine: Arc<dyn Engine>) {
    put(&engine, "a=1 b=2").await;
    let snapshot = engine.snapshot().await.expect("a snapshot");
    drop(engine);
    check_snapshot(&*snapshot).await;
}

async fn check_snapshot(snapshot: &dyn Snapshot) {
    assert_eq!(
        snapshot.get(b"a").await.expect("a get").as_deref(),
        Some(&b"1"[..])
    );
    assert_eq!(snapshot.get(b"c").await.expect("a get"), None);
    let values = snapshot
        .multi_get(&[key("b"), key("c")])
        .await
        .expect("values");
    assert_eq!(values, [Some(Bytes::from("2")), None]);
    let pairs = snapshot
        .scan(Page::last(range("", "z"), 10))
        .await
        .expect("a scan");
    assert_eq!(show(&pairs), "b=2 a=1");
}

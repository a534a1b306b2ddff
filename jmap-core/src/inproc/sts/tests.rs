use std::sync::Arc;

use expect_test::expect;
use store::engine::{Engine, MemoryEngine};

use super::*;
use crate::{Limits, mail::submission::tests::core_over};

/// The bytes of every version: what was written once stays readable.
#[test]
fn version_1() {
    let record = StsPolicyRecord {
        id: "20260101".into(),
        text: "version: STSv1".into(),
        fetched: 1_700_000_000_000,
        expires: 1_700_000_600_000,
    };
    let bytes = record.to_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    expect!["84683230323630313031"].assert_eq(&hex[..20]);
    assert_eq!(StsPolicyRecord::from_bytes(b"", &bytes).unwrap(), record);
}

#[tokio::test]
async fn policies_are_kept_until_they_expire() {
    let engine: Arc<dyn Engine> = MemoryEngine::new();
    let (core, clock, _folder) = core_over(engine.clone(), 1, Limits::default()).await;
    let now = core.clock.now().0;
    // More than a page, and one that can't be read.
    for number in 0..100 {
        let record = StsPolicyRecord {
            expires: now + number * 1000,
            ..StsPolicyRecord::default()
        };
        let domain = format!("{number}.example");
        core.keep_sts_policy(&domain, &record).await.unwrap();
    }
    let mut batch = Batch::new();
    batch.put(keys::sts_policy("bad.example"), &b"bad"[..]);
    engine.commit(batch).await.unwrap();
    assert!(core.sts_policy("bad.example").await.is_err());
    assert_eq!(core.sts_policy("none.example").await.unwrap(), None);
    clock.advance(std::time::Duration::from_secs(50));
    core.expire_sts_policies().await.unwrap();
    assert_eq!(core.sts_policy("50.example").await.unwrap(), None);
    let kept = core.sts_policy("51.example").await.unwrap();
    assert_eq!(kept.unwrap().expires, now + 51_000);
    assert_eq!(core.sts_policy("bad.example").await.unwrap(), None);
}

use super::*;
use crate::engine::{Batch, MemoryEngine};

const ACCOUNT: AccountId = AccountId::new(1);

fn email(id: u64, kind: ChangeKind) -> Change {
    Change::new(DataType::Email, id, kind)
}

async fn engine(rows: &[&[Change]]) -> Arc<dyn Engine> {
    let engine: Arc<dyn Engine> = MemoryEngine::new();
    let mut batch = Batch::new();
    for (at, changes) in rows.iter().enumerate() {
        let row = LogRow {
            changes: changes.to_vec(),
            unseen: None,
        };
        batch.put(keys::log(ACCOUNT, at as u64 + 1), row.to_bytes());
    }
    engine.commit(batch).await.unwrap();
    engine
}

/// created / updated / destroyed, the last row, and whether there is more.
async fn check(rows: &[&[Change]], since: u64, max: usize, expected: &str) {
    let engine = engine(rows).await;
    let head = rows.len() as u64;
    let delta = changes(&engine, ACCOUNT, DataType::Email, since, head, max)
        .await
        .unwrap();
    let text = format!(
        "{:?} {:?} {:?} @{}{}",
        delta.created,
        delta.updated,
        delta.destroyed,
        delta.upto,
        if delta.has_more { "…" } else { "" }
    );
    assert_eq!(text, expected);
}

#[tokio::test]
async fn rows_fold_into_their_net_effect() {
    use ChangeKind::{Counts, Created, Destroyed, Updated};
    let other = Change::new(DataType::Mailbox, 9, Counts);
    let rows: &[&[Change]] = &[
        &[email(1, Created), other],
        &[email(2, Created)],
        &[email(1, Updated)],
        &[email(2, Destroyed)],
        &[email(3, Created), email(1, Destroyed)],
    ];
    check(rows, 0, 100, "[3] [] [] @5").await;
    check(rows, 1, 100, "[3] [] [1] @5").await;
    check(rows, 2, 100, "[3] [] [1, 2] @5").await;
    check(rows, 5, 100, "[] [] [] @5").await;
    check(rows, 0, 1, "[1] [] [] @1…").await;
    check(rows, 2, 1, "[] [1] [] @3…").await;
    // One row is not split: the caller sees that it is too much.
    check(rows, 4, 1, "[3] [] [1] @5").await;
}

#[test]
fn rows_have_golden_bytes() {
    let row = LogRow {
        changes: vec![email(300, ChangeKind::Updated)],
        unseen: None,
    };
    let with_unseen = LogRow {
        unseen: Some(vec![5]),
        ..row.clone()
    };
    for (row, golden) in [
        (row, "8181830219012c01"),
        (with_unseen, "8281830219012c018105"),
    ] {
        let bytes = row.to_bytes();
        assert_eq!(crate::record::hex(&bytes), golden);
        assert_eq!(LogRow::from_bytes(b"", &bytes).unwrap(), row);
    }
}

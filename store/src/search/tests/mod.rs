mod agreement;
mod containing;
mod index;
mod query;
mod tokens;

use std::path::Path;

use super::*;

/// Mail, in these tests.
const KIND: u8 = 1;

fn open(folder: &Path) -> SearchIndex {
    let options = SearchOptions {
        shards: 2,
        ..SearchOptions::default()
    };
    SearchIndex::open(folder, &options).unwrap()
}

fn key(account: u64, id: u64) -> DocumentKey {
    DocumentKey {
        account,
        kind: KIND,
        id,
    }
}

fn text(texts: &[(Field, &str)]) -> DocumentText {
    let mut out = DocumentText::default();
    for (field, text) in texts {
        out.push(*field, *text);
    }
    out
}

fn upsert(account: u64, id: u64, texts: &[(Field, &str)]) -> Change {
    Change::Upsert(Document {
        key: key(account, id),
        text: text(texts),
    })
}

fn apply(index: &SearchIndex, account: u64, changes: Vec<Change>) {
    index.apply(index.shard_of(account), changes).unwrap();
}

/// The ids that a condition of RFC 8621 §4.4.1 finds.
fn find(index: &SearchIndex, account: u64, scope: Scope, text: &str) -> Vec<u64> {
    let query = Query::text(scope, text);
    index.search(account, KIND, &query, 1000).unwrap().ids
}

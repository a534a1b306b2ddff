//! `posthorn blobs`: where the octets of messages are, and bringing them to where they are to be.
//!
//! Holds: whoever stops it loses nothing; what was done stays, and the next run goes on.
//! Other half: `store::blob::BlobEngine`.

use std::fmt::Write as _;

use clap::Subcommand;
use jmap_core::{Core, work::check::Progress};
use serde::{Deserialize, Serialize};
use store::blob::{Census, Rewritten};

use super::{
    command::{Answer, Command},
    execute::{CommandError, Done, ReadKeys},
    print::size,
};

#[derive(Debug, Subcommand)]
pub enum BlobsVerb {
    /// How many blobs are where, and which keys they are encrypted by
    Status,
    /// Brings all blobs to the place and under the key that new ones get; may be stopped, and goes on the next time
    Rewrite,
    /// Has the server read the encryption keys of its configuration anew: new blobs are encrypted by the last one from then on
    LoadKeys,
}

impl BlobsVerb {
    pub fn command(self) -> Command {
        match self {
            BlobsVerb::Status => Command::BlobsStatus,
            BlobsVerb::Rewrite => Command::BlobsRewrite,
            BlobsVerb::LoadKeys => Command::BlobsLoadKeys,
        }
    }
}

/// Blobs of one place and key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlobsRow {
    /// "engine" or "outside".
    pub place: String,
    /// The id of the key; `None`: they aren't encrypted.
    pub key: Option<String>,
    pub blobs: u64,
    /// `None`: that isn't known without reading them.
    pub octets: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlobsStatusRow {
    pub rows: Vec<BlobsRow>,
    /// Objects that nothing needs any more, and that go within hours.
    pub garbage: u64,
    /// Objects of the search index, and their octets.
    #[serde(default)]
    pub search_objects: u64,
    #[serde(default)]
    pub search_octets: u64,
    /// Records of where blobs are that can't be read.
    pub damaged: u64,
    /// Keys that have to be configured.
    pub keys: Vec<String>,
    /// An object store has to be configured.
    pub needs_object_store: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlobsRewriteRow {
    pub looked_at: u64,
    pub rewritten: u64,
    /// Hashes of blobs that are damaged; of many, the first ones.
    pub damaged: Vec<String>,
    pub damaged_count: u64,
    /// Keys that don't have to be configured any more.
    pub retired_keys: Vec<String>,
    pub retired_object_store: bool,
}

pub async fn status(core: &Core, progress: Progress<'_>) -> Done {
    match core.blob_census(progress).await? {
        Some(census) => Ok(Answer::Blobs(status_row(census))),
        None => Err(CommandError::Refused(NO_BLOBS)),
    }
}

pub async fn rewrite(core: &Core, progress: Progress<'_>) -> Done {
    match core.rewrite_blobs(progress).await? {
        Some(done) => Ok(Answer::BlobsRewritten(rewrite_row(done))),
        None => Err(CommandError::Refused(NO_BLOBS)),
    }
}

/// A server's alone: who opens a folder has read the keys.
pub async fn load_keys(core: &Core, read: Option<&ReadKeys>) -> Done {
    let Some(read) = read else {
        return Err(CommandError::Refused(NO_SERVER));
    };
    let keyring = read().map_err(CommandError::Keys)?;
    let newest = keyring.newest().map(|(id, _)| id.to_owned());
    match core.load_blob_keys(keyring).await {
        Ok(true) => Ok(Answer::BlobKeysLoaded(newest)),
        Ok(false) => Err(CommandError::Refused(NO_BLOBS)),
        Err(error) => Err(CommandError::Keys(error.to_string())),
    }
}

const NO_SERVER: &str = "no server runs over this data folder; one that starts reads its keys";
const NO_BLOBS: &str = "this database keeps blobs in no other way than in itself";

fn status_row(census: Census) -> BlobsStatusRow {
    let mut rows = Vec::new();
    if census.plain > 0 {
        rows.push(BlobsRow {
            place: "engine".into(),
            key: None,
            blobs: census.plain,
            octets: None,
        });
    }
    for ((is_outside, key), count) in census.stubs {
        rows.push(BlobsRow {
            place: if is_outside { "outside" } else { "engine" }.into(),
            key,
            blobs: count.blobs,
            octets: Some(count.octets),
        });
    }
    BlobsStatusRow {
        rows,
        garbage: census.garbage,
        search_objects: census.search.blobs,
        search_octets: census.search.octets,
        damaged: census.damaged,
        keys: census.keys,
        needs_object_store: census.has_place,
    }
}

fn rewrite_row(done: Rewritten) -> BlobsRewriteRow {
    BlobsRewriteRow {
        looked_at: done.looked_at,
        rewritten: done.rewritten,
        damaged: done.damaged,
        damaged_count: done.damaged_count,
        retired_keys: done.retired_keys,
        retired_object_store: done.retired_place,
    }
}

pub fn status_text(row: &BlobsStatusRow) -> String {
    let mut text = String::new();
    for of in &row.rows {
        let place = match &*of.place {
            "outside" => "in the object store",
            _ => "in the database",
        };
        let key = match &of.key {
            Some(key) => format!("encrypted by \"{key}\""),
            None => "not encrypted".to_owned(),
        };
        let octets = of.octets.map(|octets| format!(", {}", size(octets)));
        let octets = octets.unwrap_or_default();
        let _ = writeln!(text, "{:>10} blobs {place}, {key}{octets}", of.blobs);
    }
    if row.rows.is_empty() {
        text.push_str("there are no blobs\n");
    }
    if row.search_objects > 0 {
        let (objects, octets) = (row.search_objects, size(row.search_octets));
        let _ = writeln!(text, "{objects:>10} objects of the search index, {octets}");
    }
    if row.garbage > 0 {
        let _ = writeln!(text, "{:>10} objects wait to be removed", row.garbage);
    }
    if row.damaged > 0 {
        let _ = writeln!(
            text,
            "{:>10} records of where a blob is are damaged",
            row.damaged
        );
    }
    match &row.keys[..] {
        [] => text.push_str("no key is needed"),
        keys => {
            let _ = write!(text, "keys that are needed: {}", keys.join(", "));
        }
    }
    if row.needs_object_store {
        text.push_str("\nthe object store is needed");
    }
    text
}

pub fn keys_text(newest: Option<&str>) -> String {
    match newest {
        Some(id) => format!("new blobs are encrypted by \"{id}\""),
        None => "new blobs aren't encrypted".to_owned(),
    }
}

pub fn rewrite_text(row: &BlobsRewriteRow) -> String {
    let mut text = format!(
        "{} blobs were looked at, {} were rewritten",
        row.looked_at, row.rewritten
    );
    if row.damaged_count > 0 {
        let _ = write!(
            text,
            "\n{} are damaged, and were left as they are: {}",
            row.damaged_count,
            row.damaged.join(", ")
        );
    }
    for key in &row.retired_keys {
        let _ = write!(text, "\nthe key \"{key}\" isn't needed any more");
    }
    if row.retired_object_store {
        text.push_str("\nthe object store isn't needed any more");
    }
    text
}

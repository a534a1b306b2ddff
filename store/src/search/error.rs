//! Errors of the search index.

use thiserror::Error;

/// Why a search or a change failed.
#[derive(Debug, Error)]
pub enum SearchError {
    /// The shard is damaged or of another format: call `SearchIndex::reset`, then index its accounts anew.
    #[error("search shard {shard} has to be rebuilt: {reason}")]
    NeedsRebuild { shard: u16, reason: String },
    /// The attempt failed (disk full, out of files); it may be made again.
    #[error("search shard {shard}: {reason}")]
    Failed { shard: u16, reason: String },
    /// No such shard, or a change of an account that lives in another one.
    #[error("not of search shard {shard}")]
    WrongShard { shard: u16 },
    /// The query is over one of the limits (`QUERY_NODES_MAX` and its like).
    #[error("query too large: {0}")]
    QueryTooLarge(&'static str),
    /// The folder can't be made or read.
    #[error("search folder: {0}")]
    Folder(#[from] std::io::Error),
}

//! Sieve (RFC 5228): the scripts of an account (JMAP for Sieve Scripts, RFC 9661), and what they do with mail that arrives.
//!
//! Holds: at most one script of an account is active; a script that is stored can be compiled; one that fails, runs away or is missing
//! never loses mail: it goes to the inbox. Only extensions that work are in [`EXTENSIONS`].
//! Other half: `inproc::deliver` asks for a plan and carries it out in its transaction.

mod actions;
mod apart;
mod compile;
mod filter;
mod methods;
mod query;
mod run;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use jmap_types::{AccountId, DataType};
use minicbor::{Decode, Encode};
use parking_lot::Mutex;
use store::{
    Record,
    engine::{Key, Page},
    keys::{self, BlobHash},
};

use crate::{Core, mail::write::MailTxn};

pub(crate) use actions::{Carried, carry_out};
pub use compile::{check, check_aside};
pub(crate) use filter::{Incoming, NoPlan, answers, plan};
pub(crate) use run::Vacation;

/// RFC 9661 §1.3 `implementation`, RFC 5804 §1.7 IMPLEMENTATION.
pub const IMPLEMENTATION: &str = concat!("Posthorn ", env!("CARGO_PKG_VERSION"));
/// Octets of a script's name.
pub const NAME_OCTETS_MAX: usize = 512;
/// Octets of a script.
pub const SCRIPT_OCTETS_MAX: usize = 128 << 10;
/// Scripts of one account.
pub const SCRIPTS_MAX: usize = 100;
/// Redirects of one run; with more, the script has failed.
pub const REDIRECTS_MAX: usize = 5;
/// Places that one run files a message into.
pub const FILINGS_MAX: usize = 32;
/// Scripts that one run includes.
pub const INCLUDES_MAX: usize = 20;
/// How deep included scripts include others.
pub const INCLUDES_NESTED_MAX: usize = 5;
/// Instructions of one run.
pub const INSTRUCTIONS_MAX: usize = 10_000;
/// Octets of a variable (RFC 5229 §6).
pub const VARIABLE_OCTETS_MAX: usize = 4096;
/// Received fields of a message from which on nothing is redirected or answered: it goes round in circles.
pub const RECEIVED_MAX: usize = 50;
/// Message ids (RFC 7352) and senders (RFC 5230) that an account remembers.
pub const REMEMBERED_MAX: usize = 1000;
/// How long they are remembered at most, in seconds.
pub const REMEMBERED_SECONDS_MAX: i64 = 180 * 86_400;
/// Octets of the reason that a refused sender is told.
pub const REASON_OCTETS_MAX: usize = 400;
/// Compiled scripts that are kept.
const COMPILED_MAX: usize = 256;

/// RFC 9661 §1.3 `sieveExtensions`, RFC 5804 §1.7 SIEVE.
pub const EXTENSIONS: &[&str] = &[
    "body",
    "comparator-i;ascii-casemap",
    "comparator-i;ascii-numeric",
    "comparator-i;octet",
    "copy",
    "date",
    "duplicate",
    "editheader",
    "enclose",
    "encoded-character",
    "envelope",
    "environment",
    "ereject",
    "extracttext",
    "fcc",
    "fileinto",
    "foreverypart",
    "ihave",
    "imap4flags",
    "include",
    "index",
    "mailbox",
    "mailboxid",
    "mime",
    "regex",
    "reject",
    "relational",
    "replace",
    "special-use",
    "subaddress",
    "vacation",
    "vacation-seconds",
    "variables",
];

/// A SieveScript (RFC 9661 §2).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ScriptRecord {
    #[n(0)]
    pub name: String,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub blob: BlobHash,
    /// Octets.
    #[n(2)]
    pub size: u64,
}

impl Record for ScriptRecord {
    const KIND: &'static str = "sieve script";
}

/// Which script is active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ActiveRecord {
    #[n(0)]
    pub script: Option<u64>,
}

impl Record for ActiveRecord {
    const KIND: &'static str = "active sieve script";
}

/// What `duplicate` and `vacation` remember.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct RememberedRecord {
    /// In the order in which they came.
    #[n(0)]
    pub entries: Vec<Remembered>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Remembered {
    /// Of what is remembered.
    #[n(0)]
    pub hash: u64,
    /// Seconds since 1970.
    #[n(1)]
    pub until: i64,
}

impl Record for RememberedRecord {
    const KIND: &'static str = "sieve memory";
}

impl RememberedRecord {
    /// Remembers, and forgets what is over or too much.
    pub fn add(&mut self, entries: &[Remembered], now: i64) {
        self.entries
            .retain(|known| known.until > now && !entries.iter().any(|new| new.hash == known.hash));
        self.entries.extend(entries);
        let surplus = self.entries.len().saturating_sub(REMEMBERED_MAX);
        self.entries.drain(..surplus);
    }
}

/// The number of the record that says which script is active, and of the memory beside it: an account's first objects are mailboxes, so no
/// script has these.
pub(in crate::mail) const ACTIVE: u64 = 0;
const REMEMBERED: u64 = 1;

pub(in crate::mail) fn script_key(account: AccountId, id: u64) -> Key {
    keys::object(account, DataType::SieveScript, id)
}

/// The scripts among the rows of the type.
pub(in crate::mail) fn decode(
    rows: Vec<(bytes::Bytes, bytes::Bytes)>,
) -> Result<Vec<(u64, ScriptRecord)>, store::Error> {
    let mut scripts = Vec::with_capacity(rows.len());
    for (key, bytes) in rows {
        let (_, _, id) =
            keys::decode_object(&key).ok_or_else(|| store::Error::bad_key("sieve script", &key))?;
        if id <= REMEMBERED {
            continue;
        }
        match ScriptRecord::from_bytes(&key, &bytes) {
            Ok(record) => scripts.push((id, record)),
            // Invariant 5: the others can still be used.
            Err(error) => tracing::error!(%error, "a sieve script is left out"),
        }
    }
    Ok(scripts)
}

/// The scripts of an account, by id.
pub(crate) async fn all(
    core: &Core,
    account: AccountId,
) -> Result<Vec<(u64, ScriptRecord)>, store::Error> {
    let range = keys::objects(account, DataType::SieveScript);
    decode(
        core.engine
            .scan(Page::first(range, SCRIPTS_MAX * 2))
            .await?,
    )
}

pub(in crate::mail) async fn all_in(
    txn: &MailTxn,
) -> Result<Vec<(u64, ScriptRecord)>, store::Error> {
    decode(
        txn.scan(keys::objects(txn.account(), DataType::SieveScript))
            .await?,
    )
}

/// The active script of an account.
pub(crate) async fn active(core: &Core, account: AccountId) -> Result<Option<u64>, store::Error> {
    let key = script_key(account, ACTIVE);
    let bytes = core.engine.get(&key).await?;
    let record = bytes.map(|bytes| ActiveRecord::from_bytes(&key, &bytes));
    Ok(record.transpose()?.unwrap_or_default().script)
}

pub(in crate::mail) async fn active_in(txn: &MailTxn) -> Result<Option<u64>, store::Error> {
    let record = txn
        .record::<ActiveRecord>(&script_key(txn.account(), ACTIVE))
        .await?;
    Ok(record.unwrap_or_default().script)
}

/// What a process knows of scripts.
pub(crate) struct Interpreter {
    compiled: Mutex<quick_cache::unsync::Cache<BlobHash, compile::Compiled>>,
    /// Accounts with a run that went on after its time: nothing else is run for them until it ends.
    stuck: Mutex<HashSet<AccountId>>,
}

impl Default for Interpreter {
    fn default() -> Self {
        Self {
            compiled: Mutex::new(quick_cache::unsync::Cache::new(COMPILED_MAX)),
            stuck: Mutex::default(),
        }
    }
}

impl std::fmt::Debug for Interpreter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Interpreter(..)")
    }
}

/// 64 bits of the hash of what is remembered.
fn hash(text: &str) -> u64 {
    let hash = blake3::hash(text.as_bytes());
    let first = hash.as_bytes().first_chunk::<8>();
    first.map_or(0, |octets| u64::from_be_bytes(*octets))
}

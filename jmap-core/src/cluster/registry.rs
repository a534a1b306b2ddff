//! Which nodes there are.
//!
//! Holds: a node's number is in its folder, and stays; its record moves with each beat, and whoever sees it not move for
//! [`Settings::dead_after`](super::Settings), by its own clock, takes it away. A node whose record is gone or is another's has lost what it had
//! leased, and joins anew.
//! Other half: `lease`.

use std::{
    collections::HashMap,
    fs, io,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;
use store::{
    Record as _,
    engine::{Assertion, Batch, CommitError, Engine, EngineError, Page},
    keys::{self, Subspace},
};

use super::{Cluster, NodeRecord, Settings};
use crate::{clock::Clock, rng::Rng};

/// Nodes of one cluster.
pub const NODES_MAX: usize = 1000;
/// How often joining is tried.
const TRIES: usize = 8;
/// The file with the node's number.
const FILE: &str = "node";

#[derive(Debug)]
pub(super) struct Registry {
    pub session: u64,
    own: tokio::sync::Mutex<Own>,
    others: Mutex<Others>,
}

/// This node, as it is in the store.
#[derive(Debug)]
struct Own {
    node: u64,
    record: NodeRecord,
    stored: Bytes,
    /// When it was last seen to be ours.
    seen: Instant,
}

#[derive(Debug, Default)]
struct Others {
    /// By node: the record as it was when it last moved, and when that was.
    seen: HashMap<u64, (Bytes, Instant)>,
    /// By process: its epoch. Of all that are in the store, this one among them.
    sessions: HashMap<u64, u64>,
    /// Processes that build shards of the search index, and of which kind.
    builders: Vec<(u64, (u64, u64))>,
    /// Some have gone since somebody asked.
    has_lost: bool,
    /// What those are called that this node has taken away, until that is noted.
    taken_away: Vec<String>,
}

/// A node, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    pub node: u64,
    pub record: NodeRecord,
    pub is_self: bool,
}

fn file_error(path: &Path, error: &io::Error) -> store::Error {
    EngineError::Io(format!("{}: {error}", path.display()).into()).into()
}

/// The number of the node whose folder this is; a new one has none yet.
fn own_number(folder: &Path, rng: &dyn Rng) -> Result<u64, store::Error> {
    let path = folder.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => {
            let number = u64::from_str_radix(text.trim(), 16).ok();
            number.ok_or_else(|| store::Error::Corrupt {
                kind: "node number",
                key: path.display().to_string(),
                cause: "it isn't a hexadecimal number".to_owned(),
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => new_number(folder, rng),
        Err(error) => Err(file_error(&path, &error)),
    }
}

fn new_number(folder: &Path, rng: &dyn Rng) -> Result<u64, store::Error> {
    let path = folder.join(FILE);
    let number = rng.next_u64() | 1;
    let draft = folder.join(format!("{FILE}.new"));
    let written = fs::write(&draft, format!("{number:x}\n"));
    written
        .and_then(|()| fs::rename(&draft, &path))
        .map_err(|error| file_error(&path, &error))?;
    Ok(number)
}

impl Registry {
    pub async fn join(
        settings: &Settings,
        engine: &Arc<dyn Engine>,
        clock: &Arc<dyn Clock>,
        rng: &dyn Rng,
    ) -> Result<Self, store::Error> {
        let node = own_number(&settings.folder, rng)?;
        let record = NodeRecord {
            // 0 would be taken for no owner.
            session: rng.next_u64() | 1,
            epoch: 0,
            beat: 0,
            name: settings.name.clone(),
            joined: clock.now().seconds(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            search: None,
        };
        let session = record.session;
        let mut own = Own {
            node,
            record,
            stored: Bytes::new(),
            seen: clock.monotonic(),
        };
        own.join(&**engine, &**clock).await?;
        Ok(Self {
            session,
            own: tokio::sync::Mutex::new(own),
            others: Mutex::default(),
        })
    }
}

impl Own {
    /// Puts the record into the store, with an epoch that was never there.
    async fn join(&mut self, engine: &dyn Engine, clock: &dyn Clock) -> Result<(), store::Error> {
        for _ in 0..TRIES {
            let key = keys::node(self.node);
            let began = clock.monotonic();
            let found = engine.get(&key).await?;
            let before = match &found {
                Some(bytes) => NodeRecord::from_bytes(&key, bytes)?.epoch,
                None => 0,
            };
            self.record.epoch = self.record.epoch.max(before) + 1;
            self.stored = self.record.to_bytes();
            let mut batch = Batch::new();
            batch.assert(match found {
                Some(bytes) => Assertion::Equals(key.clone(), bytes),
                None => Assertion::Absent(key.clone()),
            });
            batch.put(key, self.stored.clone());
            match engine.commit(batch).await.map_err(store::Error::from) {
                Ok(()) => {
                    self.seen = began;
                    return Ok(());
                }
                Err(store::Error::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Err(store::Error::Conflict)
    }
}

impl Cluster {
    /// Says that this node lives. Returns whether it was taken for dead in between.
    pub(crate) async fn beat(&self) -> Result<bool, store::Error> {
        let mut own = self.registry.own.lock().await;
        let began = self.clock.monotonic();
        let key = keys::node(own.node);
        let next = NodeRecord {
            beat: own.record.beat + 1,
            ..own.record.clone()
        };
        let stored = next.to_bytes();
        let mut batch = Batch::new();
        batch.assert(Assertion::Equals(key.clone(), own.stored.clone()));
        batch.put(key.clone(), stored.clone());
        let is_ours = match self.engine.commit(batch).await {
            Ok(()) => true,
            // The answer to an earlier one may have been lost.
            Err(CommitError::Conflict(_)) => {
                let found = self.engine.get(&key).await?;
                let found = found.map(|bytes| NodeRecord::from_bytes(&key, &bytes));
                let found = found.transpose()?;
                match found {
                    Some(record)
                        if record.session == own.record.session
                            && record.epoch == own.record.epoch =>
                    {
                        own.stored = record.to_bytes();
                        own.record = record;
                        return Ok(false);
                    }
                    Some(record) if record.session != own.record.session => {
                        tracing::error!(
                            node = format!("{:x}", own.node),
                            other = record.name,
                            "another process has the same node number: is the data folder a copy?"
                        );
                        // Until it starts again, this one goes by another.
                        own.node = own.node.rotate_left(17) ^ own.record.session;
                        false
                    }
                    _ => false,
                }
            }
            Err(CommitError::Engine(error)) => return Err(error.into()),
        };
        if is_ours {
            (own.record, own.stored, own.seen) = (next, stored, began);
            return Ok(false);
        }
        tracing::warn!("this node was taken for dead, and joins again");
        own.join(&*self.engine, &*self.clock).await?;
        Ok(true)
    }

    /// The epoch of this node; `None`: for too long it has not been able to say that it lives, others may have taken its work.
    pub(crate) async fn own_epoch(&self) -> Option<u64> {
        let own = self.registry.own.lock().await;
        let silent = self.clock.monotonic().saturating_duration_since(own.seen);
        (silent < self.settings.dead_after / 2).then_some(own.record.epoch)
    }

    /// The same, after this node has said that it lives where it had been silent.
    pub(crate) async fn living_epoch(&self) -> Result<Option<u64>, store::Error> {
        // The answer to the beat before may have been lost: then the first one only finds that out.
        for _ in 0..2 {
            if let Some(epoch) = self.own_epoch().await {
                return Ok(Some(epoch));
            }
            self.beat().await?;
        }
        Ok(self.own_epoch().await)
    }

    /// Looks who is there, and takes those away that don't move.
    pub(crate) async fn look_around(&self) -> Result<(), store::Error> {
        let rows = self.node_rows().await?;
        let now = self.clock.monotonic();
        let own = self.registry.own.lock().await.node;
        let mut dead = Vec::new();
        let mut sessions = HashMap::new();
        let mut seen = HashMap::new();
        let mut builders = Vec::new();
        {
            let mut others = self.registry.others.lock();
            for (node, bytes) in &rows {
                let moved = match others.seen.get(node) {
                    Some((known, at)) if known == bytes => *at,
                    _ => now,
                };
                seen.insert(*node, (bytes.clone(), moved));
                let is_silent = now.saturating_duration_since(moved) >= self.settings.dead_after;
                if *node != own && is_silent {
                    dead.push((*node, bytes.clone()));
                    continue;
                }
                let key = keys::node(*node);
                match NodeRecord::from_bytes(&key, bytes) {
                    Ok(record) => {
                        sessions.insert(record.session, record.epoch);
                        builders.extend(record.search.map(|of| (record.session, of)));
                    }
                    Err(error) => tracing::error!(%error, "a node is left out"),
                }
            }
            others.seen = seen;
            let mut before = others.sessions.keys();
            others.has_lost |= before.any(|session| !sessions.contains_key(session));
            others.sessions = sessions;
            others.builders = builders;
        }
        for (node, bytes) in dead {
            let name = NodeRecord::from_bytes(b"", &bytes).map(|record| record.name);
            let mut batch = Batch::new();
            batch.assert(Assertion::Equals(keys::node(node), bytes));
            batch.delete(keys::node(node));
            match self.engine.commit(batch).await.map_err(store::Error::from) {
                Ok(()) => {
                    let name = name.unwrap_or_default();
                    let mut others = self.registry.others.lock();
                    if others.taken_away.len() < NODES_MAX {
                        others.taken_away.push(name.clone());
                    }
                    drop(others);
                    tracing::warn!(
                        node = format!("{node:x}"),
                        name,
                        "a node is dead, and its work is taken over"
                    );
                }
                // It lives, or another node has taken it away.
                Err(store::Error::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether nodes have gone since this was last asked.
    pub(crate) fn has_lost_some(&self) -> bool {
        std::mem::take(&mut self.registry.others.lock().has_lost)
    }

    /// What those are called that this node has taken for dead, and that [`Self::forget_taken_away`] hasn't been told of.
    pub(crate) fn taken_away(&self) -> Vec<String> {
        self.registry.others.lock().taken_away.clone()
    }

    /// That one is gone is noted.
    pub(crate) fn forget_taken_away(&self, name: &str) {
        let mut others = self.registry.others.lock();
        others.taken_away.retain(|of| of != name);
    }

    async fn node_rows(&self) -> Result<Vec<(u64, Bytes)>, store::Error> {
        let page = Page::first(keys::all(Subspace::Node), NODES_MAX);
        let rows = self.engine.scan(page).await?;
        let node = |(key, value): (Bytes, Bytes)| Some((keys::decode_node(&key)?, value));
        Ok(rows.into_iter().filter_map(node).collect())
    }

    /// Says with the next beat that this process builds shards of the search index of this kind.
    pub(crate) async fn build_search(&self, layout: (u64, u64)) {
        self.registry.own.lock().await.record.search = Some(layout);
    }

    /// The processes that build shards of this kind, as of the last look.
    pub(crate) fn search_builders(&self, layout: (u64, u64)) -> Vec<u64> {
        let others = self.registry.others.lock();
        let of = others.builders.iter().filter(|(_, of)| *of == layout);
        of.map(|(session, _)| *session).collect()
    }

    /// Whether a process is one of the cluster, as of the last look.
    pub(crate) fn is_alive(&self, session: u64) -> bool {
        session == self.session() || self.registry.others.lock().sessions.contains_key(&session)
    }

    /// Whether a process is in this epoch, as of the last look.
    pub(super) fn has_epoch(&self, session: u64, epoch: u64) -> bool {
        self.registry.others.lock().sessions.get(&session) == Some(&epoch)
    }

    /// All nodes.
    pub async fn nodes(&self) -> Result<Vec<NodeInfo>, store::Error> {
        let rows = self.node_rows().await?.into_iter();
        rows.map(|(node, bytes)| {
            let record = NodeRecord::from_bytes(&keys::node(node), &bytes)?;
            Ok(NodeInfo {
                node,
                is_self: record.session == self.session(),
                record,
            })
        })
        .collect()
    }

    /// A node that runs another version than this one, if there is one: its name and its version.
    pub(crate) async fn of_another_version(
        &self,
    ) -> Result<Option<(String, String)>, store::Error> {
        let rows = self.node_rows().await?.into_iter();
        // One that can't be read hinders nobody.
        let mut records =
            rows.filter_map(|(node, bytes)| NodeRecord::from_bytes(&keys::node(node), &bytes).ok());
        let other = records.find(|record| record.version != env!("CARGO_PKG_VERSION"));
        Ok(other.map(|record| (record.name, record.version)))
    }

    /// Says that this node goes: others take over at once.
    pub(crate) async fn leave(&self) -> Result<(), store::Error> {
        let own = self.registry.own.lock().await;
        let key = keys::node(own.node);
        let mut batch = Batch::new();
        batch.assert(Assertion::Equals(key.clone(), own.stored.clone()));
        batch.delete(key);
        match self.engine.commit(batch).await.map_err(store::Error::from) {
            Err(store::Error::Conflict) => Ok(()),
            result => result,
        }
    }

    /// How long a node may be silent.
    pub fn dead_after(&self) -> Duration {
        self.settings.dead_after
    }
}

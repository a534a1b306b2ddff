//! Which node builds which shard.
//!
//! Holds: nobody has more than their part for longer than it takes to give a lease back; a shard without a living builder is taken by one of
//! those who have the fewest, within some looks. Two that want the same are told apart by the lease.
//! Other half: `cluster::lease`.

use std::{collections::BTreeMap, sync::Arc};

use store::shards::Shards;

use super::{Error, Search};

/// After so many looks a shard that nobody has is taken by whoever sees it.
const LOOKS_MAX: u32 = 4;

/// How many shards each of the builders has.
struct Spread {
    by_session: BTreeMap<u64, usize>,
    shards: usize,
    own: u64,
}

impl Spread {
    fn new(own: u64, builders: &[u64], holders: &[Option<u64>]) -> Self {
        let builders = builders.iter().chain([&own]);
        let mut by_session: BTreeMap<u64, usize> = builders.map(|of| (*of, 0)).collect();
        for holder in holders.iter().flatten() {
            *by_session.entry(*holder).or_default() += 1;
        }
        Self {
            by_session,
            shards: holders.len(),
            own,
        }
    }

    fn mine(&self) -> usize {
        self.by_session.get(&self.own).copied().unwrap_or(0)
    }

    /// Whether another one should have one of ours.
    fn has_too_many(&self) -> bool {
        let nodes = self.by_session.len().max(1);
        let (most, least) = (self.shards.div_ceil(nodes), self.shards / nodes);
        let has_poor = self.by_session.values().any(|count| *count < least);
        self.mine() > most || (self.mine() > least && has_poor)
    }

    /// Whether nobody has fewer.
    fn is_next(&self) -> bool {
        self.by_session.values().all(|count| *count >= self.mine())
    }

    fn take(&mut self) {
        *self.by_session.entry(self.own).or_default() += 1;
    }
}

impl Search {
    /// Takes up shards that nobody builds, learns which are lost, and marks one that is to be given back.
    pub(super) async fn look_who_builds(self: &Arc<Self>) -> Result<(), Error> {
        let Some(shared) = self.shared() else {
            return Ok(());
        };
        let cluster = &shared.cluster;
        let layout = shared.shards.layout();
        cluster.build_search(layout).await;
        let works: Vec<String> = shared
            .numbers()
            .map(|shard| Shards::work(layout, shard.into()))
            .collect();
        let holders = cluster.holders(&works).await?;
        let own = cluster.session();
        let mut spread = Spread::new(own, &cluster.search_builders(layout), &holders);
        for ((shard, work), holder) in shared.numbers().zip(&works).zip(&holders) {
            let is_wanted = match holder {
                Some(of) => *of == own,
                None => {
                    let unowned = {
                        let mut state = shared.slot(shard).state.lock();
                        state.unowned += 1;
                        state.unowned
                    };
                    spread.is_next() || unowned > LOOKS_MAX
                }
            };
            let lease = match is_wanted {
                true => cluster.lease(work).await?,
                false => None,
            };
            let mut state = shared.slot(shard).state.lock();
            if holder.is_some() || lease.is_some() {
                state.unowned = 0;
            }
            if holder.is_none() && lease.is_some() {
                spread.take();
                tracing::info!(shard, "this node builds a search shard from now on");
            }
            if state.lease != lease {
                if state.lease.is_some() && lease.is_none() {
                    tracing::info!(shard, "this node doesn't build a search shard any more");
                }
                state.lose();
                state.is_leaving = false;
                state.lease = lease;
            }
        }
        let is_leaving = |shard: u16| shared.slot(shard).state.lock().is_leaving;
        if spread.has_too_many() && !shared.numbers().any(is_leaving) {
            let last = shared.numbers().rev();
            let mut mine = last.map(|shard| shared.slot(shard).state.lock());
            if let Some(mut state) = mine.find(|state| state.lease.is_some()) {
                state.is_leaving = true;
            }
        }
        self.find_work(false).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holders of shards by session, with this node as 1 of the builders: whether it gives one back, and whether it takes the next.
    fn check(builders: &[u64], holders: &[u64], expected: (bool, bool)) {
        let holders: Vec<_> = holders.iter().map(|of| (*of > 0).then_some(*of)).collect();
        let spread = Spread::new(1, builders, &holders);
        let found = (spread.has_too_many(), spread.is_next());
        assert_eq!(found, expected, "{builders:?} {holders:?}");
    }

    #[test]
    fn shards_are_spread_over_those_who_build() {
        check(&[], &[0, 0, 0, 0], (false, true));
        check(&[1, 2], &[1, 0, 0, 0], (false, false));
        check(&[1, 2], &[1, 2, 0, 0], (false, true));
        check(&[1, 2], &[1, 1, 1, 2], (true, false));
        check(&[1, 2], &[1, 1, 2, 2], (false, true));
        // A third one gets its share, from one of those who have two.
        check(&[1, 2, 3], &[1, 1, 2, 2], (true, false));
        check(&[1, 2, 3], &[1, 3, 2, 2], (false, true));
        check(&[1, 2, 3, 4, 5], &[1, 2, 3, 4], (false, false));
        // Who holds some is counted, whether it says that it builds or not.
        check(&[1], &[9, 9, 9, 9], (false, true));
        check(&[1, 9], &[9, 9, 1, 0], (false, true));
    }
}

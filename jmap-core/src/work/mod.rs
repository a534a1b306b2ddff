//! Background work: what is done without anybody asking.
//!
//! Holds: each round is bounded; an error is logged and tried again, and never ends the server; stopping in the middle
//! of a round loses nothing.
//! Other half: the binary runs [`Core::run_work`] as long as it serves.

pub mod check;
pub mod quarantine;
pub mod rest;

use std::{sync::atomic::Ordering, time::Duration};

use futures_util::future::BoxFuture;
use jmap_types::AccountId;
use store::{
    engine::{Batch, Page},
    keys,
};

use self::rest::AtRest;
use crate::{Core, cluster::UPKEEP, mail::search, metrics::Gauges};

/// How often the work is looked at, and by how much that varies, so that nodes don't do it at the same time.
const EVERY: Duration = Duration::from_secs(60);
const JITTER_MS: u64 = 20_000;
/// Rounds of one kind of work in a row, before the others have their turn.
pub(crate) const ROUNDS_MAX: usize = 50;
/// MTA-STS policies that have expired are looked for about once in so many rounds: an hour.
const STS_ROUNDS: u64 = 60;
/// How often a store that can't be written is tried.
const PROBE_EVERY: Duration = Duration::from_secs(5);

impl Core {
    /// Does the background work until the future is dropped. `at_rest` is called when nobody wants anything and memory was given back to the allocator.
    pub fn run_work(self, at_rest: AtRest) -> BoxFuture<'static, ()> {
        let searching: BoxFuture<'static, ()> = Box::pin(search::run(self.search.clone()));
        let core = self.clone();
        let queue: BoxFuture<'static, ()> = Box::pin(async move { core.run_queue().await });
        let pushing: BoxFuture<'static, ()> = Box::pin(crate::push::run(self.clone()));
        let core = self.clone();
        let probing: BoxFuture<'static, ()> = Box::pin(async move { core.run_probe().await });
        let resting: BoxFuture<'static, ()> = Box::pin(rest::run(self.clone(), at_rest));
        let core = self.clone();
        let reporting: BoxFuture<'static, ()> = Box::pin(async move { core.run_reports().await });
        let core = self.clone();
        let tracing: BoxFuture<'static, ()> = Box::pin(async move { core.run_trace().await });
        let core = self.clone();
        let clustering: BoxFuture<'static, ()> = Box::pin(async move { core.run_cluster().await });
        let core = self.clone();
        let looking: BoxFuture<'static, ()> = Box::pin(async move { core.run_sessions().await });
        let core = self.clone();
        let objects: BoxFuture<'static, ()> = Box::pin(async move { core.run_objects().await });
        let core = self.clone();
        let telling: BoxFuture<'static, ()> = Box::pin(async move { core.run_webhooks().await });
        let rounds: BoxFuture<'static, ()> = Box::pin(self.run_rounds());
        Box::pin(async move {
            let upkeep = futures_util::future::join5(probing, resting, rounds, reporting, tracing);
            let upkeep = futures_util::future::join4(upkeep, objects, looking, telling);
            futures_util::future::join5(searching, queue, pushing, upkeep, clustering).await;
        })
    }

    /// Finds out that the store can be written again, also where a failing health check keeps everybody away who
    /// would write.
    async fn run_probe(&self) {
        loop {
            tokio::time::sleep(PROBE_EVERY).await;
            self.probe_store().await;
        }
    }

    /// Writes something that leaves nothing behind, if the last write failed.
    pub async fn probe_store(&self) {
        if self.is_writable() {
            return;
        }
        let mut batch = Batch::new();
        batch.delete(keys::meta("probe"));
        if let Err(error) = self.engine.commit(batch).await {
            tracing::debug!(%error, "the store still can't be written");
        }
    }

    async fn run_rounds(self) {
        loop {
            let view_octets_max = self.limits().max_view_octets;
            self.work_once(usize::try_from(view_octets_max).unwrap_or(usize::MAX))
                .await;
            let jitter = Duration::from_millis(self.rng.next_u64() % JITTER_MS);
            let lost = async {
                match &self.cluster {
                    Some(cluster) => cluster.lost_one().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = tokio::time::sleep(EVERY + jitter) => {}
                () = lost => {}
            }
        }
    }

    /// One turn of all the work that has a clock.
    pub async fn work_once(&self, view_octets_max: usize) {
        let leads = self.leads(UPKEEP).await;
        if self.noted("find out whose work it is", leads) == Some(true) {
            self.keep_up().await;
        }
        let keys = self.keep_dkim_keys().await;
        self.noted("look after DKIM keys", keys);
        let settings = self.look_at_settings().await;
        self.noted("look at the settings", settings);
        self.accounts.shrink(view_octets_max);
    }

    /// What one node does for all.
    async fn keep_up(&self) {
        for _ in 0..ROUNDS_MAX {
            let more = self.expire_uploads().await;
            if !self.noted("expire uploads", more).unwrap_or(false) {
                break;
            }
        }
        for _ in 0..ROUNDS_MAX {
            let more = self.collect_blobs().await;
            if !self.noted("collect blobs", more).unwrap_or(false) {
                break;
            }
        }
        for _ in 0..ROUNDS_MAX {
            let more = self.purge_traces().await;
            if !self.noted("purge traces", more).unwrap_or(false) {
                break;
            }
        }
        for _ in 0..ROUNDS_MAX {
            let more = self.purge_audit().await;
            if !self.noted("purge the audit", more).unwrap_or(false) {
                break;
            }
        }
        let forgotten = self.purge_bans().await;
        self.noted("forget bans", forgotten);
        let forgotten = self.purge_idempotency().await;
        self.noted("forget requests that were made once", forgotten);
        let over = self.purge_oauth().await;
        self.noted("forget codes and clients of OAuth", over);
        let purged = self.purge_webhooks().await;
        self.noted("purge webhooks", purged);
        for _ in 0..ROUNDS_MAX {
            let from = self.purged_upto.load(Ordering::Relaxed);
            let next = self.purge_deleted(from).await;
            let Some(next) = self.noted("purge deleted emails", next) else {
                break;
            };
            self.purged_upto.store(next.unwrap_or(0), Ordering::Relaxed);
            if next.is_none() {
                break;
            }
        }
        let open = self.resume_deliveries().await;
        self.noted("resume deliveries", open);
        let removed = self.resume_removals().await;
        self.noted("resume removals", removed);
        if self.rng.next_u64().is_multiple_of(STS_ROUNDS) {
            let expired = self.expire_sts_policies().await;
            self.noted("expire MTA-STS policies", expired);
        }
    }

    fn noted<T>(&self, work: &'static str, result: Result<T, store::Error>) -> Option<T> {
        result
            .inspect_err(|error| {
                self.metrics.work_failures.add(1);
                tracing::error!(work, %error, "background work failed, and is tried again");
            })
            .ok()
    }

    /// Accounts whose search index is behind.
    pub fn search_pending(&self) -> usize {
        self.search.pending_accounts()
    }

    /// Brings the search index up to date, now.
    pub async fn index_now(&self) -> Result<(), search::Error> {
        self.search.index_pending().await
    }

    /// Does at once what this node has to do about published shards of the search index.
    pub async fn tend_search(&self) -> Result<(), search::Error> {
        self.search.tend_shards().await
    }

    /// What was done about published shards of the search index; `None`: there are none.
    pub fn search_shards(&self) -> Option<search::SharedCounts> {
        self.search.shared_counts()
    }

    /// Documents that this process has written into the search index.
    pub fn search_documents(&self) -> u64 {
        self.search.indexed_documents()
    }

    /// Builds the search index anew.
    pub async fn rebuild_search(&self) -> Result<(), search::Error> {
        self.search.rebuild_all().await
    }

    /// Indexes one account anew, or all, and loads their views anew. What was indexed is found meanwhile, and so is what comes in.
    /// Returns how many accounts.
    pub async fn reindex(
        &self,
        account: Option<AccountId>,
        progress: check::Progress<'_>,
    ) -> Result<u64, search::Error> {
        let mut range = match account {
            None => keys::all(keys::Subspace::Head),
            Some(account) => keys::prefix(keys::head(account)),
        };
        let mut count = 0;
        loop {
            const ROWS: usize = 100;
            let page = Page::first(range.clone(), ROWS).keys_only();
            let rows = self.engine.scan(page).await?;
            for account in rows.iter().filter_map(|(key, _)| keys::decode_head(key)) {
                self.accounts.handle(account).forget_view();
                match self.search.reindex(account).await {
                    // Invariant 5: the others are indexed.
                    Err(search::Error::Store(error @ store::Error::Corrupt { .. })) => {
                        tracing::error!(%account, %error, "an account is not indexed");
                    }
                    done => done?,
                }
                count += 1;
                progress(&format!("accounts indexed: {count}"));
            }
            let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS) else {
                return Ok(count);
            };
            range.start = [last, &[0u8][..]].concat();
        }
    }

    /// What the server is busy with.
    pub fn gauges(&self) -> Gauges {
        let (queue_length, queue_waiting, queue_running) = self.queue.gauges();
        Gauges {
            queue_length,
            queue_waiting,
            queue_running,
            search_pending: self.search_pending(),
            alerts: self.alerts.count(),
            store_failing: !self.is_writable(),
            blobs_failing: self.engine.blobs().is_some_and(|blobs| !blobs.is_taken()),
            ..self.accounts.gauges()
        }
    }

    /// Whether the last write to the database worked: `false` while the disk is full or broken. Reading goes on.
    pub fn is_writable(&self) -> bool {
        self.engine.is_writable()
    }

    /// Octets that the database takes on disk; 0 where that isn't known.
    pub async fn disk_octets(&self) -> Result<u64, store::Error> {
        Ok(self.engine.disk_octets().await?)
    }
}

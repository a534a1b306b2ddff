//! Background work: what is done without anybody asking.
//!
//! Holds: each round is bounded; an error is logged and tried again, and never ends the server; nor does a panic, and it ends no other work; stopping in
//! the middle of a round loses nothing.
//! Other half: the binary runs [`Core::run_work`] as long as it serves.

pub mod check;
pub mod quarantine;
pub mod rest;
pub mod supervisor;

use std::{sync::atomic::Ordering, time::Duration};

use futures_util::future::{BoxFuture, join_all};
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
        Box::pin(async move {
            let core = &self;
            let mail = [
                core.part("search", || search::run_indexing(&core.search)),
                core.part("search-shards", || core.search.run_shared()),
                core.part("queue", || core.run_queue_anew()),
            ];
            let cluster = core.run_cluster();
            let telling = [
                core.part("push", || crate::push::run(core)),
                core.part("webhook-events", || core.write_events()),
                core.part("webhooks", || core.run_webhooks()),
                core.part("traces", || core.run_trace()),
                core.part("reports", || core.run_reports()),
            ];
            let upkeep = [
                core.part("store-probe", || core.run_probe()),
                core.part("rest", || rest::run(core, &at_rest)),
                core.part("upkeep", || core.run_rounds()),
                core.part("objects", || core.run_objects()),
                core.part("sessions", || core.run_sessions()),
            ];
            let parts = join_all(mail.into_iter().chain(telling).chain(upkeep));
            futures_util::future::join(parts, cluster).await;
        })
    }

    /// A part that is kept, in a box of its own.
    pub(crate) fn part<'c, F>(
        &'c self,
        name: &'static str,
        begin: impl FnMut() -> F + Send + 'c,
    ) -> BoxFuture<'c, ()>
    where
        F: Future<Output = ()> + Send + 'c,
    {
        Box::pin(self.supervisor.keep(name, begin))
    }

    /// What the queue was told before it panicked has to be found anew.
    async fn run_queue_anew(&self) {
        self.queue.look_for_orphans();
        self.run_queue().await;
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

    async fn run_rounds(&self) {
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
        if self
            .noted("find out whose work it is", self.leads(UPKEEP))
            .await
            == Some(true)
        {
            self.keep_up().await;
        }
        self.noted("look after DKIM keys", self.keep_dkim_keys())
            .await;
        self.noted("look at the settings", self.look_at_settings())
            .await;
        self.accounts.shrink(view_octets_max);
    }

    /// What one node does for all.
    async fn keep_up(&self) {
        self.in_rounds("expire uploads", || self.expire_uploads())
            .await;
        self.in_rounds("collect blobs", || self.collect_blobs())
            .await;
        self.in_rounds("purge traces", || self.purge_traces()).await;
        self.in_rounds("purge the audit", || self.purge_audit())
            .await;
        self.noted("forget bans", self.purge_bans()).await;
        self.noted(
            "forget requests that were made once",
            self.purge_idempotency(),
        )
        .await;
        self.noted("forget codes and clients of OAuth", self.purge_oauth())
            .await;
        self.noted("purge webhooks", self.purge_webhooks()).await;
        for _ in 0..ROUNDS_MAX {
            let from = self.purged_upto.load(Ordering::Relaxed);
            let purging = self.purge_deleted(from);
            let Some(next) = self.noted("purge deleted emails", purging).await else {
                // One account that can't be purged doesn't keep those behind it for ever.
                self.purged_upto.store(from + 1, Ordering::Relaxed);
                break;
            };
            self.purged_upto.store(next.unwrap_or(0), Ordering::Relaxed);
            if next.is_none() {
                break;
            }
        }
        self.in_rounds("tell of another default quota", || {
            self.tell_default_quota()
        })
        .await;
        self.noted("resume deliveries", self.resume_deliveries())
            .await;
        self.noted("resume removals", self.resume_removals()).await;
        if self.rng.next_u64().is_multiple_of(STS_ROUNDS) {
            self.noted("expire MTA-STS policies", self.expire_sts_policies())
                .await;
        }
    }

    /// Does rounds of some work, each of which returns whether there is more; what is left after [`ROUNDS_MAX`] of them is for the next time.
    async fn in_rounds<F>(&self, work: &'static str, mut round: impl FnMut() -> F)
    where
        F: Future<Output = Result<bool, store::Error>>,
    {
        for _ in 0..ROUNDS_MAX {
            if !self.noted(work, round()).await.unwrap_or(false) {
                break;
            }
        }
    }

    /// Does some work. `None`: it failed, or panicked, and the others have their turn.
    async fn noted<T>(
        &self,
        work: &'static str,
        doing: impl Future<Output = Result<T, store::Error>>,
    ) -> Option<T> {
        let why = match self.supervisor.once("upkeep", doing).await {
            Some(Ok(done)) => return Some(done),
            Some(Err(error)) => error.to_string(),
            None => "it panicked".to_owned(),
        };
        self.metrics.work_failures.add(1);
        tracing::error!(work, error = %why, "background work failed, and is tried again");
        None
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

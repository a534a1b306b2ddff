//! What a node does to keep up with the others.
//!
//! Holds: none of it ends by an error; without notices, or where one is lost, looking finds the same.

use std::{
    collections::{BTreeSet, HashMap},
    convert::Infallible,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::future::{Either, select};
use jmap_types::AccountId;

use super::{Cluster, Notice, NoticeError, Notices, Packet};
use crate::Core;

/// How long notices are gathered, so that one packet has those of many commits.
const GATHERING: Duration = Duration::from_millis(2);
/// After what brings notices has failed.
const PAUSE: Duration = Duration::from_secs(1);

impl Core {
    /// Works until it is dropped.
    pub(crate) async fn run_cluster(&self) {
        let Some(cluster) = &self.cluster else {
            return std::future::pending().await;
        };
        // Each by itself: others take this node for dead if it doesn't beat for a while.
        let beating = self.part("cluster-beats", || self.run_beats(cluster));
        let polling = self.part("cluster-looks", || self.run_polls(cluster));
        match &cluster.settings.notices {
            None => {
                futures_util::future::join(beating, polling).await;
            }
            Some(notices) => {
                let sending = self.part("cluster-tells", || cluster.run_sending(notices));
                let taking = self.part("cluster-hears", || self.run_taking(cluster, notices));
                futures_util::future::join4(beating, polling, sending, taking).await;
            }
        }
    }

    /// Does work in a process that doesn't serve: as long as that takes, this node lives.
    pub async fn alive_while<T>(&self, work: impl Future<Output = T>) -> T {
        let Some(cluster) = &self.cluster else {
            return work.await;
        };
        let beating = async {
            let beating = self.part("cluster-beats", || self.run_beats(cluster));
            beating.await;
            std::future::pending::<Infallible>().await
        };
        match select(pin!(work), pin!(beating)).await {
            Either::Left((done, _)) => done,
            Either::Right((never, _)) => match never {},
        }
    }

    async fn run_beats(&self, cluster: &Cluster) {
        loop {
            if let Err(error) = self.beat_once().await {
                tracing::error!(%error, "this node could not say that it lives");
            }
            tokio::time::sleep(cluster.settings.beat_every).await;
        }
    }

    /// Says that this node lives, and looks who else does.
    pub async fn beat_once(&self) -> Result<(), store::Error> {
        let Some(cluster) = &self.cluster else {
            return Ok(());
        };
        cluster.beat().await?;
        cluster.look_around().await?;
        if cluster.has_lost_some() {
            // What a node that has gone was sending is ours now.
            self.queue.look_for_orphans();
            // So are the deliveries that it has accepted and not finished.
            cluster.lost.notify_one();
        }
        Ok(())
    }

    async fn run_polls(&self, cluster: &Cluster) {
        loop {
            tokio::time::sleep(cluster.look_every()).await;
            if let Err(error) = self.poll_once().await {
                tracing::error!(%error, "what other nodes do could not be looked at");
            }
        }
    }

    /// Looks what other nodes have done, to all that somebody here is interested in.
    pub async fn poll_once(&self) -> Result<(), store::Error> {
        self.look_at_directory().await?;
        self.look_at_settings().await?;
        self.look_at_bans().await?;
        let mut accounts: BTreeSet<AccountId> = self.accounts.in_memory().into_iter().collect();
        accounts.extend(self.bus.accounts());
        accounts.extend(self.push.accounts());
        let accounts: Vec<AccountId> = accounts.into_iter().collect();
        self.accounts.others_wrote(&accounts).await
    }

    async fn run_taking(&self, cluster: &Cluster, notices: &Arc<dyn Notices>) {
        loop {
            let error = match self.take_notices(cluster, notices).await {
                Ok(never) => match never {},
                Err(error) => error,
            };
            if cluster.is_connected.swap(false, Ordering::AcqRel) {
                tracing::warn!(%error, "notices of other nodes are missed");
            } else {
                tracing::debug!(%error, "notices of other nodes are still missed");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn take_notices(
        &self,
        cluster: &Cluster,
        notices: &Arc<dyn Notices>,
    ) -> Result<std::convert::Infallible, NoticeError> {
        let mut stream = notices.subscribe().await?;
        tracing::info!("listening to other nodes");
        cluster.is_connected.store(true, Ordering::Release);
        // What happened while nobody listened.
        if let Err(error) = self.poll_once().await {
            tracing::error!(%error, "what other nodes do could not be looked at");
        }
        self.load_subscriptions_again().await;
        loop {
            let text = stream.next().await?;
            let Some(packet) = Packet::decode(&text) else {
                tracing::debug!("a notice that can't be read");
                continue;
            };
            if packet.from != cluster.session() {
                self.take_packet(packet).await;
            }
        }
    }

    /// Does what the notices of another node ask for.
    pub async fn take_packet(&self, packet: Packet) {
        let mut accounts: HashMap<AccountId, u64> = HashMap::new();
        let mut subscriptions = Vec::new();
        let mut result = Ok(());
        for notice in packet.notices {
            match notice {
                Notice::Account { account, revision } => {
                    let newest = accounts.entry(account).or_default();
                    *newest = (*newest).max(revision);
                }
                Notice::Subscriptions(account) => subscriptions.push(account),
                Notice::Directory => result = self.look_at_directory().await,
                Notice::Queue => self.queue.look_at_all(),
                Notice::Search => self.search.look_at_shards(),
                Notice::Index(account) => self.search.hurry(account),
                Notice::Settings => result = result.and(self.look_at_settings().await),
                Notice::Bans => result = result.and(self.look_at_bans().await),
            }
        }
        if let Some(cluster) = &self.cluster {
            // What this node knows already costs no read.
            accounts.retain(|account, revision| !cluster.knows(*account, *revision));
        }
        let accounts: Vec<AccountId> = accounts.into_keys().collect();
        let result = result.and(self.accounts.others_wrote(&accounts).await);
        if let Err(error) = result {
            tracing::error!(%error, "what other nodes have done could not be looked at");
        }
        self.reload_subscriptions(&subscriptions).await;
    }
}

impl Core {
    /// Tells other nodes what there is to tell, where nobody else does: for a process that does one thing and ends.
    pub async fn tell_others(&self) {
        let Some(cluster) = &self.cluster else {
            return;
        };
        let texts = cluster.take_outbox();
        if let (Some(notices), false) = (&cluster.settings.notices, texts.is_empty())
            && let Err(error) = notices.publish(texts).await
        {
            tracing::debug!(%error, "other nodes were not told");
        }
    }
}

impl Cluster {
    fn knows(&self, account: AccountId, revision: u64) -> bool {
        let known = self.known.get(&account);
        known.is_some_and(|head| head.revision.unwrap_or(0) >= revision)
    }

    async fn run_sending(&self, notices: &Arc<dyn Notices>) {
        loop {
            self.has_mail.notified().await;
            tokio::time::sleep(GATHERING).await;
            let texts = self.take_outbox();
            if texts.is_empty() {
                continue;
            }
            if let Err(error) = notices.publish(texts).await {
                // The others look for themselves.
                self.missed.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%error, "other nodes were not told");
            }
        }
    }

    /// What the others have yet to be told, as texts.
    pub fn take_outbox(&self) -> Vec<String> {
        let packet = Packet {
            from: self.session(),
            notices: self.outbox.lock().take(),
        };
        packet.encode()
    }

    /// Packets that could not be sent.
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }
}

//! What needs an administrator: it is looked for, again and again, and the core told.
//!
//! Holds: what can't be found out is neither raised nor cleared; a look is bounded in time, and none waits for another.
//! Other half: `jmap_core::alert` remembers, mails and tells.

mod blocklist;
mod disk;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use jmap_core::{
    Caller, Core,
    alert::{AlertKind, Condition, OF_NODE, OF_SERVER},
    clock::Clock as _,
};
use jmap_types::UtcDate;

use self::blocklist::Blocklists;
use crate::{
    config::Config,
    tls::{Certificates, Origin},
    wire::clock,
};

/// However it is configured.
const EVERY_MIN: Duration = Duration::from_secs(1);
/// A look that takes longer is given up.
const LOOK_TIMEOUT: Duration = Duration::from_secs(120);

/// Looks until it is dropped.
pub async fn run(core: Core, config: Arc<ArcSwap<Config>>, certificates: Arc<Certificates>) {
    let mut looking = Looking {
        core,
        certificates,
        blocklists: Blocklists::default(),
    };
    loop {
        let now = config.load_full();
        tokio::time::sleep(now.alerts.every.0.max(EVERY_MIN)).await;
        match tokio::time::timeout(LOOK_TIMEOUT, looking.look(&now)).await {
            Ok(()) => {}
            Err(_) => tracing::warn!("looking for what needs an administrator took too long"),
        }
    }
}

struct Looking {
    core: Core,
    certificates: Arc<Certificates>,
    blocklists: Blocklists,
}

impl Looking {
    async fn look(&mut self, config: &Config) {
        let node = match self.core.cluster() {
            Some(cluster) => cluster.settings.name.clone(),
            None => String::new(),
        };
        let mut found = self.core.find_node_conditions();
        let mut looked = OF_NODE.to_vec();
        let disks = disk::full(config).await;
        looked.extend(disks.is_some().then_some(AlertKind::DiskFull));
        found.extend(disks.unwrap_or_default());
        self.note(config, &node, &looked, &found).await;
        if let Err(error) = self.core.note_gone_nodes(&config.alerts.core()).await {
            tracing::warn!(%error, "that a server is gone could not be noted");
        }
        match self.core.leads_alerts().await {
            Ok(true) => self.look_at_all(config).await,
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "whose work alerts are could not be found out"),
        }
    }

    /// What is wrong with the server as a whole.
    async fn look_at_all(&mut self, config: &Config) {
        match self.core.find_conditions(&config.alerts.thresholds()).await {
            Ok(found) => self.note(config, "", OF_SERVER, &found).await,
            Err(error) => {
                tracing::warn!(%error, "it could not be found out whether something is wrong")
            }
        }
        let found = ending(&self.certificates, config);
        self.note(config, "", &[AlertKind::CertificateEnding], &found)
            .await;
        match self.backups(config).await {
            Ok(found) => {
                let looked = [AlertKind::BackupFailed, AlertKind::BackupMissing];
                self.note(config, "", &looked, &found).await;
            }
            Err(error) => tracing::warn!(%error, "how backups went could not be found out"),
        }
        if let Some(found) = self.blocklists.look(config).await {
            self.note(config, "", &[AlertKind::Blocklisted], &found)
                .await;
        }
    }

    async fn note(&self, config: &Config, node: &str, looked: &[AlertKind], found: &[Condition]) {
        let settings = config.alerts.core();
        let noted = self.core.note_conditions(node, looked, found, &settings);
        if let Err(error) = noted.await {
            tracing::warn!(%error, "what is wrong could not be noted");
        }
    }

    /// Backups of [backup] alone: of others, whoever makes them knows.
    async fn backups(
        &self,
        config: &Config,
    ) -> Result<Vec<Condition>, jmap_core::directory::DirectoryError> {
        let Some(place) = config.backup.to.as_ref().map(ToString::to_string) else {
            return Ok(Vec::new());
        };
        let known = self.core.backup_repositories(&Caller::server()).await?;
        // Another repository may have been there before, or none that could be opened.
        let of_place = || known.iter().filter(|record| record.place == place);
        let failures = of_place().filter_map(|record| record.failure.as_ref());
        let success = of_place().filter_map(|record| record.success.as_ref());
        // One of a time that is still to come counts as none: the clock was ahead then.
        let now = clock().now().seconds();
        let success = success.filter(|of| of.at <= now).max_by_key(|of| of.at);
        let since = success.map_or(i64::MIN, |of| of.at);
        let failure = failures.filter(|of| of.at >= since).max_by_key(|of| of.at);
        let mut found = Vec::new();
        if let Some(failure) = failure {
            let sentence = format!(
                "The last backup to {place} has failed: {}",
                failure.sentence
            );
            found.push(Condition::new(AlertKind::BackupFailed, "", sentence));
        }
        let patience = config.backup.every.0 + config.alerts.backup.0;
        let patience = i64::try_from(patience.as_secs()).unwrap_or(i64::MAX);
        if let Some(success) = success.filter(|of| now.saturating_sub(of.at) >= patience) {
            let sentence = format!(
                "The last backup to {place} that worked was at {}. `posthorn backup status` tells more.",
                UtcDate(success.at)
            );
            found.push(Condition::new(AlertKind::BackupMissing, "", sentence));
        }
        Ok(found)
    }
}

/// Certificates whose next one should be there by now. One that the server has signed itself is nobody's.
fn ending(certificates: &Certificates, config: &Config) -> Vec<Condition> {
    let before = i64::try_from(config.alerts.certificate.0.as_secs()).unwrap_or(i64::MAX);
    let now = clock().now().seconds();
    let mut ends: BTreeMap<String, i64> = BTreeMap::new();
    for shown in certificates.all() {
        if matches!(shown.origin, Origin::SelfSigned) {
            continue;
        }
        let Some(identity) = shown.identity else {
            continue;
        };
        let (name, validity) = (identity.names().first(), identity.validity());
        if let (Some(name), Some((_, end))) = (name, validity) {
            // Of several with one name, the one that ends last is shown.
            let known = ends.entry(name.clone()).or_insert(end);
            *known = end.max(*known);
        }
    }
    let is_near = |(_, end): &(String, i64)| end.saturating_sub(now) <= before;
    ends.into_iter()
        .filter(is_near)
        .map(|(name, end)| {
            let verb = if end <= now { "has ended" } else { "ends" };
            let sentence = format!(
                "The certificate for {name} {verb} at {}. `posthorn tls list` tells how it is renewed.",
                UtcDate(end)
            );
            Condition::new(AlertKind::CertificateEnding, name, sentence)
        })
        .collect()
}

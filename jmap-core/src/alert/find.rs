//! What the core itself can say is wrong.
//!
//! Other half: the binary asks, and adds what it knows of disks, files and the DNS.

use super::{AlertKind, Condition};
use crate::{
    Caller, Core,
    directory::DirectoryError,
    inproc::{
        certificates::CertificateError,
        queue::{QueueError, QueueFilter},
    },
    webhook::WebhookError,
};

/// Messages of the queue that are looked at for the oldest one.
const LOOKED_AT_MAX: usize = 2000;

/// When something of the core is too much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Messages in the queue; 0: any number will do.
    pub queue_length: u64,
    /// How long one may wait, in seconds; 0: as long as it likes.
    pub queue_age: i64,
}

/// Why it could not be found out whether something is wrong.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Webhook(#[from] WebhookError),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// What [`Core::find_conditions`] looks for.
pub const OF_SERVER: &[AlertKind] = &[
    AlertKind::QueueLong,
    AlertKind::QueueOld,
    AlertKind::CertificateFailing,
    AlertKind::WebhookDisabled,
    AlertKind::NodeGone,
];
/// What [`Core::find_node_conditions`] looks for.
pub const OF_NODE: &[AlertKind] = &[AlertKind::StoreFailing, AlertKind::BlobsFailing];

impl Core {
    /// What is wrong with this node.
    pub fn find_node_conditions(&self) -> Vec<Condition> {
        let gauges = self.gauges();
        let mut found = Vec::new();
        if gauges.store_failing {
            let sentence = "The database can't be written: the disk is full or broken. Mail is put off until it can.";
            found.push(Condition::new(AlertKind::StoreFailing, "", sentence));
        }
        if gauges.blobs_failing {
            let sentence = "Messages don't get to the object store or folder where blobs are kept. Mail is put off until they do.";
            found.push(Condition::new(AlertKind::BlobsFailing, "", sentence));
        }
        found
    }

    /// What is wrong with the server as a whole.
    pub async fn find_conditions(&self, limits: &Thresholds) -> Result<Vec<Condition>, FindError> {
        let mut found = Vec::new();
        self.look_at_queue(limits, &mut found).await?;
        for (name, record) in self.certificates(&Caller::server()).await? {
            if let Some(problem) = record.problem.filter(|_| record.failures > 0) {
                let sentence = format!(
                    "The certificate for {} could not be ordered, {} times: {problem}",
                    record.names.join(", "),
                    record.failures
                );
                found.push(Condition::new(
                    AlertKind::CertificateFailing,
                    name,
                    sentence,
                ));
            }
        }
        for webhook in self.webhooks(&Caller::server()).await? {
            if let Some(why) = &webhook.record.disabled_reason {
                let sentence = format!(
                    "The webhook {} {} is told nothing any more: {why}. Enable it again when it is mended, or remove it.",
                    webhook.number, webhook.record.description
                );
                let subject = webhook.number.to_string();
                found.push(Condition::new(
                    AlertKind::WebhookDisabled,
                    subject,
                    sentence,
                ));
            }
        }
        self.look_for_nodes(&mut found).await?;
        Ok(found)
    }

    async fn look_at_queue(
        &self,
        limits: &Thresholds,
        found: &mut Vec<Condition>,
    ) -> Result<(), FindError> {
        let length = self.gauges().queue_length;
        if limits.queue_length != 0 && length >= limits.queue_length {
            let sentence = format!(
                "{length} messages wait to be sent. `posthorn queue list` shows where they are to go."
            );
            found.push(Condition::new(AlertKind::QueueLong, "", sentence));
        }
        if limits.queue_age == 0 || length == 0 {
            return Ok(());
        }
        let filter = QueueFilter {
            domain: None,
            account: None,
            limit: LOOKED_AT_MAX,
        };
        let (entries, _) = self.queue_entries(&Caller::server(), &filter).await?;
        // What its sender wants to go later isn't late.
        let begin = |of: &crate::inproc::queue::QueueEntry| of.record.send_at;
        // What an administrator holds back waits for nobody else.
        let waits = entries.iter().filter(|of| of.record.on_hold.is_none());
        let Some(oldest) = waits.min_by_key(|of| begin(of)) else {
            return Ok(());
        };
        let age = self.clock.now().seconds().saturating_sub(begin(oldest));
        if age >= limits.queue_age {
            let hours = age / 3600;
            let sentence = format!(
                "A message of {} has waited for {hours} hours to be sent. `posthorn queue list` shows why.",
                oldest.account_name
            );
            found.push(Condition::new(AlertKind::QueueOld, "", sentence));
        }
        Ok(())
    }

    /// One that is gone stays so until it is back, or somebody says that it is meant to be gone.
    async fn look_for_nodes(&self, found: &mut Vec<Condition>) -> Result<(), FindError> {
        let Some(cluster) = &self.cluster else {
            return Ok(());
        };
        let nodes = cluster.nodes().await?;
        let is_back = |name: &str| nodes.iter().any(|node| node.record.name == name);
        let stored = self.stored_alerts().await?;
        let known = stored
            .into_iter()
            .filter(|of| of.record.kind == AlertKind::NodeGone && of.record.over.is_none())
            .map(|of| of.record.subject);
        for name in known.filter(|name| !is_back(name)) {
            found.push(node_gone(&name));
        }
        Ok(())
    }
}

pub(super) fn node_gone(name: &str) -> Condition {
    let sentence = format!(
        "The server {name} doesn't say any more that it lives; others have taken its work over. If it is meant to be gone, dismiss this."
    );
    Condition::new(AlertKind::NodeGone, name, sentence)
}

//! What `/metrics` says, in the text that Prometheus reads.
//!
//! Holds: no label names an account, an address or a client, so their number is bounded.
//! Other half: `jmap_core::metrics` counts; `net` counts connections.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use jmap_core::Core;
use net::{Admission, listener::Counters};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::{ConstGauge, Gauge},
        info::Info,
    },
    registry::{Registry, Unit},
};

use crate::tls::Certificates;

/// Where the numbers come from.
#[derive(Clone)]
pub struct Sources {
    pub core: Core,
    /// By the name of the listener.
    pub admissions: Vec<(String, Arc<Admission>)>,
    /// As it was a moment ago: measuring it reads a folder.
    pub disk_octets: Arc<AtomicU64>,
    pub backups: Arc<crate::backups::schedule::Counters>,
    pub certificates: Arc<Certificates>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfListener {
    listener: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Refused {
    listener: String,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfPart {
    part: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfCertificate {
    certificate: String,
}

impl Sources {
    /// Connections that are open.
    pub fn connections(&self) -> u64 {
        self.admissions
            .iter()
            .map(|(_, admission)| admission.counters().open as u64)
            .sum()
    }

    /// The same, by the name of the listener.
    pub fn connections_by_listener(&self) -> Vec<(String, u64)> {
        self.admissions
            .iter()
            .map(|(listener, admission)| (listener.clone(), admission.counters().open as u64))
            .collect()
    }

    /// The text, as of now.
    pub fn text(&self) -> String {
        let mut registry = Registry::with_prefix("posthorn");
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "This version", version);
        self.connection_metrics(&mut registry);
        self.core_metrics(&mut registry);
        self.part_metrics(&mut registry);
        self.search_metrics(&mut registry);
        self.backup_metrics(&mut registry);
        self.certificate_metrics(&mut registry);
        let mut text = String::new();
        // Writing to a string can't fail.
        let _ = encode(&mut text, &registry);
        text
    }

    fn connection_metrics(&self, registry: &mut Registry) {
        let open: Family<OfListener, Gauge> = Family::default();
        let admitted: Family<OfListener, Counter> = Family::default();
        let refused: Family<Refused, Counter> = Family::default();
        for (listener, admission) in &self.admissions {
            let counters: Counters = admission.counters();
            let of = OfListener {
                listener: listener.clone(),
            };
            open.get_or_create(&of).set(as_gauge(counters.open as u64));
            admitted.get_or_create(&of).inc_by(counters.admitted);
            let reasons = [
                ("total", counters.refused_total),
                ("client", counters.refused_per_client),
                ("rate", counters.refused_rate),
                ("banned", counters.refused_banned),
            ];
            for (reason, count) in reasons {
                let why = Refused {
                    listener: listener.clone(),
                    reason,
                };
                refused.get_or_create(&why).inc_by(count);
            }
        }
        registry.register("connections", "Connections that are open", open);
        registry.register(
            "connections_admitted",
            "Connections that were let in",
            admitted,
        );
        registry.register(
            "connections_refused",
            "Connections that were sent away",
            refused,
        );
    }

    fn part_metrics(&self, registry: &mut Registry) {
        let supervisor = &self.core.supervisor;
        registry.register(
            "parts_failing",
            "Parts of the server that are down, or fail again and again, after a panic",
            ConstGauge::new(as_gauge(supervisor.failing().len() as u64)),
        );
        let panics: Family<OfPart, Counter> = Family::default();
        for (part, count) in supervisor.panics() {
            panics.get_or_create(&OfPart { part }).inc_by(count);
        }
        registry.register(
            "part_panics",
            "Panics of a part of the server, which was begun again",
            panics,
        );
    }

    fn backup_metrics(&self, registry: &mut Registry) {
        let last = self.backups.last_success.load(Ordering::Relaxed);
        registry.register_with_unit(
            "backup_last_success_time",
            "When the last backup of [backup] worked, since 1970; 0: none has",
            Unit::Seconds,
            ConstGauge::new(last),
        );
        let failures = self.backups.failures.load(Ordering::Relaxed);
        registry.register(
            "backup_failures",
            "Backups of [backup] that failed",
            ConstCounter::new(failures),
        );
    }

    /// By its first name; of several, the one that ends last is shown.
    fn certificate_metrics(&self, registry: &mut Registry) {
        let expiry: Family<OfCertificate, Gauge> = Family::default();
        for shown in self.certificates.all() {
            let Some(identity) = shown.identity else {
                continue;
            };
            let (name, validity) = (identity.names().first(), identity.validity());
            let (Some(name), Some((_, end))) = (name, validity) else {
                continue;
            };
            let of = OfCertificate {
                certificate: name.clone(),
            };
            let gauge = expiry.get_or_create(&of);
            gauge.set(gauge.get().max(end));
        }
        registry.register_with_unit(
            "certificate_expiry_time",
            "When a certificate ends, since 1970",
            Unit::Seconds,
            expiry,
        );
    }

    fn search_metrics(&self, registry: &mut Registry) {
        registry.register(
            "search_documents",
            "Messages that this server has written into the search index",
            ConstCounter::new(self.core.search_documents()),
        );
        let Some(of) = self.core.search_shards() else {
            return;
        };
        registry.register(
            "search_shards_built",
            "Parts of the search index that this server builds for all",
            ConstGauge::new(as_gauge(of.building as u64)),
        );
        let counted = [
            (
                "search_publications",
                "Generations of them that it has published",
                of.publications,
            ),
            (
                "search_published_octets",
                "Octets that it has put into the object store for that",
                of.published_octets,
            ),
            (
                "search_fetched_files",
                "Files of the search index that it has fetched",
                of.fetched_files,
            ),
            (
                "search_fetched_octets",
                "Octets that it has read from the object store for that",
                of.fetched_octets,
            ),
            (
                "search_failures",
                "Times that it could neither publish nor fetch",
                of.failures,
            ),
        ];
        for (name, help, count) in counted {
            registry.register(name, help, ConstCounter::new(count));
        }
    }

    fn core_metrics(&self, registry: &mut Registry) {
        let gauges = self.core.gauges();
        let metrics = &self.core.metrics;
        let now = [
            (
                "accounts_in_memory",
                "Accounts that are in memory",
                gauges.accounts as u64,
            ),
            (
                "views_in_memory",
                "Accounts whose mail view is in memory",
                gauges.views as u64,
            ),
            (
                "search_pending_accounts",
                "Accounts whose search index is behind",
                gauges.search_pending as u64,
            ),
            (
                "queue_length",
                "Messages that are under way",
                gauges.queue_length,
            ),
            (
                "queue_waiting",
                "Destinations of messages that are due and wait for their turn",
                gauges.queue_waiting,
            ),
            (
                "queue_sending",
                "Messages that are being sent or delivered",
                gauges.queue_running,
            ),
            ("alerts", "What needs an administrator", gauges.alerts),
            (
                "bans_in_force",
                "Networks that nobody may connect from",
                self.core.bans_in_force() as u64,
            ),
            (
                "sessions",
                "Connections that somebody is logged in over",
                self.core.sessions().count() as u64,
            ),
            (
                "store_failing",
                "1 while the database can't be written: the disk is full or broken",
                u64::from(gauges.store_failing),
            ),
            (
                "blobs_failing",
                "1 while messages don't get to the object store or folder of blobs: new mail is put off",
                u64::from(gauges.blobs_failing),
            ),
        ];
        for (name, help, value) in now {
            registry.register(name, help, ConstGauge::new(as_gauge(value)));
        }
        let octets = [
            (
                "views",
                "Memory of the mail views (estimated)",
                gauges.view_octets as u64,
            ),
            ("resident", "Memory of the process", resident_octets()),
            (
                "disk",
                "What the database takes on disk",
                self.disk_octets.load(Ordering::Relaxed),
            ),
        ];
        for (name, help, value) in octets {
            registry.register_with_unit(name, help, Unit::Bytes, ConstGauge::new(as_gauge(value)));
        }
        let counted = [
            ("bans", "Clients that were banned by a rule", &metrics.bans),
            (
                "messages_received",
                "Messages that came in whole",
                &metrics.messages_received,
            ),
            (
                "received_octets",
                "Octets of those messages",
                &metrics.octets_received,
            ),
            (
                "deliveries",
                "Recipients that a message was kept for",
                &metrics.deliveries,
            ),
            (
                "deliveries_refused",
                "Recipients that a message was not kept for",
                &metrics.deliveries_refused,
            ),
            (
                "queue_delivered",
                "Recipients that the queue has delivered to, or handed to another server",
                &metrics.queue_delivered,
            ),
            (
                "queue_deferred",
                "Tries of the queue after which a recipient waits for the next one",
                &metrics.queue_deferred,
            ),
            (
                "queue_failed",
                "Recipients that were refused, or given up",
                &metrics.queue_failed,
            ),
            (
                "queue_reports",
                "Reports to senders of mail that was sent from here",
                &metrics.queue_reports,
            ),
            ("logins", "Logins", &metrics.logins),
            (
                "logins_failed",
                "Logins that were refused",
                &metrics.logins_failed,
            ),
            (
                "traces_lost",
                "Events of the trace that could not be kept",
                &metrics.traces_lost,
            ),
            (
                "work_failures",
                "Rounds of background work that failed",
                &metrics.work_failures,
            ),
            (
                "webhook_events_told",
                "Events that webhooks were told of",
                &metrics.webhook_events_told,
            ),
            (
                "webhook_tries_failed",
                "Tries to tell a webhook of an event that failed",
                &metrics.webhook_tries_failed,
            ),
            (
                "webhook_events_lost",
                "Events that a webhook was not told of, as too many waited",
                &metrics.webhook_events_lost,
            ),
        ];
        for (name, help, counter) in counted {
            registry.register(name, help, ConstCounter::new(counter.get()));
        }
        let spans = crate::log::logs().and_then(|logs| logs.spans.as_ref());
        registry.register(
            "otlp_spans_lost",
            "Spans that a collector didn't take, or that were too many",
            ConstCounter::new(spans.map_or(0, |spans| spans.lost())),
        );
    }
}

fn as_gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Memory of this process, in octets; 0 where the system doesn't tell.
pub fn resident_octets() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}

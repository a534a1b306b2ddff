//! What reports to others will say: results of verification, and of TLS, counted as they happen.
//!
//! Holds: counting waits for nothing; memory and what a day writes are bounded, and what is past the bound isn't counted. What was counted within
//! the last minute is lost in a crash: it is statistics.
//! Other half: `outgoing` sends what is written down here.

use std::collections::HashMap;

use parking_lot::Mutex;
use store::{Record as _, engine::Batch, keys};

use super::records::{DmarcCounts, DmarcRow, TlsCounts, TlsDetail, TlsRow};
use crate::{
    Core,
    inproc::outbound::{Attempt, TlsEvaluation, TlsPolicyKind},
};

/// Rows that wait to be written.
pub const GATHERED_MAX: usize = 5000;
/// Rows that one day writes: whoever sends from many domains of their own fills no disk.
pub const ROWS_PER_DAY_MAX: u64 = 200_000;
/// Characters of what a peer or library says.
const REASON_CHARACTERS_MAX: usize = 200;
/// Octets of a policy that a report repeats: a policy file may have 64 KiB, and who publishes it has domains without end.
pub const POLICY_OCTETS_MAX: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Gathered(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// (day, domain, row with a count of 0): how many.
    dmarc: HashMap<(u64, String, DmarcRow), u64>,
    /// (day, domain, row without counts and details): what came of the sessions.
    tls: HashMap<(u64, String, TlsRow), Sessions>,
    /// The day, and how many rows it has written.
    written: (u64, u64),
    is_full: bool,
}

#[derive(Debug, Default)]
struct Sessions {
    successes: u64,
    failures: HashMap<TlsDetail, u64>,
}

impl Counts {
    fn has_room(&mut self) -> bool {
        let failures = self.tls.values().map(|sessions| sessions.failures.len());
        let rows = self.dmarc.len() + self.tls.len() + failures.sum::<usize>();
        let has_room = rows < GATHERED_MAX && self.written.1 < ROWS_PER_DAY_MAX;
        if !has_room && !self.is_full {
            tracing::warn!("there is more to report than is counted");
        }
        self.is_full = !has_room;
        has_room
    }
}

impl Core {
    fn report_day(&self) -> u64 {
        u64::try_from(self.clock.now().seconds() / 86_400).unwrap_or(0)
    }

    /// Whether anybody will be told.
    fn sends_reports(&self) -> bool {
        let with = self.reports.with.load();
        with.as_deref().is_some_and(|(settings, _)| settings.send)
    }

    /// Counts what was found out about a message of `domain`, which has a DMARC record. `row` has a count of 1.
    pub fn note_dmarc(&self, domain: &str, mut row: DmarcRow) {
        if !self.sends_reports() {
            return;
        }
        let Ok(domain) = crate::directory::names::domain(domain) else {
            return;
        };
        row.count = 0;
        let key = (self.report_day(), domain, row);
        let mut counts = self.reports.gathered.0.lock();
        if let Some(count) = counts.dmarc.get_mut(&key) {
            *count += 1;
        } else if counts.has_room() {
            counts.dmarc.insert(key, 1);
        }
    }

    /// Counts the sessions of an attempt to send.
    pub fn note_tls(&self, attempt: &Attempt) {
        if !self.sends_reports() {
            return;
        }
        let day = self.report_day();
        for host in &attempt.hosts {
            let Some(evaluation) = &host.evaluation else {
                continue;
            };
            let Ok(domain) = crate::directory::names::domain(&evaluation.policy_domain) else {
                continue;
            };
            let key = (day, domain, policy_row(evaluation));
            let mut counts = self.reports.gathered.0.lock();
            if !counts.tls.contains_key(&key) && !counts.has_room() {
                continue;
            }
            let is_roomy = counts.has_room();
            let sessions = counts.tls.entry(key).or_default();
            match &evaluation.failure {
                None => sessions.successes += 1,
                Some(failure) => {
                    let detail = TlsDetail {
                        result_type: failure.result_type.to_owned(),
                        sending_address: failure.sending_address.map(|ip| ip.to_string()),
                        mx: host.host.clone(),
                        address: host.address.map(|ip| ip.to_string()),
                        count: 0,
                        reason: failure.reason.chars().take(REASON_CHARACTERS_MAX).collect(),
                    };
                    if let Some(count) = sessions.failures.get_mut(&detail) {
                        *count += 1;
                    } else if is_roomy {
                        sessions.failures.insert(detail, 1);
                    }
                }
            }
        }
    }

    /// Writes down what was counted.
    pub async fn flush_counts(&self) -> Result<(), store::Error> {
        let (dmarc, tls) = {
            let mut counts = self.reports.gathered.0.lock();
            // Also where nothing was counted, since there was no room left yesterday.
            let today = self.report_day();
            if counts.written.0 != today {
                counts.written = (today, 0);
            }
            (
                std::mem::take(&mut counts.dmarc),
                std::mem::take(&mut counts.tls),
            )
        };
        let mut of_domain: HashMap<(u64, String), (DmarcCounts, TlsCounts)> = HashMap::new();
        for ((day, domain, row), count) in &dmarc {
            let (counts, _) = of_domain.entry((*day, domain.clone())).or_default();
            counts.rows.push(DmarcRow {
                count: *count,
                ..row.clone()
            });
        }
        for ((day, domain, row), sessions) in &tls {
            let (_, counts) = of_domain.entry((*day, domain.clone())).or_default();
            let details = sessions.failures.iter().map(|(detail, count)| TlsDetail {
                count: *count,
                ..detail.clone()
            });
            counts.rows.push(TlsRow {
                successes: sessions.successes,
                failures: sessions.failures.values().sum(),
                details: details.collect(),
                ..row.clone()
            });
        }
        if of_domain.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new();
        for ((day, domain), (dmarc, tls)) in &of_domain {
            let number = self.rng.next_u64();
            if !dmarc.rows.is_empty() {
                batch.put(keys::dmarc_counts(*day, domain, number), dmarc.to_bytes());
            }
            if !tls.rows.is_empty() {
                batch.put(keys::tls_counts(*day, domain, number), tls.to_bytes());
            }
        }
        let committed = self.engine.commit(batch).await;
        let mut counts = self.reports.gathered.0.lock();
        if let Err(error) = committed {
            // They are counted on with.
            for (key, count) in dmarc {
                *counts.dmarc.entry(key).or_default() += count;
            }
            for (key, sessions) in tls {
                let known = counts.tls.entry(key).or_default();
                known.successes += sessions.successes;
                for (detail, count) in sessions.failures {
                    *known.failures.entry(detail).or_default() += count;
                }
            }
            return Err(error.into());
        }
        counts.written.1 += (dmarc.len() + tls.len()) as u64;
        Ok(())
    }
}

fn policy_row(evaluation: &TlsEvaluation) -> TlsRow {
    TlsRow {
        policy_type: match evaluation.policy {
            TlsPolicyKind::Tlsa => "tlsa",
            TlsPolicyKind::Sts => "sts",
            TlsPolicyKind::NoPolicyFound => "no-policy-found",
        }
        .to_owned(),
        policy_lines: first(&evaluation.policy_lines),
        policy_domain: evaluation.policy_domain.clone(),
        mx_patterns: first(&evaluation.mx_patterns),
        ..TlsRow::default()
    }
}

/// The first of others' lines.
fn first(lines: &[String]) -> Vec<String> {
    let mut octets = 0;
    let fits = |line: &&String| {
        octets += line.len();
        octets <= POLICY_OCTETS_MAX
    };
    lines.iter().take_while(fits).cloned().collect()
}

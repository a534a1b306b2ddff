//! Reports that are sent: once a day, to the domains that ask for them.
//!
//! Holds: the mail is in the queue in the transaction that takes the counts away, so a report is sent once, through crashes; a domain that nobody can
//! ask about is asked again for [`DAYS_MAX`] days, and forgotten then.
//! Other half: `gather` has counted.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use store::{
    Record as _,
    engine::{Assertion, Key, KeyRange, Page},
    keys::{self, Subspace},
};

use super::{
    Destination, DmarcWish, Head, ROWS_MAX, ReportSettings, Reporting,
    message::Letter,
    records::{DmarcCounts, DmarcRow, TlsCounts, TlsDetail, TlsRow},
};
use crate::{
    Core,
    mail::{forward::ServiceError, submission},
};

/// Domains that one round reports to.
const DOMAINS_PER_ROUND: usize = 1000;
/// Domains that are asked about at the same time.
const AT_ONCE: usize = 8;
/// Days that a report may be late.
const DAYS_MAX: u64 = 3;
/// Addresses that one report goes to; a domain may name more (RFC 7489 §6.2 asks for two at least).
const DESTINATIONS_MAX: usize = 5;
/// Rows of keys that one page of reading takes.
const ROWS_PER_PAGE: usize = 1000;
const DAY_SECONDS: i64 = 86_400;

/// The counts of one domain and day.
struct Due {
    day: u64,
    domain: String,
    keys: Vec<Key>,
}

/// What becomes of counts.
enum Fate {
    /// They go with mail in the queue, to these.
    Mail(Vec<String>, Bytes),
    Forget,
    Later,
}

impl Core {
    /// Sends the reports about days that are over. Returns how many went out.
    pub async fn send_reports(&self) -> Result<usize, ServiceError> {
        let Some(with) = self.reports.with.load_full() else {
            return Ok(0);
        };
        let (settings, reporting) = &*with;
        if !settings.send {
            return Ok(0);
        }
        let Some(from) = self.reports_from(settings).await? else {
            tracing::debug!("no reports are sent: there is no address to send them from");
            return Ok(0);
        };
        let mut sent = 0;
        for subspace in [Subspace::DmarcCounts, Subspace::TlsCounts] {
            let due = self.due_reports(subspace).await?;
            let each = stream::iter(due).map(|due| {
                let from = &from;
                async move {
                    let result = self
                        .report_on(subspace, &due, settings, from, &**reporting)
                        .await;
                    (due.domain, result)
                }
            });
            let results: Vec<_> = each.buffer_unordered(AT_ONCE).collect().await;
            for (domain, result) in results {
                match result {
                    Ok(was_sent) => sent += usize::from(was_sent),
                    Err(error) => tracing::warn!(domain, %error, "a report was not sent"),
                }
            }
        }
        Ok(sent)
    }

    /// The address that reports come from.
    async fn reports_from(
        &self,
        settings: &ReportSettings,
    ) -> Result<Option<String>, ServiceError> {
        if submission::is_address(&settings.contact) {
            return Ok(Some(settings.contact.clone()));
        }
        let rows = self
            .engine
            .scan(Page::first(keys::all(Subspace::Domain), 1).keys_only())
            .await
            .map_err(store::Error::from)?;
        Ok(rows.first().map(|(key, _)| {
            let name = String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned();
            format!("postmaster@{name}")
        }))
    }

    /// Domains with counts of days that are over.
    async fn due_reports(&self, subspace: Subspace) -> Result<Vec<Due>, store::Error> {
        let today = u64::try_from(self.clock.now().seconds() / DAY_SECONDS).unwrap_or(0);
        let mut due: BTreeMap<(u64, String), Vec<Key>> = BTreeMap::new();
        let mut range: KeyRange = keys::counts_before(subspace, today);
        loop {
            let rows = self
                .engine
                .scan(Page::first(range.clone(), ROWS_PER_PAGE).keys_only())
                .await?;
            for (key, _) in &rows {
                let Some((day, domain, _)) = keys::decode_counts(subspace, key) else {
                    continue;
                };
                let is_known = due.contains_key(&(day, domain.to_owned()));
                if is_known || due.len() < DOMAINS_PER_ROUND {
                    due.entry((day, domain.to_owned()))
                        .or_default()
                        .push(key.to_vec());
                }
            }
            let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS_PER_PAGE) else {
                break;
            };
            range.start = [last, &[0u8][..]].concat();
        }
        let due = due.into_iter();
        Ok(due
            .map(|((day, domain), keys)| Due { day, domain, keys })
            .collect())
    }

    /// Reports on one domain and day. Whether a report went out.
    async fn report_on(
        &self,
        subspace: Subspace,
        due: &Due,
        settings: &ReportSettings,
        from: &str,
        reporting: &dyn Reporting,
    ) -> Result<bool, ServiceError> {
        let mut first = None;
        let (mut dmarc, mut tls) = (Vec::new(), Vec::new());
        for key in &due.keys {
            let Some(bytes) = self.engine.get(key).await.map_err(store::Error::from)? else {
                continue;
            };
            let read = match subspace {
                Subspace::DmarcCounts => {
                    DmarcCounts::from_bytes(key, &bytes).map(|counts| dmarc.extend(counts.rows))
                }
                _ => TlsCounts::from_bytes(key, &bytes).map(|counts| tls.extend(counts.rows)),
            };
            // Invariant 5: a bad record goes, and the report is sent without it.
            if let Err(error) = read {
                tracing::error!(%error, "counts for a report are left out");
            }
            first.get_or_insert((key.clone(), bytes));
        }
        let Some((key, bytes)) = first else {
            return Ok(false);
        };
        let fate = match subspace {
            Subspace::DmarcCounts => {
                self.dmarc_report(due, merged_dmarc(dmarc), settings, from, reporting)
                    .await
            }
            _ => {
                self.tls_report(due, merged_tls(tls), settings, from, reporting)
                    .await
            }
        };
        let mail = match fate {
            Fate::Later => return Ok(false),
            Fate::Forget => None,
            Fate::Mail(to, octets) => Some((to, octets)),
        };
        // Another node may be at it: whoever takes the counts away sends.
        let fence = Assertion::Equals(key, bytes);
        let was_sent = mail.is_some();
        self.send_and_delete(from, mail, fence, &due.keys).await?;
        if was_sent {
            tracing::info!(domain = due.domain, day = due.day, "a report was sent");
        }
        Ok(was_sent)
    }

    fn head(&self, due: &Due, settings: &ReportSettings, from: &str) -> (Head, [u8; 16]) {
        let mut random = [0; 16];
        self.rng.fill(&mut random);
        let number = random.first_chunk::<8>().copied();
        let number = number.map_or(0, u64::from_be_bytes);
        let begin = i64::try_from(due.day).unwrap_or(0) * DAY_SECONDS;
        let organisation = match settings.organisation.as_str() {
            "" => self.hostname().to_string(),
            name => name.to_owned(),
        };
        let head = Head {
            organisation,
            contact: from.to_owned(),
            report_id: format!("{begin}.{number:016x}@{}", self.hostname()),
            begin,
            end: begin + DAY_SECONDS - 1,
        };
        (head, random)
    }

    /// What becomes of counts whose domain could not be asked about.
    fn late(&self, due: &Due) -> Fate {
        let today = u64::try_from(self.clock.now().seconds() / DAY_SECONDS).unwrap_or(0);
        match today.saturating_sub(due.day) > DAYS_MAX {
            true => Fate::Forget,
            false => Fate::Later,
        }
    }

    async fn dmarc_report(
        &self,
        due: &Due,
        rows: Vec<DmarcRow>,
        settings: &ReportSettings,
        from: &str,
        reporting: &dyn Reporting,
    ) -> Fate {
        let wish = match reporting.dmarc_wish(&due.domain).await {
            Err(_) => return self.late(due),
            Ok(None) => return Fate::Forget,
            Ok(Some(wish)) => wish,
        };
        let (head, random) = self.head(due, settings, from);
        let file = reporting.dmarc_file(&head, &wish, &rows);
        let fits = |destination: &Destination| match destination {
            Destination::Mail {
                address,
                octets_max,
            } if *octets_max == 0 || file.len() as u64 <= *octets_max => Some(address.clone()),
            Destination::Mail { .. } | Destination::Https(_) => None,
        };
        let to: Vec<String> = wish
            .destinations
            .iter()
            .filter_map(fits)
            .filter(|address| submission::is_address(address) && address.is_ascii())
            .take(DESTINATIONS_MAX)
            .collect();
        if to.is_empty() {
            return Fate::Forget;
        }
        let DmarcWish { domain, .. } = &wish;
        let letter = Letter {
            hostname: &self.hostname(),
            from,
            to: &to,
            domain,
            report_id: &head.report_id,
            title: "This is a DMARC aggregate report (RFC 7489, RFC 9990).",
            fields: String::new(),
            multipart: "mixed",
            file_type: "application/gzip",
            file_name: file_name(&self.hostname(), domain, &head, "xml"),
            file: &file,
            now: self.clock.now().seconds(),
            random,
        };
        let octets = letter.build();
        Fate::Mail(to, octets)
    }

    async fn tls_report(
        &self,
        due: &Due,
        rows: Vec<TlsRow>,
        settings: &ReportSettings,
        from: &str,
        reporting: &dyn Reporting,
    ) -> Fate {
        let Ok(destinations) = reporting.tls_wish(&due.domain).await else {
            return self.late(due);
        };
        let (head, random) = self.head(due, settings, from);
        let file = reporting.tls_file(&head, &rows);
        let mut to = Vec::new();
        let (mut tried, mut posted) = (0, 0);
        for destination in destinations.into_iter().take(DESTINATIONS_MAX) {
            match destination {
                Destination::Mail { address, .. } => {
                    if submission::is_address(&address) && address.is_ascii() {
                        to.push(address);
                    }
                }
                Destination::Https(url) => {
                    tried += 1;
                    match reporting.post(&url, file.clone().into()).await {
                        Ok(()) => posted += 1,
                        Err(error) => {
                            tracing::info!(
                                domain = due.domain,
                                error,
                                "a TLS report was not taken"
                            );
                        }
                    }
                }
            }
        }
        if to.is_empty() {
            return match tried > 0 && posted == 0 {
                true => self.late(due),
                false => Fate::Forget,
            };
        }
        let domain = &due.domain;
        let letter = Letter {
            hostname: &self.hostname(),
            from,
            to: &to,
            domain,
            report_id: &head.report_id,
            title: "This is an aggregate TLS report (RFC 8460).",
            // RFC 8460 §3: it goes out also where TLS fails, and the next report doesn't tell of it, or they would go on for
            // ever. Our own client does that for RFC 8689 §5, and so does a relay that knows it.
            fields: format!(
                "TLS-Report-Domain: {domain}\r\nTLS-Report-Submitter: {}\r\nTLS-Required: No\r\n",
                self.hostname()
            ),
            multipart: "report; report-type=\"tlsrpt\"",
            file_type: "application/tlsrpt+gzip",
            file_name: file_name(&self.hostname(), domain, &head, "json"),
            file: &file,
            now: self.clock.now().seconds(),
            random,
        };
        let octets = letter.build();
        Fate::Mail(to, octets)
    }
}

/// RFC 7489 §7.2.1.1, RFC 8460 §5.1
fn file_name(hostname: &str, domain: &str, head: &Head, extension: &str) -> String {
    let (begin, end) = (head.begin, head.end);
    let unique = head.report_id.split('@').next().unwrap_or_default();
    let unique = unique.rsplit('.').next().unwrap_or_default();
    format!("{hostname}!{domain}!{begin}!{end}!{unique}.{extension}.gz")
}

/// Rows that are alike are one; the ones with the most messages are kept.
fn merged_dmarc(rows: Vec<DmarcRow>) -> Vec<DmarcRow> {
    let mut counts: HashMap<DmarcRow, u64> = HashMap::new();
    for mut row in rows {
        let count = std::mem::take(&mut row.count);
        *counts.entry(row).or_default() += count;
    }
    let merged = counts
        .into_iter()
        .map(|(row, count)| DmarcRow { count, ..row });
    let mut merged: Vec<DmarcRow> = merged.collect();
    merged.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.cmp(b)));
    merged.truncate(ROWS_MAX);
    merged
}

fn merged_tls(rows: Vec<TlsRow>) -> Vec<TlsRow> {
    type Sum = (u64, u64, BTreeMap<TlsDetail, u64>);
    let mut sums: BTreeMap<TlsRow, Sum> = BTreeMap::new();
    for mut row in rows {
        let (successes, failures) = (
            std::mem::take(&mut row.successes),
            std::mem::take(&mut row.failures),
        );
        let details = std::mem::take(&mut row.details);
        let sum = sums.entry(row).or_default();
        sum.0 += successes;
        sum.1 += failures;
        for mut detail in details {
            let count = std::mem::take(&mut detail.count);
            *sum.2.entry(detail).or_default() += count;
        }
    }
    let merged = sums
        .into_iter()
        .map(|(row, (successes, failures, details))| {
            let details = details
                .into_iter()
                .map(|(detail, count)| TlsDetail { count, ..detail });
            TlsRow {
                successes,
                failures,
                details: details.take(ROWS_MAX).collect(),
                ..row
            }
        });
    merged.take(ROWS_MAX).collect()
}

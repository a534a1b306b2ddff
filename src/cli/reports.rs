//! Reports that came, as rows and as text.
//!
//! Holds: what others have written is shown without control characters, as the core keeps it.
//! Other half: `jmap_core::reports` has read them.

use std::{collections::BTreeMap, fmt::Write as _};

use jmap_core::{Caller, reports::records};

use super::{
    command::{FailureRow, PolicyRow, ReportKind, ReportRow, SourceRow},
    execute::{CommandError, Target},
    print::day,
};

/// The reports of the last days, newest last.
pub(super) async fn rows(
    target: &Target,
    who: &Caller,
    domain: Option<&str>,
    days: u64,
    has_rows: bool,
) -> Result<Vec<ReportRow>, CommandError> {
    let back = i64::try_from(days.saturating_mul(86_400)).unwrap_or(i64::MAX);
    let since = target.clock.now().seconds().saturating_sub(back);
    let reports = target.core.reports(who, domain, since).await?;
    Ok(reports
        .into_iter()
        .map(|report| row(report, has_rows))
        .collect())
}

fn row(report: records::ReportRecord, has_rows: bool) -> ReportRow {
    let passes = |row: &&records::DmarcRow| row.dkim_aligned || row.spf_aligned;
    let messages: u64 = report.dmarc.iter().map(|row| row.count).sum();
    let good: u64 = report
        .dmarc
        .iter()
        .filter(passes)
        .map(|row| row.count)
        .sum();
    let successes: u64 = report.tls.iter().map(|row| row.successes).sum();
    let failures: u64 = report.tls.iter().map(|row| row.failures).sum();
    let kind = match report.tls.is_empty() {
        true => ReportKind::Dmarc,
        false => ReportKind::Tls,
    };
    let (sources, policies) = match has_rows {
        true => (
            report.dmarc.into_iter().map(source).collect(),
            report.tls.into_iter().map(policy).collect(),
        ),
        false => (Vec::new(), Vec::new()),
    };
    ReportRow {
        domain: report.domain,
        kind,
        reporter: report.reporter,
        contact: report.contact,
        report_id: report.report_id,
        begin: report.begin,
        end: report.end,
        received_at: report.received_at,
        passed: good + successes,
        failed: messages - good + failures,
        is_cut: report.is_cut,
        sources,
        policies,
    }
}

fn source(row: records::DmarcRow) -> SourceRow {
    let auth = |row: records::AuthRow| format!("{} {}: {}", row.domain, row.which, row.result);
    SourceRow {
        address: row.source,
        messages: row.count,
        disposition: row.disposition,
        is_dkim_aligned: row.dkim_aligned,
        is_spf_aligned: row.spf_aligned,
        header_from: row.header_from,
        envelope_from: row.envelope_from,
        dkim: row.dkim.into_iter().map(auth).collect(),
        spf: row.spf.into_iter().map(auth).collect(),
    }
}

fn policy(row: records::TlsRow) -> PolicyRow {
    let failed = row.details.into_iter().map(|detail| FailureRow {
        result_type: detail.result_type,
        mx: detail.mx,
        sessions: detail.count,
        reason: detail.reason,
    });
    PolicyRow {
        policy_type: row.policy_type,
        policy_domain: row.policy_domain,
        successes: row.successes,
        failures: row.failures,
        failed: failed.collect(),
    }
}

/// A report on one line.
pub(super) fn line(row: &ReportRow) -> String {
    let kind = match row.kind {
        ReportKind::Dmarc => "dmarc",
        ReportKind::Tls => "tls",
    };
    let mut line = format!(
        "{}  {kind:<5}  {:<28} {:>8} passed {:>8} failed  {}",
        day(row.begin),
        row.domain,
        row.passed,
        row.failed,
        row.reporter
    );
    if row.is_cut {
        line.push_str("  (not all of it is kept)");
    }
    line
}

/// What all of them say: who sends in the domain's name and how it fared, and how mail to it was encrypted.
pub(super) fn together(rows: &[ReportRow]) -> String {
    if rows.is_empty() {
        return "there are no reports".to_owned();
    }
    let mut sources: BTreeMap<(&str, bool, bool, &str, &str), u64> = BTreeMap::new();
    for source in rows.iter().flat_map(|row| &row.sources) {
        let key = (
            source.address.as_str(),
            source.is_dkim_aligned,
            source.is_spf_aligned,
            source.disposition.as_str(),
            source.header_from.as_str(),
        );
        *sources.entry(key).or_default() += source.messages;
    }
    let mut sources: Vec<_> = sources.into_iter().collect();
    sources.sort_by_key(|(_, messages)| std::cmp::Reverse(*messages));
    let mut text = String::new();
    if !sources.is_empty() {
        let _ = writeln!(
            text,
            "{:<40} {:>9}  {:<5} {:<5} {:<11} from",
            "sent by", "messages", "dkim", "spf", "disposition"
        );
    }
    let verdict = |passes: bool| if passes { "pass" } else { "fail" };
    for ((address, dkim, spf, disposition, from), messages) in sources {
        let _ = writeln!(
            text,
            "{address:<40} {messages:>9}  {:<5} {:<5} {disposition:<11} {from}",
            verdict(dkim),
            verdict(spf)
        );
    }
    let mut policies: BTreeMap<(&str, &str), (u64, u64)> = BTreeMap::new();
    let mut failures: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
    for policy in rows.iter().flat_map(|row| &row.policies) {
        let key = (policy.policy_domain.as_str(), policy.policy_type.as_str());
        let sum = policies.entry(key).or_default();
        sum.0 += policy.successes;
        sum.1 += policy.failures;
        for failed in &policy.failed {
            let key = (
                failed.result_type.as_str(),
                failed.mx.as_str(),
                failed.reason.as_str(),
            );
            *failures.entry(key).or_default() += failed.sessions;
        }
    }
    for ((domain, kind), (good, bad)) in policies {
        let _ = writeln!(
            text,
            "TLS to {domain} under {kind}: {good} sessions were good, {bad} were not"
        );
    }
    for ((result, mx, reason), sessions) in failures {
        let _ = writeln!(text, "  {sessions} times {result} at {mx} {reason}");
    }
    text.trim_end().to_owned()
}

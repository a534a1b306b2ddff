//! Reports of other servers: who sends in a domain's name (DMARC), and how mail to it was encrypted (TLS-RPT); as sentences and numbers.

mod summary;

use http::Method;
use jmap_core::{access::Operation, reports::records::ReportRecord};
use serde_json::json;

use self::summary::{ReportSummary, summed};
use super::{CURSOR, LIMIT, handler};
use crate::{
    describe::{Described as _, choice, object},
    page::{self, Page},
    problem::{Kind, Problem},
    request::Request,
    table::{Answer, Outcome, Parameter, Route},
};

choice! {
    /// What a report is about.
    ReportKind {
        Dmarc = "dmarc",
        Tls = "tls",
    }
}

object! {
    answer
    /// Messages from one address that fared alike.
    ReportSource {
        address: String,
        messages: u64,
        /// What became of them: "none", "quarantine" or "reject".
        disposition: String,
        dkim_aligned: bool,
        spf_aligned: bool,
        header_from: String,
    }
}

object! {
    answer
    /// Sessions that failed alike.
    ReportFailure {
        policy_type: String,
        result: String,
        mx: String,
        sessions: u64,
        reason: String,
    }
}

object! {
    answer
    /// A report that came.
    Report {
        domain: String,
        kind: ReportKind,
        /// Who reports.
        reporter: String,
        contact: String,
        report_id: String,
        begin: String = {"format": "date-time"},
        end: String = {"format": "date-time"},
        received: String = {"format": "date-time"},
        /// Messages that passed DMARC, or sessions that kept to the policy; and the others.
        passed: u64,
        failed: u64,
        /// There was more in it than is kept.
        cut: bool,
        /// What it says, the most important first.
        sentences: Vec<String>,
        sources: Vec<ReportSource>,
        failures: Vec<ReportFailure>,
    }
}

/// Sentences of one report on what failed.
const SENTENCES_MAX: usize = 20;
/// Days that are looked back where it isn't said how many, and at most.
const DAYS_DEFAULT: u64 = 30;
const DAYS_MAX: u64 = 3650;

const FILTERS: &[Parameter] = &[
    Parameter {
        name: "domain",
        about: "Only reports on this domain.",
        schema: super::text,
    },
    Parameter {
        name: "kind",
        about: "Only reports of this kind.",
        schema: || json!({"type": "string", "enum": ReportKind::WORDS}),
    },
    Parameter {
        name: "days",
        about: "How many days back.",
        schema: || json!({"type": "integer", "minimum": 1, "maximum": DAYS_MAX, "default": DAYS_DEFAULT}),
    },
];

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/reports",
            ("Reports", "listReports"),
            "Lists reports of other servers, newest first",
            Operation::SeeReports,
            handler!(list),
        )
        .query(&[CURSOR, LIMIT])
        .query(FILTERS)
        .may_fail(&[Kind::NotFound, Kind::InvalidValue])
        .answers(|schemas| page::schema::<Report>(schemas, true)),
        Route::new(
            Method::GET,
            "/reports/summary",
            ("Reports", "summarizeReports"),
            "Adds up what other servers report, day by day and by address",
            Operation::SeeReports,
            handler!(summary),
        )
        .query(FILTERS)
        .may_fail(&[Kind::NotFound, Kind::InvalidValue])
        .answers(ReportSummary::schema),
    ]
}

/// The reports that are asked for.
async fn asked(request: &Request) -> Result<Vec<Report>, Problem> {
    let days = request.asked_as::<u64>("days")?.unwrap_or(DAYS_DEFAULT);
    if !(1..=DAYS_MAX).contains(&days) {
        let why = format!("`days` is between 1 and {DAYS_MAX}.");
        return Err(Problem::new(Kind::InvalidRequest, why));
    }
    let back = i64::try_from(days * 86_400).unwrap_or(i64::MAX);
    let since = request.site.clock.now().seconds().saturating_sub(back);
    let reports = request
        .core
        .reports(&request.who, request.asked("domain"), since)
        .await?;
    let mut reports: Vec<Report> = reports.into_iter().map(report).collect();
    if let Some(kind) = request.asked_as::<ReportKind>("kind")? {
        reports.retain(|report| report.kind == kind);
    }
    Ok(reports)
}

async fn list(request: &Request) -> Outcome {
    let reports = asked(request).await?;
    // Newest first: by what is left until the end of time.
    let page = Page::of(request, reports, |report| {
        let newest: String = report.end.bytes().map(backwards).collect();
        let id = format!("{}/{}/{}", report.domain, report.reporter, report.report_id);
        (newest, id)
    })?;
    let items = page.items.iter().map(|report| json!(report)).collect();
    Ok(Answer::ok(page::json_of(
        items,
        page.next,
        Some(page.total),
    )))
}

async fn summary(request: &Request) -> Outcome {
    Ok(Answer::ok(json!(summed(&asked(request).await?))))
}

/// A digit of a date such that later dates sort first.
fn backwards(octet: u8) -> char {
    match octet {
        b'0'..=b'9' => char::from(b'9' - (octet - b'0')),
        other => char::from(other),
    }
}

fn report(of: ReportRecord) -> Report {
    let is_tls = !of.tls.is_empty();
    let passes = |row: &jmap_core::reports::records::DmarcRow| row.dkim_aligned || row.spf_aligned;
    let sum = |all: &mut dyn Iterator<Item = u64>| all.fold(0_u64, u64::saturating_add);
    let good = sum(&mut of
        .dmarc
        .iter()
        .filter(|row| passes(row))
        .map(|row| row.count));
    let bad = sum(&mut of
        .dmarc
        .iter()
        .filter(|row| !passes(row))
        .map(|row| row.count));
    let kept = sum(&mut of.tls.iter().map(|row| row.successes));
    let broken = sum(&mut of.tls.iter().map(|row| row.failures));
    let sentences = match is_tls {
        true => tls_sentences(&of, kept, broken),
        false => dmarc_sentences(&of, good, bad),
    };
    Report {
        kind: if is_tls {
            ReportKind::Tls
        } else {
            ReportKind::Dmarc
        },
        begin: super::date_text(of.begin),
        end: super::date_text(of.end),
        received: super::date_text(of.received_at),
        passed: good.saturating_add(kept),
        failed: bad.saturating_add(broken),
        cut: of.is_cut,
        sentences,
        sources: of
            .dmarc
            .into_iter()
            .map(|row| ReportSource {
                address: row.source,
                messages: row.count,
                disposition: row.disposition,
                dkim_aligned: row.dkim_aligned,
                spf_aligned: row.spf_aligned,
                header_from: row.header_from,
            })
            .collect(),
        failures: of
            .tls
            .into_iter()
            .flat_map(|row| {
                let policy_type = row.policy_type;
                row.details.into_iter().map(move |detail| ReportFailure {
                    policy_type: policy_type.clone(),
                    result: detail.result_type,
                    mx: detail.mx,
                    sessions: detail.count,
                    reason: detail.reason,
                })
            })
            .collect(),
        domain: of.domain,
        reporter: of.reporter,
        contact: of.contact,
        report_id: of.report_id,
    }
}

fn count(number: u64, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    }
}

fn dmarc_sentences(of: &ReportRecord, good: u64, bad: u64) -> Vec<String> {
    let (who, domain) = (&of.reporter, &of.domain);
    let all = count(good.saturating_add(bad), "message");
    let mut sentences = vec![match bad {
        0 => format!("{who} got {all} in the name of {domain}, and all of them passed DMARC."),
        bad => format!("{who} got {all} in the name of {domain}, of which {bad} failed DMARC."),
    }];
    let mut failed: Vec<_> = of
        .dmarc
        .iter()
        .filter(|row| !row.dkim_aligned && !row.spf_aligned)
        .collect();
    failed.sort_by_key(|row| std::cmp::Reverse(row.count));
    let fate = |disposition: &str| match disposition {
        "reject" => "refused",
        "quarantine" => "put into quarantine",
        _ => "let through",
    };
    sentences.extend(failed.iter().take(SENTENCES_MAX).map(|row| {
        format!(
            "{} from {}: neither a signature nor SPF speaks for {}; {}.",
            count(row.count, "message"),
            row.source,
            row.header_from,
            fate(&row.disposition)
        )
    }));
    sentences
}

fn tls_sentences(of: &ReportRecord, kept: u64, broken: u64) -> Vec<String> {
    let (who, domain) = (&of.reporter, &of.domain);
    let all = count(kept.saturating_add(broken), "session");
    let mut sentences = vec![match broken {
        0 => format!(
            "{who} had {all} with the servers of {domain}, all encrypted as they have to be."
        ),
        broken => format!(
            "{who} had {all} with the servers of {domain}, of which {broken} were not encrypted as they have to be."
        ),
    }];
    let details = of.tls.iter().flat_map(|row| &row.details);
    sentences.extend(details.take(SENTENCES_MAX).map(|detail| {
        let reason = match detail.reason.is_empty() {
            true => String::new(),
            false => format!(" ({})", detail.reason),
        };
        format!(
            "{} at {}: {}{reason}.",
            count(detail.count, "session"),
            detail.mx,
            detail.result_type
        )
    }));
    sentences
}

#[cfg(test)]
mod tests {
    use jmap_core::reports::records::{DmarcRow, TlsDetail, TlsRow};

    use super::*;

    #[test]
    fn reports_in_sentences() {
        let of = ReportRecord {
            domain: "example.org".into(),
            reporter: "google.com".into(),
            ..ReportRecord::default()
        };
        let row = |count, passes, disposition: &str| DmarcRow {
            source: "192.0.2.1".into(),
            count,
            disposition: disposition.into(),
            dkim_aligned: passes,
            header_from: "example.org".into(),
            ..DmarcRow::default()
        };
        let dmarc = report(ReportRecord {
            dmarc: vec![row(10, true, "none"), row(1, false, "reject")],
            ..of.clone()
        });
        assert_eq!((dmarc.passed, dmarc.failed), (10, 1));
        assert_eq!(
            dmarc.sentences,
            [
                "google.com got 11 messages in the name of example.org, of which 1 failed DMARC.",
                "1 message from 192.0.2.1: neither a signature nor SPF speaks for example.org; refused.",
            ]
        );
        let tls = report(ReportRecord {
            tls: vec![TlsRow {
                policy_type: "sts".into(),
                successes: 4,
                failures: 2,
                details: vec![TlsDetail {
                    result_type: "certificate-expired".into(),
                    mx: "mx.example.org".into(),
                    count: 2,
                    ..TlsDetail::default()
                }],
                ..TlsRow::default()
            }],
            ..of
        });
        assert_eq!((tls.passed, tls.failed), (4, 2));
        assert_eq!(
            tls.sentences,
            [
                "google.com had 6 sessions with the servers of example.org, of which 2 were not encrypted as they have to be.",
                "2 sessions at mx.example.org: certificate-expired.",
            ]
        );
    }
}

//! All reports of some time, added up: day by day, and by address.

use std::collections::BTreeMap;

use super::{Report, ReportKind, count};
use crate::describe::object;

object! {
    answer
    /// What reports say of the time that ends on one day.
    ReportDay {
        day: String = {"format": "date"},
        /// Messages that passed DMARC, and the others.
        dmarc_passed: u64,
        dmarc_failed: u64,
        /// Sessions that kept to the policy, and the others.
        tls_passed: u64,
        tls_failed: u64,
    }
}

object! {
    answer
    /// Messages from one address.
    SourceSum {
        address: String,
        passed: u64,
        failed: u64,
    }
}

object! {
    answer
    /// All reports of some time, taken together.
    ReportSummary {
        /// Those that something is reported of, oldest first.
        days: Vec<ReportDay>,
        /// The addresses that sent most, the first 50.
        sources: Vec<SourceSum>,
        sentences: Vec<String>,
    }
}

/// Addresses of a summary.
const SOURCES_MAX: usize = 50;

/// All reports, added up.
pub fn summed(reports: &[Report]) -> ReportSummary {
    let mut days: BTreeMap<&str, ReportDay> = BTreeMap::new();
    let mut sources: BTreeMap<&str, SourceSum> = BTreeMap::new();
    let (mut dmarc, mut tls) = ((0_u64, 0_u64), (0_u64, 0_u64));
    for report in reports {
        // Of a moment in RFC 3339, what is in front of the T.
        let day = report.end.split('T').next().unwrap_or_default();
        let of_day = days.entry(day).or_insert_with(|| ReportDay {
            day: day.to_owned(),
            dmarc_passed: 0,
            dmarc_failed: 0,
            tls_passed: 0,
            tls_failed: 0,
        });
        let (passed, failed, all) = match report.kind {
            ReportKind::Dmarc => (
                &mut of_day.dmarc_passed,
                &mut of_day.dmarc_failed,
                &mut dmarc,
            ),
            ReportKind::Tls => (&mut of_day.tls_passed, &mut of_day.tls_failed, &mut tls),
        };
        *passed = passed.saturating_add(report.passed);
        *failed = failed.saturating_add(report.failed);
        all.0 = all.0.saturating_add(report.passed);
        all.1 = all.1.saturating_add(report.failed);
        for source in &report.sources {
            let sum = sources.entry(&source.address).or_insert_with(|| SourceSum {
                address: source.address.clone(),
                passed: 0,
                failed: 0,
            });
            let place = match source.dkim_aligned || source.spf_aligned {
                true => &mut sum.passed,
                false => &mut sum.failed,
            };
            *place = place.saturating_add(source.messages);
        }
    }
    let mut sources: Vec<SourceSum> = sources.into_values().collect();
    sources.sort_by_key(|of| std::cmp::Reverse(of.passed.saturating_add(of.failed)));
    sources.truncate(SOURCES_MAX);
    let sentence = |(good, bad): (u64, u64), what: &str, failed: &str| match (good, bad) {
        (0, 0) => format!("No {what}s were reported."),
        (good, 0) => format!("{} were reported, and none {failed}.", count(good, what)),
        (good, bad) => format!(
            "{} were reported, of which {bad} {failed}.",
            count(good.saturating_add(bad), what)
        ),
    };
    ReportSummary {
        days: days.into_values().collect(),
        sources,
        sentences: vec![
            sentence(dmarc, "message", "failed DMARC"),
            sentence(tls, "session", "did without the TLS that the policy wants"),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::{super::ReportSource, *};

    fn report(kind: ReportKind, end: &str, passed: u64, failed: u64) -> Report {
        let source = |messages, passes| ReportSource {
            address: "192.0.2.1".into(),
            messages,
            disposition: "none".into(),
            dkim_aligned: passes,
            spf_aligned: false,
            header_from: "example.org".into(),
        };
        Report {
            domain: "example.org".into(),
            kind,
            reporter: "example.net".into(),
            contact: String::new(),
            report_id: String::new(),
            begin: String::new(),
            end: end.into(),
            received: String::new(),
            passed,
            failed,
            cut: false,
            sentences: Vec::new(),
            sources: match kind {
                ReportKind::Dmarc => vec![source(passed, true), source(failed, false)],
                ReportKind::Tls => Vec::new(),
            },
            failures: Vec::new(),
        }
    }

    #[test]
    fn reports_are_added_up() {
        let sum = summed(&[
            report(ReportKind::Dmarc, "2030-01-02T00:00:00Z", 10, 1),
            report(ReportKind::Dmarc, "2030-01-02T10:00:00Z", 5, 0),
            report(ReportKind::Tls, "2030-01-01T00:00:00Z", 4, 0),
        ]);
        let days: Vec<_> = sum
            .days
            .iter()
            .map(|of| (&*of.day, of.dmarc_passed, of.dmarc_failed, of.tls_passed))
            .collect();
        assert_eq!(days, [("2030-01-01", 0, 0, 4), ("2030-01-02", 15, 1, 0)]);
        let source = &sum.sources[0];
        assert_eq!((source.passed, source.failed), (15, 1));
        assert_eq!(
            sum.sentences,
            [
                "16 messages were reported, of which 1 failed DMARC.",
                "4 sessions were reported, and none did without the TLS that the policy wants.",
            ]
        );
        let nothing = summed(&[]);
        assert_eq!(nothing.sentences[0], "No messages were reported.");
    }
}

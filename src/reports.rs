//! Reports, between the core, which keeps and counts, and `mail-auth-adapter`, which knows the formats and asks the DNS.
//!
//! Holds: each side's types stay its own; a TLS report is posted to public addresses alone, as pushes are.
//! Other half: `jmap_core::reports`.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use jmap_core::{
    Core,
    push::{
        PushRequest, PushTransport,
        crypto::{EndpointPolicy, PushEndpoint},
    },
    reports::{
        Destination, DmarcWish, File, Head, NoAnswer, ReportSettings, Reporting,
        records::{AuthRow, DmarcRow, ReportRecord, TlsDetail, TlsRow},
    },
};
use mail_auth_adapter::{
    Verifier,
    report::{self, Found, tlsrpt},
};

use crate::{config::Config, push_transport::HttpPushTransport, wire};

/// Lets the core read and send reports.
pub fn start(core: &Core, config: &Config) {
    let settings = ReportSettings {
        send: config.reports.send,
        organisation: config.reports.organisation.clone(),
        contact: config.reports.contact.clone(),
        addresses: config.reports.addresses.clone(),
    };
    let policy = wire::endpoint_policy(&config.push);
    let reporter = Reporter {
        verifier: wire::verifier(&config.authentication),
        policy,
        transport: HttpPushTransport::new(policy)
            .inspect_err(|error| tracing::warn!(%error, "TLS reports can't be posted"))
            .ok(),
    };
    core.report_with(settings, Arc::new(reporter));
}

struct Reporter {
    verifier: Verifier,
    policy: EndpointPolicy,
    transport: Option<HttpPushTransport>,
}

impl std::fmt::Debug for Reporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reporter(..)")
    }
}

#[async_trait]
impl Reporting for Reporter {
    fn read(&self, files: &[File<'_>]) -> Result<Option<ReportRecord>, String> {
        let files: Vec<report::File<'_>> = files.iter().map(of_mail).collect();
        match report::read(&files) {
            Ok(None) => Ok(None),
            Ok(Some(Found::Dmarc(found))) => Ok(Some(dmarc_record(*found))),
            Ok(Some(Found::Tls(found))) => Ok(Some(tls_record(*found))),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn dmarc_wish(&self, domain: &str) -> Result<Option<DmarcWish>, NoAnswer> {
        let wish = self.verifier.dmarc_wish(domain).await;
        let wish = wish.map_err(|report::NoAnswer| NoAnswer)?;
        Ok(wish.map(|wish| DmarcWish {
            domain: wish.domain,
            policy: wish.policy.to_owned(),
            subdomain_policy: wish.subdomain_policy.to_owned(),
            is_dkim_strict: wish.is_dkim_strict,
            is_spf_strict: wish.is_spf_strict,
            destinations: wish.destinations.into_iter().map(destination).collect(),
        }))
    }

    async fn tls_wish(&self, domain: &str) -> Result<Vec<Destination>, NoAnswer> {
        let wish = self.verifier.tls_wish(domain).await;
        let wish = wish.map_err(|report::NoAnswer| NoAnswer)?;
        Ok(wish.into_iter().map(destination).collect())
    }

    fn dmarc_file(&self, head: &Head, wish: &DmarcWish, rows: &[DmarcRow]) -> Vec<u8> {
        report::gzip(dmarc_report(head, wish, rows).to_xml().as_bytes())
    }

    fn tls_file(&self, head: &Head, rows: &[TlsRow]) -> Vec<u8> {
        report::gzip(tls_text(&tls_report(head, rows)).as_bytes())
    }

    async fn post(&self, url: &str, file: Bytes) -> Result<(), String> {
        let Some(transport) = &self.transport else {
            return Err("there is nothing to post it with".to_owned());
        };
        let endpoint = PushEndpoint::parse(url, self.policy).map_err(|error| error.to_string())?;
        let request = PushRequest {
            endpoint,
            // RFC 8460 §5.2
            headers: vec![("content-type", "application/tlsrpt+gzip".to_owned())],
            body: file,
        };
        let response = transport.post(request).await;
        match response.map_err(|error| error.to_string())?.status {
            200..=299 => Ok(()),
            status => Err(format!("the answer was {status}")),
        }
    }
}

fn of_mail<'x>(file: &'x File<'_>) -> report::File<'x> {
    report::File {
        media_type: file.media_type,
        name: file.name,
        octets: (&*file.octets).into(),
    }
}

fn destination(found: report::Destination) -> Destination {
    match found {
        report::Destination::Mail(address, octets_max) => Destination::Mail {
            address,
            octets_max,
        },
        report::Destination::Https(url) => Destination::Https(url),
    }
}

fn seconds(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

fn dmarc_record(found: report::DmarcReport) -> ReportRecord {
    let meta = found.report_metadata;
    ReportRecord {
        domain: found.policy_published.domain,
        reporter: meta.org_name,
        contact: meta.email,
        report_id: meta.report_id,
        begin: seconds(meta.date_range.begin),
        end: seconds(meta.date_range.end),
        dmarc: found.record.into_iter().map(dmarc_row).collect(),
        ..ReportRecord::default()
    }
}

fn dmarc_row(found: report::Record) -> DmarcRow {
    let evaluated = found.row.policy_evaluated;
    let auth = |domain: String, which: String, result: String| AuthRow {
        domain,
        which,
        result,
    };
    DmarcRow {
        source: found
            .row
            .source_ip
            .map(|ip| ip.to_string())
            .unwrap_or_default(),
        count: u64::from(found.row.count),
        disposition: evaluated.disposition.to_string(),
        dkim_aligned: evaluated.dkim == report::Aligned::Pass,
        spf_aligned: evaluated.spf == report::Aligned::Pass,
        header_from: found.identifiers.header_from,
        envelope_from: found.identifiers.envelope_from,
        dkim: found
            .auth_results
            .dkim
            .into_iter()
            .map(|dkim| auth(dkim.domain, dkim.selector, dkim.result.to_string()))
            .collect(),
        spf: found
            .auth_results
            .spf
            .into_iter()
            .map(|spf| {
                let scope = match spf.scope {
                    report::SPFDomainScope::Helo => "helo",
                    report::SPFDomainScope::MailFrom => "mfrom",
                    report::SPFDomainScope::Unspecified => "",
                };
                auth(spf.domain, scope.to_owned(), spf.result.to_string())
            })
            .collect(),
        is_overridden: !evaluated.reason.is_empty(),
    }
}

fn tls_record(found: report::TlsReport) -> ReportRecord {
    let policy_name = |policy: tlsrpt::PolicyType| match policy {
        tlsrpt::PolicyType::Tlsa => "tlsa",
        tlsrpt::PolicyType::Sts => "sts",
        tlsrpt::PolicyType::NoPolicyFound => "no-policy-found",
        tlsrpt::PolicyType::Other => "other",
    };
    let domain = found.policies.first();
    let domain = domain.map(|policy| policy.policy.policy_domain.clone());
    let rows = found.policies.into_iter().map(|policy| TlsRow {
        policy_type: policy_name(policy.policy.policy_type).to_owned(),
        policy_lines: policy.policy.policy_string,
        policy_domain: policy.policy.policy_domain,
        mx_patterns: policy.policy.mx_host,
        successes: u64::from(policy.summary.total_success),
        failures: u64::from(policy.summary.total_failure),
        details: policy
            .failure_details
            .into_iter()
            .map(|detail| TlsDetail {
                result_type: result_name(detail.result_type),
                sending_address: detail.sending_mta_ip.map(|ip| ip.to_string()),
                mx: detail.receiving_mx_hostname.unwrap_or_default(),
                address: detail.receiving_ip.map(|ip| ip.to_string()),
                count: u64::from(detail.failed_session_count),
                reason: detail
                    .failure_reason_code
                    .or(detail.additional_information)
                    .unwrap_or_default(),
            })
            .collect(),
    });
    ReportRecord {
        domain: domain.unwrap_or_default(),
        reporter: found.organization_name.unwrap_or_default(),
        contact: found.contact_info.unwrap_or_default(),
        report_id: found.report_id,
        begin: found.date_range.start_datetime.to_timestamp(),
        end: found.date_range.end_datetime.to_timestamp(),
        tls: rows.collect(),
        ..ReportRecord::default()
    }
}

/// The name of RFC 8460 §4.3.
fn result_name(result: tlsrpt::ResultType) -> String {
    let name = serde_json::to_value(result).ok();
    let name = name.as_ref().and_then(|name| name.as_str());
    name.unwrap_or("other").to_owned()
}

fn dmarc_report(head: &Head, wish: &DmarcWish, rows: &[DmarcRow]) -> report::DmarcReport {
    let disposition = |name: &str| match name {
        "quarantine" => report::Disposition::Quarantine,
        "reject" => report::Disposition::Reject,
        _ => report::Disposition::None,
    };
    let alignment = |is_strict: bool| match is_strict {
        true => report::Alignment::Strict,
        false => report::Alignment::Relaxed,
    };
    report::DmarcReport {
        version: 1.0,
        report_metadata: report::ReportMetadata {
            org_name: head.organisation.clone(),
            email: head.contact.clone(),
            report_id: head.report_id.clone(),
            date_range: report::DateRange {
                begin: u64::try_from(head.begin).unwrap_or(0),
                end: u64::try_from(head.end).unwrap_or(0),
            },
            ..report::ReportMetadata::default()
        },
        policy_published: report::PolicyPublished {
            domain: wish.domain.clone(),
            adkim: alignment(wish.is_dkim_strict),
            aspf: alignment(wish.is_spf_strict),
            p: disposition(&wish.policy),
            sp: disposition(&wish.subdomain_policy),
            ..report::PolicyPublished::default()
        },
        record: rows.iter().map(record_of).collect(),
        extensions: Vec::new(),
    }
}

fn record_of(row: &DmarcRow) -> report::Record {
    let aligned = |passes: bool| match passes {
        true => report::Aligned::Pass,
        false => report::Aligned::Fail,
    };
    let reason = report::PolicyOverrideReason {
        type_: report::PolicyOverride::LocalPolicy,
        comment: None,
    };
    report::Record {
        row: report::Row {
            source_ip: row.source.parse().ok(),
            count: u32::try_from(row.count).unwrap_or(u32::MAX),
            policy_evaluated: report::PolicyEvaluated {
                disposition: match row.disposition.as_str() {
                    "quarantine" => report::ActionDisposition::Quarantine,
                    "reject" => report::ActionDisposition::Reject,
                    _ => report::ActionDisposition::None,
                },
                dkim: aligned(row.dkim_aligned),
                spf: aligned(row.spf_aligned),
                reason: row.is_overridden.then_some(reason).into_iter().collect(),
            },
        },
        identifiers: report::Identifier {
            envelope_to: None,
            envelope_from: row.envelope_from.clone(),
            header_from: row.header_from.clone(),
        },
        auth_results: report::AuthResult {
            dkim: row.dkim.iter().map(dkim_of).collect(),
            spf: row.spf.iter().map(spf_of).collect(),
        },
        extensions: Vec::new(),
    }
}

fn dkim_of(row: &AuthRow) -> report::DKIMAuthResult {
    report::DKIMAuthResult {
        domain: row.domain.clone(),
        selector: row.which.clone(),
        result: match row.result.as_str() {
            "pass" => report::DkimResult::Pass,
            "fail" => report::DkimResult::Fail,
            "policy" => report::DkimResult::Policy,
            "neutral" => report::DkimResult::Neutral,
            "temperror" => report::DkimResult::TempError,
            "permerror" => report::DkimResult::PermError,
            _ => report::DkimResult::None,
        },
        human_result: None,
    }
}

fn spf_of(row: &AuthRow) -> report::SPFAuthResult {
    report::SPFAuthResult {
        domain: row.domain.clone(),
        // Of the null reverse-path, it is the name of EHLO that stands in its place.
        scope: match row.which.as_str() {
            "mfrom" => report::SPFDomainScope::MailFrom,
            _ => report::SPFDomainScope::Unspecified,
        },
        result: match row.result.as_str() {
            "pass" => report::SpfResult::Pass,
            "fail" => report::SpfResult::Fail,
            "softfail" => report::SpfResult::SoftFail,
            "neutral" => report::SpfResult::Neutral,
            "temperror" => report::SpfResult::TempError,
            "permerror" => report::SpfResult::PermError,
            _ => report::SpfResult::None,
        },
        human_result: None,
    }
}

fn tls_report(head: &Head, rows: &[TlsRow]) -> report::TlsReport {
    let number = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    report::TlsReport {
        organization_name: Some(head.organisation.clone()),
        date_range: tlsrpt::DateRange::from_timestamps(head.begin, head.end),
        contact_info: Some(head.contact.clone()),
        report_id: head.report_id.clone(),
        policies: rows
            .iter()
            .map(|row| tlsrpt::Policy {
                policy: tlsrpt::PolicyDetails {
                    policy_type: match row.policy_type.as_str() {
                        "tlsa" => tlsrpt::PolicyType::Tlsa,
                        "sts" => tlsrpt::PolicyType::Sts,
                        _ => tlsrpt::PolicyType::NoPolicyFound,
                    },
                    policy_string: row.policy_lines.clone(),
                    policy_domain: row.policy_domain.clone(),
                    mx_host: row.mx_patterns.clone(),
                },
                summary: tlsrpt::Summary {
                    total_success: number(row.successes),
                    total_failure: number(row.failures),
                },
                failure_details: row.details.iter().map(failure_of).collect(),
            })
            .collect(),
    }
}

/// The JSON of a report. What isn't known is left out: RFC 8460 §4.4 has no nulls.
fn tls_text(report: &report::TlsReport) -> String {
    let mut value = serde_json::to_value(report).unwrap_or_default();
    remove_nulls(&mut value);
    value.to_string()
}

fn remove_nulls(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(remove_nulls);
        }
        serde_json::Value::Array(list) => list.iter_mut().for_each(remove_nulls),
        _ => {}
    }
}

fn failure_of(detail: &TlsDetail) -> tlsrpt::FailureDetails {
    let result = serde_json::Value::String(detail.result_type.clone());
    let address = |text: &Option<String>| text.as_ref().and_then(|text| text.parse().ok());
    tlsrpt::FailureDetails {
        result_type: serde_json::from_value(result).unwrap_or_default(),
        sending_mta_ip: address(&detail.sending_address),
        receiving_mx_hostname: Some(detail.mx.clone()),
        receiving_ip: address(&detail.address),
        failed_session_count: u32::try_from(detail.count).unwrap_or(u32::MAX),
        failure_reason_code: Some(detail.reason.clone()).filter(|reason| !reason.is_empty()),
        ..tlsrpt::FailureDetails::default()
    }
}

#[cfg(test)]
mod tests;

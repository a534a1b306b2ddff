//! What the DNS really has, compared with what it should have; a plain sentence for each thing to mend.
//!
//! Holds: nothing is changed; a name server that doesn't answer is said to be one, and not taken for a missing record.
//! Other half: `records` has what should be there.

use std::{collections::BTreeSet, net::IpAddr};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};
use jmap_core::directory::dkim::records::DkimState;
use mail_auth_adapter::{
    Dns, Envelope, Identity, Outcome, Verifier,
    dns::{LookupError, RecordData},
};
use serde::{Deserialize, Serialize};

use super::records::{Data, Facts, Purpose, Record};

/// Questions to the DNS at once.
const QUESTIONS_AT_ONCE: usize = 8;
/// Addresses of the server that are looked at.
const ADDRESSES_MAX: usize = 8;
/// Characters of a record that is shown because it is another.
const SHOWN_CHARACTERS_MAX: usize = 120;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    Ok,
    Missing,
    Different,
    /// The DNS doesn't tell.
    Unknown,
}

/// What was found out about one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The type of the record, or what was looked at.
    pub what: String,
    pub name: String,
    pub status: Status,
    /// Mail goes wrong unless it is mended.
    pub is_needed: bool,
    /// What to do, or what it is good for.
    pub sentence: String,
}

impl Finding {
    pub fn is_wrong(&self) -> bool {
        self.is_needed && self.status != Status::Ok
    }
}

/// Gets MTA-STS policies.
#[async_trait]
pub trait PolicyHost: Send + Sync {
    /// The file of a domain. `Err`: why it can't be had.
    async fn policy(&self, domain: &str) -> Result<String, String>;
}

/// Looks at one domain.
pub struct Checker<'c> {
    pub dns: &'c Dns,
    pub verifier: &'c Verifier,
    pub policy: &'c dyn PolicyHost,
    pub facts: &'c Facts,
    pub domain: &'c str,
}

impl Checker<'_> {
    /// The server's own name first, then record by record.
    pub async fn check(&self, records: &[Record]) -> Vec<Finding> {
        let host = &self.facts.hostname;
        let (addresses, mut findings) = self.host().await;
        for address in &addresses {
            findings.push(self.reverse(*address).await);
        }
        let questions: Vec<BoxFuture<'_, Finding>> = records
            .iter()
            .map(|record| self.record(record, &addresses).boxed())
            .collect();
        let answers = stream::iter(questions).buffered(QUESTIONS_AT_ONCE);
        let of_records: Vec<Finding> = answers.collect().await;
        let has_policy = records.iter().zip(&of_records).any(|(record, found)| {
            record.purpose == Purpose::StsId && found.status != Status::Missing
        });
        findings.extend(of_records);
        for address in &addresses {
            findings.push(self.spf(*address).await);
        }
        if let Some(text) = self.facts.policy.text(host) {
            findings.push(self.policy(&text, has_policy).await);
        }
        findings.push(self.dnssec().await);
        findings
    }

    /// The addresses of the server's name.
    async fn host(&self) -> (Vec<IpAddr>, Vec<Finding>) {
        let host = &self.facts.hostname;
        let found = self.addresses(host).await;
        let (status, sentence) = match &found {
            Ok(addresses) => (Status::Ok, format!("{host} is at {}", list(addresses))),
            Err((status, why)) => (
                *status,
                format!(
                    "mail can't be brought to {host}: {why}; publish an A or AAAA record with this server's address"
                ),
            ),
        };
        let finding = finding("A/AAAA", host, status, true, sentence);
        let mut addresses: Vec<IpAddr> = found.unwrap_or_default().into_iter().collect();
        addresses.truncate(ADDRESSES_MAX);
        (addresses, vec![finding])
    }

    async fn addresses(&self, name: &str) -> Result<BTreeSet<IpAddr>, (Status, String)> {
        let (v4, v6) = tokio::join!(self.dns.a(name), self.dns.aaaa(name));
        let failed = |error: &LookupError| (status_of(error), error.to_string());
        let error = v4.as_ref().err().or(v6.as_ref().err()).map(failed);
        let both = [v4, v6]
            .into_iter()
            .flatten()
            .flat_map(|answer| answer.records);
        let both: BTreeSet<IpAddr> = both.collect();
        match (both.is_empty(), error) {
            (true, Some(error)) => Err(error),
            _ => Ok(both),
        }
    }

    /// RFC 1912 §2.1: many servers refuse mail from an address without a name, or with one that leads elsewhere.
    async fn reverse(&self, address: IpAddr) -> Finding {
        let host = &self.facts.hostname;
        let (status, sentence) = match self.dns.ptr(address).await {
            Ok(answer) if answer.records.contains(host) => {
                (Status::Ok, format!("{address} has the name {host}"))
            }
            Ok(answer) => (
                Status::Different,
                format!(
                    "{address} has the name {}; ask whoever gave you the address to make it {host}",
                    answer.records.join(", ")
                ),
            ),
            Err(error) => (
                status_of(&error),
                format!(
                    "{address} has no name: {error}; ask whoever gave you the address for a PTR record with {host}"
                ),
            ),
        };
        finding("PTR", &address.to_string(), status, true, sentence)
    }

    async fn record(&self, record: &Record, addresses: &[IpAddr]) -> Finding {
        if let Purpose::StsHost | Purpose::ClientHost = record.purpose {
            return self.alias(record, addresses).await;
        }
        let found = self.dns.look_up(&record.name, record.kind()).await;
        let (status, sentence) = match found {
            Ok(answer) => judge(record, &answer.records),
            Err(LookupError::NotFound(_)) => (Status::Missing, missing(record)),
            Err(error) => no_answer(&error),
        };
        // Worse than none: senders that look at it refuse to send.
        let does_harm = record.purpose == Purpose::Tlsa && status == Status::Different;
        let is_needed = does_harm || record.is_needed();
        finding(
            record.kind().name(),
            &record.name,
            status,
            is_needed,
            sentence,
        )
    }

    /// A name that leads to this server, as an alias or by addresses of its own.
    async fn alias(&self, record: &Record, ours: &[IpAddr]) -> Finding {
        let name = &record.name;
        let (status, sentence) = match self.addresses(name).await {
            Ok(theirs) if !ours.is_empty() && theirs.iter().any(|ip| ours.contains(ip)) => {
                (Status::Ok, format!("{name} leads to this server"))
            }
            Ok(theirs) => (
                Status::Different,
                format!(
                    "{name} leads to {}, which is not this server; {}",
                    list(&theirs),
                    publish(record)
                ),
            ),
            Err((Status::Missing, _)) => (Status::Missing, missing(record)),
            Err((status, why)) => (status, why),
        };
        finding("CNAME", name, status, false, sentence)
    }

    /// Whether mail of the domain from this server passes (RFC 7208).
    async fn spf(&self, address: IpAddr) -> Finding {
        let envelope = Envelope {
            peer: address,
            helo: &self.facts.hostname,
            mail_from: Some(&format!("postmaster@{}", self.domain)),
        };
        let message = Bytes::from(format!("From: postmaster@{}\r\n\r\n", self.domain));
        let verdict = self.verifier.verify(&envelope, &message).await;
        let mut results = verdict.spf.iter();
        let result = results.find(|spf| spf.identity == Identity::MailFrom);
        let outcome = result.map_or(Outcome::None, |spf| spf.finding.outcome);
        let (status, sentence) = match outcome {
            Outcome::Pass => (
                Status::Ok,
                format!("mail of {} may come from {address}", self.domain),
            ),
            Outcome::TempError => (Status::Unknown, "the DNS did not answer".to_owned()),
            Outcome::None => (
                Status::Missing,
                "nothing says where mail of the domain may come from: publish the SPF record"
                    .to_owned(),
            ),
            other => (
                Status::Different,
                format!(
                    "by the SPF record, mail of {} may not come from {address} ({}): add \"mx\", or \"ip{}:{address}\", in front of its \"all\"",
                    self.domain,
                    other.name(),
                    if address.is_ipv4() { 4 } else { 6 }
                ),
            ),
        };
        finding("SPF", &address.to_string(), status, true, sentence)
    }

    /// The policy as other servers see it (RFC 8461 §3.3).
    async fn policy(&self, ours: &str, is_announced: bool) -> Finding {
        let lines = |text: &str| -> Vec<String> {
            text.lines()
                .map(|line| line.trim().to_owned())
                .filter(|line| !line.is_empty())
                .collect()
        };
        let url = format!("https://mta-sts.{}/.well-known/mta-sts.txt", self.domain);
        let (status, sentence) = match self.policy.policy(self.domain).await {
            Ok(text) if lines(&text) == lines(ours) => (
                Status::Ok,
                "the policy is served, with a good certificate".to_owned(),
            ),
            Ok(_) => (
                Status::Different,
                format!(
                    "{url} has another policy than this server: let the name lead here, or take the record away"
                ),
            ),
            Err(why) => (
                Status::Missing,
                format!(
                    "other servers can't get {url}: {why}; it needs HTTPS on port 443, with a certificate for mta-sts.{}",
                    self.domain
                ),
            ),
        };
        finding("MTA-STS", self.domain, status, is_announced, sentence)
    }

    /// RFC 7672 §2.2: without DNSSEC, TLSA records are worth nothing.
    async fn dnssec(&self) -> Finding {
        let found = self.dns.mx(self.domain).await;
        let (status, sentence) = match found {
            Ok(answer) if answer.secure => (
                Status::Ok,
                "the zone is signed".to_owned(),
            ),
            Ok(_) => (
                Status::Missing,
                "the zone is not signed, or this server's name servers don't tell: with DNSSEC, nobody can lead mail elsewhere, and TLSA records count".to_owned(),
            ),
            Err(LookupError::NotFound(_)) => (
                Status::Unknown,
                "without an MX record it isn't known whether the zone is signed".to_owned(),
            ),
            Err(error) => no_answer(&error),
        };
        finding("DNSSEC", self.domain, status, false, sentence)
    }
}

fn finding(what: &str, name: &str, status: Status, is_needed: bool, sentence: String) -> Finding {
    Finding {
        what: what.to_owned(),
        name: name.to_owned(),
        status,
        is_needed,
        sentence,
    }
}

fn list<'a>(addresses: impl IntoIterator<Item = &'a IpAddr>) -> String {
    let texts: Vec<String> = addresses.into_iter().map(IpAddr::to_string).collect();
    texts.join(", ")
}

fn status_of(error: &LookupError) -> Status {
    match error {
        LookupError::NotFound(_) | LookupError::BadName => Status::Missing,
        LookupError::Bogus => Status::Different,
        LookupError::Temporary(_) => Status::Unknown,
    }
}

fn no_answer(error: &LookupError) -> (Status, String) {
    let sentence = match error {
        LookupError::Bogus => {
            "by DNSSEC the answer is forged: the signatures of the zone or the DS record of its parent are wrong, or the name server that is asked (`authentication.resolvers`) doesn't pass signatures on".to_owned()
        }
        other => format!("the DNS doesn't tell: {other}; try again"),
    };
    (status_of(error), sentence)
}

fn publish(record: &Record) -> String {
    format!(
        "publish: {}. IN {} {}",
        record.name,
        record.kind().name(),
        record.data_text()
    )
}

fn missing(record: &Record) -> String {
    let why = match record.purpose {
        Purpose::Exchanger => "other servers don't know where mail for the domain goes",
        Purpose::Spf => "other servers don't know that mail of the domain comes from here",
        Purpose::HeloSpf => "reports from this server may be taken for forged",
        Purpose::Dkim(DkimState::Active) => "signatures of the domain's mail can't be verified",
        Purpose::Dkim(DkimState::Waiting) => "the next key signs once it is published",
        Purpose::Dkim(DkimState::Retired) => {
            "the last key should stay published for mail that is on its way"
        }
        Purpose::Dmarc => "other servers don't know what to do with forged mail of the domain",
        Purpose::StsId | Purpose::StsHost => {
            "other servers don't know that mail for the domain can be encrypted"
        }
        Purpose::ClientHost | Purpose::ClientHash | Purpose::Service => {
            "some mail programs don't find the server by themselves"
        }
        Purpose::TlsReports => "nobody tells when mail can't be encrypted on its way here",
        Purpose::Tlsa => "other servers can't verify this server's certificate by DANE",
    };
    format!("{why}; {}", publish(record))
}

/// There are records of that name and type: whether one of them is ours.
fn judge(record: &Record, found: &[RecordData]) -> (Status, String) {
    match &record.data {
        Data::Text(wanted) => text(record, wanted, found),
        Data::Mx(wanted) => {
            let ours = |data: &RecordData| matches!(data, RecordData::Mx(mx) if mx.exchange == wanted.exchange);
            other(
                record,
                found.iter().any(ours),
                "mail goes to others",
                &shown(found),
            )
        }
        Data::Srv(wanted) => {
            let ours = |data: &RecordData| matches!(data, RecordData::Srv(srv) if srv.target == wanted.target && srv.port == wanted.port);
            other(
                record,
                found.iter().any(ours),
                "mail programs are led elsewhere",
                &shown(found),
            )
        }
        Data::Tlsa(wanted) => {
            let ours = |data: &RecordData| matches!(data, RecordData::Tlsa(tlsa) if tlsa == wanted);
            let why = "servers that verify by DANE send no mail here, as the record is of another certificate";
            other(record, found.iter().any(ours), why, &shown(found))
        }
        Data::Alias(_) => (Status::Ok, String::new()),
    }
}

fn other(record: &Record, is_there: bool, why: &str, shown: &str) -> (Status, String) {
    match is_there {
        true => (Status::Ok, good(record)),
        false => (
            Status::Different,
            format!("{why} ({shown}); {}", publish(record)),
        ),
    }
}

fn good(record: &Record) -> String {
    let text = match record.purpose {
        Purpose::Dkim(DkimState::Active) => "signatures can be verified",
        Purpose::Dkim(DkimState::Waiting) => "the next key is published, and signs before long",
        Purpose::Dkim(DkimState::Retired) => "the last key is still published, for mail on its way",
        _ => "it is there",
    };
    text.to_owned()
}

/// A TXT record, among those that others have put there.
fn text(record: &Record, wanted: &str, found: &[RecordData]) -> (Status, String) {
    let texts: Vec<&[u8]> = found
        .iter()
        .filter_map(|data| match data {
            RecordData::Text(text) => Some(&text[..]),
            _ => None,
        })
        .collect();
    if let Purpose::Dkim(_) = record.purpose {
        let is_there = texts.iter().any(|text| is_same_key(text, wanted));
        return other(
            record,
            is_there,
            "the key that is published is another",
            &shown(found),
        );
    }
    let version = wanted.split([';', ' ']).next().unwrap_or(wanted);
    let of_version: Vec<&&[u8]> = texts
        .iter()
        .filter(|text| is_version(text, version))
        .collect();
    let [text] = of_version[..] else {
        return match of_version.len() {
            0 => (Status::Missing, missing(record)),
            count => (
                Status::Different,
                format!(
                    "there are {count} records with {version}, so none of them counts; leave one"
                ),
            ),
        };
    };
    let text = String::from_utf8_lossy(text);
    let tag = |name: &str| tag(&text, name);
    match record.purpose {
        Purpose::Dmarc => match tag("p").as_deref() {
            Some("quarantine" | "reject") => (Status::Ok, good(record)),
            Some("none") => (
                Status::Ok,
                "it is there; with p=none, forged mail of the domain is only counted: p=quarantine or p=reject would have it stopped".to_owned(),
            ),
            _ => (Status::Different, format!("it has no policy (p=); {}", publish(record))),
        },
        Purpose::StsId if tag("id") != self::tag(wanted, "id") => (
            Status::Different,
            format!("the policy has changed since: other servers look again once the id is another; {}", publish(record)),
        ),
        Purpose::ClientHash if *text != *wanted => (
            Status::Different,
            format!("what mail programs are told has changed since, and they don't believe it; {}", publish(record)),
        ),
        Purpose::TlsReports if tag("rua").is_none() => (
            Status::Different,
            format!("it says nowhere to send reports to (rua=); {}", publish(record)),
        ),
        _ => (Status::Ok, good(record)),
    }
}

/// RFC 7208 §4.5, RFC 7489 §6.3, RFC 8461 §3.1, RFC 8460 §3: a record is one by how it begins.
fn is_version(text: &[u8], version: &str) -> bool {
    let Some((start, rest)) = text.split_at_checked(version.len()) else {
        return false;
    };
    let is_whole = rest.first().is_none_or(|octet| b"; \t".contains(octet));
    start.eq_ignore_ascii_case(version.as_bytes()) && is_whole
}

/// The value of a tag, without white space.
fn tag(text: &str, name: &str) -> Option<String> {
    text.split(';').find_map(|field| {
        let (key, value) = field.split_once('=')?;
        let value = value.chars().filter(|c| !c.is_whitespace()).collect();
        key.trim().eq_ignore_ascii_case(name).then_some(value)
    })
}

/// Whether a DKIM record has the same key (RFC 6376 §3.6.1), however it is written.
pub fn is_same_key(text: &[u8], wanted: &str) -> bool {
    let text = String::from_utf8_lossy(text);
    let kind = |text: &str| tag(text, "k").unwrap_or_else(|| "rsa".to_owned());
    let version = tag(&text, "v").is_none_or(|version| version == "DKIM1");
    version && kind(&text) == kind(wanted) && tag(&text, "p") == tag(wanted, "p")
}

/// Records, for people.
fn shown(found: &[RecordData]) -> String {
    let text = |data: &RecordData| match data {
        RecordData::Address(address) => address.to_string(),
        RecordData::Name(name) => name.clone(),
        RecordData::Mx(mx) => format!("{}.", mx.exchange),
        RecordData::Srv(srv) => format!("{}.:{}", srv.target, srv.port),
        RecordData::Tlsa(tlsa) => tlsa.to_string(),
        RecordData::Text(text) => String::from_utf8_lossy(text).into_owned(),
    };
    let all = found.iter().map(text).collect::<Vec<_>>().join(", ");
    // What others have published may have anything in it.
    let plain = |c: char| if c.is_control() { '?' } else { c };
    match all.char_indices().nth(SHOWN_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}...", all[..end].chars().map(plain).collect::<String>()),
        None => all.chars().map(plain).collect(),
    }
}

//! The records of a domain.
//!
//! Holds: names and data are those of the DNS' presentation format (RFC 1035 §5.1); a text is cut into strings of at most 255
//! octets (RFC 1035 §3.3.14).
//! Other half: `check`, which looks for them.

use std::fmt::Write as _;

use aws_lc_rs::digest;
use base64::{Engine as _, prelude::BASE64_STANDARD as STANDARD};

use jmap_core::directory::dkim::{DkimKey, records::DkimState};
use mail_auth_adapter::dns::{Mx, RecordKind, Srv, Tlsa};
use wellknown::Policy;

/// Octets of one string of a TXT record.
const STRING_OCTETS_MAX: usize = 255;
/// Seconds that others may remember a record.
const TTL_SECONDS: u32 = 3600;

/// What records are made of, beside the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub hostname: String,
    /// Of the certificate that is shown.
    pub tlsa: Option<Tlsa>,
    pub offers: Vec<Offer>,
    pub policy: Policy,
    /// What mail programs are told.
    pub clients: wellknown::Settings,
}

/// A service of RFC 6186, 8314, 5804 or 8620, or Microsoft's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// As in SRV records.
    pub service: &'static str,
    /// `None`: it doesn't listen.
    pub port: Option<u16>,
}

/// What a record is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Exchanger,
    Spf,
    /// The SPF record of the server's own name (RFC 7208 §2.3).
    HeloSpf,
    Dkim(DkimState),
    Dmarc,
    StsId,
    /// The host of the policy, of the autoconfiguration, of Autodiscover.
    StsHost,
    ClientHost,
    /// The hash of the document of PACC.
    ClientHash,
    TlsReports,
    Tlsa,
    Service,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    Mx(Mx),
    Text(String),
    Alias(String),
    Srv(Srv),
    Tlsa(Tlsa),
}

/// A record to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// In lower case, without the last dot.
    pub name: String,
    pub data: Data,
    pub purpose: Purpose,
    /// It is in the zone of the domain, not in that of the server's name.
    pub is_in_domain: bool,
}

impl Record {
    pub fn kind(&self) -> RecordKind {
        match &self.data {
            Data::Mx(_) => RecordKind::Mx,
            Data::Text(_) => RecordKind::Txt,
            Data::Alias(_) => RecordKind::Cname,
            Data::Srv(_) => RecordKind::Srv,
            Data::Tlsa(_) => RecordKind::Tlsa,
        }
    }

    /// The data in presentation format.
    pub fn data_text(&self) -> String {
        match &self.data {
            Data::Mx(mx) => format!("{} {}.", mx.preference, mx.exchange),
            Data::Text(text) => strings(text),
            Data::Alias(target) => format!("{target}."),
            Data::Srv(srv) => format!(
                "{} {} {} {}.",
                srv.priority, srv.weight, srv.port, srv.target
            ),
            Data::Tlsa(tlsa) => tlsa.to_string(),
        }
    }

    /// Whether mail goes wrong without it.
    pub fn is_needed(&self) -> bool {
        matches!(
            self.purpose,
            Purpose::Exchanger | Purpose::Spf | Purpose::Dkim(DkimState::Active) | Purpose::Dmarc
        )
    }
}

/// A text as strings in quotes.
fn strings(text: &str) -> String {
    let mut strings = Vec::new();
    for part in text.as_bytes().chunks(STRING_OCTETS_MAX) {
        let mut string = String::from("\"");
        for &octet in part {
            match octet {
                b'"' | b'\\' => string.extend(['\\', char::from(octet)]),
                b' '..=b'~' => string.push(char::from(octet)),
                // Writing to a String can't fail.
                octet => drop(write!(string, "\\{octet:03}")),
            }
        }
        string.push('"');
        strings.push(string);
    }
    strings.join(" ")
}

/// All records of a domain, in the order in which they are worth having.
pub fn all(facts: &Facts, domain: &str, keys: &[DkimKey]) -> Vec<Record> {
    let host = &facts.hostname;
    let mut records = Vec::new();
    let mut add = |name: String, purpose, data| {
        let is_in_domain = name == domain || name.ends_with(&format!(".{domain}"));
        records.push(Record {
            name,
            data,
            purpose,
            is_in_domain,
        });
    };
    let exchange = Mx {
        preference: 10,
        exchange: host.clone(),
    };
    add(domain.to_owned(), Purpose::Exchanger, Data::Mx(exchange));
    // Mail leaves from where it comes to. Others are "softfail", so that mail that is passed on is judged by its signature.
    add(
        domain.to_owned(),
        Purpose::Spf,
        Data::Text("v=spf1 mx ~all".to_owned()),
    );
    for key in keys {
        let purpose = Purpose::Dkim(key.record.state);
        add(key.name(), purpose, Data::Text(key.txt()));
    }
    let dmarc = format!("v=DMARC1; p=quarantine; rua=mailto:postmaster@{domain}");
    add(
        format!("_dmarc.{domain}"),
        Purpose::Dmarc,
        Data::Text(dmarc),
    );
    let reports = format!("v=TLSRPTv1; rua=mailto:postmaster@{domain}");
    add(
        format!("_smtp._tls.{domain}"),
        Purpose::TlsReports,
        Data::Text(reports),
    );
    if let Some(id) = facts.policy.id(host) {
        let text = format!("v=STSv1; id={id}");
        add(
            format!("_mta-sts.{domain}"),
            Purpose::StsId,
            Data::Text(text),
        );
        add(
            format!("mta-sts.{domain}"),
            Purpose::StsHost,
            Data::Alias(host.clone()),
        );
    }
    for offer in &facts.offers {
        // RFC 6186 §3.3, RFC 8314 §5.1: TLS from the first octet is preferred.
        let priority = match offer.service {
            "_submission" | "_imap" | "_pop3" if offer.port.is_some() => 10,
            _ => 0,
        };
        // RFC 6186 §3.4: the root says that there is no such service.
        let (weight, port, target) = match offer.port {
            Some(port) => (1, port, host.clone()),
            None => (0, 0, String::new()),
        };
        let srv = Srv {
            priority,
            weight,
            port,
            target,
        };
        add(
            format!("{}._tcp.{domain}", offer.service),
            Purpose::Service,
            Data::Srv(srv),
        );
    }
    // draft-ietf-mailmaint-pacc-02: a document that isn't the one of this hash counts for nothing.
    let document = facts.clients.pacc(domain);
    let hash = digest::digest(&digest::SHA256, document.as_bytes());
    let hash = format!("v=UAAC1; a=sha256; d={}", STANDARD.encode(hash));
    add(
        format!("_{}.{domain}", wellknown::PACC_LABEL),
        Purpose::ClientHash,
        Data::Text(hash),
    );
    for label in ["autoconfig", "autodiscover", wellknown::PACC_LABEL] {
        add(
            format!("{label}.{domain}"),
            Purpose::ClientHost,
            Data::Alias(host.clone()),
        );
    }
    if host != domain {
        // RFC 7208 §2.3: of reports, which have no sender, the name of EHLO is what counts.
        add(
            host.clone(),
            Purpose::HeloSpf,
            Data::Text("v=spf1 a -all".to_owned()),
        );
    }
    if let Some(tlsa) = &facts.tlsa {
        add(
            format!("_25._tcp.{host}"),
            Purpose::Tlsa,
            Data::Tlsa(tlsa.clone()),
        );
    }
    records
}

/// Lines for a zone file (RFC 1035 §5): one a record. Those of another zone are comments.
pub fn zone(hostname: &str, domain: &str, rows: &[(String, String, String, bool)]) -> String {
    let mut text = format!("; {domain}: records for its zone\n");
    let line = |(name, kind, data, _): &(String, String, String, bool)| {
        format!("{name}. {TTL_SECONDS} IN {kind} {data}\n")
    };
    rows.iter()
        .filter(|row| row.3)
        .for_each(|row| text.push_str(&line(row)));
    let others: Vec<String> = rows.iter().filter(|row| !row.3).map(line).collect();
    if !others.is_empty() {
        let _ = writeln!(text, "; For the zone of {hostname}:");
        others
            .iter()
            .for_each(|line| text.push_str(&format!("; {line}")));
    }
    let _ = write!(
        text,
        "; {hostname} needs A and AAAA records with the addresses of this server, and those addresses PTR records with {hostname}."
    );
    text
}

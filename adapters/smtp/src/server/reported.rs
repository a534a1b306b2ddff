//! What the author's domain is told of a message, if it asks for reports (RFC 7489 §7.2).
//!
//! Holds: nothing of the message or of its recipients but domains and the address of the client.
//! Other half: `jmap_core::reports` counts.

use jmap_core::reports::records::{AuthRow, DmarcRow};
use mail_auth_adapter::{Disposition, Envelope, Identity, Outcome, Verdict};

use super::authentication::Origin;

/// Octets of a domain or selector; longer ones are no such thing.
const NAME_OCTETS_MAX: usize = 255;

/// `None`: the domain has no DMARC record, or nothing certain was found out.
pub fn row(verdict: &Verdict, envelope: &Envelope<'_>, origin: &Origin) -> Option<DmarcRow> {
    let dmarc = &verdict.dmarc;
    dmarc.policy?;
    if !matches!(dmarc.finding.outcome, Outcome::Pass | Outcome::Fail) {
        return None;
    }
    let is_refused = origin.refusal.is_some();
    let disposition = match (is_refused, origin.is_junk) {
        (true, _) => "reject",
        (false, true) => "quarantine",
        (false, false) => "none",
    };
    let asked = match verdict.disposition {
        Disposition::None => "none",
        Disposition::Quarantine => "quarantine",
        Disposition::Reject => "reject",
    };
    // The domain of the reverse-path; where that is null, the name of EHLO (RFC 7489 §4.1).
    let (identity, which) = match envelope.mail_from.filter(|address| !address.is_empty()) {
        Some(_) => (Identity::MailFrom, "mfrom"),
        None => (Identity::Helo, "helo"),
    };
    let envelope_from = match envelope.mail_from.filter(|address| !address.is_empty()) {
        Some(address) => address.rsplit_once('@').map_or("", |(_, domain)| domain),
        None => envelope.helo,
    };
    let spf = verdict.spf.iter().find(|spf| spf.identity == identity);
    let spf = AuthRow {
        domain: name(envelope_from),
        which: which.to_owned(),
        result: spf
            .map_or("none", |spf| spf.finding.outcome.name())
            .to_owned(),
    };
    let dkim = verdict.dkim.iter().filter(|dkim| !dkim.domain.is_empty());
    let dkim = dkim.map(|dkim| AuthRow {
        domain: name(&dkim.domain),
        which: name(&dkim.selector),
        result: dkim.finding.outcome.name().to_owned(),
    });
    Some(DmarcRow {
        source: verdict.peer.to_string(),
        count: 1,
        disposition: disposition.to_owned(),
        dkim_aligned: dmarc.dkim_aligned,
        spf_aligned: dmarc.spf_aligned,
        header_from: name(&dmarc.domain),
        envelope_from: name(envelope_from),
        dkim: dkim.collect(),
        spf: vec![spf],
        is_overridden: disposition != asked,
    })
}

/// In lower case, as far as it can be a name.
fn name(text: &str) -> String {
    let text = text.chars().filter(|c| !c.is_control());
    let mut name: String = text.flat_map(char::to_lowercase).collect();
    let mut end = name.len().min(NAME_OCTETS_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
    name
}

//! The verification of one message: all methods side by side, DMARC after them.
//!
//! Holds: a method that has had no answer in time is a `temperror`, and the others keep what they have found; the time that
//! DMARC has is its own.
//! Other half: the crate `mail-auth`, which knows the records and the signatures.

use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use mail_auth::common::crypto::Algorithm;
use mail_auth::dkim::{DkimError, Signature};
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::{
    ArcOutput, AuthenticatedMessage, DkimOutput, DkimResult, DmarcOutput, DmarcResult, DnsError,
    Error, IprevOutput, IprevResult, MessageAuthenticator, SpfOutput, SpfResult, dmarc,
};
use tokio::time::{Instant, timeout_at};

use crate::field::first_of_signature;
use crate::header::{Section, hash_body};
use crate::limits::{ARC_SETS_MAX, FROM_DOMAINS_MAX, SIGNATURES_MAX, SIGNED_FIELDS_MAX, TAGS_MAX};
use crate::resolver::{self, ResolverError, Settings};
use crate::spf::{self, Sender};
use crate::verdict::{
    Arc, Disposition, Dkim, Dmarc, Finding, Identity, Iprev, Outcome, Policy, Spf, Verdict,
};

/// How a message came.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// The client.
    pub peer: IpAddr,
    /// What it has said with EHLO or HELO.
    pub helo: &'a str,
    /// `None`: the null reverse-path.
    pub mail_from: Option<&'a str>,
}

/// Verifies messages; shared by all connections, as is what it remembers of the DNS.
pub struct Verifier {
    /// `None`: nobody can be asked, and everything is a `temperror`.
    pub(crate) dns: Option<MessageAuthenticator>,
    pub(crate) timeout: Duration,
}

impl Verifier {
    /// Errors: there are no name servers, or no resolver can be made for them.
    pub fn new(settings: &Settings) -> Result<Verifier, ResolverError> {
        Ok(Verifier {
            dns: Some(resolver::resolver(settings)?),
            timeout: settings.timeout,
        })
    }

    /// One that has nobody to ask.
    pub fn without_dns() -> Verifier {
        Verifier {
            dns: None,
            timeout: Duration::ZERO,
        }
    }

    /// Verifies a message as it was received: with CRLF, without what this server puts in front.
    pub async fn verify(&self, envelope: &Envelope<'_>, message: &Bytes) -> Verdict {
        let begin = Instant::now();
        let methods_end = begin + self.timeout * 2 / 3;
        let end = begin + self.timeout;
        let peer = envelope.peer.to_canonical();
        let section = Section::of(message);
        let mut parsed = AuthenticatedMessage::parse(&section.octets).unwrap_or_default();
        let refused = refuse_signatures(&mut parsed);
        hash_body(&mut parsed, message, section.body_at).await;
        let singles = single_signatures(&parsed);

        let asked = Asked {
            dns: self.dns.as_ref(),
            end: methods_end,
        };
        let helo = Some(envelope.helo).filter(|helo| is_domain(helo));
        let mail_from = envelope.mail_from.filter(|address| !address.is_empty());
        let of_helo = format!("postmaster@{}", envelope.helo);
        let sender = |address| Sender {
            peer,
            helo: envelope.helo,
            address,
        };
        let (iprev, spf_mail_from, spf_helo, dkim, arc) = tokio::join!(
            asked.iprev(peer),
            asked.spf(mail_from.map(sender)),
            asked.spf(helo.map(|_| sender(&of_helo))),
            join_all(singles.iter().map(|single| asked.dkim(single))),
            asked.arc(&parsed),
        );

        // RFC 7489 §4.1: without MAIL FROM it is the name of EHLO that has to be aligned.
        let (spf_domain, outcome) = match mail_from {
            Some(address) => (domain_of(address), spf_mail_from),
            None => (helo.unwrap_or_default(), spf_helo),
        };
        let output = spf_output(spf_domain, outcome.unwrap_or(Outcome::None));
        let asked = Asked { end, ..asked };
        let (dmarc, disposition) = asked
            .dmarc(&parsed, &section, &dkim, spf_domain, &output)
            .await;

        let spf = [
            (Identity::MailFrom, mail_from, spf_mail_from),
            (Identity::Helo, helo, spf_helo),
        ];
        let spf = spf.into_iter().filter_map(|(identity, value, outcome)| {
            Some(Spf {
                finding: spf_finding(outcome?),
                identity,
                value: value?.to_owned(),
            })
        });
        let spf = spf.collect();
        let mut all = Vec::with_capacity(dkim.len() + refused.len());
        for (single, output) in singles.iter().zip(&dkim) {
            if let Some(header) = single.dkim_headers.first() {
                all.push(describe(&header.header, dkim_finding(output.result())));
            }
        }
        all.extend(refused);
        if section.is_cut {
            let reason = "the header section is too large";
            all = vec![unreadable(Finding::because(Outcome::PermError, reason))];
        }
        Verdict {
            peer,
            iprev: Iprev {
                finding: iprev_finding(&iprev.result),
                name: iprev.ptr.and_then(|names| Some(names.first()?.to_string())),
            },
            spf,
            dkim: all,
            arc,
            dmarc,
            disposition,
        }
    }
}

/// Questions to the DNS that have to be answered by a certain time.
#[derive(Clone, Copy)]
struct Asked<'a> {
    dns: Option<&'a MessageAuthenticator>,
    end: Instant,
}

impl<'a> Asked<'a> {
    /// `None`: there was no answer.
    async fn wait<T, F: Future<Output = T>>(
        &self,
        ask: impl FnOnce(&'a MessageAuthenticator) -> F,
    ) -> Option<T> {
        timeout_at(self.end, ask(self.dns?)).await.ok()
    }

    async fn iprev(&self, peer: IpAddr) -> IprevOutput {
        let answer = self.wait(|dns| dns.verify_iprev(peer)).await;
        answer.unwrap_or_else(|| IprevOutput {
            result: IprevResult::TempError(no_answer()),
            ptr: None,
        })
    }

    async fn spf(&self, sender: Option<Sender<'_>>) -> Option<Outcome> {
        let sender = sender?;
        let answer = self.wait(|dns| spf::check(dns, sender)).await;
        Some(answer.unwrap_or(Outcome::TempError))
    }

    /// Of a message with one signature.
    async fn dkim<'m>(&self, single: &'m AuthenticatedMessage<'m>) -> DkimOutput<'m>
    where
        'a: 'm,
    {
        let answer = self.wait(|dns| dns.verify_dkim(single)).await;
        let output = answer.and_then(|outputs| outputs.into_iter().next());
        output.unwrap_or_else(|| {
            let output = DkimOutput::temp_err(no_answer());
            match single.dkim_headers.first() {
                Some(header) => output.with_signature(&header.header),
                None => output,
            }
        })
    }

    async fn arc<'m>(&self, parsed: &'m AuthenticatedMessage<'m>) -> Option<Arc>
    where
        'a: 'm,
    {
        let sets = parsed.as_headers.len();
        let sealer = parsed.as_headers.last();
        let sealer = sealer.map_or("", |header| &header.header.d).to_owned();
        let found = |finding| {
            Some(Arc {
                finding,
                sets,
                sealer: sealer.clone(),
            })
        };
        let failed = |reason| found(Finding::because(Outcome::Fail, reason));
        let counts = [parsed.ams_headers.len(), parsed.aar_headers.len()];
        if sets == 0 && counts == [0, 0] && !parsed.has_arc_errors {
            return None;
        }
        if parsed.has_arc_errors {
            return failed("an ARC field can not be read");
        }
        if counts.iter().any(|&count| count != sets) {
            return failed("ARC fields are missing");
        }
        if sets > ARC_SETS_MAX {
            return failed("the chain is too long");
        }
        let seals = parsed.as_headers.iter().map(|header| header.value);
        let signatures = parsed.ams_headers.iter().map(|header| header.value);
        if !seals
            .into_iter()
            .all(|value| has_tags(value, &["a", "b", "cv", "d", "i", "s"]))
            || !signatures
                .into_iter()
                .all(|value| has_tags(value, &["a", "b", "bh", "d", "h", "i", "s"]))
        {
            return failed("an ARC field can not be read");
        }
        // RFC 8617 §4.1.2 forbids all fields of sets; those that sign results and signatures are many.
        let mut signed = parsed.ams_headers.iter().flat_map(|ams| &ams.header.h);
        if signed.any(|name| name.trim().eq_ignore_ascii_case("arc-seal")) {
            return failed("a signature is over seals");
        }
        // RFC 6376 §6.1.1, of the signature that is verified.
        let newest = parsed.ams_headers.last();
        let is_from = |name: &String| name.trim().eq_ignore_ascii_case("from");
        if newest.is_some_and(|ams| !ams.header.h.iter().any(is_from)) {
            return failed("the From field is not signed");
        }
        let sha1 = |algorithm| algorithm == Algorithm::RsaSha1;
        if parsed.as_headers.iter().any(|seal| sha1(seal.header.a))
            || parsed.ams_headers.iter().any(|ams| sha1(ams.header.a))
        {
            return failed("signatures with SHA-1 are worth nothing");
        }
        if parsed
            .ams_headers
            .iter()
            .any(|ams| ams.header.h.len() > SIGNED_FIELDS_MAX)
        {
            return failed("too many fields are signed");
        }
        let output = self.wait(|dns| dns.verify_arc(parsed)).await;
        let output = output.unwrap_or_else(|| {
            ArcOutput::default().with_result(DkimResult::TempError(no_answer()))
        });
        found(arc_finding(output.result()))
    }

    /// For each domain that the message claims to be from; what asks for the most counts (RFC 7489 §6.6.1).
    async fn dmarc(
        &self,
        parsed: &AuthenticatedMessage<'_>,
        section: &Section,
        dkim: &[DkimOutput<'_>],
        spf_domain: &str,
        spf: &SpfOutput,
    ) -> (Dmarc, Disposition) {
        let mut domains: Vec<&str> = Vec::new();
        for address in &parsed.from {
            let domain = domain_of(address);
            if !domain.is_empty() && !domains.contains(&domain) && domains.len() < FROM_DOMAINS_MAX
            {
                domains.push(domain);
            }
        }
        let mut worst = (
            Dmarc {
                finding: match section.from_fields {
                    0 => Finding::because(Outcome::PermError, "there is no From field"),
                    _ => Finding::because(Outcome::PermError, "the From field names no domain"),
                },
                domain: String::new(),
                policy: None,
                dkim_aligned: false,
                spf_aligned: false,
            },
            Disposition::None,
        );
        for (at, domain) in domains.into_iter().enumerate() {
            let one = AuthenticatedMessage {
                from: vec![format!("@{domain}")],
                ..AuthenticatedMessage::default()
            };
            let parameters = DmarcParameters::new(&one, dkim, spf_domain, spf);
            let answer = match self.dns {
                Some(dns) => timeout_at(self.end, dns.verify_dmarc(parameters))
                    .await
                    .ok(),
                None => None,
            };
            let found = dmarc_of(domain, answer.as_ref());
            if at == 0 || found.1 > worst.1 {
                worst = found;
            }
        }
        worst
    }
}

/// RFC 6376 §3.2: tags have names, each is there once and letter case counts; these ones have to be there.
fn has_tags(value: &[u8], required: &[&str]) -> bool {
    let mut names: Vec<&[u8]> = Vec::new();
    let mut tags = value.split(|&octet| octet == b';').peekable();
    while let Some(tag) = tags.next() {
        let Some(end) = tag.iter().position(|&octet| octet == b'=') else {
            // Behind the last semicolon there may be nothing.
            let is_last = tags.peek().is_none() && tag.trim_ascii().is_empty();
            return is_last && required.iter().all(|name| names.contains(&name.as_bytes()));
        };
        let name = tag[..end].trim_ascii();
        let proper = |octet: &u8| octet.is_ascii_alphanumeric() || *octet == b'_';
        let is_name = name.first().is_some_and(u8::is_ascii_alphabetic) && name.iter().all(proper);
        if !is_name || names.contains(&name) || names.len() >= TAGS_MAX {
            return false;
        }
        names.push(name);
    }
    required.iter().all(|name| names.contains(&name.as_bytes()))
}

fn no_answer() -> Error {
    Error::Dns(DnsError::Resolver(String::new()))
}

/// Empty if there is none.
fn domain_of(address: &str) -> &str {
    address.rsplit_once('@').map_or("", |(_, domain)| domain)
}

/// Not an address literal, and not a single word.
fn is_domain(name: &str) -> bool {
    name.contains('.') && !name.starts_with('[') && name.parse::<IpAddr>().is_err()
}

/// Takes out the signatures that can't be good, whatever the DNS says, and tells why.
fn refuse_signatures(parsed: &mut AuthenticatedMessage<'_>) -> Vec<Dkim> {
    let mut refused = Vec::new();
    for error in &parsed.errors {
        if !error
            .name
            .trim_ascii_end()
            .eq_ignore_ascii_case(b"dkim-signature")
        {
            continue;
        }
        refused.push(unreadable(match &error.header {
            Error::Dkim(DkimError::SignatureLength) => Finding::because(
                Outcome::Policy,
                "the signature leaves a part of the body open (l=)",
            ),
            _ => Finding::because(Outcome::Neutral, "the signature can not be read"),
        }));
    }
    let headers = std::mem::take(&mut parsed.dkim_headers);
    for mut header in headers {
        let signature = &mut header.header;
        match unacceptable(signature) {
            Some(finding) => refused.push(describe(signature, finding)),
            None => {
                // RFC 6541 and RFC 6651 ask for lookups of which nothing is made.
                signature.atps = None;
                signature.r = false;
                parsed.dkim_headers.push(header);
            }
        }
    }
    parsed.dkim_headers.truncate(SIGNATURES_MAX);
    refused.truncate(SIGNATURES_MAX - parsed.dkim_headers.len());
    // SHA-1 alone was for those that were refused.
    let used = &parsed.dkim_headers;
    let arc = &parsed.ams_headers;
    parsed
        .body_hashes
        .retain(|&(canonicalization, algorithm, _, _)| {
            let is_it = |a: Algorithm, cb| cb == canonicalization && algorithm == a.into();
            used.iter()
                .any(|header| is_it(header.header.a, header.header.cb))
                || arc
                    .iter()
                    .any(|header| is_it(header.header.a, header.header.cb))
        });
    refused
}

fn unacceptable(signature: &Signature) -> Option<Finding> {
    if signature.v != 1 {
        let reason = "the signature has no version";
        return Some(Finding::because(Outcome::PermError, reason));
    }
    // RFC 8301 §3.1.
    if signature.a == Algorithm::RsaSha1 {
        let reason = "signatures with SHA-1 are worth nothing";
        return Some(Finding::because(Outcome::Policy, reason));
    }
    // RFC 6376 §5.4.
    if !signature
        .h
        .iter()
        .any(|name| name.trim().eq_ignore_ascii_case("from"))
    {
        let reason = "the From field is not signed";
        return Some(Finding::because(Outcome::PermError, reason));
    }
    if signature.h.len() > SIGNED_FIELDS_MAX {
        let reason = "too many fields are signed";
        return Some(Finding::because(Outcome::Policy, reason));
    }
    None
}

/// The message with each of its signatures alone, so that one that takes long keeps none of the others.
fn single_signatures<'m>(parsed: &AuthenticatedMessage<'m>) -> Vec<AuthenticatedMessage<'m>> {
    let single =
        |header: &mail_auth::common::headers::Header<'m, Signature>| AuthenticatedMessage {
            headers: parsed.headers.clone(),
            from: parsed.from.clone(),
            body_hashes: parsed.body_hashes.clone(),
            dkim_headers: vec![header.clone()],
            ..AuthenticatedMessage::default()
        };
    parsed.dkim_headers.iter().map(single).collect()
}

fn describe(signature: &Signature, finding: Finding) -> Dkim {
    Dkim {
        finding,
        domain: signature.d.clone(),
        selector: signature.s.clone(),
        identity: signature.i.clone(),
        algorithm: match signature.a {
            Algorithm::RsaSha1 => "rsa-sha1",
            Algorithm::RsaSha256 => "rsa-sha256",
            Algorithm::Ed25519Sha256 => "ed25519-sha256",
        },
        signature: first_of_signature(&signature.b),
    }
}

fn unreadable(finding: Finding) -> Dkim {
    Dkim {
        finding,
        domain: String::new(),
        selector: String::new(),
        identity: String::new(),
        algorithm: "",
        signature: String::new(),
    }
}

fn spf_finding(outcome: Outcome) -> Finding {
    match outcome {
        Outcome::TempError => Finding::no_answer(),
        Outcome::PermError => Finding::because(outcome, "the record can not be followed"),
        outcome => Finding::of(outcome),
    }
}

/// As DMARC takes it.
fn spf_output(domain: &str, outcome: Outcome) -> SpfOutput {
    SpfOutput::new(domain.to_owned()).with_result(match outcome {
        Outcome::Pass => SpfResult::Pass,
        Outcome::Fail => SpfResult::Fail,
        Outcome::SoftFail => SpfResult::SoftFail,
        Outcome::Neutral => SpfResult::Neutral,
        Outcome::TempError => SpfResult::TempError,
        Outcome::PermError => SpfResult::PermError,
        Outcome::None | Outcome::Policy => SpfResult::None,
    })
}

/// RFC 8601 §2.7.1: what does not verify is `fail`, what can't be tried is an error.
fn dkim_finding(result: &DkimResult) -> Finding {
    match result {
        DkimResult::Pass => Finding::of(Outcome::Pass),
        DkimResult::None => Finding::of(Outcome::None),
        DkimResult::TempError(_) => Finding::no_answer(),
        DkimResult::Neutral(Error::Dkim(
            DkimError::FailedBodyHashMatch | DkimError::SignatureExpired,
        ))
        | DkimResult::Fail(_) => {
            let (DkimResult::Neutral(error) | DkimResult::Fail(error)) = result else {
                return Finding::of(Outcome::Fail);
            };
            Finding::because(Outcome::Fail, reason(error))
        }
        DkimResult::Neutral(error) => Finding::because(Outcome::Neutral, reason(error)),
        DkimResult::PermError(error) => Finding::because(Outcome::PermError, reason(error)),
    }
}

/// RFC 8617 §4.4 knows `none`, `pass` and `fail`.
fn arc_finding(result: &DkimResult) -> Finding {
    match result {
        DkimResult::Pass => Finding::of(Outcome::Pass),
        DkimResult::None => Finding::of(Outcome::None),
        DkimResult::TempError(_) => Finding::no_answer(),
        DkimResult::Neutral(error) | DkimResult::Fail(error) | DkimResult::PermError(error) => {
            Finding::because(Outcome::Fail, reason(error))
        }
    }
}

fn iprev_finding(result: &IprevResult) -> Finding {
    match result {
        IprevResult::Pass => Finding::of(Outcome::Pass),
        IprevResult::None => Finding::of(Outcome::None),
        IprevResult::TempError(_) => Finding::no_answer(),
        IprevResult::Fail(_) => Finding::because(Outcome::Fail, "the name has another address"),
        IprevResult::PermError(_) => Finding::because(
            Outcome::PermError,
            "the address has no name, or the name no address",
        ),
    }
}

fn reason(error: &Error) -> &'static str {
    match error {
        Error::Dns(DnsError::RecordNotFound(_)) => "there is no key",
        Error::Dns(DnsError::InvalidRecordType)
        | Error::ParseError
        | Error::Base64
        | Error::MissingParameters => "the key can not be read",
        Error::Dns(DnsError::Resolver(_)) | Error::Io(_) => "the DNS did not answer",
        Error::Dkim(DkimError::RevokedPublicKey) => "the key was revoked",
        Error::Dkim(DkimError::FailedBodyHashMatch)
        | Error::Arc(mail_auth::arc::ArcError::FailedBodyHashMatch) => "the body was changed",
        Error::Dkim(DkimError::SignatureExpired)
        | Error::Arc(mail_auth::arc::ArcError::SignatureExpired) => "the signature has expired",
        Error::Dkim(DkimError::FailedAuidMatch) => "the identity is not of the domain",
        Error::Dkim(_) => "the signature or its key is of an unknown kind",
        Error::Arc(_) => "the chain is broken",
        Error::Crypto(_) => "the signature is wrong",
        Error::NotAligned | Error::NoHeadersFound | Error::Dkim2(_) => "it can not be verified",
    }
}

fn dmarc_of(domain: &str, answer: Option<&DmarcOutput>) -> (Dmarc, Disposition) {
    let none = |finding| {
        let domain = domain.to_owned();
        let dmarc = Dmarc {
            finding,
            domain,
            policy: None,
            dkim_aligned: false,
            spf_aligned: false,
        };
        (dmarc, Disposition::None)
    };
    let Some(output) = answer else {
        return none(Finding::no_answer());
    };
    let policy = output.dmarc_record().map(|_| match output.policy() {
        dmarc::Policy::Reject => Policy::Reject,
        dmarc::Policy::Quarantine => Policy::Quarantine,
        dmarc::Policy::None | dmarc::Policy::Unspecified => Policy::None,
    });
    let found = |finding, disposition| {
        let (dmarc, _) = none(finding);
        let dmarc = Dmarc {
            policy,
            dkim_aligned: matches!(output.dkim_result(), DmarcResult::Pass),
            spf_aligned: matches!(output.spf_result(), DmarcResult::Pass),
            ..dmarc
        };
        (dmarc, disposition)
    };
    match output.result() {
        DmarcResult::Pass => found(Finding::of(Outcome::Pass), Disposition::None),
        DmarcResult::None => found(Finding::of(Outcome::None), Disposition::None),
        DmarcResult::TempError(_) => found(Finding::no_answer(), Disposition::None),
        DmarcResult::PermError(_) => found(
            Finding::because(Outcome::PermError, "the record can not be read"),
            Disposition::None,
        ),
        DmarcResult::Fail(_) => found(
            Finding::because(
                Outcome::Fail,
                "neither SPF nor DKIM passes for the domain of From",
            ),
            match policy {
                Some(Policy::Reject) => Disposition::Reject,
                Some(Policy::Quarantine) => Disposition::Quarantine,
                Some(Policy::None) | None => Disposition::None,
            },
        ),
    }
}

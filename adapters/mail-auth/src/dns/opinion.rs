//! A second look at answers that the resolver takes for bogus because of what they say does *not* exist.
//!
//! hickory's check of NSEC records (RFC 4035 §5.4) takes two kinds of good answers for forged ones: what a wildcard right above the
//! name gives, and an alias whose target has no such records. Their signatures have been verified one by one; what is left
//! is to see that the proof fits.
//!
//! Holds: nothing is called secure here that isn't signed, and no proof counts that another zone has signed; whatever is not
//! one of the two stays bogus.
//! Other half: `super`, which asks again for the target of an alias.

use hickory_resolver::proto::dnssec::Proof;
use hickory_resolver::proto::dnssec::rdata::{DNSSECRData, NSEC, RRSIG};
use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

/// Where an answer leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Opinion {
    /// The records are there.
    Records,
    /// It ends with an alias: this name is to be asked for.
    Alias(Name),
    Bogus,
}

/// Follows an answer from the name that was asked for.
pub(super) fn of(
    response: &Message,
    asked: &Name,
    kind: RecordType,
    aliases_max: usize,
) -> Opinion {
    let mut name = asked.clone();
    for _ in 0..=aliases_max {
        if has(response, &name, kind) {
            return match is_proven(response, &name, kind) {
                true => Opinion::Records,
                false => Opinion::Bogus,
            };
        }
        let Some(target) = alias(response, &name) else {
            return match name == *asked {
                true => Opinion::Bogus,
                false => Opinion::Alias(name),
            };
        };
        if !is_proven(response, &name, RecordType::CNAME) {
            return Opinion::Bogus;
        }
        name = target;
        name.set_fqdn(true);
    }
    Opinion::Bogus
}

fn of_name<'r>(records: &'r [Record], name: &'r Name) -> impl Iterator<Item = &'r Record> {
    records.iter().filter(move |record| record.name == *name)
}

fn has(response: &Message, name: &Name, kind: RecordType) -> bool {
    of_name(&response.answers, name).any(|record| record.record_type() == kind)
}

fn alias(response: &Message, name: &Name) -> Option<Name> {
    of_name(&response.answers, name).find_map(|record| match &record.data {
        RData::CNAME(target) => Some(target.0.to_lowercase()),
        _ => None,
    })
}

/// Whether the records of a name are what the name has: verified, and if they come from a wildcard, with a proof that
/// nothing is closer (RFC 4035 §5.3.4).
fn is_proven(response: &Message, name: &Name, kind: RecordType) -> bool {
    let records: Vec<&Record> = of_name(&response.answers, name)
        .filter(|record| record.record_type() == kind)
        .collect();
    if records.iter().all(|record| record.proof == Proof::Insecure) {
        return true;
    }
    if records.iter().any(|record| record.proof != Proof::Secure) {
        return false;
    }
    let Some(signature) = signature(&response.answers, name, kind) else {
        return false;
    };
    let labels = signature.input().num_labels;
    if labels >= name.num_labels() {
        return true;
    }
    let mut closer = name.trim_to(usize::from(labels) + 1);
    closer.set_fqdn(true);
    let signer = &signature.input().signer_name;
    response
        .authorities
        .iter()
        .any(|record| match &record.data {
            RData::DNSSEC(DNSSECRData::NSEC(nsec)) if record.proof == Proof::Secure => {
                let is_same_zone =
                    self::signature(&response.authorities, &record.name, RecordType::NSEC)
                        .is_some_and(|of_proof| of_proof.input().signer_name == *signer);
                is_same_zone && covers(&record.name, nsec, signer, &closer)
            }
            _ => false,
        })
}

/// The signature that was verified.
fn signature<'r>(records: &'r [Record], name: &'r Name, kind: RecordType) -> Option<&'r RRSIG> {
    of_name(records, name).find_map(|record| match &record.data {
        RData::DNSSEC(DNSSECRData::RRSIG(signature))
            if record.proof == Proof::Secure && signature.input().type_covered == kind =>
        {
            Some(signature)
        }
        _ => None,
    })
}

/// RFC 4034 §4.1.1: the name lies between the record's name and the next one; the last record's next is the zone itself.
fn covers(owner: &Name, nsec: &NSEC, zone: &Name, name: &Name) -> bool {
    // RFC 6840 §4.1: a record at a delegation says nothing of what is below.
    let is_above = owner.zone_of(name) && nsec.is_ancestor_delegation();
    let next = nsec.next_domain_name();
    if is_above || !zone.zone_of(owner) || !zone.zone_of(next) || !zone.zone_of(name) {
        return false;
    }
    match owner < next {
        true => owner < name && name < next,
        false => owner < name,
    }
}

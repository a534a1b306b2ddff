//! ARC sets for mail that is passed on (RFC 8617 §5.1): what was found out when it came, sealed.
//!
//! Holds: the results are those of our own Authentication-Results fields, which were put in above our Received field, or none at
//! all; a chain whose state isn't known gets no further set, nor one that has failed before.
//! Other half: `verify` and `field`, which have written that field; `sign`, which does the same for mail of our own.

use crate::canonical::{Split, name_of, relaxed_body_hash, relaxed_field, value_of};
use crate::field::claims;
use crate::limits::ARC_SETS_MAX;
use crate::sign::{Signed, SigningKey, finished};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const RESULTS: &str = "ARC-Authentication-Results";
const SIGNATURE: &str = "ARC-Message-Signature";
const SEAL: &str = "ARC-Seal";

/// What is known of the chain so far (RFC 8617 §4.1.3, `cv=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chain {
    None,
    Pass,
    Fail,
}

impl Chain {
    fn name(self) -> &'static str {
        match self {
            Chain::None => "none",
            Chain::Pass => "pass",
            Chain::Fail => "fail",
        }
    }
}

/// The three fields of the next set, each with its CRLF, the seal first. `authserv_id`: the name that our
/// Authentication-Results fields have. `now`: seconds since 1970. `None`: the message can't be sealed. Blocks for as long as
/// hashing takes.
pub fn seal(key: &SigningKey, message: &[u8], authserv_id: &str, now: i64) -> Option<String> {
    let split = Split::of(message);
    let sets = sets(&split)?;
    let found = our_results(&split, authserv_id);
    let chain = match (sets.len(), found.as_deref().and_then(arc_result)) {
        (0, _) => Chain::None,
        (_, Some("pass")) => Chain::Pass,
        // RFC 8617 §5.1: nothing is added to a chain that was known to have failed.
        (_, Some("fail")) if !has_failed(&sets) => Chain::Fail,
        _ => return None,
    };
    let instance = sets.len() + 1;
    if instance > ARC_SETS_MAX {
        return None;
    }
    let results = found.unwrap_or_else(|| "none".to_owned());
    let results = format!("{RESULTS}: i={instance}; {authserv_id}; {results}\r\n");
    // RFC 8617 §4.1.2: signatures are signed too, seals and Authentication-Results are not.
    let signed = Signed::of(&split, &["DKIM-Signature"]);
    let tags = format!(
        "{SIGNATURE}: i={instance}; {};\r\n\tc=relaxed/relaxed; t={now};\r\n\th={};\r\n\tbh={};\r\n\tb=",
        key.tags(),
        signed.names(),
        STANDARD.encode(relaxed_body_hash(split.body)),
    );
    let signature = signed.field(key, &tags)?;
    let cv = chain.name();
    let tags = format!(
        "{SEAL}: i={instance}; {};\r\n\tcv={cv}; t={now};\r\n\tb=",
        key.tags()
    );
    let mut canonical = Vec::new();
    // RFC 8617 §5.1.1, §5.1.2: all sets in order; of a chain that fails, this one alone.
    let before = sets
        .iter()
        .filter(|_| chain == Chain::Pass)
        .flatten()
        .copied();
    for field in before.chain([results.as_bytes(), signature.as_bytes()]) {
        relaxed_field(field, &mut canonical);
        canonical.extend_from_slice(b"\r\n");
    }
    relaxed_field(tags.as_bytes(), &mut canonical);
    let seal = finished(&tags, &key.signature(&canonical)?);
    Some([seal, signature, results].concat())
}

/// The sets of a message in order: results, signature, seal. `None`: they are not whole.
fn sets<'m>(split: &Split<'m>) -> Option<Vec<[&'m [u8]; 3]>> {
    let mut sets: Vec<[Option<&[u8]>; 3]> = Vec::new();
    for field in &split.fields {
        let is = |name: &str| name_of(field).eq_ignore_ascii_case(name.as_bytes());
        let Some(at) = [RESULTS, SIGNATURE, SEAL].into_iter().position(is) else {
            continue;
        };
        let number = instance(tag(value_of(field), b"i")?)?;
        if sets.len() < number {
            sets.resize(number, [None; 3]);
        }
        let place = sets.get_mut(number - 1)?.get_mut(at)?;
        if place.replace(field).is_some() {
            return None;
        }
    }
    let whole =
        |[results, signature, seal]: [Option<&'m [u8]>; 3]| Some([results?, signature?, seal?]);
    sets.into_iter().map(whole).collect()
}

/// RFC 8617 §4.2.1: one or two digits.
fn instance(text: &[u8]) -> Option<usize> {
    let is_number = (1..=2).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(text).ok().filter(|_| is_number)?;
    let number = number.parse().ok()?;
    (1..=ARC_SETS_MAX).contains(&number).then_some(number)
}

fn has_failed(sets: &[[&[u8]; 3]]) -> bool {
    let last = sets
        .last()
        .and_then(|[.., seal]| tag(value_of(seal), b"cv"));
    last.is_some_and(|state| state.eq_ignore_ascii_case(b"fail"))
}

/// The value of a tag (RFC 6376 §3.2).
fn tag<'v>(value: &'v [u8], name: &[u8]) -> Option<&'v [u8]> {
    value.split(|octet| *octet == b';').find_map(|part| {
        let at = memchr::memchr(b'=', part)?;
        (part[..at].trim_ascii() == name).then(|| part[at + 1..].trim_ascii())
    })
}

/// What our own fields say behind our name, together (RFC 8617 §4.1.1). Ours are above the Received field that we have put in;
/// those below came with the message. `None`: nothing was looked at.
fn our_results(split: &Split<'_>, authserv_id: &str) -> Option<String> {
    let is = |field: &[u8], name: &str| name_of(field).eq_ignore_ascii_case(name.as_bytes());
    let received = split
        .fields
        .iter()
        .position(|field| is(field, "Received"))?;
    let results = split.fields[..received]
        .iter()
        .filter(|field| is(field, "Authentication-Results"))
        .filter(|field| claims(value_of(field), authserv_id))
        .filter_map(|ours| {
            let text = std::str::from_utf8(value_of(ours)).ok()?;
            Some(text.split_once(';')?.1.trim())
        });
    let results: Vec<&str> = results
        .filter(|results| !results.is_empty() && *results != "none")
        .collect();
    (!results.is_empty()).then(|| results.join(";\r\n\t"))
}

/// The result of the method `arc` in an Authentication-Results field as we write it.
fn arc_result(results: &str) -> Option<&str> {
    let result = results
        .split(';')
        .find_map(|result| result.trim().strip_prefix("arc="))?;
    result.split_ascii_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_have_found() {
        let of = |message: &str| our_results(&Split::of(message.as_bytes()), "mail.example.org");
        let ours = "Authentication-Results: mail.example.org;\r\n\tdkim=pass header.d=a.b;\r\n\tarc=pass\r\n";
        let results = of(&format!("Delivered-To: x\r\n{ours}Received: by us\r\n\r\n"));
        assert_eq!(
            results.as_deref(),
            Some("dkim=pass header.d=a.b;\r\n\tarc=pass")
        );
        assert_eq!(results.as_deref().and_then(arc_result), Some("pass"));
        // What came with the message, or is another's, is not what we have found.
        assert_eq!(of(&format!("Received: by us\r\n{ours}\r\n")), None);
        assert_eq!(of(&format!("{ours}\r\n")), None);
        assert_eq!(
            of(&format!(
                "{}Received: by us\r\n\r\n",
                ours.replace("mail.", "mx.")
            )),
            None
        );
    }

    #[test]
    fn sets_are_whole() {
        let set = |i: u32| {
            format!(
                "ARC-Seal: i={i}; cv=none\r\nARC-Message-Signature: a=x; i={i}\r\nARC-Authentication-Results: i={i}; a; none\r\n"
            )
        };
        let count = |text: &str| sets(&Split::of(text.as_bytes())).map(|sets| sets.len());
        assert_eq!(count("From: a\r\n"), Some(0));
        assert_eq!(count(&[set(2), set(1)].concat()), Some(2));
        assert_eq!(count(&set(2)), None);
        assert_eq!(count(&[set(1), set(1)].concat()), None);
        assert_eq!(count(&set(1).replace("ARC-Seal", "X")), None);
        for number in ["0", "51", "4294967296", "x", "", "+1", "001"] {
            assert_eq!(count(&set(1).replace("i=1", &format!("i={number}"))), None);
        }
    }
}

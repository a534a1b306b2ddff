//! The Sender Rewriting Scheme: reverse-paths of mail that goes on to other servers, so that SPF passes there and failures come back
//! here first.
//!
//! Holds: an address that comes back is believed only with our code in it, and for [`DAYS_MAX`] days; what others have rewritten isn't
//! rewritten twice, but made to skip the hops between (SRS1). Letter case counts for nothing, since some servers lose it.
//! Other half: `super` asks; `directory::resolve` knows the addresses at RCPT.
//!
//! `SRS0=code=day=domain=local`, and `SRS1=code=first-hop=` with what followed `SRS0` in the address of the first hop.

use aws_lc_rs::hmac;
use subtle::ConstantTimeEq as _;

use crate::directory::names::LOCAL_PART_OCTETS_MAX;

/// How long failures may take to come back.
pub const DAYS_MAX: u64 = 21;
/// Characters of a code: 40 bits.
const CODE_CHARACTERS: usize = 8;
/// Days are counted modulo this: two characters.
const DAY_MODULUS: u64 = 1024;
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Why an address isn't taken for one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SrsError {
    #[error("the address is not of the form that is made here")]
    Form,
    #[error("the address was not made here")]
    Code,
    #[error("the address is too old")]
    Age,
}

/// Makes and reads such addresses, with the key of this server.
pub(crate) struct Srs(hmac::Key);

impl std::fmt::Debug for Srs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Srs(..)")
    }
}

/// What follows `SRS0` or `SRS1` and its separator.
enum Form<'a> {
    /// From the separator on.
    Srs0(&'a str),
    Srs1(&'a str),
}

fn form(local: &str) -> Option<Form<'_>> {
    let (name, rest) = (local.get(..4)?, local.get(4..)?);
    if !rest.starts_with(['=', '+', '-']) {
        return None;
    }
    if name.eq_ignore_ascii_case("SRS0") {
        return Some(Form::Srs0(rest));
    }
    name.eq_ignore_ascii_case("SRS1")
        .then(|| Form::Srs1(&rest[1..]))
}

/// Whether a local part looks like one of the scheme.
pub(crate) fn is_srs(local: &str) -> bool {
    form(local).is_some()
}

impl Srs {
    /// With a key of its own that comes from the one that the store keeps.
    pub fn of_server(secret: &[u8]) -> Self {
        Self::new(&blake3::derive_key("posthorn sender rewriting", secret))
    }

    pub fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The local part, at a domain of ours, that stands for `sender`. `None`: it would be too long (RFC 5321 §4.5.3.1.1). `day`: since 1970.
    pub fn local_part(&self, sender: &str, day: u64) -> Option<String> {
        let (local, domain) = sender.rsplit_once('@')?;
        let rewritten = match form(local) {
            Some(Form::Srs0(rest)) => {
                let code = self.code(&["SRS1", domain, rest]);
                format!("SRS1={code}={domain}={rest}")
            }
            Some(Form::Srs1(rest)) => {
                let (_, rest) = rest.split_once('=')?;
                let (first, rest) = rest.split_once('=')?;
                let code = self.code(&["SRS1", first, rest]);
                format!("SRS1={code}={first}={rest}")
            }
            None => {
                let day = day_text(day);
                let code = self.code(&["SRS0", &day, domain, local]);
                format!("SRS0={code}={day}={domain}={local}")
            }
        };
        (rewritten.len() <= LOCAL_PART_OCTETS_MAX).then_some(rewritten)
    }

    /// Whom such a local part stands for.
    pub fn sender(&self, local: &str, day: u64) -> Result<String, SrsError> {
        match form(local).ok_or(SrsError::Form)? {
            Form::Srs0(rest) => {
                let mut fields = rest[1..].splitn(4, '=');
                let mut next = || fields.next().filter(|field| !field.is_empty());
                let (Some(code), Some(made), Some(domain), Some(local)) =
                    (next(), next(), next(), next())
                else {
                    return Err(SrsError::Form);
                };
                self.check(code, &["SRS0", made, domain, local])?;
                let made = day_of(made).ok_or(SrsError::Form)?;
                let age = (day % DAY_MODULUS + DAY_MODULUS - made) % DAY_MODULUS;
                match age <= DAYS_MAX {
                    true => Ok(format!("{local}@{domain}")),
                    false => Err(SrsError::Age),
                }
            }
            Form::Srs1(rest) => {
                let mut fields = rest.splitn(3, '=');
                let mut next = || fields.next().filter(|field| !field.is_empty());
                let (Some(code), Some(first), Some(rest)) = (next(), next(), next()) else {
                    return Err(SrsError::Form);
                };
                self.check(code, &["SRS1", first, rest])?;
                // The first hop looks at the age.
                match rest.starts_with(['=', '+', '-']) {
                    true => Ok(format!("SRS0{rest}@{first}")),
                    false => Err(SrsError::Form),
                }
            }
        }
    }

    fn check(&self, code: &str, fields: &[&str]) -> Result<(), SrsError> {
        let (code, ours) = (code.to_ascii_uppercase(), self.code(fields));
        let is_ours = bool::from(code.as_bytes().ct_eq(ours.as_bytes()));
        is_ours.then_some(()).ok_or(SrsError::Code)
    }

    fn code(&self, fields: &[&str]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        for field in fields {
            context.update(field.to_ascii_lowercase().as_bytes());
            // Not in an address, so no two lists of fields are the same octets.
            context.update(b"\0");
        }
        let tag = context.sign();
        let first = tag.as_ref().first_chunk::<8>().copied();
        let mut bits = first.map_or(0, u64::from_be_bytes);
        let mut code = String::with_capacity(CODE_CHARACTERS);
        for _ in 0..CODE_CHARACTERS {
            code.push(character(bits >> 59));
            bits <<= 5;
        }
        code
    }
}

fn character(number: u64) -> char {
    let at = usize::try_from(number % 32).unwrap_or(0);
    BASE32.get(at).map_or('A', |octet| char::from(*octet))
}

fn day_text(day: u64) -> String {
    [character(day >> 5), character(day)].iter().collect()
}

fn day_of(text: &str) -> Option<u64> {
    let digit = |octet: u8| {
        let octet = octet.to_ascii_uppercase();
        let at = BASE32.iter().position(|known| *known == octet)?;
        u64::try_from(at).ok()
    };
    match text.as_bytes() {
        [high, low] => Some(digit(*high)? * 32 + digit(*low)?),
        _ => None,
    }
}

//! The stored form of a password.
//! Holds: what is written is argon2id (RFC 9106) as a PHC string; what is read may be older, and is then reported
//! as outdated so that it is replaced at the next login. A stored hash can't ask for more work than the bounds.
//! Other half: [`super::hasher`] decides when this work may run. These functions take tens of milliseconds.

use argon2::password_hash::phc::{Output, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

use super::{PASSWORD_OCTETS_MAX, prepare};
use crate::rng::Rng;

/// Memory of one new hash, in KiB (with the next two: the second recommendation of OWASP, 2023).
pub const HASH_MEMORY_KIB: u32 = 19_456;
/// Passes over the memory of a new hash.
pub const HASH_PASSES: u32 = 2;
/// Lanes of a new hash.
pub const HASH_LANES: u32 = 1;
/// Length of a new hash, in octets.
pub const HASH_OCTETS: usize = 32;
/// Length of a new salt, in octets.
pub const SALT_OCTETS: usize = 16;

/// Most memory that a stored hash may ask for, in KiB.
pub const STORED_MEMORY_KIB_MAX: u32 = 128 * 1024;
/// Most passes that a stored hash may ask for.
pub const STORED_PASSES_MAX: u32 = 16;
/// Most lanes that a stored hash may ask for.
pub const STORED_LANES_MAX: u32 = 16;
/// Shortest hash that is worth comparing with, in octets.
pub const STORED_HASH_OCTETS_MIN: usize = 16;
/// Longest stored form, in octets.
pub const STORED_OCTETS_MAX: usize = 512;

/// The outcome of comparing a password with its stored form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Wrong,
    /// `outdated`: the stored form is weaker than what [`hash`] makes today, and should be replaced.
    Right {
        outdated: bool,
    },
}

/// Why a stored form can't be used. The text has no part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoredHashError {
    #[error("the stored password hash can't be read")]
    Malformed,
    #[error("the stored password hash asks for more work than is allowed")]
    TooCostly,
    #[error("the password hash could not be computed")]
    Failed,
}

/// The stored form of `password`: `$argon2id$v=19$m=..,t=..,p=..$salt$hash`.
///
/// # Errors
/// [`StoredHashError::Failed`] when there is not enough memory.
pub fn hash(password: &str, rng: &dyn Rng) -> Result<String, StoredHashError> {
    let mut salt = [0; SALT_OCTETS];
    rng.fill(&mut salt);
    let params = current_params()?;
    let mut out = [0; HASH_OCTETS];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone())
        .hash_password_into(prepare(password).expose().as_bytes(), &salt, &mut out)
        .map_err(|_| StoredHashError::Failed)?;
    let failed = |_| StoredHashError::Failed;
    let stored = PasswordHash {
        algorithm: argon2::ARGON2ID_IDENT,
        version: Some(Version::V0x13.into()),
        params: (&params).try_into().map_err(|_| StoredHashError::Failed)?,
        salt: Some(Salt::new(&salt).map_err(failed)?),
        hash: Some(Output::new(&out).map_err(failed)?),
    };
    Ok(stored.to_string())
}

/// Compares `password` with a stored form: argon2 as a PHC string, with or without `{ARGON2ID}` before it, or the
/// salted digests that LDAP directories hold (`{SSHA}`, `{SSHA256}`, `{SSHA512}`).
///
/// A password longer than [`PASSWORD_OCTETS_MAX`] is wrong. A digest takes as long as a hash of today, so that the
/// time does not tell which accounts still have one.
pub fn verify(stored: &str, password: &str) -> Result<Verdict, StoredHashError> {
    if stored.len() > STORED_OCTETS_MAX {
        return Err(StoredHashError::Malformed);
    }
    if password.len() > PASSWORD_OCTETS_MAX {
        waste_time();
        return Ok(Verdict::Wrong);
    }
    let Some((scheme, rest)) = scheme(stored) else {
        return verify_argon2(stored, password);
    };
    let algorithm = match scheme.to_ascii_uppercase().as_str() {
        "ARGON2ID" | "ARGON2I" | "ARGON2" => return verify_argon2(rest, password),
        "SSHA" => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        "SSHA256" => &digest::SHA256,
        "SSHA512" => &digest::SHA512,
        _ => return Err(StoredHashError::Malformed),
    };
    waste_time();
    verify_salted_digest(algorithm, rest, password)
}

/// Takes as long as a [`verify`] of a hash of today, for accounts that don't exist.
pub fn waste_time() {
    let Ok(params) = current_params() else { return };
    let mut out = [0; HASH_OCTETS];
    let done = Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(
        b"nobody's password",
        &[0; SALT_OCTETS],
        &mut out,
    );
    std::hint::black_box((done.is_ok(), out));
}

fn current_params() -> Result<Params, StoredHashError> {
    Params::new(HASH_MEMORY_KIB, HASH_PASSES, HASH_LANES, Some(HASH_OCTETS))
        .map_err(|_| StoredHashError::Failed)
}

/// `{SCHEME}rest`, as LDAP directories write it (RFC 2307 §5.3).
fn scheme(stored: &str) -> Option<(&str, &str)> {
    stored.strip_prefix('{')?.split_once('}')
}

fn verify_argon2(stored: &str, password: &str) -> Result<Verdict, StoredHashError> {
    let stored = PasswordHash::new(stored).map_err(|_| StoredHashError::Malformed)?;
    let algorithm =
        Algorithm::try_from(stored.algorithm.as_str()).map_err(|_| StoredHashError::Malformed)?;
    // The PHC strings of argon2 before it had a version field are of version 1.0.
    let version = match stored.version {
        Some(version) => Version::try_from(version).map_err(|_| StoredHashError::Malformed)?,
        None => Version::V0x10,
    };
    let params = Params::try_from(&stored).map_err(|_| StoredHashError::Malformed)?;
    let (Some(salt), Some(want)) = (&stored.salt, &stored.hash) else {
        return Err(StoredHashError::Malformed);
    };
    if want.len() < STORED_HASH_OCTETS_MIN {
        return Err(StoredHashError::Malformed);
    }
    if params.m_cost() > STORED_MEMORY_KIB_MAX
        || params.t_cost() > STORED_PASSES_MAX
        || params.p_cost() > STORED_LANES_MAX
    {
        return Err(StoredHashError::TooCostly);
    }
    let outdated = algorithm != Algorithm::Argon2id
        || version != Version::V0x13
        || params.m_cost() < HASH_MEMORY_KIB
        || params.t_cost() < HASH_PASSES
        || want.len() < HASH_OCTETS;
    let mut out = [0; Output::MAX_LENGTH];
    let out = &mut out[..want.len()];
    Argon2::new(algorithm, version, params)
        .hash_password_into(prepare(password).expose().as_bytes(), salt.as_ref(), out)
        .map_err(|_| StoredHashError::Failed)?;
    Ok(verdict(out, want.as_bytes(), outdated))
}

/// base64 of digest(password, salt), salt. The password is taken as it came: whoever made the digest did so too.
fn verify_salted_digest(
    algorithm: &'static digest::Algorithm,
    stored: &str,
    password: &str,
) -> Result<Verdict, StoredHashError> {
    let octets = STANDARD
        .decode(stored)
        .map_err(|_| StoredHashError::Malformed)?;
    let Some((want, salt)) = octets.split_at_checked(algorithm.output_len()) else {
        return Err(StoredHashError::Malformed);
    };
    let mut context = digest::Context::new(algorithm);
    context.update(password.as_bytes());
    context.update(salt);
    Ok(verdict(context.finish().as_ref(), want, true))
}

fn verdict(got: &[u8], want: &[u8], outdated: bool) -> Verdict {
    if got.ct_eq(want).into() {
        Verdict::Right { outdated }
    } else {
        Verdict::Wrong
    }
}

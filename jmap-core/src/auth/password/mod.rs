//! Passwords: which are allowed, and how they are brought into one form.
//! Holds: two spellings of a password that look alike are one password (RFC 8265 §4.2, OpaqueString).
//! Other half: [`hash`] makes and checks the stored form; [`hasher`] bounds the work that this is.

pub mod hash;
pub mod hasher;

use unicode_normalization::UnicodeNormalization;

use super::secret::Secret;

pub use hash::{StoredHashError, Verdict};
pub use hasher::{PasswordError, PasswordHasher};

/// Longest password that is looked at, in octets; a longer one is wrong.
pub const PASSWORD_OCTETS_MAX: usize = 1024;
/// Shortest new password, in characters (NIST SP 800-63B §5.1.1.2).
pub const PASSWORD_CHARACTERS_MIN: usize = 8;

/// Why a new password is not accepted. The sentences are meant for the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("the password is shorter than {PASSWORD_CHARACTERS_MIN} characters")]
    TooShort,
    #[error("the password is longer than {PASSWORD_OCTETS_MAX} octets")]
    TooLong,
    #[error("the password has a control character")]
    ControlCharacter,
    #[error("the password is the same as the login name")]
    SameAsLogin,
    #[error("the password is one character repeated")]
    OneCharacter,
}

/// Whether `password` may become the password of the account that logs in as `login`.
pub fn check_new(password: &Secret<String>, login: &str) -> Result<(), PolicyError> {
    let text = password.expose();
    if text.len() > PASSWORD_OCTETS_MAX {
        return Err(PolicyError::TooLong);
    }
    if text.chars().any(char::is_control) {
        return Err(PolicyError::ControlCharacter);
    }
    let prepared = prepare(text);
    let text = prepared.expose();
    if text.len() > PASSWORD_OCTETS_MAX {
        return Err(PolicyError::TooLong);
    }
    if text.chars().count() < PASSWORD_CHARACTERS_MIN {
        return Err(PolicyError::TooShort);
    }
    let name = login.split('@').next().unwrap_or(login);
    if text.eq_ignore_ascii_case(login) || text.eq_ignore_ascii_case(name) {
        return Err(PolicyError::SameAsLogin);
    }
    let mut characters = text.chars();
    let first = characters.next();
    if characters.all(|next| Some(next) == first) {
        return Err(PolicyError::OneCharacter);
    }
    Ok(())
}

/// RFC 8265 §4.2.2: every space is the ASCII space, and the text is in Normalization Form C. Case is kept.
pub fn prepare(password: &str) -> Secret<String> {
    // An ASCII password, which is nearly every one, is already in that form.
    if password.is_ascii() {
        return Secret::from(password);
    }
    // Composed once into room enough, so that no copy is left behind by growing.
    let mut prepared = String::with_capacity(password.len() * 3);
    prepared.extend(password.chars().map(ascii_space).nfc());
    Secret::new(prepared)
}

fn ascii_space(character: char) -> char {
    match character {
        // Unicode's category Zs without U+0020.
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => {
            ' '
        }
        other => other,
    }
}

#[cfg(test)]
mod tests;

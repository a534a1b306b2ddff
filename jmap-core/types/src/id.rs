//! Identifiers (RFC 8620 §1.2), states, and blob ids.
//!
//! Holds: what is printed here is always a valid Id: 1 to 255 of `A-Za-z0-9-_`, beginning
//! with a letter, never different from another Id only in letter case.

use std::{fmt, hash::Hash, marker::PhantomData, str::FromStr};

/// The letter that an object's ids begin with.
pub trait ObjectKind: 'static {
    const PREFIX: char;
}

/// The id of an object of kind `T` within its account.
pub struct Id<T>(u64, PhantomData<fn() -> T>);

/// The kind of accounts; see [`AccountId`].
#[derive(Debug)]
pub enum Account {}

impl ObjectKind for Account {
    const PREFIX: char = 'a';
}

pub type AccountId = Id<Account>;

/// Lower-case base 32 without the letters that are taken for digits.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl<T> Id<T> {
    pub const fn new(number: u64) -> Self {
        Self(number, PhantomData)
    }

    pub const fn number(self) -> u64 {
        self.0
    }
}

impl<T: ObjectKind> Id<T> {
    /// The id that `text` names, if it has the shape of an id of this kind.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(T::PREFIX)?;
        parse_base32(digits).map(Self::new)
    }

    pub fn to_wire(self) -> WireId {
        WireId(self.to_string().into())
    }
}

fn parse_base32(digits: &str) -> Option<u64> {
    // One spelling a number: no leading zeros, at most 13 digits.
    if digits.is_empty() || digits.len() > 13 || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    digits.bytes().try_fold(0u64, |number, byte| {
        let digit = DIGITS.iter().position(|&d| d == byte)? as u64;
        number.checked_mul(32)?.checked_add(digit)
    })
}

impl<T: ObjectKind> fmt::Display for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buffer = [0u8; 14];
        let mut at = buffer.len();
        let mut rest = self.0;
        loop {
            at -= 1;
            buffer[at] = DIGITS[(rest % 32) as usize];
            rest /= 32;
            if rest == 0 {
                break;
            }
        }
        at -= 1;
        buffer[at] = T::PREFIX as u8;
        f.write_str(std::str::from_utf8(&buffer[at..]).unwrap_or_default())
    }
}

impl<T: ObjectKind> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<T> Eq for Id<T> {}
impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<T> Hash for Id<T> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// An Id as a client wrote it: of the right alphabet, perhaps of nothing that exists.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WireId(Box<str>);

pub const ID_OCTETS_MAX: usize = 255;

impl WireId {
    /// RFC 8620 §1.2: 1 to 255 octets of the URL-safe base64 alphabet.
    pub fn parse(text: &str) -> Option<Self> {
        Self::is_valid(text).then(|| Self(text.into()))
    }

    /// Whether [`WireId::parse`] takes it.
    pub fn is_valid(text: &str) -> bool {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (1..=ID_OCTETS_MAX).contains(&text.len()) && text.bytes().all(is_allowed)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn as_id<T: ObjectKind>(&self) -> Option<Id<T>> {
        Id::parse(&self.0)
    }
}

impl fmt::Display for WireId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for WireId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<T: ObjectKind> From<Id<T>> for WireId {
    fn from(id: Id<T>) -> Self {
        id.to_wire()
    }
}

/// A place in an account's one sequence of changes (RFC 8620 §1.6.3 `state`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct State(pub u64);

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}

impl FromStr for State {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.strip_prefix('s').ok_or(())?;
        plain_number(digits).map(State).ok_or(())
    }
}

/// What /changes calls a state: one of the account, or one within a transaction that changed more objects than the
/// client takes at once (RFC 8620 §5.2: an "intermediate state").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ChangesState {
    Whole(State),
    /// The client has all up to `since`, and of what followed up to `upto` the objects up to number `told`.
    Within {
        since: u64,
        upto: u64,
        told: u64,
    },
}

impl Default for ChangesState {
    fn default() -> Self {
        Self::Whole(State::default())
    }
}

impl fmt::Display for ChangesState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(state) => state.fmt(f),
            Self::Within { since, upto, told } => write!(f, "s{since}-{upto}-{told}"),
        }
    }
}

impl FromStr for ChangesState {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let Some((since, within)) = text.split_once('-') else {
            return text.parse().map(Self::Whole);
        };
        let (upto, told) = within.split_once('-').ok_or(())?;
        Ok(Self::Within {
            since: since.parse::<State>()?.0,
            upto: plain_number(upto).ok_or(())?,
            told: plain_number(told).ok_or(())?,
        })
    }
}

/// Digits alone, without zeros in front: what has one name only.
fn plain_number(digits: &str) -> Option<u64> {
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let padded = digits.len() > 1 && digits.starts_with('0');
    (plain && !padded).then(|| digits.parse().ok()).flatten()
}

/// Names bytes: a whole blob by its BLAKE3 hash, or a decoded section of one (a body part).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct BlobId {
    pub hash: [u8; 32],
    pub section: Option<Section>,
}

/// `start..end` of the blob, octets, to be decoded by `encoding`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Section {
    pub start: u32,
    pub end: u32,
    pub encoding: TransferEncoding,
}

/// RFC 2045 §6: how a section is to be decoded.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum TransferEncoding {
    Identity,
    QuotedPrintable,
    Base64,
}

impl BlobId {
    pub const fn whole(hash: [u8; 32]) -> Self {
        Self {
            hash,
            section: None,
        }
    }

    pub const fn section(hash: [u8; 32], section: Section) -> Self {
        Self {
            hash,
            section: Some(section),
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.strip_prefix('b')?.split('-');
        let hash = parse_hex(fields.next()?)?;
        let Some(encoding) = fields.next() else {
            return Some(Self::whole(hash));
        };
        let encoding = match encoding {
            "i" => TransferEncoding::Identity,
            "q" => TransferEncoding::QuotedPrintable,
            "b" => TransferEncoding::Base64,
            _ => return None,
        };
        let start = parse_base32(fields.next()?)?.try_into().ok()?;
        let end = parse_base32(fields.next()?)?.try_into().ok()?;
        if fields.next().is_some() || start > end {
            return None;
        }
        Some(Self::section(
            hash,
            Section {
                start,
                end,
                encoding,
            },
        ))
    }

    pub fn to_wire(self) -> WireId {
        WireId(self.to_string().into())
    }
}

fn parse_hex(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0u8; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |b: u8| match b {
            b'0'..=b'9' => Some(b - b'0'),
            b'a'..=b'f' => Some(b - b'a' + 10),
            _ => None,
        };
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(hash)
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut buffer = [0u8; 65];
        buffer[0] = b'b';
        for (at, byte) in self.hash.iter().enumerate() {
            buffer[1 + at * 2] = HEX[(byte >> 4) as usize];
            buffer[2 + at * 2] = HEX[(byte & 15) as usize];
        }
        f.write_str(std::str::from_utf8(&buffer).unwrap_or_default())?;
        let Some(section) = self.section else {
            return Ok(());
        };
        let encoding = match section.encoding {
            TransferEncoding::Identity => 'i',
            TransferEncoding::QuotedPrintable => 'q',
            TransferEncoding::Base64 => 'b',
        };
        let base32 = |number: u32| Id::<Account>::new(number.into()).to_string()[1..].to_owned();
        write!(
            f,
            "-{encoding}-{}-{}",
            base32(section.start),
            base32(section.end)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_spelling() {
        for number in [0, 1, 31, 32, 1023, 1024, u64::MAX] {
            let text = AccountId::new(number).to_string();
            assert_eq!(
                AccountId::parse(&text),
                Some(AccountId::new(number)),
                "{text}"
            );
        }
        for wrong in [
            "",
            "a",
            "a00",
            "a01",
            "e1",
            "aA",
            "al",
            "azzzzzzzzzzzzz",
            "a1 ",
        ] {
            assert_eq!(AccountId::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn states_and_blob_ids_come_back() {
        assert_eq!("s17".parse(), Ok(State(17)));
        for wrong in ["", "s", "17", "s017", "s+1", "s-1"] {
            assert_eq!(wrong.parse::<State>(), Err(()), "{wrong}");
        }
        let within = ChangesState::Within {
            since: 3,
            upto: 17,
            told: 250,
        };
        for state in [ChangesState::Whole(State(17)), within] {
            assert_eq!(state.to_string().parse(), Ok(state));
        }
        for wrong in [
            "s3-",
            "s3-17",
            "s3-17-",
            "s3-17-1-1",
            "3-17-1",
            "s3-017-1",
            "s3--1",
        ] {
            assert_eq!(wrong.parse::<ChangesState>(), Err(()), "{wrong}");
        }
        let section = Section {
            start: 7,
            end: 4000,
            encoding: TransferEncoding::Base64,
        };
        for id in [BlobId::whole([0xa5; 32]), BlobId::section([1; 32], section)] {
            assert_eq!(BlobId::parse(&id.to_string()), Some(id));
        }
        assert_eq!(BlobId::parse("b12"), None);
    }

    #[test]
    fn one_past_the_length_of_an_id() {
        for (octets, is_id) in [(0, false), (1, true), (ID_OCTETS_MAX, true)] {
            assert_eq!(WireId::parse(&"x".repeat(octets)).is_some(), is_id);
        }
        let long = "x".repeat(ID_OCTETS_MAX + 1);
        assert_eq!(WireId::parse(&long), None);
        // Arguments go the same way (RFC 8620 §1.2).
        let id = crate::value::string(long);
        assert_eq!(<WireId as crate::FromValue>::from_value(id), None);
    }
}

//! Encryption: files as age makes them (age-encryption.org/v1), so that the tool `age` opens them as well.
//!
//! Holds: who only makes backups needs no secret; under a passphrase there is one identity, so that each file doesn't cost
//! what a passphrase is made to cost.

use std::{
    fmt,
    io::{self, Read as _, Write as _},
    str::FromStr as _,
};

use age::{
    Decryptor, Encryptor,
    secrecy::{ExposeSecret as _, SecretString},
    x25519,
};
use zeroize::Zeroizing;

use crate::{Error, Name, storage::FILE_OCTETS_MAX};

/// Recipients of one repository.
pub const RECIPIENTS_MAX: usize = 32;
/// The most that a passphrase is let cost when it is checked: 2 to this.
const WORK_FACTOR_MAX: u8 = 22;

/// How a new repository is encrypted.
#[derive(Clone)]
pub enum Encryption {
    None,
    /// To these recipients of age.
    Recipients(Vec<String>),
    Passphrase(Zeroizing<String>),
}

/// What opens a repository.
#[derive(Clone, Default)]
pub enum Key {
    #[default]
    None,
    /// The text of a file of age identities.
    Identity(Zeroizing<String>),
    Passphrase(Zeroizing<String>),
}

impl fmt::Debug for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Recipients(_) => "Recipients",
            Self::Passphrase(_) => "Passphrase",
        })
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Identity(_) => "Identity",
            Self::Passphrase(_) => "Passphrase",
        })
    }
}

/// The recipients of a repository, or nothing where it isn't encrypted.
#[derive(Clone, Default)]
pub(crate) struct Seal {
    recipients: Vec<x25519::Recipient>,
}

/// Opens what is sealed.
#[derive(Clone, Default)]
pub(crate) struct Opener {
    identities: Vec<x25519::Identity>,
}

impl Seal {
    pub fn new(recipients: &[String]) -> Result<Self, Error> {
        let parse = |text: &String| {
            x25519::Recipient::from_str(text.trim()).map_err(|_| Error::Recipient(text.clone()))
        };
        if recipients.len() > RECIPIENTS_MAX {
            return Err(Error::Recipient("too many".to_owned()));
        }
        let recipients = recipients.iter().map(parse).collect::<Result<_, _>>()?;
        Ok(Self { recipients })
    }

    pub fn is_encrypted(&self) -> bool {
        !self.recipients.is_empty()
    }

    /// The octets of the file.
    pub fn seal(&self, content: Vec<u8>) -> Result<Vec<u8>, Error> {
        if !self.is_encrypted() {
            return Ok(content);
        }
        let recipients = self.recipients.iter().map(|r| r as &dyn age::Recipient);
        let encryptor = Encryptor::with_recipients(recipients)
            .map_err(|error| Error::Recipient(error.to_string()))?;
        encrypt(encryptor, &content)
    }
}

fn encrypt(encryptor: Encryptor, content: &[u8]) -> Result<Vec<u8>, Error> {
    let mut sealed = Vec::with_capacity(content.len() + content.len() / 4096 + 512);
    let written = encryptor.wrap_output(&mut sealed).and_then(|mut writer| {
        writer.write_all(content)?;
        writer.finish().map(drop)
    });
    written.map_err(|error| Error::Storage {
        path: "age".to_owned(),
        why: error.to_string(),
    })?;
    Ok(sealed)
}

impl Opener {
    pub fn is_empty(&self) -> bool {
        self.identities.is_empty()
    }

    /// Of the text of a file of identities.
    pub fn of_identities(text: &str) -> Result<Self, Error> {
        let lines = text.lines().map(str::trim);
        let keys = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let identities: Vec<x25519::Identity> = keys
            .map(|line| x25519::Identity::from_str(line).map_err(|_| Error::Identity))
            .collect::<Result<_, _>>()?;
        match identities.is_empty() {
            true => Err(Error::Identity),
            false => Ok(Self { identities }),
        }
    }

    /// The content of a file that was sealed.
    pub fn open(&self, path: &str, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        if self.is_empty() {
            return Err(Error::NeedsKey);
        }
        let identities = self.identities.iter().map(|i| i as &dyn age::Identity);
        decrypt(path, sealed, identities)
    }
}

fn decrypt<'i>(
    path: &str,
    sealed: &[u8],
    identities: impl Iterator<Item = &'i dyn age::Identity>,
) -> Result<Vec<u8>, Error> {
    let damaged = |error: String| Error::damaged(path, error);
    let decryptor = Decryptor::new(sealed).map_err(|error| damaged(error.to_string()))?;
    let reader = match decryptor.decrypt(identities) {
        Ok(reader) => reader,
        Err(
            age::DecryptError::NoMatchingKeys
            | age::DecryptError::KeyDecryptionFailed
            | age::DecryptError::DecryptionFailed,
        ) => return Err(Error::WrongKey),
        Err(error) => return Err(damaged(error.to_string())),
    };
    let mut content = Vec::with_capacity(sealed.len());
    let read: io::Result<usize> = reader.take(FILE_OCTETS_MAX).read_to_end(&mut content);
    read.map_err(|error| damaged(error.to_string()))?;
    Ok(content)
}

/// A new identity under a passphrase: the recipient, and the file that has the identity.
pub(crate) fn new_identity(passphrase: &str) -> Result<(String, Opener, Vec<u8>), Error> {
    let identity = x25519::Identity::generate();
    let text = Zeroizing::new(format!("{}\n", identity.to_string().expose_secret()));
    let encryptor = Encryptor::with_user_passphrase(SecretString::from(passphrase.to_owned()));
    let file = encrypt(encryptor, text.as_bytes())?;
    let recipient = identity.to_public().to_string();
    let opener = Opener {
        identities: vec![identity],
    };
    Ok((recipient, opener, file))
}

/// Opens the file that has the identity.
pub(crate) fn open_identity(path: &str, file: &[u8], passphrase: &str) -> Result<Opener, Error> {
    let mut identity = age::scrypt::Identity::new(SecretString::from(passphrase.to_owned()));
    identity.set_max_work_factor(WORK_FACTOR_MAX);
    let identities = std::iter::once(&identity as &dyn age::Identity);
    let text = Zeroizing::new(decrypt(path, file, identities)?);
    let text = std::str::from_utf8(&text).map_err(|_| Error::damaged(path, "it is no text"))?;
    Opener::of_identities(text)
}

/// The name that the index has for an object: whoever hasn't the key can't look whether a mail that they have is in there.
pub(crate) fn keyed(naming: Option<&[u8; 32]>, name: &Name) -> [u8; 32] {
    match naming {
        Some(key) => *blake3::keyed_hash(key, &name.0).as_bytes(),
        None => name.0,
    }
}

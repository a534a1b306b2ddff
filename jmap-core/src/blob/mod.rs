//! Blobs: uploads, downloads, and taking away what nobody needs (RFC 8620 §6, RFC 9404).
//!
//! Holds: a blob is seen through an account that refers to it, and by a guest of the account only through an email
//! that they may read; an upload that nothing uses is seen by who has uploaded it alone, and goes after its time, a blob
//! that nothing refers to after a time of grace.
//! Other half: `store::blob` keeps the octets; objects add references of their own in their transactions.

mod methods;
#[cfg(test)]
mod tests;
mod uploads;
mod work;

use bytes::Bytes;
use jmap_types::{
    AccountId, BlobId, DataType, MethodError, MethodErrorKind, Section, SetError, SetErrorKind,
    TransferEncoding,
};
use store::{
    Record,
    engine::Page,
    keys::{self, BlobHash},
};

use crate::{
    Core,
    access::{self, Standing},
    caller::Caller,
    error::{method_error, set_error},
    mail::{access::is_email_visible, message::decode, records::EmailRecord},
};

pub use methods::{
    BLOB_GET_OCTETS_MAX, BLOBS_READ_MAX, DATA_SOURCES_MAX, DIGEST_ALGORITHMS, LOOKUP_TYPES,
};
pub(crate) use uploads::UPLOAD;
pub use uploads::{
    UPLOADERS_MAX, UPLOADS_OF_ACCOUNT_MAX, UPLOADS_WAITING_MAX, UploadRecord, Uploader,
};
pub use work::GRACE;

/// Octets from which on decoding leaves the network's threads alone.
const DECODE_INLINE_OCTETS: usize = 1 << 20;
/// References of one account to one blob that are looked at for a guest.
const REFERENCES_MAX: usize = 1000;

/// Why a blob could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// There is none, or not for this caller.
    #[error("there is no such blob")]
    NotFound,
    #[error("the blob is larger than {max} octets")]
    TooLarge { max: u64 },
    /// The caller has nothing to do with the account.
    #[error(transparent)]
    Account(MethodError),
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl From<BlobError> for SetError {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::NotFound => Self::new(SetErrorKind::BlobNotFound),
            BlobError::TooLarge { max } => {
                Self::new(SetErrorKind::TooLarge).with(jmap_types::Property::MaxSize, max)
            }
            BlobError::Account(_) => Self::new(SetErrorKind::Forbidden),
            BlobError::Store(error) => set_error(error),
        }
    }
}

impl From<BlobError> for MethodError {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::NotFound => Self::invalid_arguments("There is no such blob."),
            BlobError::TooLarge { max } => Self::describe(
                MethodErrorKind::RequestTooLarge,
                format!("A blob has at most {max} octets."),
            ),
            BlobError::Account(error) => error,
            BlobError::Store(error) => method_error(error),
        }
    }
}

impl Core {
    /// The octets of a blob, or of a decoded section of one.
    pub async fn read_blob(
        &self,
        who: &Caller,
        account: AccountId,
        id: BlobId,
    ) -> Result<Bytes, BlobError> {
        if !self.blob_is_visible(who, account, &id).await? {
            return Err(BlobError::NotFound);
        }
        let Some(section) = id.section else {
            let whole = store::blob::get(&self.engine, &id.hash).await?;
            return whole.ok_or(BlobError::NotFound);
        };
        let (start, end) = (u64::from(section.start), u64::from(section.end));
        if start > end {
            return Err(BlobError::NotFound);
        }
        let octets = store::blob::get_range(&self.engine, &id.hash, start..end)
            .await?
            .ok_or(BlobError::NotFound)?;
        if octets.len() as u64 != end - start {
            return Err(BlobError::NotFound);
        }
        Ok(decoded(octets, section).await)
    }

    /// Whether the account refers to the blob in a way that `who` may see.
    pub async fn blob_is_visible(
        &self,
        who: &Caller,
        account: AccountId,
        id: &BlobId,
    ) -> Result<bool, BlobError> {
        let standing = access::standing(who, account).map_err(BlobError::Account)?;
        let refs = self.blob_refs(account, &id.hash).await?;
        let is_upload = refs.contains(&(DataType::Email, UPLOAD));
        if is_upload && self.has_uploaded(who, account, &id.hash).await? {
            return Ok(true);
        }
        match standing {
            Standing::Owner => self.owner_sees(account, &refs).await,
            Standing::Guest => self.guest_sees(who, account, &refs).await,
        }
    }

    /// The objects of an account that refer to a blob.
    async fn blob_refs(
        &self,
        account: AccountId,
        hash: &BlobHash,
    ) -> Result<Vec<(DataType, u64)>, store::Error> {
        let page = Page::first(keys::blob_refs_of(hash, account), REFERENCES_MAX).keys_only();
        let rows = self.engine.scan(page).await?;
        // What only a newer version can read refers to the blob for that version.
        let refs = rows
            .iter()
            .filter_map(|(key, _)| keys::decode_blob_ref(key));
        Ok(refs.map(|(_, _, data_type, id)| (data_type, id)).collect())
    }

    /// RFC 8621 §4.1.1: what only emails with `\Deleted` refer to is not there for JMAP.
    async fn owner_sees(
        &self,
        account: AccountId,
        refs: &[(DataType, u64)],
    ) -> Result<bool, BlobError> {
        if refs
            .iter()
            .any(|(data_type, _)| *data_type != DataType::Email)
        {
            return Ok(true);
        }
        let handle = self.accounts.handle(account);
        if let Some(view) = handle.loaded_view() {
            return Ok(emails(refs).any(|id| view.email(id).is_some()));
        }
        let keys: Vec<_> = emails(refs)
            .map(|id| keys::object(account, DataType::Email, id))
            .collect();
        let rows = self
            .engine
            .multi_get(&keys)
            .await
            .map_err(store::Error::from)?;
        let is_visible = |(key, bytes): (&store::engine::Key, Option<Bytes>)| {
            let record = EmailRecord::from_bytes(key, &bytes?).ok()?;
            record.is_visible().then_some(())
        };
        Ok(keys.iter().zip(rows).find_map(is_visible).is_some())
    }

    async fn guest_sees(
        &self,
        who: &Caller,
        account: AccountId,
        refs: &[(DataType, u64)],
    ) -> Result<bool, BlobError> {
        let emails: Vec<u64> = emails(refs).collect();
        if emails.is_empty() {
            return Ok(false);
        }
        let handle = self.accounts.handle(account);
        let view = handle.view().await?;
        let mut rows = emails.into_iter().filter_map(|id| view.email(id));
        let readable = rows.any(|row| is_email_visible(&view, who, Standing::Guest, row));
        Ok(readable)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.now().0).unwrap_or(0)
    }
}

/// The emails among the objects that refer to a blob.
fn emails(refs: &[(DataType, u64)]) -> impl Iterator<Item = u64> + '_ {
    let is_email =
        |(data_type, id): &&(DataType, u64)| *data_type == DataType::Email && *id != UPLOAD;
    refs.iter().filter(is_email).map(|(_, id)| *id)
}

async fn decoded(octets: Bytes, section: Section) -> Bytes {
    let decode = move |octets: &[u8]| -> Vec<u8> {
        match section.encoding {
            TransferEncoding::Identity => octets.to_vec(),
            TransferEncoding::QuotedPrintable => decode::quoted_printable(octets).0,
            TransferEncoding::Base64 => decode::base64(octets).0,
        }
    };
    if section.encoding == TransferEncoding::Identity {
        return octets;
    }
    if octets.len() <= DECODE_INLINE_OCTETS {
        return decode(&octets).into();
    }
    let copy = octets.clone();
    match tokio::task::spawn_blocking(move || decode(&copy)).await {
        Ok(decoded) => decoded.into(),
        // The runtime is stopping.
        Err(_) => decode(&octets).into(),
    }
}

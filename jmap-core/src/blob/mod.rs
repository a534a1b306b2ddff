//! Blobs: uploads, downloads, and taking away what nobody needs (RFC 8620 §6, RFC 9404).
//!
//! Holds: a blob is seen through an account that refers to it, and by a guest of the account only through an email
//! that they may read; an upload that nothing uses goes after its time, a blob that nothing refers to after a
//! time of grace.
//! Other half: `store::blob` keeps the octets; objects add references of their own in their transactions.

mod methods;
#[cfg(test)]
mod tests;
mod work;

use bytes::Bytes;
use jmap_types::{
    AccountId, BlobId, DataType, MethodError, MethodErrorKind, Section, SetError, SetErrorKind,
    TransferEncoding,
};
use minicbor::{Decode, Encode};
use store::{
    Record,
    engine::{Batch, Page},
    keys::{self, BlobHash},
};

use crate::{
    Core,
    access::{self, Standing},
    caller::Caller,
    error::{method_error, set_error},
    mail::{access::is_email_visible, message::decode, records::EmailRecord},
};

pub use methods::{BLOB_GET_OCTETS_MAX, DATA_SOURCES_MAX, DIGEST_ALGORITHMS, LOOKUP_TYPES};
pub use work::GRACE;

/// An upload that nothing may use yet. Its reference keeps the blob.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct UploadRecord {
    /// Milliseconds since 1970.
    #[n(0)]
    pub expires: u64,
    /// Octets.
    #[n(1)]
    pub size: u64,
    #[n(2)]
    pub media_type: String,
    /// Who uploaded it: a guest sees no uploads of others.
    #[n(3)]
    pub by: u64,
}

impl Record for UploadRecord {
    const KIND: &'static str = "upload";
}

/// The number under which an upload refers to its blob. Emails begin with 1, so it is none's.
pub(crate) const UPLOAD: u64 = 0;
/// Uploads that an account may have waiting for use.
pub const UPLOADS_WAITING_MAX: usize = 1000;
/// Octets of a media type that are kept.
const MEDIA_TYPE_OCTETS_MAX: usize = 255;
/// How often a change is tried when concurrent ones win.
const TRIES: usize = 5;
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
    /// Stores an upload (RFC 8620 §6.1). It is kept for `limits.upload_hours` unless something uses it.
    pub async fn write_blob(
        &self,
        who: &Caller,
        account: AccountId,
        octets: Bytes,
        media_type: &str,
    ) -> Result<BlobId, BlobError> {
        access::standing(who, account).map_err(BlobError::Account)?;
        let max = self.limits().max_size_upload;
        if octets.len() as u64 > max {
            return Err(BlobError::TooLarge { max });
        }
        let hash = store::blob::hash(&octets);
        let now = self.now_ms();
        let record = UploadRecord {
            expires: now.saturating_add(self.limits().upload_hours.saturating_mul(3_600_000)),
            size: octets.len() as u64,
            media_type: beginning(media_type, MEDIA_TYPE_OCTETS_MAX).to_owned(),
            by: who.account.number(),
        };
        for _ in 0..TRIES {
            match self.try_write(account, &hash, &octets, &record).await {
                Err(store::Error::Conflict) => {}
                result => return Ok(result.map(|()| BlobId::whole(hash))?),
            }
        }
        Err(store::Error::Conflict.into())
    }

    async fn try_write(
        &self,
        account: AccountId,
        hash: &BlobHash,
        octets: &Bytes,
        record: &UploadRecord,
    ) -> Result<(), store::Error> {
        let mut batch = Batch::new();
        let mut waiting = self.uploads(account).await?;
        // The same octets again: only the time is new.
        if let Some(at) = waiting.iter().position(|(known, _)| known == hash) {
            let (_, former) = waiting.swap_remove(at);
            batch.delete(keys::upload_expiry(former.expires, account, hash));
        }
        self.make_room(account, waiting, record.size, &mut batch);
        store::blob::ensure(&self.engine, &mut batch, hash, octets).await?;
        batch.put(keys::upload(account, hash), record.to_bytes());
        batch.put(
            keys::upload_expiry(record.expires, account, hash),
            Bytes::new(),
        );
        batch.put(
            keys::blob_ref(hash, account, DataType::Email, UPLOAD),
            Bytes::new(),
        );
        Ok(self.engine.commit(batch).await?)
    }

    /// RFC 8620 §6.1: where uploads would take too much, the oldest ones go.
    fn make_room(
        &self,
        account: AccountId,
        mut waiting: Vec<(BlobHash, UploadRecord)>,
        octets: u64,
        batch: &mut Batch,
    ) {
        waiting.sort_unstable_by_key(|(_, record)| std::cmp::Reverse(record.expires));
        let mut sum: u64 = waiting.iter().map(|(_, record)| record.size).sum();
        while waiting.len() >= UPLOADS_WAITING_MAX
            || sum.saturating_add(octets) > self.limits().max_upload_octets_waiting
        {
            let Some((hash, record)) = waiting.pop() else {
                return;
            };
            sum -= record.size;
            self.forget_upload(account, &hash, &record, batch);
        }
    }

    fn forget_upload(
        &self,
        account: AccountId,
        hash: &BlobHash,
        record: &UploadRecord,
        batch: &mut Batch,
    ) {
        batch
            .delete(keys::upload(account, hash))
            .delete(keys::upload_expiry(record.expires, account, hash))
            .delete(keys::blob_ref(hash, account, DataType::Email, UPLOAD))
            .put(keys::blob_candidate(self.now_ms(), hash), Bytes::new());
    }

    async fn uploads(
        &self,
        account: AccountId,
    ) -> Result<Vec<(BlobHash, UploadRecord)>, store::Error> {
        let page = Page::first(keys::uploads_of(account), UPLOADS_WAITING_MAX + 1);
        let rows = self.engine.scan(page).await?;
        let upload = |(key, bytes): (Bytes, Bytes)| {
            let (_, hash) =
                keys::decode_upload(&key).ok_or_else(|| store::Error::bad_key("upload", &key))?;
            Ok((hash, UploadRecord::from_bytes(&key, &bytes)?))
        };
        rows.into_iter().map(upload).collect()
    }

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
        match standing {
            Standing::Owner => self.owner_sees(account, &refs).await,
            Standing::Guest => self.guest_sees(who, account, &id.hash, &refs).await,
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
        if refs.len() > emails(refs).count() {
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
        hash: &BlobHash,
        refs: &[(DataType, u64)],
    ) -> Result<bool, BlobError> {
        if refs.contains(&(DataType::Email, UPLOAD)) {
            let key = keys::upload(account, hash);
            if let Some(bytes) = self.engine.get(&key).await.map_err(store::Error::from)?
                && UploadRecord::from_bytes(&key, &bytes)?.by == who.account.number()
            {
                return Ok(true);
            }
        }
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

/// At most `octets_max` octets of `text`, whole characters.
fn beginning(text: &str, octets_max: usize) -> &str {
    let mut end = text.len().min(octets_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

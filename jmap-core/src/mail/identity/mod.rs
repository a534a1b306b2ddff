//! Identity (RFC 8621 §6).
//! Holds: every address of an account has an identity, made when it is first looked for and never twice; mail
//! is sent from addresses that the account has at that moment, whatever its identities say.
//! Other half: `directory` has the addresses, `submission` sends.

mod get;
mod set;
#[cfg(test)]
mod tests;

use jmap_types::{
    AccountId, DataType, Value,
    value::{Map, key, string},
};
use minicbor::{Decode, Encode};
use store::{Change, ChangeKind, Record, engine::Page, keys};

use crate::{
    Core,
    accounts::AccountHandle,
    directory::names,
    mail::{message::EmailAddress, write::MailTxn},
};

/// Identities of one account, beside those of its own addresses.
pub const IDENTITIES_MAX: usize = 1000;
/// Octets of a name.
pub const NAME_OCTETS_MAX: usize = 1024;
/// Octets of a signature.
pub const SIGNATURE_OCTETS_MAX: usize = 64 << 10;
/// Addresses of `replyTo`, and of `bcc`.
pub const ADDRESSES_MAX: usize = 100;
/// Octets of an address.
pub const EMAIL_OCTETS_MAX: usize = 1024;

#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct IdentityRecord {
    #[n(0)]
    pub name: String,
    #[n(1)]
    pub email: String,
    #[n(2)]
    pub reply_to: Option<Vec<NamedAddress>>,
    #[n(3)]
    pub bcc: Option<Vec<NamedAddress>>,
    #[n(4)]
    pub text_signature: String,
    #[n(5)]
    pub html_signature: String,
    /// It was made for an address of the account, and stays as long as the address.
    #[n(6)]
    pub is_default: bool,
}

impl Record for IdentityRecord {
    const KIND: &'static str = "identity";
}

/// RFC 8621 §4.1.2.3 EmailAddress.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct NamedAddress {
    #[n(0)]
    pub name: Option<String>,
    #[n(1)]
    pub email: String,
}

impl NamedAddress {
    fn to_value(&self) -> Value {
        let mut map = Map::with_capacity(2);
        map.insert(key("name"), self.name.clone().map_or(Value::Null, string));
        map.insert(key("email"), string(self.email.clone()));
        Value::Object(map)
    }
}

impl From<NamedAddress> for EmailAddress {
    fn from(address: NamedAddress) -> Self {
        Self {
            email: address.email,
            name: address.name,
        }
    }
}

/// The form by which two spellings of an address are known to be one.
pub fn canonical(email: &str) -> String {
    match names::address(email) {
        Ok(address) => address.to_string(),
        Err(_) => email.to_lowercase(),
    }
}

/// Rows that one look at an account's identities takes: more than there can be.
const ROWS_MAX: usize = IDENTITIES_MAX + crate::directory::ADDRESSES_PER_ACCOUNT_MAX * 2;

/// All identities of an account, by id.
pub(crate) async fn all(
    core: &Core,
    account: AccountId,
) -> Result<Vec<(u64, IdentityRecord)>, store::Error> {
    let page = Page::first(keys::objects(account, DataType::Identity), ROWS_MAX);
    decode(core.engine.scan(page).await?)
}

pub(in crate::mail) async fn all_in(
    txn: &MailTxn,
) -> Result<Vec<(u64, IdentityRecord)>, store::Error> {
    decode(
        txn.scan(keys::objects(txn.account(), DataType::Identity))
            .await?,
    )
}

fn decode(
    rows: Vec<(bytes::Bytes, bytes::Bytes)>,
) -> Result<Vec<(u64, IdentityRecord)>, store::Error> {
    let mut identities = Vec::with_capacity(rows.len());
    for (key, bytes) in rows {
        let (_, _, id) =
            keys::decode_object(&key).ok_or_else(|| store::Error::bad_key("identity", &key))?;
        match IdentityRecord::from_bytes(&key, &bytes) {
            Ok(record) => identities.push((id, record)),
            // Invariant 5: the others can still be used.
            Err(error) => tracing::error!(%error, "an identity is left out"),
        }
    }
    Ok(identities)
}

/// The addresses that no identity has yet.
fn missing(addresses: &[String], identities: &[(u64, IdentityRecord)]) -> Vec<String> {
    let known: std::collections::HashSet<String> = identities
        .iter()
        .filter(|(_, r)| r.is_default)
        .map(|(_, r)| canonical(&r.email))
        .collect();
    addresses
        .iter()
        .filter(|address| !known.contains(&canonical(address)))
        .cloned()
        .collect()
}

/// Makes the identities of addresses that have none.
pub(crate) async fn ensure(core: &Core, account: &AccountHandle) -> Result<(), store::Error> {
    const TRIES: usize = crate::object::TRIES;
    let Some(record) = core.account_record(account.id).await? else {
        return Ok(());
    };
    if missing(&record.addresses, &all(core, account.id).await?).is_empty() {
        return Ok(());
    }
    for _ in 0..TRIES {
        let mut txn = account.writer.begin().await?;
        // Somebody else may just have made them.
        for email in missing(&record.addresses, &all_in(&txn).await?) {
            let identity = IdentityRecord {
                name: record.description.clone(),
                email,
                is_default: true,
                ..Default::default()
            };
            let id = txn.new_id();
            put(&mut txn, id, &identity, ChangeKind::Created);
        }
        // Also without changes: those that somebody else has just made are on disk then.
        match txn.commit().await {
            Err(store::Error::Conflict) => {}
            result => return result.map(|_| ()),
        }
    }
    Err(store::Error::Conflict)
}

pub(in crate::mail) fn put(txn: &mut MailTxn, id: u64, record: &IdentityRecord, kind: ChangeKind) {
    txn.put_record(keys::object(txn.account(), DataType::Identity, id), record);
    txn.changed(Change::new(DataType::Identity, id, kind));
}

/// Whether the identity of this record is one that can be taken away.
async fn may_delete(
    core: &Core,
    account: AccountId,
    record: &IdentityRecord,
) -> Result<bool, store::Error> {
    if !record.is_default {
        return Ok(true);
    }
    let addresses = core.account_record(account).await?;
    let email = canonical(&record.email);
    Ok(addresses.is_none_or(|of| {
        !of.addresses
            .iter()
            .any(|address| canonical(address) == email)
    }))
}

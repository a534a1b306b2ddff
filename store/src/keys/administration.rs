//! Keys of what administrators have done, of their requests that are made once, of whom events are told, and of alerts.

use jmap_types::AccountId;

use super::{BlobHash, Builder, Fields, Subspace, prefix};
use crate::engine::{Key, KeyRange};

/// A deed. `time`: milliseconds since 1970; `number` tells those of one millisecond apart.
pub fn audit(time: u64, number: u64) -> Key {
    Builder::new(Subspace::Audit).u64(time).u64(number).0
}

/// (time, number)
pub fn decode_audit(key: &[u8]) -> Option<(u64, u64)> {
    let mut fields = Fields::of(Subspace::Audit, key)?;
    let pair = (fields.u64()?, fields.u64()?);
    fields.end().map(|()| pair)
}

/// A request of an account, by the hash of its idempotency key.
pub fn idempotency(account: AccountId, key: &BlobHash) -> Key {
    Builder::new(Subspace::Idempotency)
        .u64(account.number())
        .bytes(key)
        .0
}

pub fn idempotency_of(account: AccountId) -> KeyRange {
    prefix(Builder::new(Subspace::Idempotency).u64(account.number()).0)
}

pub fn decode_idempotency(key: &[u8]) -> Option<(AccountId, BlobHash)> {
    let mut fields = Fields::of(Subspace::Idempotency, key)?;
    let pair = (AccountId::new(fields.u64()?), fields.hash()?);
    fields.end().map(|()| pair)
}

/// A ban. `network`: an address, a slash, and the number of bits.
pub fn ban(network: &str) -> Key {
    Builder::new(Subspace::Ban).bytes(network.as_bytes()).0
}

/// The network.
pub fn decode_ban(key: &[u8]) -> Option<&str> {
    let network = Fields::of(Subspace::Ban, key)?.rest();
    let network = std::str::from_utf8(network).ok()?;
    (!network.is_empty()).then_some(network)
}

/// Somebody who is told of events.
pub fn webhook(webhook: u64) -> Key {
    Builder::new(Subspace::Webhook).u64(webhook).0
}

pub fn decode_webhook(key: &[u8]) -> Option<u64> {
    let mut fields = Fields::of(Subspace::Webhook, key)?;
    let webhook = fields.u64()?;
    fields.end().map(|()| webhook)
}

/// An event that a webhook has yet to be told of. `time`: when it is tried, in milliseconds since 1970.
pub fn webhook_due(webhook: u64, time: u64, event: u64) -> Key {
    Builder::new(Subspace::WebhookDue)
        .u64(webhook)
        .u64(time)
        .u64(event)
        .0
}

/// All of them, in the order of their time.
pub fn webhook_due_of(webhook: u64) -> KeyRange {
    prefix(Builder::new(Subspace::WebhookDue).u64(webhook).0)
}

/// (webhook, time, event)
pub fn decode_webhook_due(key: &[u8]) -> Option<(u64, u64, u64)> {
    let mut fields = Fields::of(Subspace::WebhookDue, key)?;
    let of = (fields.u64()?, fields.u64()?, fields.u64()?);
    fields.end().map(|()| of)
}

/// What came of telling a webhook of an event.
pub fn webhook_done(webhook: u64, event: u64) -> Key {
    Builder::new(Subspace::WebhookDone)
        .u64(webhook)
        .u64(event)
        .0
}

pub fn webhook_done_of(webhook: u64) -> KeyRange {
    prefix(Builder::new(Subspace::WebhookDone).u64(webhook).0)
}

/// (webhook, event)
pub fn decode_webhook_done(key: &[u8]) -> Option<(u64, u64)> {
    let mut fields = Fields::of(Subspace::WebhookDone, key)?;
    let of = (fields.u64()?, fields.u64()?);
    fields.end().map(|()| of)
}

/// Something that needs an administrator.
pub fn alert(alert: u64) -> Key {
    Builder::new(Subspace::Alert).u64(alert).0
}

pub fn decode_alert(key: &[u8]) -> Option<u64> {
    let mut fields = Fields::of(Subspace::Alert, key)?;
    let alert = fields.u64()?;
    fields.end().map(|()| alert)
}

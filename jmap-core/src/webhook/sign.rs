//! What is sent to a webhook, signed as Standard Webhooks 1.0.0 has it (<https://www.standardwebhooks.com>): `webhook-id`,
//! `webhook-timestamp`, and `webhook-signature` with `v1,` and an HMAC-SHA256 of all three.

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{DueRecord, WebhookError};

/// What a secret begins with, as text.
const SECRET_PREFIX: &str = "whsec_";
/// Octets of a secret, by the specification.
const SECRET_OCTETS: std::ops::RangeInclusive<usize> = 24..=64;

/// A secret as text.
pub fn secret_text(secret: &[u8]) -> String {
    format!("{SECRET_PREFIX}{}", STANDARD.encode(secret))
}

/// A secret from its text.
pub fn read_secret(text: &str) -> Result<Vec<u8>, WebhookError> {
    let encoded = text.strip_prefix(SECRET_PREFIX);
    let octets = encoded.and_then(|text| STANDARD.decode(text).ok());
    octets
        .filter(|octets| SECRET_OCTETS.contains(&octets.len()))
        .ok_or(WebhookError::InvalidSecret)
}

/// The name of an event, the same with each try.
pub fn event_id(event: u64) -> String {
    format!("evt_{event:016x}")
}

/// The body that tells of an event.
pub fn body(record: &DueRecord) -> Bytes {
    let data: Map<String, Value> = serde_json::from_str(&record.data).unwrap_or_default();
    let body = json!({
        "type": record.kind.name(),
        "timestamp": super::time_text(record.at),
        "data": data,
    });
    body.to_string().into()
}

/// The fields of a request. `now`: seconds since 1970.
pub fn headers(secret: &[u8], event: u64, now: i64, body: &[u8]) -> Vec<(&'static str, String)> {
    let id = event_id(event);
    let signed = [format!("{id}.{now}.").as_bytes(), body].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let signature = STANDARD.encode(hmac::sign(&key, &signed));
    vec![
        ("content-type", "application/json".to_owned()),
        ("user-agent", "Posthorn".to_owned()),
        ("webhook-id", id),
        ("webhook-timestamp", now.to_string()),
        ("webhook-signature", format!("v1,{signature}")),
    ]
}

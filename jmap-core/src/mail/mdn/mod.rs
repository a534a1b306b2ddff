//! MDN/parse (RFC 9007 §2.2); MDN/send is in `send`.
//! Other half: `message::mdn` reads notifications.

mod send;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use bytes::Bytes;
use jmap_types::{
    MethodError, MethodErrorKind, Property, Value,
    mdn::{MdnParse, MdnParseResponse},
    value::{Key, Map, MapExt, key},
};

use super::{
    email::{read_blob, summary_of},
    message::mdn::{Disposition, Mdn},
};
use crate::{Context, Handle};

impl Handle for MdnParse {
    async fn handle(self, context: Context) -> Result<MdnParseResponse, MethodError> {
        if self.blob_ids.len() as u64 > context.core.limits().max_objects_in_get {
            return Err(MethodErrorKind::RequestTooLarge.into());
        }
        let mut response = MdnParseResponse {
            account_id: self.account_id,
            parsed: Vec::new(),
            not_parsable: Vec::new(),
            not_found: Vec::new(),
        };
        let mut seen = HashSet::new();
        for id in self.blob_ids {
            if !seen.insert(id.clone()) {
                continue;
            }
            let Some((_, octets)) = read_blob(&context, &id).await? else {
                response.not_found.push(id);
                continue;
            };
            match parse(&octets).await {
                Some(mdn) => response.parsed.push((id, to_map(mdn))),
                None => response.not_parsable.push(id),
            }
        }
        Ok(response)
    }
}

async fn parse(octets: &Bytes) -> Option<Mdn> {
    let summary = summary_of(octets).await?;
    Mdn::parse(octets, &summary)
}

/// An MDN object. Which email it is about is not told: several may have the same Message-ID.
fn to_map(mdn: Mdn) -> Map {
    let extensions = mdn.extension_fields.map(|fields| {
        let entries = fields.into_iter();
        Value::Object(
            entries
                .map(|(name, value)| (key(name), value.into()))
                .collect(),
        )
    });
    let mut map = Map::with_capacity(12)
        .with(Property::ForEmailId, Value::Null)
        .with(Property::Subject, mdn.subject)
        .with(Property::TextBody, mdn.text_body)
        .with(
            Property::IncludeOriginalMessage,
            mdn.include_original_message,
        )
        .with(Property::ReportingUA, mdn.reporting_ua)
        .with(Property::Disposition, disposition(mdn.disposition));
    map.insert_unchecked(Key::Borrowed("mdnGateway"), mdn.mdn_gateway);
    map.with(Property::OriginalRecipient, mdn.original_recipient)
        .with(Property::FinalRecipient, mdn.final_recipient)
        .with(Property::OriginalMessageId, mdn.original_message_id)
        .with(Property::Error, mdn.error)
        .with(Property::ExtensionFields, extensions)
}

fn disposition(disposition: Disposition) -> Value {
    let map = Map::with_capacity(3)
        .with(Property::ActionMode, disposition.action_mode)
        .with(Property::SendingMode, disposition.sending_mode)
        .with(Property::Type, disposition.kind);
    Value::Object(map)
}

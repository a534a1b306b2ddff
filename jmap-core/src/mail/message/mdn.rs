//! Message disposition notifications (RFC 8098) as JMAP's MDN object (RFC 9007 §2).
//! Holds: what is built parses back; disposition values are in lower case; values can't add fields.
//! Other half: `mail::mdn` decides who may send one and about which Email.

use super::address::EmailAddress;
use super::body::{body_value, part_octets};
use super::build::{
    BuildContext, BuildError, NewBodyValue, NewHeader, NewHeaderValue, NewMessage, NewPart,
};
use super::emit;
use super::headers::raw_text;
use super::scan;
use super::summary::Summary;
use super::words::unfold;
use std::collections::BTreeMap;

/// RFC 9007 §2, without `forEmailId`, which says nothing about the message's octets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mdn {
    pub subject: Option<String>,
    pub text_body: Option<String>,
    pub include_original_message: bool,
    pub reporting_ua: Option<String>,
    pub disposition: Disposition,
    pub mdn_gateway: Option<String>,
    pub original_recipient: Option<String>,
    /// With its type, as `rfc822; john@example.com`.
    pub final_recipient: Option<String>,
    /// With angle brackets.
    pub original_message_id: Option<String>,
    pub error: Option<Vec<String>>,
    pub extension_fields: Option<BTreeMap<String, String>>,
}

/// RFC 9007 §2, Disposition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disposition {
    /// `manual-action` or `automatic-action`.
    pub action_mode: String,
    /// `mdn-sent-manually` or `mdn-sent-automatically`.
    pub sending_mode: String,
    /// `deleted`, `dispatched`, `displayed` or `processed`.
    pub kind: String,
}

/// Who sends a notification to whom, and about what.
pub struct MdnEnvelope<'x> {
    pub from: EmailAddress,
    /// From Disposition-Notification-To.
    pub to: Vec<EmailAddress>,
    /// The whole original message, for `includeOriginalMessage`.
    pub original: Option<&'x [u8]>,
}

/// Why no notification was built; each names the MDN property.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MdnError {
    #[error("{0} is not valid")]
    InvalidProperty(&'static str),
    #[error(transparent)]
    Build(#[from] BuildError),
}

const ACTION_MODES: [&str; 2] = ["manual-action", "automatic-action"];
const SENDING_MODES: [&str; 2] = ["mdn-sent-manually", "mdn-sent-automatically"];
const KINDS: [&str; 4] = ["deleted", "dispatched", "displayed", "processed"];
/// Most extension fields of one notification.
const EXTENSIONS_MAX: usize = 100;
/// Longest value of one field, in octets.
const VALUE_OCTETS_MAX: usize = 900;
/// Fields that RFC 8098 §3.2 defines, in lower case.
const FIELDS: [&str; 7] = [
    "reporting-ua",
    "mdn-gateway",
    "original-recipient",
    "final-recipient",
    "original-message-id",
    "disposition",
    "error",
];

/// `subject` and `textBody` when the client gives none.
pub const DEFAULT_SUBJECT: &str = "Message disposition notification";
pub const DEFAULT_TEXT: &str =
    "This is a message disposition notification about a message that you sent.\n";

const REPORT_TYPE: &str = "message/disposition-notification";
/// RFC 6533 §5: the same in UTF-8.
const REPORT_TYPE_UTF8: &str = "message/global-disposition-notification";
const REPORT_BLOB: &str = "report";
const ORIGINAL_BLOB: &str = "original";
const TEXT_PART: &str = "text";

impl Mdn {
    /// Builds the notification; `context.blob` is not used.
    pub fn build(
        &self,
        envelope: &MdnEnvelope<'_>,
        context: &BuildContext<'_>,
    ) -> Result<Vec<u8>, MdnError> {
        self.check()?;
        let report = self.report();
        let report_type = match report.is_ascii() {
            true => REPORT_TYPE,
            false => REPORT_TYPE_UTF8,
        };
        let original = envelope.original.filter(|_| self.include_original_message);
        let blob = |id: &str| match id {
            REPORT_BLOB => Some(report.clone()),
            _ => original.map(<[u8]>::to_vec),
        };
        let context = BuildContext {
            now: context.now,
            random: context.random,
            domain: context.domain,
            blob: &blob,
        };
        let message = self.message(envelope, report_type, original.is_some());
        Ok(message.build(&context)?)
    }

    fn message(
        &self,
        envelope: &MdnEnvelope<'_>,
        report_type: &str,
        with_original: bool,
    ) -> NewMessage {
        let header = |name: &str, value| NewHeader {
            property: format!("header:{name}"),
            name: name.to_owned(),
            values: vec![value],
        };
        let subject = self.subject.as_deref().unwrap_or(DEFAULT_SUBJECT);
        let mut headers = vec![
            header(
                "From",
                NewHeaderValue::Addresses(vec![envelope.from.clone()]),
            ),
            header("To", NewHeaderValue::Addresses(envelope.to.clone())),
            header("Subject", NewHeaderValue::Text(subject.to_owned())),
            // RFC 3834 §5: nothing automatic answers this.
            header(
                "Auto-Submitted",
                NewHeaderValue::Raw(" auto-replied".to_owned()),
            ),
        ];
        // An id that isn't one by RFC 5322 §3.6.4 is told in the report alone.
        let id = self.original_message_id.as_deref().unwrap_or_default();
        let id = id.trim_matches(['<', '>']);
        if !id.is_empty()
            && id
                .bytes()
                .all(|c| c.is_ascii_graphic() && c != b'<' && c != b'>')
        {
            let ids = vec![id.to_owned()];
            headers.push(header("References", NewHeaderValue::MessageIds(ids)));
        }
        let of_type = |media_type: &str| NewPart {
            media_type: Some(media_type.to_owned()),
            ..NewPart::default()
        };
        let mut parts = vec![
            NewPart {
                part_id: Some(TEXT_PART.to_owned()),
                ..of_type("text/plain")
            },
            NewPart {
                blob_id: Some(REPORT_BLOB.to_owned()),
                ..of_type(report_type)
            },
        ];
        if with_original {
            let blob_id = Some(ORIGINAL_BLOB.to_owned());
            parts.push(NewPart {
                blob_id,
                ..of_type("message/rfc822")
            });
        }
        let content_type = " multipart/report; report-type=disposition-notification";
        let root = NewPart {
            headers: vec![header(
                "Content-Type",
                NewHeaderValue::Raw(content_type.to_owned()),
            )],
            sub_parts: Some(parts),
            ..NewPart::default()
        };
        let text = self.text_body.as_deref().unwrap_or(DEFAULT_TEXT);
        let value = NewBodyValue {
            value: text.to_owned(),
            ..NewBodyValue::default()
        };
        NewMessage {
            headers,
            body_structure: Some(root),
            body_values: BTreeMap::from([(TEXT_PART.to_owned(), value)]),
            ..NewMessage::default()
        }
    }

    /// The properties that a client sets.
    fn check(&self) -> Result<(), MdnError> {
        let texts = [
            ("subject", &self.subject),
            ("reportingUA", &self.reporting_ua),
            ("mdnGateway", &self.mdn_gateway),
            ("originalRecipient", &self.original_recipient),
            ("finalRecipient", &self.final_recipient),
            ("originalMessageId", &self.original_message_id),
        ];
        for (property, text) in texts {
            if text.as_deref().is_some_and(|text| !is_value(text)) {
                return Err(MdnError::InvalidProperty(property));
            }
        }
        let disposition = &self.disposition;
        let is_known = ACTION_MODES.contains(&disposition.action_mode.as_str())
            && SENDING_MODES.contains(&disposition.sending_mode.as_str())
            && KINDS.contains(&disposition.kind.as_str());
        if !is_known {
            return Err(MdnError::InvalidProperty("disposition"));
        }
        if self.final_recipient.is_none() {
            return Err(MdnError::InvalidProperty("finalRecipient"));
        }
        if !self.error.iter().flatten().all(|text| is_value(text)) {
            return Err(MdnError::InvalidProperty("error"));
        }
        let extensions = self.extension_fields.iter().flatten();
        let is_extension = |(name, value): (&String, &String)| {
            super::headers::is_field_name(name)
                && !FIELDS.contains(&name.to_ascii_lowercase().as_str())
                && is_value(value)
        };
        if extensions.clone().count() > EXTENSIONS_MAX || !extensions.clone().all(is_extension) {
            return Err(MdnError::InvalidProperty("extensionFields"));
        }
        Ok(())
    }

    /// The report part (RFC 8098 §3.1).
    fn report(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut put = |name: &str, value: &str| {
            emit::raw_field(&mut out, name, &format!(" {}", value.trim()));
        };
        let optional = [
            ("Reporting-UA", &self.reporting_ua),
            ("MDN-Gateway", &self.mdn_gateway),
            ("Original-Recipient", &self.original_recipient),
            ("Final-Recipient", &self.final_recipient),
            ("Original-Message-ID", &self.original_message_id),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                put(name, value);
            }
        }
        let Disposition {
            action_mode,
            sending_mode,
            kind,
        } = &self.disposition;
        put(
            "Disposition",
            &format!("{action_mode}/{sending_mode}; {kind}"),
        );
        for text in self.error.iter().flatten() {
            put("Error", text);
        }
        for (name, value) in self.extension_fields.iter().flatten() {
            put(name, value);
        }
        out
    }

    /// Parses a message that is a notification; `None`: it is none.
    pub fn parse(raw: &[u8], summary: &Summary) -> Option<Mdn> {
        let report = summary
            .parts
            .iter()
            .find(|part| [REPORT_TYPE, REPORT_TYPE_UTF8].contains(&part.media_type.as_str()))?;
        let siblings: Vec<_> = summary
            .parts
            .iter()
            .filter(|p| p.parent == report.parent)
            .collect();
        let text = siblings.iter().find(|part| part.media_type == "text/plain");
        let octets = part_octets(raw, report);
        let fields = scan::section(&octets, 0, |_| false).fields;
        let mut mdn = Mdn {
            subject: summary.subject.clone(),
            text_body: text.map(|part| body_value(raw, part, 0).value),
            include_original_message: siblings
                .iter()
                .any(|p| ["message/rfc822", "message/global"].contains(&p.media_type.as_str())),
            ..Mdn::default()
        };
        let mut has_disposition = false;
        for field in fields {
            let value = unfold(field.value(&octets)).trim().to_owned();
            let name = raw_text(field.name(&octets));
            match name.to_ascii_lowercase().as_str() {
                "reporting-ua" => mdn.reporting_ua = Some(value),
                "mdn-gateway" => mdn.mdn_gateway = Some(value),
                "original-recipient" => mdn.original_recipient = Some(value),
                "final-recipient" => mdn.final_recipient = Some(value),
                "original-message-id" => mdn.original_message_id = Some(value),
                "disposition" => {
                    mdn.disposition = disposition(&value)?;
                    has_disposition = true;
                }
                "error" => mdn.error.get_or_insert_default().push(value),
                _ => {
                    let extensions = mdn.extension_fields.get_or_insert_default();
                    if extensions.len() < EXTENSIONS_MAX {
                        extensions.insert(name, value);
                    }
                }
            }
        }
        (has_disposition && mdn.final_recipient.is_some()).then_some(mdn)
    }
}

/// Whether a text can be the value of a field of the report.
pub fn is_value(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= VALUE_OCTETS_MAX && emit::is_one_line(text)
}

/// RFC 8098 §3.2.6: `action-mode "/" sending-mode ";" type ["/" modifiers]`, in any letter case.
fn disposition(value: &str) -> Option<Disposition> {
    let value = super::address::without_comments(value).to_ascii_lowercase();
    let (modes, kind) = value.split_once(';')?;
    let (action_mode, sending_mode) = modes.split_once('/')?;
    let kind = kind.split('/').next()?.trim();
    let known =
        |text: &str, list: &[&str]| list.contains(&text.trim()).then(|| text.trim().to_owned());
    Some(Disposition {
        action_mode: known(action_mode, &ACTION_MODES)?,
        sending_mode: known(sending_mode, &SENDING_MODES)?,
        kind: known(kind, &KINDS)?,
    })
}

//! DMARC aggregate reports (RFC 7489 §7.2, RFC 9990) and TLS reports (RFC 8460): those in a mail are read, those to be sent are written, and who
//! wants them is asked of the DNS.
//!
//! Holds: whatever is in a mail, reading it takes bounded memory: compressed files are unpacked up to a bound, a document with a DTD or with
//! more elements than any report has is refused before it is parsed.
//! Other half: the crate `mail-auth`, which knows the formats; the binary, which hands the core what is found here.

mod wish;

use std::io::{Cursor, Read, Write as _};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use mail_parser::{MessageParser, MimeHeaders as _, PartType};

pub use self::wish::{Destination, DmarcWish, NoAnswer};
pub use mail_auth::report::tlsrpt::TlsReport;
pub use mail_auth::report::{
    ActionDisposition, Alignment, AuthResult, DKIMAuthResult, DateRange, Disposition, DkimResult,
    DmarcResult as Aligned, Identifier, PolicyEvaluated, PolicyOverride, PolicyOverrideReason,
    PolicyPublished, Record, Report as DmarcReport, ReportMetadata, Row, SPFAuthResult,
    SPFDomainScope, SpfResult, tlsrpt,
};

/// Octets of a report, unpacked.
pub const REPORT_OCTETS_MAX: usize = 8 << 20;
/// Beginnings of XML tags in a report.
pub const TAGS_MAX: usize = 500_000;
/// Parts of a mail that are looked at, and files of an archive.
pub const PARTS_MAX: usize = 50;
pub const FILES_MAX: usize = 3;

/// A report that was found.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    Dmarc(Box<DmarcReport>),
    Tls(Box<TlsReport>),
}

/// Why something that looks like a report isn't one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("it is too large")]
    TooLarge,
    #[error("it can't be unpacked")]
    Packed,
    #[error("it has a document type definition")]
    Dtd,
    #[error("it is not of the format: {0}")]
    Format(String),
}

/// What a file is, by what its part says of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Packing {
    Plain,
    Gzip,
    Zip,
}

/// The first report in a mail; `None`: there is nothing that looks like one.
pub fn read(message: &[u8]) -> Result<Option<Found>, Unreadable> {
    let Some(message) = MessageParser::new().parse(message) else {
        return Ok(None);
    };
    let mut failed = None;
    for part in message.parts.iter().take(PARTS_MAX) {
        let octets: &[u8] = match &part.body {
            PartType::Text(text) => text.as_bytes(),
            PartType::Binary(octets) | PartType::InlineBinary(octets) => octets,
            PartType::Html(_) | PartType::Message(_) | PartType::Multipart(_) => continue,
        };
        let subtype = part
            .content_type()
            .and_then(|kind| kind.subtype())
            .unwrap_or_default()
            .to_ascii_lowercase();
        let name = part.attachment_name().unwrap_or_default();
        let name = name.to_ascii_lowercase();
        let Some(packing) = packing(&subtype, &name, octets) else {
            continue;
        };
        match unpacked(packing, octets).and_then(|octets| parse(&octets)) {
            Ok(found) => return Ok(Some(found)),
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(None), Err)
}

fn packing(subtype: &str, name: &str, octets: &[u8]) -> Option<Packing> {
    let has = |kinds: &[&str], ends: &[&str]| {
        kinds.contains(&subtype) || ends.iter().any(|end| name.ends_with(end))
    };
    let looks_like_one = has(
        &[
            "gzip",
            "x-gzip",
            "tlsrpt+gzip",
            "zip",
            "x-zip",
            "x-zip-compressed",
            "xml",
            "tlsrpt+json",
        ],
        &[".gz", ".zip", ".xml", ".json"],
    );
    if !looks_like_one {
        return None;
    }
    // Senders are often wrong about the kind; the first octets aren't.
    Some(match octets {
        [0x1f, 0x8b, ..] => Packing::Gzip,
        [b'P', b'K', 3, 4, ..] => Packing::Zip,
        _ => Packing::Plain,
    })
}

fn unpacked(packing: Packing, octets: &[u8]) -> Result<Vec<u8>, Unreadable> {
    match packing {
        Packing::Plain if octets.len() > REPORT_OCTETS_MAX => Err(Unreadable::TooLarge),
        Packing::Plain => Ok(octets.to_vec()),
        Packing::Gzip => bounded(GzDecoder::new(octets)),
        Packing::Zip => {
            let mut archive =
                zip::ZipArchive::new(Cursor::new(octets)).map_err(|_| Unreadable::Packed)?;
            for at in 0..archive.len().min(FILES_MAX) {
                let file = archive.by_index(at).map_err(|_| Unreadable::Packed)?;
                let name = file.name().to_ascii_lowercase();
                if name.ends_with(".xml") || name.ends_with(".json") {
                    return bounded(file);
                }
            }
            Err(Unreadable::Packed)
        }
    }
}

fn bounded(reader: impl Read) -> Result<Vec<u8>, Unreadable> {
    let mut octets = Vec::new();
    let max = REPORT_OCTETS_MAX as u64;
    reader
        .take(max + 1)
        .read_to_end(&mut octets)
        .map_err(|_| Unreadable::Packed)?;
    match octets.len() as u64 > max {
        true => Err(Unreadable::TooLarge),
        false => Ok(octets),
    }
}

fn parse(octets: &[u8]) -> Result<Found, Unreadable> {
    let text = octets.strip_prefix(b"\xef\xbb\xbf").unwrap_or(octets);
    if text.trim_ascii_start().first() == Some(&b'{') {
        let report = TlsReport::parse_json(text)
            .map_err(|error| Unreadable::Format(format!("{error:?}")))?;
        return Ok(Found::Tls(Box::new(report)));
    }
    if memchr::memmem::find(text, b"<!DOCTYPE").is_some()
        || memchr::memmem::find(text, b"<!ENTITY").is_some()
    {
        return Err(Unreadable::Dtd);
    }
    if memchr::memchr_iter(b'<', text).count() > TAGS_MAX {
        return Err(Unreadable::TooLarge);
    }
    let report = DmarcReport::parse_xml(text).map_err(Unreadable::Format)?;
    if report.policy_published.domain.is_empty() {
        return Err(Unreadable::Format("it names no domain".to_owned()));
    }
    Ok(Found::Dmarc(Box::new(report)))
}

/// A file as reports are sent. In memory, this doesn't fail.
pub fn gzip(octets: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let written = encoder.write_all(octets);
    match written.and_then(|()| encoder.finish()) {
        Ok(packed) => packed,
        Err(error) => {
            tracing::error!(%error, "a report could not be packed");
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests;

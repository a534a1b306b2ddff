//! DMARC aggregate reports (RFC 7489 §7.2, RFC 9990) and TLS reports (RFC 8460): those that come as a file in a mail are read, those to be sent
//! are written, and who wants them is asked of the DNS.
//!
//! Holds: whatever is in a file, reading it takes bounded memory and time: compressed files are unpacked up to a bound, a document with a DTD or
//! with more elements than any report has is refused before it is parsed, and after a few of them the rest is left alone.
//! Other half: the crate `mail-auth`, which knows the formats; the core, which takes the mail apart; the binary, which hands it what is found here.

mod wish;

use std::borrow::Cow;
use std::io::{Cursor, Read, Write as _};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use mail_parser::DateTime;

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
/// Beginnings of XML tags in a report; commas in one of JSON.
pub const TAGS_MAX: usize = 500_000;
/// Records of an XML report, objects of one of JSON: each costs much more memory than the few octets it may be written with.
pub const RECORDS_MAX: usize = 20_000;
/// Files of a mail that are unpacked and parsed.
pub const TRIED_MAX: usize = 5;
/// Files of an archive that are looked at, and those that it may list.
pub const FILES_MAX: usize = 3;
pub const LISTED_MAX: usize = 100;
/// Seconds since 1970 of the last date that a report may have: the year 9999 ends.
pub const DATE_MAX: u64 = 253_402_300_799;
/// Characters of what a parser says about a report.
const REASON_MAX: usize = 200;

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
    #[error("its dates can't be")]
    Dates,
    #[error("it is not of the format: {0}")]
    Format(String),
}

impl Unreadable {
    /// What a parser says may repeat the report.
    fn format(said: &str) -> Unreadable {
        let plain = said.chars().filter(|c| !c.is_control());
        Unreadable::Format(plain.take(REASON_MAX).collect())
    }
}

/// What a file is, by what its part says of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Packing {
    Plain,
    Gzip,
    Zip,
}

/// A file in a mail.
#[derive(Clone, Debug)]
pub struct File<'x> {
    /// In lower case, without parameters, as `application/gzip`.
    pub media_type: &'x str,
    /// Empty: it has none.
    pub name: &'x str,
    /// Without its transfer encoding.
    pub octets: Cow<'x, [u8]>,
}

/// The first report among the files of a mail; `None`: there is nothing that looks like one.
pub fn read(files: &[File<'_>]) -> Result<Option<Found>, Unreadable> {
    let mut failed = None;
    let looks_like_one = files.iter().filter_map(|file| {
        let subtype = file.media_type.split_once('/').unwrap_or_default().1;
        let name = file.name.to_ascii_lowercase();
        Some((packing(subtype, &name, &file.octets)?, &*file.octets))
    });
    for (packing, octets) in looks_like_one.take(TRIED_MAX) {
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
            // The list of files is read whole, and as often as something looks like its end.
            let count = |sign: &[u8]| memchr::memmem::find_iter(octets, sign).count();
            if count(b"PK\x01\x02") > LISTED_MAX || count(b"PK\x05\x06") > LISTED_MAX {
                return Err(Unreadable::TooLarge);
            }
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
    let count = |octet: u8| memchr::memchr_iter(octet, text).count();
    if text.trim_ascii_start().first() == Some(&b'{') {
        if count(b'{') > RECORDS_MAX || count(b',') > TAGS_MAX {
            return Err(Unreadable::TooLarge);
        }
        let report = TlsReport::parse_json(text)
            .map_err(|error| Unreadable::format(&format!("{error:?}")))?;
        let range = &report.date_range;
        // What isn't a date comes as the year 1970.
        let seconds = |date: &DateTime| u64::try_from(date.to_timestamp()).unwrap_or(0);
        check_dates(seconds(&range.start_datetime), seconds(&range.end_datetime))?;
        return Ok(Found::Tls(Box::new(report)));
    }
    let has = |text_in: &[u8]| memchr::memmem::find(text, text_in).is_some();
    if has(b"<!DOCTYPE") || has(b"<!ENTITY") {
        return Err(Unreadable::Dtd);
    }
    let records = memchr::memmem::find_iter(text, b"<record").count();
    if count(b'<') > TAGS_MAX || records > RECORDS_MAX {
        return Err(Unreadable::TooLarge);
    }
    let report = DmarcReport::parse_xml(text).map_err(|error| Unreadable::format(&error))?;
    if report.policy_published.domain.is_empty() {
        return Err(Unreadable::format("it names no domain"));
    }
    let range = &report.report_metadata.date_range;
    check_dates(range.begin, range.end)?;
    Ok(Found::Dmarc(Box::new(report)))
}

/// Reports are kept in the order of their dates, so one from nowhere in time would be among the first or the last forever.
fn check_dates(begin: u64, end: u64) -> Result<(), Unreadable> {
    match (1..=end).contains(&begin) && end <= DATE_MAX {
        true => Ok(()),
        false => Err(Unreadable::Dates),
    }
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

//! Reports that come: found among the mail of some addresses, read in the background, kept by domain.
//!
//! Holds: a mail that may have a report in it is noted in the transaction of its delivery, so a crash loses none; reading it holds up nobody; a report on
//! a domain that isn't ours, or one that can't be read, leaves nothing behind. A try is on disk before it begins: a mail whose reading ends the process
//! is put aside after [`TRIES_MAX`] of them.
//! Other half: `inproc::deliver` calls [`note_arrival`].

use std::borrow::Cow;

use bytes::Bytes;
use jmap_types::DataType;
use store::{
    Record as _, decode_numbers,
    engine::{Batch, EngineError, Page},
    keys::{self, BlobHash},
    numbers,
    quarantine::{self, Aside},
};

use super::{File, REPORTS_PER_DOMAIN_MAX, ROWS_MAX, Reporting, records::ReportRecord};
use crate::{
    Caller, Core,
    access::{self, Object, Operation},
    directory::DirectoryError,
    inproc::deliver::PENDING,
    mail::{
        message::{Part, Summary, part_octets, part_text},
        write::{MailTxn, Message},
    },
};

/// Reports that one look takes.
const AT_ONCE: usize = 50;
/// How often one mail is begun to be read.
const TRIES_MAX: u64 = 3;
/// Files of a mail that are looked at.
const FILES_MAX: usize = 50;
/// Octets of a mail that is looked at.
const MESSAGE_OCTETS_MAX: usize = 25 << 20;
/// Characters of a text in a report.
const TEXT_CHARACTERS_MAX: usize = 300;

/// Notes a message that may have a report in it.
pub(crate) async fn note_arrival(
    core: &Core,
    txn: &mut MailTxn,
    message: &Message,
    received_at: i64,
) -> Result<(), store::Error> {
    let parts = &message.summary.parts;
    if message.octets.len() > MESSAGE_OCTETS_MAX || !parts.iter().any(looks_like_one) {
        return Ok(());
    }
    let number = core.rng.next_u64();
    let mut batch = Batch::new();
    message.ensure_stored(txn.engine(), &mut batch).await?;
    txn.append_unread(batch);
    let waiting = Waiting {
        number,
        hash: message.hash,
        received_at,
        tries: 0,
    };
    txn.put(keys::report_waiting(number), waiting.encode());
    // The mail may be gone before it is read.
    txn.put(
        keys::blob_ref(&message.hash, PENDING, DataType::Email, number),
        Bytes::new(),
    );
    Ok(())
}

/// Reports come as an attachment of one of these kinds (RFC 7489 §7.2.1.1, RFC 8460 §5.3), or what senders take for it. What is in a message within
/// the message is somebody else's.
fn looks_like_one(part: &Part) -> bool {
    let kind = &*part.media_type;
    if part.is_multipart() || kind.starts_with("message/") || kind == "text/html" {
        return false;
    }
    let is_archive = kind.ends_with("/gzip")
        || kind.ends_with("/x-gzip")
        || kind.contains("zip")
        || kind.ends_with("/xml")
        || kind.contains("tlsrpt")
        || kind == "application/octet-stream";
    let name = part.name.as_deref().unwrap_or_default();
    let name = name.to_ascii_lowercase();
    let ends = [".xml", ".gz", ".zip", ".json"];
    is_archive || ends.iter().any(|end| name.ends_with(end))
}

/// Reads the report in a mail, if there is one.
fn read(reporting: &dyn Reporting, message: &[u8]) -> Result<Option<ReportRecord>, String> {
    let summary = Summary::parse(message);
    let parts = summary.parts.iter().filter(|part| looks_like_one(part));
    let files: Vec<File<'_>> = parts
        .take(FILES_MAX)
        .map(|part| file(message, part))
        .collect();
    reporting.read(&files)
}

fn file<'x>(message: &'x [u8], part: &'x Part) -> File<'x> {
    let octets = match part.is_text() {
        true => match part_text(message, part) {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        },
        false => part_octets(message, part),
    };
    File {
        media_type: &part.media_type,
        name: part.name.as_deref().unwrap_or_default(),
        octets,
    }
}

impl Core {
    /// Reads the reports that have come. Returns how many still wait.
    pub async fn read_reports(&self) -> Result<usize, store::Error> {
        let Some(with) = self.reports.with.load_full() else {
            return Ok(0);
        };
        let (_, reporting) = &*with;
        let range = keys::all(keys::Subspace::ReportWaiting);
        loop {
            let rows = self
                .engine
                .scan(Page::first(range.clone(), AT_ONCE))
                .await?;
            for (key, value) in &rows {
                let Some(waiting) = Waiting::decode(key, value) else {
                    // Invariant 5: a bad row is put aside.
                    let batch = Batch::new();
                    self.put_waiting_aside(batch, key, value, "record/unreadable")
                        .await?;
                    continue;
                };
                let Waiting { number, hash, .. } = waiting;
                if waiting.tries >= TRIES_MAX {
                    let why = "reading a mail that may have a report in it has ended the process, and isn't tried again";
                    tracing::error!(number, tries = waiting.tries, "{why}");
                    let mut batch = Batch::new();
                    self.let_go(&mut batch, &waiting);
                    self.put_waiting_aside(batch, key, value, "report/ends-the-reader")
                        .await?;
                    continue;
                }
                let mut batch = Batch::new();
                let tried = Waiting {
                    tries: waiting.tries + 1,
                    ..waiting
                };
                batch.put(key.to_vec(), tried.encode());
                self.engine.commit(batch).await?;
                let mut batch = Batch::new();
                let octets = match store::blob::get(&self.engine, &hash).await {
                    // Nothing will ever be read from it, and the others don't have to wait.
                    Err(error @ store::Error::Engine(EngineError::Corrupt(_))) => {
                        tracing::error!(%error, "a mail that may have a report in it is damaged");
                        None
                    }
                    result => result?,
                };
                if let Some(octets) = octets {
                    let reporting = reporting.clone();
                    let read =
                        tokio::task::spawn_blocking(move || read(&*reporting, &octets)).await;
                    match read {
                        Ok(Ok(Some(report))) => {
                            self.keep_report(&mut batch, report, waiting.received_at)
                                .await?;
                        }
                        Ok(Ok(None)) => {}
                        Ok(Err(error)) => tracing::info!(error, "a report can't be read"),
                        Err(error) => tracing::error!(%error, "reading a report has failed"),
                    }
                }
                batch.delete(key.to_vec());
                self.let_go(&mut batch, &waiting);
                self.engine.commit(batch).await?;
            }
            if rows.len() < AT_ONCE {
                return Ok(0);
            }
        }
    }

    /// The mail needn't be held any more.
    fn let_go(&self, batch: &mut Batch, waiting: &Waiting) {
        let Waiting { number, hash, .. } = waiting;
        batch.delete(keys::blob_ref(hash, PENDING, DataType::Email, *number));
        let now = u64::try_from(self.clock.now().0).unwrap_or(0);
        batch.put(keys::blob_candidate(now, hash), Bytes::new());
    }

    async fn put_waiting_aside(
        &self,
        mut batch: Batch,
        key: &[u8],
        value: &Bytes,
        reason: &str,
    ) -> Result<(), store::Error> {
        batch.delete(key.to_vec());
        let aside = Aside {
            key: key.to_vec(),
            octets: value.to_vec(),
            reason: reason.to_owned(),
            at: self.clock.now().0,
        };
        let place = keys::quarantine(key);
        let known = self.engine.get(&place).await?;
        quarantine::put(&mut batch, place, known.as_ref(), aside);
        self.engine.commit(batch).await?;
        Ok(())
    }

    async fn keep_report(
        &self,
        batch: &mut Batch,
        mut report: ReportRecord,
        received_at: i64,
    ) -> Result<(), store::Error> {
        let Some(domain) = self.domain_of_ours(&report.domain).await? else {
            let domain = report.domain.escape_debug().to_string();
            tracing::info!(domain, "a report is about a domain that isn't served here");
            return Ok(());
        };
        shorten(&mut report);
        report.received_at = received_at;
        // One that says to be of the future would outlive all others.
        let end = u64::try_from(report.end.min(received_at)).unwrap_or(0);
        let mut hasher = blake3::Hasher::new();
        for text in [&report.reporter, &report.report_id, &report.domain] {
            hasher.update(text.as_bytes());
            hasher.update(b"\0");
        }
        let number = first_number(hasher.finalize().as_bytes());
        let known = self
            .engine
            .scan(Page::first(keys::reports_of(&domain), REPORTS_PER_DOMAIN_MAX + 1).keys_only())
            .await?;
        let surplus = (known.len() + 1).saturating_sub(REPORTS_PER_DOMAIN_MAX);
        for (key, _) in known.iter().take(surplus) {
            batch.delete(key.to_vec());
        }
        tracing::info!(domain, reporter = %report.reporter.escape_debug(), "a report was read");
        // Sent twice, it is kept once.
        batch.put(keys::report_in(&domain, end, number), report.to_bytes());
        Ok(())
    }

    /// The domain that is served here and that `name` is, or is in.
    async fn domain_of_ours(&self, name: &str) -> Result<Option<String>, store::Error> {
        const LABELS_MAX: usize = 10;
        let Ok(name) = crate::directory::names::domain(name) else {
            return Ok(None);
        };
        let mut rest = &*name;
        for _ in 0..LABELS_MAX {
            if self.is_local_domain(rest).await? {
                return Ok(Some(rest.to_owned()));
            }
            match rest.split_once('.') {
                Some((_, above)) => rest = above,
                None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The reports on a domain, or on all, by domain and time. `since`: seconds since 1970, of the end of what they are about.
    pub async fn reports(
        &self,
        who: &Caller,
        domain: Option<&str>,
        since: i64,
    ) -> Result<Vec<ReportRecord>, DirectoryError> {
        access::may_begin(who, Operation::SeeReports, None)?;
        if let Some(domain) = domain {
            self.domain_name_for(who, Operation::SeeReports, domain)?;
        }
        const ROWS_PER_PAGE: usize = 200;
        let mut range = match domain {
            Some(domain) => keys::reports_of(&crate::directory::names::domain(domain)?),
            None => keys::all(keys::Subspace::ReportIn),
        };
        let mut reports = Vec::new();
        loop {
            let rows = self
                .engine
                .scan(Page::first(range.clone(), ROWS_PER_PAGE))
                .await?;
            for (key, bytes) in &rows {
                let of = keys::decode_report_in(key).map_or("", |(domain, ..)| domain);
                if access::may(who, Operation::SeeReports, Object::Domain(of)).is_err() {
                    continue;
                }
                match ReportRecord::from_bytes(key, bytes) {
                    Ok(report) if report.end >= since => reports.push(report),
                    Ok(_) => {}
                    // Invariant 5: the others are still shown.
                    Err(error) => tracing::error!(%error, "a report is left out"),
                }
            }
            let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS_PER_PAGE) else {
                return Ok(reports);
            };
            range.start = [last, &[0u8][..]].concat();
        }
    }
}

fn first_number(octets: &[u8]) -> u64 {
    let first = octets.first_chunk::<8>().copied();
    first.map_or(0, u64::from_be_bytes)
}

/// A mail that waits to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub number: u64,
    pub hash: BlobHash,
    pub received_at: i64,
    /// How often its reading has begun.
    pub tries: u64,
}

impl Waiting {
    /// What was never tried has no number for it, nor has a row of before tries were counted.
    pub fn decode(key: &[u8], value: &Bytes) -> Option<Waiting> {
        let number = keys::decode_report_waiting(key)?;
        let (hash, rest) = value.split_first_chunk::<32>()?;
        let rest = Bytes::copy_from_slice(rest);
        let [received_at, tries] = decode_numbers(key, &rest)
            .or_else(|_| decode_numbers(key, &rest).map(|[received_at]| [received_at, 0]))
            .ok()?;
        Some(Waiting {
            number,
            hash: *hash,
            received_at: i64::try_from(received_at).ok()?,
            tries,
        })
    }

    fn encode(&self) -> Bytes {
        let received_at = u64::try_from(self.received_at).unwrap_or(0);
        let numbers = match self.tries {
            0 => numbers(&[received_at]),
            tries => numbers(&[received_at, tries]),
        };
        Bytes::from([&self.hash[..], &numbers].concat())
    }
}

/// Others' texts, as long as they are of use.
fn shorten(report: &mut ReportRecord) {
    let short = |text: &mut String| {
        if let Some((at, _)) = text.char_indices().nth(TEXT_CHARACTERS_MAX) {
            text.truncate(at);
        }
        if text.chars().any(char::is_control) {
            text.retain(|c| !c.is_control());
        }
    };
    for text in [
        &mut report.domain,
        &mut report.reporter,
        &mut report.contact,
        &mut report.report_id,
    ] {
        short(text);
    }
    report.is_cut |= report.dmarc.len() > ROWS_MAX || report.tls.len() > ROWS_MAX;
    report.dmarc.truncate(ROWS_MAX);
    report.tls.truncate(ROWS_MAX);
    const RESULTS_MAX: usize = 20;
    for row in &mut report.dmarc {
        for text in [
            &mut row.source,
            &mut row.disposition,
            &mut row.header_from,
            &mut row.envelope_from,
        ] {
            short(text);
        }
        row.dkim.truncate(RESULTS_MAX);
        row.spf.truncate(RESULTS_MAX);
        for auth in row.dkim.iter_mut().chain(&mut row.spf) {
            short(&mut auth.domain);
            short(&mut auth.which);
            short(&mut auth.result);
        }
    }
    for row in &mut report.tls {
        short(&mut row.policy_type);
        short(&mut row.policy_domain);
        row.policy_lines.truncate(RESULTS_MAX);
        row.mx_patterns.truncate(RESULTS_MAX);
        row.policy_lines
            .iter_mut()
            .chain(&mut row.mx_patterns)
            .for_each(short);
        row.details.truncate(ROWS_MAX / 10);
        for detail in &mut row.details {
            short(&mut detail.result_type);
            short(&mut detail.mx);
            short(&mut detail.reason);
        }
    }
}

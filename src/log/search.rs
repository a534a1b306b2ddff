//! Looking for records: in memory, then in the files, newest first.
//!
//! Holds: one search reads at most [`SEARCH_OCTETS_MAX`] of files, and says where the next one goes on, also where it has found nothing; a record that is both
//! in memory and in a file is there once; lines that aren't ours are left out.
//! Other half: `record` writes the lines.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
};

use jmap_types::UtcDate;
use serde_json::{Map, Value};

use super::{
    recent::Recent,
    record::{Level, Record},
};

/// Octets of files that one search reads.
pub const SEARCH_OCTETS_MAX: u64 = 32 << 20;
/// Octets that are read at once.
const BLOCK_OCTETS: u64 = 64 << 10;
/// Octets of a line: what is longer is no line of ours.
const LINE_OCTETS_MAX: usize = 256 << 10;

/// What is looked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// As bad as this, or worse.
    pub level: Option<Level>,
    /// In the message or the fields, in any letter case.
    pub text: Option<String>,
    /// What the target begins with.
    pub target: Option<String>,
    /// Microseconds since 1970: this one, or later.
    pub since_us: Option<u64>,
    /// Earlier than that.
    pub before_us: Option<u64>,
    pub limit: usize,
}

impl Wanted {
    pub fn is(&self, record: &Record) -> bool {
        let has_text = |text: &String| {
            let text = text.to_lowercase();
            let has = |of: &str| of.to_lowercase().contains(&text);
            has(&record.message)
                || record.fields.iter().any(|(name, value)| match value {
                    Value::String(value) => has(name) || has(value),
                    other => has(name) || has(&other.to_string()),
                })
        };
        self.level.is_none_or(|level| record.level <= level)
            && self
                .target
                .as_ref()
                .is_none_or(|target| record.target.starts_with(target.as_str()))
            && self.since_us.is_none_or(|since| record.time_us >= since)
            && self.before_us.is_none_or(|before| record.time_us < before)
            && self.text.as_ref().is_none_or(has_text)
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Newest first.
    pub records: Vec<Arc<Record>>,
    /// `before_us` of the search that goes on; `None`: there is nothing more.
    pub next_us: Option<u64>,
}

/// See the module. `files`: newest first.
pub fn search(recent: &Recent, files: &[PathBuf], wanted: &Wanted) -> Found {
    let mut found = Found::default();
    let limit = wanted.limit.max(1);
    let kept = recent.all();
    for record in kept.iter().rev().filter(|record| wanted.is(record)) {
        if found.records.len() == limit {
            found.next_us = found.records.last().map(|last| last.time_us);
            return found;
        }
        found.records.push(record.clone());
    }
    // What is older than memory.
    let oldest = kept.first().map(|record| record.time_us);
    let mut before = match (oldest, wanted.before_us) {
        (Some(a), Some(b)) => a.min(b),
        (a, b) => a.or(b).unwrap_or(u64::MAX),
    };
    let mut octets_left = SEARCH_OCTETS_MAX;
    for path in files {
        let take = |record: Record| {
            if wanted.since_us.is_some_and(|since| record.time_us < since) {
                return Step::Over;
            }
            if found.records.len() == limit {
                found.next_us = found.records.last().map(|last| last.time_us);
                return Step::Over;
            }
            if wanted.is(&record) {
                found.records.push(Arc::new(record));
            }
            Step::More
        };
        match read_backwards(path, &mut before, &mut octets_left, take) {
            Ok(Step::More) => {}
            Ok(Step::Over) => return found,
            Ok(Step::Spent) => {
                found.next_us = Some(before);
                return found;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(%error, "a file of the log can't be read"),
        }
    }
    found
}

enum Step {
    More,
    /// The search has what it wants.
    Over,
    /// It has read as much as it may.
    Spent,
}

/// Hands on the records of a file that are earlier than `before`, newest first; `before` follows them.
fn read_backwards(
    path: &Path,
    before: &mut u64,
    octets_left: &mut u64,
    mut take: impl FnMut(Record) -> Step,
) -> io::Result<Step> {
    let mut file = File::open(path)?;
    let mut end = end_before(&mut file, *before)?;
    // The beginning of a line whose end is in the block behind.
    let mut tail: Vec<u8> = Vec::new();
    while end > 0 {
        if *octets_left == 0 {
            return Ok(Step::Spent);
        }
        let begin = end.saturating_sub(BLOCK_OCTETS);
        let mut block = read_at(&mut file, begin, end - begin)?;
        *octets_left = octets_left.saturating_sub(end - begin);
        block.extend_from_slice(&tail);
        // The first line may begin further ahead.
        let first = match begin {
            0 => 0,
            _ => block
                .iter()
                .position(|octet| *octet == b'\n')
                .map_or(block.len(), |at| at + 1),
        };
        for line in block[first..].split(|octet| *octet == b'\n').rev() {
            let Some(record) = parse(line).filter(|record| record.time_us < *before) else {
                continue;
            };
            *before = record.time_us;
            match take(record) {
                Step::More => {}
                other => return Ok(other),
            }
        }
        block.truncate(first);
        tail = block;
        if tail.len() > LINE_OCTETS_MAX {
            tail.clear();
        }
        end = begin;
    }
    Ok(Step::More)
}

fn read_at(file: &mut File, at: u64, octets: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(at))?;
    let mut block = Vec::with_capacity(usize::try_from(octets).unwrap_or_default());
    file.take(octets).read_to_end(&mut block)?;
    Ok(block)
}

/// A place in the file behind which no record is earlier than `before`: the lines of a file are in the order of their times.
fn end_before(file: &mut File, before: u64) -> io::Result<u64> {
    let (mut low, mut high) = (0, file.metadata()?.len());
    while high - low > BLOCK_OCTETS {
        let middle = low + (high - low) / 2;
        // A whole line is within that, as a rule.
        let block = read_at(file, middle, BLOCK_OCTETS)?;
        let mut lines = block.split(|octet| *octet == b'\n').skip(1);
        match lines.find_map(parse) {
            Some(record) if record.time_us < before => low = middle,
            // Without one, looking further ahead is what is safe.
            Some(_) => high = middle,
            None => return Ok(high),
        }
    }
    Ok((high + BLOCK_OCTETS).min(file.metadata()?.len()))
}

/// Takes a line apart, of either format.
pub fn parse(line: &[u8]) -> Option<Record> {
    let text = std::str::from_utf8(line).ok()?;
    match text.starts_with('{') {
        true => parse_json(text),
        false => parse_text(text),
    }
}

fn parse_json(text: &str) -> Option<Record> {
    let mut members: Map<String, Value> = serde_json::from_str(text).ok()?;
    let mut taken = |name: &str| match members.remove(name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    Some(Record {
        time_us: time_of(&taken("timestamp")?)?,
        level: Level::parse(&taken("level")?)?,
        message: taken("message").unwrap_or_default(),
        target: taken("target")?,
        fields: members,
    })
}

/// Where the message ends and its fields begin isn't to be told any more.
fn parse_text(text: &str) -> Option<Record> {
    let (time, rest) = text.split_once(' ')?;
    let (level, rest) = rest.trim_start().split_once(' ')?;
    let (target, message) = rest.split_once(": ")?;
    Some(Record {
        time_us: time_of(time)?,
        level: Level::parse(level)?,
        target: target.to_owned(),
        message: message.to_owned(),
        fields: Map::new(),
    })
}

/// Microseconds since 1970 of what [`super::record::time_text`] has written.
fn time_of(text: &str) -> Option<u64> {
    let (whole, fraction) = text.strip_suffix('Z')?.split_once('.')?;
    let seconds = UtcDate::parse(&format!("{whole}Z"))?.0;
    let micros: u64 = match fraction.len() {
        6 => fraction.parse().ok()?,
        _ => return None,
    };
    u64::try_from(seconds)
        .ok()?
        .checked_mul(1_000_000)?
        .checked_add(micros)
}

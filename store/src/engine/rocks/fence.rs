//! Keeps a commit that failed from coming back.
//!
//! When the log can't be written or synced, the record of the group may still be in the log,
//! and RocksDB would apply it at the next start, though its callers were told that it failed.
//! So the failure is noted here: the first log that may have such a record, and the sequence
//! number of the last good one. The next start cuts those logs off behind the last good record.
//! Once a write succeeds again, the logs from that one on are outside of the fence.
//!
//! Holds: the note is made by overwriting octets that are there already, so that it needs no
//! room on a full disk; a note is only made while the lock on this file is held.
//! Other half: `committer` sets and lifts the fence; RocksDB's `db/log_format.h` is the format.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufReader, Read},
    ops::RangeInclusive,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use super::error::open_error;
use crate::engine::EngineError;

const FILE_NAME: &str = "FENCE";
const MAGIC: u64 = u64::from_be_bytes(*b"PHfence1");
const MARK_OCTETS: usize = 32;

/// The file and what it says.
#[derive(Debug)]
pub(super) struct Fence {
    folder: PathBuf,
    file: File,
}

/// In the logs from number `first` and before `end`, whatever comes after `sequence` was
/// never acknowledged. Numbers of logs aren't used again, so an old mark does no harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    first: u64,
    end: u64,
    sequence: u64,
}

impl Fence {
    /// Takes the folder for this process and cuts off what a fence in it forbids.
    pub(super) fn open(folder: &Path) -> Result<Self, EngineError> {
        let failed = |error: io::Error| open_error(folder, &error.to_string());
        let path = folder.join(FILE_NAME);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(EngineError::Locked(folder.display().to_string().into()));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let fence = Self {
            folder: folder.to_owned(),
            file,
        };
        if let Some(mark) = fence.read().map_err(failed)? {
            fence.cut_logs(mark).map_err(failed)?;
        }
        fence.lift().map_err(failed)?;
        Ok(fence)
    }

    /// Notes that nothing after `sequence` was acknowledged.
    pub(super) fn set(&self, sequence: u64) -> io::Result<()> {
        // The failed record is in the newest log.
        let first = newest_log(&self.folder)?;
        self.write(Some(Mark {
            first,
            end: u64::MAX,
            sequence,
        }))
    }

    /// Notes that a write succeeded, and that what is in its log is good.
    pub(super) fn leave(&self) -> Result<(), EngineError> {
        let left = || {
            let end = newest_log(&self.folder)?;
            self.write(self.read()?.map(|mark| Mark { end, ..mark }))
        };
        left().map_err(|error| open_error(&self.folder, &error.to_string()))
    }

    /// What is in all logs is good.
    fn lift(&self) -> io::Result<()> {
        self.write(None)
    }

    fn read(&self) -> io::Result<Option<Mark>> {
        let mut octets = [0; MARK_OCTETS];
        match self.file.read_exact_at(&mut octets, 0) {
            Ok(()) => Ok(Mark::decode(octets)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write(&self, mark: Option<Mark>) -> io::Result<()> {
        let octets = mark.map_or([0; MARK_OCTETS], Mark::encode);
        self.file.write_all_at(&octets, 0)?;
        self.file.sync_data()
    }

    fn cut_logs(&self, mark: Mark) -> io::Result<()> {
        for (number, path) in log_files(&self.folder)? {
            if !(mark.first..mark.end).contains(&number) {
                continue;
            }
            let Some(length) = good_octets(&path, number, mark.sequence)? else {
                continue;
            };
            tracing::warn!(log = %path.display(), length, "cutting off commits that had failed");
            let file = OpenOptions::new().write(true).open(&path)?;
            file.set_len(length)?;
            file.sync_all()?;
        }
        Ok(())
    }
}

impl Mark {
    fn encode(self) -> [u8; MARK_OCTETS] {
        let mut octets = [0; MARK_OCTETS];
        let numbers = [self.first, self.end, self.sequence, self.check()];
        for (octets, number) in octets.chunks_exact_mut(8).zip(numbers) {
            octets.copy_from_slice(&number.to_be_bytes());
        }
        octets
    }

    fn decode(octets: [u8; MARK_OCTETS]) -> Option<Self> {
        let number = |at: usize| {
            octets[at..at + 8]
                .iter()
                .fold(0_u64, |number, octet| number << 8 | u64::from(*octet))
        };
        let mark = Self {
            first: number(0),
            end: number(8),
            sequence: number(16),
        };
        (number(24) == mark.check()).then_some(mark)
    }

    fn check(self) -> u64 {
        MAGIC ^ self.first.rotate_left(16) ^ self.end.rotate_left(32) ^ self.sequence
    }
}

fn newest_log(folder: &Path) -> io::Result<u64> {
    Ok(log_files(folder)?
        .into_iter()
        .map(|(number, _)| number)
        .max()
        .unwrap_or(0))
}

fn log_files(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) else {
            continue;
        };
        if let Ok(number) = stem.parse() {
            files.push((number, path));
        }
    }
    Ok(files)
}

const BLOCK_OCTETS: u64 = 32 * 1024;
/// Checksum (4), length (2, little-endian), type (1).
const HEADER_OCTETS: usize = 7;
/// A record begins with the sequence number of its first write, little-endian.
const SEQUENCE_OCTETS: usize = 8;
const FULL: u8 = 1;
const FIRST: u8 = 2;
/// In files that are used again for one log after another, types are others, and the header goes on with the low half of the log's number
/// (4, little-endian): behind the last record there may be some of the log that the file was before.
const OF_REUSED: RangeInclusive<u8> = 5..=8;
const FULL_OF_REUSED: u8 = 5;
const FIRST_OF_REUSED: u8 = 6;
const LOG_NUMBER_OCTETS: usize = 4;

/// Where the first record after `sequence` begins in the log with the number `log_number`, if there is one.
///
/// Ends at whatever isn't a record of this log: RocksDB reads no further either. What it takes for a record behind the last one is none of
/// ours; to cut that off costs nothing.
fn good_octets(path: &Path, log_number: u64, sequence: u64) -> io::Result<Option<u64>> {
    let mut log = BufReader::with_capacity(BLOCK_OCTETS as usize, File::open(path)?);
    let mut at = 0_u64;
    let mut record_at = 0;
    let mut number = Vec::with_capacity(SEQUENCE_OCTETS);
    loop {
        let left_in_block = BLOCK_OCTETS - at % BLOCK_OCTETS;
        if left_in_block < HEADER_OCTETS as u64 {
            skip(&mut log, left_in_block)?;
            at += left_in_block;
            continue;
        }
        let mut header = [0; HEADER_OCTETS];
        if !read_whole(&mut log, &mut header)? {
            return Ok(None);
        }
        let length = u64::from(u16::from_le_bytes([header[4], header[5]]));
        let mut header_octets = HEADER_OCTETS;
        if OF_REUSED.contains(&header[6]) {
            let mut number = [0; LOG_NUMBER_OCTETS];
            if !read_whole(&mut log, &mut number)?
                || u32::from_le_bytes(number) != log_number as u32
            {
                return Ok(None);
            }
            header_octets += LOG_NUMBER_OCTETS;
        }
        if let FULL | FIRST | FULL_OF_REUSED | FIRST_OF_REUSED = header[6] {
            record_at = at;
            number.clear();
        }
        let wanted = SEQUENCE_OCTETS - number.len();
        let before = number.len();
        log.by_ref()
            .take(length.min(wanted as u64))
            .read_to_end(&mut number)?;
        let read = (number.len() - before) as u64;
        if read > 0 && number.len() == SEQUENCE_OCTETS {
            let first = number
                .iter()
                .rev()
                .fold(0_u64, |sum, octet| sum << 8 | u64::from(*octet));
            if first > sequence {
                return Ok(Some(record_at));
            }
        }
        skip(&mut log, length.saturating_sub(read))?;
        at += header_octets as u64 + length;
    }
}

/// `false`: the file ends before.
fn read_whole(log: &mut impl Read, octets: &mut [u8]) -> io::Result<bool> {
    match log.read_exact(octets) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn skip(log: &mut impl Read, octets: u64) -> io::Result<u64> {
    io::copy(&mut log.take(octets), &mut io::sink())
}

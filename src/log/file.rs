//! A file that a log goes to, and those that it was before: `NAME`, `NAME.1` (younger) to `NAME.N`.
//!
//! Holds: a line is in one file, whole; the file ends at a size or an age, and only so many before it are kept; no older file goes before there is a new
//! one; who moves it away says so by SIGHUP, and nothing is lost meanwhile.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;

/// Logs name people and what they do: they are for the server's user.
const FILE_MODE: u32 = 0o600;

/// When a file ends, and what is kept.
#[derive(Clone, Debug)]
pub struct Rules {
    pub path: PathBuf,
    pub octets_max: u64,
    /// Zero: it doesn't end by age.
    pub age_max: Duration,
    /// Files before the current one.
    pub keep: usize,
}

/// Opens a file to add to, and makes it if it isn't there.
pub type Opener = fn(&Path) -> io::Result<File>;

/// See the module.
#[derive(Debug)]
pub struct RotatingFile {
    rules: Rules,
    opener: Opener,
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    octets: u64,
    /// When its first line was written, in microseconds since 1970.
    begun_us: u64,
}

impl RotatingFile {
    /// # Errors
    /// A sentence for the operator.
    pub fn open(rules: Rules) -> Result<RotatingFile, String> {
        RotatingFile::open_by(opened, rules)
    }

    /// # Errors
    /// A sentence for the operator.
    pub fn open_by(opener: Opener, rules: Rules) -> Result<RotatingFile, String> {
        let failed = |error: io::Error| {
            format!(
                "the log can't be written to {}: {error}",
                rules.path.display()
            )
        };
        if let Some(folder) = rules.path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let open = opener(&rules.path).and_then(Open::of).map_err(failed)?;
        Ok(RotatingFile {
            rules,
            opener,
            open: Mutex::new(open),
        })
    }

    /// Adds a line, which was made at this time.
    pub fn write(&self, line: &str, time_us: u64) -> io::Result<()> {
        let mut open = self.open.lock();
        if self.is_over(&open, line, time_us) {
            // Where it can't be moved, it grows on.
            if let Ok(next) = self.rotate() {
                *open = next;
            }
        }
        if open.octets == 0 {
            open.begun_us = time_us;
        }
        open.file.write_all(line.as_bytes())?;
        open.octets += line.len() as u64;
        Ok(())
    }

    fn is_over(&self, open: &Open, line: &str, time_us: u64) -> bool {
        let age = Duration::from_micros(time_us.saturating_sub(open.begun_us));
        let is_old = !self.rules.age_max.is_zero() && age >= self.rules.age_max;
        open.octets > 0 && (open.octets + line.len() as u64 > self.rules.octets_max || is_old)
    }

    /// Gives all files the names of the ones before them, and returns a new one.
    fn rotate(&self) -> io::Result<Open> {
        let (current, keep) = (&self.rules.path, self.rules.keep);
        let path = |number| numbered(current, number);
        // First of all: without it, each line would move all files once more.
        let new = with_end(current, "new");
        let open = Open::of((self.opener)(&new)?)?;
        if keep == 0 {
            fs::rename(&new, current)?;
            return Ok(open);
        }
        // No further than up to where nothing is: it may have been broken off before.
        let free = (1..keep).find(|&number| !path(number).exists());
        for number in (1..free.unwrap_or(keep)).rev() {
            moved(&path(number), &path(number + 1))?;
        }
        moved(current, &path(1))?;
        if let Err(error) = fs::rename(&new, current) {
            moved(&path(1), current)?;
            return Err(error);
        }
        Ok(open)
    }

    /// Goes on in the file that has the name now.
    pub fn reopen(&self) {
        match (self.opener)(&self.rules.path).and_then(Open::of) {
            Ok(open) => *self.open.lock() = open,
            Err(error) => tracing::error!(%error, "the log goes on where it was"),
        }
    }

    /// The files, newest first.
    pub fn paths(&self) -> Vec<PathBuf> {
        let before = (1..=self.rules.keep).map(|number| numbered(&self.rules.path, number));
        std::iter::once(self.rules.path.clone())
            .chain(before)
            .collect()
    }
}

fn opened(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.create(true).append(true).mode(FILE_MODE);
    options.open(path)
}

impl Open {
    fn of(file: File) -> io::Result<Open> {
        let of = file.metadata()?;
        // Not every file system knows when a file was made.
        let begun = of.created().or_else(|_| of.modified());
        Ok(Open {
            octets: of.len(),
            begun_us: begun.map_or(0, micros),
            file,
        })
    }
}

fn micros(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

fn numbered(path: &Path, number: usize) -> PathBuf {
    with_end(path, &number.to_string())
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{end}"));
    name.into()
}

fn moved(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

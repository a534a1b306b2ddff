//! Reading the file: what is wrong is said with file, line and key.
//!
//! Holds: relative paths in the file are meant from the file's folder.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use super::{Config, PLACES, Service, values::Listen};

/// Longest file that is read, in octets.
const FILE_OCTETS_MAX: u64 = 1 << 20;

/// Why there is no configuration: a sentence for the operator.
#[derive(Debug)]
pub struct ConfigError {
    file: PathBuf,
    /// From 1.
    line: Option<usize>,
    key: Option<String>,
    why: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        if let Some(key) = &self.key {
            write!(f, ", {key}")?;
        }
        write!(f, ": {}", self.why)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads a file.
    pub fn read(file: &Path) -> Result<Config, ConfigError> {
        let failed = |error: io::Error| ConfigError {
            file: file.to_owned(),
            line: None,
            key: None,
            why: format!("the file can't be read: {error}"),
        };
        if fs::metadata(file).map_err(failed)?.len() > FILE_OCTETS_MAX {
            return Err(failed(io::Error::other("it is larger than 1 MiB")));
        }
        let text = fs::read_to_string(file).map_err(failed)?;
        let mut config = Config::parse(&text, file)?;
        let folder = file.parent().unwrap_or(Path::new(""));
        config.data = folder.join(&config.data);
        for path in [&mut config.tls.certificate, &mut config.tls.key]
            .into_iter()
            .flatten()
        {
            *path = folder.join(&*path);
        }
        Ok(config)
    }

    /// `file` is for errors alone.
    pub fn parse(text: &str, file: &Path) -> Result<Config, ConfigError> {
        let mut config: Config = toml::from_str(text).map_err(|error| {
            let at = error.span().map(|span| span.start);
            ConfigError {
                file: file.to_owned(),
                line: at.map(|at| line_of(text, at)),
                key: at.and_then(|at| key_at(text, at)),
                why: error.message().replace('\n', "; "),
            }
        })?;
        config.fill();
        config.check().map_err(|(key, why)| ConfigError {
            line: line_of_key(text, key),
            file: file.to_owned(),
            key: Some(key.to_owned()),
            why,
        })?;
        Ok(config)
    }

    /// What no type of one value can say. Returns the key and what is wrong about it.
    fn check(&mut self) -> Result<(), (&'static str, String)> {
        match (&self.tls.certificate, &self.tls.key) {
            (Some(_), None) => {
                return Err((
                    "tls.certificate",
                    "the certificate needs tls.key as well".into(),
                ));
            }
            (None, Some(_)) => {
                return Err(("tls.key", "the key needs tls.certificate as well".into()));
            }
            _ => {}
        }
        for &(service, _, _) in PLACES {
            let places = self.listen_mut(service).iter().flatten();
            let has_unix = places
                .into_iter()
                .any(|place| matches!(place, Listen::Unix(_)));
            if has_unix && service != Service::Lmtp {
                return Err((
                    listen_key(service),
                    "only lmtp listens on Unix sockets".into(),
                ));
            }
        }
        if self.search.shards == 0 {
            return Err(("search.shards", "there is at least one shard".into()));
        }
        if self.authentication.timeout.0.is_zero() {
            return Err(("authentication.timeout", "it takes some time".into()));
        }
        Ok(())
    }
}

fn listen_key(service: Service) -> &'static str {
    match service {
        Service::Smtp => "smtp.listen",
        Service::Submission => "submission.listen",
        Service::Submissions => "submissions.listen",
        Service::Lmtp => "lmtp.listen",
        Service::Imap => "imap.listen",
        Service::Imaps => "imaps.listen",
        Service::Pop3 => "pop3.listen",
        Service::Pop3s => "pop3s.listen",
        Service::ManageSieve => "managesieve.listen",
        Service::Http => "http.listen",
        Service::Https => "https.listen",
    }
}

fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
    before.iter().filter(|&&b| b == b'\n').count() + 1
}

/// The line that sets `key`.
fn line_of_key(text: &str, key: &str) -> Option<usize> {
    keys(text)
        .find(|(_, found)| found == key)
        .map(|(line, _)| line)
}

/// The key whose value or name is at this place: of the lines up to it, the last that sets one.
fn key_at(text: &str, at: usize) -> Option<String> {
    let line = line_of(text, at);
    keys(text)
        .take_while(|(of, _)| *of <= line)
        .last()
        .map(|(_, key)| key)
}

/// The keys that are set, with tables in front, and their lines.
fn keys(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut table = String::new();
    text.lines().enumerate().filter_map(move |(number, line)| {
        let line = line.trim();
        let is_name = |name: &str| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.split(']').next())
            && is_name(name.trim())
        {
            table = name.trim().to_owned();
            return Some((number + 1, table.clone()));
        }
        let name = line.split('=').next()?.trim();
        if !line.contains('=') || !is_name(name) {
            return None;
        }
        let key = if table.is_empty() {
            name.to_owned()
        } else {
            format!("{table}.{name}")
        };
        Some((number + 1, key))
    })
}

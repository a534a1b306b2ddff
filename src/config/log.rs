//! Where the log goes, and how much of it there is.
//!
//! Other half: `crate::log`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{
    Config,
    values::{Octets, Span},
};

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Log {
    pub format: LogFormat,
    pub level: LogLevel,
    pub to: LogTarget,
    /// Without it, `log/posthorn.log` in the data folder.
    pub file: Option<PathBuf>,
    /// A file ends at this size, and at this age (0: not by age).
    pub max_size: Octets,
    pub max_age: Span,
    /// Files before the current one.
    pub keep: usize,
    pub journal_socket: PathBuf,
    /// For the newest records.
    pub memory: Octets,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogTarget {
    Stderr,
    File,
    Journald,
}

impl Default for Log {
    fn default() -> Log {
        Log {
            format: LogFormat::Text,
            level: LogLevel::Info,
            to: LogTarget::Stderr,
            file: None,
            max_size: Octets(100 << 20),
            max_age: Span::seconds(7 * 86_400),
            keep: 8,
            journal_socket: PathBuf::from("/run/systemd/journal/socket"),
            memory: Octets(4 << 20),
        }
    }
}

impl Config {
    /// The file that the log goes to, if it goes to one.
    pub fn log_file(&self) -> PathBuf {
        match &self.log.file {
            Some(file) => file.clone(),
            None => self.data.join("log/posthorn.log"),
        }
    }
}

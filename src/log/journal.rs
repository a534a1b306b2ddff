//! Records to journald, by its own protocol: a datagram with fields, as <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/> has it.
//!
//! Holds: a record is one datagram, which `record::RECORD_OCTETS_MAX` keeps below what a socket takes; fields of ours begin with
//! `POSTHORN_`, so that none is taken for one of journald's.

use std::{
    io,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::record::{Level, Record};

/// Octets of the name of a field, by journald's rule.
const NAME_OCTETS_MAX: usize = 64;

/// A connection to journald.
#[derive(Debug)]
pub struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Journal {
    /// # Errors
    /// When nobody is there: a sentence for the operator.
    pub fn connect(path: &Path) -> Result<Journal, String> {
        let socket = UnixDatagram::unbound().and_then(|socket| {
            // Nobody waits for a journald that is slow: the record goes to stderr then.
            socket.set_nonblocking(true)?;
            socket.connect(path)?;
            Ok(socket)
        });
        let socket = socket.map_err(|error| {
            format!(
                "the log can't be written to journald at {}: {error}",
                path.display()
            )
        })?;
        Ok(Journal {
            socket,
            path: path.to_owned(),
        })
    }

    pub fn send(&self, record: &Record) -> io::Result<()> {
        let datagram = datagram(record);
        match self.socket.send(&datagram) {
            // It was started anew.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                self.socket.connect(&self.path)?;
                self.socket.send(&datagram).map(drop)
            }
            done => done.map(drop),
        }
    }
}

/// syslog's severities (RFC 5424 §6.2.1).
fn priority(level: Level) -> &'static str {
    match level {
        Level::Error => "3",
        Level::Warn => "4",
        Level::Info => "6",
        Level::Debug | Level::Trace => "7",
    }
}

pub fn datagram(record: &Record) -> Vec<u8> {
    let mut datagram = Vec::with_capacity(512);
    field(&mut datagram, "MESSAGE", &record.message);
    field(&mut datagram, "PRIORITY", priority(record.level));
    field(&mut datagram, "SYSLOG_IDENTIFIER", "posthorn");
    field(&mut datagram, "POSTHORN_TARGET", &record.target);
    for (name, value) in &record.fields {
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        field(&mut datagram, &name_of(name), &text);
    }
    datagram
}

/// Upper-case letters, digits and underscores.
fn name_of(name: &str) -> String {
    let allowed = |c: char| match c.is_ascii_alphanumeric() {
        true => c.to_ascii_uppercase(),
        false => '_',
    };
    let mut text = String::from("POSTHORN_");
    text.extend(name.chars().map(allowed));
    text.truncate(NAME_OCTETS_MAX);
    text
}

fn field(datagram: &mut Vec<u8>, name: &str, value: &str) {
    datagram.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        datagram.push(b'\n');
        datagram.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        datagram.push(b'=');
    }
    datagram.extend_from_slice(value.as_bytes());
    datagram.push(b'\n');
}

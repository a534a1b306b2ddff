//! A small client for IMAP (RFC 9051), as much of it as the tests need that drive the binary.
//!
//! Holds: what a literal has stays as it is; an answer is read to its tagged line.

use std::collections::BTreeSet;
use std::io;

use crate::reading::Connection;

/// An untagged response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untagged {
    /// Without the octets of literals; their `{N}` is there.
    pub text: String,
    pub literals: Vec<Vec<u8>>,
}

/// What a command is answered with.
#[derive(Clone, Debug)]
pub struct Answer {
    pub untagged: Vec<Untagged>,
    /// The tagged line without its tag.
    pub end: String,
}

impl Answer {
    pub fn is_ok(&self) -> bool {
        self.end.starts_with("OK")
    }

    /// The first number behind `word`, in any line.
    pub fn number_after(&self, word: &str) -> Option<u64> {
        let lines = self.untagged.iter().map(|line| line.text.as_str());
        lines
            .chain([self.end.as_str()])
            .find_map(|line| number_after(line, word))
    }
}

impl Untagged {
    pub fn uid(&self) -> Option<u32> {
        self.text.contains(" FETCH (").then_some(())?;
        number_after(&self.text, "UID ").map(|uid| uid as u32)
    }

    /// Flags without `\Recent`, which one client alone has.
    pub fn flags(&self) -> Option<BTreeSet<String>> {
        let (flags, _) = self.text.split_once("FLAGS (")?.1.split_once(')')?;
        let flags = flags.split(' ');
        let flags = flags.filter(|flag| !flag.is_empty() && *flag != "\\Recent");
        Some(flags.map(str::to_owned).collect())
    }

    /// EMAILID (RFC 8474).
    pub fn email_id(&self) -> Option<String> {
        let (id, _) = self.text.split_once("EMAILID (")?.1.split_once(')')?;
        Some(id.to_owned())
    }
}

pub fn number_after(text: &str, word: &str) -> Option<u64> {
    let (_, rest) = text.split_once(word)?;
    let end = rest.find(|c: char| !c.is_ascii_digit());
    rest[..end.unwrap_or(rest.len())].parse().ok()
}

/// The numbers of a set without `*`.
pub fn numbers_of(set: &str) -> Vec<u32> {
    let ranges = set.split(',').filter(|range| !range.is_empty());
    ranges
        .flat_map(|range| {
            let (first, last) = range.split_once(':').unwrap_or((range, range));
            let number = |text: &str| text.parse::<u32>().expect("not a set");
            number(first)..=number(last)
        })
        .collect()
}

/// A connection that is logged in.
#[derive(Debug)]
pub struct Imap {
    connection: Connection,
}

impl Imap {
    pub fn login(port: u16, user: &str, password: &str) -> Imap {
        let mut connection = Connection::open(port).expect("no IMAP connection");
        let greeting = connection.line().expect("no greeting");
        assert!(greeting.starts_with("* OK"), "{greeting}");
        let mut imap = Imap { connection };
        imap.ok(&format!("LOGIN {user} \"{password}\""));
        imap
    }

    /// Logs in, or has the server's refusal.
    pub fn try_login(port: u16, user: &str, password: &str) -> io::Result<Result<Imap, String>> {
        let mut connection = Connection::open(port)?;
        let greeting = connection.line()?;
        if !greeting.starts_with("* OK") {
            return Ok(Err(greeting.trim_start_matches("* ").to_owned()));
        }
        let mut imap = Imap { connection };
        let answer = imap.try_say(format!("LOGIN {user} \"{password}\"").as_bytes())?;
        Ok(match answer.is_ok() {
            true => Ok(imap),
            false => Err(answer.end),
        })
    }

    pub fn try_say(&mut self, command: &[u8]) -> io::Result<Answer> {
        self.connection.write(&[b"t ", command, b"\r\n"].concat())?;
        let mut untagged = Vec::new();
        loop {
            let mut line = self.connection.line()?;
            let mut literals = Vec::new();
            // RFC 9051 §4.3: a line that ends in {N} goes on after N octets.
            while let Some(octets) = literal_at_end(&line) {
                literals.push(self.connection.exactly(octets)?);
                line.push_str(&self.connection.line()?);
            }
            if let Some(end) = line.strip_prefix("t ") {
                let end = end.to_owned();
                return Ok(Answer { untagged, end });
            }
            untagged.push(Untagged {
                text: line,
                literals,
            });
        }
    }

    pub fn say(&mut self, command: &str) -> Answer {
        self.try_say(command.as_bytes())
            .unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// Says a command that has to go well.
    pub fn ok(&mut self, command: &str) -> Answer {
        let answer = self.say(command);
        assert!(answer.is_ok(), "{command}: {}", answer.end);
        answer
    }

    /// APPEND, without waiting (RFC 7888).
    pub fn append(&mut self, mailbox: &str, flags: &str, message: &[u8]) -> Answer {
        let head = format!("APPEND {mailbox} ({flags}) {{{}+}}\r\n", message.len());
        self.try_say(&[head.as_bytes(), message].concat())
            .unwrap_or_else(|error| panic!("APPEND {mailbox}: {error}"))
    }

    /// IDLE, until [`Imap::done`].
    pub fn idle(&mut self) {
        self.connection.write(b"t IDLE\r\n").expect("no IDLE");
        let line = self.line();
        assert!(line.starts_with("+ "), "{line}");
    }

    /// The next line, or that there is none any more.
    pub fn try_line(&mut self) -> io::Result<String> {
        self.connection.line()
    }

    /// The next line, whatever it is.
    pub fn line(&mut self) -> String {
        self.connection.line().expect("no line")
    }

    pub fn done(&mut self) {
        self.connection.write(b"DONE\r\n").expect("no DONE");
        while !self.line().starts_with("t OK") {}
    }

    /// The names that LIST has.
    pub fn names(&mut self) -> Vec<String> {
        let listed = self.ok("LIST \"\" \"*\"");
        let lines = listed.untagged.iter().map(|line| line.text.as_str());
        let names = lines.filter(|line| line.starts_with("* LIST "));
        names
            .filter_map(|line| line.split_once(" \"/\" "))
            .map(|(_, name)| name.trim_matches('"').to_owned())
            .collect()
    }
}

fn literal_at_end(line: &str) -> Option<usize> {
    let line = line.strip_suffix('}')?;
    line.rsplit_once('{')?.1.parse().ok()
}

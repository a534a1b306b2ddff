//! What a peer can do, by its answer to EHLO (RFC 5321 §4.1.1.1).
//!
//! Holds: what isn't announced is never used; a keyword that makes no sense is as if it weren't there.
//! Other half: `transaction`, which uses it; `commands` of the server's side, which announces ours.

use super::reply::Reply;

/// The extensions that this client knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// The first line's name.
    pub domain: String,
    pub starttls: bool,
    pub pipelining: bool,
    pub chunking: bool,
    pub binarymime: bool,
    pub eight_bit_mime: bool,
    pub smtputf8: bool,
    pub dsn: bool,
    pub requiretls: bool,
    pub mt_priority: bool,
    /// RFC 1870. `Some(0)`: it takes SIZE=, and has no limit that it tells.
    pub size: Option<u64>,
    /// RFC 2852: the least time that it takes, in seconds.
    pub deliverby: Option<i64>,
    /// Names of mechanisms, in upper case.
    pub auth: Vec<String>,
    /// RFC 9422.
    pub mail_max: Option<u64>,
    pub rcpt_max: Option<u64>,
}

impl Extensions {
    pub fn read(reply: &Reply) -> Extensions {
        let mut extensions = Extensions::default();
        let mut lines = reply.lines.iter();
        let first = lines.next().map(String::as_str).unwrap_or_default();
        extensions.domain = first
            .split(' ')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        for line in lines {
            let mut words = line.split_ascii_whitespace();
            let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
            extensions.add(&keyword, words);
        }
        extensions
    }

    fn add<'w>(&mut self, keyword: &str, mut words: impl Iterator<Item = &'w str>) {
        match keyword {
            "STARTTLS" => self.starttls = true,
            "PIPELINING" => self.pipelining = true,
            "CHUNKING" => self.chunking = true,
            "BINARYMIME" => self.binarymime = true,
            "8BITMIME" => self.eight_bit_mime = true,
            "SMTPUTF8" => self.smtputf8 = true,
            "DSN" => self.dsn = true,
            "REQUIRETLS" => self.requiretls = true,
            "MT-PRIORITY" => self.mt_priority = true,
            "SIZE" => {
                let size = words.next().map_or(Some(0), |word| word.parse().ok());
                self.size = Some(size.unwrap_or(0));
            }
            "DELIVERBY" => {
                let least = words.next().and_then(|word| word.parse().ok());
                self.deliverby = Some(least.unwrap_or(0));
            }
            "AUTH" => self.auth.extend(words.map(str::to_ascii_uppercase)),
            "LIMITS" => words.for_each(|word| self.limit(word)),
            // A form from before RFC 2554 that some peers still have.
            _ => {
                if let Some(first) = keyword.strip_prefix("AUTH=") {
                    self.auth.push(first.to_owned());
                    self.auth.extend(words.map(str::to_ascii_uppercase));
                }
            }
        }
    }

    fn limit(&mut self, word: &str) {
        let Some((name, value)) = word.split_once('=') else {
            return;
        };
        let value = value.parse().ok().filter(|value| *value > 0);
        match name.to_ascii_uppercase().as_str() {
            "MAILMAX" => self.mail_max = value,
            "RCPTMAX" => self.rcpt_max = value,
            _ => {}
        }
    }

    pub fn has_auth(&self, mechanism: &str) -> bool {
        self.auth.iter().any(|other| other == mechanism)
    }
}

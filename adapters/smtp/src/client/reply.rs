//! Replies of a peer (RFC 5321 §4.2), read with bounds.
//!
//! Holds: a reply has one code, at most [`REPLY_LINES_MAX`] lines of [`REPLY_LINE_OCTETS_MAX`] octets, and ends within the time
//! that its command has; what is shown of it has no control characters.
//! Other half: `connection`, which reads them; the queue, which shows them to people.

use std::time::Duration;

use net::ReadError;
use net::reader::{LinePace, Reader};
use tokio::io::AsyncRead;
use tokio::time::timeout;

/// Lines of one reply.
pub const REPLY_LINES_MAX: usize = 100;
/// Octets of one line. RFC 5321 §4.5.3.1.5 has 512; some peers are more talkative.
pub const REPLY_LINE_OCTETS_MAX: usize = 4096;
/// Characters of a reply that are kept to be shown.
pub const REPLY_SHOWN_CHARS_MAX: usize = 1024;

/// One reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub code: u16,
    /// Without code and hyphen.
    pub lines: Vec<String>,
}

/// Why a conversation has ended. Nothing more can be said on the connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("the connection was closed")]
    Closed,
    #[error("no reply in time")]
    TimedOut,
    #[error("what was sent is not taken in time")]
    Stalled,
    #[error("the peer's reply is longer than a reply may be")]
    TooLong,
    #[error("the peer's reply is none of SMTP")]
    Malformed,
    #[error("{0}")]
    Io(String),
}

impl Reply {
    pub fn is_positive(&self) -> bool {
        (200..300).contains(&self.code)
    }

    pub fn is_permanent(&self) -> bool {
        self.code >= 500
    }

    /// RFC 3463, as the first line begins: class, subject, detail.
    pub fn enhanced(&self) -> Option<(u16, u16, u16)> {
        let word = self.lines.first()?.split(' ').next()?;
        let mut numbers = word.split('.').map(|part| {
            let is_number =
                (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
            is_number.then(|| part.parse::<u16>().ok()).flatten()
        });
        let code = (numbers.next()??, numbers.next()??, numbers.next()??);
        let is_class = matches!(code.0, 2 | 4 | 5) && code.0 == self.code / 100;
        (numbers.next().is_none() && is_class).then_some(code)
    }

    /// In one line, the enhanced code only once: `450 4.7.1 Try again later`.
    pub fn text(&self) -> String {
        let enhanced = self
            .enhanced()
            .map(|(class, subject, detail)| format!("{class}.{subject}.{detail} "));
        let mut text = self.code.to_string();
        for (at, line) in self.lines.iter().enumerate() {
            let line = match &enhanced {
                Some(code) if at > 0 => line.strip_prefix(code.as_str()).unwrap_or(line),
                _ => line,
            };
            text.push(' ');
            text.push_str(line.trim());
        }
        shown(text.trim_end())
    }
}

/// Without what a terminal or a header field would act on.
pub fn shown(text: &str) -> String {
    text.chars()
        .take(REPLY_SHOWN_CHARS_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Reads one reply.
pub async fn read<S: AsyncRead + Unpin>(
    reader: &mut Reader<S>,
    within: Duration,
) -> Result<Reply, Broken> {
    match timeout(within, read_lines(reader, within)).await {
        Ok(result) => result,
        Err(_) => Err(Broken::TimedOut),
    }
}

async fn read_lines<S: AsyncRead + Unpin>(
    reader: &mut Reader<S>,
    within: Duration,
) -> Result<Reply, Broken> {
    let pace = LinePace {
        idle: within,
        line: within,
    };
    let mut reply = Reply {
        code: 0,
        lines: Vec::new(),
    };
    loop {
        let line = reader
            .read_line(REPLY_LINE_OCTETS_MAX, pace)
            .await
            .map_err(broken)?;
        let (code, is_last, text) = parse_line(&line.octets).ok_or(Broken::Malformed)?;
        if reply.lines.is_empty() {
            reply.code = code;
        }
        // RFC 5321 §4.2.1: the code is the same in all lines.
        if code != reply.code {
            return Err(Broken::Malformed);
        }
        reply.lines.push(text);
        if is_last {
            return Ok(reply);
        }
        if reply.lines.len() == REPLY_LINES_MAX {
            return Err(Broken::TooLong);
        }
    }
}

fn parse_line(octets: &[u8]) -> Option<(u16, bool, String)> {
    let (code, rest) = octets.split_at_checked(3)?;
    if !code.iter().all(u8::is_ascii_digit) || !(b'2'..=b'5').contains(code.first()?) {
        return None;
    }
    let code = std::str::from_utf8(code).ok()?.parse().ok()?;
    let (is_last, text) = match rest.split_first() {
        None => (true, rest),
        Some((b' ', text)) => (true, text),
        Some((b'-', text)) => (false, text),
        Some(_) => return None,
    };
    Some((code, is_last, String::from_utf8_lossy(text).into_owned()))
}

pub fn broken(error: ReadError) -> Broken {
    match error {
        ReadError::Closed | ReadError::Truncated => Broken::Closed,
        ReadError::Idle | ReadError::TooSlow => Broken::TimedOut,
        ReadError::LineTooLong(_) | ReadError::TooLarge(_) | ReadError::Flooded(_) => {
            Broken::TooLong
        }
        ReadError::Write(error) => Broken::Io(error.to_string()),
        ReadError::Io(error) => Broken::Io(error.to_string()),
    }
}

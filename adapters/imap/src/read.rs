//! Puts a command together: its lines, and the literals between them (RFC 9051 §4.3, RFC 7888).
//!
//! Holds: a literal that is too large is refused before the client sends it, where the client asks first; where it does not, it is thrown
//! away within reason, so that what follows is read as commands again. Memory grows only as octets arrive.
//! Other half: `parse`, which understands the whole; `session`, which waits for the first line.

use net::budget::Share;
use net::reader::ReadError;
use net::{Form, Secret};

use crate::config::{Limits, Timeouts};
use crate::encode::{self, Code, Status};
use crate::out::Out;
use crate::parse::{self, Literal};

/// Octets of literals of one command that need no share of the budget.
const UNCOUNTED_OCTETS_MAX: u64 = 64 << 10;
/// Octets that are read for one step of a share.
const STEP_OCTETS: u64 = 256 << 10;

/// What a client has said.
pub enum Input {
    /// A whole command, its literals in place. The share is given back when the command is done.
    Command {
        octets: Secret<Vec<u8>>,
        share: Share,
    },
    /// It was read to its end, or was not sent at all, and this is the answer.
    Refused {
        tag: Option<String>,
        status: Status,
        code: Option<Code>,
        text: &'static str,
    },
    /// What follows can't be told from a literal: the end of the connection.
    Lost(&'static str),
}

/// What one command may have.
#[derive(Clone, Copy)]
struct Allowance {
    line_octets: usize,
    literal_octets: u64,
    literals_octets: u64,
    /// Whether too large a literal is too large a message.
    is_message: bool,
}

/// A command on its way in.
pub struct Assembly<'a> {
    limits: &'a Limits,
    timeouts: &'a Timeouts,
    allowance: Allowance,
    is_stranger: bool,
    octets: Vec<u8>,
    share: Share,
    line_octets: usize,
    literals: usize,
    literal_octets: u64,
    /// Octets that may be read without a share.
    uncounted: u64,
    discarded: u64,
    refused: Option<(Status, Option<Code>, &'static str)>,
}

const TOO_LONG: (Status, Option<Code>, &str) =
    (Status::Bad, Some(Code::Limit), "The command is too long");
const NOT_STRICT: (Status, Option<Code>, &str) = (
    Status::Bad,
    None,
    "Lines end with CRLF, and have no CR or LF elsewhere",
);

impl<'a> Assembly<'a> {
    pub fn new(
        limits: &'a Limits,
        timeouts: &'a Timeouts,
        is_stranger: bool,
        share: Share,
    ) -> Assembly<'a> {
        let allowance = Allowance {
            line_octets: match is_stranger {
                true => limits.stranger_line_octets_max,
                false => limits.line_octets_max,
            },
            literal_octets: 0,
            literals_octets: 0,
            is_message: false,
        };
        Assembly {
            limits,
            timeouts,
            allowance,
            is_stranger,
            octets: Vec::new(),
            share,
            line_octets: 0,
            literals: 0,
            literal_octets: 0,
            uncounted: UNCOUNTED_OCTETS_MAX,
            discarded: 0,
            refused: None,
        }
    }

    /// Octets that the first line may have, with its end.
    pub fn first_line_octets_max(&self) -> usize {
        self.allowance.line_octets
    }

    /// Reads on after the first line, to the end of the command.
    pub async fn complete(
        mut self,
        out: &mut Out,
        first: Vec<u8>,
        form: Form,
    ) -> Result<Input, ReadError> {
        self.allow(&first);
        let (mut line, mut form) = (first, form);
        loop {
            if !form.is_strict() {
                self.refuse(NOT_STRICT);
            }
            let literal = parse::literal(&line);
            self.line_octets = self.line_octets.saturating_add(line.len() + 2);
            self.keep(line);
            let Some(literal) = literal else {
                return Ok(self.end());
            };
            if let Some(end) = self.literal(out, literal).await? {
                return Ok(end);
            }
            let room = self.allowance.line_octets.saturating_sub(self.line_octets);
            // A line of nothing but its end is always read.
            let pace = self.pace();
            let next = match out.read_line(room.max(3), pace).await {
                Ok(next) => next,
                Err(ReadError::LineTooLong(_)) => {
                    // Whether it ended with a literal is unknown.
                    return Ok(Input::Lost("The command is too long; closing"));
                }
                Err(ReadError::Idle) => return Err(ReadError::TooSlow),
                Err(error) => return Err(error),
            };
            (line, form) = (next.octets, next.form);
        }
    }

    fn pace(&self) -> net::reader::LinePace {
        let of = match self.is_stranger {
            true => self.timeouts.stranger,
            false => self.timeouts.command,
        };
        net::reader::LinePace {
            idle: of.line,
            line: of.line,
        }
    }

    /// What the command's name allows for.
    fn allow(&mut self, line: &[u8]) {
        let limits = self.limits;
        let (literal_octets, literals_octets, is_message) = match self.is_stranger {
            true => {
                let octets = limits.stranger_literal_octets_max;
                (octets, octets.saturating_mul(2), false)
            }
            false if brings_message(line) => {
                (limits.message_octets_max, limits.append_octets_max, true)
            }
            false => {
                let octets = limits.literal_octets_max;
                (octets, octets.saturating_mul(4), false)
            }
        };
        self.allowance = Allowance {
            literal_octets,
            literals_octets,
            is_message,
            ..self.allowance
        };
    }

    fn refuse(&mut self, why: (Status, Option<Code>, &'static str)) {
        self.refused.get_or_insert(why);
        // What is kept is the tag.
        self.octets.truncate(parse::TAG_OCTETS_MAX + 1);
        self.share.clear();
    }

    fn keep(&mut self, line: Vec<u8>) {
        if self.refused.is_some() && !self.octets.is_empty() {
            return;
        }
        if self.octets.is_empty() {
            self.octets = line;
        } else {
            self.octets.extend_from_slice(&line);
        }
    }

    /// Reads a literal, or refuses it; then `Some` if the command ends here.
    async fn literal(
        &mut self,
        out: &mut Out,
        literal: Literal,
    ) -> Result<Option<Input>, ReadError> {
        self.literals += 1;
        let total = self.literal_octets.saturating_add(literal.octets);
        if self.literals > parse::LITERALS_MAX {
            self.refuse(TOO_LONG);
        } else if literal.octets > self.allowance.literal_octets
            || total > self.allowance.literals_octets
        {
            self.refuse(match self.allowance.is_message {
                // RFC 7889 §5.1
                true => (
                    Status::No,
                    Some(Code::TooBig),
                    "The message is larger than is taken",
                ),
                false => (
                    Status::Bad,
                    Some(Code::Limit),
                    "The literal is larger than is taken",
                ),
            });
        }
        self.literal_octets = total;
        if self.refused.is_some() {
            return self.pass_over(out, literal).await;
        }
        if literal.is_synchronizing {
            encode::continuation(out.buffer(), "Go on");
            out.flush().await?;
        }
        self.octets.extend_from_slice(b"\r\n");
        self.take(out, literal.octets).await?;
        out.acknowledge();
        Ok(None)
    }

    /// Reads a literal. Where the budget has no room for all of it, the rest is thrown away.
    async fn take(&mut self, out: &mut Out, octets: u64) -> Result<(), ReadError> {
        let pace = self.timeouts.literal;
        // Who announces much and sends nothing takes nothing from others.
        let first = octets.min(self.uncounted);
        self.uncounted -= first;
        out.read_into(first, &mut self.octets, pace).await?;
        let mut left = octets - first;
        while left > 0 {
            let step = left.min(STEP_OCTETS);
            // It is there twice while it is taken apart.
            if self.share.grow(step.saturating_mul(2)).await.is_err() {
                self.refuse((
                    Status::No,
                    Some(Code::Unavailable),
                    "The server is busy with other messages; try again later",
                ));
                return out.discard(left, pace).await;
            }
            out.read_into(step, &mut self.octets, pace).await?;
            left -= step;
        }
        Ok(())
    }

    /// A literal of a command that is refused already.
    async fn pass_over(
        &mut self,
        out: &mut Out,
        literal: Literal,
    ) -> Result<Option<Input>, ReadError> {
        // RFC 9051 §4.3: the client has not sent it, and takes a tagged answer for the end of the command.
        if literal.is_synchronizing {
            return Ok(Some(self.end()));
        }
        self.discarded = self.discarded.saturating_add(literal.octets);
        let discard_max = match self.is_stranger {
            true => self.limits.stranger_literal_octets_max,
            false => self.limits.discard_octets_max,
        };
        if self.discarded > discard_max {
            return Ok(Some(Input::Lost("The literal is far too large; closing")));
        }
        out.discard(literal.octets, self.timeouts.literal).await?;
        Ok(None)
    }

    fn end(&mut self) -> Input {
        let octets = std::mem::take(&mut self.octets);
        if let Some((status, code, text)) = self.refused.take() {
            return Input::Refused {
                tag: tag_of(&octets),
                status,
                code,
                text,
            };
        }
        let nothing = self.share.sibling();
        Input::Command {
            octets: Secret::new(octets),
            share: std::mem::replace(&mut self.share, nothing),
        }
    }
}

/// The tag of a command that is not looked at further.
pub fn tag_of(octets: &[u8]) -> Option<String> {
    let end = memchr::memchr(b' ', octets).unwrap_or(octets.len());
    let tag = octets.get(..end)?;
    let is_tag = |octet: &u8| (parse::is_atom_char(*octet) || *octet == b']') && *octet != b'+';
    if tag.is_empty() || tag.len() > parse::TAG_OCTETS_MAX || !tag.iter().all(is_tag) {
        return None;
    }
    String::from_utf8(tag.to_vec()).ok()
}

/// Whether the command that begins so has messages for literals.
fn brings_message(line: &[u8]) -> bool {
    let mut words = line.split(|octet| *octet == b' ').filter(|w| !w.is_empty());
    let name = words.nth(1).unwrap_or_default();
    let name = match name.eq_ignore_ascii_case(b"UID") {
        true => words.next().unwrap_or_default(),
        false => name,
    };
    [b"APPEND".as_slice(), b"REPLACE"]
        .iter()
        .any(|with| name.eq_ignore_ascii_case(with))
}

//! Takes the dots out of message data, and finds its end (RFC 5321 §4.5.2, RFC 1939 §3). Sync and pure.
//!
//! Holds: what comes out, and where the end is found, do not depend on how the input is cut. Only CRLF, dot, CRLF is the
//! end; CR or LF alone begin no line, so that `<LF>.<CRLF>` and its like stay what they are: content.
//! Other half: `reader`.

use super::Form;

/// Where in a line the last octet has left us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// After CRLF, or at the very beginning.
    LineStart,
    Inside,
    /// After a CR that has been passed on.
    AfterCr,
    /// After a dot at the start of a line; it is not passed on.
    AfterDot,
    /// After such a dot and a CR, which has not been passed on.
    AfterDotCr,
}

/// The state between two pieces of input.
#[derive(Debug, Clone)]
pub struct Unstuffer {
    at: At,
    form: Form,
    size: u64,
    size_max: u64,
}

/// What has become of a piece of input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// All of it, unless the end was found: then what follows belongs to the next command.
    pub consumed: usize,
    pub ended: bool,
}

impl Unstuffer {
    /// Nothing is passed on any more once there are more than `size_max` octets.
    pub fn new(size_max: u64) -> Unstuffer {
        Unstuffer {
            at: At::LineStart,
            form: Form::default(),
            size: 0,
            size_max,
        }
    }

    pub fn is_too_large(&self) -> bool {
        self.size > self.size_max
    }

    /// Which line endings there were so far.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Appends the content of `input` to `output`.
    pub fn feed(&mut self, input: &[u8], output: &mut Vec<u8>) -> Progress {
        // What is passed on is copied in runs as long as possible: from one removed dot to the next.
        let mut run = 0;
        let mut next = 0;
        while let Some(&octet) = input.get(next) {
            match self.at {
                At::Inside => match memchr::memchr2(b'\r', b'\n', &input[next..]) {
                    None => next = input.len(),
                    Some(skip) => {
                        next += skip + 1;
                        self.line_octet(input[next - 1]);
                    }
                },
                At::LineStart if octet == b'.' => {
                    self.pass_on(&input[run..next], output);
                    next += 1;
                    run = next;
                    self.at = At::AfterDot;
                }
                At::AfterCr if octet == b'\n' => {
                    next += 1;
                    self.at = At::LineStart;
                }
                At::AfterCr => {
                    self.form.bare_cr = true;
                    self.at = At::Inside;
                }
                At::AfterDot if octet == b'\r' => {
                    next += 1;
                    run = next;
                    self.at = At::AfterDotCr;
                }
                At::AfterDotCr if octet == b'\n' => {
                    return Progress {
                        consumed: next + 1,
                        ended: true,
                    };
                }
                At::AfterDotCr => {
                    self.pass_on(b"\r", output);
                    self.at = At::AfterCr;
                }
                At::LineStart | At::AfterDot => self.at = At::Inside,
            }
        }
        self.pass_on(&input[run..], output);
        Progress {
            consumed: input.len(),
            ended: false,
        }
    }

    /// Goes past a CR or LF within a line.
    fn line_octet(&mut self, octet: u8) {
        if octet == b'\r' {
            self.at = At::AfterCr;
        } else {
            self.form.bare_lf = true;
        }
    }

    fn pass_on(&mut self, octets: &[u8], output: &mut Vec<u8>) {
        self.size += octets.len() as u64;
        if !self.is_too_large() {
            output.extend_from_slice(octets);
        }
    }
}

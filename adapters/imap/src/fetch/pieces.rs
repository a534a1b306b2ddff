//! What is written, without copying the octets of messages.
//!
//! Holds: the pieces in their order are what goes to the client.
//! Other half: `fetch::render` adds, `commands::fetch` sends.

use std::ops::Range;

use bytes::Bytes;

use crate::encode::text::literal_octets;

/// What is not longer is copied to the text around it.
const COPIED_OCTETS_MAX: usize = 4 * 1024;

#[derive(Debug, Default)]
pub struct Pieces {
    done: Vec<Bytes>,
    /// What comes after them.
    pub text: Vec<u8>,
    octets: usize,
}

impl Pieces {
    /// Octets that were added since they were taken last.
    pub fn len(&self) -> usize {
        self.octets + self.text.len()
    }

    /// Adds octets of a literal; NUL is replaced (see [`crate::encode::text::NUL_STAND_IN`]).
    pub fn literal_octets(&mut self, of: &Bytes, range: Range<usize>) {
        let Some(octets) = of.get(range.clone()) else {
            return;
        };
        if octets.len() <= COPIED_OCTETS_MAX || memchr::memchr(0, octets).is_some() {
            return literal_octets(&mut self.text, octets);
        }
        self.cut();
        self.octets += octets.len();
        self.done.push(of.slice(range));
    }

    fn cut(&mut self) {
        if !self.text.is_empty() {
            self.octets += self.text.len();
            self.done.push(Bytes::from(std::mem::take(&mut self.text)));
        }
    }

    pub fn take(&mut self) -> Vec<Bytes> {
        self.cut();
        self.octets = 0;
        std::mem::take(&mut self.done)
    }
}

//! A FETCH response (RFC 9051 §7.5.2).
//!
//! Holds: nothing is written of a message that can't be answered; octets of messages are not copied.
//! Other half: `encode::fetch` has the syntax.

use std::ops::Range;

use bytes::Bytes;
use jmap_core::Caller;
use jmap_core::inproc::imap_view::{ViewMessage, ViewRow};
use jmap_types::AccountId;

use super::pieces::Pieces;
use super::plan::Plan;
use super::section::{self, Octets, UnknownCte};
use crate::command::{FetchItem, Section, SectionText};
use crate::encode::fetch::{Fetch, Message};
use crate::selected::{Manner, Selected, number_at};
use crate::translate::flags::Rendered;
use crate::translate::names;

/// Why a message can't be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// What the server keeps of it can't be read.
    Damaged,
    /// The items that ask for it are left out, the others are answered.
    UnknownCte,
}

/// One FETCH of many messages.
pub struct Renderer<'p> {
    /// Ids are told as this caller knows them.
    pub caller: &'p Caller,
    pub plan: &'p Plan,
    pub manner: Manner,
    pub rendered: Rendered,
}

impl Renderer<'_> {
    /// Adds the answer for a message at a place. `shows_seen`: `\Seen` has just been set, so that flags are told though not asked for.
    pub fn message(
        &mut self,
        selected: &Selected,
        at: usize,
        row: &ViewRow,
        message: Option<ViewMessage>,
        shows_seen: bool,
        out: &mut Pieces,
    ) -> Result<(), Trouble> {
        let plan = self.plan;
        if !has_all(plan, message.as_ref()) {
            return Err(Trouble::Damaged);
        }
        let mut body = Body::new(plan, message.as_ref());
        let name = match self.manner.uid_only {
            true => Message::Uid(row.uid),
            false => Message::Sequence(number_at(at)),
        };
        let mut trouble = Ok(());
        let mut response = Fetch::begin(&mut out.text, name);
        for item in &plan.items {
            match item {
                FetchItem::Uid if self.manner.uid_only => {}
                FetchItem::Flags => self.flags(selected, row, &mut response, out),
                FetchItem::Modseq if self.manner.modseq => {}
                FetchItem::Section { .. }
                | FetchItem::Binary { .. }
                | FetchItem::BinarySize(_)
                | FetchItem::Rfc822
                | FetchItem::Rfc822Header
                | FetchItem::Rfc822Text => {
                    if body.item(item, &mut response, out).is_err() {
                        trouble = Err(Trouble::UnknownCte);
                    }
                }
                item => {
                    let of = (self.caller, selected.key.account);
                    simple(
                        item,
                        of,
                        row,
                        message.as_ref(),
                        &mut response,
                        &mut out.text,
                    );
                }
            }
        }
        if shows_seen && !plan.shows_flags {
            self.flags(selected, row, &mut response, out);
        }
        if self.manner.modseq {
            response.modseq(&mut out.text, row.modseq);
        }
        if response.is_empty() {
            response.uid(&mut out.text, row.uid);
        }
        response.end(&mut out.text);
        trouble
    }

    fn flags(
        &mut self,
        selected: &Selected,
        row: &ViewRow,
        response: &mut Fetch,
        out: &mut Pieces,
    ) {
        let is_recent = self.manner.recent && selected.is_recent(row.uid);
        response.ready_flags(&mut out.text, self.rendered.of(row, is_recent));
    }
}

/// Whether all is there that was asked for.
fn has_all(plan: &Plan, message: Option<&ViewMessage>) -> bool {
    let want = plan.want;
    let Some(message) = message else {
        return plan.is_of_rows();
    };
    (!want.structure || message.structure.is_some())
        && (!want.summary || message.summary.is_some())
        && (!want.octets || message.octets.is_some())
}

/// An item of the row, the structure or the summary.
fn simple(
    item: &FetchItem,
    of: (&Caller, AccountId),
    row: &ViewRow,
    message: Option<&ViewMessage>,
    response: &mut Fetch,
    out: &mut Vec<u8>,
) {
    let structure = message.and_then(|message| message.structure.as_deref());
    match item {
        FetchItem::Uid => response.uid(out, row.uid),
        FetchItem::InternalDate => response.internal_date(out, row.received_at),
        FetchItem::SaveDate => response.save_date(out, Some(row.saved_at)),
        FetchItem::Rfc822Size => response.rfc822_size(out, u64::from(row.size)),
        FetchItem::Modseq => response.modseq(out, row.modseq),
        FetchItem::EmailId => {
            let id = names::email_id(of.0, of.1, row.email);
            response.email_id(out, &id);
        }
        FetchItem::ThreadId => {
            let id = names::thread_id(of.0, of.1, row.thread);
            response.thread_id(out, Some(&id));
        }
        FetchItem::Envelope => {
            response.envelope(out, structure.map_or(b"NIL", |made| &made.envelope));
        }
        FetchItem::Body => response.body(out, structure.map_or(b"NIL", |made| &made.body)),
        FetchItem::BodyStructure => {
            response.body_structure(out, structure.map_or(b"NIL", |made| &made.body_structure));
        }
        FetchItem::Preview => {
            let summary = message.and_then(|message| message.summary.as_deref());
            response.preview(out, Some(summary.map_or("", |summary| &summary.preview)));
        }
        // These are of the message's octets, or of flags.
        FetchItem::Flags
        | FetchItem::Section { .. }
        | FetchItem::Binary { .. }
        | FetchItem::BinarySize(_)
        | FetchItem::Rfc822
        | FetchItem::Rfc822Header
        | FetchItem::Rfc822Text => {}
    }
}

/// The message, for the items that are of its octets.
struct Body {
    whole: Bytes,
    parts: Option<section::Message>,
}

impl Body {
    fn new(plan: &Plan, message: Option<&ViewMessage>) -> Body {
        let whole = message.and_then(|message| message.octets.clone());
        let whole = whole.unwrap_or_default();
        let summary = message.and_then(|message| message.summary.clone());
        let parts = summary.filter(|_| plan.needs_parts);
        Body {
            parts: parts.map(|summary| section::Message::new(whole.clone(), summary)),
            whole,
        }
    }

    fn item(
        &mut self,
        item: &FetchItem,
        response: &mut Fetch,
        out: &mut Pieces,
    ) -> Result<(), UnknownCte> {
        match item {
            FetchItem::Section {
                section, partial, ..
            } => {
                let octets = self.section(section);
                let origin = partial.map(|(origin, _)| origin);
                match octets.map(|octets| cut(octets, *partial)) {
                    Some(octets) => {
                        response.section_head(&mut out.text, section, origin, octets.len());
                        self.write(octets, out);
                    }
                    None => response.section(&mut out.text, section, origin, None),
                }
            }
            FetchItem::Rfc822 => self.rfc822("RFC822", None, response, out),
            FetchItem::Rfc822Header => {
                self.rfc822("RFC822.HEADER", Some(SectionText::Header), response, out);
            }
            FetchItem::Rfc822Text => {
                self.rfc822("RFC822.TEXT", Some(SectionText::Text), response, out);
            }
            FetchItem::Binary { part, partial, .. } => {
                let octets = self.binary(part)?.map(|octets| cut(octets, *partial));
                let origin = partial.map(|(origin, _)| origin);
                let octets = octets.as_ref().map(|octets| match octets {
                    Octets::Range(range) => self.whole.get(range.clone()).unwrap_or_default(),
                    Octets::Made(octets) => octets.as_slice(),
                });
                response.binary(&mut out.text, part, origin, octets);
            }
            FetchItem::BinarySize(part) => {
                let size = self.binary(part)?.map_or(0, |octets| octets.len());
                response.binary_size(&mut out.text, part, size);
            }
            _ => {}
        }
        Ok(())
    }

    fn section(&mut self, section: &Section) -> Option<Octets> {
        match &mut self.parts {
            Some(parts) => parts.section(section),
            None => Some(Octets::Range(0..self.whole.len())),
        }
    }

    fn binary(&mut self, part: &[u32]) -> Result<Option<Octets>, UnknownCte> {
        match &mut self.parts {
            Some(parts) => parts.binary(part),
            None => Ok(None),
        }
    }

    fn rfc822(
        &mut self,
        name: &'static str,
        text: Option<SectionText>,
        response: &mut Fetch,
        out: &mut Pieces,
    ) {
        let part = Vec::new();
        match self.section(&Section { part, text }) {
            Some(octets) => {
                response.rfc822_head(&mut out.text, name, octets.len());
                self.write(octets, out);
            }
            None => response.rfc822(&mut out.text, name, None),
        }
    }

    fn write(&self, octets: Octets, out: &mut Pieces) {
        match octets {
            Octets::Range(range) => out.literal_octets(&self.whole, range),
            Octets::Made(octets) => {
                let octets = Bytes::from(octets);
                out.literal_octets(&octets, 0..octets.len());
            }
        }
    }
}

impl Octets {
    pub fn len(&self) -> u64 {
        match self {
            Octets::Range(range) => range.len() as u64,
            Octets::Made(octets) => octets.len() as u64,
        }
    }
}

/// RFC 9051 §6.4.5: `<origin.octets>`; what is beyond the end is empty.
fn cut(octets: Octets, partial: Option<(u64, u64)>) -> Octets {
    let Some((origin, count)) = partial else {
        return octets;
    };
    let whole = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let slice = |range: Range<usize>| {
        let start = range.start.saturating_add(whole(origin)).min(range.end);
        start..start.saturating_add(whole(count)).min(range.end)
    };
    match octets {
        Octets::Range(range) => Octets::Range(slice(range)),
        Octets::Made(octets) => {
            let range = slice(0..octets.len());
            Octets::Made(octets.get(range).unwrap_or_default().to_vec())
        }
    }
}

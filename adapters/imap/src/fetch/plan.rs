//! What a FETCH needs, worked out once for all of its messages.
//!
//! Holds: each item is there once.
//! Other half: `fetch::render`.

use jmap_core::inproc::imap_view::Want;

use crate::command::{FetchItem, Section};

#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub items: Vec<FetchItem>,
    /// What has to be read beyond the rows.
    pub want: Want,
    /// RFC 9051 §6.4.5: what is asked for sets `\Seen`.
    pub sets_seen: bool,
    pub shows_flags: bool,
    /// CONDSTORE is enabled by this (RFC 7162 §3.1).
    pub asks_modseq: bool,
    /// Of the items, one needs the message taken apart.
    pub needs_parts: bool,
}

impl Plan {
    /// `uid`: UID is among the items whether or not it is asked for (RFC 9051 §6.4.9).
    pub fn new(asked: &[FetchItem], uid: bool) -> Plan {
        let mut items: Vec<FetchItem> = Vec::with_capacity(asked.len() + 1);
        if uid {
            items.push(FetchItem::Uid);
        }
        for item in asked {
            if !items.contains(item) {
                items.push(item.clone());
            }
        }
        let mut plan = Plan {
            want: Want::default(),
            sets_seen: items.iter().any(sets_seen),
            shows_flags: items.contains(&FetchItem::Flags),
            asks_modseq: items.contains(&FetchItem::Modseq),
            needs_parts: false,
            items,
        };
        for item in &plan.items {
            match item {
                FetchItem::Envelope | FetchItem::Body | FetchItem::BodyStructure => {
                    plan.want.structure = true;
                }
                FetchItem::Preview => plan.want.summary = true,
                FetchItem::Section { section, .. } => {
                    plan.want.octets = true;
                    plan.needs_parts |= *section != Section::default();
                }
                FetchItem::Rfc822 => plan.want.octets = true,
                FetchItem::Rfc822Header
                | FetchItem::Rfc822Text
                | FetchItem::Binary { .. }
                | FetchItem::BinarySize(_) => {
                    plan.want.octets = true;
                    plan.needs_parts = true;
                }
                FetchItem::Uid
                | FetchItem::Flags
                | FetchItem::InternalDate
                | FetchItem::Rfc822Size
                | FetchItem::Modseq
                | FetchItem::EmailId
                | FetchItem::ThreadId
                | FetchItem::SaveDate => {}
            }
        }
        plan.want.summary |= plan.needs_parts;
        plan
    }

    /// Whether rows alone answer it.
    pub fn is_of_rows(&self) -> bool {
        self.want == Want::default()
    }
}

fn sets_seen(item: &FetchItem) -> bool {
    match item {
        FetchItem::Section { peek, .. } | FetchItem::Binary { peek, .. } => !peek,
        FetchItem::Rfc822 | FetchItem::Rfc822Text => true,
        _ => false,
    }
}

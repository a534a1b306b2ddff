//! One message (RFC 5322, RFC 2045, RFC 8621 §4): bytes in, values out.
//! Holds: nothing here does I/O, reads a clock or rolls dice; no input makes it panic, recurse with
//! the input, or take more than linear time; a message is never refused or lost because it is odd.
//! Other half: `mail::email` gives these values their JMAP names; the store keeps a [`Summary`] a message.

pub mod address;
pub mod body;
pub mod build;
pub mod date;
pub mod decode;
mod emit;
pub mod everything;
pub mod headers;
pub mod html;
pub mod mdn;
mod params;
mod scan;
pub mod snippet;
mod structure;
pub mod subject;
pub mod summary;
pub mod wire;
pub mod words;

#[cfg(test)]
mod tests;

pub use address::{EmailAddress, EmailAddressGroup};
pub use body::{BodyValue, SearchText, body_value, part_octets, part_text, search_text};
pub use build::{
    BuildContext, BuildError, MESSAGE_ID_OCTETS_MAX, NewBodyValue, NewHeader, NewHeaderValue,
    NewMessage, NewPart,
};
pub use date::SentAt;
pub use headers::{Form, HeaderProperty, HeaderValue, PropertyValue};
pub use scan::HeaderField;
pub use snippet::{Terms, fold};
pub use summary::{Encoding, Part, Summary};
pub use wire::WireStructure;

/// Deepest nesting of multiparts that is taken apart; what is deeper stays one opaque part.
pub const MIME_DEPTH_MAX: usize = 32;
/// Most body parts of one message: the last of so many is one opaque part, which holds all that is left.
pub const MIME_PARTS_MAX: usize = 1_000;
/// Most header fields that are listed of one header section; the ones after are left out.
pub const HEADER_COUNT_MAX: usize = 1_000;
/// Most octets of one header section in which fields are looked for.
pub const HEADER_OCTETS_MAX: usize = 512 * 1024;
/// Most octets of one header field value that are parsed; the Raw form is never cut.
pub const HEADER_VALUE_OCTETS_MAX: usize = 128 * 1024;
/// Most parameters of one Content-Type or Content-Disposition field.
pub const MIME_PARAMS_MAX: usize = 64;
/// Most octets of a type, a disposition or a parameter that are kept.
pub const MIME_PARAM_OCTETS_MAX: usize = 1_024;
/// Longest preview, in characters (RFC 8621 §4.1.4).
pub const PREVIEW_CHARS_MAX: usize = 256;
/// Most octets of a body part that are read to make a preview.
pub const PREVIEW_SOURCE_OCTETS_MAX: usize = 32 * 1024;
/// Most octets of body text that are given to the search index for one message.
pub const SEARCH_TEXT_OCTETS_MAX: usize = 1024 * 1024;
/// Most octets of a subject that are looked at to find its base subject.
pub const SUBJECT_OCTETS_MAX: usize = 2_048;
/// Largest search snippet, in octets (RFC 8621 §5).
pub const SNIPPET_OCTETS_MAX: usize = 255;

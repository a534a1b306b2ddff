//! The data types of JMAP (RFC 8620, RFC 8621 and their extensions). Pure data, no I/O.
//!
//! Holds: what these types accept and give is what the RFCs allow on the wire; a typed call
//! means the same in-process and over HTTP.
//! Other half: `jmap-core` says what the calls do, `adapters/jmap` carries them over HTTP.

pub mod arguments;
pub mod blob;
pub mod data_type;
pub mod date;
pub mod email;
pub mod error;
pub mod id;
pub mod mail;
pub mod mdn;
pub mod method;
pub mod patch;
pub mod property;
pub mod push;
pub mod search_snippet;
pub mod sieve;
pub mod trace;
pub mod undelete;
pub mod value;

pub use arguments::{Arguments, FromValue};
pub use data_type::DataType;
pub use date::UtcDate;
pub use error::{MethodError, MethodErrorKind, SetError, SetErrorKind};
pub use id::{
    AccountId, BlobId, ChangesState, Id, ObjectKind, Section, State, TransferEncoding, WireId,
};
pub use method::{Access, MethodCall, Object};
pub use property::Property;
pub use value::{Key, Map, Value};

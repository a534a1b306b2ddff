//! From octets to what they mean: I-JSON, the Request object, and the parts of URLs and header fields.
//!
//! Holds: everything here is sync, pure and bounded, and never panics.

pub mod headers;
pub mod ijson;
pub mod request;
pub mod url;

//! What of a message is looked at. All of it comes from whoever sends mail.

/// Octets of a header section. One that is larger is not looked at for signatures, only for its From fields.
pub const HEADER_OCTETS_MAX: usize = 256 << 10;
/// Fields of a header section; with more it is as above.
pub const HEADER_FIELDS_MAX: usize = 2000;
/// DKIM signatures that are verified: the first ones. RFC 6376 §6.1: a verifier may limit them.
pub const SIGNATURES_MAX: usize = 10;
/// Names in the `h=` of a signature. Past it the signature is not verified (`policy`).
pub const SIGNED_FIELDS_MAX: usize = 200;
/// Tags of an ARC field. Past it the chain is a failure.
pub const TAGS_MAX: usize = 50;
/// Sets of an ARC chain (RFC 8617 §4.2.1). Past it the chain is a failure.
pub const ARC_SETS_MAX: usize = 50;
/// Domains of From fields whose DMARC policy is asked for: the first ones.
pub const FROM_DOMAINS_MAX: usize = 4;
/// Octets of a value in the Authentication-Results field; what is longer is left out of it.
pub const VALUE_OCTETS_MAX: usize = 512;
/// Octets of a message up to which its body is hashed where the message is received; a larger one is hashed by a thread
/// for such work.
pub const HASH_INLINE_OCTETS: usize = 64 << 10;

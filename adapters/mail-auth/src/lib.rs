//! Where a message comes from, as far as that can be shown: SPF (RFC 7208), DKIM (RFC 6376, 8301, 8463), ARC (RFC 8617),
//! DMARC (RFC 7489) and iprev (RFC 8601 §3), over the crate `mail-auth`.
//!
//! Holds: whatever a message has in it and however its domains' name servers behave, [`Verifier::verify`] ends within its
//! time, with bounded work, and gives a verdict. Nothing is decided here about the message: the verdict says what was found
//! and what the author's domain asks for.
//! Other half: `adapters/smtp`, which asks between DATA and delivery, and acts on the answer.

mod canonical;
pub mod dns;
pub mod field;
mod header;
pub mod limits;
pub mod report;
mod resolver;
mod seal;
pub mod sign;
mod spf;
mod verdict;
mod verify;

pub use self::dns::{Dns, DnsSettings};
pub use self::resolver::{Nameservers, ResolverError, Settings};
pub use self::seal::seal;
pub use self::verdict::{
    Arc, Disposition, Dkim, Dmarc, Finding, Identity, Iprev, Outcome, Policy, Spf, Verdict,
};
pub use self::verify::{Envelope, Verifier};

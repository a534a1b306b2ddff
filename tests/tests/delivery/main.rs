//! Mail to other servers: `smtp::client` with peers that are told what to do, with Postfix, and with the DNS of a real,
//! signed zone (Knot DNS).
//!
//! Holds: what the queue is told is what the peer has said; nothing is delivered where a policy forbids it.

mod extensions;
mod families;
mod faults;
mod greylisting;
mod harness;
mod names;
mod peer;
mod policies;
mod postfix;
mod published;
mod relays;
mod reports;
mod signed;
mod site;
mod sts;
mod whole;

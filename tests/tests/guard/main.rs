//! Who is let in, and who has to go: sessions that are ended, clients that are banned.
//!
//! Holds: what is shown is seen from outside, over the protocols' own connections.

mod bans;
mod ldap;
mod nodes;
mod oidc;
mod sessions;
mod slapd;

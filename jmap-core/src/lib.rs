//! What the JMAP methods mean: the canonical core that every protocol translates to.

pub mod auth;
pub mod clock;
pub mod push {
    //! Push notifications (RFC 8620 §7.2).
    pub mod crypto;
}
pub mod rng;

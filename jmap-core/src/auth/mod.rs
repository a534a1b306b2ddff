//! Who is asking: the parts that logging in is made of.
//! Holds: a secret is never shown or compared in variable time; whatever an attacker can make grow is bounded; no
//! protocol has limits of its own, all of them count here.
//! Other half: the core's `login` reads the account's records and puts these parts together; adapters build
//! [`Credentials`] and translate [`AuthError`].

pub(crate) mod admission;
pub mod cache;
pub mod credentials;
pub(crate) mod login;
pub mod oauth;
pub mod password;
pub mod rate;
pub mod scopes;
pub mod scram;
pub mod secret;
pub mod token;
pub mod totp;
pub mod webauthn;

pub use admission::Confirmed;
pub use cache::VerifiedCache;
pub use credentials::{AuthError, Credentials, Origin, Protocol};
pub use password::{PasswordHasher, Verdict};
pub use rate::{LoginLimits, LoginRate, RetryAfter};
pub use scopes::Scopes;
pub use scram::ScramAttempt;
pub use secret::Secret;

//! Everybody's own pages.

pub mod deleted;
pub mod forwarding;
pub mod overview;
pub mod passkeys;
pub mod phone;
pub mod rules;
pub mod second_factor;
pub mod security;
pub mod sessions;
pub mod vacation;
mod word;

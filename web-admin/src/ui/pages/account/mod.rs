//! Everybody's own pages.

pub mod deleted;
pub mod forwarding;
pub mod overview;
pub mod rules;
pub mod security;
pub mod vacation;

//! Everybody's own pages.

pub mod deleted;
pub mod overview;
pub mod rules;
pub mod security;
pub mod vacation;

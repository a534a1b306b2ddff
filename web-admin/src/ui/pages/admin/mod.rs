//! The pages of administrators.

pub mod account;
pub mod accounts;
pub mod aliases;
pub mod audit;
pub mod credentials;
pub mod domains;
pub mod groups;
pub mod lists;
pub mod overview;

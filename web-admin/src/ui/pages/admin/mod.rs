//! The pages of administrators.

pub mod account;
pub mod accounts;
pub mod acme;
pub mod alerts;
pub mod aliases;
pub mod audit;
pub mod bans;
pub mod certificates;
pub mod clients;
pub mod credentials;
pub mod dkim;
pub mod dns;
pub mod domains;
pub mod groups;
pub mod lists;
pub mod logs;
pub mod overview;
pub mod queue;
pub mod reports;
pub mod server;
pub mod sessions;
pub mod settings;
pub mod settings_file;
pub mod setup;
pub mod traces;
pub mod webhooks;

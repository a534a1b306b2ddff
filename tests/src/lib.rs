//! The harness of the end-to-end tests: the real binary, real sockets, a data folder of its own.
//!
//! Holds: a test shares nothing with another one; when it fails, the end of the server's log is printed; waiting has
//! an end. The binary is the one that `POSTHORN_BIN` names, or the one of a debug build; building it is not done here.
//! Other half: the folder `tests` beside, one file a subject.

pub mod acme;
pub mod blobs;
pub mod browser;
pub mod chaos;
pub mod corpus;
pub mod databases;
pub mod deploy;
pub mod dice;
pub mod dovecot;
pub mod dump;
pub mod fuzzing;
pub mod home;
pub mod http;
pub mod imap;
pub mod jmap;
pub mod knot;
pub mod objects;
pub mod pop3;
pub mod reading;
pub mod receiver;
pub mod server;
pub mod smtp;

pub use corpus::Corpus;
pub use dice::Dice;
pub use home::{Home, PASSWORD};
pub use imap::Imap;
pub use jmap::Jmap;
pub use pop3::Pop3;
pub use server::Server;
pub use smtp::Smtp;

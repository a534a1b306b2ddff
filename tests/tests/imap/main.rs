//! IMAP over real sockets: logins, names, lists, rights; the selected mailbox; and clients that others wrote.
//!
//! Holds: each test has a server of its own. Most run the adapter in this process, over the memory engine; `clients` runs the binary.

mod access;
mod clients;
mod durable;
mod fixture;
mod hostile;
mod list;
mod mailboxes;
mod metadata;
mod notify;
mod selected;
mod session;
mod sync;
mod utf8;

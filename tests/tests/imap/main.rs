//! IMAP over real sockets, before a mailbox is selected: logins, names, lists, rights; and clients that others wrote.
//!
//! Holds: each test has a server of its own. Most run the adapter in this process, over the memory engine; `clients` runs the binary.

mod access;
mod clients;
mod fixture;
mod hostile;
mod list;
mod mailboxes;
mod session;

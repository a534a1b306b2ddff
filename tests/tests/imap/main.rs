//! IMAP from outside: a server in this process, on a socket of its own.
//!
//! Holds: each test has a server of its own; what is expected is what goes over the wire.

mod fixture;
mod idle;
mod qresync;
mod sections;
mod selected;

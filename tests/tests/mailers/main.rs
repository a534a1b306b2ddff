//! Programs that people fetch and read mail with, against the running binary: fetchmail, neomutt and aerc. Those that want a terminal get one.
//!
//! Holds: what a program shows is read from its screen, what it has done from the server by JMAP.

mod fetch;
mod read;
mod terminal;

//! The commands: one file each, or for those that belong together.
//!
//! Holds: the table says in which state a command may be said, and what CAPA announces for it; nothing is announced
//! elsewhere.
//! Other half: `session`, which looks commands up.

use net::{Stream, Wire};

use crate::backend::Backend;
use crate::parse::{Command, Verb};
use crate::session::{Running, Session, State};

mod auth;
mod capabilities;
mod list;
mod login;
mod mark;
mod quit;
mod retrieve;
mod starttls;
mod utf8;

/// A command that is offered.
pub struct Entry<B: Backend> {
    pub verb: Verb,
    pub states: &'static [State],
    /// What CAPA announces for it. RFC 2449 §6: the same before and after a login.
    pub capabilities: fn(&Session<B>) -> Vec<String>,
    pub run: for<'a> fn(&'a mut Session<B>, &'a mut Wire<Stream>, Command) -> Running<'a>,
}

const STRANGER: &[State] = &[State::Authorization];
const INSIDE: &[State] = &[State::Transaction];
const ANY: &[State] = &[State::Authorization, State::Transaction];

fn none<B: Backend>(_: &Session<B>) -> Vec<String> {
    Vec::new()
}

/// An entry; without the last argument nothing is announced for it.
macro_rules! entry {
    ($verb:ident, $states:expr, $run:expr) => {
        entry!($verb, $states, $run, none)
    };
    ($verb:ident, $states:expr, $run:expr, $capabilities:expr) => {
        Entry {
            verb: Verb::$verb,
            states: $states,
            capabilities: $capabilities,
            run: |session, wire, command| Box::pin($run(session, wire, command)),
        }
    };
}

impl<B: Backend> Session<B> {
    pub const TABLE: &'static [Entry<B>] = &[
        entry!(Capa, ANY, capabilities::run, capabilities::capabilities),
        entry!(User, STRANGER, login::user, login::capabilities),
        entry!(Pass, STRANGER, login::pass),
        entry!(Auth, STRANGER, auth::run, auth::capabilities),
        entry!(Stls, STRANGER, starttls::run, starttls::capabilities),
        entry!(Utf8, STRANGER, utf8::run, utf8::capabilities),
        entry!(Stat, INSIDE, list::stat),
        entry!(List, INSIDE, list::list),
        entry!(Uidl, INSIDE, list::uidl, |_| vec!["UIDL".to_owned()]),
        entry!(Retr, INSIDE, retrieve::retr),
        entry!(Top, INSIDE, retrieve::top, |_| vec!["TOP".to_owned()]),
        // RFC 2449 §6.7: mail stays until it is deleted.
        entry!(Dele, INSIDE, mark::dele, |_| vec![
            "EXPIRE NEVER".to_owned()
        ]),
        entry!(Rset, INSIDE, mark::rset),
        entry!(Noop, INSIDE, mark::noop),
        entry!(Quit, ANY, quit::run),
    ];
}

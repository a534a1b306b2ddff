//! The commands: one file each, or for those that belong together.
//!
//! Holds: the table says in which mode and state a command may be said, and what EHLO announces for it; nothing is
//! announced elsewhere.
//! Other half: `server::session`, which looks commands up.

use net::{Stream, Wire};

use crate::backend::Backend;
use crate::config::Mode;
use crate::parse::{Command, Verb};
use crate::server::session::{Running, Session, State};

mod auth;
mod bdat;
mod data;
mod hello;
mod mail;
mod other;
mod rcpt;
mod starttls;

/// A command that is offered.
pub struct Entry<B: Backend> {
    pub verb: Verb,
    pub modes: &'static [Mode],
    pub states: &'static [State],
    /// What EHLO announces for it, at the moment.
    pub keywords: fn(&Session<B>) -> Vec<String>,
    pub run: for<'a> fn(&'a mut Session<B>, &'a mut Wire<Stream>, Command) -> Running<'a>,
}

const ALL: &[Mode] = &Mode::ALL;
const SMTP: &[Mode] = &[Mode::Receive, Mode::Submission];
const ANY: &[State] = &[State::Start, State::Greeted, State::Mail, State::Chunks];

fn none<B: Backend>(_: &Session<B>) -> Vec<String> {
    Vec::new()
}

/// An entry without keywords.
macro_rules! entry {
    ($verb:ident, $modes:expr, $states:expr, $run:expr) => {
        entry!($verb, $modes, $states, $run, none)
    };
    ($verb:ident, $modes:expr, $states:expr, $run:expr, $keywords:expr) => {
        Entry {
            verb: Verb::$verb,
            modes: $modes,
            states: $states,
            keywords: $keywords,
            run: |session, wire, command| Box::pin($run(session, wire, command)),
        }
    };
}

impl<B: Backend> Session<B> {
    pub const TABLE: &'static [Entry<B>] = &[
        entry!(Helo, SMTP, ANY, hello::run),
        entry!(Ehlo, SMTP, ANY, hello::run, hello::keywords),
        entry!(Lhlo, &[Mode::Lmtp], ANY, hello::run, hello::keywords),
        entry!(Mail, ALL, &[State::Greeted], mail::run, mail::keywords),
        entry!(Rcpt, ALL, &[State::Mail], rcpt::run, rcpt::keywords),
        entry!(Data, ALL, &[State::Mail], data::run),
        // In any state: its octets have to be read.
        entry!(Bdat, ALL, ANY, bdat::run, bdat::keywords),
        entry!(
            StartTls,
            ALL,
            &[State::Greeted],
            starttls::run,
            starttls::keywords
        ),
        entry!(
            Auth,
            &[Mode::Submission],
            &[State::Greeted],
            auth::run,
            auth::keywords
        ),
        entry!(Rset, ALL, ANY, other::rset),
        entry!(Noop, ALL, ANY, other::noop),
        entry!(Quit, ALL, ANY, other::quit),
        entry!(Help, ALL, ANY, other::help),
        entry!(Vrfy, ALL, ANY, other::vrfy),
    ];
}

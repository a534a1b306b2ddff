//! The commands, and what is announced of them.
//!
//! Holds: `entry` says in which state a command may be said; nothing is announced elsewhere than in `capabilities`.
//! Other half: `session`, which looks commands up.

use jmap_core::mail::sieve;
use net::sasl::Mechanism;
use net::{Stream, Wire};

use crate::encode::{Code, Reply, line};
use crate::parse::Command;
use crate::session::{Flow, Handled, Running, Session, State};

mod auth;
mod scripts;

/// A command that is offered.
pub struct Entry {
    pub states: &'static [State],
    pub run: for<'a> fn(&'a mut Session, &'a mut Wire<Stream>, Command) -> Running<'a>,
}

const STRANGER: &[State] = &[State::Stranger];
const INSIDE: &[State] = &[State::LoggedIn];
const ANY: &[State] = &[State::Stranger, State::LoggedIn];

macro_rules! entry {
    ($states:expr, $run:expr) => {
        Entry {
            states: $states,
            run: |session, wire, command| Box::pin($run(session, wire, command)),
        }
    };
}

impl Session {
    pub fn entry(command: &Command) -> Entry {
        match command {
            Command::Authenticate { .. } => entry!(STRANGER, auth::run),
            Command::StartTls => entry!(STRANGER, start_tls),
            Command::Logout => entry!(ANY, logout),
            Command::Capability => entry!(ANY, capability),
            Command::Noop(_) => entry!(ANY, noop),
            Command::HaveSpace { .. }
            | Command::PutScript { .. }
            | Command::ListScripts
            | Command::SetActive(_)
            | Command::GetScript(_)
            | Command::DeleteScript(_)
            | Command::RenameScript { .. }
            | Command::CheckScript(_) => entry!(INSIDE, scripts::run),
            Command::Unauthenticate => entry!(INSIDE, unauthenticate),
        }
    }

    /// RFC 5804 §1.7
    pub fn capabilities(&self) -> Vec<u8> {
        let mut octets = Vec::new();
        line(&["IMPLEMENTATION", sieve::IMPLEMENTATION], &mut octets);
        let mechanisms = match self.may_show_secrets() {
            true => Mechanism::offered(&self.channel),
            false => Vec::new(),
        };
        let names: Vec<&str> = mechanisms.into_iter().map(Mechanism::name).collect();
        line(&["SASL", &names.join(" ")], &mut octets);
        line(&["SIEVE", &sieve::EXTENSIONS.join(" ")], &mut octets);
        if self.can_start_tls {
            line(&["STARTTLS"], &mut octets);
        }
        line(
            &["MAXREDIRECTS", &sieve::REDIRECTS_MAX.to_string()],
            &mut octets,
        );
        line(&["UNAUTHENTICATE"], &mut octets);
        if let Some(caller) = &self.caller {
            line(&["OWNER", &caller.name], &mut octets);
        }
        // RFC 5804: NOOP, CHECKSCRIPT and RENAMESCRIPT are there.
        line(&["VERSION", "1.0"], &mut octets);
        octets
    }
}

async fn capability(session: &mut Session, wire: &mut Wire<Stream>, _: Command) -> Handled {
    wire.send(&session.capabilities()).await?;
    session.reply(wire, Reply::ok("")).await
}

async fn noop(session: &mut Session, wire: &mut Wire<Stream>, command: Command) -> Handled {
    let reply = match command {
        Command::Noop(Some(text)) => Reply::ok("Done").coded(Code::Tag(text)),
        _ => Reply::ok("Done"),
    };
    session.reply(wire, reply).await
}

async fn logout(_: &mut Session, wire: &mut Wire<Stream>, _: Command) -> Handled {
    wire.send(&Reply::ok("Goodbye").encode()).await?;
    Ok(Flow::Close)
}

async fn unauthenticate(session: &mut Session, wire: &mut Wire<Stream>, _: Command) -> Handled {
    session.caller = None;
    session.reply(wire, Reply::ok("Log in again")).await
}

async fn start_tls(session: &mut Session, wire: &mut Wire<Stream>, _: Command) -> Handled {
    if !session.can_start_tls {
        let reply = Reply::no("STARTTLS is not offered");
        return session.reply_bad(wire, reply).await;
    }
    // Commands that somebody else has put there would be taken for the client's (CVE-2011-0411).
    if wire.has_buffered() {
        let reply = Reply::bye("Nothing may follow STARTTLS before the handshake");
        return session.hang_up(wire, reply).await;
    }
    session
        .reply(wire, Reply::ok("Go on with the handshake"))
        .await?;
    Ok(Flow::StartTls)
}

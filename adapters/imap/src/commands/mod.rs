//! The commands: one file each, or for those that belong together.
//!
//! Holds: the table says in which state a command may be said, and what CAPABILITY announces for it; nothing is announced elsewhere.
//! Other half: `session`, which looks commands up.

use crate::command::Command;
use crate::out::Out;
use crate::session::{Running, Session, State};

mod any;
mod append;
mod catenate;
pub mod changes;
mod copy;
mod expunge;
mod fetch;
mod idle;
mod select;
mod store;
mod target;

/// A command that is offered.
pub struct Entry {
    /// As [`name`] gives it.
    pub name: &'static str,
    pub states: &'static [State],
    /// What CAPABILITY announces for it, at the moment.
    pub capabilities: fn(&Session) -> &'static [&'static str],
    pub run: for<'a> fn(&'a mut Session, &'a mut Out, &'a str, Command) -> Running<'a>,
}

pub const ANY: &[State] = &[
    State::NotAuthenticated,
    State::Authenticated,
    State::Selected,
];
pub const STRANGER: &[State] = &[State::NotAuthenticated];
pub const LOGGED_IN: &[State] = &[State::Authenticated, State::Selected];
pub const SELECTED: &[State] = &[State::Selected];

fn none(_: &Session) -> &'static [&'static str] {
    &[]
}

/// An entry: name, states, function, and capabilities unless it has none.
macro_rules! entry {
    ($name:literal, $states:expr, $run:expr) => {
        entry!($name, $states, $run, none)
    };
    ($name:literal, $states:expr, $run:expr, $capabilities:expr) => {
        Entry {
            name: $name,
            states: $states,
            capabilities: $capabilities,
            run: |session, out, tag, command| Box::pin($run(session, out, tag, command)),
        }
    };
}

pub const TABLE: &[Entry] = &[
    entry!("CAPABILITY", ANY, any::capability, any::capabilities),
    entry!("NOOP", ANY, any::noop),
    entry!("LOGOUT", ANY, any::logout),
    entry!("SELECT", LOGGED_IN, select::select, select::capabilities),
    entry!("EXAMINE", LOGGED_IN, select::select),
    entry!("APPEND", LOGGED_IN, append::append, append::capabilities),
    entry!("IDLE", LOGGED_IN, idle::idle, idle::capabilities),
    entry!("CHECK", SELECTED, select::check),
    entry!("CLOSE", SELECTED, select::close),
    entry!(
        "UNSELECT",
        SELECTED,
        select::unselect,
        select::unselect_capabilities
    ),
    entry!("EXPUNGE", SELECTED, expunge::expunge, expunge::capabilities),
    entry!("FETCH", SELECTED, fetch::fetch, fetch::capabilities),
    entry!("STORE", SELECTED, store::store),
    entry!("COPY", SELECTED, copy::copy),
    entry!("MOVE", SELECTED, copy::r#move, copy::move_capabilities),
    entry!(
        "REPLACE",
        SELECTED,
        append::replace,
        append::replace_capabilities
    ),
];

/// What is announced, at the moment.
pub fn capabilities(session: &Session) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for entry in TABLE {
        for name in (entry.capabilities)(session) {
            if !names.iter().any(|known| known == name) {
                names.push((*name).to_owned());
            }
        }
    }
    names
}

/// The name of a command's entry in the table; with UID and without, it is the same.
pub fn name(command: &Command) -> &'static str {
    match command {
        Command::Capability => "CAPABILITY",
        Command::Noop => "NOOP",
        Command::Logout => "LOGOUT",
        Command::Id(_) => "ID",
        Command::StartTls => "STARTTLS",
        Command::Authenticate { .. } => "AUTHENTICATE",
        Command::Login { .. } => "LOGIN",
        Command::Enable(_) => "ENABLE",
        Command::Select {
            read_only: false, ..
        } => "SELECT",
        Command::Select {
            read_only: true, ..
        } => "EXAMINE",
        Command::Create { .. } => "CREATE",
        Command::Delete(_) => "DELETE",
        Command::Rename { .. } => "RENAME",
        Command::Subscribe(_) => "SUBSCRIBE",
        Command::Unsubscribe(_) => "UNSUBSCRIBE",
        Command::List(_) => "LIST",
        Command::Lsub { .. } => "LSUB",
        Command::Namespace => "NAMESPACE",
        Command::Status { .. } => "STATUS",
        Command::Append { .. } => "APPEND",
        Command::Idle => "IDLE",
        Command::GetQuota(_) => "GETQUOTA",
        Command::GetQuotaRoot(_) => "GETQUOTAROOT",
        Command::SetQuota { .. } => "SETQUOTA",
        Command::GetAcl(_) => "GETACL",
        Command::SetAcl { .. } => "SETACL",
        Command::DeleteAcl { .. } => "DELETEACL",
        Command::ListRights { .. } => "LISTRIGHTS",
        Command::MyRights(_) => "MYRIGHTS",
        Command::GetMetadata { .. } => "GETMETADATA",
        Command::SetMetadata { .. } => "SETMETADATA",
        Command::Notify(_) => "NOTIFY",
        Command::CompressDeflate => "COMPRESS",
        Command::Unauthenticate => "UNAUTHENTICATE",
        Command::GetJmapAccess => "GETJMAPACCESS",
        Command::Check => "CHECK",
        Command::Close => "CLOSE",
        Command::Unselect => "UNSELECT",
        Command::Expunge { .. } => "EXPUNGE",
        Command::Search { .. } => "SEARCH",
        Command::Sort { .. } => "SORT",
        Command::Thread { .. } => "THREAD",
        Command::Fetch { .. } => "FETCH",
        Command::Store { .. } => "STORE",
        Command::Copy { .. } => "COPY",
        Command::Move { .. } => "MOVE",
        Command::Replace { .. } => "REPLACE",
        Command::CancelUpdate(_) => "CANCELUPDATE",
    }
}

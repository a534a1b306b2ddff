//! The commands: one file each, or for those that belong together.
//!
//! Holds: the table says in which state a command may be said, and what CAPABILITY announces for it; nothing is announced elsewhere.
//! Other half: `session`, which looks commands up.

use jmap_core::Caller;
use jmap_core::inproc::imap_view::{ViewError, ViewMailbox};
use jmap_types::{MethodError, SetError};
use net::reader::ReadError;

use crate::command::Command;
use crate::encode::Code;
use crate::out::Out;
use crate::session::{Handled, Running, Session, State};
use crate::translate::errors;
use crate::translate::names::{NameError, Tree};

mod acl;
mod any;
mod append;
mod auth;
mod catenate;
pub mod changes;
mod copy;
mod expunge;
mod fetch;
mod idle;
mod list;
mod mailbox;
mod metadata;
mod multisearch;
pub mod notify;
mod pattern;
mod progress;
mod quota;
mod search;
mod select;
mod status;
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
    entry!(
        "SEARCH",
        SELECTED,
        search::search,
        search::search_capabilities
    ),
    entry!(
        "ESEARCH",
        LOGGED_IN,
        multisearch::esearch,
        multisearch::capabilities
    ),
    entry!("CANCELUPDATE", SELECTED, search::cancel_update),
    entry!("SORT", SELECTED, search::sort, search::sort_capabilities),
    entry!(
        "THREAD",
        SELECTED,
        search::thread,
        search::thread_capabilities
    ),
    entry!("COPY", SELECTED, copy::copy),
    entry!("MOVE", SELECTED, copy::r#move, copy::move_capabilities),
    entry!(
        "REPLACE",
        SELECTED,
        append::replace,
        append::replace_capabilities
    ),
    entry!("ID", ANY, any::id, any::id_capabilities),
    entry!(
        "STARTTLS",
        STRANGER,
        auth::start_tls,
        auth::start_tls_capabilities
    ),
    entry!("LOGIN", STRANGER, auth::login, auth::login_capabilities),
    entry!(
        "AUTHENTICATE",
        STRANGER,
        auth::authenticate,
        auth::capabilities
    ),
    entry!(
        "UNAUTHENTICATE",
        LOGGED_IN,
        auth::unauthenticate,
        auth::unauthenticate_capabilities
    ),
    entry!("ENABLE", LOGGED_IN, any::enable, any::enable_capabilities),
    entry!(
        "COMPRESS",
        LOGGED_IN,
        any::compress,
        any::compress_capabilities
    ),
    entry!(
        "GETJMAPACCESS",
        LOGGED_IN,
        any::jmap_access,
        any::jmap_access_capabilities
    ),
    entry!(
        "NAMESPACE",
        LOGGED_IN,
        list::namespace,
        list::namespace_capabilities
    ),
    entry!("LIST", LOGGED_IN, list::run, list::capabilities),
    entry!("LSUB", LOGGED_IN, list::lsub),
    entry!("STATUS", LOGGED_IN, status::run, status::capabilities),
    entry!(
        "CREATE",
        LOGGED_IN,
        mailbox::create,
        mailbox::create_capabilities
    ),
    entry!("DELETE", LOGGED_IN, mailbox::delete),
    entry!("RENAME", LOGGED_IN, mailbox::rename),
    entry!("SUBSCRIBE", LOGGED_IN, mailbox::subscribe),
    entry!("UNSUBSCRIBE", LOGGED_IN, mailbox::subscribe),
    entry!("GETQUOTA", LOGGED_IN, quota::get, quota::capabilities),
    entry!("GETQUOTAROOT", LOGGED_IN, quota::get_root),
    entry!("SETQUOTA", LOGGED_IN, quota::set),
    entry!("GETACL", LOGGED_IN, acl::get, acl::capabilities),
    entry!("SETACL", LOGGED_IN, acl::set),
    entry!("DELETEACL", LOGGED_IN, acl::set),
    entry!("LISTRIGHTS", LOGGED_IN, acl::list_rights),
    entry!("MYRIGHTS", LOGGED_IN, acl::my_rights),
    entry!(
        "GETMETADATA",
        LOGGED_IN,
        metadata::get,
        metadata::capabilities
    ),
    entry!("SETMETADATA", LOGGED_IN, metadata::set),
    entry!("NOTIFY", LOGGED_IN, notify::notify, notify::capabilities),
];

/// For what is announced only after login.
pub fn after_login(session: &Session, names: &'static [&'static str]) -> &'static [&'static str] {
    match session.caller {
        Some(_) => names,
        None => &[],
    }
}

/// Why a command ends with NO; or the connection is lost.
#[derive(Debug)]
pub enum No {
    Because(Option<Code>, String),
    Lost(ReadError),
}

impl No {
    pub fn cannot(text: &str) -> No {
        No::Because(Some(Code::Cannot), text.to_owned())
    }

    pub fn failed() -> No {
        ViewError::Failed.into()
    }
}

impl From<ReadError> for No {
    fn from(error: ReadError) -> No {
        No::Lost(error)
    }
}

/// From each error of the core, by its function.
macro_rules! no_from {
    ($($error:ty => $function:path,)*) => {$(
        impl From<$error> for No {
            fn from(error: $error) -> No {
                let (code, text) = $function(&error);
                No::Because(code, text)
            }
        }
    )*};
}

no_from! {
    ViewError => errors::view_error,
    MethodError => errors::method_error,
    NameError => errors::name_error,
}

impl From<&SetError> for No {
    fn from(error: &SetError) -> No {
        let (code, text) = errors::set_error(error);
        No::Because(code, text)
    }
}

/// Ends a command: OK with a response code, if there is one, or NO.
pub async fn answer(
    session: &mut Session,
    out: &mut Out,
    tag: &str,
    done: Result<Option<Code>, No>,
    text: &str,
) -> Handled {
    match done {
        Ok(code) => session.ok(out, tag, code, text).await,
        Err(No::Because(code, why)) => session.no(out, tag, code, &why).await,
        Err(No::Lost(error)) => Err(error),
    }
}

impl Session {
    /// Who has logged in: the table sees to it that somebody has.
    pub fn who(&self) -> Result<&Caller, No> {
        self.caller.as_ref().ok_or_else(No::failed)
    }

    /// All mailboxes that the caller sees, by name.
    pub async fn tree(&self) -> Result<Tree, No> {
        let (core, who) = (&self.server.core, self.who()?);
        let accounts = core.view_accounts(who).await?;
        let mut mailboxes = Vec::new();
        for account in &accounts {
            mailboxes.extend(core.view_mailboxes(who, account.id).await?);
        }
        Ok(Tree::new(accounts, mailboxes))
    }
}

/// The mailbox of a name as a client has written it.
pub fn existing<'t>(tree: &'t Tree, name: &str) -> Result<&'t ViewMailbox, No> {
    let Some(node) = tree.get(name) else {
        return Err(ViewError::NoSuchMailbox.into());
    };
    let text = "It is no mailbox, only a level above others";
    node.mailbox.as_ref().ok_or_else(|| No::cannot(text))
}

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
    // RFC 7889 §3.1
    if session.caller.is_some() {
        let octets = session.server.config.limits.message_octets_max;
        names.push(format!("APPENDLIMIT={octets}"));
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
        Command::Search { search, .. } if !search.sources.is_empty() => "ESEARCH",
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

//! What is done to scripts (RFC 5804 §2.5 to §2.12), by the SieveScript methods (RFC 9661).

use bytes::Bytes;
use jmap_core::mail::sieve;
use jmap_types::method::{Get, Set};
use jmap_types::sieve::{SieveScript, SieveScriptSetArguments};
use jmap_types::value::{Map, as_text, key, string};
use jmap_types::{AccountId, BlobId, Value};
use net::{Stream, Wire};

use crate::encode::{self, Code, Reply};
use crate::parse::Command;
use crate::session::{Flow, Handled, Session};
use crate::translate;

/// A script, as it is listed.
struct Script {
    id: String,
    name: String,
    blob: String,
    is_active: bool,
}

pub async fn run(session: &mut Session, wire: &mut Wire<Stream>, command: Command) -> Handled {
    let mut before = Vec::new();
    let reply = match carry_out(session, command, &mut before).await {
        Ok(reply) | Err(reply) => reply,
    };
    before.extend(reply.encode());
    wire.send(&before).await?;
    Ok(Flow::Continue)
}

/// What comes before the reply goes into `before`.
async fn carry_out(
    session: &Session,
    command: Command,
    before: &mut Vec<u8>,
) -> Result<Reply, Reply> {
    match command {
        Command::ListScripts => {
            for script in list(session).await? {
                encode::string(script.name.as_bytes(), before);
                before.extend_from_slice(match script.is_active {
                    true => b" ACTIVE\r\n",
                    false => b"\r\n",
                });
            }
            Ok(Reply::ok(""))
        }
        Command::HaveSpace { name, octets } => have_space(session, &name, octets).await,
        Command::CheckScript(content) => {
            check(content).await?;
            Ok(Reply::ok("The script is good"))
        }
        Command::PutScript { name, content } => put(session, name, content).await,
        Command::GetScript(name) => {
            let script = named(session, &name).await?;
            let content = content(session, &script).await?;
            // RFC 5804 §2.9: always as a literal, whatever is in it.
            before.extend_from_slice(format!("{{{}}}\r\n", content.len()).as_bytes());
            before.extend_from_slice(&content);
            before.extend_from_slice(b"\r\n");
            Ok(Reply::ok(""))
        }
        Command::SetActive(name) => {
            let arguments = match name.as_str() {
                // RFC 5804 §2.8
                "" => SieveScriptSetArguments {
                    on_success_deactivate_script: true,
                    ..SieveScriptSetArguments::default()
                },
                name => SieveScriptSetArguments {
                    on_success_activate_script: Some(named(session, name).await?.id),
                    ..SieveScriptSetArguments::default()
                },
            };
            let wanted = arguments.on_success_activate_script.clone();
            set(session, Change::default(), arguments).await?;
            // The method doesn't tell when the activation alone has failed.
            let active = list(session).await?.into_iter().find(|one| one.is_active);
            match active.map(|one| one.id) == wanted {
                true => Ok(Reply::ok("")),
                false => Err(translate::temporary_failure()),
            }
        }
        Command::DeleteScript(name) => {
            let change = Change {
                destroy: vec![named(session, &name).await?.id],
                ..Change::default()
            };
            set(session, change, SieveScriptSetArguments::default()).await?;
            Ok(Reply::ok(""))
        }
        Command::RenameScript { from, to } => {
            let mut patch = Map::new();
            patch.insert(key("name"), string(to));
            let change = Change {
                update: vec![(named(session, &from).await?.id, patch)],
                ..Change::default()
            };
            set(session, change, SieveScriptSetArguments::default()).await?;
            Ok(Reply::ok(""))
        }
        // Not for this file.
        Command::Authenticate { .. }
        | Command::StartTls
        | Command::Logout
        | Command::Capability
        | Command::Noop(_)
        | Command::Unauthenticate => Err(translate::temporary_failure()),
    }
}

/// The account whose scripts they are: the caller's own.
fn account(session: &Session) -> Result<(&jmap_core::Caller, AccountId), Reply> {
    let caller = session.caller.as_ref();
    let caller = caller.ok_or_else(|| Reply::no("Log in first"))?;
    Ok((caller, caller.account))
}

async fn list(session: &Session) -> Result<Vec<Script>, Reply> {
    let (caller, account_id) = account(session)?;
    let get = Get::<SieveScript> {
        account_id,
        ids: None,
        properties: None,
        arguments: (),
    };
    let response = session.server.core.call(caller, get).await;
    let response = response.map_err(|error| translate::method_error(&error))?;
    Ok(response.list.iter().filter_map(script).collect())
}

fn script(value: &Value) -> Option<Script> {
    let map = value.as_object()?;
    let text = |name: &str| as_text(map.get(&key(name))?).map(str::to_owned);
    Some(Script {
        id: text("id")?,
        name: text("name")?,
        blob: text("blobId")?,
        is_active: matches!(map.get(&key("isActive")), Some(Value::Bool(true))),
    })
}

async fn named(session: &Session, name: &str) -> Result<Script, Reply> {
    let scripts = list(session).await?;
    let script = scripts.into_iter().find(|script| script.name == name);
    script.ok_or_else(translate::no_such_script)
}

async fn content(session: &Session, script: &Script) -> Result<Bytes, Reply> {
    let (caller, account) = account(session)?;
    let blob = BlobId::parse(&script.blob).ok_or_else(translate::temporary_failure)?;
    let read = session.server.core.read_blob(caller, account, blob).await;
    read.map_err(|error| translate::blob_error(&error))
}

/// RFC 5804 §2.5
async fn have_space(session: &Session, name: &str, octets: u64) -> Result<Reply, Reply> {
    if octets > sieve::SCRIPT_OCTETS_MAX as u64 {
        return Err(translate::too_large());
    }
    let scripts = list(session).await?;
    let is_new = !scripts.iter().any(|script| script.name == name);
    if is_new && scripts.len() >= sieve::SCRIPTS_MAX {
        return Err(Reply::no("There are too many scripts").coded(Code::QuotaMaxScripts));
    }
    Ok(Reply::ok(""))
}

/// Whether it could be stored. Nothing is, so there is no blob that a method could look at.
async fn check(content: Vec<u8>) -> Result<(), Reply> {
    if content.len() > sieve::SCRIPT_OCTETS_MAX {
        return Err(translate::too_large());
    }
    sieve::check_aside(content.into()).await.map_err(Reply::no)
}

/// RFC 5804 §2.6: makes a script, or replaces the one with this name.
async fn put(session: &Session, name: String, content: Vec<u8>) -> Result<Reply, Reply> {
    if content.len() > sieve::SCRIPT_OCTETS_MAX {
        return Err(translate::too_large());
    }
    let (caller, account) = account(session)?;
    let core = &session.server.core;
    let known = list(session)
        .await?
        .into_iter()
        .find(|one| one.name == name);
    let blob = core
        .write_blob(caller, account, content.into(), "application/sieve")
        .await;
    let blob = blob.map_err(|error| translate::blob_error(&error))?;
    let mut map = Map::new();
    map.insert(key("blobId"), string(blob.to_string()));
    let change = match known {
        Some(script) => Change {
            update: vec![(script.id, map)],
            ..Change::default()
        },
        None => {
            map.insert(key("name"), string(name));
            Change {
                create: vec![("k".to_owned(), map)],
                ..Change::default()
            }
        }
    };
    set(session, change, SieveScriptSetArguments::default()).await?;
    Ok(Reply::ok(""))
}

/// What a SieveScript/set is asked to do.
#[derive(Default)]
struct Change {
    create: Vec<(String, Map)>,
    update: Vec<(String, Map)>,
    destroy: Vec<String>,
}

async fn set(
    session: &Session,
    change: Change,
    arguments: SieveScriptSetArguments,
) -> Result<(), Reply> {
    let (caller, account_id) = account(session)?;
    let call = Set::<SieveScript> {
        account_id,
        if_in_state: None,
        create: change.create,
        update: change.update,
        destroy: change.destroy,
        arguments,
        created_ids: Default::default(),
    };
    let response = session.server.core.call(caller, call).await;
    let response = response.map_err(|error| translate::method_error(&error))?;
    let mut failed = response
        .not_created
        .iter()
        .chain(&response.not_updated)
        .chain(&response.not_destroyed);
    match failed.next() {
        Some((_, error)) => Err(translate::set_error(error)),
        None => Ok(()),
    }
}

//! What is to be done with a message that arrives in an account: the run of its active script.
//!
//! Holds: whatever is wrong with the script, the plan is the inbox; a script that can't be run for want of a free thread isn't passed over, the
//! message comes again. A run that goes on after its time holds up nobody but the account's own script.
//! Other half: `run`; `actions` carries the plan out.

use std::{collections::HashSet, net::IpAddr, time::Duration};

use jmap_types::{AccountId, DataType, mail::MailboxId};
use store::keys::BlobHash;
use tokio::sync::oneshot;

use super::{
    INCLUDES_MAX, REMEMBERED, RememberedRecord, ScriptRecord, compile,
    run::{self, Need, Place, Plan, Ran, World},
    script_key,
};
use crate::{
    Core,
    inproc::origin::Author,
    mail::{
        mailbox,
        submission::records::Parameter,
        vacation,
        write::{MailTxn, Message},
    },
};

/// A message on its way into one account.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incoming<'d> {
    pub message: &'d Message,
    /// `None`: the null reverse-path.
    pub mail_from: Option<&'d str>,
    /// The address by which it came; `None`: nobody knows any more.
    pub recipient: Option<&'d str>,
    /// What the client said with MAIL, and with the RCPT of that address.
    pub mail_parameters: &'d [Parameter],
    pub parameters: &'d [Parameter],
    pub peer: Option<IpAddr>,
    /// What is kept without saying where is in the mailbox with the role `junk`, and nobody is answered.
    pub is_junk: bool,
    /// Whether the sender can be told at once that it is refused.
    pub may_refuse: bool,
    /// Seconds since 1970.
    pub received_at: i64,
    /// Octets that the account may use; 0 is no limit.
    pub quota_octets: u64,
    /// Who vouches for the From field.
    pub author: &'d Author,
}

/// What is to be done, by which script, and why that script didn't have its way.
#[derive(Debug)]
pub(crate) struct Filtered {
    pub plan: Plan,
    /// `None`: no script is active.
    pub script: Option<String>,
    pub error: Option<String>,
}

/// Why there can't be a plan now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoPlan {
    #[error(transparent)]
    Store(#[from] store::Error),
    /// For longer than is waited for one.
    #[error("no thread is free to run a script")]
    Busy,
}

/// Why there is no plan of the script's.
enum Failure {
    Script(String),
    Not(NoPlan),
}

impl From<NotRun> for Failure {
    fn from(error: NotRun) -> Self {
        match error {
            NotRun::Script(why) => Self::Script(why),
            NotRun::Busy => Self::Not(NoPlan::Busy),
        }
    }
}

/// Why a run has come to nothing.
enum NotRun {
    Script(String),
    Busy,
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        match error {
            // Invariant 5: a bad record is reported, and mail goes on arriving.
            error @ store::Error::Corrupt { .. } => Self::Script(error.to_string()),
            error => Self::Not(NoPlan::Store(error)),
        }
    }
}

/// The plan for a message that arrives.
pub(crate) async fn plan(
    core: &Core,
    txn: &MailTxn,
    incoming: &Incoming<'_>,
) -> Result<Filtered, NoPlan> {
    let mut filtered = Filtered {
        plan: Plan::inbox(),
        script: None,
        error: None,
    };
    // An account that never had a script ends here.
    if txn.head.state(DataType::SieveScript) == 0 {
        return Ok(filtered);
    }
    match try_plan(core, txn, incoming, &mut filtered.script).await {
        Ok(Some(plan)) => filtered.plan = plan,
        Ok(None) => {}
        Err(Failure::Not(error)) => return Err(error),
        Err(Failure::Script(why)) => filtered.error = Some(why),
    }
    Ok(filtered)
}

async fn try_plan(
    core: &Core,
    txn: &MailTxn,
    incoming: &Incoming<'_>,
    script_name: &mut Option<String>,
) -> Result<Option<Plan>, Failure> {
    let Some(active) = super::active_in(txn).await? else {
        return Ok(None);
    };
    *script_name = Some(String::new());
    let key = script_key(txn.account(), active);
    let record = txn.record::<ScriptRecord>(&key).await?;
    let record = record.ok_or(Failure::Script("the active script is missing".to_owned()))?;
    *script_name = Some(record.name.clone());
    let script = compiled(core, &record.blob).await?;
    let mut world = world(core, txn, incoming).await?;
    let now = core.clock.now().seconds();
    let remembered = txn
        .record::<RememberedRecord>(&script_key(txn.account(), REMEMBERED))
        .await?
        .unwrap_or_default();
    let valid = remembered.entries.iter().filter(|entry| entry.until > now);
    world.remembered = valid.map(|entry| entry.hash).collect();
    // Each time it needs one thing more, and nothing twice.
    for _ in 0..INCLUDES_MAX + 2 {
        match limited(core, txn.account(), &world, &record.name, &script).await? {
            Ran::Planned(plan) => return Ok(Some(plan)),
            Ran::Needs(Need::Mailboxes) => world.mailboxes = Some(places(txn).await?),
            Ran::Needs(Need::Script(name)) => {
                let scripts = super::all_in(txn).await?;
                let named = scripts.into_iter().find(|(_, record)| record.name == name);
                let script = match named {
                    Some((_, record)) => Some(compiled(core, &record.blob).await?),
                    None => None,
                };
                world.scripts.insert(name, script);
            }
        }
    }
    Err(Failure::Script("too many scripts are included".to_owned()))
}

/// What a script can see, without what is read only when it is asked for.
async fn world(core: &Core, txn: &MailTxn, incoming: &Incoming<'_>) -> Result<World, store::Error> {
    let account = txn.account();
    let record = core.account_record(account).await?;
    let user_address = record
        .as_ref()
        .and_then(|record| record.addresses.first().cloned())
        .unwrap_or_default();
    let user_name = record.map(|record| record.description.clone());
    let is_answerable = match incoming.mail_from {
        Some(sender) if !incoming.is_junk => {
            vacation::is_answerable(core, account, incoming.message, sender).await?
        }
        _ => false,
    };
    Ok(World {
        message: incoming.message.octets.clone(),
        mail_from: incoming.mail_from.map(str::to_owned),
        recipient: incoming.recipient.unwrap_or(&user_address).to_owned(),
        user_address,
        user_name: user_name.unwrap_or_default(),
        peer: incoming.peer,
        hostname: core.hostname().to_string(),
        nonce: format!("{:016x}{:016x}", core.rng.next_u64(), core.rng.next_u64()),
        is_answerable,
        remembered: HashSet::new(),
        scripts: Default::default(),
        mailboxes: None,
    })
}

async fn places(txn: &MailTxn) -> Result<Vec<Place>, store::Error> {
    let mailboxes = mailbox::all_in(txn).await?;
    let place = |(id, name, role): (u64, String, Option<String>)| Place {
        name,
        id: MailboxId::new(id).to_string(),
        role,
    };
    Ok(mailboxes.into_iter().map(place).collect())
}

async fn compiled(core: &Core, hash: &BlobHash) -> Result<compile::Compiled, Failure> {
    if let Some(known) = core.sieve.compiled.lock().get(hash) {
        return Ok(known.clone());
    }
    let octets = store::blob::get(&core.engine, hash).await?;
    let missing = || Failure::Script("the content of a script is missing".to_owned());
    let octets = octets.ok_or_else(missing)?;
    let compiled = compile::compile_aside(octets)
        .await
        .map_err(Failure::Script)?;
    core.sieve.compiled.lock().insert(*hash, compiled.clone());
    Ok(compiled)
}

/// A run that takes no longer than it may, from when it begins. It can't be stopped from outside: one that goes on is left alone, and until it
/// ends there is no other one for the account.
async fn limited(
    core: &Core,
    account: AccountId,
    world: &World,
    name: &str,
    script: &compile::Compiled,
) -> Result<Ran, NotRun> {
    if core.sieve.stuck.lock().contains(&account) {
        return Err(NotRun::Script("an earlier run still goes on".to_owned()));
    }
    let (world, name, script) = (world.clone(), name.to_owned(), script.clone());
    let (begins, begun) = oneshot::channel();
    let mut task = tokio::task::spawn_blocking(move || {
        let _ = begins.send(());
        run::run(&world, &name, &script)
    });
    let limits = core.limits();
    let wait = Duration::from_millis(limits.max_sieve_wait_ms);
    if !matches!(tokio::time::timeout(wait, begun).await, Ok(Ok(()))) {
        task.abort();
        return Err(NotRun::Busy);
    }
    let limit = Duration::from_millis(limits.max_sieve_run_ms);
    match tokio::time::timeout(limit, &mut task).await {
        Ok(Ok(ran)) => ran.map_err(NotRun::Script),
        Ok(Err(_)) => Err(NotRun::Script("the interpreter failed".to_owned())),
        Err(_) => {
            core.sieve.stuck.lock().insert(account);
            let core = core.clone();
            tokio::spawn(async move {
                drop(task.await);
                core.sieve.stuck.lock().remove(&account);
            });
            let why = format!("it took longer than {} ms", limit.as_millis());
            Err(NotRun::Script(why))
        }
    }
}

/// RFC 5230 for an account's VacationResponse (RFC 8621 §8): whether `vacation` with these arguments answers the message.
pub(crate) async fn answers(
    core: &Core,
    txn: &MailTxn,
    incoming: &Incoming<'_>,
    own_address: &str,
) -> Result<bool, NoPlan> {
    let escaped = own_address.replace('\\', "\\\\").replace('"', "\\\"");
    let text = format!(
        "require \"vacation\";\r\n\
         vacation :handle \"VacationResponse\" :addresses \"{escaped}\" \"VacationResponse\";\r\n"
    );
    let world = world(core, txn, incoming).await?;
    let script = match compile::compile(text.as_bytes()) {
        Ok(script) => script,
        Err(why) => {
            tracing::warn!(account = %txn.account(), why, "a vacation response can't be run");
            return Ok(false);
        }
    };
    match limited(core, txn.account(), &world, "VacationResponse", &script).await {
        Ok(Ran::Planned(plan)) => Ok(plan.vacation.is_some()),
        Ok(Ran::Needs(_)) => Ok(false),
        Err(NotRun::Busy) => Err(NoPlan::Busy),
        Err(NotRun::Script(why)) => {
            tracing::warn!(account = %txn.account(), why, "a vacation response can't be run");
            Ok(false)
        }
    }
}

//! One run of a script over one message: what it wants done.
//!
//! Holds: pure; the run ends after a bounded number of instructions, filings, redirects and includes, and whatever goes wrong in it, a panic
//! of the interpreter included, is an error that the caller can act on. It only plans: nothing of a run that fails is done.
//! Other half: `filter` finds what it needs, `actions` does what it says.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
    panic::{AssertUnwindSafe, catch_unwind},
};

use ::sieve::{
    Context, Envelope, Event, Input, Mailbox, Recipient, Runtime, Script, runtime::Variable,
};
use bytes::Bytes;

use super::{
    EXTENSIONS, FILINGS_MAX, IMPLEMENTATION, INCLUDES_NESTED_MAX, INSTRUCTIONS_MAX, RECEIVED_MAX,
    REDIRECTS_MAX, REMEMBERED_SECONDS_MAX, VARIABLE_OCTETS_MAX, apart::take_apart,
    compile::Compiled, hash,
};

/// What a run can see. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct World {
    pub message: Bytes,
    /// `None`: the null reverse-path.
    pub mail_from: Option<String>,
    /// The address by which the message came.
    pub recipient: String,
    /// The account's own address and name.
    pub user_address: String,
    pub user_name: String,
    pub peer: Option<IpAddr>,
    pub hostname: String,
    /// Nobody outside knows it: what the interpreter writes is told by it.
    pub nonce: String,
    /// Whether the sender may get an automatic reply.
    pub is_answerable: bool,
    /// Hashes of what is remembered and not over.
    pub remembered: HashSet<u64>,
    /// Scripts that were asked for; `None`: there is none.
    pub scripts: HashMap<String, Option<Compiled>>,
    /// Name with `/` between the levels, id, and role.
    pub mailboxes: Option<Vec<Place>>,
}

#[derive(Clone, Debug)]
pub(super) struct Place {
    pub name: String,
    pub id: String,
    pub role: Option<String>,
}

/// What a run needs that the world doesn't have yet.
#[derive(Debug)]
pub(super) enum Need {
    Script(String),
    Mailboxes,
}

pub(super) enum Ran {
    Planned(Plan),
    Needs(Need),
}

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Inbox,
    Mailbox {
        name: String,
        id: Option<String>,
        role: Option<String>,
        may_create: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filing {
    /// Which of the versions of the message; 0 is the one that came.
    pub version: usize,
    pub target: Target,
    /// As the script gives them.
    pub flags: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Redirect {
    pub version: usize,
    pub address: String,
}

/// The reply of RFC 5230, as the interpreter wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Vacation {
    /// With From and Subject.
    pub header: Bytes,
    /// A MIME entity: header fields of its own, an empty line, a body.
    pub entity: Bytes,
    /// The version in which it is filed, if it is.
    pub version: usize,
}

/// What a run wants done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub filings: Vec<Filing>,
    pub redirects: Vec<Redirect>,
    pub vacation: Option<Vacation>,
    /// The sender is told why.
    pub refusal: Option<String>,
    pub is_discarded: bool,
    /// Changed messages, by number.
    pub versions: BTreeMap<usize, Bytes>,
    /// Hash, and for how many seconds.
    pub remember: Vec<(u64, i64)>,
}

impl Plan {
    /// The implicit keep (RFC 5228 §2.10.2), which is also what is done with a message whose script failed.
    pub fn inbox() -> Self {
        let filing = Filing {
            version: 0,
            target: Target::Inbox,
            flags: Vec::new(),
        };
        Self {
            filings: vec![filing],
            ..Self::default()
        }
    }
}

/// Runs `script` over the world's message.
pub(super) fn run(world: &World, name: &str, script: &Compiled) -> Result<Ran, String> {
    let run = AssertUnwindSafe(|| try_run(world, name, script));
    catch_unwind(run).unwrap_or_else(|_| Err("the interpreter failed".to_owned()))
}

fn try_run(world: &World, name: &str, script: &Compiled) -> Result<Ran, String> {
    let runtime = runtime(world);
    let mut context = runtime.filter_parsed(take_apart(&world.message)?);
    context.set_user_address(world.user_address.as_str());
    context.set_user_full_name(&world.user_name);
    let envelope = vec![
        (
            Envelope::From,
            Variable::from(world.mail_from.clone().unwrap_or_default()),
        ),
        (Envelope::To, Variable::from(world.recipient.clone())),
    ];
    context = context.with_envelope_list(envelope);
    if let Some(peer) = world.peer {
        context.set_env_variable("remote-ip", peer.to_canonical().to_string());
    }
    let mut running = Running {
        world,
        plan: Plan::default(),
        created: BTreeMap::new(),
        includes: HashSet::new(),
    };
    let main = Input::script(Script::Personal(name.to_owned()), script.clone());
    match running.events(&mut context, main)? {
        Some(need) => Ok(Ran::Needs(need)),
        None => running.finish().map(Ran::Planned),
    }
}

fn runtime(world: &World) -> Runtime {
    let mut runtime = Runtime::new()
        .with_cpu_limit(INSTRUCTIONS_MAX)
        .with_max_nested_includes(INCLUDES_NESTED_MAX)
        // One more than allowed: that one is an error, and not left out in silence.
        .with_max_redirects(REDIRECTS_MAX + 1)
        .with_max_out_messages(REDIRECTS_MAX + 2)
        .with_max_received_headers(RECEIVED_MAX)
        .with_max_variable_size(VARIABLE_OCTETS_MAX)
        .with_max_header_size(VARIABLE_OCTETS_MAX)
        .with_default_vacation_expiry(7 * 86_400)
        .with_default_duplicate_expiry(7 * 86_400)
        // RFC 5293 §4: these are not for scripts to remove.
        .with_protected_headers(["Received", "Auto-Submitted", "Return-Path"])
        .with_local_hostname(world.nonce.clone());
    for unsupported in ::sieve::compiler::grammar::Capability::all() {
        if !EXTENSIONS.contains(&unsupported.to_string().as_str()) {
            runtime.unset_capability(unsupported.clone());
        }
    }
    let domain = world.recipient.rsplit_once('@').map(|(_, domain)| domain);
    let items = [
        ("name", IMPLEMENTATION.split(' ').next().unwrap_or_default()),
        ("version", env!("CARGO_PKG_VERSION")),
        ("host", world.hostname.as_str()),
        ("domain", domain.unwrap_or_default()),
        ("location", "MS"),
        ("phase", "during"),
    ];
    for (name, value) in items {
        runtime.set_env_variable(name, value.to_owned());
    }
    runtime
}

struct Running<'w> {
    world: &'w World,
    plan: Plan,
    /// Messages that the interpreter wrote, by number.
    created: BTreeMap<usize, Bytes>,
    includes: HashSet<String>,
}

impl Running<'_> {
    fn events(&mut self, context: &mut Context<'_>, first: Input) -> Result<Option<Need>, String> {
        let mut input = first;
        while let Some(event) = context.run(input) {
            let event = event.map_err(|error| error.to_string())?;
            input = match event {
                Event::IncludeScript { name, optional } => match self.include(name, optional)? {
                    Ok(input) => input,
                    Err(need) => return Ok(Some(need)),
                },
                Event::MailboxExists {
                    mailboxes,
                    special_use,
                } => match &self.world.mailboxes {
                    Some(places) => exist(places, &mailboxes, &special_use).into(),
                    None => return Ok(Some(Need::Mailboxes)),
                },
                Event::DuplicateId { id, expiry, last } => {
                    self.is_duplicate(&id, expiry, last).into()
                }
                other => {
                    self.act(other)?;
                    // Nothing was tested.
                    Input::False
                }
            };
        }
        Ok(None)
    }

    fn include(&mut self, name: Script, optional: bool) -> Result<Result<Input, Need>, String> {
        let text = match &name {
            Script::Personal(text) => text.clone(),
            Script::Global(_) if optional => return Ok(Ok(Input::False)),
            // RFC 6609 §3.2: there are none here.
            Script::Global(text) => return Err(format!("there is no global script \"{text}\"")),
        };
        self.includes.insert(text.clone());
        if self.includes.len() > super::INCLUDES_MAX {
            return Err("too many scripts are included".to_owned());
        }
        match self.world.scripts.get(&text) {
            None => Ok(Err(Need::Script(text))),
            Some(Some(script)) => Ok(Ok(Input::script(name, script.clone()))),
            Some(None) if optional => Ok(Ok(Input::False)),
            Some(None) => Err(format!("there is no script \"{text}\" to include")),
        }
    }

    /// RFC 7352, and RFC 5230 §4.2, which the interpreter asks in the same way.
    fn is_duplicate(&mut self, id: &str, expiry: u64, last: bool) -> bool {
        let is_vacation = id.starts_with("_v");
        if is_vacation && !self.world.is_answerable {
            return true;
        }
        let hash = hash(id);
        let seconds = i64::try_from(expiry).unwrap_or(i64::MAX);
        // RFC 5230 §4.1: at least one day, save for RFC 6131's seconds.
        let seconds = seconds.min(REMEMBERED_SECONDS_MAX);
        let is_known = self.world.remembered.contains(&hash)
            || self.plan.remember.iter().any(|(known, _)| *known == hash);
        if (!is_known || last) && seconds > 0 {
            self.plan.remember.retain(|(known, _)| *known != hash);
            self.plan.remember.push((hash, seconds));
        }
        is_known
    }

    fn act(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Keep { flags, message_id } => self.file(Target::Inbox, flags, message_id),
            Event::Discard => {
                self.plan.is_discarded = true;
                Ok(())
            }
            Event::Reject { reason, .. } => match &self.plan.refusal {
                // RFC 5429 §2.4
                Some(_) => Err("the message is rejected twice".to_owned()),
                None => {
                    self.plan.refusal = Some(reason);
                    Ok(())
                }
            },
            Event::FileInto {
                folder,
                flags,
                mailbox_id,
                special_use,
                create,
                message_id,
            } => {
                let target = Target::Mailbox {
                    name: folder,
                    id: mailbox_id,
                    role: special_use,
                    may_create: create,
                };
                self.file(target, flags, message_id)
            }
            Event::CreatedMessage {
                message_id,
                message,
            } => {
                self.created.insert(message_id, message.into());
                Ok(())
            }
            Event::SendMessage {
                recipient,
                message_id,
                ..
            } => self.send(recipient, message_id),
            Event::IncludeScript { .. }
            | Event::MailboxExists { .. }
            | Event::DuplicateId { .. }
            | Event::ListContains { .. }
            | Event::SetEnvelope { .. }
            | Event::Function { .. }
            | Event::Notify { .. } => {
                Err("the script does what no extension allows here".to_owned())
            }
        }
    }

    fn file(&mut self, target: Target, flags: Vec<String>, version: usize) -> Result<(), String> {
        if self.plan.filings.len() >= FILINGS_MAX {
            return Err(format!("it files into more than {FILINGS_MAX} mailboxes"));
        }
        self.plan.filings.push(Filing {
            version,
            target,
            flags,
        });
        Ok(())
    }

    fn send(&mut self, recipient: Recipient, version: usize) -> Result<(), String> {
        let Recipient::Address(address) = recipient else {
            return Err("there are no lists to send to".to_owned());
        };
        if let Some(octets) = self.created.get(&version)
            && let Some((header, entity)) = self.written_by_vacation(octets)
        {
            // RFC 5230 §4.7
            if self.plan.vacation.is_some() {
                return Err("there are two vacation responses".to_owned());
            }
            self.plan.vacation = Some(Vacation {
                header,
                entity,
                version,
            });
            return Ok(());
        }
        if self.plan.redirects.len() >= REDIRECTS_MAX {
            return Err(format!("it redirects more than {REDIRECTS_MAX} times"));
        }
        self.plan.redirects.push(Redirect { version, address });
        Ok(())
    }

    /// The two parts of what the interpreter writes for `vacation`: the line between them has our nonce, which nobody can have put into a
    /// subject.
    fn written_by_vacation(&self, octets: &Bytes) -> Option<(Bytes, Bytes)> {
        let between = format!("@{}>\r\nAuto-Submitted: auto-replied\r\n", self.world.nonce);
        let at = memchr::memmem::find(octets, between.as_bytes())?;
        Some((octets.slice(..at), octets.slice(at + between.len()..)))
    }

    fn finish(mut self) -> Result<Plan, String> {
        let plan = &mut self.plan;
        // RFC 5429 §2.4: a message that is refused isn't kept as well.
        if plan.refusal.is_some() && (!plan.filings.is_empty() || !plan.redirects.is_empty()) {
            return Err("the message is rejected, and filed or redirected too".to_owned());
        }
        if plan.refusal.is_some() && plan.vacation.is_some() {
            return Err("the message is rejected and answered".to_owned());
        }
        let is_somewhere = !plan.filings.is_empty() || !plan.redirects.is_empty();
        if !is_somewhere && plan.refusal.is_none() && !plan.is_discarded {
            plan.filings = Plan::inbox().filings;
        }
        let of_vacation = plan.vacation.as_ref().map(|vacation| vacation.version);
        let used: HashSet<usize> = plan
            .filings
            .iter()
            .map(|filing| filing.version)
            .chain(plan.redirects.iter().map(|redirect| redirect.version))
            .filter(|version| *version != 0 && Some(*version) != of_vacation)
            .collect();
        for version in used {
            let octets = self.created.remove(&version);
            let octets = octets.ok_or("a changed message is missing")?;
            plan.versions.insert(version, octets);
        }
        Ok(self.plan)
    }
}

/// RFC 5490 §3.1, RFC 9042 §3, RFC 8579 §3: whether all of them are there.
fn exist(places: &[Place], mailboxes: &[Mailbox], special_use: &[String]) -> bool {
    let is_there = |place: &Place, asked: &Mailbox| match asked {
        Mailbox::Name(name) => super::actions::is_name(&place.name, name),
        Mailbox::Id(id) => place.id == *id,
    };
    let has_role = |place: &Place, attribute: &String| {
        super::actions::role(attribute).is_some_and(|role| place.role == Some(role))
    };
    let all_there = mailboxes
        .iter()
        .all(|asked| places.iter().any(|place| is_there(place, asked)));
    let all_used = special_use.iter().all(|attribute| {
        let is_one = |place: &Place| {
            has_role(place, attribute) && mailboxes.iter().all(|asked| is_there(place, asked))
        };
        places.iter().any(is_one)
    });
    all_there && all_used
}

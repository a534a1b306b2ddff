//! /set (RFC 8620 §5.3).
//! Holds: each item is one transaction, staged in the order of the RFC (create, update, destroy), so
//! that all of them share a few syncs; what is reported as done is on disk.

use std::{collections::HashSet, future::Future};

use jmap_types::{
    MethodError, MethodErrorKind, SetError, SetErrorKind, State, Value, WireId,
    method::{CreatedIds, Set, SetResponse},
    value::{Key, Map},
};
use store::account::Ticket;

use super::{
    GetObject,
    guard::{Guard, States},
    resolve_creation_ids,
};
use crate::{Context, Handle, error::set_error};

/// Why an item was not staged.
#[derive(Debug)]
pub enum Rejected {
    Set(SetError),
    Store(store::Error),
}

impl From<SetError> for Rejected {
    fn from(error: SetError) -> Self {
        Self::Set(error)
    }
}

impl From<store::Error> for Rejected {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<Rejected> for SetError {
    fn from(rejected: Rejected) -> Self {
        match rejected {
            Rejected::Set(error) => error,
            Rejected::Store(error) => set_error(error),
        }
    }
}

/// What an item came to, and the ticket to wait for (`None` when there was nothing to write).
pub type Staged<T> = Result<(T, Option<Ticket>), Rejected>;

/// An object that /set changes.
pub trait SetObject: GetObject {
    /// Stages a new object: its number, and the properties that the client doesn't know (its `id`
    /// is added by the loop).
    fn create(
        context: &Context,
        arguments: &Self::SetArguments,
        properties: Map,
    ) -> impl Future<Output = Staged<(u64, Map)>> + Send;

    /// Stages a patch: the properties that changed in a way that the client doesn't know.
    fn update(
        context: &Context,
        arguments: &Self::SetArguments,
        id: u64,
        patch: Map,
    ) -> impl Future<Output = Staged<Option<Map>>> + Send;

    fn destroy(
        context: &Context,
        arguments: &Self::SetArguments,
        id: u64,
    ) -> impl Future<Output = Staged<()>> + Send;

    /// After all items are on disk (RFC 8621 §7.5 `onSuccess…`).
    fn finish(
        _context: &Context,
        _arguments: Self::SetArguments,
        _response: &mut SetResponse,
        _created: &CreatedIds,
    ) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// RFC 8620 §5.3: the state must be the one that the client knows.
pub fn check_state(expected: Option<&str>, now: State) -> Result<(), MethodError> {
    match expected {
        Some(expected) if expected != now.to_string() => Err(MethodErrorKind::StateMismatch.into()),
        _ => Ok(()),
    }
}

/// Whether two values say the same: the members of an object have no order.
pub fn is_same(now: &Value, given: &Value) -> bool {
    match (now, given) {
        (Value::Object(now), Value::Object(given)) => {
            let has = |(key, value): (&Key, &Value)| {
                given.get(key).is_some_and(|given| is_same(value, given))
            };
            now.len() == given.len() && now.iter().all(has)
        }
        (Value::Array(now), Value::Array(given)) => {
            now.len() == given.len()
                && now
                    .iter()
                    .zip(given)
                    .all(|(now, given)| is_same(now, given))
        }
        (now, given) => now == given,
    }
}

impl<O: SetObject> Handle for Set<O> {
    async fn handle(self, context: Context) -> Result<SetResponse, MethodError> {
        let items = self.create.len() + self.update.len() + self.destroy.len();
        if items > context.core.limits().max_objects_in_set as usize {
            return Err(MethodErrorKind::RequestTooLarge.into());
        }
        let account = context.account()?.clone();
        O::prepare(&context).await?;
        let names = self.create.iter().map(|(name, _)| name.clone());
        let mut setting = Setting::<O> {
            names: names.collect(),
            attempt: Attempt {
                context: &context,
                arguments: &self.arguments,
                created_ids: &self.created_ids,
            },
            creates: Vec::new(),
            updates: Vec::new(),
            destroys: Vec::new(),
        };
        let staging = async {
            setting.stage_creates(self.create).await;
            setting.stage_updates(self.update, &self.destroy).await;
            setting.stage_destroys(self.destroy).await;
        };
        let guard = Guard::new(account, O::STATE, self.if_in_state);
        guard.stage(staging).await?;
        let settled = setting.settle(&guard).await;
        let States { old, new } = guard.states().await?;
        let mut response = SetResponse {
            account_id: self.account_id,
            old_state: old,
            new_state: new,
            created: settled.created,
            updated: settled.updated,
            destroyed: settled.destroyed,
            not_created: settled.not_created,
            not_updated: settled.not_updated,
            not_destroyed: settled.not_destroyed,
            implicit: Vec::new(),
        };
        O::finish(&context, self.arguments, &mut response, &self.created_ids).await;
        Ok(response)
    }
}

/// What a new object came to: its number, and what the server set.
type Created = (u64, Map);
/// What an update came to: the object's number, and what the server set.
type Updated = (u64, Option<Map>);

/// One try of an item. What creation ids stand for is looked up by each: when another node has got in the way, it is another number.
struct Attempt<'s, O: SetObject> {
    context: &'s Context,
    arguments: &'s O::SetArguments,
    created_ids: &'s CreatedIds,
}

impl<O: SetObject> Attempt<'_, O> {
    async fn create(&self, properties: &Map) -> Staged<Created> {
        let mut resolved = properties.clone();
        resolve_creation_ids(&mut resolved, self.created_ids)?;
        O::create(self.context, self.arguments, resolved).await
    }

    async fn update(&self, id: &str, patch: &Map) -> Staged<Updated> {
        let number = self.number(id).ok_or_else(SetError::not_found)?;
        let mut resolved = patch.clone();
        resolve_creation_ids(&mut resolved, self.created_ids)?;
        let (map, ticket) = O::update(self.context, self.arguments, number, resolved).await?;
        Ok(((number, map), ticket))
    }

    async fn destroy(&self, id: &str) -> Staged<u64> {
        let number = self.number(id).ok_or_else(SetError::not_found)?;
        let ((), ticket) = O::destroy(self.context, self.arguments, number).await?;
        Ok((number, ticket))
    }

    /// The object that an id, or a creation id behind `#`, names.
    fn number(&self, id: &str) -> Option<u64> {
        let id = match id.strip_prefix('#') {
            Some(creation_id) => self.created_ids.get(creation_id)?,
            None => WireId::parse(id)?,
        };
        O::parse_id(&id)
    }
}

/// A /set under way: items as the client gave them, and what they have come to so far.
struct Setting<'s, O: SetObject> {
    /// The creation ids of all objects that it is to create.
    names: HashSet<String>,
    attempt: Attempt<'s, O>,
    creates: Vec<(String, Map, Staged<Created>)>,
    updates: Vec<(String, Map, Staged<Updated>)>,
    destroys: Vec<(String, Staged<u64>)>,
}

/// What the items have come to.
#[derive(Default)]
struct Settled {
    created: Vec<(String, Map)>,
    updated: Vec<(WireId, Option<Map>)>,
    destroyed: Vec<WireId>,
    not_created: Vec<(String, SetError)>,
    not_updated: Vec<(String, SetError)>,
    not_destroyed: Vec<(String, SetError)>,
}

impl<O: SetObject> Setting<'_, O> {
    /// An item may name what another one creates: it has to wait for that one.
    async fn stage_creates(&mut self, mut waiting: Vec<(String, Map)>) {
        while !waiting.is_empty() {
            let names: HashSet<String> = waiting.iter().map(|(name, _)| name.clone()).collect();
            let mut blocked = Vec::new();
            let before = waiting.len();
            for (creation_id, properties) in waiting {
                let mut resolved = properties.clone();
                match resolve_creation_ids(&mut resolved, self.attempt.created_ids) {
                    Ok(()) => self.stage_create(creation_id, properties, resolved).await,
                    Err(_) if refers_to(&properties, &self.to_be_tried_again()) => {
                        let conflict = store::Error::Conflict.into();
                        self.creates.push((creation_id, properties, Err(conflict)));
                    }
                    Err(_) if refers_to(&properties, &names) => {
                        blocked.push((creation_id, properties))
                    }
                    Err(error) => self
                        .creates
                        .push((creation_id, properties, Err(error.into()))),
                }
            }
            if blocked.len() == before {
                for (creation_id, properties) in blocked {
                    let why = "The creation ids refer to each other, or to what was not created.";
                    let error = SetError::describe(SetErrorKind::InvalidProperties, why);
                    self.creates
                        .push((creation_id, properties, Err(error.into())));
                }
                return;
            }
            waiting = blocked;
        }
    }

    async fn stage_create(&mut self, creation_id: String, properties: Map, resolved: Map) {
        let Attempt {
            context, arguments, ..
        } = self.attempt;
        let staged = match self.can_refer(refers_to(&properties, &self.names)).await {
            Ok(()) => O::create(context, arguments, resolved).await,
            Err(conflict) => Err(conflict),
        };
        if let Ok(((number, _), _)) = &staged {
            let id = O::wire_id(*number);
            self.attempt.created_ids.insert(creation_id.clone(), id);
        }
        self.creates.push((creation_id, properties, staged));
    }

    /// Before an item that refers to what this call creates: the numbers of that have to be on disk. On the way there another node may be
    /// faster, and has given them to other objects then. A conflict: the item has its turn after what it refers to was tried again.
    async fn can_refer(&mut self, does_refer: bool) -> Result<(), Rejected> {
        if !does_refer {
            return Ok(());
        }
        for (_, _, staged) in &mut self.creates {
            let does_hold = match staged {
                Ok((_, Some(ticket))) => ticket.wait().await.is_ok(),
                Ok((_, None)) | Err(Rejected::Set(_)) => true,
                Err(Rejected::Store(_)) => false,
            };
            if !does_hold {
                return Err(store::Error::Conflict.into());
            }
        }
        Ok(())
    }

    /// The objects that have no numbers yet, and may get some.
    fn to_be_tried_again(&self) -> HashSet<String> {
        let conflicts = self.creates.iter().filter_map(|(name, _, staged)| {
            let is_conflict = matches!(staged, Err(Rejected::Store(_)));
            is_conflict.then(|| name.clone())
        });
        conflicts.collect()
    }

    fn is_name(&self, id: &str) -> bool {
        let name = id.strip_prefix('#');
        name.is_some_and(|name| self.names.contains(name))
    }

    async fn stage_updates(&mut self, update: Vec<(String, Map)>, destroy: &[String]) {
        let numbers = destroy.iter().filter_map(|id| self.attempt.number(id));
        let destroyed: HashSet<u64> = numbers.collect();
        for (id, patch) in update {
            let does_refer = self.is_name(&id) || refers_to(&patch, &self.names);
            let staged = match self.attempt.number(&id) {
                Some(number) if destroyed.contains(&number) => {
                    Err(SetError::new(SetErrorKind::WillDestroy).into())
                }
                _ => match self.can_refer(does_refer).await {
                    Ok(()) => self.attempt.update(&id, &patch).await,
                    Err(conflict) => Err(conflict),
                },
            };
            self.updates.push((id, patch, staged));
        }
    }

    async fn stage_destroys(&mut self, destroy: Vec<String>) {
        let (mut seen, mut unknown) = (HashSet::new(), HashSet::new());
        for id in destroy {
            let is_new = match self.attempt.number(&id) {
                Some(number) => seen.insert(number),
                None => unknown.insert(id.clone()),
            };
            if !is_new {
                continue;
            }
            let staged = match self.can_refer(self.is_name(&id)).await {
                Ok(()) => self.attempt.destroy(&id).await,
                Err(conflict) => Err(conflict),
            };
            self.destroys.push((id, staged));
        }
    }

    /// Waits until everything is on disk, and tries again what a concurrent change got in the way of: in the order in which it was staged,
    /// so that what an item refers to has its number before.
    async fn settle(self, guard: &Guard) -> Settled {
        let attempt = &self.attempt;
        let created_ids = attempt.created_ids;
        let mut settled = Settled::default();
        for (creation_id, properties, staged) in self.creates {
            let was_named = staged.is_ok();
            let again = || attempt.create(&properties);
            match guard.durable(staged, again).await {
                Ok((number, server_set)) => {
                    let id = O::wire_id(number);
                    created_ids.insert(creation_id.clone(), id.clone());
                    let mut map = Map::with_capacity(server_set.len() + 1);
                    map.insert_unchecked(jmap_types::Property::Id, id.to_string());
                    map.as_mut_vec().extend(server_set.into_vec());
                    settled.created.push((creation_id, map));
                }
                Err(error) => {
                    if was_named {
                        created_ids.remove(&creation_id);
                    }
                    settled.not_created.push((creation_id, error));
                }
            }
        }
        for (id, patch, staged) in self.updates {
            let again = || attempt.update(&id, &patch);
            match guard.durable(staged, again).await {
                Ok((number, map)) => add_updated(&mut settled.updated, O::wire_id(number), map),
                Err(error) => settled.not_updated.push((id, error)),
            }
        }
        for (id, staged) in self.destroys {
            let again = || attempt.destroy(&id);
            match guard.durable(staged, again).await {
                Ok(number) => settled.destroyed.push(O::wire_id(number)),
                Err(error) => settled.not_destroyed.push((id, error)),
            }
        }
        settled
    }
}

/// Adds an object to `updated`. One that was updated under two names is there once, with what is true after the last of the two (RFC 7493 §2.3:
/// no name twice).
pub(crate) fn add_updated(
    updated: &mut Vec<(WireId, Option<Map>)>,
    id: WireId,
    server_set: Option<Map>,
) {
    let Some((_, known)) = updated.iter_mut().find(|(known, _)| *known == id) else {
        return updated.push((id, server_set));
    };
    let Some(server_set) = server_set else {
        return;
    };
    let known = known.get_or_insert_with(Map::new);
    for (property, value) in server_set.into_vec() {
        known.insert(property, value);
    }
}

/// Whether some string or key of `map` is the creation id of one of `names`.
fn refers_to(map: &Map, names: &HashSet<String>) -> bool {
    fn in_value(value: &Value, names: &HashSet<String>) -> bool {
        match value {
            Value::Str(text) => text
                .strip_prefix('#')
                .is_some_and(|name| names.contains(name)),
            Value::Array(values) => values.iter().any(|v| in_value(v, names)),
            Value::Object(map) => refers_to(map, names),
            _ => false,
        }
    }
    map.iter().any(|(key, value)| {
        key.to_string()
            .strip_prefix('#')
            .is_some_and(|name| names.contains(name))
            || in_value(value, names)
    })
}

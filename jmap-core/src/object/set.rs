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

use super::{GetObject, guard::Guard, resolve_creation_ids};
use crate::{
    Context, Handle,
    error::{method_error, set_error},
};

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
        let mut setting = Setting::<O> {
            context: &context,
            arguments: &self.arguments,
            created_ids: &self.created_ids,
            creates: Vec::new(),
            updates: Vec::new(),
            destroys: Vec::new(),
        };
        let staging = async {
            setting.stage_creates(self.create).await;
            setting.stage_updates(self.update, &self.destroy).await;
            setting.stage_destroys(self.destroy).await;
        };
        let guard = Guard::new(account.clone(), O::STATE, self.if_in_state);
        let old_state = guard.stage(staging).await?;
        let mut response = setting.settle(self.account_id, old_state, &guard).await;
        guard.check()?;
        response.new_state = State(account.head().await.map_err(method_error)?.state(O::STATE));
        O::finish(&context, self.arguments, &mut response, &self.created_ids).await;
        Ok(response)
    }
}

/// What a new object came to: its number, and what the server set.
type Created = (u64, Map);

/// A /set under way.
struct Setting<'s, O: SetObject> {
    context: &'s Context,
    arguments: &'s O::SetArguments,
    created_ids: &'s CreatedIds,
    creates: Vec<(String, Map, Staged<Created>)>,
    updates: Vec<(String, u64, Map, Staged<Option<Map>>)>,
    destroys: Vec<(String, u64, Staged<()>)>,
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
                match resolve_creation_ids(&mut resolved, self.created_ids) {
                    Ok(()) => self.stage_create(creation_id, resolved).await,
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

    async fn stage_create(&mut self, creation_id: String, properties: Map) {
        let staged = O::create(self.context, self.arguments, properties.clone()).await;
        if let Ok(((number, _), _)) = &staged {
            self.created_ids
                .insert(creation_id.clone(), O::wire_id(*number));
        }
        self.creates.push((creation_id, properties, staged));
    }

    async fn stage_updates(&mut self, update: Vec<(String, Map)>, destroy: &[String]) {
        for (id, mut patch) in update {
            let staged = match self.number(&id) {
                None => Err((0, SetError::not_found())),
                Some(number) if destroy.contains(&id) => {
                    Err((number, SetError::new(SetErrorKind::WillDestroy)))
                }
                Some(number) => match resolve_creation_ids(&mut patch, self.created_ids) {
                    Ok(()) => Ok(number),
                    Err(error) => Err((number, error)),
                },
            };
            let (number, staged) = match staged {
                Ok(number) => (
                    number,
                    O::update(self.context, self.arguments, number, patch.clone()).await,
                ),
                Err((number, error)) => (number, Err(error.into())),
            };
            self.updates.push((id, number, patch, staged));
        }
    }

    async fn stage_destroys(&mut self, destroy: Vec<String>) {
        let mut seen = HashSet::new();
        for id in destroy {
            if !seen.insert(id.clone()) {
                continue;
            }
            let (number, staged) = match self.number(&id) {
                Some(number) => (
                    number,
                    O::destroy(self.context, self.arguments, number).await,
                ),
                None => (0, Err(SetError::not_found().into())),
            };
            self.destroys.push((id, number, staged));
        }
    }

    /// The object that an id, or a creation id behind `#`, names.
    fn number(&self, id: &str) -> Option<u64> {
        let id = match id.strip_prefix('#') {
            Some(creation_id) => self.created_ids.get(creation_id)?,
            None => WireId::parse(id)?,
        };
        O::parse_id(&id)
    }

    /// Waits until everything is on disk, and tries again what a concurrent change got in the way of.
    async fn settle(
        self,
        account_id: jmap_types::AccountId,
        old_state: State,
        guard: &Guard,
    ) -> SetResponse {
        let (context, arguments) = (self.context, self.arguments);
        let mut response = SetResponse {
            account_id,
            old_state: Some(old_state),
            new_state: old_state,
            created: Vec::new(),
            updated: Vec::new(),
            destroyed: Vec::new(),
            not_created: Vec::new(),
            not_updated: Vec::new(),
            not_destroyed: Vec::new(),
            implicit: Vec::new(),
        };
        for (creation_id, properties, staged) in self.creates {
            let again = || O::create(context, arguments, properties.clone());
            match guard.durable(staged, again).await {
                Ok((number, server_set)) => {
                    let id = O::wire_id(number);
                    self.created_ids.insert(creation_id.clone(), id.clone());
                    let mut map = Map::with_capacity(server_set.len() + 1);
                    map.insert_unchecked(jmap_types::Property::Id, id.to_string());
                    map.as_mut_vec().extend(server_set.into_vec());
                    response.created.push((creation_id, map));
                }
                Err(error) => response.not_created.push((creation_id, error)),
            }
        }
        for (id, number, patch, staged) in self.updates {
            let again = || O::update(context, arguments, number, patch.clone());
            match guard.durable(staged, again).await {
                Ok(map) => response.updated.push((O::wire_id(number), map)),
                Err(error) => response.not_updated.push((id, error)),
            }
        }
        for (id, number, staged) in self.destroys {
            let again = || O::destroy(context, arguments, number);
            match guard.durable(staged, again).await {
                Ok(()) => response.destroyed.push(O::wire_id(number)),
                Err(error) => response.not_destroyed.push((id, error)),
            }
        }
        response
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

//! /get (RFC 8620 §5.1).
//! Holds: `id` always comes back, and nothing else that was not asked for; each id once.

use std::{collections::HashSet, future::Future};

use jmap_types::{
    DataType, MethodError, MethodErrorKind, Object, ObjectKind, State, Value, WireId,
    method::{Get, GetResponse},
};

use crate::{Context, Handle, error::method_error};

/// An object that /get gives.
pub trait GetObject: Object + ObjectKind + Sized {
    /// The type whose state comes back with it.
    const STATE: DataType;

    /// The properties that come when none are named.
    const DEFAULT_PROPERTIES: &'static [&'static str];

    /// Whether a client may ask for a property of this name.
    fn is_property(name: &str) -> bool {
        Self::DEFAULT_PROPERTIES.contains(&name)
    }

    /// What has to happen before the state is read, such as making objects that every account has.
    fn prepare(_context: &Context) -> impl Future<Output = Result<(), MethodError>> + Send {
        std::future::ready(Ok(()))
    }

    /// What Get's own arguments have wrong.
    fn check_arguments(_arguments: &Self::GetArguments) -> Result<(), MethodError> {
        Ok(())
    }

    /// The numbers of all objects that the caller may see.
    fn all(context: &Context) -> impl Future<Output = Result<Vec<u64>, MethodError>> + Send;

    /// The objects with these numbers, in their order; `None` for those that don't exist, or not
    /// for this caller. Each has `id` and the properties asked for.
    fn fetch(
        context: &Context,
        ids: &[u64],
        properties: &Properties,
        arguments: &Self::GetArguments,
    ) -> impl Future<Output = Result<Vec<Option<Value>>, MethodError>> + Send;

    /// The id as a client reads it.
    fn wire_id(number: u64) -> WireId {
        jmap_types::Id::<Self>::new(number).to_wire()
    }

    fn parse_id(id: &WireId) -> Option<u64> {
        id.as_id::<Self>().map(|id| id.number())
    }
}

/// The names of the properties that were asked for.
#[derive(Debug, Clone)]
pub struct Properties(Vec<String>);

impl Properties {
    pub fn new(names: Vec<String>) -> Self {
        Self(names)
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|n| n == name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// The names asked for, or the default; an unknown one is an error (RFC 8620 §5.1).
pub fn properties_of<O: GetObject>(asked: Option<Vec<String>>) -> Result<Properties, MethodError> {
    let Some(asked) = asked else {
        return Ok(Properties(
            O::DEFAULT_PROPERTIES
                .iter()
                .map(|name| (*name).to_owned())
                .collect(),
        ));
    };
    match asked
        .iter()
        .find(|name| *name != "id" && !O::is_property(name))
    {
        Some(unknown) => Err(MethodError::invalid_arguments(format!(
            "{} has no property \"{unknown}\".",
            O::NAME
        ))),
        None => Ok(Properties(asked)),
    }
}

/// Whether another node has changed the account lately.
async fn has_news(context: &Context) -> Result<bool, MethodError> {
    let Ok(account) = context.account() else {
        return Ok(false);
    };
    let before = account.writer.newest();
    account.look().await.map_err(method_error)?;
    Ok(account.writer.newest() > before)
}

impl<O: GetObject> Handle for Get<O> {
    async fn handle(self, context: Context) -> Result<GetResponse, MethodError> {
        let properties = properties_of::<O>(self.properties)?;
        O::check_arguments(&self.arguments)?;
        O::prepare(&context).await?;
        let max = context.core.limits().max_objects_in_get as usize;
        // Before the objects: a change that comes in between is told again, never missed.
        let state = context
            .account()?
            .head()
            .await
            .map_err(method_error)?
            .state(O::STATE);
        let mut not_found = Vec::new();
        let asks_for_all = self.ids.is_none();
        let numbers = match self.ids {
            None => O::all(&context).await?,
            Some(ids) if ids.len() > max => return Err(MethodErrorKind::RequestTooLarge.into()),
            Some(ids) => {
                let mut seen = HashSet::new();
                let mut numbers = Vec::with_capacity(ids.len());
                for id in ids {
                    match O::parse_id(&id) {
                        Some(number) if seen.insert(number) => numbers.push(number),
                        Some(_) => {}
                        None if not_found.contains(&id) => {}
                        None => not_found.push(id),
                    }
                }
                numbers
            }
        };
        if numbers.len() > max {
            return Err(MethodErrorKind::RequestTooLarge.into());
        }
        let mut objects = O::fetch(&context, &numbers, &properties, &self.arguments).await?;
        if objects.iter().any(Option::is_none) && has_news(&context).await? {
            // The client may know them from another node.
            drop(objects);
            objects = O::fetch(&context, &numbers, &properties, &self.arguments).await?;
        }
        let mut list = Vec::with_capacity(objects.len());
        for (number, object) in numbers.into_iter().zip(objects) {
            match object {
                Some(object) => list.push(object),
                // RFC 8620 §5.1: whoever asks for all of them has named none.
                None if asks_for_all => {}
                None => not_found.push(O::wire_id(number)),
            }
        }
        Ok(GetResponse {
            account_id: self.account_id,
            state: State(state),
            list,
            not_found,
        })
    }
}

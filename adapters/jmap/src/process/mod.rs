//! Doing what a Request says (RFC 8620 §3.3 to §3.7), over HTTP and WebSocket alike.
//!
//! Holds: calls run one after the other, in their order; whatever becomes of one, the next ones run, as long as there is
//! room for their responses; a request that has been begun is done to its end, also when nobody waits for the response any
//! more.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use jmap_core::{Caller, Core};
use jmap_types::{
    MethodError, MethodErrorKind,
    method::CreatedIds,
    value::{Map, weight_of_map},
};

use crate::{
    bounds::{Bounds, RESPONSE_FREE_OCTETS, RESPONSE_WAITING_OCTETS_MAX},
    encode::{problem::RequestError, response::Response},
    methods::{self, Outcome, Surroundings},
    parse::request::{Invocation, Request},
    reference::Answers,
    room::Held,
};

/// What a request is checked for before anything of it is done.
pub fn check(
    request: &Request,
    offered: impl Fn(&str) -> bool,
    calls_max: u64,
) -> Result<(), RequestError> {
    if let Some(unknown) = request.using.iter().find(|uri| !offered(uri)) {
        let shown: String = unknown.chars().take(200).collect();
        return Err(RequestError::UnknownCapability(format!(
            "The capability {shown:?} is not supported by this server."
        )));
    }
    if request.calls.len() as u64 > calls_max {
        return Err(RequestError::Limit {
            limit: "maxCallsInRequest",
            detail: format!("A request may have at most {calls_max} method calls."),
        });
    }
    Ok(())
}

/// Makes all calls of a request that has been checked; `room` is what the response has of it then.
pub async fn process(
    core: Core,
    who: Caller,
    request: Request,
    session_state: String,
    bounds: &Bounds,
    room: Held,
) -> (Response, Held) {
    let created = CreatedIds::default();
    for (creation_id, id) in request.created_ids.iter().flatten() {
        created.insert(creation_id.clone(), id.clone());
    }
    let mut run = Run {
        core,
        who,
        surroundings: Surroundings {
            using: request.using.into(),
            created,
        },
        answers: Answers::new(bounds.reference_octets),
        space: Space {
            room,
            octets: 0,
            is_full: false,
        },
        octets_max: bounds.responses_octets as u64,
    };
    for call in request.calls {
        run.call(call).await;
    }
    let response = Response {
        answers: run.answers,
        created_ids: request
            .created_ids
            .map(|_| run.surroundings.created.to_map()),
        session_state,
    };
    (response, run.space.room)
}

struct Run {
    core: Core,
    who: Caller,
    surroundings: Surroundings,
    answers: Answers,
    space: Space,
    octets_max: u64,
}

/// What the answers take in memory.
struct Space {
    room: Held,
    octets: u64,
    /// There was no room for an answer.
    is_full: bool,
}

impl Run {
    async fn call(&mut self, call: Invocation) {
        let call_id: Arc<str> = call.call_id.into();
        match self.outcome(&call.name, call.arguments).await {
            Ok((name, (map, implied))) => {
                self.answer(name, Ok(map), &call_id).await;
                for (name, response) in implied {
                    self.answer(name, response, &call_id).await;
                }
            }
            Err(error) => self.answer("error", Err(error), &call_id).await,
        }
    }

    async fn answer(
        &mut self,
        name: &'static str,
        result: Result<Map, MethodError>,
        call_id: &Arc<str>,
    ) {
        let (name, map) = match result {
            Ok(map) => (name, map),
            Err(error) => ("error", error.into_map()),
        };
        let (name, map) = match self.space.admits(weight_of_map(&map) as u64).await {
            true => (name, map),
            false => ("error", no_room_for(name).into_map()),
        };
        self.answers.push(name, map, call_id.clone());
    }

    async fn outcome(
        &mut self,
        name: &str,
        arguments: Map,
    ) -> Result<(&'static str, OutcomeParts), MethodError> {
        let method = methods::find(name)
            .filter(|method| method.is_in(&self.surroundings))
            .ok_or(MethodErrorKind::UnknownMethod)?;
        let arguments = self.answers.resolve(arguments)?;
        if self.space.octets > self.octets_max {
            return Err(MethodError::describe(
                MethodErrorKind::RequestTooLarge,
                "The responses to the calls before this one are too large already.",
            ));
        }
        if self.space.is_full {
            return Err(no_room());
        }
        let call = (method.run)(
            method,
            self.core.clone(),
            self.who.clone(),
            arguments,
            self.surroundings.clone(),
        );
        Ok((method.name, caught(method.name, call).await?))
    }
}

/// A call that is not made.
fn no_room() -> MethodError {
    MethodError::describe(
        MethodErrorKind::ServerUnavailable,
        "The server has no room for the response at the moment.",
    )
}

/// What is said in place of an answer that there is no room for. RFC 8620 §3.6.2: who has changed something has to look what
/// has become of it.
fn no_room_for(method: &str) -> MethodError {
    match method.rsplit('/').next() {
        Some(
            "get" | "changes" | "query" | "queryChanges" | "parse" | "lookup" | "validate" | "echo",
        ) => no_room(),
        _ => MethodError::describe(
            MethodErrorKind::ServerPartialFail,
            "The call was made, but the server has no room for the response at the moment.",
        ),
    }
}

impl Space {
    /// Whether there is room for one more answer. A small one is kept in any case.
    async fn admits(&mut self, octets: u64) -> bool {
        let all = self.octets.saturating_add(octets);
        if !self.is_full && all > RESPONSE_FREE_OCTETS {
            let room = match all {
                ..=RESPONSE_WAITING_OCTETS_MAX => self.room.have(all).await,
                _ => self.room.have_at_once(all),
            };
            self.is_full = room.is_err();
        }
        let is_admitted = !self.is_full || octets <= RESPONSE_FREE_OCTETS;
        if is_admitted {
            self.octets = all;
        }
        is_admitted
    }
}

type OutcomeParts = (Map, Vec<(&'static str, Result<Map, MethodError>)>);

/// A panic is a bug of ours: the client hears `serverFail`, and the other calls are made all the same.
async fn caught(name: &'static str, call: impl Future<Output = Outcome>) -> Outcome {
    match AssertUnwindSafe(call).catch_unwind().await {
        Ok(outcome) => outcome,
        Err(panic) => {
            let message = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied());
            tracing::error!(method = name, message, "a method panicked");
            Err(MethodError::describe(
                MethodErrorKind::ServerFail,
                "The server failed while it processed this call.",
            ))
        }
    }
}

#[cfg(test)]
mod tests;

//! Doing what a Request says (RFC 8620 §3.3 to §3.7), over HTTP and WebSocket alike.
//!
//! Holds: calls run one after the other, in their order; whatever becomes of one, the next ones run; a request that has
//! been begun is done to its end, also when nobody waits for the response any more.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use jmap_core::{Caller, Core};
use jmap_types::{
    MethodError, MethodErrorKind,
    method::CreatedIds,
    value::{Map, weight_of_map},
};

use crate::{
    bounds::Bounds,
    encode::{problem::RequestError, response::Response},
    methods::{self, Outcome, Surroundings},
    parse::request::{Invocation, Request},
    reference::Answers,
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

/// Makes all calls of a request that has been checked.
pub async fn process(
    core: Core,
    who: Caller,
    request: Request,
    session_state: String,
    bounds: &Bounds,
) -> Response {
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
        octets: 0,
        octets_max: bounds.responses_octets,
    };
    for call in request.calls {
        run.call(call).await;
    }
    Response {
        answers: run.answers,
        created_ids: request
            .created_ids
            .map(|_| run.surroundings.created.to_map()),
        session_state,
    }
}

struct Run {
    core: Core,
    who: Caller,
    surroundings: Surroundings,
    answers: Answers,
    octets: usize,
    octets_max: usize,
}

impl Run {
    async fn call(&mut self, call: Invocation) {
        let call_id: Arc<str> = call.call_id.into();
        match self.outcome(&call.name, call.arguments).await {
            Ok((name, (map, implied))) => {
                self.answer(name, Ok(map), &call_id);
                for (name, response) in implied {
                    self.answer(name, response, &call_id);
                }
            }
            Err(error) => self.answer("error", Err(error), &call_id),
        }
    }

    fn answer(&mut self, name: &'static str, result: Result<Map, MethodError>, call_id: &Arc<str>) {
        let (name, map) = match result {
            Ok(map) => (name, map),
            Err(error) => ("error", error.into_map()),
        };
        self.octets = self.octets.saturating_add(weight_of_map(&map));
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
        if self.octets > self.octets_max {
            return Err(MethodError::describe(
                MethodErrorKind::RequestTooLarge,
                "The responses to the calls before this one are too large already.",
            ));
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

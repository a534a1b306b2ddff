//! The errors of the core: what the store says, as a client hears it.

use jmap_types::{MethodError, MethodErrorKind, SetError, SetErrorKind};
use store::engine::EngineError;

/// Logs what went wrong below, and gives what a client is told: never a key, path or host.
pub fn method_error(error: store::Error) -> MethodError {
    tracing::error!(%error, "a method call failed in the store");
    match error {
        store::Error::Engine(EngineError::Full(_)) => MethodError::describe(
            MethodErrorKind::ServerUnavailable,
            "The server has no room to store changes at the moment.",
        ),
        store::Error::Engine(EngineError::Unavailable(_)) | store::Error::Conflict => {
            MethodErrorKind::ServerUnavailable.into()
        }
        store::Error::Engine(_)
        | store::Error::Corrupt { .. }
        | store::Error::NewerFormat { .. }
        | store::Error::UnfinishedCopy
        | store::Error::NoUpgrade { .. }
        | store::Error::NodesServe => MethodErrorKind::ServerFail.into(),
    }
}

/// The same for one object of a /set.
pub fn set_error(error: store::Error) -> SetError {
    tracing::error!(%error, "a change failed in the store");
    let why = match error {
        store::Error::Engine(EngineError::Full(_)) => {
            "The server has no room to store changes at the moment."
        }
        store::Error::Engine(EngineError::Unavailable(_)) => {
            "A part of the server isn't available at the moment; please try again later."
        }
        store::Error::Conflict => "A concurrent change came in between; please try again.",
        store::Error::Engine(_)
        | store::Error::Corrupt { .. }
        | store::Error::NewerFormat { .. }
        | store::Error::UnfinishedCopy
        | store::Error::NoUpgrade { .. }
        | store::Error::NodesServe => "The server failed to store the change.",
    };
    SetError::describe(SetErrorKind::ServerFail, why)
}

//! What brings notices from node to node: PostgreSQL's NOTIFY, Redis or NATS, by the scheme of a URL.
//!
//! Holds: nothing waits for it longer than [`TIMEOUT`]; when a connection ends, whoever listens is told, since something may have been
//! missed; a password is in no error and no log.
//! Other half: `jmap_core::cluster`, which looks for itself when there is none.

mod nats;
mod postgres;
mod redis;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use jmap_core::cluster::{NoticeError, Notices};

/// For a connection, and for handing over what is to be told.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The name of the channel, or subject.
const CHANNEL: &str = "posthorn";

/// The way that a URL names, over which nothing has gone yet. The error is a sentence for the operator.
pub fn of(url: &str) -> Result<Arc<dyn Notices>, String> {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    match scheme {
        Some("redis" | "rediss") => Ok(Arc::new(redis::Redis::new(url)?)),
        Some("nats" | "tls") => Ok(Arc::new(nats::Nats::new(url)?)),
        Some("postgres" | "postgresql") => Ok(Arc::new(postgres::Postgres::new(url)?)),
        _ => Err("it begins with redis://, rediss://, nats://, tls:// or postgres://".to_owned()),
    }
}

fn failed(error: impl std::fmt::Display) -> NoticeError {
    NoticeError(error.to_string())
}

/// Gives up what takes too long.
async fn in_time<T>(what: impl Future<Output = Result<T, NoticeError>>) -> Result<T, NoticeError> {
    match tokio::time::timeout(TIMEOUT, what).await {
        Ok(result) => result,
        Err(_) => Err(NoticeError("it does not answer in time".to_owned())),
    }
}

//! QUIT (RFC 1939 §4, §6), and the UPDATE state: what was marked is removed.

use net::{Stream, Wire};

use crate::backend::Backend;
use crate::encode::{Code, Reply};
use crate::parse::Command;
use crate::session::{Flow, Handled, Open, Session};

pub async fn run<B: Backend>(
    session: &mut Session<B>,
    wire: &mut Wire<Stream>,
    _: Command,
) -> Handled {
    let reply = match session.open.take() {
        None => Reply::ok("Goodbye"),
        Some(open) => update(session, open).await,
    };
    session.reply(wire, reply).await?;
    Ok(Flow::Close)
}

/// RFC 1939 §6: what could not be removed is there in the next session. The lock is freed before the answer.
async fn update<B: Backend>(session: &Session<B>, open: Open<B>) -> Reply {
    let backend = &session.server.backend;
    let marked = open.maildrop.marked();
    let removed = match marked.is_empty() {
        true => Ok(()),
        false => {
            let key = open.maildrop.key;
            backend.remove(&open.caller, key, &marked).await
        }
    };
    let who = backend.name(&open.caller);
    let (peer, count) = (session.peer_name(), marked.len());
    let retrieved = session.counts.retrieved;
    match removed {
        Ok(()) => {
            tracing::info!(
                listener = "pop3",
                peer,
                who,
                retrieved,
                removed = count,
                "session ended"
            );
            Reply::ok("Goodbye")
        }
        Err(error) => {
            tracing::warn!(listener = "pop3", peer, who, %error, "messages could not be removed");
            let text = "Some messages could not be removed; they are still there";
            Reply::coded(Code::SysTemp, text)
        }
    }
}

//! IDLE (RFC 2177, RFC 9051 §6.3.13): changes are told as they happen, until DONE.
//!
//! Holds: one subscription, which gathers what comes while something is sent; it ends after the time that any silence ends after, also when
//! there is always something to tell.
//! Other half: `jmap_core::bus`.

use jmap_core::bus::{StateChange, Subscription};
use jmap_types::{DataType, data_type::DataTypes};
use net::reader::{LinePace, ReadError};
use tokio::time::{Instant, sleep_until};

use super::changes::Expunges;
use super::notify::Watch;
use crate::command::Command;
use crate::encode::{self, Status};
use crate::out::Out;
use crate::session::{Handled, Session};

/// Octets of the line that ends it.
const LINE_OCTETS_MAX: usize = 256;

/// What has happened.
enum Event {
    Changed,
    /// After NOTIFY.
    Watched(StateChange),
    Line(Vec<u8>),
    Stop,
    Late,
}

pub fn capabilities(session: &Session) -> &'static [&'static str] {
    super::after_login(session, &["IDLE"])
}

pub async fn idle(session: &mut Session, out: &mut Out, tag: &str, _: Command) -> Handled {
    // RFC 5465 §4: after NOTIFY, the same is told as without IDLE.
    let mut subscription = match &session.watch {
        Some(_) => None,
        None => subscribe(session),
    };
    encode::continuation(out.buffer(), "idling");
    let pace = session.server.config.timeouts.command;
    let deadline = Instant::now() + pace.idle;
    // What came before the subscription.
    session.tell_changes(out, Expunges::Told).await;
    loop {
        out.flush().await?;
        match next(session, out, &mut subscription, pace, deadline).await? {
            Event::Watched(change) => session.tell_idle_events(out, &change).await,
            Event::Changed => {
                session.tell_changes(out, Expunges::Told).await;
            }
            Event::Line(line) if line.trim_ascii().eq_ignore_ascii_case(b"DONE") => {
                let end = (Status::Ok, None, "IDLE done");
                return session.end(out, tag, Expunges::Told, end).await;
            }
            Event::Line(_) => return session.bad(out, tag, "IDLE ends with DONE"),
            Event::Stop => return Ok(session.dismiss(out)),
            Event::Late => return Err(ReadError::Idle),
        }
    }
}

fn subscribe(session: &Session) -> Option<Subscription> {
    let caller = session.caller.as_ref()?;
    let types: DataTypes = [DataType::Email, DataType::Mailbox].into_iter().collect();
    Some(session.server.core.subscribe(caller, types))
}

/// Waits. Everything has been sent, so that the wait can be given up and begun again.
async fn next(
    session: &mut Session,
    out: &mut Out,
    subscription: &mut Option<Subscription>,
    pace: LinePace,
    deadline: Instant,
) -> Result<Event, ReadError> {
    let shutdown = session.shutdown.clone();
    let account = session
        .selected
        .as_ref()
        .map(|selected| selected.key.account);
    loop {
        let change = async {
            match subscription {
                Some(subscription) => subscription.next().await,
                None => std::future::pending().await,
            }
        };
        let change = tokio::select! {
            biased;
            () = shutdown.requested() => return Ok(Event::Stop),
            _ = session.place.ended() => return Ok(Event::Stop),
            line = out.read_line(LINE_OCTETS_MAX, pace) => return Ok(Event::Line(line?.octets)),
            () = sleep_until(deadline) => return Ok(Event::Late),
            change = Watch::next(session.watch.as_deref_mut()) => return Ok(Event::Watched(change)),
            change = change => change,
        };
        if change.is_empty() {
            // The caller may see more or less than before.
            *subscription = subscribe(session);
            return Ok(Event::Changed);
        }
        if account.is_some_and(|account| change.contains_key(&account)) {
            return Ok(Event::Changed);
        }
    }
}

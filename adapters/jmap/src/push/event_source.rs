//! The event source (RFC 8620 §7.3).
//!
//! Holds: a connection that waits costs its state and no buffers; a client that reads slowly gets fewer events, never
//! older ones; the stream ends when the server stops or the login is no longer good.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Request, Response, StatusCode, header};
use jmap_core::{
    bus::StateChange,
    sessions::{OpenSession, SessionKind},
};
use jmap_types::{DataType, data_type::DataTypes};
use net::Shutdown;
use tokio::time::{Instant, sleep_until};

use super::{
    RENEW_EVERY,
    follow::{Following, Over},
    seen::Seen,
    state_change,
};
use crate::{
    auth::Login,
    connection::{Exchange, Shared},
    encode::{body::Body, problem::Problem},
    incoming::Incoming,
    parse::{headers, url},
    translate::{BUSY_WAIT, states_problem},
};

/// RFC 8620 §7.3: a minimum above 30 seconds, or a maximum below 300, would be wrong.
pub const PING_SECONDS_MIN: u64 = 30;
pub const PING_SECONDS_MAX: u64 = 3600;

/// What the address asks for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    types: DataTypes,
    close_after_state: bool,
    ping_seconds: Option<u64>,
}

impl Wanted {
    fn parse(query: Option<&str>) -> Result<Wanted, Problem> {
        let parameter = |name| match url::parameter(query, name) {
            Some(None) => Err(Problem::bad_request("The address is not percent-encoded.")),
            Some(Some(value)) => Ok(Some(value)),
            None => Ok(None),
        };
        let types = match parameter("types")?.as_deref() {
            None | Some("*") => DataTypes::ALL,
            // Types that this server doesn't have don't change.
            Some(names) => names.split(',').filter_map(DataType::from_name).collect(),
        };
        let close_after_state = match parameter("closeafter")?.as_deref() {
            None | Some("no") => false,
            Some("state") => true,
            Some(_) => {
                return Err(Problem::bad_request(
                    "\"closeafter\" is \"state\" or \"no\".",
                ));
            }
        };
        let ping = match parameter("ping")?.as_deref() {
            None => 0,
            Some(seconds) if seconds.bytes().all(|b| b.is_ascii_digit()) && !seconds.is_empty() => {
                seconds.parse().unwrap_or(u64::MAX)
            }
            Some(_) => return Err(Problem::bad_request("\"ping\" is a number of seconds.")),
        };
        let clamped = ping.clamp(PING_SECONDS_MIN, PING_SECONDS_MAX);
        Ok(Wanted {
            types,
            close_after_state,
            ping_seconds: (ping != 0).then_some(clamped),
        })
    }
}

/// Answers a GET with a stream that doesn't end.
pub async fn get(
    shared: &Arc<Shared>,
    exchange: &Exchange,
    login: Login,
    request: &Request<Incoming>,
) -> Result<Response<Body>, Problem> {
    let wanted = Wanted::parse(request.uri().query())?;
    let slot = shared.event_sources.enter(login.who.account).await;
    let slot = slot.map_err(|_| {
        Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "This account has too many event sources open.",
        )
        .retry_after(BUSY_WAIT)
    })?;
    let address = login.who.address();
    let place = shared
        .core
        .sessions()
        .place(SessionKind::EventSource, address);
    shared.core.open_session(&place, &login.who).await;
    let following = Following::begin(&shared.core, &login, wanted.types).await;
    let (following, current) = following.map_err(states_problem)?;
    let last = headers::text(
        request.headers(),
        &header::HeaderName::from_static("last-event-id"),
    );
    let missed = match last {
        None | Some("") => None,
        Some(last) => Some(Seen::parse(last).unwrap_or_default().missed(&current)),
    };
    let events = Events {
        following,
        login,
        place,
        shutdown: exchange.shutdown.clone(),
        ping_seconds: wanted.ping_seconds,
        close_after_state: wanted.close_after_state,
        pinged: Instant::now(),
        renewed: Instant::now(),
        first: Some(missed.filter(|missed| !missed.is_empty())),
        over: false,
    };
    let events = stream::unfold(events, |mut events| async move {
        let event = events.next().await?;
        Some((event, events))
    });
    let mut response = Response::new(Body::events(events));
    response.body_mut().keep(slot);
    let headers = response.headers_mut();
    let fields = [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache, no-store, no-transform"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    for (name, value) in fields {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

struct Events {
    following: Following,
    login: Login,
    place: OpenSession,
    shutdown: Shutdown,
    ping_seconds: Option<u64>,
    close_after_state: bool,
    /// When the last event was sent.
    pinged: Instant,
    renewed: Instant,
    /// What the stream begins with: perhaps changes that were missed.
    first: Option<Option<StateChange>>,
    over: bool,
}

impl Events {
    async fn next(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        match self.first.take() {
            Some(Some(missed)) => return Some(self.state(&missed)),
            Some(None) => return Some(beginning(&self.following.seen)),
            None => {}
        }
        loop {
            let never = Duration::from_secs(365 * 86_400);
            let ping = self.ping_seconds.map_or(never, Duration::from_secs);
            tokio::select! {
                biased;
                () = self.shutdown.requested() => return None,
                _ = self.place.ended() => return None,
                change = self.following.next() => {
                    let told = self.following.visible(change, &mut self.login);
                    match Box::pin(told).await {
                        Ok(change) if change.is_empty() => {}
                        Ok(change) => return Some(self.state(&change)),
                        Err(Over) => return None,
                    }
                }
                () = sleep_until(self.pinged + ping) => return Some(self.ping()),
                () = sleep_until(self.renewed + RENEW_EVERY) => {
                    if !Box::pin(self.login.renew()).await {
                        return None;
                    }
                    self.renewed = Instant::now();
                }
            }
        }
    }

    fn state(&mut self, change: &StateChange) -> Bytes {
        self.pinged = Instant::now();
        self.over = self.close_after_state;
        let data = serde_json::Value::Object(state_change(change));
        format!(
            "event: state\nid: {}\ndata: {data}\n\n",
            self.following.seen
        )
        .into()
    }

    fn ping(&mut self) -> Bytes {
        self.pinged = Instant::now();
        let interval = self.ping_seconds.unwrap_or_default();
        format!("event: ping\ndata: {{\"interval\":{interval}}}\n\n").into()
    }
}

/// An id without data. By the standard it is no event, yet the client knows the id from now on, and shows it when it
/// comes back. RFC 8620 §7.3: it can't be a ping, which has no id.
fn beginning(seen: &Seen) -> Bytes {
    format!("id: {seen}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &str, expected: Option<(&str, bool, Option<u64>)>) {
        let wanted = Wanted::parse(Some(query)).ok().map(|wanted| {
            let all = wanted.types == DataTypes::ALL;
            let names: Vec<&str> = wanted.types.iter().map(DataType::name).collect();
            let names = if all { "*".into() } else { names.join(",") };
            (names, wanted.close_after_state, wanted.ping_seconds)
        });
        let expected = expected.map(|(names, close, ping)| (names.to_owned(), close, ping));
        assert_eq!(wanted, expected, "{query}");
    }

    #[test]
    fn the_beginning_is_an_id_and_no_event() {
        let seen = Seen::parse("a1.9-a2.4").unwrap();
        assert_eq!(beginning(&seen), "id: a1.9-a2.4\n\n");
    }

    #[test]
    fn addresses() {
        check("types=*&closeafter=no&ping=0", Some(("*", false, None)));
        check(
            "types=%2A&closeafter=state&ping=300",
            Some(("*", true, Some(300))),
        );
        check(
            "types=Email,Mailbox,CalendarEvent&ping=1",
            Some(("Mailbox,Email", false, Some(30))),
        );
        check(
            "types=Email%2CThread&ping=99999999999999999999",
            Some(("Thread,Email", false, Some(3600))),
        );
        check("types=Nothing", Some(("", false, None)));
        check("", Some(("*", false, None)));
        for wrong in ["closeafter=yes", "ping=-1", "ping=", "ping=1s", "types=%zz"] {
            check(wrong, None);
        }
    }
}

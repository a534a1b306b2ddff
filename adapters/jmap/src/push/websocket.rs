//! JMAP over WebSocket (RFC 8887), upgraded from HTTP/1.1 (RFC 6455).
//!
//! Holds: a connection has a bounded number of requests at once, and is not read from while it has them; responses are
//! sent as they are ready; a peer that doesn't answer pings, or reads too little, is let go; what a large message takes is
//! counted with the bodies of HTTP, until it is answered, and what a large response takes with theirs, until it is sent.
//! Other half: `api::respond`, which processes requests the same way for HTTP; `inflow`, which reads.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::digest;
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use jmap_core::{
    bus::StateChange,
    sessions::{OpenSession, SessionKind},
};
use jmap_types::{
    AccountId, DataType, FromValue, Property, Value, data_type::DataTypes, value::MapExt,
};
use net::{Shutdown, slots::Slot};
use serde_json::json;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::{
    RENEW_EVERY,
    follow::{Following, Over},
    inflow::{Inflow, Places, Refusal},
    seen::Seen,
    state_change,
};
use crate::{
    api,
    auth::Login,
    client::Client,
    connection::{Exchange, Shared},
    encode::{
        body::Body,
        problem::{Problem, RequestError},
        response::{WebSocketResponse, to_json},
    },
    incoming::Incoming,
    parse::{headers, request},
    room::Held,
    translate::BUSY_WAIT,
};

/// How often the client is asked whether it is still there.
pub const PING_EVERY: Duration = Duration::from_secs(60);
/// A client that nothing is heard of for this long is gone.
pub const SILENCE_MAX: Duration = Duration::from_secs(150);
const READ_OCTETS: usize = 4 << 10;
/// Octets of a request's id, which comes back with its response.
pub const REQUEST_ID_OCTETS_MAX: usize = 1024;

type Socket = WebSocketStream<Inflow<TokioIo<Upgraded>>>;

/// Answers the request that asks for the upgrade.
pub async fn upgrade(
    shared: &Arc<Shared>,
    exchange: &Exchange,
    login: Login,
    client: &Client,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Problem> {
    let accept = handshake(request.headers())?;
    same_origin(shared, client, request.headers())?;
    let slot = shared.websockets.enter(login.who.account).await;
    let slot = slot.map_err(|_| {
        Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "This account has too many WebSockets open.",
        )
        .retry_after(BUSY_WAIT)
    })?;
    let address = login.who.address();
    let place = shared
        .core
        .sessions()
        .place(SessionKind::WebSocket, address);
    shared.core.open_session(&place, &login.who).await;
    let connection = Connection {
        place,
        shared: shared.clone(),
        base_url: client.base_url.clone(),
        shutdown: exchange.shutdown.clone(),
        login: Arc::new(login),
        slot,
    };
    let upgraded = hyper::upgrade::on(&mut request);
    exchange.upgrade_to(async move {
        match upgraded.await {
            Ok(upgraded) => connection.run(upgraded).await,
            Err(error) => tracing::debug!(%error, "an upgrade to WebSocket has failed"),
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let fields = response.headers_mut();
    fields.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    fields.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    fields.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    let jmap = HeaderValue::from_static("jmap");
    fields.insert(header::SEC_WEBSOCKET_PROTOCOL, jmap);
    Ok(response)
}

/// RFC 6455 §4.2.1, RFC 8887 §4.1: checks what the client says, and gives what proves that it was understood.
fn handshake(fields: &HeaderMap) -> Result<HeaderValue, Problem> {
    let has = |name, wanted: &str| {
        let items = fields.get_all(name).into_iter();
        items
            .filter_map(|field| field.to_str().ok())
            .flat_map(|field| field.split(','))
            .any(|item| item.trim().eq_ignore_ascii_case(wanted))
    };
    if !has(header::UPGRADE, "websocket") || !has(header::CONNECTION, "upgrade") {
        let problem = Problem::new(
            StatusCode::UPGRADE_REQUIRED,
            "This address is for WebSocket, over HTTP/1.1.",
        );
        let websocket = HeaderValue::from_static("websocket");
        return Err(problem.with(header::UPGRADE, websocket));
    }
    if !has(header::SEC_WEBSOCKET_VERSION, "13") {
        let problem = Problem::bad_request("WebSocket of version 13 is spoken here.");
        let version = HeaderValue::from_static("13");
        return Err(problem.with(header::SEC_WEBSOCKET_VERSION, version));
    }
    if !has(header::SEC_WEBSOCKET_PROTOCOL, "jmap") {
        let detail = "The subprotocol \"jmap\" has to be asked for.";
        return Err(Problem::bad_request(detail));
    }
    let key = headers::text(fields, &header::SEC_WEBSOCKET_KEY).map(str::trim);
    let valid = key.filter(|key| {
        BASE64_STANDARD
            .decode(key)
            .is_ok_and(|nonce| nonce.len() == 16)
    });
    let Some(key) = valid else {
        return Err(Problem::bad_request("The Sec-WebSocket-Key is not one."));
    };
    let accept = accept_key(key);
    HeaderValue::try_from(accept)
        .map_err(|_| Problem::bad_request("The Sec-WebSocket-Key is not one."))
}

/// RFC 6455 §4.2.2.
fn accept_key(key: &str) -> String {
    const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key.as_bytes());
    context.update(GUID.as_bytes());
    BASE64_STANDARD.encode(context.finish())
}

/// RFC 6455 §10.2: a browser sends along the password that its user has typed for this host, whichever page opens the
/// WebSocket, and no CORS is asked: pages of other hosts are refused.
fn same_origin(shared: &Shared, client: &Client, fields: &HeaderMap) -> Result<(), Problem> {
    let Some(origin) = fields.get(header::ORIGIN) else {
        return Ok(());
    };
    let ours = [
        client.base_url.as_str(),
        shared.config.allowed_origin.as_str(),
    ];
    if ours.iter().any(|ours| origin.as_bytes() == ours.as_bytes()) {
        return Ok(());
    }
    let detail = "A page of another origin can't open a WebSocket here.";
    Err(Problem::new(StatusCode::FORBIDDEN, detail))
}

struct Connection {
    shared: Arc<Shared>,
    base_url: String,
    shutdown: Shutdown,
    login: Arc<Login>,
    place: OpenSession,
    slot: Slot<AccountId>,
}

/// What a client hears whose login is no longer good.
const OVER: (CloseCode, &str) = (CloseCode::Policy, "The login is no longer good.");

/// The text of a response, and the room that it has.
type Answered = (Vec<u8>, Option<Held>);

/// What comes next.
enum Event {
    Received(Option<Result<Message, Error>>),
    Answered(Answered),
    Changed(StateChange),
    Ping,
    Renew,
    Silence,
    Ended,
    Stop,
}

/// What a message of the client is.
#[derive(Debug)]
enum Incomer {
    Request {
        id: Option<String>,
        value: Value,
    },
    PushEnable {
        types: DataTypes,
        push_state: Option<String>,
    },
    PushDisable,
}

impl Connection {
    async fn run(mut self, upgraded: Upgraded) {
        let limit = self.shared.core.limits().max_size_request as usize;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_OCTETS)
            .write_buffer_size(0)
            .max_message_size(Some(limit))
            .max_frame_size(Some(limit));
        let places = Places {
            slots: self.shared.messages.clone(),
            account: self.login.who.account,
            room: self.shared.bodies.clone(),
            octets: limit as u64,
        };
        let io = Inflow::new(TokioIo::new(upgraded), places);
        let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
        let reason = self.talk(&mut socket).await;
        if let Some((code, reason)) = reason {
            let reason = Utf8Bytes::from_static(reason);
            let closed = socket.close(Some(CloseFrame { code, reason }));
            let _ = tokio::time::timeout(Duration::from_secs(5), closed).await;
        }
        drop(self.slot);
    }

    /// Until either side has enough; the reason why it was us.
    async fn talk(&mut self, socket: &mut Socket) -> Option<(CloseCode, &'static str)> {
        let at_once = (self.shared.core.limits().max_concurrent_requests as usize).max(1);
        let mut running: FuturesUnordered<BoxFuture<'static, Answered>> = FuturesUnordered::new();
        let mut push: Option<Following> = None;
        let (mut heard, mut pinged, mut renewed) = (Instant::now(), Instant::now(), Instant::now());
        loop {
            let reading = running.len() < at_once;
            let event = tokio::select! {
                biased;
                () = self.shutdown.requested(), if running.is_empty() => Event::Stop,
                _ = self.place.ended() => Event::Ended,
                Some(answer) = running.next() => Event::Answered(answer),
                change = changed(&mut push) => Event::Changed(change),
                received = socket.next(), if reading => Event::Received(received),
                () = sleep_until(pinged + PING_EVERY) => Event::Ping,
                () = sleep_until(renewed + RENEW_EVERY) => Event::Renew,
                () = sleep_until(heard + SILENCE_MAX), if reading => Event::Silence,
            };
            // What a response takes is kept until it has been sent.
            let mut _room = None;
            let message = match event {
                Event::Stop => return Some((CloseCode::Away, "The server is being stopped.")),
                Event::Ended => {
                    let ending = self.place.ending();
                    return ending.map(|ending| (CloseCode::Policy, ending.text()));
                }
                Event::Silence => return None,
                Event::Received(None) => return None,
                Event::Received(Some(Err(error))) => return broken(error),
                Event::Received(Some(Ok(message))) => {
                    heard = Instant::now();
                    self.place.active();
                    // What was taken from the client a moment ago is not there for this message.
                    if !Arc::make_mut(&mut self.login).refresh().await {
                        return Some(OVER);
                    }
                    match message {
                        Message::Text(text) => {
                            let room = socket.get_mut().complete();
                            self.receive(text, room, &mut running, &mut push).await
                        }
                        // RFC 8887 §4.2
                        Message::Binary(_) => {
                            return Some((CloseCode::Unsupported, "Binary data is not taken."));
                        }
                        Message::Close(_) => {
                            // The library answers the close; flushing sees to it that it is sent.
                            let _ = socket.flush().await;
                            return None;
                        }
                        Message::Ping(payload) | Message::Pong(payload) => {
                            socket.get_mut().control(payload.len());
                            None
                        }
                        Message::Frame(_) => None,
                    }
                }
                Event::Answered((octets, held)) => {
                    _room = held;
                    // Time that was spent on requests without reading is no silence of the client.
                    heard = Instant::now();
                    socket.get_mut().measure_anew();
                    text(octets)
                }
                Event::Changed(change) => {
                    let login = Arc::make_mut(&mut self.login);
                    match &mut push {
                        None => None,
                        Some(following) => match following.visible(change, login).await {
                            Ok(change) => push_message(following, &change),
                            Err(Over) => return Some(OVER),
                        },
                    }
                }
                Event::Ping => {
                    pinged = Instant::now();
                    Some(Message::Ping(Bytes::new()))
                }
                Event::Renew => {
                    renewed = Instant::now();
                    if !self.renew().await {
                        return Some(OVER);
                    }
                    None
                }
            };
            match message {
                Some(message) => socket.send(message).await.ok()?,
                // What the library has to say itself, such as pongs.
                None => socket.flush().await.ok()?,
            }
        }
    }

    async fn renew(&mut self) -> bool {
        Arc::make_mut(&mut self.login).renew().await
    }

    /// Begins what a message asks for; what can be said at once is returned.
    async fn receive(
        &self,
        octets: Utf8Bytes,
        room: Option<Held>,
        running: &mut FuturesUnordered<BoxFuture<'static, Answered>>,
        push: &mut Option<Following>,
    ) -> Option<Message> {
        let value = match api::read(octets.into()).await {
            Ok(value) => value,
            Err(error) => return text(request_error(error.into(), None)),
        };
        match incomer(value) {
            Err((error, id)) => text(request_error(error.into(), id.as_deref())),
            Ok(Incomer::Request { id, value }) => {
                running.push(self.begin(id, value, room));
                None
            }
            Ok(Incomer::PushDisable) => {
                *push = None;
                None
            }
            Ok(Incomer::PushEnable { types, push_state }) => {
                let (enabled, missed) = self.enable(types, push_state.as_deref()).await?;
                let enabled = push.insert(enabled);
                missed.and_then(|missed| push_message(enabled, &missed))
            }
        }
    }

    /// RFC 8887 §4.3.5.2: a client that says what it has seen hears at once of what it has missed. `None`: the states
    /// can't be read, and the client hears nothing until it asks again.
    async fn enable(
        &self,
        types: DataTypes,
        push_state: Option<&str>,
    ) -> Option<(Following, Option<StateChange>)> {
        let following = Following::begin(&self.shared.core, &self.login, types).await;
        let (following, current) = following
            .map_err(|error| tracing::error!(%error, "the states could not be read"))
            .ok()?;
        let missed = push_state.map(|text| Seen::parse(text).unwrap_or_default().missed(&current));
        Some((following, missed.filter(|missed| !missed.is_empty())))
    }

    /// The task that answers a request.
    fn begin(
        &self,
        id: Option<String>,
        value: Value,
        room: Option<Held>,
    ) -> BoxFuture<'static, Answered> {
        let (shared, login) = (self.shared.clone(), self.login.clone());
        let base_url = self.base_url.clone();
        let request_id = id.clone();
        let task = tokio::spawn(async move {
            let slot = shared.requests.enter(login.who.account).await;
            let _slot = slot.map_err(|_| api::too_many_requests(&shared))?;
            let request = request::request(value)?;
            let write = |response: &_| {
                to_json(&WebSocketResponse {
                    response,
                    request_id: id.as_deref(),
                })
            };
            let answer = api::respond(&shared, &login, &base_url, request, write).await;
            drop(room);
            answer
        });
        Box::pin(async move {
            let problem = match task.await {
                Ok(Ok((octets, room))) => return (octets, Some(room)),
                Ok(Err(problem)) => problem,
                Err(error) => {
                    tracing::error!(%error, "a request was not answered");
                    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "The server failed.")
                }
            };
            (request_error(problem, request_id.as_deref()), None)
        })
    }
}

/// RFC 8887 §4.3.5.1
fn push_message(following: &Following, change: &StateChange) -> Option<Message> {
    if following.types.is_empty() || change.is_empty() {
        return None;
    }
    let mut object = state_change(change);
    object.insert("pushState".into(), json!(following.seen.to_string()));
    text(serde_json::Value::Object(object).to_string().into_bytes())
}

/// The next change; never, when none are wanted.
async fn changed(push: &mut Option<Following>) -> StateChange {
    match push {
        Some(push) => push.next().await,
        None => std::future::pending().await,
    }
}

/// Tells the messages apart (RFC 8887 §4.3).
fn incomer(value: Value) -> Result<Incomer, (RequestError, Option<String>)> {
    let not = |why: &str| {
        (
            RequestError::NotRequest(format!("Not a message: {why}.")),
            None,
        )
    };
    let Value::Object(mut object) = value else {
        return Err(not("it is not an object"));
    };
    let kind = object.take_key("@type").and_then(String::from_value);
    match kind.as_deref() {
        Some("Request") => {
            let id = match object.take_key("id") {
                None => None,
                Some(id) => match String::from_value(id) {
                    Some(id) if id.len() <= REQUEST_ID_OCTETS_MAX => Some(id),
                    _ => return Err(not("its \"id\" is not a string, or too long")),
                },
            };
            let value = Value::Object(object);
            Ok(Incomer::Request { id, value })
        }
        Some("WebSocketPushEnable") => {
            let types = match object.take(Property::DataTypes) {
                None | Some(Value::Null) => DataTypes::ALL,
                Some(names) => Vec::<String>::from_value(names)
                    .ok_or_else(|| not("\"dataTypes\" is not an array of strings, nor null"))?
                    .iter()
                    .filter_map(|name| DataType::from_name(name))
                    .collect(),
            };
            let push_state = match object.take(Property::PushState) {
                None | Some(Value::Null) => None,
                Some(state) => Some(
                    String::from_value(state)
                        .ok_or_else(|| not("\"pushState\" is not a string"))?,
                ),
            };
            Ok(Incomer::PushEnable { types, push_state })
        }
        Some("WebSocketPushDisable") => Ok(Incomer::PushDisable),
        Some(_) => Err(not("its \"@type\" is unknown")),
        None => Err(not("it has no \"@type\"")),
    }
}

/// RFC 8887 §4.3.4
fn request_error(problem: Problem, request_id: Option<&str>) -> Vec<u8> {
    let mut object = problem.to_json();
    object.insert("@type".into(), json!("RequestError"));
    object.insert("requestId".into(), json!(request_id));
    serde_json::Value::Object(object).to_string().into_bytes()
}

fn text(octets: Vec<u8>) -> Option<Message> {
    let text = Utf8Bytes::try_from(octets).ok()?;
    Some(Message::Text(text))
}

/// What a client hears that has broken the protocol.
fn broken(error: Error) -> Option<(CloseCode, &'static str)> {
    match error {
        Error::Capacity(_) => Some((
            CloseCode::Size,
            "The message is larger than maxSizeRequest.",
        )),
        Error::Utf8(_) => Some((CloseCode::Invalid, "Text has to be UTF-8.")),
        Error::Protocol(_) => Some((CloseCode::Protocol, "This is not WebSocket.")),
        Error::Io(error) => Some(match Refusal::of(&error)? {
            Refusal::NoRoom => (
                CloseCode::Again,
                "The server has no room for the message at the moment.",
            ),
            Refusal::TooSlow => (CloseCode::Policy, "The message comes too slowly."),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_keys() {
        // RFC 6455 §1.3
        let accept = accept_key("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    fn check(json: &str, expected: &str) {
        let shown = match incomer(request::json(json.as_bytes()).unwrap()) {
            Ok(Incomer::Request { id, .. }) => format!("request {id:?}"),
            Ok(Incomer::PushEnable { types, push_state }) => {
                format!("enable {} {push_state:?}", types.iter().count())
            }
            Ok(Incomer::PushDisable) => "disable".into(),
            Err((error, _)) => error.urn().rsplit(':').next().unwrap_or_default().into(),
        };
        assert_eq!(shown, expected, "{json}");
    }

    #[test]
    fn messages() {
        let all = format!("enable {} None", DataType::ALL.len());
        check(
            r#"{"@type":"Request","id":"R1","using":[],"methodCalls":[]}"#,
            "request Some(\"R1\")",
        );
        check(r#"{"@type":"Request"}"#, "request None");
        check(r#"{"@type":"Request","id":1}"#, "notRequest");
        let request = |octets| format!(r#"{{"@type":"Request","id":"{}"}}"#, "x".repeat(octets));
        let longest = format!("request Some({:?})", "x".repeat(REQUEST_ID_OCTETS_MAX));
        check(&request(REQUEST_ID_OCTETS_MAX), &longest);
        check(&request(REQUEST_ID_OCTETS_MAX + 1), "notRequest");
        check(r#"{"@type":"WebSocketPushEnable","dataTypes":null}"#, &all);
        check(r#"{"@type":"WebSocketPushEnable"}"#, &all);
        check(
            r#"{"@type":"WebSocketPushEnable","dataTypes":["Email","X"],"pushState":"a1.1"}"#,
            "enable 1 Some(\"a1.1\")",
        );
        check(
            r#"{"@type":"WebSocketPushEnable","dataTypes":"Email"}"#,
            "notRequest",
        );
        check(r#"{"@type":"WebSocketPushDisable"}"#, "disable");
        check(r#"{"@type":"Response"}"#, "notRequest");
        check(r#"{"using":[]}"#, "notRequest");
        check("[]", "notRequest");
    }
}

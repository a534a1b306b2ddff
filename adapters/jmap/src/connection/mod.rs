//! One connection, from its acceptance to its end: HTTP/1.1 or HTTP/2, whichever the client speaks.
//!
//! Holds: a connection at rest ends after a while; one that is busy ends when its exchanges have, once a stop is asked
//! for; a peer that reads too little is let go; a WebSocket keeps the connection's place until it is closed.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use jmap_core::Core;
use jmap_types::AccountId;
use net::{Connection, Listener, Pace, Shutdown, slots::Slots, writer::StallGuard};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};

use crate::{
    Config,
    client::Transport,
    encode::body::Body,
    readers::{READER_PACE, Readers},
    room::Room,
    route,
};

/// Octets of a request's header in HTTP/1.1, request line included.
pub const HEADER_OCTETS_MAX: usize = 32 << 10;
/// Fields of a request's header.
pub const HEADER_FIELDS_MAX: usize = 100;
/// Time for a header to arrive; also how long a connection may be at rest.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Time that a connection at rest gets to take its leave.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for a peer to take one more octet.
pub const WRITE_STALL: Duration = Duration::from_secs(60);
const WRITE_PACE: Pace = Pace {
    stall: WRITE_STALL,
    ..READER_PACE
};
/// HTTP/2: requests at once on one connection.
pub const STREAMS_MAX: u32 = 64;
const STREAM_WINDOW_OCTETS: u32 = 256 << 10;
const CONNECTION_WINDOW_OCTETS: u32 = 1 << 20;
/// HTTP/2: octets that are taken from a response before the client has them.
const SEND_OCTETS_MAX: usize = 32 << 10;
const PING_EVERY: Duration = Duration::from_secs(60);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// The adapter: everything that its connections share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Jmap(Arc<ArcSwap<Shared>>);

/// See [`Jmap`]. A request has the one that was there when it began.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub core: Core,
    pub config: Config,
    pub requests: Arc<Slots<AccountId>>,
    pub uploads: Arc<Slots<AccountId>>,
    pub downloads: Arc<Slots<AccountId>>,
    pub event_sources: Arc<Slots<AccountId>>,
    pub websockets: Arc<Slots<AccountId>>,
    /// Large messages over WebSocket that are being received.
    pub messages: Arc<Slots<AccountId>>,
    pub bodies: Room,
    pub responses: Room,
}

/// What a connection's requests share.
pub(crate) struct Exchange {
    pub transport: Transport,
    pub shutdown: Shutdown,
    open: watch::Sender<usize>,
    readers: Arc<Readers>,
    /// What goes on with the connection once it is no longer HTTP.
    upgrade: Mutex<Option<BoxFuture<'static, ()>>>,
}

/// One exchange that is going on.
pub(crate) struct Busy(Arc<Exchange>);

impl Jmap {
    pub fn new(core: Core, config: Config) -> Jmap {
        let limits = core.limits();
        let bounds = config.bounds;
        let slots = |open: usize, waiting| Slots::new(open.max(1), waiting, bounds.wait);
        let shared = Shared {
            requests: slots(limits.max_concurrent_requests as usize, bounds.waiting),
            uploads: slots(limits.max_concurrent_upload as usize, bounds.waiting),
            downloads: slots(bounds.downloads, bounds.downloads_waiting),
            event_sources: slots(bounds.streams_of_account, 0),
            websockets: slots(bounds.streams_of_account, 0),
            messages: slots(limits.max_concurrent_requests as usize, bounds.waiting),
            bodies: Room::new(bounds.bodies_octets, bounds.wait),
            responses: Room::new(bounds.bodies_octets, bounds.wait),
            core,
            config,
        };
        Jmap(Arc::new(ArcSwap::from_pointee(shared)))
    }

    /// Another configuration, and the limits that the core has now, for requests from now on. Its bounds stay as they were.
    pub fn configure(&self, config: Config) {
        let mut shared = Shared::clone(&self.0.load());
        let limits = shared.core.limits();
        let open = |open: u64| usize::try_from(open).unwrap_or(usize::MAX).max(1);
        for slots in [&shared.requests, &shared.messages] {
            slots.set_open(open(limits.max_concurrent_requests));
        }
        shared.uploads.set_open(open(limits.max_concurrent_upload));
        let bounds = shared.config.bounds;
        shared.config = Config { bounds, ..config };
        self.0.store(Arc::new(shared));
    }

    /// Serves a listener until a stop is asked for.
    pub async fn serve(&self, listener: Listener, shutdown: Shutdown) {
        let jmap = self.clone();
        let handler = move |connection| jmap.clone().connection(connection);
        listener.run(shutdown, handler).await;
    }

    /// Serves one connection to its end.
    pub async fn connection(self, connection: Connection) {
        let proxy = connection.proxy.map(|address| address.ip());
        let tls = connection.stream.is_tls();
        let shared = self.0.load_full();
        let proxies = &shared.config.proxies;
        let transport = Transport::new(connection.peer, proxy, tls, proxies);
        let exchange = Exchange::new(transport, connection.shutdown);
        let shared = self.0;
        let answer = {
            let exchange = exchange.clone();
            move |request| route::respond(shared.load_full(), exchange.clone(), request)
        };
        Box::pin(http(connection.stream, exchange.clone(), answer)).await;
        let upgrade = exchange.upgrade.lock().take();
        if let Some(upgrade) = upgrade {
            upgrade.await;
        }
    }
}

/// Speaks HTTP to its end, or to where it becomes something else.
async fn http<S, F>(stream: S, exchange: Arc<Exchange>, answer: impl Fn(Request<Incoming>) -> F)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let service = service_fn(|request| {
        // Boxed: what a request needs is not kept for as long as the connection lives.
        let answer = Box::pin(answer(request));
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let io = TokioIo::new(StallGuard::new(stream, WRITE_PACE));
    let builder = builder();
    let mut http = pin!(builder.serve_connection_with_upgrades(io, service));
    let mut leaving = false;
    loop {
        tokio::select! {
            biased;
            ended = http.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(peer = %exchange.transport.peer, %error, "a connection has broken");
                }
                return;
            }
            () = exchange.readers.late() => {
                tracing::debug!(peer = %exchange.transport.peer, "a client reads too slowly");
                return;
            }
            () = exchange.shutdown.requested(), if !leaving => {}
            () = exchange.rested(IDLE_TIMEOUT), if !leaving => {}
            () = exchange.rested(GOODBYE_TIMEOUT), if leaving => return,
        }
        leaving = true;
        http.as_mut().graceful_shutdown();
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .max_headers(HEADER_FIELDS_MAX)
        .max_buf_size(HEADER_OCTETS_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_OCTETS)
        .initial_connection_window_size(CONNECTION_WINDOW_OCTETS)
        .max_send_buf_size(SEND_OCTETS_MAX)
        .max_header_list_size(HEADER_OCTETS_MAX as u32)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

impl Exchange {
    fn new(transport: Transport, shutdown: Shutdown) -> Arc<Exchange> {
        Arc::new(Exchange {
            transport,
            shutdown,
            open: watch::Sender::new(0),
            readers: Arc::default(),
            upgrade: Mutex::default(),
        })
    }

    pub fn begin(self: &Arc<Self>) -> Busy {
        self.open.send_modify(|open| *open += 1);
        Busy(self.clone())
    }

    /// Says what the connection becomes when HTTP is over.
    pub fn upgrade_to(&self, what: impl Future<Output = ()> + Send + 'static) {
        *self.upgrade.lock() = Some(Box::pin(what));
    }

    /// Returns when nothing has been going on for `time`.
    async fn rested(&self, time: Duration) {
        let mut open = self.open.subscribe();
        loop {
            // The sender lives in `self`, so these can't fail.
            let _ = open.wait_for(|open| *open == 0).await;
            tokio::select! {
                () = tokio::time::sleep(time) => return,
                _ = open.changed() => {}
            }
        }
    }
}

impl Busy {
    /// The exchange goes on until the response has been sent, at the client's pace.
    pub fn until_sent(self, body: &mut Body) {
        let readers = self.0.readers.clone();
        body.keep(self);
        body.send(|| readers.begin());
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open -= 1);
    }
}

#[cfg(test)]
mod tests;

//! Sessions that are open, of all protocols: who is there, since when, from where.
//!
//! Holds: a session is in the registry for as long as its handle lives, and no longer; there are never more than [`SESSIONS_MAX`]; one that
//! is ended hears of it at once, and one that doesn't go by itself is cut off after [`GRACE`].
//! Other half: the adapters, which hold an [`OpenSession`] each and say goodbye in their protocol's words; `watch`, which looks whether
//! logins are still good; `methods`, for whoever administers.

mod methods;
mod recent;
#[cfg(test)]
mod tests;
mod watch;

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Weak,
        atomic::{AtomicI64, AtomicU8, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::Notify;

pub use self::methods::SessionInfo;
use self::{recent::Recents, watch::Known};
use crate::{auth::Origin, caller::Caller, clock::Clock, rng::Rng};

/// Sessions that are open at a time, of all protocols. Connections have limits of their own, which come before it.
pub const SESSIONS_MAX: usize = 200_000;
/// Time that a session gets to say goodbye.
pub const GRACE: Duration = Duration::from_secs(5);

/// What kind of session it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum SessionKind {
    Imap,
    Pop3,
    Submission,
    ManageSieve,
    /// RFC 8620 §7.3
    EventSource,
    /// RFC 8887
    WebSocket,
    /// A program that logs in with each request: there is no connection to end.
    Http,
}

impl SessionKind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Imap => "imap",
            Self::Pop3 => "pop3",
            Self::Submission => "submission",
            Self::ManageSieve => "managesieve",
            Self::EventSource => "event-source",
            Self::WebSocket => "websocket",
            Self::Http => "http",
        }
    }
}

/// Why a session is ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// Its owner, or somebody who looks after the account, has asked for it.
    Asked,
    /// The password was changed, the credential revoked or expired, the account disabled or removed.
    LoginOver,
    /// [`SESSIONS_MAX`]
    TooMany,
}

impl Ending {
    pub const ALL: [Self; 3] = [Self::Asked, Self::LoginOver, Self::TooMany];

    /// For the client.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Asked => "The session was ended from elsewhere",
            Self::LoginOver => "The login is no longer good",
            Self::TooMany => "Too many sessions are open; try again later",
        }
    }
}

/// All sessions of a process.
#[derive(Debug)]
pub struct Sessions {
    open: Mutex<HashMap<u64, Entry>>,
    recent: Recents,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    sessions_max: usize,
}

/// What is known of a session that somebody has logged in with.
#[derive(Clone, Debug)]
struct Entry {
    caller: Caller,
    known: Known,
    /// Milliseconds since 1970.
    since: i64,
    place: Weak<Place>,
}

/// A connection's place among the sessions. Clones are the same one; it is taken by a login, and given back by the last of them.
#[derive(Clone, Debug)]
pub struct OpenSession(Arc<Place>);

#[derive(Debug)]
struct Place {
    sessions: Arc<Sessions>,
    kind: SessionKind,
    address: Option<IpAddr>,
    /// Of the entry, once somebody has logged in.
    number: Mutex<Option<u64>>,
    /// 0: it goes on; else one more than the place of its reason in [`Ending::ALL`].
    ending: AtomicU8,
    ended: Notify,
    /// Milliseconds since 1970.
    active: AtomicI64,
}

impl Sessions {
    pub(crate) fn new(clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Arc<Self> {
        Self::with_limit(clock, rng, SESSIONS_MAX)
    }

    pub(crate) fn with_limit(
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
        sessions_max: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            open: Mutex::default(),
            recent: Recents::default(),
            clock,
            rng,
            sessions_max,
        })
    }

    /// A place for a connection that nobody has logged in with yet. `address`: of the client; `None`: of this machine.
    pub fn place(self: &Arc<Self>, kind: SessionKind, address: Option<IpAddr>) -> OpenSession {
        OpenSession(Arc::new(Place {
            sessions: self.clone(),
            kind,
            address,
            number: Mutex::default(),
            ending: AtomicU8::new(0),
            ended: Notify::new(),
            active: AtomicI64::new(self.clock.now().0),
        }))
    }

    /// Notes a login of a program that logs in with each request.
    pub(crate) fn note_login(&self, caller: &Caller, origin: &Origin) {
        let now = self.clock.now().0;
        let number = || self.rng.next_u64();
        self.recent.note(caller, origin, now, number);
    }

    /// Sessions that are open now.
    pub fn count(&self) -> usize {
        self.open.lock().len()
    }

    fn enter(&self, place: &Arc<Place>, caller: Caller, known: Known) {
        let entry = Entry {
            caller,
            known,
            since: self.clock.now().0,
            place: Arc::downgrade(place),
        };
        let mut open = self.open.lock();
        let mut own = place.number.lock();
        if let Some(before) = own.take() {
            open.remove(&before);
        }
        if open.len() >= self.sessions_max {
            drop((own, open));
            return place.end(Ending::TooMany);
        }
        // Numbers are no secret, but one that was guessed wrong ends nobody's session.
        let mut number = self.rng.next_u64();
        while open.contains_key(&number) {
            number = number.wrapping_add(1);
        }
        open.insert(number, entry);
        *own = Some(number);
    }

    fn leave(&self, place: &Place) {
        let mut open = self.open.lock();
        if let Some(number) = place.number.lock().take() {
            open.remove(&number);
        }
    }
}

impl Place {
    fn end(&self, why: Ending) {
        let number = Ending::ALL.iter().position(|of| *of == why);
        let number = number.and_then(|at| u8::try_from(at + 1).ok()).unwrap_or(1);
        // The first reason counts.
        let _ = self
            .ending
            .compare_exchange(0, number, Ordering::AcqRel, Ordering::Acquire);
        self.ended.notify_waiters();
    }

    fn ending(&self) -> Option<Ending> {
        let number = self.ending.load(Ordering::Acquire).checked_sub(1)?;
        Ending::ALL.get(usize::from(number)).copied()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let sessions = self.sessions.clone();
        sessions.leave(self);
    }
}

impl OpenSession {
    /// The client has done something.
    pub fn active(&self) {
        let now = self.0.sessions.clock.now().0;
        self.0.active.store(now, Ordering::Relaxed);
    }

    /// Nobody is logged in any more.
    pub fn leave(&self) {
        self.0.sessions.leave(&self.0);
    }

    /// Why the session has to end, if it has to.
    pub fn ending(&self) -> Option<Ending> {
        self.0.ending()
    }

    /// Returns once the session has to end. Safe to drop and call again.
    pub async fn ended(&self) -> Ending {
        loop {
            let ended = self.0.ended.notified();
            tokio::pin!(ended);
            // Before it is looked, so that nothing is missed in between.
            ended.as_mut().enable();
            if let Some(why) = self.0.ending() {
                return why;
            }
            ended.await;
        }
    }

    /// Has a conversation. One that has to end, and can't be told so in its time, is cut off.
    pub async fn until_overdue(&self, conversation: impl Future<Output = ()>) {
        tokio::select! {
            biased;
            () = conversation => {}
            () = self.overdue() => {}
        }
    }

    /// Returns when a session that had to end has had its time to do so.
    pub async fn overdue(&self) {
        self.ended().await;
        tokio::time::sleep(GRACE).await;
    }
}

//! What waits for which destination, in memory: who goes next.
//!
//! Holds: memory is bounded ([`HELD_MAX`], [`LANES_MAX`], [`WAITING_MAX`], [`PLACES_MAX`], [`AGAIN_MAX`]), and
//! a few destinations with long lines don't fill it; of what may start now, the highest priority goes
//! first (RFC 6710), among equals the destination that was served least lately; a destination has at most as many jobs as
//! it may, and none while it is paused, backs off, or has used up its rate.
//! Other half: `admit` puts in what is due, `work` takes out.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, HashMap, HashSet},
    sync::Arc,
};

use jmap_types::AccountId;

use super::{
    lease::Gate,
    settings::{Delivery, DomainLimits},
};

/// Submissions that are in memory.
pub const HELD_MAX: usize = 50_000;
/// Their destinations, each counted for each of them. The last submission that is let in may be over it.
pub const LANES_MAX: usize = 200_000;
/// Of them, those that wait for one destination. The rest is put off.
pub const WAITING_MAX: usize = 5_000;
/// And no more than one in so many of the places that are free: dozens of destinations with a long line leave room for what
/// comes for another.
const FREE_SHARE: usize = 8;
/// Lanes that are tried again while others keep their submission in memory. Those that there is no room for wait until it has
/// left memory.
pub const AGAIN_MAX: usize = 200_000;
/// When a lane is looked at again whose time came while it was being sent, in milliseconds.
const AGAIN_MS: u64 = 10_000;
/// Destinations that are remembered.
pub const PLACES_MAX: usize = 20_000;
/// The destination of recipients here.
pub const HERE: &str = "";
/// Local deliveries at the same time. They take no room from mail for others, nor the other way round.
const HERE_AT_ONCE: usize = 8;
/// So many messages in a row that came to nothing for all recipients are the host's fault, whatever it said.
const SOFT_MAX: u32 = 5;
/// The first time that a host is left alone after it failed, in milliseconds; it doubles with each failure.
const BACK_OFF_FIRST_MS: u64 = 60_000;
const BACK_OFF_LONGEST_MS: u64 = 1_800_000;

/// A submission.
pub type Item = (AccountId, u64);
/// The name of a destination.
pub type Name = Arc<str>;

/// What a try says of its destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It works.
    Works,
    /// It can't be reached, or takes nothing from us now: its reply.
    HostFails(String),
    /// It took nothing of this message.
    TookNothing(String),
    /// Nothing was tried.
    Unknown,
}

/// A lane of a submission whose turn has come.
#[derive(Clone, Debug)]
pub struct Started {
    pub item: Item,
    pub place: Name,
    pub gate: Arc<Gate>,
}

/// A submission that is in memory.
#[derive(Debug)]
struct Held {
    gate: Arc<Gate>,
    /// Destinations that it waits for (`false`), or is being sent to (`true`).
    lanes: Vec<(Name, bool)>,
    /// It is being looked at, and may get more lanes.
    is_admitting: bool,
    priority: i8,
    due: u64,
}

/// The order of what waits for one destination.
type Waiting = (i8, Reverse<u64>, Reverse<u64>, AccountId);

#[derive(Debug, Default)]
struct Place {
    waiting: BinaryHeap<Waiting>,
    running: usize,
    turn: u64,
    /// Failures in a row: of the host, and those that may be the message's.
    failures: u32,
    soft: u32,
    /// The message of the last of those.
    soft_item: Option<Item>,
    /// Not before this tick.
    until: u64,
    /// The tick at which all of its rate is there again, in microseconds.
    spent_until_us: u64,
    last_reply: String,
    is_paused: bool,
    /// Where it is in `ready` or `timed`.
    place: Option<At>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Ready(i16, u64),
    Timed(u64),
}

/// Times are ticks: milliseconds of a clock that doesn't go back.
#[derive(Debug, Default)]
pub struct Board {
    held: HashMap<Item, Held>,
    places: HashMap<Name, Place>,
    ready: BTreeSet<(i16, u64, Name)>,
    timed: BTreeSet<(u64, Name)>,
    /// Lanes of held submissions that are to be tried again while other lanes keep their submission in memory.
    again: BTreeSet<(u64, Item, Name)>,
    admitting: usize,
    /// Lanes of all submissions.
    lanes: usize,
    paused: HashSet<String>,
    running: usize,
    turns: u64,
    pub is_stopping: bool,
    /// Submissions left memory, and are due all the same.
    pub left_over: Vec<Item>,
    pub settings: Arc<Delivery>,
}

/// How a destination stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlaceState {
    pub name: String,
    pub waiting: usize,
    pub running: usize,
    pub failures: u32,
    /// Milliseconds until it is tried again; 0: nothing is in the way.
    pub blocked_ms: u64,
    pub last_reply: String,
    pub is_paused: bool,
}

/// What a destination says about more mail for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Door {
    Open,
    /// It is left alone for so many milliseconds more.
    BacksOff {
        ms: u64,
        reply: String,
    },
    /// Too much waits for it already.
    Crowded,
}

impl Board {
    pub fn is_paused(&self) -> bool {
        self.paused.contains("")
    }

    /// Whether nothing is sent to this domain at the moment.
    pub fn is_paused_for(&self, domain: &str) -> bool {
        self.is_paused() || self.paused.contains(domain)
    }

    pub fn set_paused(&mut self, paused: HashSet<String>, now: u64) {
        self.paused = paused;
        let names: Vec<Name> = self.places.keys().cloned().collect();
        for name in names {
            let is_paused = self.paused.contains(&*name);
            if let Some(place) = self.places.get_mut(&name) {
                place.is_paused = is_paused && &*name != HERE;
            }
            self.arrange(&name, now);
        }
    }

    pub fn is_full(&self) -> bool {
        self.held.len() >= HELD_MAX || self.lanes >= LANES_MAX
    }

    pub fn len(&self) -> usize {
        self.held.len()
    }

    pub fn running(&self) -> usize {
        self.running + self.places.get(HERE).map_or(0, |place| place.running)
    }

    pub fn waiting(&self) -> usize {
        self.places.values().map(|place| place.waiting.len()).sum()
    }

    /// Nothing runs, and nothing could.
    pub fn is_still(&self) -> bool {
        let can_start = !self.is_stopping && !self.is_paused() && !self.ready.is_empty();
        self.running() == 0 && !can_start && self.admitting == 0
    }

    pub fn holds(&self, item: &Item) -> bool {
        self.held.contains_key(item)
    }

    pub fn gate(&self, item: &Item) -> Option<Arc<Gate>> {
        self.held.get(item).map(|held| held.gate.clone())
    }

    /// The submissions that are being sent.
    pub fn gates_running(&self) -> Vec<(Item, Arc<Gate>)> {
        let runs = |held: &&Held| held.lanes.iter().any(|(_, runs)| *runs);
        let running = self.held.iter().filter(|(_, held)| runs(held));
        running
            .map(|(item, held)| (*item, held.gate.clone()))
            .collect()
    }

    pub fn is_running(&self, item: &Item, place: &str) -> bool {
        self.held.get(item).is_some_and(|held| {
            held.lanes
                .iter()
                .any(|(name, runs)| *runs && &**name == place)
        })
    }

    /// Takes a submission into memory, to be looked at. `None`: it is there.
    pub fn begin_admission(&mut self, item: Item) -> Option<Arc<Gate>> {
        if self.held.contains_key(&item) {
            return None;
        }
        let gate = Arc::new(Gate::default());
        let held = Held {
            gate: gate.clone(),
            lanes: Vec::new(),
            is_admitting: true,
            priority: 0,
            due: 0,
        };
        self.held.insert(item, held);
        self.admitting += 1;
        Some(gate)
    }

    /// Puts the lanes of a submission in line; those of later while others keep it in memory.
    pub fn end_admission(
        &mut self,
        item: Item,
        (lanes, later): (Vec<Name>, Vec<(u64, Name)>),
        (priority, due): (i8, u64),
        now: u64,
    ) {
        if let Some(held) = self.held.get_mut(&item) {
            self.admitting -= usize::from(held.is_admitting);
            held.is_admitting = false;
            (held.priority, held.due) = (priority, due);
        }
        if !lanes.is_empty() {
            for (at, name) in later {
                self.try_again(at, item, name);
            }
        }
        for name in lanes {
            self.line_up(item, name, now);
        }
        self.let_go(item);
    }

    fn line_up(&mut self, item: Item, name: Name, now: u64) {
        let Some(held) = self.held.get_mut(&item) else {
            return;
        };
        if held.lanes.iter().any(|(known, _)| *known == name) {
            return;
        }
        held.lanes.push((name.clone(), false));
        self.lanes += 1;
        let waiting = (held.priority, Reverse(held.due), Reverse(item.1), item.0);
        let is_paused = &*name != HERE && self.paused.contains(&*name);
        if !self.places.contains_key(&name) && self.places.len() >= PLACES_MAX {
            self.forget_places();
        }
        let place = self.places.entry(name.clone()).or_default();
        place.is_paused = is_paused;
        place.waiting.push(waiting);
        self.arrange(&name, now);
    }

    fn try_again(&mut self, at: u64, item: Item, name: Name) {
        if self.again.len() < AGAIN_MAX {
            self.again.insert((at, item, name));
        }
    }

    /// The time has come for a lane to be tried again. Where it is being sent it has begun with the recipients of before.
    fn line_up_again(&mut self, item: Item, name: Name, now: u64) {
        match self.is_running(&item, &name) {
            true => self.try_again(now.saturating_add(AGAIN_MS), item, name),
            false => self.line_up(item, name, now),
        }
    }

    /// Destinations that nothing waits for go, and what was known of them.
    fn forget_places(&mut self) {
        let idle: Vec<Name> = self
            .places
            .iter()
            .filter(|(_, place)| place.waiting.is_empty() && place.running == 0)
            .map(|(name, _)| name.clone())
            .collect();
        for name in idle {
            self.unlist(&name);
            self.places.remove(&name);
        }
    }

    /// A submission that has nothing to wait for leaves memory.
    fn let_go(&mut self, item: Item) {
        let is_idle = |held: &Held| held.lanes.is_empty() && !held.is_admitting;
        if self.held.get(&item).is_some_and(is_idle) {
            self.held.remove(&item);
        }
    }

    pub fn door(&self, name: &str, now: u64) -> Door {
        let Some(place) = self.places.get(name) else {
            return Door::Open;
        };
        if place.until > now && place.failures > 0 {
            return Door::BacksOff {
                ms: place.until - now,
                reply: place.last_reply.clone(),
            };
        }
        let free = HELD_MAX.saturating_sub(self.held.len());
        let most = WAITING_MAX.min(free / FREE_SHARE).max(1);
        match place.waiting.len() >= most {
            true => Door::Crowded,
            false => Door::Open,
        }
    }

    fn limits(&self, name: &str) -> DomainLimits {
        self.settings.of_domain(name)
    }

    /// Puts a destination where it belongs: among those that could start a job, or those that wait for a time.
    fn arrange(&mut self, name: &Name, now: u64) {
        self.unlist(name);
        let limits = self.limits(name);
        let Some(place) = self.places.get_mut(name) else {
            return;
        };
        let at_once = match (&**name, place.failures) {
            (HERE, _) => HERE_AT_ONCE,
            (_, 0) => limits.at_once.max(1),
            // One tries whether it works again.
            _ => 1,
        };
        let Some(first) = place.waiting.peek() else {
            let is_forgettable = place.running == 0
                && place.failures == 0
                && place.soft == 0
                && place.until <= now
                && place.spent_until_us <= now.saturating_mul(1000);
            if is_forgettable {
                self.places.remove(name);
            }
            return;
        };
        if place.is_paused || place.running >= at_once {
            return;
        }
        let rate = limits.rate.filter(|_| &**name != HERE);
        let free_at = rate.map_or(0, |rate| rate.free_at(place.spent_until_us));
        let until = place.until.max(free_at);
        let at = match until > now {
            true => At::Timed(until),
            false => At::Ready(-i16::from(first.0), place.turn),
        };
        place.place = Some(at);
        match at {
            At::Ready(priority, turn) => {
                self.ready.insert((priority, turn, name.clone()));
            }
            At::Timed(until) => {
                self.timed.insert((until, name.clone()));
            }
        }
    }

    fn unlist(&mut self, name: &Name) {
        let at = self
            .places
            .get_mut(name)
            .and_then(|place| place.place.take());
        match at {
            None => {}
            Some(At::Ready(priority, turn)) => {
                self.ready.remove(&(priority, turn, name.clone()));
            }
            Some(At::Timed(until)) => {
                self.timed.remove(&(until, name.clone()));
            }
        }
    }

    /// The next lane that may start.
    pub fn next(&mut self, now: u64) -> Option<Started> {
        self.pass(now);
        if self.is_stopping || self.is_paused() {
            return None;
        }
        loop {
            let is_full = self.running >= self.settings.at_once.max(1);
            let name = match is_full {
                false => self.ready.first()?.2.clone(),
                // What is for here has room of its own.
                true => {
                    let place = self.places.get_key_value(HERE);
                    let (name, _) =
                        place.filter(|(_, place)| matches!(place.place, Some(At::Ready(..))))?;
                    name.clone()
                }
            };
            let started = self.start(&name, now);
            self.arrange(&name, now);
            if started.is_some() {
                return started;
            }
        }
    }

    /// `None`: what was first in line has gone away.
    fn start(&mut self, name: &Name, now: u64) -> Option<Started> {
        self.turns += 1;
        let turn = self.turns;
        let rate = self.limits(name).rate.filter(|_| &**name != HERE);
        let place = self.places.get_mut(name)?;
        let (_, _, Reverse(submission), account) = place.waiting.pop()?;
        let item = (account, submission);
        let held = self.held.get_mut(&item)?;
        let lane = held
            .lanes
            .iter_mut()
            .find(|(known, runs)| known == name && !runs)?;
        lane.1 = true;
        place.turn = turn;
        place.running += 1;
        if let Some(rate) = rate {
            place.spent_until_us = rate.spend(place.spent_until_us, now);
        }
        let gate = held.gate.clone();
        if &**name != HERE {
            self.running += 1;
        }
        Some(Started {
            item,
            place: name.clone(),
            gate,
        })
    }

    /// Time has come to `now`.
    fn pass(&mut self, now: u64) {
        while let Some((at, name)) = self.timed.first().filter(|(at, _)| *at <= now).cloned() {
            self.timed.remove(&(at, name.clone()));
            if let Some(place) = self.places.get_mut(&name) {
                place.place = None;
            }
            self.arrange(&name, now);
        }
        while let Some(first) = self.again.first().filter(|(at, ..)| *at <= now).cloned() {
            self.again.remove(&first);
            let (_, item, name) = first;
            self.line_up_again(item, name, now);
        }
    }

    /// The next tick at which something may start that may not now.
    pub fn next_tick(&self) -> Option<u64> {
        let timed = self.timed.first().map(|(at, _)| *at);
        let again = self.again.first().map(|(at, ..)| *at);
        timed.into_iter().chain(again).min()
    }

    /// A job has ended. `again`: when its lane is to be tried again, where other lanes keep the submission in memory.
    /// `random` spreads the times.
    pub fn finish(
        &mut self,
        started: &Started,
        verdict: Verdict,
        again: Option<u64>,
        (now, random): (u64, u64),
    ) {
        self.free(started, verdict, (now, random));
        self.leave(started, again, now);
    }

    /// A lane has come to its end.
    pub fn leave(&mut self, started: &Started, again: Option<u64>, now: u64) {
        let Some(held) = self.held.get_mut(&started.item) else {
            return;
        };
        let before = held.lanes.len();
        held.lanes.retain(|(name, _)| *name != started.place);
        let others = held.lanes.len();
        self.lanes -= before - others;
        if let Some(at) = again.filter(|_| others > 0) {
            self.try_again(at, started.item, started.place.clone());
        } else if again.is_some_and(|at| at <= now) {
            self.left_over.push(started.item);
        }
        self.let_go(started.item);
    }

    /// A job has ended, and its submission can't be touched yet.
    pub fn free(&mut self, started: &Started, verdict: Verdict, (now, random): (u64, u64)) {
        let name = &started.place;
        if &**name != HERE {
            self.running = self.running.saturating_sub(1);
        }
        if let Some(place) = self.places.get_mut(name) {
            place.running = place.running.saturating_sub(1);
            if &**name != HERE {
                place.note(verdict, started.item, (now, random));
            }
        }
        self.arrange(name, now);
    }

    /// Destinations are tried at once, whatever they did: all of them, or one.
    pub fn forgive(&mut self, name: Option<&str>, now: u64) {
        let names: Vec<Name> = match name {
            Some(name) => vec![Arc::from(name)],
            None => self.places.keys().cloned().collect(),
        };
        for name in names {
            if let Some(place) = self.places.get_mut(&name) {
                (place.failures, place.soft, place.until) = (0, 0, 0);
            }
            self.arrange(&name, now);
        }
        let due = std::mem::take(&mut self.again);
        for (_, item, name) in due {
            self.line_up_again(item, name, now);
        }
    }

    /// How the destinations stand.
    pub fn states(&self, now: u64) -> Vec<PlaceState> {
        let state = |(name, place): (&Name, &Place)| PlaceState {
            name: name.to_string(),
            waiting: place.waiting.len(),
            running: place.running,
            failures: place.failures,
            blocked_ms: place.until.saturating_sub(now),
            last_reply: place.last_reply.clone(),
            is_paused: place.is_paused,
        };
        let mut states: Vec<PlaceState> = self.places.iter().map(state).collect();
        states.sort_by(|a, b| a.name.cmp(&b.name));
        states
    }
}

impl Place {
    fn note(&mut self, verdict: Verdict, item: Item, (now, random): (u64, u64)) {
        match verdict {
            Verdict::Unknown => return,
            Verdict::Works => {
                (self.failures, self.soft, self.until) = (0, 0, 0);
                self.last_reply.clear();
                return;
            }
            Verdict::TookNothing(reply) => {
                // One that is refused over and over says nothing of the others.
                if self.soft_item != Some(item) {
                    self.soft = self.soft.saturating_add(1);
                }
                self.soft_item = Some(item);
                self.last_reply = reply;
                // Another message may have better luck: a greylist looks at who writes to whom.
                if self.soft < SOFT_MAX && self.failures == 0 {
                    return;
                }
            }
            Verdict::HostFails(reply) => self.last_reply = reply,
        }
        self.failures = self.failures.saturating_add(1);
        let doubled = BACK_OFF_FIRST_MS << (self.failures - 1).min(16);
        let wait = doubled.min(BACK_OFF_LONGEST_MS);
        self.until = now + wait + random % (wait / 4);
    }
}

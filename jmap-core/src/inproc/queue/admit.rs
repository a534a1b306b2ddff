//! What is due comes into memory.
//!
//! Holds: a submission is in memory once; what can't be tried soon (its host is left alone, too much waits for it) is put off on disk instead.
//! Other half: `board` keeps it in line.

use std::{collections::HashMap, sync::Arc};

use futures_util::{StreamExt as _, stream};
use store::{engine::Page, keys};

use super::{
    board::{Door, HERE, Item, Name},
    lease::{Dropped, Gate, Lease},
    note::{PutOff, Step},
    settings,
};
use crate::{
    Core,
    directory::{names, resolve::Resolved},
    mail::submission::{
        self,
        bounce::DeliverBy,
        records::{Delivered, EnvelopeAddress, SubmissionRecord, UndoStatus},
    },
};

/// Rows that one look at the queue takes at once.
const ROWS_PER_PAGE: usize = 256;
/// Submissions that are looked at at the same time.
const AT_ONCE: usize = 16;
/// How far behind a look at what is new begins: a transaction takes its time to the disk.
const OVERLAP_MS: u64 = 10_000;
/// A destination that is left alone for no longer than this is waited for in memory.
const SOON_MS: u64 = 10_000;
/// How long what there is no room for is put off, in milliseconds.
const CROWDED_MS: u64 = 300_000;
/// How often mail for other servers is looked at while nobody sends it, in milliseconds.
const REMOTE_EVERY_MS: u64 = 86_400_000;

const REMOTE: &str = "250 2.0.0 Queued; this server is not set up to deliver to other servers";

/// A submission that is being looked at. However that ends, it gets the lanes that are in here.
pub(super) struct Admission<'c> {
    core: &'c Core,
    item: Item,
    lanes: Vec<Name>,
    /// Lanes of later, for as long as those keep it in memory: when, in milliseconds since 1970.
    later: Vec<(u64, Name)>,
    priority: i8,
    due: u64,
}

impl<'c> Admission<'c> {
    /// Takes a submission into memory. `None`: it is there, or there is no room.
    pub fn begin(core: &'c Core, item: Item) -> Option<(Self, Arc<Gate>)> {
        let gate = core.queue.board.lock().begin_admission(item)?;
        let admission = Self {
            core,
            item,
            lanes: Vec::new(),
            later: Vec::new(),
            priority: 0,
            due: 0,
        };
        Some((admission, gate))
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        let lanes = std::mem::take(&mut self.lanes);
        let queue = &self.core.queue;
        let (order, tick) = ((self.priority, self.due), queue.tick());
        let now = self.core.queue_now();
        let later = std::mem::take(&mut self.later).into_iter();
        let later = later.map(|(at, name)| (queue.tick_at(at, now), name));
        let mut board = queue.board.lock();
        board.end_admission(self.item, (lanes, later.collect()), order, tick);
        drop(board);
        queue.moved.notify_waiters();
    }
}

/// What is to become of the recipients that are due.
#[derive(Default)]
struct Sorted {
    lanes: Vec<Name>,
    later: Vec<(u64, Name)>,
    put_off: Vec<PutOff>,
    /// They are given up: index and reply.
    given_up: Vec<(usize, String)>,
}

impl Core {
    /// Takes in what is due: all of it, or what was added lately. Returns when to look again, if something was left.
    pub(super) async fn load_due(&self, is_whole: bool) -> Result<Option<u64>, store::Error> {
        let mut loaded_until = self.queue.loaded_until.lock().await;
        if self.queue.board.lock().is_paused() {
            return Ok(None);
        }
        let now = self.queue_now();
        let mut next: Option<u64> = None;
        let mut range = keys::queue_due_before(now.saturating_add(1));
        if !is_whole {
            range.start = keys::queue_due_before(loaded_until.saturating_sub(OVERLAP_MS)).end;
        }
        loop {
            let rows = self
                .engine
                .scan(Page::first(range.clone(), ROWS_PER_PAGE))
                .await?;
            let mut items = Vec::with_capacity(rows.len());
            for (key, value) in &rows {
                let Some((due, account, submission)) = keys::decode_queue_due(key) else {
                    self.put_row_aside(key, value).await;
                    continue;
                };
                match Lease::decode(key, value) {
                    Some(lease) if self.queue.is_anothers(&lease, now) => {
                        // In a cluster it is told when its owner has gone.
                        if self.cluster.is_none() {
                            next = Some(next.unwrap_or(u64::MAX).min(lease.expires));
                        }
                    }
                    _ => items.push(((account, submission), due)),
                }
            }
            let mut each = stream::iter(items)
                .map(|(item, due)| self.admit_submission(item, Some(due)))
                .buffer_unordered(AT_ONCE);
            while let Some(result) = each.next().await {
                if let Err(error) = result {
                    tracing::error!(%error, "a submission could not be worked on");
                    let again = now.saturating_add(settings::millis(super::PAUSE));
                    next = Some(next.unwrap_or(u64::MAX).min(again));
                }
            }
            drop(each);
            self.pump();
            // A long queue takes longer to look through than a lease lasts.
            self.renew_leases().await;
            let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS_PER_PAGE) else {
                *loaded_until = now;
                return Ok(next);
            };
            if self.queue.board.lock().is_full() {
                let again = now.saturating_add(settings::millis(super::PAUSE));
                return Ok(Some(next.unwrap_or(u64::MAX).min(again)));
            }
            range.start = [last, &[0u8][..]].concat();
        }
    }

    /// Looks again at what has left memory and is due all the same; `false`: there is nothing of the kind.
    pub(super) async fn admit_left_over(&self) -> bool {
        let items = std::mem::take(&mut self.queue.board.lock().left_over);
        let is_some = !items.is_empty();
        for item in items {
            if let Err(error) = self.admit_submission(item, None).await {
                tracing::error!(%error, "a submission could not be worked on");
            }
        }
        is_some
    }

    /// Looks at a submission, and puts it in line for its destinations. `due`: the time of the row that it was found by.
    pub(super) async fn admit_submission(
        &self,
        item: Item,
        due: Option<u64>,
    ) -> Result<(), store::Error> {
        if self.queue.board.lock().is_full() {
            return Ok(());
        }
        let Some((mut admission, gate)) = Admission::begin(self, item) else {
            return Ok(());
        };
        let Some(record) = self.due_record(item, due, &gate).await? else {
            return Ok(());
        };
        let sorted = self.sort_recipients(&record).await?;
        let is_idle = sorted.lanes.is_empty();
        if is_idle || !sorted.put_off.is_empty() || !sorted.given_up.is_empty() {
            let step = Step::Sorted {
                put_off: &sorted.put_off,
                given_up: &sorted.given_up,
                is_idle,
            };
            let mut hold = gate.0.lock().await;
            match self.change(item, &mut hold, step).await {
                Ok(_) => {}
                Err(store::Error::Conflict) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        let put_off = sorted.put_off.into_iter();
        admission.later = sorted.later;
        admission
            .later
            .extend(put_off.map(|put_off| (put_off.until, put_off.place)));
        admission.lanes = sorted.lanes;
        admission.priority = priority(&record);
        admission.due = record.due;
        Ok(())
    }

    /// The record of a submission that is to be sent now; what else is to be done about its row is done.
    async fn due_record(
        &self,
        item @ (account, submission): Item,
        due: Option<u64>,
        gate: &Gate,
    ) -> Result<Option<SubmissionRecord>, store::Error> {
        let record = submission::record(self, account, submission).await;
        let dropped = match &record {
            // The account went away.
            Ok(None) => Some(Dropped::HasNoRecord),
            Ok(Some(record)) if due.is_some_and(|due| due != record.due) => {
                Some(Dropped::IsLeftOver)
            }
            Ok(Some(_)) => None,
            Err(error @ store::Error::Corrupt { .. }) => Some(Dropped::IsDamaged(error)),
            Err(_) => None,
        };
        if let Some((due, dropped)) = due.zip(dropped) {
            if let Some(row) = self.lease(item, due).await? {
                // It may have changed between the row and the record.
                let is_left_over = matches!(dropped, Dropped::IsLeftOver);
                let now = match is_left_over {
                    true => submission::record(self, account, submission).await?,
                    false => None,
                };
                if now.is_none_or(|record| record.due != due) {
                    self.drop_row(account, submission, (due, row), dropped)
                        .await?;
                }
            }
            return record.map(|_| None);
        }
        let Some(record) = record? else {
            return Ok(None);
        };
        if record.due == 0 || record.due > self.queue_now() {
            return Ok(None);
        }
        let step = match (record.is_done, record.undo_status) {
            (true, _) => Step::Remove,
            // It was put on hold while it was being sent.
            (false, _) if record.on_hold.is_some() => Step::Hold,
            (false, UndoStatus::Final) => return Ok(Some(record)),
            // From here on it can't be called back.
            (false, _) => Step::Final,
        };
        let mut hold = gate.0.lock().await;
        match self.change(item, &mut hold, step).await {
            Ok(_) => {}
            Err(store::Error::Conflict) => return Ok(None),
            Err(error) => return Err(error),
        }
        drop(hold);
        match record.is_done {
            true => Ok(None),
            false => {
                let record = submission::record(self, account, submission).await?;
                Ok(record.filter(|record| !record.is_done && record.on_hold.is_none()))
            }
        }
    }

    /// Where the recipients that are due go, and which of them wait.
    async fn sort_recipients(&self, record: &SubmissionRecord) -> Result<Sorted, store::Error> {
        let now = self.queue_now();
        let seconds = self.clock.now().seconds();
        let settings = self.queue.settings();
        let is_late = seconds >= record.send_at.saturating_add(settings.expiry_seconds());
        let is_overdue =
            DeliverBy::of(record).is_some_and(|by| by.returns && seconds >= by.deadline);
        let mut doors: HashMap<Name, Door> = HashMap::new();
        let mut sorted = Sorted::default();
        for (at, recipient) in record.recipients.iter().enumerate() {
            let is_due = recipient.next_try.is_none_or(|next| next <= now);
            if recipient.delivered != Delivered::Queued {
                continue;
            }
            if is_overdue {
                sorted.given_up.push((at, recipient.smtp_reply.clone()));
                continue;
            }
            let name = self.place_of(&recipient.address).await?;
            if !is_due {
                sorted.later.push((recipient.next_try.unwrap_or(now), name));
                continue;
            }
            if &*name != HERE && self.outbound.load().is_none() {
                sorted.put_off.push(PutOff {
                    at,
                    until: now.saturating_add(REMOTE_EVERY_MS),
                    reply: REMOTE.to_owned(),
                    place: name,
                });
                continue;
            }
            let tick = self.queue.tick();
            let door = doors
                .entry(name.clone())
                .or_insert_with(|| self.queue.board.lock().door(&name, tick));
            let (ms, reply) = match door {
                Door::BacksOff { reply, .. } if is_late => {
                    sorted.given_up.push((at, reply.clone()));
                    continue;
                }
                Door::BacksOff { ms, reply } if *ms > SOON_MS => {
                    let reply = format!("451 4.4.1 {name} takes no mail at the moment: {reply}");
                    (*ms, reply)
                }
                Door::Crowded => {
                    let reply = format!("451 4.4.5 Much other mail waits for {name}");
                    (CROWDED_MS, reply)
                }
                Door::Open | Door::BacksOff { .. } => {
                    if !sorted.lanes.contains(&name) {
                        sorted.lanes.push(name);
                    }
                    continue;
                }
            };
            let until = now + ms + self.rng.next_u64() % (ms / 4).max(1);
            sorted.put_off.push(PutOff {
                at,
                until,
                reply,
                place: name,
            });
        }
        Ok(sorted)
    }

    /// The destination of a recipient: its domain, or here.
    pub(super) async fn place_of(&self, recipient: &EnvelopeAddress) -> Result<Name, store::Error> {
        Ok(match *self.resolve(&recipient.email).await? {
            Resolved::Targets(_) | Resolved::NoSuchMailbox => HERE.into(),
            Resolved::NotLocal => domain_of(&recipient.email).into(),
        })
    }
}

/// The domain of an address: in lower case, with A-labels; an address literal with its brackets.
pub(super) fn domain_of(email: &str) -> String {
    let domain = email.rsplit_once('@').map_or(email, |(_, domain)| domain);
    names::domain(domain).unwrap_or_else(|_| domain.to_ascii_lowercase())
}

/// RFC 6710 §3: -9 to 9, 0 without the parameter.
pub(super) fn priority(record: &SubmissionRecord) -> i8 {
    let value = record.mail_from.parameter("MT-PRIORITY");
    let value = value.and_then(|parameter| parameter.value.as_deref());
    value
        .and_then(|value| value.parse::<i8>().ok())
        .map_or(0, |value| value.clamp(-9, 9))
}

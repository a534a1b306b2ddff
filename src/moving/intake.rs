//! Takes messages from a source and hands them on in batches.
//!
//! Holds: at most two batches are in memory, of which one is being written while the other is filled; a message that the server can't take is
//! noted with its place.

use std::collections::HashMap;

use bytes::Bytes;

use super::{
    MoveError, Progress, Tally,
    protocol::{BATCH_OCTETS, FlagsItem, KnownItem, MESSAGES_MAX, Meeting, Outcome, PutItem},
    session::{Destination, Session},
};
use crate::hex::hex;

/// Flags that one question changes.
const FLAGS_PER_ASK: usize = 1000;

/// A message as a source has it.
#[derive(Clone, Debug)]
pub struct Message {
    pub collection: [u8; 16],
    pub item: Vec<u8>,
    pub octets: Bytes,
    pub mailboxes: Vec<u64>,
    pub flags: super::flags::Flags,
    /// Seconds since 1970.
    pub received_at: Option<i64>,
    /// Where it is, for whoever reads what went wrong.
    pub place: String,
    pub meeting: Meeting,
}

/// The way into one account.
pub struct Intake {
    session: Session,
    pub tally: Tally,
    progress: Progress,
    /// Messages that look alike become one email where that loses nothing.
    pub joins: bool,
    /// The flags of messages that are known are brought up to date.
    pub updates_flags: bool,
    batch: Vec<(PutItem, Bytes)>,
    places: Vec<String>,
    octets: u64,
    /// The places of the batch that is being written, and its octets.
    on_the_way: Option<(Vec<String>, u64)>,
    mailboxes: HashMap<(Vec<String>, Option<String>), u64>,
}

impl Intake {
    pub async fn open(
        destination: &Destination,
        account: &str,
        progress: Progress,
    ) -> Result<Intake, MoveError> {
        Ok(Intake {
            session: destination.open(account).await?,
            tally: Tally::default(),
            progress,
            joins: true,
            updates_flags: false,
            batch: Vec::new(),
            places: Vec::new(),
            octets: 0,
            on_the_way: None,
            mailboxes: HashMap::new(),
        })
    }

    /// Larger messages are refused.
    pub fn message_octets_max(&self) -> u64 {
        self.session.message_octets_max
    }

    pub fn meeting(&self) -> Meeting {
        match self.joins {
            true => Meeting::Join,
            false => Meeting::Separate,
        }
    }

    /// Forgets what was imported before.
    pub async fn forget(&mut self) -> Result<(), MoveError> {
        self.settle().await?;
        self.session.forget().await
    }

    /// The mailbox of a folder.
    pub async fn mailbox(
        &mut self,
        levels: &[String],
        role: Option<&str>,
        is_subscribed: bool,
    ) -> Result<u64, MoveError> {
        let key = (levels.to_vec(), role.map(str::to_owned));
        if let Some(&known) = self.mailboxes.get(&key) {
            return Ok(known);
        }
        self.settle().await?;
        let id = self.session.mailbox(levels, role, is_subscribed).await?;
        self.mailboxes.insert(key, id);
        Ok(id)
    }

    /// What earlier runs have imported of a collection, by the item in hexadecimal.
    pub async fn known(
        &mut self,
        collection: &[u8; 16],
    ) -> Result<HashMap<String, KnownItem>, MoveError> {
        self.flush().await?;
        self.settle().await?;
        self.session.known(collection).await
    }

    pub fn problem(&mut self, place: &str, why: &str) {
        self.tally.problem(place, why);
    }

    pub fn tell(&self, place: &str) {
        let tally = &self.tally;
        let (new, known) = (tally.new + tally.joined, tally.known);
        let name = &self.session.name;
        (self.progress)(&format!(
            "{name}: {place}: {new} imported, {known} known, {} problems",
            tally.problems.len() as u64 + tally.more_problems
        ));
    }

    /// Takes a message. It is on disk after [`Intake::finish`], or when a later batch is being written.
    pub async fn put(&mut self, message: Message) -> Result<(), MoveError> {
        let octets = message.octets.len() as u64;
        if octets > self.message_octets_max() {
            let max = self.message_octets_max();
            let why = format!("it has {octets} octets, and the server takes {max}");
            self.problem(&message.place, &why);
            return Ok(());
        }
        let mut keywords = message.flags.keywords;
        if keywords.len() > self.session.keywords_max {
            keywords.truncate(self.session.keywords_max);
            let why = "it has too many keywords; the last ones were left out";
            self.tally.problem(&message.place, why);
        }
        let item = PutItem {
            collection: hex(&message.collection),
            item: hex(&message.item),
            octets,
            mailboxes: message.mailboxes,
            keywords,
            is_deleted: message.flags.is_deleted,
            received_at: message.received_at,
            meeting: message.meeting,
        };
        self.batch.push((item, message.octets));
        self.places.push(message.place);
        self.octets += octets;
        if self.batch.len() >= MESSAGES_MAX || self.octets >= BATCH_OCTETS {
            self.flush().await?;
        }
        Ok(())
    }

    /// Brings the flags of messages that are known up to date.
    pub async fn flags(
        &mut self,
        collection: &[u8; 16],
        seen: Vec<FlagsItem>,
    ) -> Result<(), MoveError> {
        self.flush().await?;
        self.settle().await?;
        for seen in seen.chunks(FLAGS_PER_ASK) {
            self.tally.flags += self.session.flags(collection, seen.to_vec()).await?;
        }
        Ok(())
    }

    /// Sends what was gathered, after the batch before it is on disk.
    async fn flush(&mut self) -> Result<(), MoveError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.settle().await?;
        let batch = std::mem::take(&mut self.batch);
        let places = std::mem::take(&mut self.places);
        let octets = std::mem::take(&mut self.octets);
        self.session.send_put(batch).await?;
        self.on_the_way = Some((places, octets));
        Ok(())
    }

    /// Waits for the batch that is being written.
    async fn settle(&mut self) -> Result<(), MoveError> {
        let Some((places, octets)) = self.on_the_way.take() else {
            return Ok(());
        };
        let outcomes = self.session.put_outcomes().await?;
        let last = places.last().cloned().unwrap_or_default();
        for (place, outcome) in places.iter().zip(outcomes) {
            match outcome {
                Outcome::New => self.tally.new += 1,
                Outcome::Joined => self.tally.joined += 1,
                Outcome::Skipped | Outcome::Known => self.tally.known += 1,
                Outcome::Refused(why) => self.tally.problem(place, &why),
            }
        }
        self.tally.octets += octets;
        self.tell(&last);
        Ok(())
    }

    /// Waits until everything is on disk.
    pub async fn drain(&mut self) -> Result<(), MoveError> {
        self.flush().await?;
        self.settle().await
    }

    /// What it came to, with what the source says of its end.
    pub async fn finish(mut self, end: Result<(), MoveError>) -> Tally {
        // What came before the source's end counts, however that was.
        let drained = self.drain().await;
        let name = self.session.name.clone();
        for error in [end, drained].into_iter().filter_map(Result::err) {
            self.tally.problem(&name, &error.to_string());
        }
        self.session.close().await;
        self.tally
    }
}

/// A name for a place that messages come from, made of what tells it from all others.
pub fn collection(parts: &[&[u8]]) -> [u8; 16] {
    let mut octets = Vec::new();
    for part in parts {
        octets.extend_from_slice(&(part.len() as u64).to_be_bytes());
        octets.extend_from_slice(part);
    }
    short_hash(&octets)
}

/// 128 bits of a hash that nobody can make two texts have.
pub fn short_hash(octets: &[u8]) -> [u8; 16] {
    let hash = store::blob::hash(octets);
    hash.first_chunk().copied().unwrap_or_default()
}

//! Messages that have just come in: their words are taken out while the octets are still at hand.
//!
//! Holds: both what waits and what was taken out are bounded; of a message that isn't here, the store has the words. What is here is of
//! messages that were committed, or were about to be.
//! Other half: `worker` asks here first, and forgets the rest after each round.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;
use store::{keys::BlobHash, search::DocumentText};

use super::{super::message::Summary, words_of};
use crate::mail::write::Message;

/// Octets of messages whose words weren't taken out yet: what comes in within a tenth of a second.
const WAITING_OCTETS_MAX: usize = 3 << 20;
/// Octets of words. A batch of the index has no more.
const WORDS_OCTETS_MAX: usize = super::worker::BATCH_OCTETS;
/// A larger message isn't kept for it.
const MESSAGE_OCTETS_MAX: usize = 256 << 10;
/// About what a message takes besides its octets.
const SUMMARY_OCTETS: usize = 4 << 10;

#[derive(Debug, Default)]
pub(super) struct Arrivals(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Arrival>,
    waiting_octets: usize,
    words: HashMap<BlobHash, DocumentText>,
    words_octets: usize,
}

#[derive(Debug)]
struct Arrival {
    hash: BlobHash,
    octets: Bytes,
    summary: Arc<Summary>,
}

impl Arrivals {
    pub fn note(&self, message: &Message) {
        let octets = message.octets.len() + SUMMARY_OCTETS;
        let mut state = self.0.lock();
        let is_too_much = state.waiting_octets + octets > WAITING_OCTETS_MAX;
        if message.octets.len() > MESSAGE_OCTETS_MAX || is_too_much {
            return;
        }
        state.waiting_octets += octets;
        state.waiting.push(Arrival {
            hash: message.hash,
            octets: message.octets.clone(),
            summary: message.summary.clone(),
        });
    }

    /// Takes out the words of all that waits, on a thread that nobody else waits for.
    pub async fn take_words(&self) {
        let waiting = {
            let mut state = self.0.lock();
            state.waiting_octets = 0;
            std::mem::take(&mut state.waiting)
        };
        if waiting.is_empty() {
            return;
        }
        let state = self.0.clone();
        let taking = tokio::task::spawn_blocking(move || {
            for Arrival {
                hash,
                octets,
                summary,
            } in waiting
            {
                let words = words_of(&octets, &summary);
                state.lock().add(hash, words);
            }
        });
        // When the runtime stops, nobody asks for them.
        let _ = taking.await;
    }

    /// The words of a message, once.
    pub fn take(&self, hash: &BlobHash) -> Option<DocumentText> {
        let mut state = self.0.lock();
        let words = state.words.remove(hash)?;
        state.words_octets -= words.octets();
        Some(words)
    }

    pub fn forget(&self) {
        *self.0.lock() = State::default();
    }
}

impl State {
    fn add(&mut self, hash: BlobHash, words: DocumentText) {
        let octets = words.octets();
        if self.words_octets + octets > WORDS_OCTETS_MAX {
            return;
        }
        self.words_octets += octets;
        if let Some(same) = self.words.insert(hash, words) {
            self.words_octets -= same.octets();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(subject: &str, octets: usize) -> Message {
        let body = "word ".repeat(octets / 5);
        Message::parse(format!("Subject: {subject}\r\n\r\n{body}\r\n").into())
    }

    #[tokio::test]
    async fn words_are_there_once() {
        let arrivals = Arrivals::default();
        let message = message("lighthouse", 100);
        arrivals.note(&message);
        assert_eq!(arrivals.take(&message.hash), None);
        arrivals.take_words().await;
        let words = arrivals.take(&message.hash).expect("words");
        assert_eq!(words, words_of(&message.octets, &message.summary));
        assert_eq!(arrivals.take(&message.hash), None);
        assert_eq!(arrivals.0.lock().words_octets, 0);
    }

    #[tokio::test]
    async fn it_is_bounded() {
        let arrivals = Arrivals::default();
        arrivals.note(&message("large", MESSAGE_OCTETS_MAX + 100));
        assert!(arrivals.0.lock().waiting.is_empty());
        for number in 0..500 {
            arrivals.note(&message(&number.to_string(), 50_000));
        }
        let waiting: usize = {
            let state = arrivals.0.lock();
            state.waiting.iter().map(|one| one.octets.len()).sum()
        };
        assert!(waiting > WAITING_OCTETS_MAX / 2 && waiting <= WAITING_OCTETS_MAX);
        for number in 0..500 {
            arrivals.note(&message(&number.to_string(), 50_000));
            arrivals.take_words().await;
        }
        let state = arrivals.0.lock();
        let octets: usize = state.words.values().map(DocumentText::octets).sum();
        assert_eq!(octets, state.words_octets);
        assert!(octets > WORDS_OCTETS_MAX / 2 && octets <= WORDS_OCTETS_MAX);
    }

    #[tokio::test]
    async fn the_same_octets_twice_count_once() {
        let arrivals = Arrivals::default();
        let message = message("twice", 100);
        arrivals.note(&message);
        arrivals.note(&message);
        arrivals.take_words().await;
        assert!(arrivals.take(&message.hash).is_some());
        assert_eq!(arrivals.0.lock().words_octets, 0);
        arrivals.note(&message);
        arrivals.forget();
        arrivals.take_words().await;
        assert_eq!(arrivals.take(&message.hash), None);
    }
}

//! What nodes tell each other: that there is something to read.
//!
//! Holds: a notice says where to look, never what is there, so one that is lost, late, doubled or forged costs a read and nothing else. The
//! text of a packet is bounded, and what a newer version adds to it is skipped.
//! Other half: the binary brings them over PostgreSQL, Redis or NATS; `run` sends and takes them.

use std::{fmt, fmt::Write as _, sync::Arc};

use async_trait::async_trait;
use jmap_types::AccountId;
use tokio::sync::broadcast;

/// Octets of one packet: PostgreSQL's NOTIFY takes less than 8000.
pub const NOTICE_OCTETS_MAX: usize = 7900;
/// Notices that one packet may have: no shorter ones fit.
const PER_PACKET_MAX: usize = NOTICE_OCTETS_MAX / 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Notice {
    /// An account's head has this revision, or a newer one.
    Account { account: AccountId, revision: u64 },
    /// Push subscriptions of the account have changed.
    Subscriptions(AccountId),
    /// The directory has changed, or what is shared with whom.
    Directory,
    /// The queue is to be looked at.
    Queue,
    /// There is something new about published shards of the search index.
    Search,
    /// Somebody waits for this account to be indexed and published.
    Index(AccountId),
    /// Settings have changed.
    Settings,
    /// Somebody was banned, or may come back.
    Bans,
}

/// Notices of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The process that they are from.
    pub from: u64,
    pub notices: Vec<Notice>,
}

/// What brings notices isn't there. The sentence is for the log.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoticeError(pub String);

/// A way from each node to all others.
#[async_trait]
pub trait Notices: Send + Sync + fmt::Debug + 'static {
    /// Hands texts over for all nodes that listen now; whether they arrive isn't known.
    async fn publish(&self, texts: Vec<String>) -> Result<(), NoticeError>;

    /// Listens from now on.
    async fn subscribe(&self) -> Result<Box<dyn NoticeStream>, NoticeError>;
}

/// An error ends it: something may have been missed, and a new one is needed.
#[async_trait]
pub trait NoticeStream: Send {
    /// The next text, perhaps one of our own.
    async fn next(&mut self) -> Result<String, NoticeError>;
}

impl Packet {
    /// As many texts as it takes: `1`, the number of the process, and words, all in hexadecimal digits.
    pub fn encode(&self) -> Vec<String> {
        let mut texts = Vec::new();
        let begin = || format!("1 {:x}", self.from);
        let mut text = begin();
        let mut has_words = false;
        for notice in &self.notices {
            let mut word = String::new();
            // Writing to a string can't fail.
            let _ = match notice {
                Notice::Account { account, revision } => {
                    write!(word, " a{:x}:{revision:x}", account.number())
                }
                Notice::Subscriptions(account) => write!(word, " s{:x}", account.number()),
                Notice::Directory => write!(word, " d"),
                Notice::Queue => write!(word, " q"),
                Notice::Search => write!(word, " i"),
                Notice::Index(account) => write!(word, " x{:x}", account.number()),
                Notice::Settings => write!(word, " c"),
                Notice::Bans => write!(word, " b"),
            };
            if text.len() + word.len() > NOTICE_OCTETS_MAX {
                texts.push(std::mem::replace(&mut text, begin()));
            }
            text.push_str(&word);
            has_words = true;
        }
        if has_words {
            texts.push(text);
        }
        texts
    }

    /// `None`: it isn't one, or is of another kind.
    pub fn decode(text: &str) -> Option<Self> {
        if text.len() > NOTICE_OCTETS_MAX {
            return None;
        }
        let mut words = text.split(' ');
        if words.next()? != "1" {
            return None;
        }
        let from = number(words.next()?)?;
        let notices = words.filter_map(decode_word).take(PER_PACKET_MAX).collect();
        Some(Self { from, notices })
    }
}

fn number(text: &str) -> Option<u64> {
    // `from_str_radix` takes a sign.
    let is_plain = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_plain.then(|| u64::from_str_radix(text, 16).ok())?
}

fn decode_word(word: &str) -> Option<Notice> {
    let (kind, rest) = word.split_at_checked(1)?;
    match kind {
        "a" => {
            let (account, revision) = rest.split_once(':')?;
            Some(Notice::Account {
                account: AccountId::new(number(account)?),
                revision: number(revision)?,
            })
        }
        "s" => Some(Notice::Subscriptions(AccountId::new(number(rest)?))),
        "d" if rest.is_empty() => Some(Notice::Directory),
        "q" if rest.is_empty() => Some(Notice::Queue),
        "i" if rest.is_empty() => Some(Notice::Search),
        "x" => Some(Notice::Index(AccountId::new(number(rest)?))),
        "c" if rest.is_empty() => Some(Notice::Settings),
        "b" if rest.is_empty() => Some(Notice::Bans),
        _ => None,
    }
}

/// Notices between the cores of one process.
#[derive(Clone, Debug)]
pub struct LocalNotices(broadcast::Sender<Arc<str>>);

impl Default for LocalNotices {
    fn default() -> Self {
        const WAITING_MAX: usize = 256;
        Self(broadcast::Sender::new(WAITING_MAX))
    }
}

#[async_trait]
impl Notices for LocalNotices {
    async fn publish(&self, texts: Vec<String>) -> Result<(), NoticeError> {
        for text in texts {
            // Without listeners nobody has to be told.
            let _ = self.0.send(text.into());
        }
        Ok(())
    }

    async fn subscribe(&self) -> Result<Box<dyn NoticeStream>, NoticeError> {
        Ok(Box::new(LocalStream(self.0.subscribe())))
    }
}

struct LocalStream(broadcast::Receiver<Arc<str>>);

#[async_trait]
impl NoticeStream for LocalStream {
    async fn next(&mut self) -> Result<String, NoticeError> {
        let text = self.0.recv().await;
        text.map(|text| text.to_string())
            .map_err(|error| NoticeError(error.to_string()))
    }
}

//! What a reader does: the first page, one message, a search, a flag; and what clients that only wait cost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::corpus::{Corpus, Dice};
use crate::imap::Imap;
use crate::jmap::{self, Jmap};
use crate::measure::{Measured, Samples, Watch};
use crate::options::Options;
use crate::proc::{Memory, Tree};
use crate::report::Report;
use crate::smtp::{self, Load, Protocol};
use crate::{Fail, Servers, ingest, say};

/// Messages on a first page.
pub const PAGE: usize = 50;
/// Connections that fill a mailbox.
const FILLING: usize = 8;
/// After this a server at rest has given back what it gives back.
const REST: Duration = Duration::from_secs(30);

/// One thing a reader does. `usize` picks a message among the newest 1,000.
#[derive(Clone, Debug)]
pub enum Act {
    FirstPage,
    /// The text, as a client shows it.
    Text(usize),
    /// All octets of the message.
    Whole(usize),
    Search(String),
    Flag(usize, bool),
}

/// A logged-in client of either server.
pub trait Reader {
    async fn act(&mut self, act: &Act) -> Result<(), Fail>;
    /// All that has come in.
    fn octets(&self) -> u64;
}

/// The account with this many messages.
pub fn user(size: usize) -> String {
    format!("reader{size}")
}

pub async fn measure(
    options: &Options,
    corpus: &Arc<Corpus>,
    servers: &Servers,
    report: &mut Report,
) -> Result<(), Fail> {
    for size in &options.sizes {
        fill(*size, corpus, servers).await?;
        memory(*size, servers, report).await;
        for (name, acts) in plan(corpus) {
            say(&format!("read: {name}, {size} messages"));
            let ours = match &servers.ours {
                None => None,
                Some(server) => {
                    let mut reader = Jmap::open(server.http, &user(*size)).await?;
                    Some(drive(&mut reader, &server.tree(), &acts, options).await?)
                }
            };
            let peer = match &servers.peer {
                None => None,
                Some(peer) => {
                    let mut reader = Imap::open(peer.imap, &user(*size)).await?;
                    Some(drive(&mut reader, &peer.dovecot(), &acts, options).await?)
                }
            };
            report.reading(format!("{name}, {size} messages"), ours, peer);
        }
    }
    Ok(())
}

/// Each measurement's name and how its acts are made, from a number that counts up.
fn plan(corpus: &Corpus) -> Vec<(&'static str, Box<dyn Fn(usize) -> Act>)> {
    let pick = |n: usize| Dice::new(n as u64 + 1).below(1000);
    let words = corpus.words();
    let word = move |n: usize| words[n % words.len()].clone();
    vec![
        ("first page", Box::new(|_| Act::FirstPage)),
        ("text of one", Box::new(move |n| Act::Text(pick(n)))),
        ("whole of one", Box::new(move |n| Act::Whole(pick(n)))),
        ("search", Box::new(move |n| Act::Search(word(n)))),
        (
            "flag",
            Box::new(move |n| Act::Flag(pick(n / 2), n % 2 == 0)),
        ),
    ]
}

/// The most operations of one measurement: enough for a 99th percentile.
const ACTS_MAX: usize = 5000;

/// One client does one act after the other until the time is over; the first few warm the caches and don't count.
async fn drive<R: Reader>(
    reader: &mut R,
    tree: &Tree,
    act: &dyn Fn(usize) -> Act,
    options: &Options,
) -> Result<Measured, Fail> {
    let warm = Instant::now();
    for n in 0..20 {
        reader.act(&act(n)).await?;
        if warm.elapsed() > Duration::from_secs(options.seconds) {
            break;
        }
    }
    let watch = Watch::start(tree);
    let mut samples = Samples::default();
    let before = reader.octets();
    for n in 0..ACTS_MAX {
        let started = Instant::now();
        reader.act(&act(n)).await?;
        samples.add(started);
        if watch.wall() > Duration::from_secs(options.seconds) {
            break;
        }
    }
    let wall = watch.wall();
    let mut measured = watch.finish(wall, samples);
    measured.sent = reader.octets() - before;
    Ok(measured)
}

/// Delivers the messages by LMTP to both.
async fn fill(size: usize, corpus: &Arc<Corpus>, servers: &Servers) -> Result<(), Fail> {
    say(&format!("read: delivering {size} messages"));
    let load = |port| Load {
        protocol: Protocol::Lmtp,
        port,
        connections: FILLING,
        from: 10_000_000,
        count: size,
        users: vec![user(size)],
    };
    if let Some(server) = &servers.ours {
        smtp::run(&load(server.lmtp), corpus).await?;
        server.settle().await?;
        let there = Jmap::open(server.http, &user(size)).await?.total().await?;
        say(&format!("read: {there} of {size} are in our inbox"));
    }
    if let Some(peer) = &servers.peer {
        smtp::run(&load(peer.lmtp), corpus).await?;
        peer.settle().await;
    }
    Ok(())
}

async fn memory(size: usize, servers: &Servers, report: &mut Report) {
    say(&format!("memory: at rest for {} s", REST.as_secs()));
    sleep(REST).await;
    report.memory(
        format!("at rest, {size} messages in the largest inbox"),
        servers.ours.as_ref().map(|server| server.tree().memory()),
        servers.peer.as_ref().map(|peer| peer.both().memory()),
    );
}

/// What each client costs that is connected and waits: event sources of ours, IDLE of the peer.
pub async fn waiting_clients(
    options: &Options,
    servers: &Servers,
    report: &mut Report,
) -> Result<(), Fail> {
    say(&format!("push: {} waiting clients", options.waiting));
    let users = ingest::users();
    let user = |n: usize| &users[n % users.len()];
    let mut held = Vec::new();
    let mut ours = None;
    if let Some(server) = &servers.ours {
        let before = server.tree().memory();
        for n in 0..options.waiting {
            held.push(jmap::event_source(server.http, user(n)).await?);
        }
        ours = Some(grown(&server.tree(), before).await);
        held.clear();
    }
    let mut other = None;
    if let Some(peer) = &servers.peer {
        let before = peer.dovecot().memory();
        for n in 0..options.waiting {
            held.push(Imap::open(peer.imap, user(n)).await?.idle().await?);
        }
        other = Some(grown(&peer.dovecot(), before).await);
    }
    report.memory(
        format!("more for {} waiting clients", options.waiting),
        ours,
        other,
    );
    Ok(())
}

async fn grown(tree: &Tree, before: Memory) -> Memory {
    sleep(Duration::from_secs(3)).await;
    let now = tree.memory();
    Memory {
        rss: now.rss.saturating_sub(before.rss),
        pss: now.pss.saturating_sub(before.pss),
        processes: now.processes.saturating_sub(before.processes),
    }
}

//! What a reader does: the first page, one message, a search, a flag; and what clients that only wait cost.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
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
        for plan in plans(corpus) {
            let clients = if plan.clients == 1 {
                String::new()
            } else {
                format!(", {} clients", plan.clients)
            };
            let name = format!("{}{clients}, {size} messages", plan.name);
            say(&format!("read: {name}"));
            let ours = match &servers.ours {
                None => None,
                Some(server) => {
                    let mut readers = Vec::new();
                    for _ in 0..plan.clients {
                        readers.push(Jmap::open(server.http, &user(*size)).await?);
                    }
                    Some(drive(readers, &server.tree(), &plan, options).await?)
                }
            };
            let peer = match &servers.peer {
                None => None,
                Some(peer) => {
                    let mut readers = Vec::new();
                    for _ in 0..plan.clients {
                        readers.push(Imap::open(peer.imap, &user(*size)).await?);
                    }
                    Some(drive(readers, &peer.dovecot(), &plan, options).await?)
                }
            };
            report.reading(name, ours, peer);
        }
    }
    Ok(())
}

/// One measurement of reading.
struct Plan {
    name: &'static str,
    /// So many do it at once.
    clients: usize,
    /// Makes the act from a number that counts up.
    act: Box<dyn Fn(usize) -> Act>,
}

fn plans(corpus: &Corpus) -> Vec<Plan> {
    let pick = |n: usize| Dice::new(n as u64 + 1).below(1000);
    let flag = move |n: usize| Act::Flag(pick(n / 2), n.is_multiple_of(2));
    let words = corpus.words();
    let word = move |n: usize| words[n % words.len()].clone();
    let plan = |name, clients, act| Plan { name, clients, act };
    vec![
        plan("first page", 1, Box::new(|_| Act::FirstPage)),
        plan("first page", 8, Box::new(|_| Act::FirstPage)),
        plan("text of one", 1, Box::new(move |n| Act::Text(pick(n)))),
        plan("whole of one", 1, Box::new(move |n| Act::Whole(pick(n)))),
        plan("search", 1, Box::new(move |n| Act::Search(word(n)))),
        plan("flag", 1, Box::new(flag)),
        plan("flag", 8, Box::new(flag)),
    ]
}

/// The most operations of one measurement: enough for a 99th percentile.
const ACTS_MAX: usize = 5000;

/// The clients do one act after the other until the time is over; the first few warm the caches and don't count.
async fn drive<R: Reader>(
    mut readers: Vec<R>,
    tree: &Tree,
    plan: &Plan,
    options: &Options,
) -> Result<Measured, Fail> {
    let time = Duration::from_secs(options.seconds);
    let warm = Instant::now();
    for n in 0..20 {
        let at = n % readers.len();
        readers[at].act(&(plan.act)(n)).await?;
        if warm.elapsed() > time {
            break;
        }
    }
    let watch = Watch::start(tree);
    let before: u64 = readers.iter().map(Reader::octets).sum();
    let next = Cell::new(0);
    let clients = readers.iter_mut().map(async |reader| {
        let mut samples = Samples::default();
        while next.get() < ACTS_MAX && watch.wall() < time {
            let act = (plan.act)(next.replace(next.get() + 1));
            let started = Instant::now();
            reader.act(&act).await?;
            samples.add(started);
        }
        Ok::<Samples, Fail>(samples)
    });
    let mut samples = Samples::default();
    for each in try_join_all(clients).await? {
        samples.join(each);
    }
    let wall = watch.wall();
    let mut measured = watch.finish(wall, samples);
    measured.sent = readers.iter().map(Reader::octets).sum::<u64>() - before;
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

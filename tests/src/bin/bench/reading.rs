//! What a reader does: the first page, one message, a search, a flag; and what clients that only wait cost.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::corpus::{Corpus, Dice};
use crate::imap::Imap;
use crate::jmap::{self, Jmap};
use crate::measure::{Measured, Samples, Watch};
use crate::options::Options;
use crate::proc::{Memory, Tree};
use crate::report::{Report, Target, ms};
use crate::smtp::{self, Load, Protocol};
use crate::{Fail, Servers, ingest, say, within};

/// Messages on a first page.
pub const PAGE: usize = 50;
/// Connections that fill a mailbox.
const FILLING: usize = 8;
/// How long a message may take to get in while a mailbox is filled.
const SLOWEST: Duration = Duration::from_millis(100);

/// After this the memory of what has begun is as it stays.
const SETTLED: Duration = Duration::from_secs(3);
/// After this a server has given back what earlier work had taken: it would hide what comes after.
pub const RESTED: Duration = Duration::from_secs(25);

const FIRST_PAGE: &str = "first page";
/// Of the first page: wall time of 99 in 100, and CPU in a large mailbox beside a small one.
const PAGE_P99_MS: f64 = 5.0;
const PAGE_GROWTH: f64 = 1.5;
/// CPU of a search.
const SEARCH_MS: f64 = 1.0;
/// Of our processes at rest.
const MEMORY_MB: f64 = 60.0;

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
) {
    let limit = Duration::from_secs(120 + 3 * options.seconds);
    let mut smallest_page = None;
    for size in &options.sizes {
        fill(*size, corpus, servers, report).await;
        memory(*size, options, servers, report).await;
        for plan in plans(corpus) {
            let clients = if plan.clients == 1 {
                String::new()
            } else {
                format!(", {} clients", plan.clients)
            };
            let name = format!("{}{clients}, {size} messages", plan.name);
            say(&format!("read: {name}"));
            let result = within(limit, ours(*size, &plan, servers, options)).await;
            let ours = report.noted(&format!("{name}, ours"), result).flatten();
            let result = within(limit, peer(*size, &plan, servers, options)).await;
            let peer = report.noted(&format!("{name}, peer"), result).flatten();
            let is_page = plan.name == FIRST_PAGE && plan.clients == 1;
            let p99 = ours.map(|ours| ms(ours.p99));
            let cpu = report.work(name, ours, peer, plan.target);
            if let (true, Some(cpu), Some(p99)) = (is_page, cpu, p99) {
                let name = |what: &str| format!("{FIRST_PAGE}, {size} messages: {what}");
                report.number(name("p99"), "ms", p99, Target::AtMost(PAGE_P99_MS));
                let base = *smallest_page.get_or_insert(cpu);
                let target = Target::Times(PAGE_GROWTH, base);
                report.number(name("beside the smallest mailbox"), "CPU ms", cpu, target);
            }
        }
    }
}

async fn ours(
    size: usize,
    plan: &Plan,
    servers: &Servers,
    options: &Options,
) -> Result<Option<Measured>, Fail> {
    let Some(server) = &servers.ours else {
        return Ok(None);
    };
    let mut readers = Vec::new();
    for _ in 0..plan.clients {
        readers.push(Jmap::open(server.http, &user(size)).await?);
    }
    drive(readers, &server.tree(), plan, options)
        .await
        .map(Some)
}

async fn peer(
    size: usize,
    plan: &Plan,
    servers: &Servers,
    options: &Options,
) -> Result<Option<Measured>, Fail> {
    let Some(peer) = servers.peer_with(size) else {
        return Ok(None);
    };
    let mut readers = Vec::new();
    for _ in 0..plan.clients {
        readers.push(Imap::open(peer.imap, &user(size)).await?);
    }
    drive(readers, &peer.dovecot(), plan, options)
        .await
        .map(Some)
}

/// First pages alone, of several servers over one database: eight clients, in turn at each.
pub async fn first_pages(
    ports: &[u16],
    tree: &Tree,
    size: usize,
    options: &Options,
) -> Result<Measured, Fail> {
    let plan = Plan {
        name: FIRST_PAGE,
        clients: 8,
        target: None,
        act: Box::new(|_| Act::FirstPage),
    };
    let mut readers = Vec::new();
    for at in 0..plan.clients {
        readers.push(Jmap::open(ports[at % ports.len()], &user(size)).await?);
    }
    drive(readers, tree, &plan, options).await
}

/// One measurement of reading.
struct Plan {
    name: &'static str,
    /// So many do it at once.
    clients: usize,
    target: Option<Target>,
    /// Makes the act from a number that counts up.
    act: Box<dyn Fn(usize) -> Act>,
}

fn plans(corpus: &Corpus) -> Vec<Plan> {
    let pick = |n: usize| Dice::new(n as u64 + 1).below(1000);
    let flag = move |n: usize| Act::Flag(pick(n / 2), n.is_multiple_of(2));
    let words = corpus.words();
    let word = move |n: usize| words[n % words.len()].clone();
    let plan = |name, clients, target, act| Plan {
        name,
        clients,
        target,
        act,
    };
    let page = || Some(Target::OfPeer(1.0));
    vec![
        plan(FIRST_PAGE, 1, page(), Box::new(|_| Act::FirstPage)),
        plan(FIRST_PAGE, 8, page(), Box::new(|_| Act::FirstPage)),
        plan(
            "text of one",
            1,
            None,
            Box::new(move |n| Act::Text(pick(n))),
        ),
        plan(
            "whole of one",
            1,
            None,
            Box::new(move |n| Act::Whole(pick(n))),
        ),
        plan(
            "search",
            1,
            Some(Target::AtMost(SEARCH_MS)),
            Box::new(move |n| Act::Search(word(n))),
        ),
        plan("flag", 1, None, Box::new(flag)),
        plan("flag", 8, None, Box::new(flag)),
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
pub async fn fill(size: usize, corpus: &Arc<Corpus>, servers: &Servers, report: &mut Report) {
    say(&format!("read: delivering {size} messages"));
    let limit = Duration::from_secs(600) + SLOWEST * size as u32;
    let load = |port| Load {
        protocol: Protocol::Lmtp,
        port,
        connections: FILLING,
        from: 10_000_000,
        count: size,
        users: vec![user(size)],
    };
    if let Some(server) = &servers.ours {
        let filled = within(limit, async {
            smtp::run(&load(server.lmtp), corpus).await?;
            server.settle().await?;
            Jmap::open(server.http, &user(size)).await?.total().await
        });
        match report.noted(&format!("delivering {size} messages to ours"), filled.await) {
            Some(there) if there != size => {
                report.failure(format!("{there} of {size} messages are in our inbox"));
            }
            _ => {}
        }
    }
    if let Some(peer) = servers.peer_with(size) {
        let filled = within(limit, async {
            smtp::run(&load(peer.lmtp), corpus).await?;
            peer.settle().await;
            Ok(())
        });
        report.noted(
            &format!("delivering {size} messages to the peer"),
            filled.await,
        );
    }
}

async fn memory(size: usize, options: &Options, servers: &Servers, report: &mut Report) {
    say(&format!("memory: at rest for {} s", options.rest));
    sleep(Duration::from_secs(options.rest)).await;
    report.memory(
        format!("memory at rest, {size} messages in the largest inbox"),
        servers.ours.as_ref().map(|server| server.tree().memory()),
        servers.peer.as_ref().map(|peer| peer.both().memory()),
        Some(Target::AtMost(MEMORY_MB)),
    );
}

/// What each client costs that is connected and waits: event sources of ours, IDLE of the peer.
pub async fn waiting_clients(options: &Options, servers: &Servers, report: &mut Report) {
    say(&format!("push: {} waiting clients", options.waiting));
    let limit = Duration::from_secs(120) + SLOWEST * options.waiting as u32;
    let mut ours = None;
    if let Some(server) = &servers.ours {
        let open = async |user: &str| jmap::event_source(server.http, user).await;
        let grown = within(limit, grown(&server.tree(), options.waiting, open)).await;
        ours = report.noted("event sources, ours", grown);
    }
    let mut other = None;
    if let Some(peer) = &servers.peer {
        let open = async |user: &str| Imap::open(peer.imap, user).await?.idle().await;
        let grown = within(limit, grown(&peer.dovecot(), options.waiting, open)).await;
        other = report.noted("IDLE, peer", grown);
    }
    report.memory_each(
        format!("memory of each of {} waiting clients", options.waiting),
        options.waiting,
        ours,
        other,
    );
}

/// What so many more clients take, beside one of each account: a first login has a cost of its own.
pub async fn grown(
    tree: &Tree,
    count: usize,
    open: impl AsyncFn(&str) -> Result<TcpStream, Fail>,
) -> Result<Memory, Fail> {
    let users = ingest::users();
    let mut held = Vec::new();
    for user in &users {
        held.push(open(user).await?);
    }
    sleep(RESTED).await;
    let before = tree.memory();
    for n in 0..count {
        held.push(open(&users[n % users.len()]).await?);
    }
    sleep(SETTLED).await;
    let now = tree.memory();
    Ok(Memory {
        rss: now.rss.saturating_sub(before.rss),
        pss: now.pss.saturating_sub(before.pss),
        processes: now.processes.saturating_sub(before.processes),
    })
}

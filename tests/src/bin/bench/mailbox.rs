//! What IMAP's clients do: lists, bodies, searches, flags, new messages; and POP3's, that fetch all.
//!
//! Holds: both servers get the same commands over the same mailboxes; where a command is about many messages, an
//! operation is one message.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::corpus::{Corpus, Dice};
use crate::imap::Imap;
use crate::measure::{Measured, Samples, Watch};
use crate::options::Options;
use crate::proc::Tree;
use crate::report::{Report, Target, mb};
use crate::server::Server;
use crate::{DOMAIN, Fail, PASSWORD, Servers, reading, say, within};

const LIST: &str = "(UID FLAGS ENVELOPE INTERNALDATE RFC822.SIZE BODYSTRUCTURE)";
/// Messages of which bodies are read with one command.
const BODIES: usize = 100;
/// Mailboxes of which the status is asked.
const MAILBOXES: usize = 100;
/// Less growth than this is noise: MB.
const GROWTH_MB: f64 = 16.0;
/// How often it is looked how much memory there is.
const GROWTH_EVERY: Duration = Duration::from_millis(50);

/// What is done again and again, until the time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    ListAll,
    ListPage,
    Bodies,
    /// The same over TLS.
    BodiesTls,
    Login,
    Select,
    Status,
    Search(&'static str),
    Flag,
    Append,
    /// As a client that is used: mostly small commands.
    Mix,
}

const WORKS: [(Work, &str); 13] = [
    (Work::ListAll, "list, all: a message"),
    (Work::ListPage, "list, 50: a message"),
    (Work::Bodies, "BODY.PEEK[]: a message"),
    (Work::BodiesTls, "BODY.PEEK[] over TLS: a message"),
    (Work::Login, "LOGIN, each over a connection of its own"),
    (Work::Select, "SELECT"),
    (Work::Status, "STATUS of 100 mailboxes"),
    (Work::Search("SUBJECT"), "SEARCH SUBJECT"),
    (Work::Search("BODY"), "SEARCH BODY"),
    (Work::Search("TEXT"), "SEARCH TEXT"),
    (Work::Flag, "STORE"),
    (Work::Mix, "a mix"),
    (Work::Append, "APPEND"),
];

pub async fn measure(
    options: &Options,
    corpus: &Arc<Corpus>,
    servers: &Servers,
    report: &mut Report,
) {
    let limit = Duration::from_secs(300 + 3 * options.seconds);
    let mut smallest = [None; 2];
    for size in &options.sizes {
        if !options.does("read") {
            reading::fill(*size, corpus, servers, report).await;
        }
        for (work, name) in WORKS {
            let name = format!("IMAP {name}, {size} messages");
            say(&name);
            let run = |ports: [u16; 2], tree: Tree| {
                let port = ports[usize::from(work == Work::BodiesTls)];
                let job = Job {
                    port,
                    user: reading::user(*size),
                    tree,
                    time: Duration::from_secs(options.seconds),
                };
                within(limit, job.run(work, corpus.clone()))
            };
            let mut ours = None;
            if let Some(server) = &servers.ours {
                let result = run([server.imap, server.imaps], server.tree()).await;
                ours = report.noted(&format!("{name}, ours"), result);
            }
            let mut peer = None;
            if let Some(other) = servers.peer_with(*size) {
                let result = run([other.imap, other.imaps], other.dovecot()).await;
                peer = report.noted(&format!("{name}, peer"), result);
            }
            report.work(name, ours, peer, Some(Target::OfPeer(1.0)));
        }
        if let Some(server) = &servers.ours {
            let all = [("list", LIST), ("BODY.PEEK[]", "BODY.PEEK[]")];
            for (smallest, (which, what)) in smallest.iter_mut().zip(all) {
                let name =
                    format!("IMAP memory more than at rest, {which} of all, {size} messages");
                say(&name);
                let grown = within(limit, growth(server, *size, what)).await;
                if let Some(grown) = report.noted(&name, grown) {
                    let base = *smallest.get_or_insert(grown.max(GROWTH_MB));
                    report.number(name, "MB", grown, Target::Times(1.5, base));
                }
            }
        }
        let name = format!("POP3 RETR of all: a message, {size} messages");
        say(&name);
        let mut ours = None;
        if let Some(server) = &servers.ours {
            let all = within(limit, fetch_all(server.pop3, *size, server.tree())).await;
            ours = report.noted(&format!("{name}, ours"), all);
        }
        let mut peer = None;
        if let Some(other) = servers.peer_with(*size) {
            let all = within(limit, fetch_all(other.pop3, *size, other.dovecot())).await;
            peer = report.noted(&format!("{name}, peer"), all);
        }
        report.work(name, ours, peer, Some(Target::OfPeer(1.0)));
    }
    idle(options, servers, report).await;
}

/// What each client costs that waits for changes of its inbox (RFC 2177).
async fn idle(options: &Options, servers: &Servers, report: &mut Report) {
    say(&format!("IMAP: {} idle clients", options.waiting));
    let limit = Duration::from_secs(300);
    let open = async |port: u16, user: &str| Imap::open(port, user).await?.idle().await;
    let mut ours = None;
    if let Some(server) = &servers.ours {
        let tree = server.tree();
        let grown = reading::grown(&tree, options.waiting, async |user| {
            open(server.imap, user).await
        });
        ours = report.noted("IDLE, ours", within(limit, grown).await);
    }
    let mut peer = None;
    if let Some(other) = &servers.peer {
        let tree = other.dovecot();
        let grown = reading::grown(&tree, options.waiting, async |user| {
            open(other.imap, user).await
        });
        peer = report.noted("IDLE, peer", within(limit, grown).await);
    }
    let name = format!("IMAP: memory of each of {} idle clients", options.waiting);
    report.memory_each(name, options.waiting, ours, peer);
}

/// One measurement of one server.
struct Job {
    port: u16,
    user: String,
    tree: Tree,
    time: Duration,
}

impl Job {
    async fn run(self, work: Work, corpus: Arc<Corpus>) -> Result<Measured, Fail> {
        match work {
            Work::Login => self.log_in().await,
            Work::BodiesTls => {
                let imap = Imap::open_tls(self.port, &self.user).await?;
                self.work(imap, work, corpus).await
            }
            _ => {
                let imap = Imap::open(self.port, &self.user).await?;
                self.work(imap, work, corpus).await
            }
        }
    }

    /// One login after the other, with the same password.
    async fn log_in(self) -> Result<Measured, Fail> {
        Imap::login(self.port, &self.user).await?.logout().await?;
        let watch = Watch::start(&self.tree);
        let mut samples = Samples::default();
        while watch.wall() < self.time {
            let started = Instant::now();
            Imap::login(self.port, &self.user).await?.logout().await?;
            samples.add(started);
        }
        // A process that has ended counts when its parent has reaped it.
        sleep(Duration::from_millis(200)).await;
        let wall = watch.wall();
        Ok(watch.finish(wall, samples))
    }

    async fn work<S: AsyncRead + AsyncWrite + Unpin>(
        self,
        mut imap: Imap<S>,
        work: Work,
        corpus: Arc<Corpus>,
    ) -> Result<Measured, Fail> {
        if work == Work::Status {
            for n in 0..MAILBOXES {
                // It may be there from the mailbox before.
                let _ = imap.command(&format!("CREATE box{n}")).await;
            }
        }
        let words = corpus.words();
        let mut dice = Dice::new(7);
        // The first warms the caches, and doesn't count.
        once(&mut imap, work, &mut dice, &words, &corpus).await?;
        let before = imap.octets;
        let watch = Watch::start(&self.tree);
        let mut samples = Samples::default();
        let mut messages = 0;
        while watch.wall() < self.time {
            let started = Instant::now();
            messages += once(&mut imap, work, &mut dice, &words, &corpus).await?;
            samples.add(started);
        }
        let wall = watch.wall();
        let mut measured = watch.finish(wall, samples);
        measured.operations = messages as u64;
        measured.sent = imap.octets - before;
        Ok(measured)
    }
}

/// What our server's resident memory grows by, at the most, while all messages are fetched with one command: MB. It has the mailbox's list in memory
/// before.
async fn growth(server: &Server, size: usize, what: &str) -> Result<f64, Fail> {
    // What earlier work had taken would hide it.
    sleep(reading::RESTED).await;
    let mut imap = Imap::open(server.imap, &reading::user(size)).await?;
    imap.command("FETCH 1:50 (UID FLAGS)").await?;
    let tree = server.tree();
    let before = tree.memory().rss;
    let sampled = tree.clone();
    let most = Arc::new(AtomicU64::new(before));
    let into = most.clone();
    let sampler = tokio::spawn(async move {
        loop {
            into.fetch_max(sampled.memory().rss, Ordering::Relaxed);
            sleep(GROWTH_EVERY).await;
        }
    });
    let done = imap.command(&format!("FETCH 1:* {what}")).await;
    sampler.abort();
    done?;
    Ok(mb(most.load(Ordering::Relaxed) - before))
}

/// Does it once; returns how many operations that was.
async fn once<S: AsyncRead + AsyncWrite + Unpin>(
    imap: &mut Imap<S>,
    work: Work,
    dice: &mut Dice,
    words: &[String],
    corpus: &Corpus,
) -> Result<usize, Fail> {
    let exists = imap.exists;
    let from = |dice: &mut Dice, count: usize| 1 + dice.below(exists.saturating_sub(count).max(1));
    let fetch = |from: usize, count: usize, what: &str| {
        let to = (from + count - 1).min(exists);
        (format!("FETCH {from}:{to} {what}"), to + 1 - from)
    };
    let word = words[dice.below(words.len())].clone();
    let (command, count) = match work {
        Work::ListAll => fetch(1, exists, LIST),
        Work::ListPage => fetch(from(dice, reading::PAGE), reading::PAGE, LIST),
        Work::Bodies | Work::BodiesTls => fetch(from(dice, BODIES), BODIES, "BODY.PEEK[]"),
        // Not over a connection that is there.
        Work::Login => ("NOOP".into(), 1),
        Work::Select => ("SELECT INBOX".into(), 1),
        Work::Status => {
            let answer = "LIST \"\" \"box*\" RETURN (STATUS (MESSAGES UNSEEN UIDNEXT))";
            (answer.into(), 1)
        }
        Work::Search(key) => (format!("UID SEARCH {key} {word}"), 1),
        Work::Flag => {
            let at = from(dice, 1);
            let sign = if dice.below(2) == 0 { '+' } else { '-' };
            (format!("STORE {at} {sign}FLAGS.SILENT (\\Flagged)"), 1)
        }
        Work::Append => {
            let mut message = Vec::new();
            corpus.write(20_000_000 + dice.below(1_000_000), &mut message);
            // As it is sent: without SMTP's dots and end.
            let message = String::from_utf8_lossy(&message).replace("\r\n..", "\r\n.");
            let message = message.strip_suffix(".\r\n").unwrap_or(&message).to_owned();
            imap.append(message.as_bytes()).await?;
            return Ok(1);
        }
        Work::Mix => match dice.below(10) {
            0..=2 => (fetch(from(dice, reading::PAGE), reading::PAGE, LIST).0, 1),
            3..=5 => (fetch(from(dice, 1), 1, "(UID FLAGS BODY.PEEK[])").0, 1),
            6..=7 => (format!("STORE {} +FLAGS (\\Seen)", from(dice, 1)), 1),
            8 => (format!("UID SEARCH SUBJECT {word}"), 1),
            _ => ("NOOP".into(), 1),
        },
    };
    imap.command(&command).await?;
    Ok(count)
}

/// A client that takes all messages, and leaves them there.
async fn fetch_all(port: u16, size: usize, tree: Tree) -> Result<Measured, Fail> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let mut pop = Pop {
        stream: BufReader::with_capacity(1 << 16, stream),
        line: Vec::new(),
        octets: 0,
    };
    pop.line().await?;
    let watch = Watch::start(&tree);
    let mut samples = Samples::default();
    pop.command(&format!("USER {}@{DOMAIN}", reading::user(size)))
        .await?;
    pop.command(&format!("PASS {PASSWORD}")).await?;
    let stat = pop.command("STAT").await?;
    let count: usize = stat.split(' ').nth(1).ok_or("no STAT")?.parse()?;
    for n in 1..=count {
        let started = Instant::now();
        pop.command(&format!("RETR {n}")).await?;
        pop.skip_lines().await?;
        samples.add(started);
    }
    let wall = watch.wall();
    // Before QUIT: what a process has used that ends is known only once its parent has reaped it.
    let mut measured = watch.finish(wall, samples);
    pop.command("QUIT").await?;
    measured.sent = pop.octets;
    Ok(measured)
}

/// A client of POP3 (RFC 1939).
struct Pop {
    stream: BufReader<TcpStream>,
    line: Vec<u8>,
    octets: u64,
}

impl Pop {
    async fn line(&mut self) -> Result<(), Fail> {
        self.line.clear();
        let octets = self.stream.read_until(b'\n', &mut self.line).await?;
        self.octets += octets as u64;
        match octets {
            0 => Err("the server closed the connection".into()),
            _ => Ok(()),
        }
    }

    async fn command(&mut self, command: &str) -> Result<String, Fail> {
        self.stream
            .write_all(format!("{command}\r\n").as_bytes())
            .await?;
        self.line().await?;
        let line = String::from_utf8_lossy(&self.line).trim_end().to_owned();
        match line.starts_with("+OK") {
            true => Ok(line),
            false => Err(format!("{command}: {line}").into()),
        }
    }

    async fn skip_lines(&mut self) -> Result<(), Fail> {
        while self.line != b".\r\n" {
            self.line().await?;
        }
        Ok(())
    }
}

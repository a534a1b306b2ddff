//! The benchmark: the server beside Debian's Postfix and Dovecot, on the same machine, the same mails, in the same run.
//! Holds: one server works at a time and the other is idle; what counts is the server's CPU over its whole process tree, to
//! the point where its deferred work (index, queue) is done; both sync what they acknowledge; the load client is the same
//! for both and its cost is in no number.
//! Other half: `cargo xtask bench` builds the binaries, installs the peers and calls this.

mod corpus;
mod http;
mod imap;
mod ingest;
mod jmap;
mod login;
mod mailbox;
mod measure;
mod options;
mod peer;
mod proc;
mod reading;
mod report;
mod server;
mod shared;
mod smtp;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use corpus::Corpus;
use options::Options;
use peer::Peer;
use report::Report;
use server::Server;

/// Whatever stops the benchmark, as a sentence.
pub type Fail = Box<dyn std::error::Error + Send + Sync>;

/// The domain of every account, on both servers.
pub const DOMAIN: &str = "example.org";
/// The password of every account, on both servers.
pub const PASSWORD: &str = "bench-6fKq2-vT9xw";

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(text) => {
            eprintln!("{text}");
            return ExitCode::from(2);
        }
    };
    match run(&options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: failed: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<(), Fail> {
    let corpus = Arc::new(Corpus::load()?);
    say(&format!(
        "{} mails, {} octets on average, from {}",
        corpus.len(),
        corpus.mean_octets(),
        corpus.source()
    ));
    let folder = tempfile::Builder::new()
        .prefix("posthorn-bench-")
        .tempdir()?;
    if options.engines || options.nodes {
        if options.engines {
            println!(
                "{}",
                shared::engines(options, &corpus, folder.path()).await?
            );
        }
        if options.nodes {
            println!("{}", shared::nodes(options, &corpus, folder.path()).await?);
        }
        return Ok(());
    }
    let mut servers = Servers {
        ours: None,
        peer: None,
        peer_max: options.peer_max,
    };
    if options.ours {
        let mut users = ingest::users();
        users.extend(options.sizes.iter().map(|size| reading::user(*size)));
        servers.ours = Some(Server::start(&folder.path().join("ours"), &users).await?);
    }
    if options.peer {
        servers.peer = Some(Peer::start(&folder.path().join("peer"), options.peer_format).await?);
    }
    let mut report = Report::default();
    measure_all(options, &corpus, &servers, &mut report).await;
    println!("{report}");
    servers.stop().await;
    if options.keep {
        say(&format!("kept {}", folder.keep().display()));
    }
    match report.has_failures() {
        true => Err("not everything could be measured".into()),
        false => Ok(()),
    }
}

/// What is measured; each may be left out.
pub struct Servers {
    pub ours: Option<Server>,
    pub peer: Option<Peer>,
    /// Messages in the largest mailbox that the peer has.
    peer_max: usize,
}

impl Servers {
    /// The peer, when it has the mailbox of this size.
    pub fn peer_with(&self, size: usize) -> Option<&Peer> {
        self.peer.as_ref().filter(|_| size <= self.peer_max)
    }

    async fn stop(self) {
        if let Some(ours) = self.ours {
            ours.stop().await;
        }
        if let Some(peer) = self.peer {
            peer.stop().await;
        }
    }
}

/// A part that fails costs no other one.
async fn measure_all(
    options: &Options,
    corpus: &Arc<Corpus>,
    servers: &Servers,
    report: &mut Report,
) {
    if options.does("ingest") {
        ingest::measure(options, corpus, servers, report).await;
    }
    if options.does("read") {
        reading::measure(options, corpus, servers, report).await;
    }
    if options.does("imap") {
        mailbox::measure(options, corpus, servers, report).await;
    }
    if options.does("push") {
        reading::waiting_clients(options, servers, report).await;
    }
    if options.does("login") {
        login::storm(options, servers, report).await;
    }
}

/// Bounds a step: what hangs is a failure like any other.
pub async fn within<T>(
    limit: Duration,
    step: impl Future<Output = Result<T, Fail>>,
) -> Result<T, Fail> {
    match tokio::time::timeout(limit, step).await {
        Ok(result) => result,
        Err(_) => Err(format!("not done within {} s", limit.as_secs()).into()),
    }
}

/// Progress, on stderr: stdout has the tables alone.
pub fn say(what: &str) {
    eprintln!("bench: {what}");
}

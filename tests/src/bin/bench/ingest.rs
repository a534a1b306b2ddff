//! How many messages come in: SMTP and LMTP, over 1, 8 and 32 connections.
//! Holds: our CPU counts until the search index has caught up, the peer's until its queue is empty (it has no index); both have
//! worked for a while before, since a server's first minute isn't what its years are like.

use std::sync::Arc;
use std::time::Duration;

use crate::corpus::Corpus;
use crate::measure::{Measured, Watch};
use crate::options::Options;
use crate::proc::Tree;
use crate::report::{Report, Target, mb};
use crate::smtp::{self, Load, Protocol};
use crate::{Fail, Servers, say, within};

const CONNECTIONS: [usize; 3] = [1, 8, 32];
const WARM_UP_CONNECTIONS: usize = 8;
const USERS: usize = 10;

/// The accounts the messages go to.
pub fn users() -> Vec<String> {
    (0..USERS).map(|n| format!("ingest{n}")).collect()
}

/// Our CPU for a message: of Dovecot's LMTP alone, and of Postfix with Dovecot behind it.
const OF_LMTP: f64 = 0.25;
const OF_SMTP: f64 = 0.1;
/// Of our processes, while it comes in.
const MEMORY_MB: f64 = 200.0;
/// No server takes longer for a message, with much to spare.
const SLOWEST: Duration = Duration::from_millis(300);

pub async fn measure(
    options: &Options,
    corpus: &Arc<Corpus>,
    servers: &Servers,
    report: &mut Report,
) {
    // Every measurement sends mails that no other has sent, the same to both servers.
    let mut from = 0;
    let mut memory_max = 0;
    let limit = Duration::from_secs(300) + SLOWEST * options.messages as u32;
    let warm_up = |port| Load {
        protocol: Protocol::Lmtp,
        port,
        connections: WARM_UP_CONNECTIONS,
        from: 0,
        count: options.messages,
        users: users(),
    };
    say("ingest: both servers get warm");
    let name = "LMTP, not measured";
    let result = within(limit, ours(servers, corpus, warm_up)).await;
    report.noted(&format!("{name}, ours"), result);
    let result = within(limit, peer(servers, corpus, warm_up)).await;
    report.noted(&format!("{name}, peer"), result);
    from += options.messages;
    for protocol in [Protocol::Lmtp, Protocol::Smtp] {
        for connections in CONNECTIONS {
            let load = |port| Load {
                protocol,
                port,
                connections,
                from,
                count: options.messages,
                users: users(),
            };
            let name = format!("{}, {connections} connections", protocol.name());
            say(&format!("ingest: {name}"));
            let result = within(limit, ours(servers, corpus, load)).await;
            let ours = report.noted(&format!("{name}, ours"), result).flatten();
            let result = within(limit, peer(servers, corpus, load)).await;
            let peer = report.noted(&format!("{name}, peer"), result).flatten();
            memory_max = memory_max.max(ours.map_or(0, |ours| ours.memory_max));
            let share = match protocol {
                Protocol::Lmtp => OF_LMTP,
                Protocol::Smtp => OF_SMTP,
            };
            report.work(name, ours, peer, Some(Target::OfPeer(share)));
            from += options.messages;
        }
    }
    if memory_max > 0 {
        let name = "memory, most during ingest".to_owned();
        report.number(name, "MB", mb(memory_max), Target::AtMost(MEMORY_MB));
    }
}

async fn ours(
    servers: &Servers,
    corpus: &Arc<Corpus>,
    load: impl Fn(u16) -> Load,
) -> Result<Option<Measured>, Fail> {
    let Some(server) = &servers.ours else {
        return Ok(None);
    };
    let port = match load(0).protocol {
        Protocol::Smtp => server.smtp,
        Protocol::Lmtp => server.lmtp,
    };
    let watch = Watch::start(&server.tree());
    let samples = smtp::run(&load(port), corpus).await?;
    let wall = watch.wall();
    server.settle().await?;
    Ok(Some(watch.finish(wall, samples)))
}

async fn peer(
    servers: &Servers,
    corpus: &Arc<Corpus>,
    load: impl Fn(u16) -> Load,
) -> Result<Option<Measured>, Fail> {
    let Some(peer) = &servers.peer else {
        return Ok(None);
    };
    let (port, tree): (u16, Tree) = match (load(0).protocol, &peer.postfix) {
        (Protocol::Lmtp, _) => (peer.lmtp, peer.dovecot()),
        (Protocol::Smtp, Some(postfix)) => (postfix.smtp, peer.both()),
        (Protocol::Smtp, None) => return Ok(None),
    };
    let watch = Watch::start(&tree);
    let samples = smtp::run(&load(port), corpus).await?;
    // Postfix acknowledges when the message is queued; it has arrived when it is delivered.
    peer.delivered().await;
    let wall = watch.wall();
    peer.settle().await;
    Ok(Some(watch.finish(wall, samples)))
}

//! What it costs to take a message in: CPU and time a message, without any protocol.
//!
//! `cargo run --release -p jmap-core --example ingest_bench -- FOLDER_OF_MAILS [TASKS]`

use std::{path::Path, sync::Arc, time::Instant};

use bytes::Bytes;
use jmap_core::{
    Caller, Core, Limits, Parts, auth::Secret, clock::SystemClock, directory::NewAccount,
    inproc::deliver::Inbound, rng::SystemRng,
};
use store::{
    engine::{RocksEngine, RocksOptions},
    search::{SearchIndex, SearchOptions},
};

/// User and system time of this process, milliseconds.
fn cpu_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |at: usize| {
        fields
            .get(at)
            .and_then(|f| f.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    (ticks(11) + ticks(12)) * 10.0
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap_or_default();
    line.split_whitespace()
        .nth(1)
        .and_then(|n| n.parse::<f64>().ok())
        .unwrap_or(0.0)
        / 1024.0
}

fn mails(folder: &Path) -> Vec<Bytes> {
    let mut mails = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            mails.extend(self::mails(&path));
        } else if let Ok(octets) = std::fs::read(&path) {
            mails.push(octets.into());
        }
    }
    mails
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("a folder of mails is wanted")?;
    let tasks: usize = arguments.next().map_or(Ok(8), |n| n.parse())?;
    let mails = Arc::new(mails(Path::new(&folder)));
    let data = tempfile::tempdir()?;
    let engine = RocksEngine::open(data.path().join("db"), &RocksOptions::default())?;
    let search = SearchIndex::open(&data.path().join("search"), &SearchOptions::default())?;
    let core = Core::open(Parts {
        engine,
        clock: Arc::new(SystemClock),
        rng: Arc::new(SystemRng),
        limits: Limits::default(),
        hostname: "bench.example".into(),
        search: Arc::new(search),
        push: Default::default(),
    })
    .await?;
    let server = Caller::server();
    core.add_domain(&server, "example.org").await?;
    let password = Secret::new("correct horse battery".to_owned());
    core.add_account(
        &server,
        NewAccount::person("alice@example.org", Some(password)),
    )
    .await?;
    let recipient = core.resolve_recipient("alice@example.org").await?;
    let (began, cpu) = (Instant::now(), cpu_ms());
    let mut workers = Vec::new();
    for worker in 0..tasks {
        let (core, mails, recipient) = (core.clone(), mails.clone(), recipient.clone());
        workers.push(tokio::spawn(async move {
            for message in mails.iter().skip(worker).step_by(tasks) {
                let inbound = Inbound {
                    mail_from: None,
                    recipients: vec![recipient.clone()],
                    message: message.clone(),
                    peer: None,
                    is_junk: false,
                    answers_each: false,
                    arrival: Default::default(),
                };
                for outcome in core.deliver(inbound).await {
                    outcome.expect("a delivery");
                }
            }
        }));
    }
    for worker in workers {
        worker.await?;
    }
    let count = mails.len() as f64;
    let stored = cpu_ms();
    println!(
        "{count} messages, {tasks} tasks: {:.3} ms CPU and {:.3} ms a message, {:.0} MiB resident",
        (stored - cpu) / count,
        began.elapsed().as_secs_f64() * 1000.0 / count,
        resident_mib(),
    );
    let indexing = tokio::spawn({
        let core = core.clone();
        async move { core.run_indexing().await }
    });
    while core.search_pending() > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    println!(
        "indexing: {:.3} ms CPU a message, {:.0} MiB resident",
        (cpu_ms() - stored) / count,
        resident_mib()
    );
    indexing.abort();
    Ok(())
}

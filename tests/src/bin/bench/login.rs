//! A login storm: so many clients at once, each with another wrong password.
//! Holds: it asks for what costs most, the hash of a password that nobody has given before; what hashing may take in
//! memory, and how many wait for it, is the server's to bound.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::http::Http;
use crate::measure::{Samples, Watch};
use crate::options::Options;
use crate::report::{Report, Target, mb};
use crate::{DOMAIN, Fail, Servers, ingest, say, within};

/// Of our processes, as under any load.
const MEMORY_MB: f64 = 200.0;
const LIMIT: Duration = Duration::from_secs(300);

pub async fn storm(options: &Options, servers: &Servers, report: &mut Report) {
    let Some(server) = &servers.ours else {
        return;
    };
    let clients = options.waiting;
    say(&format!("login: {clients} wrong passwords at once"));
    let watch = Watch::start(&server.tree());
    let done = within(LIMIT, guess(server.http, clients)).await;
    let Some(samples) = report.noted("login storm", done) else {
        return;
    };
    let wall = watch.wall();
    let measured = watch.finish(wall, samples);
    report.work(
        format!("login storm, {clients} wrong passwords at once"),
        Some(measured),
        None,
        None,
    );
    let name = "memory, most during the login storm".to_owned();
    let target = Target::AtMost(MEMORY_MB);
    report.number(name, "MB", mb(measured.memory_max), target);
}

async fn guess(port: u16, clients: usize) -> Result<Samples, Fail> {
    let users = ingest::users();
    let start = Arc::new(Barrier::new(clients));
    let mut tasks = JoinSet::new();
    for n in 0..clients {
        let login = format!("{}@{DOMAIN}:wrong-{n}", users[n % users.len()]);
        let mut http = Http::open(port, &format!("Basic {}", STANDARD.encode(login))).await?;
        let start = start.clone();
        tasks.spawn(async move {
            start.wait().await;
            let started = Instant::now();
            let answer = http.get("/jmap/session").await?;
            match answer.status {
                // Wrong, or tried too often.
                401 | 429 | 503 => {
                    let mut samples = Samples::default();
                    samples.add(started);
                    Ok::<Samples, Fail>(samples)
                }
                status => Err(format!("a wrong password is answered by {status}").into()),
            }
        });
    }
    let mut samples = Samples::default();
    while let Some(each) = tasks.join_next().await {
        samples.join(each??);
    }
    Ok(samples)
}

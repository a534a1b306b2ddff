//! Several nodes over one PostgreSQL and one object store, under mixed load, while nodes, database and object store are killed, frozen and
//! cut off at random.
//!
//! Holds: what the troubles are and when, and what each client does, comes from the seed (what meets what does not: processes are real).
//! At the end, everything that was acknowledged is there, once, to its last octet; what wasn't is there at most once; all nodes show
//! the same.
//! Other half: `cargo xtask chaos` runs it for long, `tests/chaos.rs` for short.

mod client;
mod model;
mod site;
mod trouble;
mod verdict;
mod work;

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use self::{
    model::Model,
    site::Site,
    trouble::Troubles,
    work::{Context, Worker},
};
use crate::Dice;

/// Accounts that mail comes to, each with clients of IMAP and JMAP of its own.
pub const ACCOUNTS: [&str; 4] = ["alice", "bob", "carol", "dan"];

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub duration: Duration,
    pub nodes: usize,
    /// The program `objects`, which stands in for an object store.
    pub objects: PathBuf,
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Report {
    pub seed: u64,
    pub duration: Duration,
    /// By kind of operation: acknowledged, refused, without an answer.
    pub operations: Vec<(&'static str, [u64; 3])>,
    /// By kind of trouble.
    pub troubles: Vec<(&'static str, u64)>,
    /// From the moment a node went to the moment another one took over.
    pub take_overs: Vec<Duration>,
    /// The longest time in which nothing was acknowledged to anybody.
    pub longest_pause: Duration,
    pub messages: usize,
    /// Messages that were read whole, at all nodes together.
    pub read: usize,
    /// In the object store.
    pub objects: usize,
    /// What must not be.
    pub violations: Vec<String>,
}

/// Different violations that are shown; more are counted.
const SHOWN_MAX: usize = 40;

/// Runs a plan to its end. Sentences of progress go to `say`.
pub fn run(plan: &Plan, say: &(dyn Fn(&str) + Sync)) -> Report {
    say(&format!(
        "seed {}: {} nodes for {} s",
        plan.seed,
        plan.nodes,
        plan.duration.as_secs()
    ));
    let mut site = Site::start(plan.nodes, &plan.objects);
    let model = Arc::new(Model::default());
    let context = Arc::new(Context::prepare(&site, &model, plan.seed));
    say("the servers run");
    let is_over = AtomicBool::new(false);
    let began = Instant::now();
    let mut troubles = Troubles::new(plan.seed);
    let mut workers = Worker::all(&context);
    thread::scope(|scope| {
        for worker in &mut workers {
            let is_over = &is_over;
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    worker.step();
                }
            });
        }
        // Also when it panics: the clients would go on for ever.
        let _over = Over(&is_over);
        troubles.run(&mut site, &context, plan.duration, say);
    });
    let duration = began.elapsed();
    say("everything runs again; comparing");
    let (read, violations) = verdict::verdict(&site, &context, workers, say);
    if !violations.is_empty() {
        keep_logs(&site, say);
    }
    Report {
        seed: plan.seed,
        duration,
        operations: context.counts(),
        troubles: troubles.counts(),
        take_overs: troubles.take_overs.clone(),
        longest_pause: troubles.longest_pause,
        messages: model.count(),
        read,
        objects: site.objects.objects().len(),
        violations,
    }
}

/// Says when it goes that it is over.
struct Over<'o>(&'o AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Of a run in which something was wrong, what the servers have said.
fn keep_logs(site: &Site, say: &(dyn Fn(&str) + Sync)) {
    let nodes = site.nodes.iter().enumerate();
    let mut logs: Vec<(String, PathBuf)> = nodes
        .map(|(node, server)| (site::name(node), server.home.log_file()))
        .collect();
    logs.push(("objects".to_owned(), site.objects.log_file()));
    for (name, log) in logs {
        let file = format!("chaos-{}-{name}.log", std::process::id());
        let kept = std::env::temp_dir().join(file);
        match std::fs::copy(log, &kept) {
            Ok(_) => say(&format!("kept {}", kept.display())),
            Err(error) => say(&format!("{}: {error}", kept.display())),
        }
    }
}

/// Dice of one of many, from the seed of all.
fn dice(seed: u64, who: u64) -> Dice {
    let mut dice = Dice(seed ^ who.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    dice.next_u64();
    dice
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}, {} s", self.seed, self.duration.as_secs())?;
        writeln!(
            f,
            "{:<24} {:>12} {:>8} {:>10}",
            "operation", "acknowledged", "refused", "no answer"
        )?;
        for (name, [done, refused, unknown]) in &self.operations {
            writeln!(f, "{name:<24} {done:>12} {refused:>8} {unknown:>10}")?;
        }
        for (name, count) in &self.troubles {
            writeln!(f, "{name:<40} {count:>6}")?;
        }
        let seconds = |time: &Duration| format!("{:.1}", time.as_secs_f64());
        let times: Vec<String> = self.take_overs.iter().map(seconds).collect();
        writeln!(f, "taken over after (s): {}", times.join(" "))?;
        let pause = seconds(&self.longest_pause);
        writeln!(f, "longest time without an acknowledgement: {pause} s")?;
        writeln!(
            f,
            "{} messages compared, {} read whole, {} objects",
            self.messages, self.read, self.objects
        )?;
        let mut counted: BTreeMap<&str, u64> = BTreeMap::new();
        for violation in &self.violations {
            *counted.entry(violation).or_default() += 1;
        }
        for (violation, count) in counted.iter().take(SHOWN_MAX) {
            writeln!(f, "VIOLATION ({count}): {violation}")?;
        }
        match self.violations.len() {
            0 => write!(f, "nothing was lost, nothing was doubled, all nodes agree"),
            count => write!(f, "{count} violations; seed {}", self.seed),
        }
    }
}

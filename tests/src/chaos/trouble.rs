//! What goes wrong: which trouble, when, and for how long, by seed.
//!
//! Holds: when it returns, everything runs again.

use std::{
    collections::BTreeMap,
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

use super::{
    dice,
    site::{DEAD_AFTER_SECONDS, Site, name},
    work::Context,
};
use crate::Dice;

const TICK: Duration = Duration::from_millis(100);
/// Between the beginnings of two troubles.
const PAUSE_MS: (usize, usize) = (800, 3500);
/// How long a short trouble lasts, and one that others have to notice.
const SHORT_MS: (usize, usize) = (100, 2500);
const LONG_MS: (usize, usize) = (7000, 13_000);
/// The database and the object store are away for no longer than the nodes wait for them, most of the time.
const SERVICE_MS: (usize, usize) = (100, 4000);
const SERVICE_LONG_MS: (usize, usize) = (7000, 9000);
/// What stands in a log when another node is taken for dead.
const TAKEN_OVER: &str = "a node is dead";
/// Half of the database's connections.
const CUT: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE application_name = 'posthorn' AND random() < 0.5";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    Kill,
    KillForLong,
    Freeze,
    FreezeForLong,
    Stop,
    KillDatabase,
    FreezeDatabase,
    CutConnections,
    KillObjects,
    FreezeObjects,
}

/// What has one trouble at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Node(usize),
    Database,
    Objects,
}

impl Trouble {
    fn subject(self, node: usize) -> Subject {
        match self {
            Trouble::Kill
            | Trouble::KillForLong
            | Trouble::Freeze
            | Trouble::FreezeForLong
            | Trouble::Stop => Subject::Node(node),
            Trouble::KillDatabase | Trouble::FreezeDatabase | Trouble::CutConnections => {
                Subject::Database
            }
            Trouble::KillObjects | Trouble::FreezeObjects => Subject::Objects,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Trouble::Kill => "a node was killed",
            Trouble::KillForLong => "a node was killed, and taken for dead",
            Trouble::Freeze => "a node was frozen",
            Trouble::FreezeForLong => "a node was frozen, and taken for dead",
            Trouble::Stop => "a node was told to stop",
            Trouble::KillDatabase => "the database was killed",
            Trouble::FreezeDatabase => "the database was frozen",
            Trouble::CutConnections => "connections to the database were cut",
            Trouble::KillObjects => "the object store was killed",
            Trouble::FreezeObjects => "the object store was frozen",
        }
    }
}

/// By weight.
const TROUBLES: [Trouble; 15] = [
    Trouble::Kill,
    Trouble::Kill,
    Trouble::KillForLong,
    Trouble::KillForLong,
    Trouble::Freeze,
    Trouble::FreezeForLong,
    Trouble::Stop,
    Trouble::KillDatabase,
    Trouble::KillDatabase,
    Trouble::FreezeDatabase,
    Trouble::CutConnections,
    Trouble::CutConnections,
    Trouble::KillObjects,
    Trouble::KillObjects,
    Trouble::FreezeObjects,
];

/// What is undone at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Undo {
    Start(usize),
    Thaw(usize),
    StartDatabase,
    ThawDatabase,
    StartObjects,
    ThawObjects,
}

impl Undo {
    fn subject(self) -> Subject {
        match self {
            Undo::Start(node) | Undo::Thaw(node) => Subject::Node(node),
            Undo::StartDatabase | Undo::ThawDatabase => Subject::Database,
            Undo::StartObjects | Undo::ThawObjects => Subject::Objects,
        }
    }
}

#[derive(Debug)]
pub struct Troubles {
    dice: Dice,
    counts: BTreeMap<Trouble, u64>,
    /// A node that ended by itself, as it does when it can't begin; whoever supervises it starts it again.
    ended: u64,
    undo: Vec<(Instant, Undo)>,
    /// Nodes that others are to take for dead: since when, and how long the others' logs were.
    watched: Vec<(usize, Instant, Vec<u64>)>,
    pub take_overs: Vec<Duration>,
    pub longest_pause: Duration,
}

impl Troubles {
    pub fn new(seed: u64) -> Troubles {
        Troubles {
            dice: dice(seed, 0),
            counts: BTreeMap::new(),
            ended: 0,
            undo: Vec::new(),
            watched: Vec::new(),
            take_overs: Vec::new(),
            longest_pause: Duration::ZERO,
        }
    }

    pub fn counts(&self) -> Vec<(&'static str, u64)> {
        let counts = self.counts.iter().map(|(of, count)| (of.name(), *count));
        counts
            .chain([("a node ended by itself", self.ended)])
            .collect()
    }

    pub fn run(
        &mut self,
        site: &mut Site,
        context: &Context,
        duration: Duration,
        say: &(dyn Fn(&str) + Sync),
    ) {
        let began = Instant::now();
        let mut next = began + self.some((1000, 2000));
        let mut minute = 1;
        while began.elapsed() < duration {
            sleep(TICK);
            self.longest_pause = self.longest_pause.max(context.pause());
            self.undo_what_is_due(site);
            self.watch(site);
            self.start_what_has_ended(site, say);
            if Instant::now() >= next {
                self.make(site, say);
                next = Instant::now() + self.some(PAUSE_MS);
            }
            if began.elapsed().as_secs() >= minute * 60 {
                let done: u64 = context.counts().iter().map(|(_, [done, ..])| done).sum();
                say(&format!("{minute} min, {done} operations acknowledged"));
                minute += 1;
            }
        }
        self.end(site);
    }

    fn some(&mut self, (least, most): (usize, usize)) -> Duration {
        Duration::from_millis((least + self.dice.below(most - least)) as u64)
    }

    fn is_troubled(&self, subject: Subject) -> bool {
        let mut undo = self.undo.iter();
        undo.any(|(_, undo)| undo.subject() == subject)
    }

    /// Makes one trouble, unless what it is about has one already.
    fn make(&mut self, site: &mut Site, say: &(dyn Fn(&str) + Sync)) {
        let trouble = *self.dice.one_of(&TROUBLES);
        let node = self.dice.below(site.nodes.len());
        let subject = trouble.subject(node);
        if self.is_troubled(subject) {
            return;
        }
        let time = match trouble {
            Trouble::KillForLong | Trouble::FreezeForLong => self.some(LONG_MS),
            Trouble::KillDatabase
            | Trouble::FreezeDatabase
            | Trouble::KillObjects
            | Trouble::FreezeObjects => match self.dice.below(4) {
                0 => self.some(SERVICE_LONG_MS),
                _ => self.some(SERVICE_MS),
            },
            _ => self.some(SHORT_MS),
        };
        *self.counts.entry(trouble).or_default() += 1;
        let on = match subject {
            Subject::Node(node) => format!(" ({})", name(node)),
            Subject::Database | Subject::Objects => String::new(),
        };
        say(&format!(
            "{}{on}, {:.1} s",
            trouble.name(),
            time.as_secs_f64()
        ));
        if matches!(trouble, Trouble::KillForLong | Trouble::FreezeForLong) {
            self.watched.push((node, Instant::now(), log_lengths(site)));
        }
        let undo = match trouble {
            Trouble::Kill | Trouble::KillForLong => {
                site.nodes[node].kill();
                Undo::Start(node)
            }
            Trouble::Stop => {
                // It takes its time; meanwhile the others go on.
                site.nodes[node].signal("TERM");
                Undo::Start(node)
            }
            Trouble::Freeze | Trouble::FreezeForLong => {
                site.nodes[node].signal("STOP");
                Undo::Thaw(node)
            }
            Trouble::KillDatabase => {
                site.database.kill();
                Undo::StartDatabase
            }
            Trouble::FreezeDatabase => {
                site.database.freeze(true);
                Undo::ThawDatabase
            }
            Trouble::CutConnections => return site.database.tell(CUT),
            Trouble::KillObjects => {
                site.objects.kill();
                Undo::StartObjects
            }
            Trouble::FreezeObjects => {
                site.objects.freeze(true);
                Undo::ThawObjects
            }
        };
        self.undo.push((Instant::now() + time, undo));
    }

    fn undo_what_is_due(&mut self, site: &mut Site) {
        let now = Instant::now();
        let (due, later) = std::mem::take(&mut self.undo)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.undo = later;
        for (_, undo) in due {
            self.do_undo(site, undo);
        }
    }

    fn do_undo(&mut self, site: &mut Site, undo: Undo) {
        match undo {
            // One that was told to stop may still be busy with it.
            Undo::Start(node) if site.nodes[node].is_running() => {
                self.undo.push((Instant::now() + TICK, undo));
            }
            Undo::Start(node) => site.nodes[node].start_again(),
            Undo::Thaw(node) => site.nodes[node].signal("CONT"),
            Undo::StartDatabase => site.database.start_again(),
            Undo::ThawDatabase => site.database.freeze(false),
            Undo::StartObjects => site.objects.start_again(),
            Undo::ThawObjects => site.objects.freeze(false),
        }
        if let Undo::Start(node) | Undo::Thaw(node) = undo {
            self.watched.retain(|(of, ..)| *of != node);
        }
    }

    /// Looks whether another node has noticed that one has gone.
    fn watch(&mut self, site: &Site) {
        let take_overs = &mut self.take_overs;
        self.watched.retain(|(node, since, lengths)| {
            let mut others = (0..site.nodes.len()).filter(|other| other != node);
            let is_seen = others.any(|other| {
                let log = fs::read(site.nodes[other].home.log_file()).unwrap_or_default();
                let new = log.get(lengths[other] as usize..).unwrap_or_default();
                let new = String::from_utf8_lossy(new);
                let mut lines = new.lines();
                lines.any(|line| line.contains(TAKEN_OVER) && line.contains(&name(*node)))
            });
            if is_seen {
                take_overs.push(since.elapsed());
            }
            // Two nodes, three: if none is left to notice, none does.
            !is_seen && since.elapsed() < Duration::from_secs(10 * DEAD_AFTER_SECONDS)
        });
    }

    fn start_what_has_ended(&mut self, site: &mut Site, say: &(dyn Fn(&str) + Sync)) {
        for node in 0..site.nodes.len() {
            if !self.is_troubled(Subject::Node(node)) && !site.nodes[node].is_running() {
                self.ended += 1;
                let log = site.nodes[node].log();
                let last = log.lines().last().unwrap_or_default();
                say(&format!("{} ended by itself: {last}", name(node)));
                site.nodes[node].start_again();
            }
        }
    }

    /// Everything runs again.
    fn end(&mut self, site: &mut Site) {
        while let Some((_, undo)) = self.undo.pop() {
            self.do_undo(site, undo);
            sleep(TICK);
        }
        for node in &mut site.nodes {
            if !node.is_running() {
                node.start_again();
            }
            node.wait_until_there();
        }
    }
}

fn log_lengths(site: &Site) -> Vec<u64> {
    let length = |path: std::path::PathBuf| fs::metadata(path).map_or(0, |file| file.len());
    let nodes = site.nodes.iter();
    nodes.map(|node| length(node.home.log_file())).collect()
}

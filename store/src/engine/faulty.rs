//! An engine that fails: a simulation by seed of what disks and crashes do.
//!
//! Holds: after `restart`, everything that was acknowledged is there; of the commits that
//! were under way at the crash, the first few or none are there, each whole or not at all. The
//! same seed, plan and order of calls (one thread) give the same run.
//! Other half: the tests of the layers above, which must not lose or invent anything.

use std::{collections::VecDeque, fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{
    Batch, CommitError, Engine, EngineError, Key, MemoryEngine, Page, Snapshot, memory::Map,
};

/// Journal lines that are kept; older ones are dropped.
const JOURNAL_LINES_MAX: usize = 4096;

/// What goes wrong, and how often: each chance is out of 1000.
#[derive(Debug, Clone, Copy, Default)]
pub struct FaultPlan {
    pub seed: u64,
    /// `get`, `multi_get`, `scan` and `snapshot` fail.
    pub reads_fail: u16,
    /// A group of commits fails and nothing of it is applied.
    pub commits_fail: u16,
    /// A commit is applied, and its caller is told that it failed: the answer got lost.
    pub answers_lost: u16,
    /// The machine stops in the middle of a group of commits.
    pub crashes: u16,
    /// The machine stops at this commit, counting from 1 since the last restart.
    pub crash_at_commit: Option<u64>,
}

/// A memory engine with a [`FaultPlan`]. Prints its seed and what it did with `{:?}`.
pub struct FaultyEngine {
    memory: MemoryEngine,
    simulation: Mutex<Simulation>,
}

struct Simulation {
    plan: FaultPlan,
    dice: SplitMix64,
    crashed: bool,
    commits: u64,
    /// Commits that wait for the one that writes for all of them.
    waiting: Vec<Waiting>,
    journal: VecDeque<String>,
}

struct Waiting {
    number: u64,
    batch: Batch,
    answer: oneshot::Sender<Result<(), CommitError>>,
}

impl FaultyEngine {
    pub fn new(plan: FaultPlan) -> Arc<Self> {
        Arc::new(Self::with_map(
            Arc::default(),
            Simulation::new(plan, SplitMix64(plan.seed)),
        ))
    }

    /// The engine as it is found after a power loss at this moment (or at the crash, if there
    /// was one). This one fails from now on. The dice roll on; `crash_at_commit` is used up.
    pub fn restart(&self) -> Arc<Self> {
        self.restart_as(|simulation| {
            let plan = FaultPlan {
                crash_at_commit: None,
                ..simulation.plan
            };
            (plan, simulation.dice)
        })
    }

    /// As [`restart`](Self::restart), with another plan and its seed.
    pub fn restart_with(&self, plan: FaultPlan) -> Arc<Self> {
        self.restart_as(|_| (plan, SplitMix64(plan.seed)))
    }

    fn restart_as(&self, next: impl FnOnce(&Simulation) -> (FaultPlan, SplitMix64)) -> Arc<Self> {
        let mut simulation = self.simulation.lock();
        self.crash(&mut simulation);
        let (plan, dice) = next(&simulation);
        let mut next = Simulation::new(plan, dice);
        next.journal = simulation.journal.clone();
        next.note(format!("restart, {plan:?}"));
        Arc::new(Self::with_map(self.memory.map(), next))
    }

    /// What goes wrong from now on.
    pub fn set_plan(&self, plan: FaultPlan) {
        self.simulation.lock().plan = plan;
    }

    pub fn is_crashed(&self) -> bool {
        self.simulation.lock().crashed
    }

    /// What happened, oldest first.
    pub fn journal(&self) -> Vec<String> {
        self.simulation.lock().journal.iter().cloned().collect()
    }

    fn with_map(map: Arc<Map>, simulation: Simulation) -> Self {
        Self {
            memory: MemoryEngine::with_map(map),
            simulation: Mutex::new(simulation),
        }
    }

    fn read(&self, what: &str) -> Result<(), EngineError> {
        let mut simulation = self.simulation.lock();
        if simulation.crashed {
            return Err(crashed());
        }
        let chance = simulation.plan.reads_fail;
        if simulation.dice.happens(chance) {
            simulation.note(format!("{what} fails"));
            return Err(EngineError::Io("simulated: reading failed".into()));
        }
        Ok(())
    }

    /// Queues a commit: its number, and where the answer will come.
    #[allow(clippy::type_complexity)]
    fn queue(
        &self,
        batch: Batch,
    ) -> Result<(u64, oneshot::Receiver<Result<(), CommitError>>), EngineError> {
        let mut simulation = self.simulation.lock();
        if simulation.crashed {
            return Err(crashed());
        }
        simulation.commits += 1;
        let number = simulation.commits;
        let (answer, answered) = oneshot::channel();
        simulation.waiting.push(Waiting {
            number,
            batch,
            answer,
        });
        Ok((number, answered))
    }

    /// Writes all that wait as one group, if `number` still does.
    fn write_group(&self, number: u64) {
        let mut simulation = self.simulation.lock();
        if !simulation
            .waiting
            .iter()
            .any(|waiting| waiting.number == number)
        {
            return;
        }
        let plan = simulation.plan;
        let at_commit = |waiting: &Waiting| Some(waiting.number) == plan.crash_at_commit;
        if simulation.dice.happens(plan.crashes) || simulation.waiting.iter().any(at_commit) {
            self.crash(&mut simulation);
            return;
        }
        let group = std::mem::take(&mut simulation.waiting);
        if simulation.dice.happens(plan.commits_fail) {
            for Waiting { number, answer, .. } in group {
                simulation.note(format!("commit {number} fails and is not applied"));
                let error = EngineError::Full("simulated: no room".into());
                let _ = answer.send(Err(error.into()));
            }
            return;
        }
        for Waiting {
            number,
            batch,
            answer,
        } in group
        {
            let mut result = self.memory.apply(&batch);
            simulation.note(format!("commit {number}: {result:?}"));
            if result.is_ok() && simulation.dice.happens(plan.answers_lost) {
                simulation.note(format!("the answer to commit {number} is lost"));
                result = Err(EngineError::Io("simulated: the answer was lost".into()).into());
            }
            let _ = answer.send(result);
        }
    }

    /// Of the commits under way, the first few reach the disk. Nobody gets an answer.
    fn crash(&self, simulation: &mut Simulation) {
        if simulation.crashed {
            return;
        }
        simulation.crashed = true;
        let group = std::mem::take(&mut simulation.waiting);
        let survivors = simulation.dice.below(group.len() as u64 + 1) as usize;
        simulation.note(format!(
            "crash with {} under way; {survivors} survive",
            group.len()
        ));
        for (
            index,
            Waiting {
                number,
                batch,
                answer,
            },
        ) in group.into_iter().enumerate()
        {
            if index < survivors {
                let result = self.memory.apply(&batch);
                simulation.note(format!("commit {number}, unanswered: {result:?}"));
            }
            let _ = answer.send(Err(crashed().into()));
        }
    }
}

impl Simulation {
    fn new(plan: FaultPlan, dice: SplitMix64) -> Self {
        Self {
            plan,
            dice,
            crashed: false,
            commits: 0,
            waiting: Vec::new(),
            journal: VecDeque::new(),
        }
    }

    fn note(&mut self, line: String) {
        if self.journal.len() == JOURNAL_LINES_MAX {
            self.journal.pop_front();
        }
        self.journal.push_back(line);
    }
}

#[async_trait]
impl Engine for FaultyEngine {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.read("get")?;
        self.memory.get(key).await
    }

    async fn multi_get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, EngineError> {
        self.read("multi_get")?;
        self.memory.multi_get(keys).await
    }

    async fn scan(&self, page: Page) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        self.read("scan")?;
        self.memory.scan(page).await
    }

    /// The snapshot itself doesn't fail: what was read from it can't tear.
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, EngineError> {
        self.read("snapshot")?;
        self.memory.snapshot().await
    }

    async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        let (number, answered) = self.queue(batch)?;
        // Others who want to commit now get into the same group.
        tokio::task::yield_now().await;
        self.write_group(number);
        answered.await.unwrap_or_else(|_| Err(crashed().into()))
    }

    /// The one before a restart fails from then on.
    fn is_exclusive(&self) -> bool {
        true
    }

    async fn disk_octets(&self) -> Result<u64, EngineError> {
        self.read("disk_octets")?;
        self.memory.disk_octets().await
    }
}

impl fmt::Debug for FaultyEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let simulation = self.simulation.lock();
        writeln!(f, "FaultyEngine, {:?}:", simulation.plan)?;
        simulation
            .journal
            .iter()
            .try_for_each(|line| writeln!(f, "  {line}"))
    }
}

fn crashed() -> EngineError {
    EngineError::Io("simulated: the machine has crashed".into())
}

/// A small generator of random numbers (Steele, Lea, Flood 2014) that only tests use.
#[derive(Debug, Clone, Copy)]
pub struct SplitMix64(pub u64);

impl SplitMix64 {
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 when `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.next_u64() % end }
    }

    /// True in `chance` out of 1000 cases.
    pub fn happens(&mut self, chance: u16) -> bool {
        chance > 0 && self.below(1000) < u64::from(chance)
    }
}

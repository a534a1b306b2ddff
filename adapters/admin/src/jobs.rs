//! Work that takes long and that an administrator has begun: how it gets on, and what it came to.
//!
//! Holds: one of a kind at a time; a process remembers the last [`JOBS_MAX`]; one that is stopped leaves nothing half done, as each of
//! them can be begun again.
//! Other half: `routes::jobs`.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
};

use jmap_core::clock::UtcMillis;
use parking_lot::Mutex;
use tokio::task::AbortHandle;

/// Jobs that are remembered.
pub const JOBS_MAX: usize = 50;
/// Sentences of one result.
pub const FINDINGS_MAX: usize = 200;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobKind {
    Check,
    Repair,
    Backup,
}

/// How a job stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobState {
    Running,
    Done(JobResult),
    Failed(String),
    Stopped,
}

/// What a job came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobResult {
    pub sentence: String,
    /// Something is wrong.
    pub is_wrong: bool,
    /// What was found, the first [`FINDINGS_MAX`].
    pub findings: Vec<JobFinding>,
}

/// Something that a check has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFinding {
    pub code: String,
    /// The key of the record in words.
    pub record: String,
    pub sentence: String,
    pub meaning: String,
    pub remedy: String,
}

/// A job.
#[derive(Clone, Debug)]
pub struct Job {
    pub id: u64,
    pub kind: JobKind,
    pub by: String,
    pub began: UtcMillis,
    pub ended: Option<UtcMillis>,
    /// The last that it said of itself.
    pub progress: String,
    pub state: JobState,
    abort: Option<AbortHandle>,
}

/// The jobs of this process.
#[derive(Debug, Default)]
pub struct Jobs(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    last: u64,
    jobs: VecDeque<Job>,
}

/// One of this kind is under way.
#[derive(Debug, PartialEq, Eq)]
pub struct IsRunning;

/// Where a job says how it gets on.
#[derive(Clone, Debug)]
pub struct Teller {
    jobs: Weak<Jobs>,
    id: u64,
}

impl Teller {
    pub fn progress(&self, sentence: &str) {
        if let Some(jobs) = self.jobs.upgrade() {
            jobs.change(self.id, |job| sentence.clone_into(&mut job.progress));
        }
    }

    pub fn ended(&self, at: UtcMillis, result: Result<JobResult, String>) {
        let Some(jobs) = self.jobs.upgrade() else {
            return;
        };
        jobs.change(self.id, |job| {
            if job.state != JobState::Running {
                return;
            }
            job.ended = Some(at);
            job.abort = None;
            job.state = match result {
                Ok(result) => JobState::Done(result),
                Err(why) => JobState::Failed(why),
            };
        });
    }
}

impl Jobs {
    /// Takes a job in, before it runs.
    pub fn begin(
        self: &Arc<Self>,
        kind: JobKind,
        by: &str,
        at: UtcMillis,
    ) -> Result<Teller, IsRunning> {
        let mut inner = self.0.lock();
        let excludes = |job: &Job| {
            let is_same = job.kind == kind
                || matches!(
                    (job.kind, kind),
                    (JobKind::Check, JobKind::Repair) | (JobKind::Repair, JobKind::Check)
                );
            is_same && job.state == JobState::Running
        };
        if inner.jobs.iter().any(excludes) {
            return Err(IsRunning);
        }
        if inner.jobs.len() >= JOBS_MAX {
            // One of each kind runs at the most, so there is one that doesn't.
            let is_over = |job: &Job| job.state != JobState::Running;
            if let Some(oldest) = inner.jobs.iter().position(is_over) {
                inner.jobs.remove(oldest);
            }
        }
        inner.last += 1;
        let id = inner.last;
        inner.jobs.push_back(Job {
            id,
            kind,
            by: by.to_owned(),
            began: at,
            ended: None,
            progress: String::new(),
            state: JobState::Running,
            abort: None,
        });
        Ok(Teller {
            jobs: Arc::downgrade(self),
            id,
        })
    }

    /// By what a job is stopped, from now on. One that was stopped before it began is now.
    pub fn runs(&self, teller: &Teller, abort: AbortHandle) {
        self.change(teller.id, |job| match job.state {
            JobState::Running => job.abort = Some(abort),
            JobState::Stopped => abort.abort(),
            JobState::Done(_) | JobState::Failed(_) => {}
        });
    }

    /// Stops a job; whether it was running.
    pub fn stop(&self, id: u64, at: UtcMillis) -> bool {
        let mut was_running = false;
        self.change(id, |job| {
            if job.state != JobState::Running {
                return;
            }
            if let Some(abort) = job.abort.take() {
                abort.abort();
            }
            job.ended = Some(at);
            job.state = JobState::Stopped;
            was_running = true;
        });
        was_running
    }

    fn change(&self, id: u64, change: impl FnOnce(&mut Job)) {
        let mut inner = self.0.lock();
        if let Some(job) = inner.jobs.iter_mut().find(|job| job.id == id) {
            change(job);
        }
    }

    /// All that are remembered, newest first.
    pub fn all(&self) -> Vec<Job> {
        self.0.lock().jobs.iter().rev().cloned().collect()
    }

    pub fn one(&self, id: u64) -> Option<Job> {
        let inner = self.0.lock();
        inner.jobs.iter().find(|job| job.id == id).cloned()
    }
}

impl Teller {
    pub fn id(&self) -> u64 {
        self.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_kind_at_a_time_and_so_many_are_remembered() {
        let jobs = Arc::new(Jobs::default());
        let at = UtcMillis(0);
        let backup = jobs.begin(JobKind::Backup, "a", at).unwrap();
        assert!(jobs.begin(JobKind::Backup, "a", at).is_err());
        for _ in 0..=JOBS_MAX {
            let check = jobs.begin(JobKind::Check, "a", at).unwrap();
            assert!(jobs.begin(JobKind::Repair, "a", at).is_err());
            check.ended(at, Ok(JobResult::default()));
        }
        let all = jobs.all();
        assert_eq!(all.len(), JOBS_MAX);
        assert_eq!(all.last().map(|job| job.id), Some(backup.id()));
        backup.ended(at, Err("no".into()));
        assert!(jobs.begin(JobKind::Backup, "a", at).is_ok());
    }

    #[tokio::test]
    async fn what_was_stopped_stays_so() {
        let jobs = Arc::new(Jobs::default());
        let teller = jobs.begin(JobKind::Check, "a", UtcMillis(0)).unwrap();
        assert!(jobs.stop(teller.id(), UtcMillis(1)));
        assert!(!jobs.stop(teller.id(), UtcMillis(2)));
        let task = tokio::spawn(std::future::pending::<()>());
        jobs.runs(&teller, task.abort_handle());
        assert!(task.await.unwrap_err().is_cancelled());
        teller.ended(UtcMillis(3), Ok(JobResult::default()));
        let job = jobs.one(teller.id()).unwrap();
        assert_eq!(
            (job.state, job.ended),
            (JobState::Stopped, Some(UtcMillis(1)))
        );
    }
}

//! Repair: the check, with its edits, until nothing is left to do.
//!
//! Holds: one repair at a time, in this process and among the nodes of a cluster; what was done when it is broken off stays done, and the
//! next one goes on; a store that is sound isn't written to; nothing is repaired while nodes of several versions serve.
//! Other half: `edits` commits; the rooms of the check say what.

use jmap_types::AccountId;

use super::{CheckError, CheckOptions, Checker, Edits, Problem, Progress, Report};
use crate::{Core, cluster};

/// How often the store is read, as one repair may be what another one needs.
const PASSES_MAX: usize = 8;

/// Why nothing was repaired.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    #[error("another repair is going on; wait until it is over")]
    IsGoingOn,
    #[error(
        "another node of the cluster repairs at this moment, or this one isn't known to the others yet; try again shortly"
    )]
    IsAnothers,
    /// What a newer version has added is unknown to an older one, which would put it aside.
    #[error(
        "the server \"{name}\" of the cluster has version {version}, and this is version {}; repair when all of them have the same", env!("CARGO_PKG_VERSION")
    )]
    OtherVersion { name: String, version: String },
    #[error(transparent)]
    Check(#[from] CheckError),
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Core {
    /// Checks the store and puts right what is wrong. What can't be kept where it is goes into the quarantine.
    pub async fn repair(
        &self,
        options: CheckOptions,
        progress: Progress<'_>,
    ) -> Result<Report, RepairError> {
        let Ok(_alone) = self.repairing.try_lock() else {
            return Err(RepairError::IsGoingOn);
        };
        let mut whole: Option<Report> = None;
        for pass in 1..=PASSES_MAX {
            if !self.leads(cluster::REPAIR).await? {
                return Err(RepairError::IsAnothers);
            }
            if let Some(cluster) = &self.cluster
                && let Some((name, version)) = cluster.of_another_version().await?
            {
                return Err(RepairError::OtherVersion { name, version });
            }
            progress(&format!("reading the store, for the {} time", nth(pass)));
            let edits = Edits::new(self.clock.now().0);
            let mut checker = Checker::new(self, options, progress, Some(edits)).await?;
            checker.run().await?;
            let (done, missed) = checker
                .edits
                .as_ref()
                .map_or((0, 0), |edits| (edits.done, edits.missed));
            let report = checker.report;
            let is_over = done == 0 && missed == 0;
            whole = Some(match whole {
                None => together(None, report, done, is_over),
                Some(known) => together(Some(known), report, done, is_over),
            });
            if is_over {
                break;
            }
        }
        Ok(whole.unwrap_or_default())
    }
}

/// What several readings have found: each problem once, and what the last one has found last.
fn together(known: Option<Report>, report: Report, done: u64, is_over: bool) -> Report {
    let Some(mut known) = known else {
        let remaining = report.problems.clone();
        return Report {
            repaired: done,
            remaining,
            ..report
        };
    };
    let is_known = |known: &Report, problem: &Problem| {
        let same = |other: &Problem| other.key == problem.key && other.code == problem.code;
        known.problems.iter().any(same)
    };
    known.remaining = report.problems.clone();
    if !is_over {
        for problem in report.problems {
            if !is_known(&known, &problem) {
                known.add_problem(problem);
            }
        }
    }
    known.has_more |= report.has_more;
    known.repaired += done;
    known.records = report.records;
    known.quarantined = report.quarantined;
    known
}

fn nth(pass: usize) -> String {
    match pass {
        1 => "first".to_owned(),
        2 => "second".to_owned(),
        3 => "third".to_owned(),
        pass => format!("{pass}th"),
    }
}

impl Checker<'_> {
    /// Emails whose records are lost are made again, each account's in its turn.
    pub(super) async fn recover_lost(&mut self) -> Result<(), CheckError> {
        if !self.is_repair() {
            return Ok(());
        }
        self.flush().await?;
        for (id, lost) in std::mem::take(&mut self.lost) {
            let account = AccountId::new(id);
            let handle = self.core.accounts.handle(account);
            // It reads the account again, whose problems have been told.
            let told = self.report.problems.len();
            let emails = self.report.emails;
            let work = async {
                self.look_anew().await?;
                self.recover_emails(account, &lost).await
            };
            Box::pin(handle.writer.alone(Box::pin(work))).await??;
            self.report.problems.truncate(told);
            self.report.emails = emails;
            self.set_scope(super::Scope::Rows);
        }
        self.look_anew().await
    }

    /// The search index of accounts where it isn't right.
    pub(super) async fn reindex_what_must(&mut self) -> Result<(), CheckError> {
        for id in std::mem::take(&mut self.reindex) {
            self.core.search.reindex(AccountId::new(id)).await?;
            if let Some(edits) = &mut self.edits {
                edits.done += 1;
            }
        }
        Ok(())
    }
}

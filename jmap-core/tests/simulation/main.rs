//! The core over an engine that fails, by seed: random calls, failed and lost commits, crashes at any commit.
//!
//! Holds: whatever happens, what was acknowledged is there after a restart; what got no answer was done whole or not at
//! all; old ids and /changes give the new ids; counts are what counting gives; the quota is the sum of the sizes. A run
//! that fails prints its seed, which gives the same run again.
//! Other half: `store::engine::FaultyEngine`.

mod laws;
mod model;
mod steps;
mod world;

use store::engine::{FaultPlan, SplitMix64};
use world::World;

/// Runs of one test; `POSTHORN_SIMULATIONS` for more, `POSTHORN_SEED` for another first seed.
const RUNS: u64 = 30;
const ROUNDS: usize = 60;

fn from_env(name: &str, usual: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name} is not a number: {text}")),
        Err(_) => usual,
    }
}

/// Shows how to do a failed run again.
struct SaySeed(&'static str, u64);

impl Drop for SaySeed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let SaySeed(name, seed) = self;
            eprintln!(
                "to do it again: POSTHORN_SEED={seed} POSTHORN_SIMULATIONS=1 cargo test -p jmap-core --test simulation {name}"
            );
        }
    }
}

fn simulate(name: &'static str, plan: impl Fn(&mut SplitMix64) -> FaultPlan) {
    let first = from_env("POSTHORN_SEED", 1);
    for seed in first..first + from_env("POSTHORN_SIMULATIONS", RUNS) {
        let _say = SaySeed(name, seed);
        let plan = FaultPlan {
            seed,
            ..plan(&mut SplitMix64(seed))
        };
        // One thread, so that a seed is one run.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("no runtime");
        runtime.block_on(async {
            let mut world = World::new(seed, plan).await;
            for _ in 0..ROUNDS {
                steps::round(&mut world).await;
            }
            world.calm().await;
            laws::observe(&mut world).await;
        });
    }
}

#[test]
fn without_faults_the_core_is_the_model() {
    simulate("without_faults_the_core_is_the_model", |_| {
        FaultPlan::default()
    });
}

#[test]
fn crashes_lose_nothing_that_was_acknowledged() {
    simulate("crashes_lose_nothing_that_was_acknowledged", |dice| {
        FaultPlan {
            crashes: 20 + dice.below(80) as u16,
            ..FaultPlan::default()
        }
    });
}

#[test]
fn failed_commits_leave_nothing_behind() {
    simulate("failed_commits_leave_nothing_behind", |dice| FaultPlan {
        commits_fail: 50 + dice.below(200) as u16,
        ..FaultPlan::default()
    });
}

#[test]
fn a_lost_answer_is_a_whole_commit_or_none() {
    simulate("a_lost_answer_is_a_whole_commit_or_none", |dice| {
        FaultPlan {
            answers_lost: 50 + dice.below(150) as u16,
            ..FaultPlan::default()
        }
    });
}

#[test]
fn all_faults_together_break_no_law() {
    simulate("all_faults_together_break_no_law", |dice| FaultPlan {
        reads_fail: dice.below(20) as u16,
        commits_fail: dice.below(100) as u16,
        answers_lost: dice.below(60) as u16,
        crashes: dice.below(60) as u16,
        ..FaultPlan::default()
    });
}

//! One account through IMAP, POP3 and JMAP at once: whatever each of them changes, all of them show the same, anew and to clients that were
//! away.
//!
//! Holds: `steps` do one change after the other, so that a model knows exactly what must be there; `race` does them really at once, and what is
//! compared is what must hold then: nothing is lost that nobody destroyed, nothing is doubled that nobody copied, no change undoes another.
//! More by `POSTHORN_SEEDS` and `POSTHORN_STEPS`; a failing run prints the seed to set as `POSTHORN_SEED`.

mod look;
mod mirror;
mod model;
mod race;
mod steps;

use e2e::{Server, dice::number_from_env};

/// Seeds of the usual run.
const SEEDS: usize = 3;

fn seeds() -> impl Iterator<Item = u64> {
    let first = number_from_env("POSTHORN_SEED", 1) as u64;
    let count = number_from_env("POSTHORN_SEEDS", SEEDS) as u64;
    (first..first + count).inspect(|seed| println!("POSTHORN_SEED={seed}"))
}

#[test]
fn all_protocols_show_what_each_has_done() {
    for seed in seeds() {
        steps::run(seed);
    }
}

#[test]
fn changes_at_once_lose_and_double_nothing() {
    for seed in seeds() {
        race::run(seed);
    }
}

/// Everything anew, by all protocols: it is the same, also after the server was started again.
fn all_agree(server: &mut Server, mirrors: &mut [mirror::Mirror]) -> look::Look {
    let look = look::Look::at(server);
    look.agrees_with_pop3(server);
    for mirror in mirrors {
        mirror.catch_up(server);
        mirror.is(&look);
    }
    server.jmap("alice").check_counts();
    server.home.check();
    server.stop();
    server.home.check();
    server.restart();
    assert_eq!(look, look::Look::at(server), "after a start");
    look
}

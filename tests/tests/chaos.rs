//! A minute in which everything goes wrong, at three nodes over one PostgreSQL and one object store. `cargo xtask chaos` does it for longer.

use std::time::Duration;

use e2e::{
    chaos::{Plan, run},
    dice::number_from_env,
};

#[test]
fn nothing_is_lost_or_doubled_whatever_goes_wrong() {
    let plan = Plan {
        seed: number_from_env("POSTHORN_SEED", 1) as u64,
        duration: Duration::from_secs(number_from_env("POSTHORN_CHAOS_SECONDS", 60) as u64),
        nodes: 3,
        objects: env!("CARGO_BIN_EXE_objects").into(),
    };
    let report = run(&plan, &|sentence| println!("{sentence}"));
    println!("{report}");
    assert!(report.violations.is_empty(), "{report}");
    let done: u64 = report.operations.iter().map(|(_, [done, ..])| done).sum();
    let troubles: u64 = report.troubles.iter().map(|(_, count)| count).sum();
    assert!(report.objects > 20, "hardly anything is outside: {report}");
    assert!(done > 100, "hardly anything was done: {report}");
    assert!(troubles > 5, "hardly anything went wrong: {report}");
}

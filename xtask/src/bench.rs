//! `cargo xtask bench`: builds what is measured as users get it, then measures.
//! Other half: `tests/src/bin/bench` is the benchmark itself.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::{cache, cargo, packages};

pub fn bench(args: &[String]) -> Result<(), String> {
    let mut needs = vec![packages::Need::Build];
    let asks = args.iter().any(|arg| arg == "--help" || arg == "-h");
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    if has("--engines") || has("--nodes") {
        // The databases are those of the tests.
        needs.push(packages::Need::Test);
    } else if !asks && !has("--no-peer") {
        needs.push(packages::Need::Bench);
    }
    packages::ensure(&needs)?;
    if !asks {
        cargo::optimised("release", "posthorn", "posthorn")?;
    }
    let bench = cargo::optimised("release", "e2e", "bench")?;
    let error = Command::new(&bench)
        .current_dir(cache::root())
        .env("POSTHORN_BIN", cache::target()?.join("release/posthorn"))
        .args(args)
        .exec();
    Err(format!("can't start {}: {error}", bench.display()))
}

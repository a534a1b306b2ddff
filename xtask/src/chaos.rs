//! `cargo xtask chaos`: several nodes over one database and one object store, while everything goes wrong.
//! Other half: `tests/src/chaos` is the run itself.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::{cache, cargo, packages};

pub fn chaos(args: &[String]) -> Result<(), String> {
    packages::ensure(&[packages::Need::Build, packages::Need::Test])?;
    // The server, the run and the object store that it starts.
    let build = ["build", "--workspace", "--bins"];
    cargo::check("building posthorn", cargo::cargo()?.args(build))?;
    let target = cache::target()?;
    let chaos = target.join("debug/chaos");
    let error = Command::new(&chaos)
        .current_dir(cache::root())
        .env("POSTHORN_BIN", target.join("debug/posthorn"))
        .args(args)
        .exec();
    Err(format!("can't start {}: {error}", chaos.display()))
}

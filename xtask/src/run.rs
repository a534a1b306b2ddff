//! `cargo xtask run`: from a fresh clone to a running server.
//! Holds: the server takes this process's place, so Ctrl-C and SIGTERM reach it and its exit code is ours.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::{cache, cargo, packages, say, wasm};

/// The config file a developer may put beside the workspace's manifest.
const CONFIG: &str = "posthorn.toml";
const DATA: &str = "data";

pub fn run(args: &[String]) -> Result<(), String> {
    packages::ensure(&[packages::Need::Build])?;
    wasm::ensure()?;
    let args = match args.split_first() {
        Some((first, rest)) if first == "--" => rest,
        _ => args,
    };
    let binary = cargo::optimised("fast-start", "posthorn", "posthorn")?;
    let mut server = Command::new(&binary);
    server.current_dir(cache::root()).arg("serve");
    let named = args
        .iter()
        .any(|arg| arg.starts_with("--config") || arg.starts_with("--data"));
    if named {
        // The caller said which; nothing to add.
    } else if cache::root().join(CONFIG).is_file() {
        server.args(["--config", CONFIG]);
    } else {
        cache::make(&cache::root().join(DATA))?;
        server.args(["--data", DATA, "--quickstart"]);
    }
    server.args(args);
    say::step(format_args!("starting {}", binary.display()));
    let error = server.exec();
    Err(format!("can't start {}: {error}", binary.display()))
}

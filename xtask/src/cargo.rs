//! The one place that calls cargo.
//! Holds: every build of this workspace sees the same RocksDB and the same target folder, however it was started, so that
//! no step builds again what the one before has built.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::say::{self, Ticker};
use crate::{cache, packages, rocksdb, wasm};

/// How often a command that is waited for is looked at.
const POLL: Duration = Duration::from_millis(250);

/// Variables that `cargo run` sets for xtask itself and that must not reach another cargo: some build scripts ask to be run
/// again when they change.
const OWN: [&str; 4] = [
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_PATH",
    "CARGO_BIN_NAME",
    "CARGO_CRATE_NAME",
];

/// A cargo command in the workspace's root that knows nothing of the cached RocksDB.
pub fn bare() -> Command {
    bare_of(&env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The same with another cargo.
pub fn bare_of(program: &OsStr) -> Command {
    let mut command = Command::new(program);
    command.current_dir(cache::root());
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || OWN.contains(&name.as_ref()) {
            command.env_remove(name.as_ref());
        }
    }
    command
}

/// A cargo command with the cached RocksDB and the target folder; builds RocksDB first when it has to.
pub fn cargo() -> Result<Command, String> {
    let mut command = bare();
    for (name, value) in environment()? {
        command.env(name, value);
    }
    Ok(command)
}

/// What every cargo call gets: the static RocksDB (librocksdb-sys then links it in place of building its own), the web console, if
/// it was built, and the target folder.
pub fn environment() -> Result<Vec<(&'static str, PathBuf)>, String> {
    Ok(vec![
        ("ROCKSDB_STATIC", "1".into()),
        ("ROCKSDB_LIB_DIR", rocksdb::ensure()?),
        ("CARGO_TARGET_DIR", cache::target()?),
        ("POSTHORN_CONSOLE_DIR", wasm::find()?.unwrap_or_default()),
    ])
}

/// Says what runs, runs it, and makes an exit code other than 0 an error.
pub fn check(what: &str, command: &mut Command) -> Result<(), String> {
    say::step(format_args!("{what}"));
    let status = command
        .status()
        .map_err(|error| format!("{what}: can't start: {error}"))?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("{what}: {status}")),
    }
}

/// The same; what runs too long is ended, and then it is an error as well.
pub fn check_within(what: &str, command: &mut Command, limit: Duration) -> Result<(), String> {
    say::step(format_args!("{what}"));
    let mut child = command
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| format!("{what}: can't start: {error}"))?;
    let mut ticker = Ticker::every(Duration::from_secs(10));
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            return match status.success() {
                true => Ok(()),
                false => Err(format!("{what}: {status}")),
            };
        }
        if started.elapsed() > limit {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("{what}: not done in {}", say::elapsed(limit)));
        }
        ticker.tick(|| what.to_owned());
        sleep(POLL);
    }
}

/// Runs something long, with what it says in a file; says how far it is, by what it has said, and shows the end of that when it
/// fails.
pub fn watch(
    what: &str,
    command: &mut Command,
    log: &Path,
    every: Duration,
    progress: &dyn Fn(&str) -> String,
) -> Result<(), String> {
    let problem = |error| format!("{}: {error}", log.display());
    let output = fs::File::create(log).map_err(problem)?;
    let again = output.try_clone().map_err(problem)?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(again)
        .spawn()
        .map_err(|error| format!("{what}: can't start: {error}"))?;
    let said = || fs::read_to_string(log).unwrap_or_default();
    let mut ticker = Ticker::every(every);
    let status = loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            break status;
        }
        ticker.tick(|| progress(&said()));
        sleep(POLL);
    };
    if status.success() {
        return Ok(());
    }
    let said = said();
    let lines: Vec<&str> = said.lines().collect();
    eprintln!("{}", lines[lines.len().saturating_sub(40)..].join("\n"));
    Err(format!(
        "{what}: {status}; all it said is in {}",
        log.display()
    ))
}

/// Builds one binary of the workspace, optimised as `profile` says, and returns its path.
pub fn optimised(profile: &str, package: &str, binary: &str) -> Result<PathBuf, String> {
    let mut command = cargo()?;
    command.args(["build", "--profile", profile]);
    command.args(["--package", package, "--bin", binary]);
    check(&format!("building {binary} ({profile})"), &mut command)?;
    Ok(cache::target()?.join(profile).join(binary))
}

/// `cargo xtask cargo ...`: becomes that cargo.
pub fn pass_through(args: &[String]) -> Result<(), String> {
    packages::ensure(&[packages::Need::Build])?;
    let error = cargo()?.args(args).exec();
    Err(format!("can't start cargo: {error}"))
}

/// `cargo xtask env`: lines for a shell's `eval`.
pub fn print_env() -> Result<(), String> {
    packages::ensure(&[packages::Need::Build])?;
    for (name, value) in environment()? {
        let value = value.display().to_string().replace('\'', r"'\''");
        println!("export {name}='{value}'");
    }
    Ok(())
}

//! The one place that calls cargo.
//! Holds: every build of this workspace sees the same RocksDB and the same target folder, however it was started, so that
//! no step builds again what the one before has built.

use std::env;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use crate::{cache, packages, rocksdb, say};

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
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
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

/// What every cargo call gets: the static RocksDB (librocksdb-sys then links it in place of building its own) and the target
/// folder.
pub fn environment() -> Result<Vec<(&'static str, PathBuf)>, String> {
    Ok(vec![
        ("ROCKSDB_STATIC", "1".into()),
        ("ROCKSDB_LIB_DIR", rocksdb::ensure()?),
        ("CARGO_TARGET_DIR", cache::target()?),
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

/// Builds one binary of the workspace as a release and returns its path.
pub fn release(package: &str, binary: &str) -> Result<PathBuf, String> {
    let mut command = cargo()?;
    command.args(["build", "--release", "--package", package, "--bin", binary]);
    check(&format!("building {binary} (release)"), &mut command)?;
    Ok(cache::target()?.join("release").join(binary))
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

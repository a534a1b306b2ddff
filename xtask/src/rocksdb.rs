//! RocksDB's C++, built once a machine instead of once a checkout.
//! Holds: the folder that is handed out has a complete library, built for this librocksdb-sys, these compiler flags and this
//! compiler; two runs at the same time build it once; a build that was broken off leaves nothing that looks finished.
//! Other half: librocksdb-sys's build script links the library in `ROCKSDB_LIB_DIR` when it is set.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::hash::fnv1a;
use crate::say::{self, Ticker};
use crate::{cache, cargo};

const PACKAGE: &str = "librocksdb-sys";
const LIBRARY: &str = "librocksdb.a";

/// The folder with `librocksdb.a`; builds it when it isn't in the cache yet (20 minutes on two cores, about 1 GB while at it).
pub fn ensure() -> Result<PathBuf, String> {
    // Asked for by every cargo call of a run: the answer doesn't change, and the compiler needn't be asked twice.
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    FOUND.get_or_init(find_or_build).clone()
}

fn find_or_build() -> Result<PathBuf, String> {
    let base = cache::cache()?.join("rocksdb");
    let ready = base.join(key()?);
    if ready.join(LIBRARY).is_file() {
        return Ok(ready);
    }
    cache::make(&base)?;
    let _lock = cache::lock(&base.join("lock"))?;
    // Another run may have built it while this one waited.
    if !ready.join(LIBRARY).is_file() {
        let work = base.join("build");
        let built = build(&work)?;
        publish(&built, &ready)?;
        let _ = fs::remove_dir_all(&work);
    }
    Ok(ready)
}

/// The folder's name: version and compiler for people, a hash over all that changes the result for the machine.
fn key() -> Result<String, String> {
    let read = |name: &str| {
        fs::read_to_string(cache::root().join(name)).map_err(|error| format!("{name}: {error}"))
    };
    let lock = read("Cargo.lock")?;
    let version =
        locked_version(&lock, PACKAGE).ok_or_else(|| format!("Cargo.lock names no {PACKAGE}"))?;
    let compiler = compiler();
    let mut all = vec![
        version.to_owned(),
        compiler.clone(),
        PROFILE.map(|(_, value)| value).join(" "),
    ];
    all.extend(lines_with(&read("Cargo.toml")?, "rocksdb ="));
    all.extend(lines_with(&read(".cargo/config.toml")?, "rustflags"));
    for name in [
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_BUILD_TARGET",
        "CXXFLAGS",
        "CXX",
    ] {
        all.push(env::var(name).unwrap_or_default());
    }
    let hash = fnv1a(all.join("\n").as_bytes());
    Ok(format!("{version}-{compiler}-{hash:016x}"))
}

/// What makes the build smaller and faster than the workspace's own release profile: no debug information and RocksDB's own
/// level of optimisation.
const PROFILE: [(&str, &str); 3] = [
    ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "2"),
];

/// Builds the crate, and with it the library, in `work`; returns the library's path.
fn build(work: &Path) -> Result<PathBuf, String> {
    say::step(format_args!(
        "building RocksDB, once for this machine (about 20 minutes on two cores), in {}",
        work.display()
    ));
    cache::make(work)?;
    let ticker = Ticker::start();
    let mut command = cargo::bare();
    command
        .args(["build", "--release", "--package", PACKAGE, "--target-dir"])
        .arg(work)
        .envs(PROFILE)
        .env_remove("ROCKSDB_LIB_DIR")
        .env_remove("ROCKSDB_STATIC")
        .env_remove("ROCKSDB_COMPILE");
    cargo::watch(
        "building RocksDB",
        &mut command,
        &work.join("log"),
        say::EVERY,
        &|_| progress(work),
    )?;
    say::step(format_args!("built RocksDB in {}", ticker.elapsed()));
    out_dirs(work)
        .into_iter()
        .map(|out| out.join(LIBRARY))
        .find(|library| library.is_file())
        .ok_or_else(|| format!("{PACKAGE} was built, but without a {LIBRARY}"))
}

/// The number of files compiled so far, from the object files in the build script's folder.
fn progress(work: &Path) -> String {
    let objects = out_dirs(work)
        .iter()
        .map(|out| files_ending(out, ".o", 4))
        .sum::<usize>();
    format!("RocksDB: {objects} of about 340 files compiled")
}

fn out_dirs(work: &Path) -> Vec<PathBuf> {
    entries(&work.join("release/build"))
        .into_iter()
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(PACKAGE))
        })
        .map(|path| path.join("out"))
        .collect()
}

fn files_ending(folder: &Path, end: &str, depth: usize) -> usize {
    entries(folder)
        .iter()
        .map(|path| match path.is_dir() {
            true if depth > 0 => files_ending(path, end, depth - 1),
            true => 0,
            false => usize::from(path.to_string_lossy().ends_with(end)),
        })
        .sum()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect()
}

/// Puts the library in its place under its final name by a rename, so that the name never stands for half a file.
fn publish(built: &Path, ready: &Path) -> Result<(), String> {
    cache::make(ready)?;
    let temporary = ready.join(format!("{LIBRARY}.{}", std::process::id()));
    let problem = |error| format!("can't write {}: {error}", ready.display());
    fs::copy(built, &temporary).map_err(problem)?;
    fs::File::open(&temporary)
        .and_then(|file| file.sync_all())
        .map_err(problem)?;
    fs::rename(&temporary, ready.join(LIBRARY)).map_err(problem)
}

/// The C++ compiler as `x86_64-linux-gnu-12`: another compiler's library may not link here.
fn compiler() -> String {
    let program = env::var("CXX").unwrap_or_else(|_| "c++".into());
    let mut words = program.split_whitespace();
    let mut ask = |flag| {
        let mut command = Command::new(words.clone().next().unwrap_or("c++"));
        command.args(words.by_ref().skip(1)).arg(flag);
        let said = command.output().map(|out| out.stdout).unwrap_or_default();
        String::from_utf8_lossy(&said).trim().to_owned()
    };
    let name = format!("{}-{}", ask("-dumpmachine"), ask("-dumpversion"));
    name.replace(
        |c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.',
        "-",
    )
}

/// The version of `package` in the text of a Cargo.lock.
fn locked_version<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let name = format!("name = \"{package}\"");
    let after = lock.lines().skip_while(|line| *line != name).nth(1)?;
    after.strip_prefix("version = \"")?.strip_suffix('"')
}

fn lines_with(text: &str, part: &str) -> Vec<String> {
    text.lines()
        .filter(|line| line.contains(part))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locked_version_reads_cargos_file() {
        let lock = "[[package]]\nname = \"libc\"\nversion = \"0.2.1\"\n\n[[package]]\nname = \"librocksdb-sys\"\n\
                    version = \"0.19.0+11.8.1\"\nsource = \"registry\"\n";
        assert_eq!(locked_version(lock, PACKAGE), Some("0.19.0+11.8.1"));
        assert_eq!(locked_version(lock, "zlib"), None);
    }

    #[test]
    fn publish_leaves_only_the_finished_file() {
        let folder = std::env::temp_dir().join(format!("xtask-publish-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let built = folder.join("built.a");
        fs::write(&built, "library").unwrap();
        let ready = folder.join("ready");
        publish(&built, &ready).unwrap();
        publish(&built, &ready).unwrap();
        assert_eq!(entries(&ready), [ready.join(LIBRARY)]);
        fs::remove_dir_all(&folder).unwrap();
    }
}

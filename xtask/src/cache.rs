//! The folders xtask keeps things in.
//! Holds: what is expensive to make lives outside the checkout, so that a fresh clone doesn't pay for it again.

use std::env;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::Duration;

use crate::say::{self, Ticker};

/// The root of the checkout that `cargo xtask` was called in. What was known when this program was built may be another
/// one: checkouts can share a target folder.
pub fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let built_in = || env!("CARGO_MANIFEST_DIR").into();
        let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(built_in));
        manifest.parent().map(Path::to_path_buf).unwrap_or(manifest)
    })
}

/// `$POSTHORN_CACHE`, else `$XDG_CACHE_HOME/posthorn`, else `~/.cache/posthorn`; made when it isn't there.
pub fn cache() -> Result<PathBuf, String> {
    let set = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let path = set("POSTHORN_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|path| path.join("posthorn")))
        .or_else(|| set("HOME").map(|path| path.join(".cache/posthorn")))
        .ok_or("no cache folder: set POSTHORN_CACHE or HOME")?;
    let path = if path.is_absolute() {
        path
    } else {
        root().join(path)
    };
    make(&path)?;
    Ok(path)
}

/// Cargo's target folder: `$POSTHORN_TARGET_DIR`, else with CI=true one in the cache, else `$CARGO_TARGET_DIR`, else
/// `./target`.
pub fn target() -> Result<PathBuf, String> {
    if let Some(path) = env::var_os("POSTHORN_TARGET_DIR").filter(|path| !path.is_empty()) {
        return Ok(root().join(path));
    }
    if env::var_os("CI").is_some_and(|ci| ci == "true") {
        return Ok(cache()?.join("target"));
    }
    match env::var_os("CARGO_TARGET_DIR").filter(|path| !path.is_empty()) {
        Some(path) => Ok(root().join(path)),
        None => Ok(root().join("target")),
    }
}

pub fn make(path: &Path) -> Result<(), String> {
    fs::create_dir_all(path).map_err(|error| format!("can't make {}: {error}", path.display()))
}

/// Takes the lock file `path`, waiting while another run of xtask has it. The lock ends with the returned file.
pub fn lock(path: &Path) -> Result<File, String> {
    let problem = |error| format!("can't lock {}: {error}", path.display());
    let file = File::create(path).map_err(problem)?;
    let mut waiting: Option<Ticker> = None;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(problem(error)),
        }
        let what = || format!("waiting for another run to release {}", path.display());
        waiting
            .get_or_insert_with(|| {
                say::step(format_args!("{}", what()));
                Ticker::start()
            })
            .tick(what);
        sleep(Duration::from_millis(500));
    }
}

//! The web console, compiled for the browser and made ready to be served.
//! Holds: the folder that is handed out is complete, and made from these sources; it lies outside the checkout under a hash of
//! them, so a second run has nothing to do; a machine without the standard library for WebAssembly gets one from where there is
//! one.
//! Other half: `xtask/wasm` does what comes after the compiler; `adapters/console` puts the folder into the binary.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use crate::hash::Fnv1a;
use crate::say::{self, Ticker};
use crate::{cache, cargo, packages};

const TARGET: &str = "wasm32-unknown-unknown";
const PACKAGE: &str = "web-admin";
const PROFILE: &str = "wasm-release";
const MODULE: &str = "web_admin.wasm";
/// What says that a folder is complete: the tool writes it last.
const MARKER: &str = "index.html";
/// What the result is made from, besides the compiler.
const SOURCES: [&str; 6] = [
    "Cargo.toml",
    "Cargo.lock",
    ".cargo/config.toml",
    "jmap-core/types",
    "web-admin",
    "xtask/wasm",
];
/// Time for the network to bring a standard library.
const FETCH_TIMEOUT: Duration = Duration::from_secs(300);
/// How often a long step says that it is at work.
const TICK: Duration = Duration::from_secs(10);
/// Results of other sources that are kept, for who goes back and forth between two checkouts.
const KEPT: usize = 4;

/// Where the standard library for WebAssembly comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Std {
    /// It is there, with the compiler.
    Installed,
    /// Rustup fetches it.
    Rustup,
    /// It is built from its source, which is there or which rustup fetches.
    RustSrc,
    /// Debian's compiler for the web builds it from Debian's source. Both are unpacked beside, and not installed.
    Debian,
}

impl Std {
    /// As `POSTHORN_WASM_STD` says it. In the order in which they are tried.
    const ALL: [(Self, &str); 4] = [
        (Self::Installed, "installed"),
        (Self::Rustup, "rustup"),
        (Self::RustSrc, "rust-src"),
        (Self::Debian, "debian"),
    ];

    fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(of, _)| *of == self);
        found.map_or("", |(_, name)| name)
    }
}

/// `cargo xtask wasm`: prints the folder.
pub fn wasm() -> Result<(), String> {
    packages::ensure(&[packages::Need::Build])?;
    println!("{}", ensure()?.display());
    Ok(())
}

/// The folder with the console; makes it when there is none of these sources yet (5 minutes the first time, 11 with Debian's
/// compiler).
pub fn ensure() -> Result<PathBuf, String> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    FOUND.get_or_init(find_or_build).clone()
}

/// The folder, if it is there already.
pub fn find() -> Result<Option<PathBuf>, String> {
    let ready = base()?.join(key()?);
    Ok(ready.join(MARKER).is_file().then_some(ready))
}

fn base() -> Result<PathBuf, String> {
    Ok(cache::cache()?.join("console"))
}

fn find_or_build() -> Result<PathBuf, String> {
    let base = base()?;
    let ready = base.join(key()?);
    if ready.join(MARKER).is_file() {
        touch(&ready);
        return Ok(ready);
    }
    cache::make(&base)?;
    let _lock = cache::lock(&base.join("lock"))?;
    if !ready.join(MARKER).is_file() {
        let time = Ticker::every(TICK);
        let module = compile(&base)?;
        finish(&base, &module, &ready)?;
        forget_old(&base);
        say::step(format_args!("the web console: {}", time.elapsed()));
    }
    Ok(ready)
}

/// Clippy over what runs in the browser. Where only Debian's compiler can build that, there is no clippy for it.
pub fn clippy() -> Result<(), String> {
    let base = base()?;
    if get(Std::Installed, &base).is_err() {
        say::step(format_args!(
            "clippy: the web console is left out, as this compiler has no standard library for {TARGET}"
        ));
        return Ok(());
    }
    let mut command = cargo::bare();
    command
        .args(["clippy", "--locked", "--package", PACKAGE, "--lib"])
        .args(["--profile", PROFILE, "--target", TARGET, "--target-dir"])
        .arg(base.join(format!("target-{}", folder_of(Std::Installed))))
        .args(["--", "-D", "warnings"]);
    forget_flags(&mut command);
    cargo::check("cargo clippy for the web console", &mut command)
}

/// They would take the place of what `.cargo/config.toml` says for this target.
fn forget_flags(command: &mut Command) {
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        command.env_remove(name);
    }
}

/// A hash over the sources and the compiler.
fn key() -> Result<String, String> {
    let mut hash = Fnv1a::new();
    for source in SOURCES {
        add(&cache::root().join(source), &mut hash)
            .map_err(|error| format!("{source}: {error}"))?;
    }
    hash.write(rustc_says(&["-vV"]).as_bytes());
    hash.write(forced()?.map_or("", Std::name).as_bytes());
    Ok(format!("{:016x}", hash.value()))
}

fn add(path: &Path, hash: &mut Fnv1a) -> std::io::Result<()> {
    hash.write(path.file_name().unwrap_or_default().as_encoded_bytes());
    if path.is_dir() {
        let entries = fs::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
        let mut below: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
        below.sort();
        return below.iter().try_for_each(|path| add(path, hash));
    }
    let octets = fs::read(path)?;
    hash.write(&octets.len().to_be_bytes());
    hash.write(&octets);
    Ok(())
}

/// The way that `POSTHORN_WASM_STD` wants.
fn forced() -> Result<Option<Std>, String> {
    let Some(name) = env::var_os("POSTHORN_WASM_STD").filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    let found = Std::ALL.iter().find(|(_, of)| name == *of);
    let names = Std::ALL.map(|(_, name)| name).join(", ");
    let found = found.ok_or_else(|| format!("POSTHORN_WASM_STD: one of {names}"))?;
    Ok(Some(found.0))
}

/// Compiles the console, with the first standard library that can be had.
fn compile(base: &Path) -> Result<PathBuf, String> {
    if let Some(std) = forced()? {
        return compile_with(std, base);
    }
    let mut failed = Vec::new();
    for (std, name) in Std::ALL {
        match get(std, base) {
            Ok(()) => return compile_with(std, base),
            Err(error) => failed.push(format!("{name}: {error}")),
        }
    }
    Err(format!(
        "there is no standard library for {TARGET}:\n  {}",
        failed.join("\n  ")
    ))
}

fn compile_with(std: Std, base: &Path) -> Result<PathBuf, String> {
    get(std, base)?;
    let folder = base.join(format!("target-{}", folder_of(std)));
    let mut command = match std {
        Std::Debian => debian_cargo(&debian_folder(base))?,
        _ => cargo::bare(),
    };
    command
        .args(["build", "--locked", "--package", PACKAGE, "--lib"])
        .args(["--profile", PROFILE, "--target", TARGET, "--target-dir"])
        .arg(&folder);
    if matches!(std, Std::RustSrc | Std::Debian) {
        command
            .arg("-Zbuild-std=std,panic_abort")
            .env("RUSTC_BOOTSTRAP", "1");
    }
    forget_flags(&mut command);
    say::step(format_args!(
        "compiling the web console for the browser (standard library: {})",
        std.name()
    ));
    let log = base.join(format!("log-{}", folder_of(std)));
    let progress = |said: &str| {
        let done = said
            .lines()
            .filter(|line| line.trim().starts_with("Compiling"));
        format!("the web console: {} crates begun", done.count())
    };
    cargo::watch(
        "compiling the web console",
        &mut command,
        &log,
        TICK,
        &progress,
    )?;
    Ok(folder.join(TARGET).join(PROFILE).join(MODULE))
}

/// One target folder a toolchain. An installed library is the same, wherever it came from.
fn folder_of(std: Std) -> &'static str {
    match std {
        Std::Installed | Std::Rustup => "native",
        Std::RustSrc => "rust-src",
        Std::Debian => "debian",
    }
}

/// Makes sure that a standard library, or its source, is there.
fn get(std: Std, base: &Path) -> Result<(), String> {
    let sysroot = PathBuf::from(rustc_says(&["--print", "sysroot"]).trim());
    let installed = sysroot.join("lib/rustlib").join(TARGET).join("lib");
    let source = sysroot.join("lib/rustlib/src/rust/library/Cargo.lock");
    match std {
        Std::Installed if installed.is_dir() => Ok(()),
        Std::Installed => Err("not installed".into()),
        Std::Rustup => rustup(&["target", "add", TARGET], &installed),
        Std::RustSrc if source.is_file() => Ok(()),
        Std::RustSrc => rustup(&["component", "add", "rust-src"], &source),
        Std::Debian => unpack_debian(&debian_folder(base)),
    }
}

/// Lets rustup fetch something for the compiler that is used here, and sees that it is there then.
fn rustup(args: &[&str], wanted: &Path) -> Result<(), String> {
    if !packages::has("rustup") {
        return Err("there is no rustup".into());
    }
    let mut command = Command::new("rustup");
    command.args(args).current_dir(cache::root());
    let what = format!("rustup {}", args.join(" "));
    cargo::check_within(&what, &mut command, FETCH_TIMEOUT)?;
    match wanted.exists() {
        true => Ok(()),
        false => Err(format!("{what}: {} is still not there", wanted.display())),
    }
}

/// Debian's compiler for the web, and what it needs beyond a small system.
const DEBIAN: [&str; 11] = [
    "rustc-web",
    "cargo-web",
    "rust-web-src",
    "libstd-rust-web-dev",
    "libstd-rust-web-1.96",
    "libllvm22",
    "libgit2-1.5",
    "libhttp-parser2.9",
    "libmbedcrypto7",
    "libmbedx509-1",
    "libmbedtls14",
];

fn debian_folder(base: &Path) -> PathBuf {
    base.join("debian")
}

/// Fetches Debian's packages and unpacks them (870 MB), beside whatever the system has.
fn unpack_debian(folder: &Path) -> Result<(), String> {
    let marker = folder.join("unpacked");
    if marker.is_file() {
        return Ok(());
    }
    if !packages::has("apt-get") {
        return Err("this is no Debian".into());
    }
    let _ = fs::remove_dir_all(folder);
    let files = folder.join("packages");
    cache::make(&files)?;
    // As root, apt-get would fetch as a user who can't write here.
    let mut fetch = Command::new("apt-get");
    fetch
        .args(["-o", "APT::Sandbox::User=root", "--quiet", "download"])
        .args(DEBIAN)
        .stdout(Stdio::null())
        .current_dir(&files);
    cargo::check_within(
        "apt-get download rustc-web and what it needs",
        &mut fetch,
        FETCH_TIMEOUT,
    )?;
    let problem = |error| format!("{}: {error}", files.display());
    for entry in fs::read_dir(&files).map_err(problem)? {
        let file = entry.map_err(problem)?.path();
        let mut unpack = Command::new("dpkg");
        unpack.arg("-x").arg(&file).arg(folder);
        cargo::check_within(
            &format!("unpacking {}", file.display()),
            &mut unpack,
            FETCH_TIMEOUT,
        )?;
    }
    let _ = fs::remove_dir_all(&files);
    fs::write(&marker, "").map_err(|error| format!("{}: {error}", marker.display()))
}

/// Debian's cargo, as if it were installed.
fn debian_cargo(folder: &Path) -> Result<Command, String> {
    let bin = folder.join("usr/bin");
    let lld = PathBuf::from(rustc_says(&["--print", "sysroot"]).trim())
        .join("lib/rustlib")
        .join(host())
        .join("bin/rust-lld");
    let libraries = folder.join("usr/lib");
    let own = libraries.join(format!("{}-linux-gnu", env::consts::ARCH));
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths(std::iter::once(bin.clone()).chain(env::split_paths(&path)))
        .map_err(|error| format!("PATH: {error}"))?;
    let search = env::join_paths([own, libraries]).map_err(|error| error.to_string())?;
    let mut command = cargo::bare_of(bin.join("cargo").as_os_str());
    command
        .env("PATH", path)
        .env("RUSTC", bin.join("rustc"))
        .env("LD_LIBRARY_PATH", search)
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", lld);
    // They name the other compiler, or stand before it.
    for name in [
        "CARGO",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_WRAPPER",
        "RUSTDOC",
        "RUSTUP_HOME",
        "RUSTUP_TOOLCHAIN",
    ] {
        command.env_remove(name);
    }
    Ok(command)
}

/// Runs the tool over the compiled module; the folder gets its name when all is in it.
fn finish(base: &Path, module: &Path, ready: &Path) -> Result<(), String> {
    let folder = base.join("target-tool");
    let mut tool = cargo::bare();
    tool.args([
        "build",
        "--locked",
        "--package",
        "xtask-wasm",
        "--features",
        "tool",
    ])
    .args(["--profile", "wasm-tool", "--target-dir"])
    .arg(&folder);
    let progress = |said: &str| {
        let done = said
            .lines()
            .filter(|line| line.trim().starts_with("Compiling"));
        format!("wasm-bindgen: {} crates begun", done.count())
    };
    let what = "building what makes the module ready for the browser";
    cargo::watch(what, &mut tool, &base.join("log-tool"), TICK, &progress)?;
    let making = base.join(format!("making-{}", std::process::id()));
    let mut run = Command::new(folder.join("wasm-tool/xtask-wasm"));
    run.arg(module)
        .arg(cache::root().join("web-admin/static"))
        .arg(&making);
    cargo::check_within(
        "making the module ready for the browser",
        &mut run,
        FETCH_TIMEOUT,
    )?;
    let _ = fs::remove_dir_all(ready);
    fs::rename(&making, ready).map_err(|error| format!("{}: {error}", ready.display()))
}

/// Marks a folder as used just now.
fn touch(folder: &Path) {
    let now = SystemTime::now();
    let _ = fs::File::open(folder).and_then(|folder| folder.set_modified(now));
}

/// Takes away the results that were not used for longest.
fn forget_old(base: &Path) {
    let entries = fs::read_dir(base).into_iter().flatten().flatten();
    let mut results: Vec<(SystemTime, PathBuf)> = entries
        .map(|entry| entry.path())
        .filter(|path| path.join(MARKER).is_file())
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .collect();
    results.sort();
    let old = results.len().saturating_sub(KEPT);
    for (_, path) in results.into_iter().take(old) {
        let _ = fs::remove_dir_all(path);
    }
}

fn rustc_says(args: &[&str]) -> String {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(args)
        .current_dir(cache::root())
        .output();
    let said = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&said).into_owned()
}

/// The machine's own target, such as `x86_64-unknown-linux-gnu`.
fn host() -> String {
    let said = rustc_says(&["-vV"]);
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.unwrap_or_default().to_owned()
}

//! `cargo xtask test`: all that must hold before a change goes in.
//! Holds: it needs a Rust toolchain and Debian's packages, no container and no running service; its last lines are cargo
//! test's own.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::say::Ticker;
use crate::{cache, cargo, imports, packages, say, suites, wasm};

/// What the end-to-end tests try the server with: a JMAP client, the encryption of Web Push, DKIM signatures,
/// a reader of Authentication-Results, one of YAML for the public suites of SPF and ARC, and a client of OAuth.
const PYTHON_PACKAGES: &[&str] = &[
    "jmapc==0.4.0",
    "http-ece==1.2.1",
    "dkimpy[ed25519]==1.1.8",
    "authres==1.2.0",
    "PyYAML==6.0.3",
    "schemathesis==4.32.5",
    "authlib==1.6.12",
];

/// Databases that the end-to-end tests can be run with.
const STORES: [&str; 4] = ["rocksdb", "sqlite", "postgres", "mariadb"];

/// Places of blobs that they can be run with.
const BLOBS: [&str; 3] = ["inline", "fs", "s3"];

/// `[--store NAME|all] [--blobs NAME|all] [-- ARGS]`
pub fn test(args: &[String]) -> Result<(), String> {
    let time = Ticker::start();
    let (stores, args) = option("--store", &STORES, args)?;
    let (blobs, args) = option("--blobs", &BLOBS, args)?;
    packages::ensure(&[packages::Need::Build, packages::Need::Test])?;
    let args = match args.split_first() {
        Some((first, rest)) if first == "--" => rest,
        _ => args,
    };
    cargo::check(
        "cargo fmt --check",
        cargo::bare().args(["fmt", "--all", "--check"]),
    )?;
    imports::check_workspace()?;
    wasm::ensure()?;
    let venv = python_venv()?;
    let suites = suites::ensure(&venv)?;
    let clippy = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    cargo::check("cargo clippy", cargo::cargo()?.args(clippy))?;
    wasm::clippy()?;
    // The end-to-end tests start the server's binary, which `cargo test` alone would not build for them.
    let build = ["build", "--package", "posthorn", "--bin", "posthorn"];
    cargo::check("building posthorn", cargo::cargo()?.args(build))?;
    say::step(format_args!("{} so far", time.elapsed()));
    let tests = |packages: &[&str], store: &str, blobs: &str| {
        let mut tests = cargo::cargo()?;
        tests
            .args(["test", "--no-fail-fast"])
            .args(packages)
            .args(args)
            .env("POSTHORN_BIN", cache::target()?.join("debug/posthorn"))
            .env("POSTHORN_PYTHON", venv.join("bin/python"))
            .env("POSTHORN_TEST_STORE", store)
            .env("POSTHORN_TEST_BLOBS", blobs)
            .envs(suites.clone());
        Ok::<_, String>(tests)
    };
    if stores.is_empty() && blobs.is_empty() {
        let mut all = tests(&["--workspace"], "", "")?;
        return cargo::check("cargo test --workspace", &mut all);
    }
    // What is not named is the usual one.
    let or_usual = |names: &'static [&'static str]| match names {
        [] => &[""],
        names => names,
    };
    for store in or_usual(stores) {
        for blobs in or_usual(blobs) {
            // What the kind of database, or of place, makes a difference to.
            let packages = ["--package", "store", "--package", "e2e"];
            let what = format!("cargo test over {store} {blobs}");
            cargo::check(&what, &mut tests(&packages, store, blobs)?)?;
        }
    }
    Ok(())
}

/// The names that an option asks for, and the arguments behind it.
fn option<'a>(
    option: &str,
    names: &'static [&'static str],
    args: &'a [String],
) -> Result<(&'static [&'static str], &'a [String]), String> {
    let Some((_, rest)) = args.split_first().filter(|(first, _)| *first == option) else {
        return Ok((&[], args));
    };
    let (name, rest) = rest
        .split_first()
        .ok_or_else(|| format!("{option} needs a name"))?;
    if name == "all" {
        return Ok((names, rest));
    }
    let found = names.iter().position(|other| other == name);
    let at = found.ok_or_else(|| format!("{option} {name}: one of {names:?}, or all"))?;
    Ok((&names[at..=at], rest))
}

/// The folder of a Python environment with these packages; made when it isn't in the cache yet.
pub fn python_venv() -> Result<PathBuf, String> {
    let base = cache::cache()?;
    let venv = base.join("python");
    let marker = venv.join("installed");
    let want = PYTHON_PACKAGES.join("\n");
    let is_ready = || fs::read_to_string(&marker).is_ok_and(|have| have == want);
    if is_ready() {
        return Ok(venv);
    }
    let _lock = cache::lock(&base.join("python.lock"))?;
    if is_ready() {
        return Ok(venv);
    }
    let _ = fs::remove_dir_all(&venv);
    let mut make = Command::new("python3");
    make.args(["-m", "venv"]).arg(&venv);
    cargo::check(
        &format!("making a Python environment in {}", venv.display()),
        &mut make,
    )?;
    let mut install = Command::new(venv.join("bin/python"));
    install
        .args(["-m", "pip", "install", "--quiet"])
        .args(PYTHON_PACKAGES);
    cargo::check(
        &format!("pip install {} (for the tests)", PYTHON_PACKAGES.join(" ")),
        &mut install,
    )?;
    fs::write(&marker, want).map_err(|error| format!("{}: {error}", marker.display()))?;
    Ok(venv)
}

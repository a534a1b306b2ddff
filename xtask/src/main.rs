//! `cargo xtask`: everything a developer does with this repository, by one word.
//! Holds: it is std only, so it compiles in seconds; each step finds out by itself what is missing, says what it
//! fetches, and does nothing, without the network, when all is there already.
//! Other half: `.cargo/config.toml` has the alias, `.ci/run` calls `cargo xtask test`.

mod bench;
mod cache;
mod cargo;
mod chaos;
mod hash;
mod imports;
mod json;
mod packages;
mod rocksdb;
mod run;
mod say;
mod suites;
mod test;
mod wasm;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask <command>

  setup [--test] [--bench]   install what building needs (and the tests, and the benchmark's peers), build RocksDB once
  run [-- ARGS]              build and run the server; data in ./data
  test [-- ARGS]             format, import rules, clippy, every test; ARGS go to cargo test
  test --store NAME          the same with the tests of the store and end to end over rocksdb, sqlite, postgres, mariadb or all
  test --blobs NAME          the same with blobs in the database (inline), in a folder (fs), encrypted in a server of S3 (s3), or all
  wasm                       build the web console and print its folder; `run` and `test` do it by themselves
  check-imports              only the rule of who may import whom
  bench [ARGS]               measure a release build beside Postfix and Dovecot; --help lists its arguments
  chaos [ARGS]               three nodes over one database and one object store while everything goes wrong; --help lists its arguments
  cargo ARGS                 any cargo command with the cached RocksDB, e.g. `cargo xtask cargo check -p store`
  env                        print the same environment for a shell: eval \"$(cargo xtask env)\"

Environment
  POSTHORN_CACHE        where RocksDB, the tests' Python packages and the like are kept
                        (default: $XDG_CACHE_HOME/posthorn or ~/.cache/posthorn)
  POSTHORN_WASM_STD     where the standard library for WebAssembly is taken from: installed, rustup, rust-src or debian
                        (default: the first of them that can be had)
  POSTHORN_TARGET_DIR   cargo's target folder (default: ./target; with CI=true: target in the cache)
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match args.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", &args[..]),
    };
    let done = match command {
        "setup" => setup(rest),
        "run" => run::run(rest),
        "test" => test::test(rest),
        "wasm" => wasm::wasm(),
        "check-imports" => imports::check_workspace(),
        "bench" => bench::bench(rest),
        "chaos" => chaos::chaos(rest),
        "cargo" => cargo::pass_through(rest),
        "env" => cargo::print_env(),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        other => Err(format!("unknown command `{other}`\n\n{USAGE}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            say::step(format_args!("failed: {message}"));
            ExitCode::FAILURE
        }
    }
}

fn setup(args: &[String]) -> Result<(), String> {
    let mut needs = vec![packages::Need::Build];
    for arg in args {
        match arg.as_str() {
            "--test" => needs.push(packages::Need::Test),
            "--bench" => needs.push(packages::Need::Bench),
            other => return Err(format!("setup: unknown argument `{other}`")),
        }
    }
    packages::ensure(&needs)?;
    if args.iter().any(|arg| arg == "--test") {
        suites::ensure(&test::python_venv()?)?;
    }
    let library = rocksdb::ensure()?;
    say::step(format_args!(
        "all is there; RocksDB is in {}",
        library.display()
    ));
    Ok(())
}

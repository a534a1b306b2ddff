//! Several nodes over one database and one object store, while everything goes wrong: `cargo xtask chaos`.
//!
//! Holds: what was seen is on the standard output, progress on the standard error; the exit code is 1 if anything was lost, doubled, or
//! seen differently by two nodes.
//! Other half: `e2e::chaos`.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use e2e::chaos::{Plan, run};

const USAGE: &str = "\
cargo xtask chaos [OPTIONS]

  --minutes N   how long things go wrong (default 10)
  --seconds N   the same in seconds
  --nodes N     servers over the database (default 3)
  --seed N      what goes wrong, and what clients do (default: another one each time)
";

fn main() -> ExitCode {
    let plan = match plan(std::env::args().skip(1)) {
        Ok(plan) => plan,
        Err(text) => {
            eprintln!("{text}");
            return ExitCode::from(2);
        }
    };
    let report = run(&plan, &|sentence| eprintln!("chaos: {sentence}"));
    println!("{report}");
    match report.violations.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// The program that is built together with this one.
fn objects() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    Ok(own.with_file_name("objects"))
}

fn plan(mut args: impl Iterator<Item = String>) -> Result<Plan, String> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let mut plan = Plan {
        seed: now.map_or(0, |now| now.as_secs()),
        duration: Duration::from_secs(600),
        nodes: 3,
        objects: objects()?,
    };
    while let Some(arg) = args.next() {
        let mut number = || {
            let text = args.next().unwrap_or_default();
            let number = text.parse::<u64>();
            number.map_err(|_| format!("{arg} wants a number\n\n{USAGE}"))
        };
        match arg.as_str() {
            "--minutes" => plan.duration = Duration::from_secs(60 * number()?),
            "--seconds" => plan.duration = Duration::from_secs(number()?),
            "--nodes" => plan.nodes = number()?.clamp(1, 16) as usize,
            "--seed" => plan.seed = number()?,
            "--help" | "-h" => return Err(USAGE.to_owned()),
            _ => return Err(format!("unknown argument `{arg}`\n\n{USAGE}")),
        }
    }
    Ok(plan)
}

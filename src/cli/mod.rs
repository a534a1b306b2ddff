//! The command line: `serve` runs a server; everything else is a command for one.
//!
//! Holds: a command goes to the server that runs over the data folder, or is done on the folder itself, which stays
//! locked meanwhile; both come to the same. Exit codes: 0 done, 1 refused or problems found, 2 a wrong command line.

pub mod args;
pub mod command;
pub mod control;
pub mod execute;
mod forwards;
mod password;
mod print;
pub mod queue;
mod reports;
mod serve;
#[cfg(test)]
mod tests;
mod trace;

use std::{
    io::{IsTerminal as _, Write as _},
    process::ExitCode,
    time::Duration,
};

use clap::Parser as _;

use self::{
    args::{AccountVerb, Cli, Verb},
    command::{Answer, Command},
    execute::Target,
};
use crate::{
    config::{Config, LogLevel},
    folder::Folder,
    log,
    publish::{Publisher, check::Finding},
    wire,
};

type AnyError = Box<dyn std::error::Error>;

/// Time that blocking work gets when the process ends.
const END_TIME: Duration = Duration::from_secs(5);

/// Does what the command line says.
pub fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("posthorn: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode, AnyError> {
    let mut config = match &cli.config {
        Some(file) => Config::read(file)?,
        None => Config::without_file(),
    };
    if let Some(data) = &cli.data {
        config.data = data.clone();
    }
    // As many threads as there are cores.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let code = if let Verb::Serve { quickstart } = cli.verb {
        log::start(&config.log);
        runtime.block_on(serve::serve(config, quickstart))?;
        ExitCode::SUCCESS
    } else {
        // Events of the store are the server's; here only what is wrong counts.
        config.log.level = LogLevel::Error;
        log::start(&config.log);
        let style = Style::of(&cli);
        let command = cli.verb.command(&password::read)?;
        match command {
            Some(command) => show(runtime.block_on(give(&config, command))?, style),
            None => ExitCode::SUCCESS,
        }
    };
    runtime.shutdown_timeout(END_TIME);
    Ok(code)
}

/// Gives a command to the server of the data folder, or does it on the folder.
async fn give(config: &Config, command: Command) -> Result<Answer, AnyError> {
    let folder = Folder::open(&config.data)?;
    if let Some(stream) = control::connect(&folder.control_socket()).await? {
        return Ok(control::ask(stream, &command, &progress).await?);
    }
    let core = wire::open(config, &folder).await?;
    let target = Target {
        core: core.clone(),
        clock: wire::clock(),
        publisher: Publisher::new(config),
        connections: None,
    };
    let answer = execute::execute(&target, command, &progress).await;
    core.tell_others().await;
    core.leave_cluster().await?;
    Ok(answer?)
}

/// Progress goes over one line of the terminal, and nowhere else.
fn progress(sentence: &str) {
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        let _ = write!(stderr, "\r\x1b[K{sentence}");
        let _ = stderr.flush();
    }
}

/// How an answer is to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Text,
    Json,
    /// The id of an account alone.
    Id,
}

impl Style {
    fn of(cli: &Cli) -> Style {
        match &cli.verb {
            Verb::Account(AccountVerb::Show { id: true, .. }) => Style::Id,
            _ if cli.json => Style::Json,
            _ => Style::Text,
        }
    }
}

fn show(answer: Answer, style: Style) -> ExitCode {
    let text = match (style, &answer) {
        (Style::Id, Answer::Account(row)) => row.id.clone(),
        (Style::Json, answer) => print::json(answer),
        (_, answer) => print::text(answer),
    };
    if std::io::stderr().is_terminal() {
        progress("");
    }
    // A reader that has seen enough, such as `head`, is no error.
    let _ = writeln!(std::io::stdout(), "{text}");
    match answer {
        Answer::Check(row) if !row.problems.is_empty() => ExitCode::FAILURE,
        Answer::Findings(rows) if rows.iter().any(Finding::is_wrong) => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

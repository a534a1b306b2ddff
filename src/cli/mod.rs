//! The command line: `serve` runs a server; everything else is a command for one.
//!
//! Holds: a command goes to the server that runs over the data folder, or is done on the folder itself, which stays
//! locked meanwhile; both come to the same. Exit codes: 0 done, 1 refused or problems found, 2 a wrong command line; and 3 of
//! `settings plan`: something would change.

pub mod args;
mod audit;
mod backup;
mod ban;
pub mod blobs;
pub mod command;
pub mod control;
pub mod execute;
mod forwards;
mod moving;
mod password;
mod print;
pub mod queue;
mod repair;
mod reports;
mod serve;
mod session;
pub mod settings;
#[cfg(test)]
pub(crate) mod tests;
mod tls;
mod trace;
pub mod undelete;
mod upgrade;
mod webhook;

use std::{
    io::{IsTerminal as _, Write as _},
    process::ExitCode,
    time::Duration,
};

use clap::Parser as _;
use jmap_core::Way;

use self::{
    args::{AccountVerb, Cli, Verb},
    command::{Answer, Command},
    execute::Target,
};
use crate::{
    config::{Config, LogLevel, values::Span},
    engine,
    folder::{Folder, FolderError},
    log,
    publish::{Publisher, check::Finding},
    wire,
};

type AnyError = Box<dyn std::error::Error>;

/// Time that blocking work gets when the process ends.
const END_TIME: Duration = Duration::from_secs(5);
/// Twice what is usual: a stack that overflows ends the server. What isn't used takes no memory.
const STACK_OCTETS: usize = 4 << 20;

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
        .thread_stack_size(STACK_OCTETS)
        .enable_all()
        .build()?;
    let code = if let Verb::Serve { quickstart } = cli.verb {
        log::start_server(&config)?;
        runtime.block_on(serve::serve(config, quickstart))?;
        ExitCode::SUCCESS
    } else if let Verb::Upgrade { check } = cli.verb {
        log::start_command(LogLevel::Error, config.log.format);
        runtime.block_on(upgrade::upgrade(&config, check, cli.json))?
    } else {
        // Whoever waits for a command can give it again.
        config.store.start_timeout = Span::seconds(0);
        // Events of the store are the server's; here only what is wrong counts.
        log::start_command(LogLevel::Error, config.log.format);
        let style = Style::of(&cli);
        let answer = match cli.verb {
            Verb::Import(verb) => Some(runtime.block_on(moving::import(&config, verb))?),
            Verb::Export(verb) => Some(runtime.block_on(moving::export(&config, verb))?),
            Verb::Copy(args) => Some(runtime.block_on(moving::copy(&config, args))?),
            Verb::Backup(args) => Some(runtime.block_on(backup::backup(&config, args))?),
            Verb::Restore(args) => Some(runtime.block_on(backup::restore(&config, *args))?),
            verb => match verb.command(&password::read)? {
                Some(command) => Some(runtime.block_on(give(&config, command))?),
                None => None,
            },
        };
        answer.map_or(ExitCode::SUCCESS, |answer| show(answer, style))
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
    if command == Command::Health {
        return Err("no server runs over this data folder".into());
    }
    let is_repair = matches!(command, Command::Check { repair: true, .. });
    let (core, live) = match wire::open(config, &folder).await {
        // Without some of its own values no server starts.
        Err(FolderError::Store(_, store::Error::Corrupt { .. })) if is_repair => {
            for name in engine::mend(config, &folder).await? {
                eprintln!(
                    "posthorn: the server's own value \"{name}\" was damaged, and begins anew"
                );
            }
            wire::open(config, &folder).await?
        }
        opened => opened?,
    };
    let target = Target {
        core: core.clone(),
        clock: wire::clock(),
        publisher: Publisher::new(live.current()),
        way: Way::CommandLine,
        certificates: None,
        connections: None,
        keys: None,
    };
    // Some commands take longer than the others wait for a node that is silent.
    let work = execute::execute(&target, command, &progress);
    let answer = core.alive_while(work).await;
    core.flush_events().await?;
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
    if let Answer::Export(row) = &answer {
        return match repair::write(row) {
            Ok(sentence) => {
                let _ = writeln!(std::io::stdout(), "{sentence}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("posthorn: {} can't be written: {error}", row.file.display());
                ExitCode::FAILURE
            }
        };
    }
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
        Answer::Check(row) if row.is_wrong() => ExitCode::FAILURE,
        Answer::Moved(row) if !row.problems.is_empty() => ExitCode::FAILURE,
        Answer::BlobsRewritten(row) if row.damaged_count > 0 => ExitCode::FAILURE,
        Answer::Restored(row) if !row.not_restored.is_empty() => ExitCode::FAILURE,
        Answer::Findings(rows) if rows.iter().any(Finding::is_wrong) => ExitCode::FAILURE,
        Answer::Backup(answer) if backup::is_wrong(&answer) => ExitCode::FAILURE,
        Answer::Settings(answer) if settings::has_changes(&answer) => {
            ExitCode::from(settings::CHANGES)
        }
        _ => ExitCode::SUCCESS,
    }
}

//! `posthorn backup` and `posthorn restore`.
//!
//! Holds: what needs a server's data goes to the server that runs, or is done on the data folder; what is in a repository alone is done
//! here, without any server. A passphrase and an identity are in files, never arguments.
//! Other half: `crate::backups` does the work, `print` below shows what came of it.

mod args;
mod execute;
mod local;
mod print;
mod rows;

pub use self::{
    args::{BackupArgs, RestoreArgs},
    execute::execute,
    print::{is_wrong, text},
    rows::{BackupAnswer, BackupCommand},
};
use super::{
    AnyError,
    command::{Answer, Command},
};
use crate::config::Config;

/// Does what the words after `backup` say.
pub async fn backup(config: &Config, args: BackupArgs) -> Result<Answer, AnyError> {
    match args.plan()? {
        args::Plan::Server(command) => super::give(config, Command::Backup(command)).await,
        args::Plan::Local(work) => Ok(Answer::Backup(
            local::execute(config, work, &super::progress).await?,
        )),
    }
}

/// Does what the words after `restore` say.
pub async fn restore(config: &Config, args: RestoreArgs) -> Result<Answer, AnyError> {
    match args.plan()? {
        args::Plan::Server(command) => super::give(config, Command::Backup(command)).await,
        args::Plan::Local(work) => Ok(Answer::Backup(
            local::execute(config, work, &super::progress).await?,
        )),
    }
}

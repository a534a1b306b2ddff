//! What is about the data of a server.

use backup::Progress;
use jmap_core::{
    inproc::backup::OutcomeRecord,
    mail::bring_back::{BringBack, Messages},
};

use super::rows::{
    BackupAnswer, BackupCommand, BringBackCommand, BroughtBackRow, MadeRow, OutcomeRow,
    RepositoryRow,
};
use crate::{
    backups::{self, BackupError, Tools, archive::Archive, run},
    cli::execute::Target,
    wire,
};

pub async fn execute(
    target: &Target,
    command: BackupCommand,
    progress: Progress<'_>,
) -> Result<BackupAnswer, BackupError> {
    let (core, who) = (&target.core, &target.operator());
    Ok(match command {
        BackupCommand::Run {
            access,
            begins_anew,
        } => {
            let repository = backups::Target {
                begins_anew,
                ..access.target()?
            };
            let tools = Tools {
                clock: target.clock.clone(),
                rng: wire::rng(),
            };
            let done = run::run(core, who, &repository, &tools, progress).await?;
            BackupAnswer::Made(made(&done))
        }
        BackupCommand::Status => {
            let mut rows: Vec<RepositoryRow> = core
                .backup_repositories(who)
                .await?
                .into_iter()
                .filter(|record| record.success.is_some() || record.failure.is_some())
                .map(|record| RepositoryRow {
                    place: record.place,
                    success: record.success.map(outcome),
                    failure: record.failure.map(outcome),
                })
                .collect();
            rows.sort_by(|a, b| a.place.cmp(&b.place));
            BackupAnswer::Status(rows)
        }
        BackupCommand::BringBack(command) => {
            BackupAnswer::BroughtBack(bring_back(target, *command, progress).await?)
        }
    })
}

pub fn made(done: &run::Done) -> MadeRow {
    MadeRow {
        snapshot: done.snapshot.short(),
        rows: done.record.rows(),
        row_octets: done.record.row_octets(),
        blobs: done.record.blobs,
        new_blobs: done.new_blobs,
        new_octets: done.new_octets,
        added_octets: done.record.added_octets,
        lost_blobs: done.record.substitutes.len() as u64,
    }
}

fn outcome(record: OutcomeRecord) -> OutcomeRow {
    OutcomeRow {
        at: record.at,
        seconds: record.seconds,
        sentence: record.sentence,
        added_octets: record.added_octets,
    }
}

async fn bring_back(
    target: &Target,
    command: BringBackCommand,
    progress: Progress<'_>,
) -> Result<BroughtBackRow, BackupError> {
    let repository = command.access.target()?.open().await?;
    let id = command.snapshot.find(&repository).await?;
    let snapshot = repository.snapshot(&id).await?;
    let messages = match (command.message_id, command.email) {
        (Some(id), _) => Messages::MessageId(id),
        (None, Some(id)) => Messages::Email(id),
        (None, None) => Messages::All,
    };
    let what = BringBack {
        account: command.account,
        into: command.into,
        mailbox: command.mailbox,
        messages,
    };
    let who = &target.operator();
    let archive = Archive::shared(&snapshot);
    let brought = target
        .core
        .bring_back(who, archive, &what, progress)
        .await?;
    Ok(BroughtBackRow {
        account: brought.account,
        made_account: brought.made_account,
        made_mailboxes: brought.mailboxes,
        emails: brought.emails,
        put_back: brought.put_back,
        already_there: brought.there,
        lost: brought.lost,
        others: brought.others,
        taken_addresses: brought.taken_addresses,
    })
}

//! What came of it, for people.

use std::fmt::Write as _;

use jmap_types::UtcDate;

use super::rows::{
    BackupAnswer, BroughtBackRow, MadeRow, OutcomeRow, PrunedRow, RepositoryRow, RestoredRow,
    SnapshotRow, VerifiedRow,
};

pub fn text(answer: &BackupAnswer) -> String {
    match answer {
        BackupAnswer::Made(row) => made(row),
        BackupAnswer::Status(rows) if rows.is_empty() => {
            "no backup of this server was made".to_owned()
        }
        BackupAnswer::Status(rows) => lines(rows, status),
        BackupAnswer::Snapshots(rows) if rows.is_empty() => "there are no snapshots".to_owned(),
        BackupAnswer::Snapshots(rows) => lines(rows, snapshot),
        BackupAnswer::Verified(row) => verified(row),
        BackupAnswer::Pruned(row) => pruned(row),
        BackupAnswer::Restored(row) => restored(row),
        BackupAnswer::BroughtBack(row) => brought_back(row),
    }
}

/// Whether something was found that is not as it should be.
pub fn is_wrong(answer: &BackupAnswer) -> bool {
    match answer {
        BackupAnswer::Verified(row) => !row.problems.is_empty(),
        BackupAnswer::Made(row) => row.lost_blobs > 0,
        BackupAnswer::Restored(row) => row.damaged_blobs > 0,
        BackupAnswer::Status(_)
        | BackupAnswer::Snapshots(_)
        | BackupAnswer::Pruned(_)
        | BackupAnswer::BroughtBack(_) => false,
    }
}

fn lines<T>(rows: &[T], line: impl Fn(&T) -> String) -> String {
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn mib(octets: u64) -> String {
    format!("{:.1} MiB", octets as f64 / f64::from(1 << 20))
}

fn made(row: &MadeRow) -> String {
    let mut text = format!(
        "snapshot {}: {} rows, {} blobs; new were {} blobs, {}, stored as {}",
        row.snapshot,
        row.rows,
        row.blobs,
        row.new_blobs,
        mib(row.new_octets),
        mib(row.added_octets)
    );
    if row.lost_blobs > 0 {
        let _ = write!(
            text,
            "\n{} blobs are missing or damaged in the store: `posthorn check` names them",
            row.lost_blobs
        );
    }
    text
}

fn status(row: &RepositoryRow) -> String {
    let mut text = row.place.clone();
    let outcome = |word: &str, of: &OutcomeRow| {
        format!(
            "\n  {word} at {}, after {} s: {} ({} added)",
            UtcDate(of.at),
            of.seconds,
            of.sentence,
            mib(of.added_octets)
        )
    };
    if let Some(success) = &row.success {
        text.push_str(&outcome("worked", success));
    }
    if let Some(failure) = &row.failure {
        text.push_str(&outcome("failed", failure));
    }
    text
}

fn snapshot(row: &SnapshotRow) -> String {
    let mut text = format!(
        "{}  {}  {}",
        row.id,
        UtcDate(row.time),
        mib(row.pack_octets)
    );
    match &row.content {
        None => text.push_str("  encrypted"),
        Some(content) => {
            let _ = write!(
                text,
                "  {} accounts, {} emails, {} added  {}",
                content.accounts,
                content.emails,
                mib(content.added_octets),
                content.hostname
            );
        }
    }
    text
}

fn verified(row: &VerifiedRow) -> String {
    let mut text = format!(
        "{} snapshots, {} packs, {} rows, {} blobs",
        row.snapshots, row.packs, row.rows, row.blobs
    );
    if row.unused_files > 0 {
        let _ = write!(text, "; {} files that nothing needs", row.unused_files);
    }
    if row.is_closed {
        text.push_str("; it is encrypted, and what is in it was not looked at");
    }
    for problem in &row.problems {
        let _ = write!(text, "\n{problem}");
    }
    if row.has_more {
        text.push_str("\nand more");
    }
    if row.problems.is_empty() {
        text.push_str("\nall is well");
    }
    text
}

fn pruned(row: &PrunedRow) -> String {
    format!(
        "{} snapshots are kept, {} removed; {} packs with {} went",
        row.kept.len(),
        row.removed.len(),
        row.packs,
        mib(row.octets)
    )
}

fn restored(row: &RestoredRow) -> String {
    let mut text = format!(
        "snapshot {} was restored: {} rows and {} blobs, compared with the backup",
        row.snapshot, row.restored_rows, row.restored_blobs
    );
    if row.lost_blobs > 0 {
        let _ = write!(
            text,
            "\n{} blobs were missing when it was made",
            row.lost_blobs
        );
    }
    if row.damaged_blobs > 0 {
        let _ = write!(
            text,
            "\n{} blobs can't be read in the backup, and are missing: `posthorn check` says of which mails",
            row.damaged_blobs
        );
    }
    if row.is_queue_held {
        text.push_str("\nmail that was on its way waits for `posthorn queue resume`");
    }
    text
}

fn brought_back(row: &BroughtBackRow) -> String {
    let mut text = format!(
        "{}: {} emails were brought back, {} put back into their mailboxes, {} were there",
        row.account, row.emails, row.put_back, row.already_there
    );
    if row.made_account {
        text.push_str("\nthe account was made again");
    }
    if row.made_mailboxes > 0 || row.others > 0 {
        let _ = write!(
            text,
            "\n{} mailboxes and {} other objects were made",
            row.made_mailboxes, row.others
        );
    }
    if row.lost > 0 {
        let _ = write!(text, "\n{} emails are not in the backup", row.lost);
    }
    for address in &row.taken_addresses {
        let _ = write!(text, "\n{address} is another account's now");
    }
    text
}

//! Answers for people, and for machines.
//!
//! Holds: what goes to machines has the same names always; what goes to people fits a line an object.

use std::fmt::Write as _;

use super::audit;
use super::ban;
use super::blobs;
use super::command::{
    AccountRow, Answer, CredentialKind, CredentialRow, DkimKeyRow, DomainRow, IssuedRow, Kind,
    Posters, RecordsRow, Role, StatusRow,
};
use super::repair;
use super::reports;
use super::session;
use super::tls;
use super::trace;
use super::undelete;
use crate::publish::{
    check::{Finding, Status},
    records::zone,
};

/// The JSON of an answer, without the name of its kind.
pub fn json(answer: &Answer) -> String {
    let value = serde_json::to_value(answer).unwrap_or_default();
    let value = value.get("value").cloned().unwrap_or_default();
    serde_json::to_string_pretty(&value).unwrap_or_default()
}

/// The text of an answer, lines without the last end.
pub fn text(answer: &Answer) -> String {
    match answer {
        Answer::Done(sentence) => sentence.clone(),
        Answer::Domain(row) => domain(row),
        Answer::Domains(rows) => lines(rows, "there are no domains", domain),
        Answer::DkimKeys(rows) => lines(rows, "there are no keys", dkim_key),
        Answer::Records(row) => records(row),
        Answer::Findings(rows) => findings(rows),
        Answer::Account(row) => account(row),
        Answer::Accounts(rows) => lines(rows, "there are no accounts", account_line),
        Answer::Credentials(rows) => lines(rows, "there are no credentials", credential),
        Answer::Issued(row) => issued(row),
        Answer::Reports(rows) => lines(rows, "there are no reports", reports::line),
        Answer::ReportsTogether(rows) => reports::together(rows),
        Answer::Check(row) => repair::check_text(row),
        Answer::Quarantine(rows) => repair::quarantine_text(rows),
        Answer::Export(row) => format!("to be written to {}", row.file.display()),
        Answer::Blobs(row) => blobs::status_text(row),
        Answer::BlobsRewritten(row) => blobs::rewrite_text(row),
        Answer::BlobKeysLoaded(newest) => blobs::keys_text(newest.as_deref()),
        Answer::Status(row) => status(row),
        Answer::Settings(answer) => super::settings::text(answer),
        Answer::Queue(answer) => super::queue::text(answer),
        Answer::Trace(rows) => trace::story(rows),
        Answer::Bans(rows) => lines(rows, "nobody is banned", ban::line),
        Answer::Sessions(rows) => lines(rows, "nobody is logged in", session::line),
        Answer::Audit(rows) => lines(rows, "nothing was changed", audit::line),
        Answer::Moved(row) => row.text(),
        Answer::Deleted(rows) => lines(
            rows,
            "nothing was deleted that can be brought back",
            undelete::line,
        ),
        Answer::Restored(row) => undelete::text(row),
        Answer::Webhooks(answer) => super::webhook::text(answer),
        Answer::Certificates(rows) => lines(rows, "there are no certificates", tls::line),
        Answer::Backup(answer) => super::backup::text(answer),
    }
}

fn lines<T>(rows: &[T], none: &str, line: impl Fn(&T) -> String) -> String {
    match rows.is_empty() {
        true => none.to_owned(),
        false => rows.iter().map(line).collect::<Vec<_>>().join("\n"),
    }
}

fn domain(row: &DomainRow) -> String {
    let mut line = row.name.clone();
    if let Some(target) = &row.alias_of {
        let _ = write!(line, "  has the addresses of {target}");
    }
    if let Some(domain) = &row.srs_domain {
        let _ = write!(line, "  forwards as {domain}");
    }
    if let Some(octets) = row.quota_octets {
        let _ = write!(line, "  may use {}", size(octets));
    }
    for (limit, what) in [
        (row.accounts_max, "accounts"),
        (row.recipients_per_hour, "recipients an hour"),
        (row.recipients_per_day, "recipients a day"),
    ] {
        if let Some(limit) = limit {
            let _ = write!(line, "  at most {limit} {what}");
        }
    }
    if let Some(account) = &row.catch_all {
        let _ = write!(line, "  what nobody has goes to {account}");
    }
    line
}

fn dkim_key(row: &DkimKeyRow) -> String {
    format!(
        "{:<20} {:<8} {:<8} since {}  made {}",
        row.selector,
        row.algorithm,
        row.state,
        day(row.since),
        day(row.created)
    )
}

fn records(row: &RecordsRow) -> String {
    let rows: Vec<(String, String, String, bool)> = row
        .records
        .iter()
        .cloned()
        .map(|record| (record.name, record.kind, record.data, record.is_in_domain))
        .collect();
    zone(&row.hostname, &row.domain, &rows)
}

fn findings(rows: &[Finding]) -> String {
    let mut text = String::new();
    for row in rows {
        let status = match row.status {
            Status::Ok => "ok",
            Status::Missing => "missing",
            Status::Different => "different",
            Status::Unknown => "unknown",
        };
        let mark = if row.is_wrong() { "!" } else { " " };
        let _ = writeln!(
            text,
            "{mark} {status:<9} {:<7} {}: {}",
            row.what, row.name, row.sentence
        );
    }
    let wrong = rows.iter().filter(|row| row.is_wrong()).count();
    text.push_str(&match wrong {
        0 => "everything that is needed is there".to_owned(),
        1 => "1 thing is wrong (!)".to_owned(),
        count => format!("{count} things are wrong (!)"),
    });
    text
}

fn account_line(row: &AccountRow) -> String {
    let mut line = format!(
        "{:<6} {:<36} {:>9}",
        row.id,
        row.name,
        size(row.used_octets)
    );
    match row.kind {
        Kind::Person | Kind::Service => {}
        Kind::Group => line.push_str("  group"),
        Kind::List => {
            let _ = write!(line, "  list of {}", row.forward_to.len());
        }
        Kind::Alias => line.push_str("  alias"),
    }
    if !row.forward_to.is_empty() && row.kind != Kind::List {
        let also = if row.keeps_copy { "also " } else { "" };
        let _ = write!(line, "  {also}goes on to {}", row.forward_to.join(", "));
    }
    if row.role != Role::User {
        let _ = write!(line, "  {}", role_text(row));
    }
    if row.is_disabled {
        line.push_str("  disabled");
    }
    line
}

fn role_text(row: &AccountRow) -> String {
    let name = jmap_core::Role::from(row.role).name().replace('-', " ");
    match row.administers.is_empty() {
        true => name,
        false => format!("{name} of {}", row.administers.join(", ")),
    }
}

fn account(row: &AccountRow) -> String {
    let kind = match row.kind {
        Kind::Person => "person",
        Kind::Group => "group",
        Kind::List => "list",
        Kind::Alias => "alias",
        Kind::Service => "service",
    };
    let role = role_text(row);
    let quota = row.quota_octets.map_or("unlimited".to_owned(), size);
    let mut text = format!(
        "name         {}\nid           {}\nkind         {kind}\nrole         {role}\n",
        row.name, row.id
    );
    let more = [
        ("description", row.description.clone()),
        ("addresses", row.addresses.join(", ")),
        ("groups", row.groups.join(", ")),
        (
            if row.kind == Kind::List {
                "members"
            } else {
                "forwards to"
            },
            row.forward_to.join(", "),
        ),
        ("owner", row.owner.clone().unwrap_or_default()),
        ("an hour", budget(row.recipients_per_hour)),
        ("a day", budget(row.recipients_per_day)),
        (
            "may write",
            match row.posters {
                None => String::new(),
                Some(Posters::Anyone) => "anyone".to_owned(),
                Some(Posters::Members) => "members".to_owned(),
                Some(Posters::Domain) => "authors of the domain".to_owned(),
            },
        ),
    ];
    for (name, value) in more.into_iter().filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(text, "{name:<12} {value}");
    }
    let _ = write!(text, "uses         {} of {quota}", size(row.used_octets));
    if matches!(row.kind, Kind::Person | Kind::Group) && !row.keeps_copy {
        text.push_str("\nNo copy is kept of what goes on.");
    }
    if row.is_disabled {
        text.push_str("\nIt is disabled: it neither logs in nor gets mail.");
    }
    text
}

/// Recipients that an account may send to; empty: the server's default.
fn budget(recipients: Option<u64>) -> String {
    match recipients {
        None => String::new(),
        Some(0) => "any number of recipients".to_owned(),
        Some(count) => format!("{count} recipients"),
    }
}

fn credential(row: &CredentialRow) -> String {
    let kind = match row.kind {
        CredentialKind::Password => "password",
        CredentialKind::AppPassword => "app password",
        CredentialKind::Token => "token",
        CredentialKind::Grant => "grant",
        CredentialKind::Totp => "totp",
        CredentialKind::Passkey => "passkey",
    };
    let mut line = format!("{:<4} {kind:<12} made {}", row.number, day(row.created));
    if let Some(expires) = row.expires {
        let _ = write!(line, "  ends {}", day(expires));
    }
    if let Some(scopes) = &row.scopes {
        let _ = write!(line, "  for {scopes}");
    }
    if !row.description.is_empty() {
        let _ = write!(line, "  {}", row.description);
    }
    line
}

fn issued(row: &IssuedRow) -> String {
    format!(
        "{}\nCredential {}. It is shown this once.",
        row.secret.0.expose(),
        row.credential.number
    )
}

fn status(row: &StatusRow) -> String {
    let running = if row.is_running {
        "is running"
    } else {
        "is not running"
    };
    let mut text = format!("posthorn {} {running} as {}\n", row.version, row.hostname);
    let _ = writeln!(
        text,
        "{} accounts, {} domains, {} on disk",
        row.accounts,
        row.domains,
        size(row.disk_octets)
    );
    let _ = write!(text, "{} accounts wait to be indexed", row.search_pending);
    if row.is_running {
        let _ = write!(
            text,
            "\n{} connections, {} accounts in memory ({} of views), {} of memory",
            row.connections,
            row.accounts_in_memory,
            size(row.view_octets),
            size(row.memory_octets)
        );
    }
    text
}

/// Octets with a unit, three digits or so.
pub(super) fn size(octets: u64) -> String {
    const UNITS: &[&str] = &["KiB", "MiB", "GiB", "TiB"];
    let mut value = octets as f64;
    let mut name = "B";
    for unit in UNITS {
        if value < 1000.0 {
            break;
        }
        value /= 1024.0;
        name = unit;
    }
    match name {
        "B" => format!("{octets} B"),
        name if value < 10.0 => format!("{value:.1} {name}"),
        name => format!("{value:.0} {name}"),
    }
}

/// The day of a time in seconds since 1970, in UTC.
pub(super) fn day(seconds: i64) -> String {
    // Days since 0000-03-01, in eras of 400 years.
    let days = seconds.div_euclid(86_400) + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days() {
        for (seconds, text) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_767_225_599, "2025-12-31"),
            (-1, "1969-12-31"),
        ] {
            assert_eq!(day(seconds), text);
        }
    }

    #[test]
    fn sizes() {
        for (octets, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1024, "1.0 KiB"),
            (52_428_800, "50 MiB"),
            (1 << 40, "1.0 TiB"),
        ] {
            assert_eq!(size(octets), text);
        }
    }
}

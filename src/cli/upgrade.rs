//! `posthorn upgrade`: brings the data to the format of this version, without serving; or says what that would take.
//!
//! Holds: a server that runs isn't disturbed: it has upgraded its data when it started.
//! Other half: `store::format` does it, also when a server starts.

use std::{fmt::Write as _, io::Write as _, process::ExitCode};

use serde::Serialize;
use store::format::{Plan, PlannedStep};

use super::{AnyError, control, progress};
use crate::{config::Config, engine, folder::Folder};

/// What there is to do, for machines.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PlanRow {
    /// `None`: there is no data yet.
    format: Option<u64>,
    current_format: u64,
    steps: Vec<StepRow>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StepRow {
    to: u64,
    what: String,
    is_under_way: bool,
    records: u64,
    octets: u64,
    seconds: u64,
}

impl PlanRow {
    fn of(plan: &Plan) -> Self {
        let step = |step: &PlannedStep| StepRow {
            to: step.to,
            what: step.what.clone(),
            is_under_way: step.is_under_way,
            records: step.records,
            octets: step.octets,
            seconds: step.seconds,
        };
        Self {
            format: plan.format,
            current_format: plan.current,
            steps: plan.steps.iter().map(step).collect(),
        }
    }
}

/// Upgrades, or with `check` says what there is to do.
pub async fn upgrade(config: &Config, check: bool, json: bool) -> Result<ExitCode, AnyError> {
    let folder = Folder::open(&config.data)?;
    if control::connect(&folder.control_socket()).await?.is_some() {
        let why = "a server runs over this data, so it has the server's format already; to upgrade, stop it, and run this with the new version";
        return Err(why.into());
    }
    let plan = match check {
        true => engine::plan(config, &folder).await?,
        false => engine::upgrade(config, &folder, &progress).await?,
    };
    let shown = match json {
        true => serde_json::to_string_pretty(&PlanRow::of(&plan))?,
        false => text(&plan, check),
    };
    // A reader that has seen enough is no error.
    let _ = writeln!(std::io::stdout(), "{shown}");
    Ok(ExitCode::SUCCESS)
}

fn text(plan: &Plan, check: bool) -> String {
    let current = plan.current;
    let Some(format) = plan.format else {
        return match check {
            true => format!("there is no data yet; this version begins with format {current}"),
            false => format!("the data has format {current} now"),
        };
    };
    if plan.steps.is_empty() {
        return format!("the data has format {format}, which is that of this version");
    }
    let mut text = String::new();
    for step in &plan.steps {
        let state = match step.is_under_way {
            true => ", which was begun and goes on",
            false => "",
        };
        let _ = writeln!(
            text,
            "to format {}{state}: it {}; {} records, some {} octets to write, some {} seconds",
            step.to, step.what, step.records, step.octets, step.seconds
        );
    }
    text.push_str(match check {
        true => "posthorn upgrade does it, and so does the next start of the server; make a backup before",
        false => "done",
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_in_words() {
        let mut plan = Plan {
            format: Some(1),
            current: 1,
            steps: Vec::new(),
        };
        assert_eq!(
            text(&plan, true),
            "the data has format 1, which is that of this version"
        );
        plan.current = 2;
        plan.steps.push(PlannedStep {
            to: 2,
            what: "writes dates in another way".into(),
            is_under_way: true,
            records: 3,
            octets: 400,
            seconds: 1,
        });
        let shown = text(&plan, true);
        assert!(
            shown.starts_with("to format 2, which was begun and goes on: it writes dates"),
            "{shown}"
        );
    }
}

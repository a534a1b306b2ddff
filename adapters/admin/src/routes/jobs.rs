//! Work that takes long: checks, repairs and backups.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use http::{Method, StatusCode};
use jmap_core::{
    access::{self, Operation},
    admin::Deed,
    directory::DirectoryError,
    work::check::{CheckOptions, Problem as Found, Report},
};
use serde_json::json;

use super::handler;
use crate::{
    describe::{Described as _, choice, object},
    jobs::{self, FINDINGS_MAX, JobFinding, JobKind, JobResult, JobState},
    page,
    problem::{Kind, Problem},
    request::Request,
    table::{Answer, Outcome, Route},
};

choice! {
    /// What is done: all records are read; what is wrong is put right; the server is copied.
    KindOfJob {
        Check = "check",
        Repair = "repair",
        Backup = "backup",
    }
}

choice! {
    /// How a job stands.
    StateOfJob {
        Running = "running",
        Done = "done",
        Failed = "failed",
        Stopped = "stopped",
    }
}

object! {
    answer
    /// Something that a check has found.
    Finding {
        code: String,
        /// The record in words.
        record: String,
        sentence: String,
        /// What it means.
        meaning: String,
        /// What a repair does.
        remedy: String,
    }
}

object! {
    answer
    /// Work that takes long. The node that answers tells of its own.
    Job {
        id: String,
        kind: KindOfJob,
        state: StateOfJob,
        /// Who has begun it.
        by: String,
        began: String = {"format": "date-time"},
        ended: Option<String> = {"format": "date-time"},
        /// The last that it said of itself.
        progress: String,
        /// What it came to, or why it failed.
        sentence: Option<String>,
        /// Of a check: something is wrong.
        wrong: Option<bool>,
        findings: Vec<Finding>,
    }
}

object! {
    request
    /// Work that is to be begun.
    NewJob {
        kind: KindOfJob,
        /// Of a check or a repair: blobs aren't compared with their names.
        fast: Option<bool>,
    }
}

const TAG: &str = "Jobs";

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/jobs",
            (TAG, "listJobs"),
            "Lists checks, repairs and backups that were begun here, newest first",
            Operation::CheckStore,
            handler!(list),
        )
        .answers(|schemas| page::schema::<Job>(schemas, false)),
        Route::new(
            Method::POST,
            "/jobs",
            (TAG, "beginJob"),
            "Begins a check, a repair or a backup",
            Operation::CheckStore,
            handler!(begin),
        )
        .body(NewJob::schema)
        .may_fail(&[Kind::InUse])
        .accepts(Job::schema),
        Route::new(
            Method::GET,
            "/jobs/{job}",
            (TAG, "getJob"),
            "Shows how a job gets on, or what it came to",
            Operation::CheckStore,
            handler!(get),
        )
        .answers(Job::schema),
        Route::new(
            Method::DELETE,
            "/jobs/{job}",
            (TAG, "stopJob"),
            "Stops a job, which can be begun again",
            Operation::CheckStore,
            handler!(stop),
        )
        .may_fail(&[Kind::InUse]),
    ]
}

fn job(of: &jobs::Job) -> Job {
    let (state, result, why) = match &of.state {
        JobState::Running => (StateOfJob::Running, None, None),
        JobState::Stopped => (StateOfJob::Stopped, None, None),
        JobState::Failed(why) => (StateOfJob::Failed, None, Some(why.clone())),
        JobState::Done(result) => (
            StateOfJob::Done,
            Some(result),
            Some(result.sentence.clone()),
        ),
    };
    let finding = |of: &JobFinding| Finding {
        code: of.code.clone(),
        record: of.record.clone(),
        sentence: of.sentence.clone(),
        meaning: of.meaning.clone(),
        remedy: of.remedy.clone(),
    };
    Job {
        id: of.id.to_string(),
        kind: match of.kind {
            JobKind::Check => KindOfJob::Check,
            JobKind::Repair => KindOfJob::Repair,
            JobKind::Backup => KindOfJob::Backup,
        },
        state,
        by: of.by.clone(),
        began: super::date_text(of.began.seconds()),
        ended: of.ended.map(|at| super::date_text(at.seconds())),
        progress: of.progress.clone(),
        sentence: why,
        wrong: result.map(|result| result.is_wrong),
        findings: result
            .map(|result| result.findings.iter().map(finding).collect())
            .unwrap_or_default(),
    }
}

async fn list(request: &Request) -> Outcome {
    access::may_run(&request.who, Operation::CheckStore)?;
    let items = request.site.jobs.all();
    let items = items.iter().map(|of| json!(job(of))).collect();
    Ok(Answer::ok(page::json_of(items, None, None)))
}

async fn get(request: &Request) -> Outcome {
    access::may_run(&request.who, Operation::CheckStore)?;
    let found = request.site.jobs.one(request.number("job")?);
    Ok(Answer::ok(json!(job(
        &found.ok_or_else(Problem::not_found)?
    ))))
}

async fn begin(request: &Request) -> Outcome {
    let new: NewJob = request.read()?;
    let (kind, operation) = match new.kind {
        KindOfJob::Check => (JobKind::Check, Operation::CheckStore),
        KindOfJob::Repair => (JobKind::Repair, Operation::Repair),
        KindOfJob::Backup => (JobKind::Backup, Operation::Backup),
    };
    access::may_run(&request.who, operation)?;
    let site = request.site.clone();
    let begun = site.jobs.begin(kind, &request.who.name, site.clock.now());
    let teller = begun
        .map_err(|jobs::IsRunning| Problem::new(Kind::InUse, "One of this kind is under way."))?;
    let deed = Deed::new(operation, "job");
    if let Err(error) = request.core.note_deed(&request.who, deed).await {
        teller.ended(site.clock.now(), Err("it could not be noted".to_owned()));
        return Err(DirectoryError::from(error).into());
    }
    let (core, who) = (request.core.clone(), request.who.clone());
    let options = CheckOptions {
        skip_hashing: new.fast.unwrap_or(false),
    };
    let told = teller.clone();
    let host = site.host.clone();
    let work = async move {
        let progress = move |sentence: &str| told.progress(sentence);
        match kind {
            JobKind::Check => core
                .check(options, &progress)
                .await
                .map(|report| result(report, false))
                .map_err(|error| error.to_string()),
            JobKind::Repair => core
                .repair(options, &progress)
                .await
                .map(|report| result(report, true))
                .map_err(|error| error.to_string()),
            JobKind::Backup => host
                .back_up(&core, &who, &progress)
                .await
                .map(|sentence| JobResult {
                    sentence,
                    ..JobResult::default()
                })
                .map_err(|error| error.to_string()),
        }
    };
    let own = teller.clone();
    let clock = site.clock.clone();
    let task = tokio::spawn(async move {
        let result = AssertUnwindSafe(work).catch_unwind().await;
        let result = result.unwrap_or_else(|_| {
            tracing::error!("a job panicked");
            Err("It broke off: the log has more.".to_owned())
        });
        own.ended(clock.now(), result);
    });
    site.jobs.runs(&teller, task.abort_handle());
    let begun = site.jobs.one(teller.id()).ok_or_else(Problem::not_found)?;
    Ok(Answer {
        status: StatusCode::ACCEPTED,
        location: Some(format!("/jobs/{}", begun.id)),
        ..Answer::ok(json!(job(&begun)))
    })
}

fn result(report: Report, is_repair: bool) -> JobResult {
    let left = match is_repair {
        true => &report.remaining,
        false => &report.problems,
    };
    let finding = |of: &Found| JobFinding {
        code: of.code.name().to_owned(),
        record: of.key_words(),
        sentence: of.sentence.clone(),
        meaning: of.code.meaning().to_owned(),
        remedy: of.code.remedy().to_owned(),
    };
    let mut sentence = format!(
        "{} records were read, of {} accounts and {} emails; {} things are wrong.",
        report.records,
        report.accounts,
        report.emails,
        left.len()
    );
    if is_repair {
        sentence.push_str(&format!(" {} records were put right.", report.repaired));
    }
    JobResult {
        sentence,
        is_wrong: !left.is_empty(),
        findings: left.iter().take(FINDINGS_MAX).map(finding).collect(),
    }
}

async fn stop(request: &Request) -> Outcome {
    access::may_run(&request.who, Operation::CheckStore)?;
    let number = request.number("job")?;
    let found = request.site.jobs.one(number);
    found.ok_or_else(Problem::not_found)?;
    let deed = Deed::new(Operation::CheckStore, format!("job {number}"));
    let deed = deed.field("state", None, Some("stopped".to_owned()));
    let noted = request.core.note_deed(&request.who, deed).await;
    noted.map_err(DirectoryError::from)?;
    match request.site.jobs.stop(number, request.site.clock.now()) {
        true => Ok(Answer::nothing()),
        false => Err(Problem::new(Kind::InUse, "It is over.")),
    }
}

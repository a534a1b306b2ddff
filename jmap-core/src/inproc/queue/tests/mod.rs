//! The queue with somebody who plays the other servers.

mod admin;
mod board;
mod faults;
mod hold;
mod many;
mod removed;
mod reports;
mod retry;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use jmap_types::DataType;
use parking_lot::Mutex;
use serde_json::Value as Json;
use store::{Record as _, engine::Page, keys};

use crate::{
    Caller, Core,
    inproc::outbound::{Attempt, Fate, HostTried, Job, Outbound, Outcome},
    mail::submission::{
        records::{EnvelopeAddress, Parameter, RecipientRecord, SubmissionRecord},
        tests::{ANN, HELLO, Server},
    },
};

type Answer = dyn Fn(&Job) -> Attempt + Send + Sync;

/// Plays the other servers, and remembers what it has taken.
pub(super) struct Others {
    answer: Mutex<Box<Answer>>,
    /// How long a transaction with a domain takes.
    pub slow: Mutex<HashMap<String, Duration>>,
    /// Jobs in their order: domain and recipients.
    pub jobs: Mutex<Vec<(String, Vec<String>)>>,
    pub last: Mutex<Option<Job>>,
    /// How often a recipient's message was taken.
    pub taken: Mutex<HashMap<String, usize>>,
    running: Mutex<HashMap<String, usize>>,
    pub most_of_one: AtomicUsize,
    pub most: AtomicUsize,
}

impl fmt::Debug for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Others")
    }
}

impl Others {
    pub fn new(answer: impl Fn(&Job) -> Attempt + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            answer: Mutex::new(Box::new(answer)),
            slow: Mutex::default(),
            jobs: Mutex::default(),
            last: Mutex::default(),
            taken: Mutex::default(),
            running: Mutex::default(),
            most_of_one: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        })
    }

    pub fn answers(&self, answer: impl Fn(&Job) -> Attempt + Send + Sync + 'static) {
        *self.answer.lock() = Box::new(answer);
    }

    pub fn tries(&self) -> usize {
        self.jobs.lock().len()
    }

    pub fn taken(&self, recipient: &str) -> usize {
        self.taken.lock().get(recipient).copied().unwrap_or(0)
    }
}

#[async_trait]
impl Outbound for Others {
    async fn send(&self, job: &Job) -> Attempt {
        {
            let mut running = self.running.lock();
            *running.entry(job.domain.clone()).or_default() += 1;
            let of_one = running[&job.domain];
            self.most_of_one.fetch_max(of_one, Ordering::Relaxed);
            self.most
                .fetch_max(running.values().sum(), Ordering::Relaxed);
        }
        let emails = job.recipients.iter();
        let emails: Vec<String> = emails.map(|r| r.address.email.clone()).collect();
        self.jobs.lock().push((job.domain.clone(), emails));
        *self.last.lock() = Some(job.clone());
        let slow = self.slow.lock().get(&job.domain).copied();
        match slow {
            Some(slow) => tokio::time::sleep(slow).await,
            None => tokio::task::yield_now().await,
        }
        let attempt = (self.answer.lock())(job);
        for outcome in &attempt.outcomes {
            if matches!(outcome.fate, Fate::Accepted { .. }) {
                let recipient = job.recipients.iter().find(|r| r.at == outcome.at).unwrap();
                let email = recipient.address.email.clone();
                *self.taken.lock().entry(email).or_default() += 1;
            }
        }
        *self.running.lock().get_mut(&job.domain).unwrap() -= 1;
        attempt
    }
}

pub(super) const TAKEN: Fate = Fate::Accepted {
    tells_success: true,
};

/// All recipients have this outcome.
pub(super) fn all(job: &Job, fate: Fate, reply: &str, remote: Option<&str>) -> Attempt {
    let outcome = |at| Outcome {
        at,
        fate,
        reply: reply.to_owned(),
        remote: remote.map(str::to_owned),
    };
    let host = HostTried {
        when: 1_700_000_000_000,
        host: format!("mx.{}", job.domain),
        address: None,
        tls: Some("TLSv1.3".to_owned()),
        result: reply.to_owned(),
        evaluation: None,
    };
    Attempt {
        outcomes: job.recipients.iter().map(|r| outcome(r.at)).collect(),
        hosts: vec![host],
    }
}

pub(super) fn takes(job: &Job) -> Attempt {
    all(job, TAKEN, "250 2.0.0 OK", Some("mx"))
}

/// A message of ann's to some recipients, in the queue.
pub(super) async fn submit(server: &Server, to: &[&str]) {
    let message = Bytes::from(HELLO.replace('\n', "\r\n"));
    let to = to
        .iter()
        .map(|&to| crate::mail::submission::records::EnvelopeAddress::plain(to))
        .collect();
    let from = crate::mail::submission::records::EnvelopeAddress::plain(ANN);
    server
        .core
        .submit(&server.ann, from, to, message, None)
        .await
        .unwrap();
}

/// The records of ann's submissions, oldest first.
pub(super) async fn records(core: &Core, who: &Caller) -> Vec<(u64, SubmissionRecord)> {
    let range = keys::objects(who.account, DataType::EmailSubmission);
    let rows = core.engine.scan(Page::first(range, 100_000)).await.unwrap();
    rows.iter()
        .map(|(key, bytes)| {
            let (_, _, id) = keys::decode_object(key).unwrap();
            (id, SubmissionRecord::from_bytes(key, bytes).unwrap())
        })
        .collect()
}

pub(super) async fn recipients(core: &Core, who: &Caller) -> Vec<RecipientRecord> {
    let records = records(core, who).await;
    records
        .into_iter()
        .flat_map(|(_, r)| r.recipients)
        .collect()
}

/// An envelope from ann with parameters.
pub(super) fn envelope(mail_from: Json, rcpt_to: &[(&str, Json)]) -> Json {
    let rcpt = rcpt_to
        .iter()
        .map(|(email, parameters)| serde_json::json!({"email": email, "parameters": parameters}));
    serde_json::json!({
        "mailFrom": {"email": ANN, "parameters": mail_from},
        "rcptTo": rcpt.collect::<Vec<_>>(),
    })
}

/// Puts a submission with parameters of MAIL that JMAP doesn't take (yet) into the queue.
pub(super) async fn insert(server: &Server, parameters: &[(&str, &str)], to: &[EnvelopeAddress]) {
    use crate::mail::submission::{self, envelope::Envelope, records::UndoStatus, stage};
    let octets = Bytes::from(HELLO.replace('\n', "\r\n"));
    let each = parameters.iter().map(|(name, value)| Parameter {
        name: (*name).to_owned(),
        value: (!value.is_empty()).then(|| (*value).to_owned()),
    });
    let envelope = Envelope {
        mail_from: EnvelopeAddress {
            email: ANN.to_owned(),
            parameters: Some(each.collect()),
        },
        recipients: to.to_vec(),
    };
    let mut record = submission::new_record(&server.core, envelope, &octets, None);
    record.undo_status = UndoStatus::Final;
    let account = server.core.accounts.handle(server.ann.account);
    let mut txn = account.writer.begin().await.unwrap();
    stage::insert(&mut txn, &record, &octets, Bytes::new(), 1_000_000)
        .await
        .unwrap();
    txn.commit().await.unwrap();
}

pub(super) async fn check_is_clean(core: &Core) {
    let report = core.check(Default::default(), &|_| ()).await.unwrap();
    assert_eq!(report.problems, []);
}

pub(super) async fn texts(server: &Server, who: &Caller) -> Vec<String> {
    let messages = server.inbox_messages(who).await;
    messages
        .iter()
        .map(|octets| String::from_utf8_lossy(octets).into_owned())
        .collect()
}

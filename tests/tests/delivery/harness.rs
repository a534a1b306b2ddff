//! The client under test, and names that lead to peers.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use jmap_core::{
    clock::SystemClock,
    inproc::outbound::{Attempt, Fate, Job, JobRecipient, Outbound, Outcome},
    mail::submission::records::{EnvelopeAddress, Parameter},
    rng::SeededRng,
};
use jmap_types::AccountId;
use mail_auth_adapter::{
    Dns,
    dns::{Answer, Lookup, LookupError, Mx, NotFound, RecordData, RecordKind},
};
use smtp::client::{Client, Parts, Roots, Settings, Signer};

pub const MESSAGE: &str = "From: ann@example.org\r\nSubject: hello\r\n\r\nHello.\r\n.\r\n.dots\r\n";

/// A domain whose mail exchangers are these, best first; nothing is secure.
#[derive(Debug)]
pub struct Names(HashMap<(String, RecordKind), Vec<RecordData>>);

impl Names {
    /// `b.test` with `mx1.b.test`, `mx2.b.test` ...
    pub fn of(addresses: &[IpAddr]) -> Dns {
        let mut records = HashMap::new();
        let mut exchangers = Vec::new();
        for (at, address) in addresses.iter().enumerate() {
            let host = format!("mx{}.b.test", at + 1);
            let kind = if address.is_ipv4() {
                RecordKind::A
            } else {
                RecordKind::Aaaa
            };
            records.insert((host.clone(), kind), vec![RecordData::Address(*address)]);
            exchangers.push(RecordData::Mx(Mx {
                preference: at as u16,
                exchange: host,
            }));
        }
        records.insert(("b.test".to_owned(), RecordKind::Mx), exchangers);
        Dns::with(Arc::new(Names(records)))
    }
}

#[async_trait]
impl Lookup for Names {
    async fn look_up(
        &self,
        name: &str,
        kind: RecordKind,
    ) -> Result<Answer<RecordData>, LookupError> {
        let found = self.0.get(&(name.to_owned(), kind)).cloned();
        let records = found.ok_or(LookupError::NotFound(NotFound::Name))?;
        Ok(Answer {
            records,
            name: name.to_owned(),
            secure: false,
            alias_secure: false,
        })
    }
}

/// Short times, and this machine may be connected to.
pub fn settings(port: u16) -> Settings {
    let mut settings = Settings::new("us.example.org");
    settings.port = port;
    settings.allow_private = true;
    let second = Duration::from_secs(2);
    settings.timeouts.connect = second;
    settings.timeouts.greeting = second;
    settings.timeouts.command = second;
    settings.timeouts.data = second;
    settings.timeouts.end = second;
    settings
}

pub fn parts(dns: Dns, settings: Settings) -> Parts {
    Parts {
        settings,
        dns,
        roots: Roots::of_the_system(),
        clock: Arc::new(SystemClock),
        rng: Arc::new(SeededRng::new(1)),
        signer: None,
        policies: None,
    }
}

pub fn client(addresses: &[IpAddr], settings: Settings) -> Client {
    Client::new(parts(Names::of(addresses), settings)).expect("no client")
}

pub fn address(email: &str, parameters: &[(&str, Option<&str>)]) -> EnvelopeAddress {
    let parameter = |(name, value): &(&str, Option<&str>)| Parameter {
        name: (*name).to_owned(),
        value: value.map(str::to_owned),
    };
    EnvelopeAddress {
        email: email.to_owned(),
        parameters: Some(parameters.iter().map(parameter).collect()),
    }
}

pub fn job_for(domain: &str, recipients: &[&str]) -> Job {
    let recipient = |(at, email): (usize, &&str)| JobRecipient {
        at,
        address: EnvelopeAddress::plain(*email),
    };
    Job {
        account: AccountId::new(1),
        submission: 1,
        domain: domain.to_owned(),
        mail_from: EnvelopeAddress::plain("ann@example.org"),
        recipients: recipients.iter().enumerate().map(recipient).collect(),
        message: Bytes::from_static(MESSAGE.as_bytes()),
    }
}

pub fn job(recipients: &[&str]) -> Job {
    job_for("b.test", recipients)
}

pub async fn send(client: &Client, job: &Job) -> Attempt {
    let sent = tokio::time::timeout(Duration::from_secs(60), client.send(job)).await;
    sent.expect("sending does not end")
}

/// Its outcome and the reply, where there is one recipient.
pub fn only(attempt: &Attempt) -> (Fate, &str) {
    assert_eq!(attempt.outcomes.len(), 1, "{attempt:?}");
    (attempt.outcomes[0].fate, &attempt.outcomes[0].reply)
}

pub fn is_accepted(outcome: &Outcome) -> bool {
    matches!(outcome.fate, Fate::Accepted { .. })
}

/// Puts a field in front that tells how long the message is.
#[derive(Debug)]
pub struct Measuring;

#[async_trait]
impl Signer for Measuring {
    async fn sign(&self, job: &Job, message: &Bytes) -> Result<Bytes, String> {
        let field = format!("X-Signed: {} {}\r\n", job.mail_from.email, message.len());
        Ok(Bytes::from(field))
    }
}

//! What is told of a call: to the queue, to people, and in reports about TLS.
//!
//! Other half: `super`, which makes the calls.

use std::net::IpAddr;

use jmap_core::inproc::outbound::{Fate, HostTried, Outcome, TlsEvaluation, TlsFailure};

use super::{Call, Miss};
use crate::client::connection::TlsState;
use crate::client::hosts::{Policy, Target};
use crate::client::reply::{Reply, shown};
use crate::client::tls::Failure;

impl Call<'_> {
    pub(super) fn peers(&self, target: &Target, reply: &Reply) -> Miss {
        Miss {
            is_permanent: reply.is_permanent(),
            reply: reply.text(),
            remote: Some(target.host.clone()),
        }
    }

    pub(super) fn note_miss(
        &mut self,
        host: &str,
        address: Option<IpAddr>,
        tls: Option<String>,
        evaluation: Option<TlsEvaluation>,
        miss: Miss,
    ) {
        self.note(host, address, tls, evaluation, &miss.reply);
        self.misses.push(miss);
    }

    pub(super) fn note(
        &mut self,
        host: &str,
        address: Option<IpAddr>,
        tls: Option<String>,
        evaluation: Option<TlsEvaluation>,
        result: &str,
    ) {
        self.attempt.hosts.push(HostTried {
            when: self.sender.parts.clock.now().0,
            host: host.to_owned(),
            address,
            tls,
            result: result.to_owned(),
            evaluation,
        });
    }

    /// Nobody has taken it: what is said to each recipient.
    pub(super) fn give_up(&mut self) {
        let is_permanent =
            !self.misses.is_empty() && self.misses.iter().all(|miss| miss.is_permanent);
        let fate = match is_permanent {
            true => Fate::Refused,
            false => Fate::Later,
        };
        let told = self
            .misses
            .iter()
            .rev()
            .find(|miss| miss.is_permanent == is_permanent);
        let (reply, remote) = match told {
            Some(miss) => (miss.reply.clone(), miss.remote.clone()),
            None => ("451 4.4.1 No host could be tried".to_owned(), None),
        };
        let all = self.recipients().into_iter().map(|recipient| Outcome {
            at: recipient.at,
            fate,
            reply: reply.clone(),
            remote: remote.clone(),
        });
        self.attempt.outcomes = all.collect();
    }

    /// What a report about TLS says of a session (RFC 8460): one that could not be had, or one that is there.
    pub(super) fn evaluation(
        &self,
        policy: &Policy,
        failure: Option<Failure>,
        session: Option<(&TlsState, Option<IpAddr>)>,
    ) -> Option<TlsEvaluation> {
        // A relay is the operator's own affair, and a message may be excepted.
        if self.route.is_some() || self.ignores_policies() {
            return None;
        }
        let sending_address = session.and_then(|(_, address)| address);
        let failure = failure.or_else(|| policy.failure.clone()).or_else(|| {
            let (tls, _) = session?;
            match (&tls.description, &tls.pkix) {
                (None, _) => Some(Failure::new(
                    "starttls-not-supported",
                    "the session is not encrypted",
                )),
                (Some(_), Some(Err(failure))) if policy.is_testing => Some(failure.clone()),
                _ => None,
            }
        });
        Some(TlsEvaluation {
            policy: policy.kind,
            policy_lines: policy.lines.clone(),
            policy_domain: policy.domain.clone(),
            mx_patterns: policy.mx_patterns.clone(),
            failure: failure.map(|failure| TlsFailure {
                result_type: failure.result_type,
                reason: shown(&failure.reason),
                sending_address,
            }),
        })
    }
}

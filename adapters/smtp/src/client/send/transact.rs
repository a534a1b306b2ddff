//! One transaction on a connection, new or from the pool, and what becomes of the connection.
//!
//! Holds: a connection goes back to the pool only without an unfinished transaction, and with no more messages than it may have.
//! Other half: `super` has opened it; `transaction` talks.

use super::{Call, Miss, Next};
use crate::client::connection::Connection;
use crate::client::hosts::{NoHost, Target};
use crate::client::pool::PoolKey;
use crate::client::tls::Need;
use crate::client::transaction::{End, Ended, Transaction, ours};

impl Call<'_> {
    /// `None`: the connection came from the pool, and was dead.
    pub(super) async fn transact(
        &mut self,
        target: &Target,
        mut connection: Connection,
        key: PoolKey,
        need: &Need,
        is_reused: bool,
    ) -> Result<Option<Next>, NoHost> {
        let job = self.job;
        let address = Some(connection.address.ip());
        let tls = connection.tls.clone();
        let session = Some((&tls, connection.local_address()));
        let evaluation = self
            .evaluation(&target.policy, None, session)
            .filter(|told| connection.is_new_to(told.policy, &told.policy_domain));
        if let Some(no_host) = self.objection(&connection) {
            self.is_at_ourselves |= self.is_ourselves(&connection);
            self.note_miss(
                &target.host,
                address,
                tls.description,
                evaluation,
                Miss::of(no_host),
            );
            tokio::spawn(connection.quit());
            return Ok(Some(Next::Address));
        }
        let letter = match self
            .letters
            .letter(&connection.extensions, self.requiretls)
            .await
        {
            Ok(letter) => letter,
            Err(no_host) => {
                self.release(key, connection);
                self.note(
                    &target.host,
                    address,
                    tls.description,
                    evaluation,
                    &no_host.reply,
                );
                let all = self.recipients().into_iter();
                let all = all.map(|recipient| ours(recipient, no_host.fate, &no_host.reply));
                return Ok(Some(Next::Outcomes(all.collect())));
            }
        };
        let most = self.recipients_max(&connection);
        let mut recipients = self.recipients();
        recipients.truncate(most);
        let Ended { end, mut refused } =
            Transaction::new(&mut connection, job, &letter, recipients)
                .run()
                .await;
        self.refused.append(&mut refused);
        let description = tls.description;
        match end {
            End::Done(outcomes, broken) => {
                let result = outcomes
                    .last()
                    .map_or("", |outcome| &outcome.reply)
                    .to_owned();
                self.note(&target.host, address, description, evaluation, &result);
                if broken.is_none() {
                    self.release(key, connection);
                }
                Ok(Some(Next::Outcomes(outcomes)))
            }
            End::Lost(_, true) if is_reused => Ok(None),
            End::NotNow(reply) if is_reused && reply.code == 421 => Ok(None),
            End::NotNow(reply) => {
                let mut miss = self.peers(target, &reply);
                // A server that wants TLS, which has failed, may have it again.
                miss.is_permanent &= !(*need == Need::Plain && reply.code == 530);
                self.note_miss(&target.host, address, description, evaluation, miss);
                if reply.code != 421 {
                    self.release(key, connection);
                }
                Ok(Some(Next::Address))
            }
            End::Lost(broken, _) => {
                let reply = format!(
                    "451 4.4.2 In the middle of the session with {}: {broken}",
                    target.host
                );
                self.note_miss(
                    &target.host,
                    address,
                    description,
                    evaluation,
                    Miss::later(reply),
                );
                Ok(Some(Next::Address))
            }
        }
    }

    /// Why mail isn't sent over a connection that is there.
    pub(super) fn objection(&self, connection: &Connection) -> Option<NoHost> {
        if self.is_ourselves(connection) {
            return Some(NoHost::refused(format!(
                "554 5.4.6 {} is this server, which does not have the domain: mail would go round in circles",
                connection.host
            )));
        }
        // RFC 8689 §4.2.1, and §4.3 for the code.
        if self.requiretls && !connection.extensions.requiretls {
            return Some(NoHost::refused(format!(
                "550 5.7.30 The message asks for REQUIRETLS, which {} does not know",
                connection.host
            )));
        }
        None
    }

    pub(super) fn is_ourselves(&self, connection: &Connection) -> bool {
        let own = &self.sender.parts.settings.hostname;
        let is_own = connection.extensions.domain.eq_ignore_ascii_case(own) && own != "localhost";
        self.route.is_none() && is_own
    }

    pub(super) fn recipients_max(&self, connection: &Connection) -> usize {
        let own = self.sender.parts.settings.limits.recipients_max;
        let peers = connection
            .extensions
            .rcpt_max
            .and_then(|max| usize::try_from(max).ok());
        peers.unwrap_or(own).min(own).max(1)
    }

    pub(super) fn has_enough_messages(&self, connection: &Connection) -> bool {
        let own = self.sender.parts.settings.limits.messages_max;
        let peers = connection.extensions.mail_max.unwrap_or(own);
        connection.messages >= own.min(peers)
    }

    /// The next message may have the connection. Whoever waits for the outcome doesn't wait for this.
    pub(super) fn release(&self, key: PoolKey, mut connection: Connection) {
        if self.has_enough_messages(&connection) {
            tokio::spawn(connection.quit());
            return;
        }
        let (pool, limits) = (self.sender.pool.clone(), self.sender.parts.settings.limits);
        if !connection.is_dirty {
            return pool.put(key, connection, &limits);
        }
        tokio::spawn(async move {
            if connection.reset().await {
                pool.put(key, connection, &limits);
            }
        });
    }
}

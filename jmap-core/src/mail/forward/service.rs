//! What comes back to an address that stands for a sender, and what the server itself sends.
//!
//! Holds: it is in the queue of the server's own account when the call returns `Ok`; what the queue brings comes through once, whatever
//! happens between its transaction and that of the queue.
//! Other half: `super::srs` knows the addresses; `inproc::deliver` and `inproc::queue` bring what comes back.

use bytes::Bytes;
use jmap_types::AccountId;
use store::{
    engine::{Assertion, Key},
    keys,
};

use super::{day, is_looping, is_srs, trace};
use crate::{
    Core,
    inproc::deliver::{DeliverError, Recipient, RecipientError},
    mail::{
        submission::{envelope::Envelope, records::EnvelopeAddress, stage},
        write::{MailTxn, Message},
    },
};

/// What those are told who write to an address that takes reports of failure alone.
pub(crate) const REPORTS_ALONE: &str = "This address takes reports of failed delivery alone";

/// A recipient of the queue that is answered once.
#[derive(Clone, Debug)]
pub(crate) struct Once {
    /// Of the delivery, as accounts note it.
    pub number: u64,
    /// The index of the recipient: several may be of this kind.
    pub at: u64,
    /// What must be true for it to count.
    pub fence: Assertion,
}

impl Once {
    /// Whether it was done before; if not, it is noted that it is done with this transaction.
    async fn is_done_in(&self, txn: &mut MailTxn) -> Result<bool, store::Error> {
        let key = keys::delivered(txn.account(), self.number);
        let noted = txn.get(&key).await?.unwrap_or_default();
        let at = self.at.to_be_bytes();
        if noted.chunks_exact(at.len()).any(|done| *done == at[..]) {
            return Ok(true);
        }
        let all: Vec<u8> = noted.iter().copied().chain(at).collect();
        txn.put(key, Bytes::from(all));
        txn.assert(self.fence.clone());
        Ok(false)
    }
}

impl Core {
    /// What to answer at RCPT for an address of the scheme; `None`: it isn't one.
    pub(crate) async fn srs_recipient(
        &self,
        address: &str,
    ) -> Result<Option<Result<Recipient, RecipientError>>, store::Error> {
        let Some((local, domain)) = address.rsplit_once('@') else {
            return Ok(None);
        };
        if !is_srs(local) || !self.is_local_domain(domain).await? {
            return Ok(None);
        }
        Ok(Some(match self.srs.sender(local, day(self)) {
            Ok(_) => Ok(Recipient {
                address: address.to_owned(),
                targets: Vec::new(),
            }),
            Err(error) => {
                tracing::debug!(%error, "an address of a forwarder is refused");
                Err(RecipientError::NoSuchMailbox)
            }
        }))
    }

    /// Sends a report of failure on to the one whose message it is about; `once`: not more than once. `Ok`: it is in the queue, on disk, of
    /// this account.
    pub(crate) async fn return_report(
        &self,
        recipient: &str,
        mail_from: Option<&str>,
        message: &Message,
        once: Option<Once>,
    ) -> Result<AccountId, DeliverError> {
        let local = recipient.rsplit_once('@').map_or("", |(local, _)| local);
        let sender = self.srs.sender(local, day(self));
        let Ok(sender) = sender else {
            return Err(DeliverError::NoSuchMailbox);
        };
        if mail_from.is_some_and(|address| !address.is_empty()) {
            return Err(DeliverError::Refused(REPORTS_ALONE.to_owned()));
        }
        if is_looping(message, recipient) {
            return Err(DeliverError::Loop);
        }
        let octets = trace(&message.octets, recipient);
        let mail = Some((vec![sender], octets));
        let staged = self.service_transaction("", mail, (None, &[]), once.as_ref());
        let staged = staged.await;
        staged.map_err(|error| {
            tracing::error!(%error, "a report of failure could not be sent on");
            DeliverError::Temporary
        })
    }

    /// Puts a message of the server itself into the queue, not more than once. Returns the account that has noted that it is there, on disk.
    pub(crate) async fn send_once(
        &self,
        to: &str,
        octets: Bytes,
        once: &Once,
    ) -> Result<AccountId, ServiceError> {
        let mail = Some((vec![to.to_owned()], octets));
        self.service_transaction("", mail, (None, &[]), Some(once))
            .await
    }

    /// Puts a message of the server itself into the queue, if there is one, and takes `gone` away with it, while `fence` is true.
    pub(crate) async fn send_and_delete(
        &self,
        mail_from: &str,
        mail: Option<(Vec<String>, Bytes)>,
        fence: Assertion,
        gone: &[Key],
    ) -> Result<(), ServiceError> {
        self.service_transaction(mail_from, mail, (Some(fence), gone), None)
            .await
            .map(drop)
    }

    async fn service_transaction(
        &self,
        mail_from: &str,
        mail: Option<(Vec<String>, Bytes)>,
        (fence, gone): (Option<Assertion>, &[Key]),
        once: Option<&Once>,
    ) -> Result<AccountId, ServiceError> {
        const TRIES: usize = crate::object::TRIES;
        let account = self.accounts.handle(self.service_account().await?);
        for _ in 0..TRIES {
            let mut txn = account.writer.begin().await?;
            if let Some(fence) = &fence {
                txn.assert(fence.clone());
            }
            if let Some(once) = once
                && once.is_done_in(&mut txn).await?
            {
                return Ok(account.id);
            }
            for key in gone {
                txn.delete(key.clone());
            }
            if let Some((to, octets)) = &mail {
                let envelope = Envelope {
                    mail_from: EnvelopeAddress::plain(mail_from),
                    recipients: to.iter().map(EnvelopeAddress::plain).collect(),
                };
                if !stage::automatic(self, &mut txn, envelope, octets.clone()).await? {
                    return Err(ServiceError::Full);
                }
            }
            match txn.commit().await {
                Err(store::Error::Conflict) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => {
                    self.queue.wake();
                    return Ok(account.id);
                }
            }
        }
        Err(store::Error::Conflict.into())
    }
}

/// Why the server's own mail isn't in the queue.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error("too many of the server's own messages wait to be sent")]
    Full,
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Directory(#[from] crate::directory::DirectoryError),
}

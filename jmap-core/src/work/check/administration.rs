//! The audit, requests that are made once, bans, clients of OAuth, webhooks and alerts: each row can be read, and those of the audit are
//! counted.
//!
//! Other half: `crate::admin`.

use store::{
    Record,
    keys::{self, Pending, Subspace},
};

use super::{CheckError, Checker, Code, Rows};
use crate::{
    admin::{AUDIT_COUNT, AuditRecord, OnceRecord},
    alert::AlertRecord,
    auth::oauth::records::{ClientRecord, CodeRecord, DeviceRecord, UserCodeRecord},
    bans::BanRecord,
    webhook::{DoneRecord, DueRecord, WebhookRecord},
};

impl Checker<'_> {
    /// Rows that nothing else depends on.
    async fn check_readable<R: Record>(&mut self, of: Subspace) -> Result<(), CheckError> {
        let mut rows = Rows::new(keys::all(of));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                if self.record::<R>(&key, &bytes).is_none() {
                    self.put_aside(Code::Record, &key, &bytes).await?;
                }
            }
        }
        Ok(())
    }

    pub(super) async fn check_administration(&mut self) -> Result<(), CheckError> {
        let mut is_whole = true;
        let mut deeds = 0_i64;
        let mut rows = Rows::new(keys::all(Subspace::Audit));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                deeds += 1;
                if self.record::<AuditRecord>(&key, &bytes).is_none() {
                    is_whole = false;
                    self.put_aside(Code::Record, &key, &bytes).await?;
                }
            }
        }
        self.check_readable::<WebhookRecord>(Subspace::Webhook)
            .await?;
        self.check_readable::<DueRecord>(Subspace::WebhookDue)
            .await?;
        self.check_readable::<DoneRecord>(Subspace::WebhookDone)
            .await?;
        self.check_readable::<AlertRecord>(Subspace::Alert).await?;
        let mut rows = Rows::new(keys::all(Subspace::Idempotency));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                if self.record::<OnceRecord>(&key, &bytes).is_none() {
                    self.put_aside(Code::Record, &key, &bytes).await?;
                }
            }
        }
        let mut rows = Rows::new(keys::all(Subspace::Ban));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                if self.record::<BanRecord>(&key, &bytes).is_none() {
                    self.put_aside(Code::Record, &key, &bytes).await?;
                }
            }
        }
        self.check_oauth().await?;
        let key = keys::meta(AUDIT_COUNT);
        let counted = match self.get(&key).await? {
            None => 0,
            Some(bytes) => match bytes[..].try_into() {
                Ok(octets) => i64::from_be_bytes(octets),
                // The server's own values tell of it.
                Err(_) => return Ok(()),
            },
        };
        // With rows that go, it is counted when they have gone.
        if counted != deeds && (is_whole || !self.is_repair()) {
            let why = format!("there are {deeds} rows of the audit, and {counted} are counted");
            self.problem(Code::AuditCount, &key, why);
            self.add(key, deeds - counted);
        }
        Ok(())
    }

    /// A client that is put aside registers again; a code, whoever waits for it asks for again.
    async fn check_oauth(&mut self) -> Result<(), CheckError> {
        for subspace in [Subspace::OAuthClient, Subspace::OAuthPending] {
            let mut rows = Rows::new(keys::all(subspace));
            while let Some(page) = rows.next(&self.snapshot).await? {
                for (key, bytes) in page {
                    let is_readable = match keys::decode_oauth_pending(&key) {
                        Some((Pending::Code, _)) => {
                            self.record::<CodeRecord>(&key, &bytes).is_some()
                        }
                        Some((Pending::Device, _)) => {
                            self.record::<DeviceRecord>(&key, &bytes).is_some()
                        }
                        Some((Pending::UserCode, _)) => {
                            self.record::<UserCodeRecord>(&key, &bytes).is_some()
                        }
                        Some((Pending::Challenge, _)) => {
                            self.numbers::<1>(&key, &bytes, "challenge").is_some()
                        }
                        None => self.record::<ClientRecord>(&key, &bytes).is_some(),
                    };
                    if !is_readable {
                        self.put_aside(Code::Record, &key, &bytes).await?;
                    }
                }
            }
        }
        Ok(())
    }
}

//! The audit, requests that are made once, and bans: each row can be read, and those of the audit are counted.
//!
//! Other half: `crate::admin`.

use store::keys::{self, Subspace};

use super::{CheckError, Checker, Code, Rows};
use crate::{
    admin::{AUDIT_COUNT, AuditRecord, OnceRecord},
    bans::BanRecord,
};

impl Checker<'_> {
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
}

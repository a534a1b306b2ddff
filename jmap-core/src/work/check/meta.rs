//! The server's own values: its counters and secrets, and what nodes of a cluster keep.
//!
//! Holds: the server starts with any of them damaged, once they were put right; a secret is in no sentence.
//! Other half: each is read by the module that its name says.

use std::sync::Arc;

use bytes::Bytes;
use store::{
    decode_numbers,
    engine::{Assertion, Batch, Engine},
    keys::{self, ShardRow, Subspace},
    numbers,
    quarantine::{self, Aside},
    shards::{Manifest, ShardHead},
};

use super::{CheckError, Checker, Code, Rows, edits::Edit};
use crate::{
    auth::oauth,
    cluster::{LeaseRecord, NodeRecord},
    directory::COUNTER,
    inproc::certificates::{AcmeAccountRecord, CertificateRecord, ChallengeRecord},
    settings::records::SettingRecord,
};

/// Octets of the server's own values, where each has as many. A value of another length can't be read.
const LENGTHS: &[(&str, usize)] = &[
    ("format", 8),
    (COUNTER, 8),
    (crate::cluster::SHARING, 8),
    (crate::settings::COUNTER, 8),
    (crate::bans::COUNTER, 8),
    ("next account", 8),
    (crate::quota::DEFAULT, 16),
    ("traces", 8),
    (crate::admin::AUDIT_COUNT, 8),
    (
        crate::auth::scram::key::NAME,
        crate::auth::scram::KEY_OCTETS,
    ),
    (crate::directory::dkim::LEASE_ROW, 16),
];

/// Values that may begin anew: whoever misses one makes it again.
fn may_go(name: &str) -> bool {
    name != "format"
}

fn is_readable(name: &str, value: &[u8]) -> bool {
    let length = LENGTHS.iter().find(|(known, _)| *known == name);
    length.is_none_or(|(_, octets)| value.len() == *octets)
        && (name != crate::push::VAPID || crate::push::is_vapid_key(value))
        && (name != oauth::KEY_ROW || oauth::is_key(value))
}

/// Puts aside those of the server's own values without which no server starts, if they can't be read. What they were for is made
/// again. Returns the names.
pub async fn mend_before_open(
    engine: &Arc<dyn Engine>,
    now_ms: i64,
) -> Result<Vec<&'static str>, store::Error> {
    let mut mended = Vec::new();
    let names = [
        crate::auth::scram::key::NAME,
        crate::push::VAPID,
        oauth::KEY_ROW,
    ];
    for name in names {
        let key = keys::meta(name);
        let Some(found) = engine.get(&key).await? else {
            continue;
        };
        if is_readable(name, &found) {
            continue;
        }
        let row = keys::quarantine(&key);
        let known = engine.get(&row).await?;
        let mut batch = Batch::new();
        batch.assert(Assertion::Equals(key.clone(), found.clone()));
        batch.delete(key.clone());
        let aside = Aside {
            key,
            octets: found.to_vec(),
            reason: Code::RecordMeta.name().to_owned(),
            at: now_ms,
        };
        quarantine::put(&mut batch, row, known.as_ref(), aside);
        engine.commit(batch).await?;
        mended.push(name);
    }
    Ok(mended)
}

impl Checker<'_> {
    pub(super) async fn check_meta(&mut self) -> Result<(), CheckError> {
        let mut rows = Rows::new(keys::all(Subspace::Meta));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let name = String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned();
                if is_readable(&name, &bytes) || !may_go(&name) {
                    continue;
                }
                let why = format!("the server's own value \"{name}\" can't be read");
                self.problem(Code::RecordMeta, &key, why);
                let now = u64::try_from(self.core.clock.now().0).unwrap_or(1);
                let anew = match name.as_str() {
                    // Another one than any that somebody may remember.
                    COUNTER
                    | crate::cluster::SHARING
                    | crate::settings::COUNTER
                    | crate::bans::COUNTER => Some(numbers(&[now])),
                    _ => None,
                };
                let edit = Edit {
                    write: anew,
                    ..Edit::aside(key.to_vec(), bytes, Code::RecordMeta)
                };
                self.edit(edit).await?;
            }
        }
        self.check_settings().await?;
        self.check_cluster().await?;
        self.check_certificates().await
    }

    /// What is put aside is ordered anew, or has to be imported again; of the counter, any other number will do.
    async fn check_certificates(&mut self) -> Result<(), CheckError> {
        for subspace in [
            Subspace::AcmeAccount,
            Subspace::Certificate,
            Subspace::Challenge,
        ] {
            let mut rows = Rows::new(keys::all(subspace));
            while let Some(page) = rows.next(&self.snapshot).await? {
                for (key, bytes) in page {
                    let is_readable = match subspace {
                        Subspace::AcmeAccount => {
                            self.record::<AcmeAccountRecord>(&key, &bytes).is_some()
                        }
                        Subspace::Challenge => {
                            self.record::<ChallengeRecord>(&key, &bytes).is_some()
                        }
                        _ if *key == *keys::certificate_changes() => self
                            .numbers::<1>(&key, &bytes, "number of changes to certificates")
                            .is_some(),
                        _ => self.record::<CertificateRecord>(&key, &bytes).is_some(),
                    };
                    if !is_readable {
                        self.put_aside(Code::Record, &key, &bytes).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn check_settings(&mut self) -> Result<(), CheckError> {
        let mut rows = Rows::new(keys::all(Subspace::Setting));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                if self.record::<SettingRecord>(&key, &bytes).is_none() {
                    self.put_aside(Code::Record, &key, &bytes).await?;
                }
            }
        }
        // Where nobody knows what settings mean, there are none.
        for (key, why) in self.core.faulty_settings().await? {
            self.problem(Code::Setting, &keys::setting(&key), why);
        }
        Ok(())
    }

    fn check_shard_row(&mut self, key: &[u8], bytes: &Bytes) -> bool {
        let row = keys::decode_search_shard(key).map(|(_, _, row, _)| row);
        match row {
            Some(row) if row == ShardRow::Head as u64 => {
                self.record::<ShardHead>(key, bytes).is_some()
            }
            Some(row) if row == ShardRow::Manifest as u64 => {
                let is_readable = Manifest::read(key, bytes).is_ok();
                if !is_readable {
                    let why = "the manifest of a search shard can't be read";
                    self.problem(Code::Record, key, why);
                }
                is_readable
            }
            Some(row) if row == ShardRow::Complaint as u64 => {
                let number = self.numbers::<1>(key, bytes, "complaint about a search shard");
                number.is_some()
            }
            _ => true,
        }
    }

    async fn check_cluster(&mut self) -> Result<(), CheckError> {
        for subspace in [
            Subspace::Node,
            Subspace::Lease,
            Subspace::Turn,
            Subspace::QueuePause,
            Subspace::SearchShard,
        ] {
            let mut rows = Rows::new(keys::all(subspace));
            while let Some(page) = rows.next(&self.snapshot).await? {
                for (key, bytes) in page {
                    let (is_readable, anew) = match subspace {
                        Subspace::Node => (self.record::<NodeRecord>(&key, &bytes).is_some(), None),
                        Subspace::Lease => {
                            (self.record::<LeaseRecord>(&key, &bytes).is_some(), None)
                        }
                        // What is put aside is published anew.
                        Subspace::SearchShard => (self.check_shard_row(&key, &bytes), None),
                        Subspace::QueuePause => {
                            let since = self.numbers::<1>(&key, &bytes, "pause of the queue");
                            let now = u64::try_from(self.core.clock.now().0).unwrap_or(1);
                            (since.is_some(), Some(numbers(&[now])))
                        }
                        // Nobody claims it.
                        _ => {
                            let is_free = bytes.is_empty();
                            let is_right = is_free || decode_numbers::<2>(&key, &bytes).is_ok();
                            if !is_right {
                                let why = "the claim of an account's turn can't be read";
                                self.problem(Code::Record, &key, why);
                            }
                            (is_right, Some(Bytes::new()))
                        }
                    };
                    if !is_readable {
                        let edit = Edit {
                            write: anew,
                            ..Edit::aside(key.to_vec(), bytes, Code::Record)
                        };
                        self.edit(edit).await?;
                    }
                }
            }
        }
        Ok(())
    }
}

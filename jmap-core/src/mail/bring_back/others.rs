//! What an account has beside its mail: identities, Sieve scripts, the vacation response, annotations of mailboxes.
//!
//! Holds: what there is already stays as it is. Submissions don't come back: their mail was sent, or wasn't.

use bytes::Bytes;
use jmap_types::DataType;
use store::{
    Change, ChangeKind, Record as _,
    engine::Batch,
    keys::{self, Subspace},
};

use super::{BringBackError, Work, rows};
use crate::mail::{
    identity::{self, IdentityRecord},
    records::MetadataRecord,
    sieve::{self, ActiveRecord, ScriptRecord},
    vacation::{self, VacationRecord},
    view::ViewEvent,
    write::MailTxn,
};

impl Work<'_> {
    pub(super) async fn others(&mut self) -> Result<(), BringBackError> {
        let handle = self.core.accounts.handle(self.account);
        for _ in 0..crate::object::TRIES {
            let mut txn = handle.writer.begin().await?;
            let mut count = self.identities(&mut txn).await?;
            count += self.scripts(&mut txn).await?;
            count += self.vacation(&mut txn).await?;
            count += self.annotations(&mut txn).await?;
            if count == 0 {
                return Ok(());
            }
            match txn.commit().await {
                Ok(_) => {
                    self.done.others += count;
                    return Ok(());
                }
                Err(store::Error::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(store::Error::Conflict.into())
    }

    async fn identities(&self, txn: &mut MailTxn) -> Result<u64, BringBackError> {
        let mut now = identity::all_in(txn).await?;
        let mut count = 0;
        for (key, bytes) in rows(self.archive, keys::objects(self.old, DataType::Identity)).await? {
            let old = IdentityRecord::from_bytes(&key, &bytes)?;
            let is_there = now.iter().any(|(_, now)| {
                let is_same = identity::canonical(&now.email) == identity::canonical(&old.email);
                *now == old || is_same && now.is_default && old.is_default
            });
            if is_there || now.len() >= identity::IDENTITIES_MAX {
                continue;
            }
            let id = txn.new_id();
            identity::put(txn, id, &old, ChangeKind::Created);
            now.push((id, old));
            count += 1;
        }
        Ok(count)
    }

    async fn scripts(&self, txn: &mut MailTxn) -> Result<u64, BringBackError> {
        let mut now = sieve::all_in(txn).await?;
        let old = rows(self.archive, keys::objects(self.old, DataType::SieveScript)).await?;
        let active_key = sieve::script_key(self.old, sieve::ACTIVE);
        let active = self.archive.get(&active_key).await?;
        let active = active.map(|bytes| ActiveRecord::from_bytes(&active_key, &bytes));
        let active = active.transpose()?.unwrap_or_default().script;
        let mut count = 0;
        for (old_id, old) in sieve::decode(old)? {
            if now.iter().any(|(_, now)| now.name == old.name) || now.len() >= sieve::SCRIPTS_MAX {
                continue;
            }
            let Some(octets) = self.archive.get(&keys::blob(&old.blob)).await? else {
                continue;
            };
            let id = txn.new_id();
            let script = ScriptRecord {
                blob: store::blob::hash(&octets),
                ..old
            };
            let mut batch = Batch::new();
            store::blob::ensure(txn.engine(), &mut batch, &script.blob, &octets).await?;
            txn.append_unread(batch);
            let account = txn.account();
            txn.put(
                keys::blob_ref(&script.blob, account, DataType::SieveScript, id),
                Bytes::new(),
            );
            txn.put_record(sieve::script_key(account, id), &script);
            txn.changed(Change::new(DataType::SieveScript, id, ChangeKind::Created));
            if active == Some(old_id) && sieve::active_in(txn).await?.is_none() {
                let record = ActiveRecord { script: Some(id) };
                txn.put_record(sieve::script_key(account, sieve::ACTIVE), &record);
            }
            now.push((id, script));
            count += 1;
        }
        Ok(count)
    }

    async fn vacation(&self, txn: &mut MailTxn) -> Result<u64, BringBackError> {
        let (old, new) = (vacation::key(self.old), vacation::key(self.account));
        let Some(bytes) = self.archive.get(&old).await? else {
            return Ok(0);
        };
        if txn.get(&new).await?.is_some() {
            return Ok(0);
        }
        let record = VacationRecord::from_bytes(&old, &bytes)?;
        txn.put_record(new, &record);
        txn.changed(Change::new(
            DataType::VacationResponse,
            0,
            ChangeKind::Updated,
        ));
        Ok(1)
    }

    /// Those that are shared, and the account's own.
    async fn annotations(&mut self, txn: &mut MailTxn) -> Result<u64, BringBackError> {
        let mut start = vec![Subspace::Metadata as u8];
        start.extend_from_slice(&self.old.number().to_be_bytes());
        let mut count = 0;
        for (key, bytes) in rows(self.archive, keys::prefix(start)).await? {
            let Some((_, old_mailbox, owner)) = keys::decode_metadata(&key) else {
                continue;
            };
            let owner = match owner {
                0 => 0,
                own if own == self.old.number() => self.account.number(),
                _ => continue,
            };
            let mailbox = match old_mailbox {
                0 => 0,
                // All of them are there by now.
                old => match self.mailboxes.now(old) {
                    Some(now) => now,
                    None => continue,
                },
            };
            let row = keys::metadata(self.account, mailbox, owner);
            let mut record = MetadataRecord::from_bytes(&key, &bytes)?;
            record.entries.retain(|entry| entry.value.is_some());
            if record.entries.is_empty() || txn.get(&row).await?.is_some() {
                continue;
            }
            for entry in &mut record.entries {
                entry.modseq = txn.sequence();
            }
            txn.put_record(row, &record);
            txn.changed(match mailbox {
                0 => Change::new(DataType::Quota, 0, ChangeKind::Updated),
                mailbox => Change::new(DataType::Mailbox, mailbox, ChangeKind::Counts),
            });
            txn.emit(ViewEvent::Metadata { mailbox });
            count += 1;
        }
        Ok(count)
    }
}

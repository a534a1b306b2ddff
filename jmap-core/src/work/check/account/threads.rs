//! Threads: each has as many emails as are counted, and answers find it.
//!
//! Other half: `mail::write` counts.

use jmap_types::{AccountId, DataType};
use store::{
    Change, ChangeKind,
    keys::{self, Subspace},
};

use super::{
    super::{CheckError, Checker, Code, Rows, directory::two_numbers, edits::Edit},
    Count, of_account,
};

impl Checker<'_> {
    pub(super) async fn check_threads(
        &mut self,
        account: AccountId,
        count: &mut Count,
    ) -> Result<(), CheckError> {
        let mut rows = Rows::new(keys::objects(account, DataType::Thread));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let Some((_, _, id)) = keys::decode_object(&key) else {
                    continue;
                };
                count.last_id = count.last_id.max(id);
                let stored = self.numbers::<1>(&key, &bytes, "number of emails of a thread");
                let found = count.threads.remove(&id).unwrap_or(0);
                if stored == Some([found]) || (count.is_partial && stored.is_some()) {
                    continue;
                }
                if let Some([stored]) = stored {
                    let why = format!("the thread has {found} emails, and {stored} are counted");
                    self.problem(Code::ThreadCount, &key, why);
                }
                let kind = match found {
                    0 => ChangeKind::Destroyed,
                    _ => ChangeKind::Updated,
                };
                self.changed(Change::new(DataType::Thread, id, kind));
                let key = key.to_vec();
                let keeps = stored.is_none();
                let edit = match found {
                    0 => Edit::delete(key, bytes),
                    found => Edit::put(key, Some(bytes), store::numbers(&[found])),
                };
                let edit = match keeps {
                    true => edit.keeping(Code::Record),
                    false => edit,
                };
                self.edit(edit).await?;
            }
        }
        for (id, found) in std::mem::take(&mut count.threads) {
            let key = keys::object(account, DataType::Thread, id);
            let why = "emails are in a thread that isn't there";
            self.problem(Code::ThreadCount, &key, why);
            self.changed(Change::new(DataType::Thread, id, ChangeKind::Created));
            self.put_numbers(key, None, &[found]).await?;
        }
        self.check_thread_refs(account, count).await
    }

    async fn check_thread_refs(
        &mut self,
        account: AccountId,
        count: &mut Count,
    ) -> Result<(), CheckError> {
        let mut rows = Rows::new(of_account(Subspace::ThreadRef, account));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let Some((_, hash)) = two_numbers(Subspace::ThreadRef, &key) else {
                    continue;
                };
                let stored = self.numbers::<2>(&key, &bytes, "way to a thread");
                let found = count.thread_refs.remove(&hash);
                let emails = found.map_or(0, |(emails, _)| emails);
                if let Some([_, counted]) = stored {
                    if counted == emails || count.is_partial {
                        continue;
                    }
                    let why =
                        format!("{emails} emails name this message, and {counted} are counted");
                    self.problem(Code::ThreadRef, &key, why);
                }
                let key = key.to_vec();
                let edit = match (found, stored) {
                    (None, _) => Edit::delete(key, bytes),
                    (Some((emails, _)), Some([thread, _])) => {
                        Edit::put(key, Some(bytes), store::numbers(&[thread, emails]))
                    }
                    (Some((emails, thread)), None) => {
                        Edit::put(key, Some(bytes), store::numbers(&[thread, emails]))
                            .keeping(Code::Record)
                    }
                };
                self.edit(edit).await?;
            }
        }
        if count.is_partial {
            return Ok(());
        }
        for (hash, (emails, thread)) in std::mem::take(&mut count.thread_refs) {
            let key = keys::thread_ref(account, hash);
            let why = "answers to an email won't find its thread";
            self.problem(Code::ThreadRef, &key, why);
            self.put_numbers(key, None, &[thread, emails]).await?;
        }
        Ok(())
    }
}

//! The trace: each event can be read and found, and each row of the indexes leads to one.
//!
//! Other half: `crate::trace` writes and removes them together.

use bytes::Bytes;
use store::{
    engine::Assertion,
    keys::{self, Subspace},
};

use super::{CheckError, Checker, Code, Rows, edits::Edit};
use crate::trace::{self, TraceRecord};

impl Checker<'_> {
    pub(super) async fn check_traces(&mut self) -> Result<(), CheckError> {
        let mut events = 0_i64;
        let mut rows = Rows::new(keys::all(Subspace::Trace));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let Some(event) = keys::decode_trace(&key) else {
                    continue;
                };
                let Some(record) = self.record::<TraceRecord>(&key, &bytes) else {
                    self.put_aside(Code::Record, &key, &bytes).await?;
                    continue;
                };
                events += 1;
                for index in trace::index_of(&record) {
                    let row = keys::trace_index(index, event);
                    if !self.exists(&row).await? {
                        let why = "an event of the trace isn't found by what it is about";
                        self.problem(Code::TraceIndex, &row, why);
                        let edit = Edit::put(row, None, Bytes::new());
                        self.edit(edit.guard(Assertion::Present(key.to_vec())))
                            .await?;
                    }
                }
            }
        }
        for subspace in [Subspace::TraceMessage, Subspace::TraceAccount] {
            let mut rows = Rows::new(keys::all(subspace));
            while let Some(page) = rows.next(&self.snapshot).await? {
                for (key, bytes) in page {
                    let Some((_, event)) = keys::decode_trace_index(&key) else {
                        continue;
                    };
                    if !self.exists(&keys::trace(event)).await? {
                        let why = "an event that isn't there is in an index of the trace";
                        self.problem(Code::TraceIndex, &key, why);
                        let edit = Edit::delete(key.to_vec(), bytes);
                        self.edit(edit.guard(Assertion::Absent(keys::trace(event))))
                            .await?;
                    }
                }
            }
        }
        self.check_trace_count(events).await
    }

    async fn check_trace_count(&mut self, events: i64) -> Result<(), CheckError> {
        let key = keys::meta(trace::COUNT);
        let counted = match self.get(&key).await? {
            None => 0,
            Some(bytes) => match bytes[..].try_into() {
                Ok(octets) => i64::from_be_bytes(octets),
                // The server's own values tell of it.
                Err(_) => return Ok(()),
            },
        };
        // Events that can't be read are counted until they go.
        if counted != events && self.report.problems.iter().all(|p| !is_trace(&p.key)) {
            let why = format!("there are {events} events, and {counted} are counted");
            self.problem(Code::TraceCount, &key, why);
            self.add(key, events - counted);
        }
        Ok(())
    }
}

fn is_trace(key: &[u8]) -> bool {
    key.first() == Some(&(Subspace::Trace as u8))
}

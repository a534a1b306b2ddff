//! The trace: each event can be read, and each row of the indexes leads to one.
//!
//! Other half: `crate::trace` writes and removes them together.

use store::keys::{self, Subspace};

use super::{CheckError, Checker, ProblemKind, Rows};
use crate::trace::TraceRecord;

impl Checker<'_> {
    pub(super) async fn check_traces(&mut self) -> Result<(), CheckError> {
        let mut rows = Rows::new(keys::all(Subspace::Trace));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                self.record::<TraceRecord>(&key, &bytes);
            }
        }
        for subspace in [Subspace::TraceMessage, Subspace::TraceAccount] {
            let mut rows = Rows::keys_only(keys::all(subspace));
            while let Some(page) = rows.next(&self.snapshot).await? {
                for (key, _) in page {
                    let Some((_, event)) = keys::decode_trace_index(&key) else {
                        continue;
                    };
                    if !self.exists(&keys::trace(event)).await? {
                        let why = "an event that isn't there is in an index of the trace";
                        self.problem(ProblemKind::Trace, &key, why);
                    }
                }
            }
        }
        Ok(())
    }
}

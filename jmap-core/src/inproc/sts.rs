//! MTA-STS policies (RFC 8461) over a restart: until they expire they count, whatever the DNS says.
//!
//! Holds: a row that can't be read, or written, costs another fetch and nothing else; rows of policies that have expired go.
//! Other half: `adapters/smtp`'s client, which fetches and reads them.

use minicbor::{Decode, Encode};
use store::{
    Record,
    engine::{Batch, Page},
    keys::{self, Subspace},
};

use crate::Core;

/// Rows that one round looks at.
const ROWS_PER_PAGE: usize = 64;

/// A domain's policy as it was fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct StsPolicyRecord {
    /// The id of the domain's TXT record.
    #[n(0)]
    pub id: String,
    /// The policy file.
    #[n(1)]
    pub text: String,
    /// Milliseconds since 1970.
    #[n(2)]
    pub fetched: i64,
    /// Milliseconds since 1970: from then on it doesn't count.
    #[n(3)]
    pub expires: i64,
}

impl Record for StsPolicyRecord {
    const KIND: &'static str = "MTA-STS policy";
}

impl Core {
    pub async fn sts_policy(&self, domain: &str) -> Result<Option<StsPolicyRecord>, store::Error> {
        let key = keys::sts_policy(domain);
        let found = self.engine.get(&key).await?;
        found
            .map(|bytes| StsPolicyRecord::from_bytes(&key, &bytes))
            .transpose()
    }

    pub async fn keep_sts_policy(
        &self,
        domain: &str,
        policy: &StsPolicyRecord,
    ) -> Result<(), store::Error> {
        let mut batch = Batch::new();
        batch.put(keys::sts_policy(domain), policy.to_bytes());
        Ok(self.engine.commit(batch).await?)
    }

    /// Removes what has expired, and what can't be read: it is fetched again.
    pub(crate) async fn expire_sts_policies(&self) -> Result<(), store::Error> {
        let now = self.clock.now().0;
        let mut range = keys::all(Subspace::StsPolicy);
        loop {
            let rows = self
                .engine
                .scan(Page::first(range.clone(), ROWS_PER_PAGE))
                .await?;
            let mut batch = Batch::new();
            let mut count = 0;
            for (key, bytes) in &rows {
                let policy = StsPolicyRecord::from_bytes(key, bytes);
                if policy.is_ok_and(|policy| policy.expires > now) {
                    continue;
                }
                batch.delete(key.to_vec());
                count += 1;
            }
            if count > 0 {
                self.engine.commit(batch).await?;
            }
            let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS_PER_PAGE) else {
                return Ok(());
            };
            range.start = [last, &[0u8][..]].concat();
        }
    }
}

#[cfg(test)]
mod tests;

//! The shape of keys: every key belongs to a row of the key table.
//!
//! Other half: `store::keys::TABLE`.

use store::keys::{self, Fields, Subspace};

use super::{CheckError, Checker, Code, Rows};
use crate::bans::Network;

/// Subspaces whose keys begin with an account.
const OF_ACCOUNT: &[Subspace] = &[
    Subspace::Account,
    Subspace::Head,
    Subspace::Object,
    Subspace::Log,
    Subspace::ThreadRef,
    Subspace::Delivered,
    Subspace::MailboxUid,
    Subspace::Metadata,
    Subspace::Upload,
    Subspace::SearchPending,
    Subspace::SearchCursor,
    Subspace::Undelete,
    Subspace::Import,
];

impl Checker<'_> {
    pub(super) async fn check_shapes(&mut self) -> Result<(), CheckError> {
        for first in 0..=u8::MAX {
            let known = keys::TABLE
                .iter()
                .map(|(subspace, _, _)| *subspace)
                .find(|subspace| *subspace as u8 == first);
            let range = match first {
                u8::MAX => vec![first]..vec![first; 64],
                first => vec![first]..vec![first + 1],
            };
            match known {
                Some(subspace) => self.check_subspace(subspace, range).await?,
                None if self.is_empty(range.clone()).await? => {}
                None => {
                    let why = "there are records in a subspace that this version doesn't know";
                    self.problem(Code::KeyUnknown, &[first], why);
                    self.put_range_aside(range).await?;
                }
            }
        }
        Ok(())
    }

    async fn check_subspace(
        &mut self,
        subspace: Subspace,
        range: store::engine::KeyRange,
    ) -> Result<(), CheckError> {
        if subspace == Subspace::Quarantine {
            return self.count_quarantine(range).await;
        }
        let mut rows = Rows::keys_only(range);
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, _) in page {
                self.report.records += 1;
                self.tell(self.report.records, "keys");
                if shape(subspace, &key).is_none() {
                    let why = format!("a key of {subspace:?} has the wrong shape");
                    self.problem(Code::KeyShape, &key, why);
                    if let Some(bytes) = self.get(&key).await? {
                        self.put_aside(Code::KeyShape, &key, &bytes).await?;
                    }
                } else if OF_ACCOUNT.contains(&subspace)
                    && let Some(account) =
                        Fields::of(subspace, &key).and_then(|mut fields| fields.u64())
                {
                    self.accounts.entry(account).or_insert(None);
                }
            }
        }
        Ok(())
    }

    /// What was put aside is nobody's problem any more.
    async fn count_quarantine(&mut self, range: store::engine::KeyRange) -> Result<(), CheckError> {
        let mut rows = Rows::keys_only(range);
        while let Some(page) = rows.next(&self.snapshot).await? {
            self.report.records += page.len() as u64;
            self.report.quarantined += page.len() as u64;
        }
        Ok(())
    }

    async fn put_range_aside(&mut self, range: store::engine::KeyRange) -> Result<(), CheckError> {
        if !self.is_repair() {
            return Ok(());
        }
        let mut rows = Rows::new(range);
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                self.put_aside(Code::KeyUnknown, &key, &bytes).await?;
            }
        }
        Ok(())
    }
}

/// `None`: the key is not one of the subspace.
fn shape(subspace: Subspace, key: &[u8]) -> Option<()> {
    let mut fields = Fields::of(subspace, key)?;
    match subspace {
        Subspace::Meta
        | Subspace::LoginName
        | Subspace::Domain
        | Subspace::Address
        | Subspace::StsPolicy => {
            let name = fields.rest();
            return (!name.is_empty() && std::str::from_utf8(name).is_ok()).then_some(());
        }
        Subspace::CredentialLookup | Subspace::Quarantine => {
            return (!fields.rest().is_empty()).then_some(());
        }
        Subspace::Account
        | Subspace::Head
        | Subspace::SearchPending
        | Subspace::SearchCursor
        | Subspace::PendingDelivery
        | Subspace::Trace => {
            fields.u64()?;
        }
        Subspace::Credential
        | Subspace::Membership
        | Subspace::SharedWith
        | Subspace::Log
        | Subspace::ThreadRef
        | Subspace::Delivered
        | Subspace::MailboxUid
        | Subspace::TraceMessage
        | Subspace::TraceAccount => {
            fields.u64()?;
            fields.u64()?;
        }
        Subspace::SearchShard => return keys::decode_search_shard(key).map(drop),
        Subspace::SearchIndexed => return keys::decode_search_indexed(key).map(drop),
        Subspace::Metadata => return keys::decode_metadata(key).map(drop),
        Subspace::Object => return keys::decode_object(key).map(drop),
        Subspace::Blob | Subspace::Summary | Subspace::Structure | Subspace::BlobStub => {
            fields.hash()?;
        }
        Subspace::BlobRef => return keys::decode_blob_ref(key).map(drop),
        Subspace::BlobCandidate => return keys::decode_blob_candidate(key).map(drop),
        Subspace::BlobGarbage => return keys::decode_blob_garbage(key).map(drop),
        Subspace::Upload => return keys::decode_upload(key).map(drop),
        Subspace::UploadExpiry => return keys::decode_upload_expiry(key).map(drop),
        Subspace::ReportIn => return keys::decode_report_in(key).map(drop),
        Subspace::DmarcCounts | Subspace::TlsCounts => {
            return keys::decode_counts(subspace, key).map(drop);
        }
        Subspace::ReportWaiting => return keys::decode_report_waiting(key).map(drop),
        Subspace::QueuePause => return keys::decode_queue_pause(key).map(drop),
        Subspace::QueueLength => {}
        Subspace::QueueDue => return keys::decode_queue_due(key).map(drop),
        Subspace::DkimKey => return keys::decode_dkim_key(key).map(drop),
        Subspace::Node => return keys::decode_node(key).map(drop),
        Subspace::Lease => return keys::decode_lease(key).map(drop),
        Subspace::Turn => return keys::decode_turn(key).map(drop),
        Subspace::Undelete => return keys::decode_undelete(key).map(drop),
        Subspace::Backup => return keys::decode_backup(key).map(drop),
        Subspace::Import => return keys::decode_import(key).map(drop),
        Subspace::Setting => return keys::decode_setting(key).map(drop),
        Subspace::Audit => return keys::decode_audit(key).map(drop),
        Subspace::Idempotency => return keys::decode_idempotency(key).map(drop),
        Subspace::Ban => {
            let network = keys::decode_ban(key)?;
            return network.parse::<Network>().is_ok().then_some(());
        }
        Subspace::AcmeAccount => return keys::decode_acme_account(key).map(drop),
        Subspace::Certificate => return keys::decode_certificate(key).map(drop),
        Subspace::Challenge => return keys::decode_challenge(key).map(drop),
        Subspace::OAuthClient => return keys::decode_oauth_client(key).map(drop),
        Subspace::OAuthPending => return keys::decode_oauth_pending(key).map(drop),
        Subspace::Webhook => return keys::decode_webhook(key).map(drop),
        Subspace::WebhookDue => return keys::decode_webhook_due(key).map(drop),
        Subspace::WebhookDone => return keys::decode_webhook_done(key).map(drop),
        Subspace::Alert => return keys::decode_alert(key).map(drop),
    }
    fields.end()
}

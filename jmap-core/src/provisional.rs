//! Replaced by `directory`.
use jmap_types::AccountId;
impl crate::Core {
    pub async fn quota_octets(&self, _account: AccountId) -> Result<u64, store::Error> {
        Ok(self.limits.default_quota_octets)
    }
    pub fn directory_changed(&self) {}
}

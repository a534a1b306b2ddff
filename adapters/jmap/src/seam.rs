//! What the core does not have yet.
use bytes::Bytes;
use jmap_core::{Caller, Core, auth::*};
use jmap_types::*;

pub struct AccountInfo {
    pub name: String,
    pub is_personal: bool,
    pub is_read_only: bool,
}

#[allow(async_fn_in_trait)]
pub trait Seam {
    fn login(
        &self,
        _: Credentials,
        _: Origin,
    ) -> impl Future<Output = Result<Caller, AuthError>> + Send {
        async { Err(AuthError::Unavailable) }
    }
    fn account_info(
        &self,
        _: &Caller,
        _: AccountId,
    ) -> impl Future<Output = Option<AccountInfo>> + Send {
        async { None }
    }
    fn write_blob(
        &self,
        _: &Caller,
        _: AccountId,
        _: Bytes,
        _: &str,
    ) -> impl Future<Output = Result<BlobId, MethodError>> + Send {
        async { Err(MethodErrorKind::ServerFail.into()) }
    }
    fn read_blob(
        &self,
        _: &Caller,
        _: AccountId,
        _: BlobId,
    ) -> impl Future<Output = Result<Bytes, MethodError>> + Send {
        async { Err(MethodErrorKind::ServerFail.into()) }
    }
}
impl Seam for Core {}

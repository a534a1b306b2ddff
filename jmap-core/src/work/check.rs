//! x
pub type Progress<'p> = &'p (dyn Fn(&str) + Send + Sync);
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct CheckError(#[from] store::Error);
pub struct CheckOptions { pub skip_hashing: bool }
pub struct Report { pub records: u64, pub accounts: u64, pub emails: u64, pub blobs: u64, pub problems: Vec<Problem>, pub has_more: bool }
pub struct Problem { pub kind: Kind, pub sentence: String }
pub struct Kind;
impl Kind { pub fn name(&self) -> &'static str { "" } }
impl Problem { pub fn key_text(&self) -> String { String::new() } }
impl crate::Core { pub async fn check(&self, _: CheckOptions, _: Progress<'_>) -> Result<Report, CheckError> { Err(CheckError(store::Error::Conflict)) } }

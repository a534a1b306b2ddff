//! The place outside of the engine: a folder, or a bucket of an S3-compatible service.
//!
//! Holds: what [`Outside::put`] has said yes to is there for good; every call ends within a time that grows with the
//! octets alone, and is tried anew within that time; at most [`OPERATIONS_MAX`] run at once.
//! Other half: `commit` uploads before the commit that names an object, `collect` removes what nothing names.

use std::{fmt, ops::Range, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, future, stream::BoxStream};
use object_store::{
    BackoffConfig, ClientOptions, GetOptions, GetRange, ObjectStore, ObjectStoreExt as _,
    PutPayload, RetryConfig, WriteMultipart,
    aws::{AmazonS3Builder, Checksum},
    local::LocalFileSystem,
    path::Path,
};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::stub::ObjectName;

/// Operations at once; more wait.
pub const OPERATIONS_MAX: usize = 64;
/// Octets from which on an object is uploaded in parts, and of a part.
pub(super) const PART_OCTETS: usize = 8 << 20;
/// Parts that are under way at once, of one object.
const PARTS_AT_ONCE: usize = 4;
/// What a slow line still takes in a second, in octets: large objects get more time.
const SLOW_OCTETS_A_SECOND: u64 = 256 << 10;
/// Longest time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a request is tried, within the time that there is.
const RETRIES_MAX: usize = 10;
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Where objects are kept.
#[derive(Clone, Debug)]
pub struct OutsideSettings {
    pub place: OutsidePlace,
    /// For one operation on a small object, with all that is tried again.
    pub timeout: Duration,
}

#[derive(Clone, Debug)]
pub enum OutsidePlace {
    /// A folder of a local file system. It is made if it isn't there.
    Folder(PathBuf),
    S3(S3Settings),
}

#[derive(Clone)]
pub struct S3Settings {
    pub bucket: String,
    /// In front of all names; may be empty.
    pub prefix: String,
    /// Another service than Amazon's: `http://…` or `https://…`.
    pub endpoint: Option<String>,
    pub region: Option<String>,
    /// Access key id and secret; `None`: from the environment (`AWS_ACCESS_KEY_ID` and so on) or from the machine's role.
    pub credentials: Option<(String, Zeroizing<String>)>,
    /// The bucket is a part of the host's name.
    pub virtual_hosted: bool,
}

impl fmt::Debug for S3Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Settings")
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

/// Why something outside could not be done. For the log.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OutsideError {
    #[error("the object {0} is missing in the object store")]
    Missing(String),
    #[error("the object {0} is not as large as what was stored")]
    WrongSize(String),
    #[error("the object store doesn't answer, or refuses: {0}")]
    Unavailable(Arc<str>),
}

/// An object that was found in a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    pub name: ObjectName,
    /// Milliseconds since 1970, by the clock of the place.
    pub modified_ms: i64,
}

pub struct Outside {
    store: Arc<dyn ObjectStore>,
    root: Path,
    timeout: Duration,
    permits: Semaphore,
}

impl Outside {
    /// Doesn't connect yet. The error is a sentence for the operator.
    pub fn open(settings: &OutsideSettings) -> Result<Outside, String> {
        let (store, root): (Arc<dyn ObjectStore>, Path) = match &settings.place {
            OutsidePlace::Folder(folder) => {
                let why = |error: std::io::Error| format!("{}: {error}", folder.display());
                make_folder(folder).map_err(why)?;
                let store = LocalFileSystem::new_with_prefix(folder)
                    .map_err(|error| error.to_string())?
                    .with_fsync(true);
                (Arc::new(store), Path::default())
            }
            OutsidePlace::S3(of) => {
                let root = Path::parse(&of.prefix).map_err(|error| error.to_string())?;
                (Arc::new(s3(of, settings.timeout)?), root)
            }
        };
        Ok(Outside::over(store, root, settings.timeout))
    }

    fn over(store: Arc<dyn ObjectStore>, root: Path, timeout: Duration) -> Outside {
        Outside {
            store,
            root,
            timeout,
            permits: Semaphore::new(OPERATIONS_MAX),
        }
    }

    /// The same place, with the objects of one store alone.
    pub(super) fn within(&self, folder: &str) -> Outside {
        Outside::over(
            self.store.clone(),
            self.root.clone().join(folder),
            self.timeout,
        )
    }

    /// Writes an object, for good.
    pub async fn put(&self, name: &ObjectName, octets: Bytes) -> Result<(), OutsideError> {
        let path = self.path(&name.path());
        self.put_at(&path, octets).await
    }

    async fn put_at(&self, path: &Path, octets: Bytes) -> Result<(), OutsideError> {
        let size = octets.len() as u64;
        let upload = async {
            if octets.len() <= PART_OCTETS {
                let payload = PutPayload::from_bytes(octets);
                return self.store.put(path, payload).await.map(drop);
            }
            let mut upload = self.store.put_multipart(path).await?;
            let mut parts = Vec::new();
            for start in (0..octets.len()).step_by(PART_OCTETS) {
                let end = octets.len().min(start + PART_OCTETS);
                let part = PutPayload::from_bytes(octets.slice(start..end));
                // Parts are numbered in the order of these calls.
                parts.push(upload.put_part(part));
            }
            let sent = futures_util::stream::iter(parts)
                .buffer_unordered(PARTS_AT_ONCE)
                .try_for_each(|()| future::ok(()));
            let outcome = match sent.await {
                Ok(()) => upload.complete().await.map(drop),
                Err(error) => Err(error),
            };
            if outcome.is_err() {
                let _ = upload.abort().await;
            }
            outcome
        };
        self.limited(size, upload).await
    }

    /// An object of `size` octets; another one is none of ours, and isn't read.
    pub async fn get(&self, name: &ObjectName, size: u64) -> Result<Bytes, OutsideError> {
        let path = self.path(&name.path());
        let read = async {
            let found = self.store.get(&path).await?;
            match found.meta.size == size {
                true => found.bytes().await.map(Some),
                false => Ok(None),
            }
        };
        let octets = self.limited(size, read).await?;
        octets.ok_or_else(|| OutsideError::WrongSize(path.to_string()))
    }

    pub async fn get_range(
        &self,
        name: &ObjectName,
        range: Range<u64>,
    ) -> Result<Bytes, OutsideError> {
        let path = self.path(&name.path());
        let size = range.end - range.start;
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            ..GetOptions::default()
        };
        let read = async { self.store.get_opts(&path, options).await?.bytes().await };
        self.limited(size, read).await
    }

    /// One that isn't there is fine.
    pub async fn delete(&self, name: &ObjectName) -> Result<(), OutsideError> {
        let path = self.path(&name.path());
        match self.limited(0, self.store.delete(&path)).await {
            Err(OutsideError::Missing(_)) => Ok(()),
            other => other,
        }
    }

    /// All objects, in no order. What has another name than ours is left out.
    pub fn list(&self) -> BoxStream<'static, Result<Listed, OutsideError>> {
        let listed = self.store.list(Some(&self.root));
        let ours = |meta: object_store::ObjectMeta| {
            Some(Listed {
                name: ObjectName::parse(meta.location.filename()?)?,
                modified_ms: meta.last_modified.timestamp_millis(),
            })
        };
        listed
            .map_err(|error| unavailable(&error))
            .try_filter_map(move |meta| future::ok(ours(meta)))
            .boxed()
    }

    /// Writes an object of another kind than blobs, by its path, for good.
    pub(super) async fn put_path(&self, path: &str, octets: Bytes) -> Result<(), OutsideError> {
        self.put_at(&self.path(path), octets).await
    }

    /// Begins to write one that isn't all in memory, by its path. It isn't there before it was finished.
    pub(super) async fn begin_parts(&self, path: &str) -> Result<WriteMultipart, OutsideError> {
        let path = self.path(path);
        let begun = self.limited(0, self.store.put_multipart(&path)).await?;
        Ok(WriteMultipart::new_with_chunk_size(begun, PART_OCTETS))
    }

    /// Waits until there is room for another part.
    pub(super) async fn room_for_part(
        &self,
        upload: &mut WriteMultipart,
    ) -> Result<(), OutsideError> {
        let room = upload.wait_for_capacity(PARTS_AT_ONCE);
        let octets = PART_OCTETS * PARTS_AT_ONCE;
        self.limited(octets as u64, room).await
    }

    /// All parts were given: the object is there for good.
    pub(super) async fn finish_parts(&self, upload: WriteMultipart) -> Result<(), OutsideError> {
        let octets = PART_OCTETS * PARTS_AT_ONCE;
        let finished = self.limited(octets as u64, upload.finish());
        finished.await.map(drop)
    }

    /// A part of an object, by its path. One that ends before is [`OutsideError::WrongSize`].
    pub(super) async fn get_path(
        &self,
        path: &str,
        range: Range<u64>,
    ) -> Result<Bytes, OutsideError> {
        let path = self.path(path);
        let size = range.end - range.start;
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            ..GetOptions::default()
        };
        let read = async { self.store.get_opts(&path, options).await?.bytes().await };
        let octets = self.limited(size, read).await?;
        match octets.len() as u64 == size {
            true => Ok(octets),
            false => Err(OutsideError::WrongSize(path.to_string())),
        }
    }

    /// Octets of an object, by its path.
    pub(super) async fn size_of_path(&self, path: &str) -> Result<u64, OutsideError> {
        let path = self.path(path);
        let head = async { self.store.head(&path).await };
        Ok(self.limited(0, head).await?.size)
    }

    /// One that isn't there is fine.
    pub(super) async fn delete_path(&self, path: &str) -> Result<(), OutsideError> {
        match self.limited(0, self.store.delete(&self.path(path))).await {
            Err(OutsideError::Missing(_)) => Ok(()),
            other => other,
        }
    }

    /// The paths of at most `max` objects in a folder and those below it, in no order.
    pub(super) async fn list_paths(
        &self,
        folder: &str,
        max: usize,
    ) -> Result<Vec<String>, OutsideError> {
        let folder = self.path(folder);
        let root = self.root.clone();
        let list = async {
            let listed = self.store.list(Some(&folder)).take(max);
            listed.try_collect::<Vec<_>>().await
        };
        let listed = self.limited(max as u64, list).await?;
        let relative = |meta: object_store::ObjectMeta| {
            let parts = meta.location.prefix_match(&root)?;
            let parts: Vec<String> = parts.map(|part| part.as_ref().to_owned()).collect();
            Some(parts.join("/"))
        };
        Ok(listed.into_iter().filter_map(relative).collect())
    }

    /// Writes a file that says whose place this is.
    pub(super) async fn put_mark(&self, octets: Bytes) -> Result<(), OutsideError> {
        self.put_at(&self.path(MARK), octets).await
    }

    /// What [`Outside::put_mark`] wrote.
    pub(super) async fn mark(&self) -> Result<Option<Bytes>, OutsideError> {
        let path = self.path(MARK);
        let options = GetOptions {
            range: Some(GetRange::Bounded(0..MARK_OCTETS_MAX)),
            ..GetOptions::default()
        };
        let read = async { self.store.get_opts(&path, options).await?.bytes().await };
        match self.limited(0, read).await {
            Ok(octets) => Ok(Some(octets)),
            Err(OutsideError::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn path(&self, name: &str) -> Path {
        let parts = name.split('/');
        parts.fold(self.root.clone(), |path, part| path.join(part))
    }

    /// Within the time that `octets` have.
    async fn limited<T>(
        &self,
        octets: u64,
        work: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, OutsideError> {
        let time = self.timeout + Duration::from_secs(octets / SLOW_OCTETS_A_SECOND);
        let limited = tokio::time::timeout(time, async {
            // The semaphore is never closed.
            let _permit = self.permits.acquire().await;
            work.await
        });
        match limited.await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(object_store::Error::NotFound { path, .. })) => Err(OutsideError::Missing(path)),
            Ok(Err(error)) => Err(unavailable(&error)),
            Err(_) => Err(OutsideError::Unavailable(
                format!("no answer within {} seconds", time.as_secs()).into(),
            )),
        }
    }
}

/// The file that says whose place it is; no object has such a name.
const MARK: &str = "posthorn-blobs";
const MARK_OCTETS_MAX: u64 = 64;

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outside({}/{})", self.store, self.root)
    }
}

/// The cause too, which is often all that tells something.
fn unavailable(error: &object_store::Error) -> OutsideError {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    OutsideError::Unavailable(text.into())
}

/// For its owner alone, and on disk.
fn make_folder(folder: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let missing = folder.ancestors().take_while(|part| !part.is_dir());
    let missing: Vec<_> = missing
        .filter(|part| !part.as_os_str().is_empty())
        .collect();
    for part in missing.into_iter().rev() {
        let made = std::fs::DirBuilder::new().mode(0o700).create(part);
        // Another server may have been faster.
        if !part.is_dir() {
            made?;
        }
        let parent = match part.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => std::path::Path::new("."),
        };
        std::fs::File::open(parent)?.sync_all()?;
    }
    Ok(())
}

fn s3(of: &S3Settings, timeout: Duration) -> Result<impl ObjectStore + use<>, String> {
    let part_time = Duration::from_secs(PART_OCTETS as u64 / SLOW_OCTETS_A_SECOND);
    let is_plain = of
        .endpoint
        .as_deref()
        .is_some_and(|url| url.starts_with("http://"));
    let client = ClientOptions::new()
        .with_connect_timeout(CONNECT_TIMEOUT.min(timeout))
        // A request without any answer is tried anew while there is time for it.
        .with_read_timeout((timeout / 3).max(Duration::from_millis(100)))
        .with_timeout(timeout + part_time)
        .with_allow_http(is_plain);
    let (init_backoff, max_backoff) = BACKOFF;
    let retry = RetryConfig {
        backoff: BackoffConfig {
            init_backoff,
            max_backoff,
            base: 2.0,
        },
        max_retries: RETRIES_MAX,
        retry_timeout: timeout,
    };
    let mut builder = match &of.credentials {
        None => AmazonS3Builder::from_env(),
        Some((id, secret)) => AmazonS3Builder::new()
            .with_access_key_id(id)
            .with_secret_access_key(secret.as_str()),
    };
    builder = builder
        .with_bucket_name(&of.bucket)
        .with_virtual_hosted_style_request(of.virtual_hosted)
        // Objects go one by one, which every service understands.
        .with_disable_bulk_delete(true)
        // What arrives is compared with it, also where the connection isn't encrypted.
        .with_checksum_algorithm(Checksum::SHA256)
        .with_client_options(client)
        .with_retry(retry);
    if let Some(endpoint) = &of.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(region) = &of.region {
        builder = builder.with_region(region);
    }
    builder.build().map_err(|error| error.to_string())
}

//! A server of S3 for tests, over HTTP: the crate `s3s`, with its signatures, over a folder; and what may go wrong with one.
//!
//! Holds: it is gone when the test is; it answers in threads of its own, whatever the test does.
//! Other half: `outside`, which is its client; the program `objects` of the end-to-end tests, which is one as a process.

use std::{
    convert::Infallible,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use s3s::{
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::outside::{OutsidePlace, OutsideSettings, S3Settings};

/// The server makes a file name out of it and of an object's name, and that has to be short enough.
pub const BUCKET: &str = "box";
pub const ACCESS_KEY_ID: &str = "posthorn";
pub const SECRET_ACCESS_KEY: &str = "a secret of tests alone";

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type AnyBody = UnsyncBoxBody<Bytes, BoxError>;

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum S3Fault {
    #[default]
    None,
    /// Connections end as soon as they are made.
    Down,
    /// Answers come so much later.
    Slow(Duration),
    /// 500.
    Failing,
    /// What is read ends in the middle.
    Truncating,
    /// It is done, and the connection ends without an answer.
    LosingAnswers,
    /// One octet of what is read is another one.
    WrongOctets,
}

/// A running server with an empty bucket.
#[derive(Debug)]
pub struct S3Server {
    folder: PathBuf,
    /// Removed with the server.
    _own: Option<TempDir>,
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<tokio::runtime::Runtime>,
}

#[derive(Debug, Default)]
struct Shared {
    fault: Mutex<S3Fault>,
    requests: AtomicU64,
}

impl S3Server {
    pub fn start() -> S3Server {
        let own = tempfile::Builder::new().prefix("posthorn-s3-").tempdir();
        let own = own.expect("a temporary folder can't be made");
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = S3Server::over(own.path(), anywhere, (ACCESS_KEY_ID, SECRET_ACCESS_KEY));
        server._own = Some(own);
        server
    }

    /// Over a folder that stays; what is in its bucket is there again. `access`: the id and the secret.
    pub fn over(folder: &Path, address: SocketAddr, access: (&str, &str)) -> S3Server {
        fs::create_dir_all(folder.join(BUCKET)).expect("the bucket can't be made");
        let files = s3s_fs::FileSystem::new(folder).expect("the folder can't be served");
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(access.0, access.1));
        let service = builder.build();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime can't be made");
        let listener = runtime
            .block_on_anywhere(tokio::net::TcpListener::bind(address))
            .expect("the port isn't free");
        let address = listener.local_addr().expect("the port isn't known");
        let shared = Arc::new(Shared::default());
        runtime.spawn(serve(listener, service, shared.clone()));
        S3Server {
            folder: folder.to_owned(),
            _own: None,
            address,
            shared,
            runtime: Some(runtime),
        }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// For a client with so much patience.
    pub fn settings(&self, timeout: Duration, prefix: &str) -> OutsideSettings {
        let secret = Zeroizing::new(SECRET_ACCESS_KEY.to_owned());
        OutsideSettings {
            place: OutsidePlace::S3(S3Settings {
                bucket: BUCKET.to_owned(),
                prefix: prefix.to_owned(),
                endpoint: Some(self.endpoint()),
                region: None,
                credentials: Some((ACCESS_KEY_ID.to_owned(), secret)),
                virtual_hosted: false,
            }),
            timeout,
        }
    }

    /// From now on.
    pub fn set(&self, fault: S3Fault) {
        *self.shared.fault.lock() = fault;
    }

    /// What goes wrong at the moment.
    pub fn fault(&self) -> S3Fault {
        *self.shared.fault.lock()
    }

    /// Requests until now.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// The folder of the bucket.
    pub fn bucket(&self) -> PathBuf {
        self.folder.join(BUCKET)
    }

    /// The files of objects of blobs.
    pub fn objects(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(&self.bucket(), &mut found);
        let is_object = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            super::stub::ObjectName::parse(&name).is_some()
        };
        found.retain(is_object);
        found
    }
}

/// All files below a folder.
pub fn walk(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => walk(&path, into),
            path => into.push(path),
        }
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        // A test may be within a runtime, which must not wait for another one.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Waiting for a future also from within another runtime.
trait BlockOnAnywhere {
    fn block_on_anywhere<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T;
}

impl BlockOnAnywhere for tokio::runtime::Runtime {
    fn block_on_anywhere<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let (sender, receiver) = std::sync::mpsc::channel();
        self.spawn(async move { drop(sender.send(work.await)) });
        receiver.recv().expect("the work has ended")
    }
}

async fn serve(listener: tokio::net::TcpListener, service: S3Service, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        if *shared.fault.lock() == S3Fault::Down {
            continue;
        }
        let (service, shared) = (service.clone(), shared.clone());
        tokio::spawn(async move {
            let handler =
                service_fn(move |request| answer(request, service.clone(), shared.clone()));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), handler)
                .await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    service: S3Service,
    shared: Arc<Shared>,
) -> Result<Response<AnyBody>, BoxError> {
    shared.requests.fetch_add(1, Ordering::Relaxed);
    let fault = *shared.fault.lock();
    let is_read = request.method() == Method::GET;
    match fault {
        S3Fault::Down => return Err("the server is down".into()),
        S3Fault::Failing => {
            let mut response = Response::new(whole(Bytes::from_static(b"<Error/>")));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            return Ok(response);
        }
        S3Fault::Slow(time) => tokio::time::sleep(time).await,
        S3Fault::None | S3Fault::Truncating | S3Fault::LosingAnswers | S3Fault::WrongOctets => {}
    }
    let response = service
        .call(request.map(s3s::Body::from))
        .await
        .map_err(|error| format!("{error:?}"))?;
    let (head, body) = response.into_parts();
    let octets = body.collect().await?.to_bytes();
    let body = match fault {
        S3Fault::LosingAnswers => return Err("the answer gets lost".into()),
        S3Fault::Truncating if is_read && !octets.is_empty() => cut(octets),
        S3Fault::WrongOctets if is_read && !octets.is_empty() => {
            let mut octets = octets.to_vec();
            let middle = octets.len() / 2;
            octets[middle] ^= 1;
            whole(octets.into())
        }
        _ => whole(octets),
    };
    Ok(Response::from_parts(head, body))
}

fn whole(octets: Bytes) -> AnyBody {
    let never = |never: Infallible| match never {};
    Full::new(octets).map_err(never).boxed_unsync()
}

/// The first half; then the connection ends.
fn cut(octets: Bytes) -> AnyBody {
    let half = octets.slice(..octets.len() / 2);
    let parts: [Result<Frame<Bytes>, BoxError>; 2] = [
        Ok(Frame::data(half)),
        Err(io::Error::from(io::ErrorKind::ConnectionReset).into()),
    ];
    StreamBody::new(futures_util::stream::iter(parts)).boxed_unsync()
}

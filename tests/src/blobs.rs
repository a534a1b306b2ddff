//! Where the server of a test keeps the octets of its blobs.
//!
//! Holds: `POSTHORN_TEST_BLOBS` says where, for all tests: `inline` (in the database, if it isn't there), `fs` (a folder) or `s3`
//! (a server of S3, encrypted). It lives as long as the homes that use it.
//! Other half: `store::blob::s3_server`; `cargo xtask test --blobs NAME`.

use std::{fs, sync::Arc};

use store::blob::s3_server::{ACCESS_KEY_ID, BUCKET, S3Server, SECRET_ACCESS_KEY};
use tempfile::TempDir;

const VARIABLE: &str = "POSTHORN_TEST_BLOBS";
/// Of all tests; they have no secrets.
const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// A kind of place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestBlobs {
    Inline,
    Folder,
    S3,
}

impl TestBlobs {
    /// The one that all tests are run with.
    pub fn of_all_tests() -> TestBlobs {
        match std::env::var(VARIABLE).as_deref() {
            Err(_) | Ok("" | "inline") => TestBlobs::Inline,
            Ok("fs") => TestBlobs::Folder,
            Ok("s3") => TestBlobs::S3,
            Ok(other) => panic!("{VARIABLE} is \"{other}\": inline, fs or s3"),
        }
    }

    /// Whether a test can be run that is about blobs in the database; it is said if not.
    pub fn is_inline_for(test: &str) -> bool {
        let found = TestBlobs::of_all_tests();
        if found != TestBlobs::Inline {
            eprintln!("{test} is left out with {found:?}: it is about blobs in the database");
        }
        found == TestBlobs::Inline
    }
}

/// A place of its own, which homes over one database share.
#[derive(Clone, Debug)]
pub enum OwnBlobs {
    Inline,
    Folder(Arc<TempDir>),
    /// With a folder for the secret and for keys.
    S3(Arc<S3Server>, Arc<TempDir>),
}

impl OwnBlobs {
    pub fn new(kind: TestBlobs) -> OwnBlobs {
        let folder = || {
            let folder = tempfile::Builder::new().prefix("posthorn-blobs-").tempdir();
            Arc::new(folder.expect("a temporary folder can't be made"))
        };
        match kind {
            TestBlobs::Inline => OwnBlobs::Inline,
            TestBlobs::Folder => OwnBlobs::Folder(folder()),
            TestBlobs::S3 => {
                let folder = folder();
                let write = |name: &str, text: &str| {
                    let file = folder.path().join(name);
                    fs::write(file, format!("{text}\n")).expect("a file can't be written");
                };
                write("secret", SECRET_ACCESS_KEY);
                write("key", KEY);
                OwnBlobs::S3(Arc::new(S3Server::start()), folder)
            }
        }
    }

    /// Tables of the configuration, and lines of each.
    pub fn config(&self) -> Vec<(&'static str, Vec<String>)> {
        match self {
            OwnBlobs::Inline => Vec::new(),
            OwnBlobs::Folder(folder) => {
                let url = format!("url = \"{}\"", folder.path().join("blobs").display());
                vec![("store.blobs", vec![url, "threshold = 0".to_owned()])]
            }
            OwnBlobs::S3(server, folder) => {
                let file = |name: &str| folder.path().join(name).display().to_string();
                let blobs = vec![
                    format!("url = \"s3://{BUCKET}\""),
                    format!("endpoint = \"{}\"", server.endpoint()),
                    format!("access-key-id = \"{ACCESS_KEY_ID}\""),
                    format!("secret-access-key-file = \"{}\"", file("secret")),
                    "threshold = 0".to_owned(),
                ];
                let key = format!("keys = [{{ id = \"test\", file = \"{}\" }}]", file("key"));
                vec![("store.blobs", blobs), ("store.encryption", vec![key])]
            }
        }
    }

    /// The server of S3.
    pub fn s3(&self) -> &S3Server {
        match self {
            OwnBlobs::S3(server, _) => server,
            other => panic!("{other:?} has no server of S3"),
        }
    }
}

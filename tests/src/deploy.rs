//! The files of `deploy/`, as tests start what compose.yaml starts.
//!
//! Holds: what a test has otherwise (addresses, places of files) has to be in the file as it is expected, so that a file that was changed
//! is a test that fails.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

/// A file of it.
pub fn file(name: &str) -> String {
    let path = folder().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Replaces what has to be there.
pub fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from} isn't in the file any more");
    text.replace(from, to)
}

/// What `make-secrets` makes, in `secrets/` of a folder; that folder.
pub fn make_secrets(into: &Path) -> PathBuf {
    let script = into.join("make-secrets");
    fs::copy(folder().join("make-secrets"), &script).expect("a copy");
    let made = |_| {
        let output = Command::new("sh").arg(&script).output();
        let output = output.expect("there is a shell");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        let read = |name| fs::read_to_string(into.join("secrets").join(name)).expect("a secret");
        ["database-password", "object-store-secret", "objects.env"].map(read)
    };
    let [first, second] = [0, 1].map(made);
    assert_eq!(first, second, "the second time, all stays as it is");
    let lengths = first.map(|secret| secret.trim().len());
    assert!(lengths.iter().all(|length| *length >= 32), "{lengths:?}");
    into.join("secrets")
}

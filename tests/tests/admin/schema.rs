//! The document is true: schemathesis asks for what it describes, and for what it doesn't.
//!
//! Holds: no answer is a 5xx, and none is of a status, a type or a shape that the document doesn't have.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::client::{Api, staffed};

/// Requests that are made up for each operation and phase.
const EXAMPLES: &str = "12";
/// Time that it has for all of it.
const SECONDS_MAX: &str = "100";
/// After that it hangs.
const PATIENCE: Duration = Duration::from_secs(300);
/// What each answer is checked for. Not `ignored_auth`: it wants 401 of each wrong login, and many of them are put off by 429. `matrix` has who may.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance,unsupported_method,missing_required_header,use_after_free";

#[test]
fn the_document_is_true() {
    let server = staffed();
    let mut root = Api::new(&server, "root");
    // Something of each kind, so that lists have items.
    for (path, body) in [
        ("/groups", serde_json::json!({"name": "group@example.org"})),
        (
            "/aliases",
            serde_json::json!({"address": "alias@example.org", "to": ["bob@example.org"]}),
        ),
        (
            "/lists",
            serde_json::json!({"address": "list@example.org", "owner": "bob@example.org", "members": ["alice@example.org"]}),
        ),
    ] {
        root.made(path, body);
    }
    let id = root.id_of("root");
    let token = root.made(
        &format!("/accounts/{id}/credentials"),
        serde_json::json!({"kind": "token"}),
    );
    let token = token["secret"].as_str().expect("a secret");
    let deeds = || {
        let rows = server.home.cli(&["audit", "--limit", "1000"], "");
        rows.lines().count()
    };
    let before = deeds();
    let python = std::env::var_os("POSTHORN_PYTHON").expect(
        "POSTHORN_PYTHON has to name a python with schemathesis; `cargo xtask test` makes one",
    );
    let program = Path::new(&python).with_file_name("schemathesis");
    let document = server.home.path().join("openapi.json");
    std::fs::write(&document, admin::openapi::text()).expect("no file");
    let output = server.home.path().join("schemathesis");
    let file = std::fs::File::create(&output).expect("no file");
    let mut child = Command::new(program)
        .arg("run")
        .arg(&document)
        .args([
            "--url",
            &format!("http://127.0.0.1:{}/api/v1", server.home.http),
        ])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(["--checks", CHECKS])
        .args(["--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", EXAMPLES, "--seed", "1", "--workers", "2"])
        .args(["--generation-database", "none", "--no-color"])
        // Of texts that are parts of a path, most that are made up can't be.
        .args(["--suppress-health-check", "filter_too_much"])
        .args(["--request-timeout", "30", "--max-time", SECONDS_MAX])
        .current_dir(server.home.path())
        .stdout(file.try_clone().expect("no file"))
        .stderr(file)
        .stdin(Stdio::null())
        .spawn()
        .expect("schemathesis can't be started");
    let end = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().expect("schemathesis can't be waited for") {
            break status;
        }
        if Instant::now() > end {
            let _ = child.kill();
            let _ = child.wait();
            panic!("schemathesis still runs");
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    let said = std::fs::read_to_string(&output).unwrap_or_default();
    assert!(status.success(), "{said}");
    // It was let in, and has changed something: it may be the password of whom it came as.
    assert!(deeds() > before, "{said}");
    println!("{said}");
    server.home.check();
}

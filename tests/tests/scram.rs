//! SCRAM-SHA-256 with a client that others wrote: the server's proof has to satisfy it as well.

use std::process::{Command, Stdio};

use e2e::{PASSWORD, Server};

const ALICE: &str = "alice@example.org";

/// Logs in to submission by STARTTLS; the outcome, and what was said.
fn gsasl(server: &Server, mechanism: &str, password: &str) -> (bool, String) {
    let port = server.home.submission.to_string();
    let output = Command::new("gsasl")
        .args(["--smtp", "--starttls", "--no-application-data", "--verbose"])
        .args(["--mechanism", mechanism, "--authentication-id", ALICE])
        .args(["--authorization-id", "", "--password", password])
        .args(["--x509-ca-file", "", "127.0.0.1", &port])
        .stdin(Stdio::null())
        .output();
    let output = output
        .unwrap_or_else(|error| panic!("gsasl can't be run ({error}); it is a Debian package"));
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output.status.success(), said)
}

#[test]
fn gsasl_logs_in_with_a_proof() {
    let server = Server::start();
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "PLAIN"] {
        let (logged_in, said) = gsasl(&server, mechanism, PASSWORD);
        assert!(logged_in, "{mechanism}: {said}");
        let (logged_in, said) = gsasl(&server, mechanism, "wrong");
        assert!(!logged_in, "{mechanism}: {said}");
    }
    let log = server.log();
    assert!(log.contains("login by proof failed"), "{log}");
    assert!(!log.contains(PASSWORD), "a password is in the log");
}

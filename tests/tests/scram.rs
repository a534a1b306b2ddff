//! SCRAM-SHA-256 with a client that others wrote: the server's proof has to satisfy it as well.

use std::{
    io::{self, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    thread,
};

use e2e::{PASSWORD, Server, reading::Connection};

const ALICE: &str = "alice@example.org";

/// A port that leads to submission, and says EHLO first: gsasl begins with STARTTLS. What is bound to is the TLS
/// connection, which passes through here untouched.
fn greeted(server: &Server) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("no port");
    let port = listener.local_addr().expect("no address").port();
    let to = server.home.submission;
    thread::spawn(move || -> io::Result<()> {
        let (client, _) = listener.accept()?;
        let mut server = Connection::open(to)?;
        let banner = server.line()?;
        server.write(b"EHLO client.example.net\r\n")?;
        while server.line()?.as_bytes().get(3) == Some(&b'-') {}
        (&client).write_all(format!("{banner}\r\n").as_bytes())?;
        let server = server.stream().try_clone()?;
        let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
        thread::spawn(move || relay(&mut from_client, &mut to_server));
        relay(&mut { server }, &mut { client });
        Ok(())
    });
    port
}

fn relay(from: &mut TcpStream, to: &mut TcpStream) {
    let _ = io::copy(from, to);
    let _ = to.shutdown(std::net::Shutdown::Both);
}

/// Logs in to submission by STARTTLS; the outcome, and what was said.
fn gsasl(server: &Server, options: &[&str], password: &str) -> (bool, String) {
    let port = greeted(server).to_string();
    let output = Command::new("gsasl")
        .args(["--smtp", "--starttls", "--verbose"])
        .args(["--authentication-id", ALICE])
        .args(["--authorization-id", ALICE, "--password", password])
        .args(options)
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
    let rows: [&[&str]; 3] = [
        &["--mechanism", "SCRAM-SHA-256-PLUS"],
        // With something to bind to, it doesn't want it without.
        &["--mechanism", "SCRAM-SHA-256", "--no-cb"],
        &["--mechanism", "PLAIN"],
    ];
    for options in rows {
        let (logged_in, said) = gsasl(&server, options, PASSWORD);
        assert!(
            logged_in && said.contains("235 2.7.0"),
            "{options:?}: {said}"
        );
        let (logged_in, said) = gsasl(&server, options, "wrong");
        assert!(
            !logged_in && said.contains("535 5.7.8"),
            "{options:?}: {said}"
        );
    }
    let log = server.log();
    assert!(log.contains("login by proof failed"), "{log}");
    assert!(!log.contains(PASSWORD), "a password is in the log");
}

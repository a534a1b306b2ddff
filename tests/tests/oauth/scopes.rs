//! App passwords and tokens with scopes, in each protocol with its own error.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use e2e::{Server, http::Http, imap::Imap, reading::Connection};

use crate::{ALICE, submission};

fn made(server: &Server, kind: &str, options: &[&str]) -> String {
    let mut args = vec!["credential", kind, ALICE];
    args.extend(options);
    let said = server.home.cli(&args, "");
    said.lines().next().expect("a secret").to_owned()
}

fn imap(server: &Server, secret: &str) -> Result<(), String> {
    let tried = Imap::try_login(server.home.imap, ALICE, secret);
    tried.expect("no connection").map(drop)
}

fn jmap(server: &Server, authorization: &str) -> (u16, String) {
    let fields = [("Authorization", authorization)];
    let answer = Http::new(server.home.http).get("/.well-known/jmap", &fields);
    let challenges: Vec<&str> = answer
        .headers
        .iter()
        .filter(|(name, _)| name == "www-authenticate")
        .map(|(_, value)| value.as_str())
        .collect();
    (answer.status, challenges.join("; "))
}

fn basic(secret: &str) -> String {
    format!(
        "Basic {}",
        BASE64_STANDARD.encode(format!("{ALICE}:{secret}"))
    )
}

fn pop3(server: &Server, secret: &str) -> String {
    let mut pop3 = Connection::open(server.home.pop3).expect("no connection");
    pop3.line().expect("no greeting");
    pop3.write(format!("USER {ALICE}\r\n").as_bytes())
        .expect("gone");
    pop3.line().expect("no answer");
    pop3.write(format!("PASS {secret}\r\n").as_bytes())
        .expect("gone");
    pop3.line().expect("no answer")
}

#[test]
fn each_protocol_refuses_what_is_not_for_it() {
    let server = Server::start();
    let all = made(&server, "app-password", &[]);
    let for_imap = made(&server, "app-password", &["--scopes", "imap"]);
    let for_sending = made(&server, "app-password", &["--scopes", "submission,jmap"]);
    let token = made(&server, "token", &["--scopes", "pop3"]);

    assert_eq!(imap(&server, &all), Ok(()));
    assert_eq!(imap(&server, &for_imap), Ok(()));
    let refused = imap(&server, &for_sending).expect_err("it was taken");
    assert!(refused.contains("[AUTHORIZATIONFAILED]"), "{refused}");

    assert!(submission(&server, &[&all]).starts_with("235"));
    assert!(submission(&server, &[&for_sending]).starts_with("235"));
    let refused = submission(&server, &[&for_imap]);
    assert!(refused.starts_with("550 5.7.1"), "{refused}");

    assert_eq!(jmap(&server, &basic(&for_sending)).0, 200);
    let (status, challenge) = jmap(&server, &basic(&for_imap));
    assert_eq!(status, 403);
    assert!(challenge.contains("insufficient_scope"), "{challenge}");
    let (status, challenge) = jmap(&server, &format!("Bearer {token}"));
    assert_eq!(status, 403);
    assert!(challenge.contains("insufficient_scope"), "{challenge}");

    assert!(pop3(&server, &all).starts_with("+OK"));
    let refused = pop3(&server, &for_imap);
    assert!(refused.starts_with("-ERR [AUTH]"), "{refused}");
    let log = server.log();
    for secret in [&all, &for_imap, &for_sending, &token] {
        assert!(!log.contains(secret.as_str()), "a secret is in the log");
    }
}

#[test]
fn what_has_expired_is_told_so() {
    let server = Server::start();
    let password = made(&server, "app-password", &["--expires-in", "1s"]);
    let token = made(&server, "token", &["--expires-in", "1s"]);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let refused = imap(&server, &password).expect_err("it was taken");
    assert!(refused.contains("[EXPIRED]"), "{refused}");
    let refused = submission(&server, &[&password]);
    assert!(refused.starts_with("535 5.7.8"), "{refused}");
    for authorization in [basic(&password), format!("Bearer {token}")] {
        let (status, challenge) = jmap(&server, &authorization);
        assert_eq!(status, 401);
        assert!(challenge.contains("invalid_token"), "{challenge}");
    }
}

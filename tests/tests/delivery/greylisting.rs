//! A server that takes a message only when it comes again: Postfix with postgrey, as many have it.

use std::{
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use e2e::{Server, jmap::string};

use crate::{
    names,
    postfix::{Options, Postfix},
    site::{exchangers, home, last_status, message, send, status, story},
};

/// postgrey, on a port.
struct Postgrey {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Drop for Postgrey {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Postgrey {
    /// Wants to see a message again after so many seconds.
    fn start(delay: u32) -> Postgrey {
        let folder = tempfile::tempdir().expect("no folder");
        let port = e2e::home::free_port();
        let owned = Command::new("chown")
            .arg("postgrey:")
            .arg(folder.path())
            .status();
        assert!(
            owned.is_ok_and(|status| status.success()),
            "postgrey's own user is not there"
        );
        let child = Command::new("postgrey")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .arg(format!("--inet=127.0.0.1:{port}"))
            .arg(format!("--dbdir={}", folder.path().display()))
            .arg(format!("--delay={delay}"))
            .args([
                "--whitelist-clients=/dev/null",
                "--whitelist-recipients=/dev/null",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("postgrey can't be run; it is a Debian package");
        let postgrey = Postgrey {
            child,
            port,
            _folder: folder,
        };
        let end = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < end, "postgrey does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        postgrey
    }
}

#[test]
fn greylisted_mail_arrives_when_it_comes_again() {
    if !e2e::home::is_root_for("Postfix") {
        return;
    }
    let postgrey = Postgrey::start(3);
    let postfix = Postfix::start_with(Options {
        main: format!(
            "smtpd_recipient_restrictions = reject_unauth_destination, check_policy_service inet:127.0.0.1:{}",
            postgrey.port
        ),
        ..Options::default()
    });
    let names = names::start(&exchangers(&[("b.test", "127.0.0.1")]), &[]);
    let home = home(&names, postfix.port).set("delivery", "retry = [\"1s\", \"4s\"]");
    let server = Server::start_in(home);
    let mut alice = server.jmap("alice");
    let to = "bob@b.test";
    let id = send(&mut alice, &message(to, "again"), &[to]);
    let first = status(&server, &mut alice, &id);
    let reply = string(&first[to]["smtpReply"]);
    assert!(reply.starts_with("450 4.2.0"), "{first}");
    assert_eq!(first[to]["delivered"], "queued");
    // The second comes too early.
    let last = last_status(&server, &mut alice, &id);
    let reply = string(&last[to]["smtpReply"]);
    assert!(reply.starts_with("250 2.0.0 Ok"), "{last}");
    let arrived = postfix.arrived(1);
    assert_eq!(arrived.len(), 1);
    assert!(arrived[0].contains("X-Greylist: delayed"), "{}", arrived[0]);
    let story = story(&server, to, &["450 4.2.0", "Greylisted", "250 2.0.0 Ok"]);
    assert!(
        story.find("450 4.2.0") < story.find("250 2.0.0 Ok"),
        "{story}"
    );
    assert_eq!(story.matches(" tried mail.b.test ").count(), 3, "{story}");
    // Whoever waits for a greylist is not told of a delay.
    let inbox = alice.mailbox("inbox");
    let found = alice.call(
        "Email/query",
        serde_json::json!({"filter": {"inMailbox": inbox}}),
    );
    assert_eq!(found["ids"], serde_json::json!([]));
    // From now on it is known.
    let id = send(&mut alice, &message(to, "known"), &[to]);
    let first = status(&server, &mut alice, &id);
    let reply = string(&first[to]["smtpReply"]);
    assert!(reply.starts_with("250 2.0.0 Ok"), "{first}");
}

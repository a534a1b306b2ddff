//! What leaves, as who gets it sees it: dkimpy verifies it, with keys from a name server.

use e2e::{Home, PASSWORD, Server, jmap::string};
use serde_json::json;

use crate::{
    names::{self, NameServer},
    peer::{Act, Peer, Script},
    site::{self, exchangers, fields, python},
};

const ALICE: &str = "alice@example.org";

struct Site {
    server: Server,
    names: NameServer,
    /// The exchanger of b.test, which has 8BITMIME, and of old.test, which has nothing.
    new: Peer,
    old: Peer,
}

async fn start() -> Site {
    let port = e2e::home::free_port();
    let script = Script::new(&["8BITMIME", "PIPELINING", "CHUNKING"])
        .on("RCPT TO:<nobody@", Act::Say("550 5.1.1 There is nobody"));
    let new = Peer::start_at(1, port, vec![script]).await;
    let old = Peer::start_at(2, port, vec![Script::default()]).await;
    let home = Home::with_people();
    home.cli(
        &["alias", "add", "info@example.org", "--to", "far@b.test"],
        "",
    );
    let zone = exchangers(&[("b.test", "127.0.0.1"), ("old.test", "127.0.0.2")]);
    let keys = site::keys(&home, "example.org");
    let dmarc = "_dmarc.example.org. TXT \"v=DMARC1; p=none\"\n";
    let names = names::start(&format!("{zone}{keys}{dmarc}"), &[]);
    // This machine is nobody special.
    let home = site::lead(home, &names, port).set("authentication", "trusted = []");
    let server = Server::start_in(home);
    Site {
        server,
        names,
        new,
        old,
    }
}

impl Site {
    fn dkimpy(&self, message: &str) -> Vec<String> {
        let zone = format!("dns:{}", self.names.port);
        python("dkim_verify.py", &[&zone], message)
    }

    fn is_signed(&self, message: &str) {
        let found = self.dkimpy(message);
        assert_eq!(found.len(), 3, "{found:?}\n{message}");
        for (line, begin) in found.iter().zip([
            "pass rsa-sha256 example.org rsa-",
            "pass ed25519-sha256 example.org ed25519-",
            "arc none",
        ]) {
            assert!(line.starts_with(begin), "{found:?}\n{message}");
        }
    }

    /// What eve sends from outside in the name of somebody here.
    fn forge(&self, to: &str, subject: &str) {
        let message = format!(
            "From: The boss <boss@example.org>\r\nTo: {to}\r\nSubject: {subject}\r\nDate: Sat, 28 Nov 2026 20:00:00 +0000\r\n\
             Message-ID: <{subject}@c.test>\r\n\r\nPay at once.\r\n"
        );
        let reply = self
            .server
            .smtp()
            .send("eve@old.test", to, message.as_bytes())
            .expect("no reply");
        assert_eq!(reply.code, 250, "{}", reply.text);
    }

    fn filter(&self, script: &str) {
        let mut alice = self.server.jmap("alice");
        let blob = alice.upload(script.as_bytes(), "application/sieve");
        let made = alice.call(
            "SieveScript/set",
            json!({"create": {"s": {"name": "s", "blobId": blob}}, "onSuccessActivateScript": "#s"}),
        );
        assert!(made["created"]["s"].is_object(), "{made}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_user_sends_has_both_signatures() {
    let site = start().await;
    let port = site.server.home.submission.to_string();
    // One host takes octets of 8 bits and one does not: each has signatures over what it got.
    for to in ["bob@b.test", "bob@old.test"] {
        let output = std::process::Command::new("swaks")
            .args(["--server", "127.0.0.1", "--port", &port, "--tls"])
            .args(["--auth", "PLAIN", "--auth-user", ALICE])
            .args(["--auth-password", PASSWORD, "--from", ALICE, "--to", to])
            .args(["--header", "Content-Type: text/plain; charset=utf-8"])
            .args(["--body", "Gr\u{fc}n  is \\n.\\n..dots\\n\\n\\n"])
            .output()
            .expect("swaks can't be run");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
    }
    let new = site.new.arrived(1).remove(0);
    let old = site.old.arrived(1).remove(0);
    assert!(new.contains("Gr\u{fc}n"), "{new}");
    assert!(old.is_ascii() && old.contains("Gr=C3=BCn"), "{old}");
    for message in [&new, &old] {
        site.is_signed(message);
    }
    // It is the body that they are of.
    let found = site.dkimpy(&new.replace("Gr\u{fc}n", "Rot"));
    let states: Vec<&str> = found[..2].iter().map(|line| &line[..4]).collect();
    assert_eq!(states, ["fail", "fail"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_send_and_a_user_redirects_is_sealed_and_never_signed() {
    let site = start().await;
    site.filter("redirect \"far@b.test\";");
    // By a user's script, and by an alias.
    for (number, to) in [ALICE, "info@example.org"].into_iter().enumerate() {
        site.forge(to, &format!("forged{number}"));
        let arrived = site.new.arrived(number + 1).remove(number);
        let fields = fields(&arrived);
        assert!(fields["from"][0].contains("boss@example.org"), "{arrived}");
        assert!(!fields.contains_key("dkim-signature"), "{arrived}");
        assert_eq!(fields["arc-seal"].len(), 1, "{arrived}");
        assert!(
            fields["arc-seal"][0].contains("d=example.org;"),
            "{arrived}"
        );
        // It is told on that nobody vouched for the From field.
        let results = &fields["arc-authentication-results"][0];
        assert!(
            results.contains("dmarc=fail") && results.contains("header.from=example.org"),
            "{arrived}"
        );
        assert_eq!(site.dkimpy(&arrived), ["arc pass 1"], "{arrived}");
        let changed = site.dkimpy(&arrived.replace("Pay at once", "Pay never"));
        assert!(changed[0].starts_with("arc fail"), "{changed:?}");
    }
    let seen = site.new.seen.lock();
    assert_eq!(seen.count("MAIL FROM:<SRS0="), 2, "{:?}", seen.commands);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_of_failure_that_leave_are_signed() {
    let site = start().await;
    site.filter("redirect \"nobody@b.test\";");
    site.forge(ALICE, "lost");
    let report = site.old.arrived(1).remove(0);
    let seen = site.old.seen.lock();
    assert_eq!(seen.count("MAIL FROM:<>"), 1, "{:?}", seen.commands);
    assert_eq!(
        seen.count("RCPT TO:<eve@old.test>"),
        1,
        "{:?}",
        seen.commands
    );
    drop(seen);
    let fields = fields(&report);
    assert!(
        fields["content-type"][0].starts_with("multipart/report"),
        "{report}"
    );
    assert!(fields["from"][0].contains("MAILER-DAEMON@"), "{report}");
    assert!(report.contains("550 5.1.1 There is nobody"), "{report}");
    site.is_signed(&report);
    assert_eq!(site.new.seen.lock().messages.len(), 0);
    let mut alice = site.server.jmap("alice");
    let found = alice.call("Email/query", json!({"filter": {}}));
    assert_eq!(found["ids"], json!([]), "{}", string(&found["queryState"]));
}

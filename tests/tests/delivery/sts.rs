//! MTA-STS (RFC 8461) through the whole server: policies from port 443, which is where they are, and sessions as they want them.

use std::collections::HashMap;

use e2e::Server;

use crate::{
    names,
    peer::{Certificates, Peer, Script},
    policies::PolicyServer,
    site::{self, exchangers, expect, last_status, message, send, story, trust},
};

/// An address of this machine that no other test has.
fn own_address() -> String {
    let id = std::process::id();
    format!(
        "127.{}.{}.{}",
        64 + (id >> 16) % 64,
        (id >> 8) % 256,
        id % 255 + 1
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_from_port_443_is_kept_to() {
    if !e2e::home::is_root_for("a server at port 443") {
        return;
    }
    let certificates = Certificates::new();
    let port = e2e::home::free_port();
    let hosts = ["mail.good.test", "mail.testing.test", "mail.strange.test"];
    let good = Script::default().with_tls(&certificates.server(&hosts).0);
    let other = Script::default().with_tls(&certificates.server(&["mail.other.test"]).0);
    let good = Peer::start_at(1, port, vec![good]).await;
    let wrong = Peer::start_at(2, port, vec![other.clone()]).await;
    let plain = Peer::start_at(3, port, vec![Script::default()]).await;
    let others = Peer::start_at(4, port, vec![other]).await;
    // Domain, its host's address, the policy's mode, the reply.
    let rows = [
        ("good.test", "127.0.0.1", "enforce", "250 2.0.0 Taken"),
        ("wrong.test", "127.0.0.2", "enforce", "451 4.7.5"),
        ("plain.test", "127.0.0.3", "enforce", "451 4.7.5"),
        ("testing.test", "127.0.0.4", "testing", "250 2.0.0 Taken"),
        // The certificate of its policy host is another's: there is no policy.
        ("strange.test", "127.0.0.4", "enforce", "250 2.0.0 Taken"),
    ];
    let at = own_address();
    let mut zone = exchangers(&rows.map(|(domain, address, ..)| (domain, address)));
    let (mut policies, mut policy_hosts) = (HashMap::new(), Vec::new());
    for (domain, _, mode, _) in rows {
        zone.push_str(&format!(
            "_mta-sts.{domain}. TXT \"v=STSv1; id=1;\"\nmta-sts.{domain}. A {at}\n"
        ));
        let text =
            format!("version: STSv1\r\nmode: {mode}\r\nmx: mail.{domain}\r\nmax_age: 86400\r\n");
        policies.insert(format!("mta-sts.{domain}"), text);
        if domain != "strange.test" {
            policy_hosts.push(format!("mta-sts.{domain}"));
        }
    }
    let policy_hosts: Vec<&str> = policy_hosts.iter().map(String::as_str).collect();
    let tls = certificates.server(&policy_hosts).0;
    let policies = PolicyServer::start_on(&format!("{at}:443"), tls, policies).await;
    let names = names::start(&zone, &[]);
    let home = site::home(&names, port).set("delivery", "retry = [\"1s\"]");
    let mut server = Server::start_in(trust(home, &certificates.authority_pem()));
    let mut alice = server.jmap("alice");

    let to = "bob@wrong.test";
    let waits = send(&mut alice, &message(to, "waits"), &[to]);
    for (domain, .., reply) in rows {
        expect(&server, &[(&format!("bob@{domain}"), reply)]);
    }
    let counts = |peers: &[&Peer]| -> Vec<usize> {
        peers
            .iter()
            .map(|peer| peer.seen.lock().messages.len())
            .collect()
    };
    assert_eq!(counts(&[&good, &wrong, &plain, &others]), [1, 0, 0, 2]);
    assert_eq!(policies.requests.lock().len(), 4);
    story(
        &server,
        "bob@good.test",
        &["[127.0.0.1], TLSv1.3, verified:"],
    );
    story(&server, "bob@wrong.test", &["451 4.7.5", "certificate"]);

    // What was learned stays, with nobody at the policy host, through a restart.
    drop(policies);
    server.stop();
    server.restart();
    expect(
        &server,
        &[
            ("ann@wrong.test", "451 4.7.5"),
            ("ann@good.test", "250 2.0.0 Taken"),
        ],
    );
    assert_eq!(counts(&[&wrong]), [0]);

    // With the right certificate, what waits goes when the operator asks for it, also what was put off unseen.
    drop(wrong);
    let right = Script::default().with_tls(&certificates.server(&["mail.wrong.test"]).0);
    let right = Peer::start_at(2, port, vec![right]).await;
    let mut alice = server.jmap("alice");
    server.home.cli(&["queue", "retry", "--all"], "");
    let status = last_status(&server, &mut alice, &waits);
    assert_eq!(status[to]["smtpReply"], "250 2.0.0 Taken", "{status}");
    assert!(
        right
            .arrived(1)
            .iter()
            .any(|text| text.contains("Subject: waits"))
    );
}

//! IPv6 on the wire: hosts that only have it, and hosts of which it does not lead to anywhere.

use e2e::Server;

use crate::{
    names,
    peer::{Peer, Script},
    site::{exchangers, expect, home, story},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_with_ipv6_alone_gets_its_mail() {
    let port = e2e::home::free_port();
    let peer = Peer::start_on(
        ([0, 0, 0, 0, 0, 0, 0, 1], port).into(),
        vec![Script::default()],
    )
    .await;
    let zone = exchangers(&[("six.test", "::1"), ("four.test", "127.0.0.1")]);
    let names = names::start(&format!("{zone}implicit.test. AAAA ::1\n"), &[]);
    let mut server = Server::start_in(home(&names, port));
    // Nobody listens at 127.0.0.1.
    let rows = [
        ("bob@six.test", "250 2.0.0 Taken"),
        ("bob@implicit.test", "250 2.0.0 Taken"),
        ("bob@four.test", "451 4.4.1"),
        ("bob@[IPv6:::1]", "250 2.0.0 Taken"),
    ];
    expect(&server, &rows);
    assert_eq!(peer.arrived(3).len(), 3);
    story(&server, "bob@six.test", &["mail.six.test [::1]"]);
    // Who does not want IPv6 has no address for it.
    server.stop();
    server.home.change("delivery", "families = [\"ipv4\"]");
    server.restart();
    expect(&server, &[("bob@six.test", "550 5.4.4")]);
    assert_eq!(peer.arrived(3).len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_ipv6_leads_nowhere_ipv4_is_tried() {
    let port = e2e::home::free_port();
    let peer = Peer::start_at(1, port, vec![Script::default()]).await;
    // Nobody listens at ::1; nothing leads to 100::1 (RFC 6666), where nobody is either.
    let zone = exchangers(&[("refuses.test", "::1"), ("unreachable.test", "100::1")])
        + "mail.refuses.test. A 127.0.0.1\nmail.unreachable.test. A 127.0.0.1\n";
    let names = names::start(&zone, &[]);
    let home = home(&names, port).set(
        "delivery",
        "families = [\"ipv6\", \"ipv4\"]\nconnect-timeout = \"2s\"",
    );
    let server = Server::start_in(home);
    let rows = [
        ("bob@refuses.test", "250 2.0.0 Taken"),
        ("bob@unreachable.test", "250 2.0.0 Taken"),
    ];
    expect(&server, &rows);
    assert_eq!(peer.arrived(2).len(), 2);
    for (recipient, six) in [
        ("bob@refuses.test", "[::1]"),
        ("bob@unreachable.test", "[100::1]"),
    ] {
        let story = story(&server, recipient, &[six, "[127.0.0.1]"]);
        assert!(story.find(six) < story.find("[127.0.0.1]"), "{story}");
    }
}

//! Who is banned, for how long, and who never is.

use std::{net::IpAddr, time::Duration};

use store::{
    Record as _,
    engine::{FaultPlan, FaultyEngine, Page},
    keys,
};

use super::{Ban, BanError, BanRecord, BanRule, BanSettings, NewBan, Threshold};
use crate::{
    Caller, Core,
    auth::{Origin, Protocol},
    caller::Way,
    directory::tests::{PASSWORD, Server},
};

const CLIENT: &str = "192.0.2.7";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn operator() -> Caller {
    Caller::operator(Way::ControlSocket)
}

fn settings(count: u32) -> BanSettings {
    let threshold = Threshold::new(count, Duration::from_secs(600));
    BanSettings {
        failed_logins: threshold,
        unknown_recipients: threshold,
        duration: Duration::from_secs(100),
        longest: Duration::from_secs(300),
        forget_after: Duration::from_secs(1000),
        allow: vec!["198.51.100.0/24".parse().unwrap()],
        trusted: vec!["203.0.113.1".parse().unwrap()],
        ..BanSettings::default()
    }
}

async fn server(count: u32) -> Server {
    let server = Server::with_domain().await;
    server.core.set_bans(settings(count));
    server
}

fn offend(core: &Core, client: &str, times: usize) {
    for _ in 0..times {
        core.note_offence(
            ip(client),
            BanRule::UnknownRecipients,
            "the last x@example.org",
        );
    }
}

fn guess(core: &Core, client: &str, login: &str, secret: &str) {
    let origin = Origin {
        ip: ip(client),
        protocol: Protocol::Imap,
        tls: true,
    };
    core.note_failed_login(&origin, Some(login), secret);
}

/// Waits until what was begun is in the store.
async fn settled(core: &Core) {
    while !core.bans.pending.lock().is_empty() {
        tokio::task::yield_now().await;
    }
}

#[test]
fn golden() {
    let record = BanRecord {
        since: 1_700_000_000_000,
        until: Some(1_700_000_600_000),
        times: 2,
        rule: BanRule::FailedLogins,
        reason: "30 logins".to_owned(),
        by: None,
    };
    let bytes = record.to_bytes();
    let hex: String = bytes.iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!(
        hex,
        "851b0000018bcfe568001b0000018bcfee8fc00201693330206c6f67696e73"
    );
    let key = keys::ban("192.0.2.7/32");
    assert_eq!(BanRecord::from_bytes(&key, &bytes).unwrap(), record);
    let of_somebody = BanRecord {
        until: None,
        rule: BanRule::Administrator,
        by: Some("root".to_owned()),
        ..record
    };
    let bytes = of_somebody.to_bytes();
    assert_eq!(BanRecord::from_bytes(&key, &bytes).unwrap(), of_somebody);
}

#[tokio::test]
async fn enough_is_a_ban_which_ends_and_grows() {
    let server = server(3).await;
    let core = &server.core;
    for (round, seconds) in [100, 200, 300, 300].into_iter().enumerate() {
        offend(core, CLIENT, 2);
        assert!(!core.is_banned(ip(CLIENT)), "{round}");
        offend(core, CLIENT, 1);
        assert!(core.is_banned(ip(CLIENT)), "{round}");
        assert!(!core.is_banned(ip("192.0.2.8")));
        server.pass(seconds - 1);
        assert!(core.is_banned(ip(CLIENT)), "{round}");
        server.pass(1);
        assert!(!core.is_banned(ip(CLIENT)), "{round}");
    }
    settled(core).await;
    // Then it is forgotten.
    server.pass(999);
    core.purge_bans().await.unwrap();
    assert_eq!(core.bans.set.read().bans.len(), 1);
    server.pass(1);
    core.purge_bans().await.unwrap();
    assert_eq!(core.bans.set.read().bans.len(), 0);
    offend(core, CLIENT, 3);
    assert_eq!(core.bans(&operator()).await.unwrap()[0].record.times, 1);
}

#[tokio::test]
async fn what_is_long_ago_counts_no_more() {
    let server = server(3).await;
    let core = &server.core;
    offend(core, CLIENT, 2);
    server.pass(600);
    offend(core, CLIENT, 2);
    assert!(!core.is_banned(ip(CLIENT)));
}

#[tokio::test]
async fn a_client_of_ipv6_is_its_64() {
    let server = server(3).await;
    let core = &server.core;
    for client in ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:3"] {
        offend(core, client, 1);
    }
    assert!(core.is_banned(ip("2001:db8::9")));
    assert!(!core.is_banned(ip("2001:db8:0:1::9")));
    offend(core, "::ffff:192.0.2.7", 3);
    assert!(core.is_banned(ip(CLIENT)));
}

#[tokio::test]
async fn enough_from_many_networks_of_one_48_is_a_ban_of_that() {
    let server = server(3).await;
    let core = &server.core;
    let elsewhere = ip("2001:db8:1:ffff::1");
    for network in 0..30 {
        assert!(!core.is_banned(elsewhere), "{network}");
        offend(core, &format!("2001:db8:1:{network:x}::1"), 1);
    }
    assert!(core.is_banned(elsewhere));
    assert!(!core.is_banned(ip("2001:db8:2::1")));
    let bans = core.bans(&operator()).await.unwrap();
    assert_eq!(bans[0].network.to_string(), "2001:db8:1::/48");
    // Wherever something in it is never banned, the whole isn't.
    let allows = BanSettings {
        allow: vec!["2001:db8:3::/64".parse().unwrap()],
        ..settings(3)
    };
    core.set_bans(allows);
    for network in 1..40 {
        offend(core, &format!("2001:db8:3:{network:x}::1"), 1);
    }
    assert!(!core.is_banned(ip("2001:db8:3:ffff::1")));
    // From where somebody has logged in, more is put up with.
    let origin = Origin {
        ip: ip("2001:db8:4::1"),
        protocol: Protocol::Imap,
        tls: true,
    };
    core.note_good_login(&origin);
    for network in 1..40 {
        offend(core, &format!("2001:db8:4:{network:x}::1"), 1);
    }
    assert!(!core.is_banned(ip("2001:db8:4:ffff::1")));
}

#[tokio::test]
async fn some_are_never_banned() {
    let server = server(1).await;
    let core = &server.core;
    for client in ["127.0.0.1", "::1", "198.51.100.9", "203.0.113.1"] {
        offend(core, client, 5);
        assert!(!core.is_banned(ip(client)), "{client}");
        let new = NewBan {
            network: client.parse().unwrap(),
            reason: String::new(),
            duration: None,
        };
        let error = core.ban(&operator(), new).await.unwrap_err();
        assert!(matches!(error, BanError::Spared(..)), "{client}: {error}");
    }
    // Who is allowed later may come back at once.
    offend(core, CLIENT, 1);
    assert!(core.is_banned(ip(CLIENT)));
    let allows = BanSettings {
        allow: vec![CLIENT.parse().unwrap()],
        ..settings(1)
    };
    core.set_bans(allows);
    assert!(!core.is_banned(ip(CLIENT)));
    core.set_bans(settings(1));
    settled(core).await;
    let network = CLIENT.parse().unwrap();
    core.lift_ban(&operator(), network).await.unwrap();
    let off = BanSettings {
        enabled: false,
        ..settings(1)
    };
    core.set_bans(off);
    offend(core, CLIENT, 5);
    assert!(!core.is_banned(ip(CLIENT)));
}

/// An office behind one address, with one phone that has an old password.
#[tokio::test]
async fn one_wrong_phone_locks_out_no_office() {
    let server = server(5).await;
    let core = &server.core;
    for _ in 0..1000 {
        guess(core, CLIENT, "phone@example.org", "last year's");
    }
    assert!(!core.is_banned(ip(CLIENT)));
    // From where others log in, more is put up with.
    let origin = Origin {
        ip: ip(CLIENT),
        protocol: Protocol::Imap,
        tls: true,
    };
    core.note_good_login(&origin);
    for n in 0..48 {
        guess(core, CLIENT, "phone@example.org", &format!("guess {n}"));
    }
    assert!(!core.is_banned(ip(CLIENT)));
    guess(core, CLIENT, "phone@example.org", "one more");
    assert!(core.is_banned(ip(CLIENT)));
    // Elsewhere, five are enough.
    for n in 0..5 {
        guess(core, "192.0.2.8", "x@example.org", &format!("guess {n}"));
    }
    assert!(core.is_banned(ip("192.0.2.8")));
    let bans = core.bans(&operator()).await.unwrap();
    let reason = &bans[1].record.reason;
    assert_eq!(
        reason,
        "5 different logins that failed within 10 minutes; the last as x@example.org by imap"
    );
    assert!(!reason.contains("guess"));
}

#[tokio::test]
async fn logins_that_fail_are_counted() {
    let server = server(2).await;
    let core = &server.core;
    server.person_with_password("ann@example.org").await;
    for password in ["wrong horse", "other horse", PASSWORD] {
        let _ = server.login("ann@example.org", password).await;
    }
    // The tests' clients are not on this machine.
    assert_eq!(core.metrics.bans.get(), 1);
}

#[tokio::test]
async fn administrators_ban_and_lift() {
    let server = server(3).await;
    let core = &server.core;
    let ban = |network: &str, seconds: Option<u64>| NewBan {
        network: network.parse().unwrap(),
        reason: "a test".to_owned(),
        duration: seconds.map(Duration::from_secs),
    };
    for (network, seconds) in [("0.0.0.0/0", None), ("10.0.0.0/7", None), (CLIENT, Some(0))] {
        let error = core.ban(&operator(), ban(network, seconds)).await;
        assert!(error.is_err(), "{network}");
    }
    let long = NewBan {
        reason: "x".repeat(301),
        ..ban(CLIENT, None)
    };
    assert!(matches!(
        core.ban(&operator(), long).await,
        Err(BanError::Reason)
    ));
    core.ban(&operator(), ban("192.0.2.0/24", Some(60)))
        .await
        .unwrap();
    core.ban(&operator(), ban("2001:db8::/32", None))
        .await
        .unwrap();
    assert!(core.is_banned(ip("192.0.2.200")) && core.is_banned(ip("2001:db8:9::1")));
    let bans: Vec<Ban> = core.bans(&operator()).await.unwrap();
    assert_eq!(bans.len(), 2);
    server.pass(60);
    assert!(!core.is_banned(ip("192.0.2.200")));
    let network = "2001:db8::/32".parse().unwrap();
    core.lift_ban(&operator(), network).await.unwrap();
    assert!(!core.is_banned(ip("2001:db8:9::1")));
    let again = core.lift_ban(&operator(), network).await;
    assert!(matches!(again, Err(BanError::NotFound(_))));
    let filter = crate::admin::AuditFilter {
        operation: Some("ban".to_owned()),
        ..Default::default()
    };
    let (rows, _) = core
        .audit_rows(&operator(), &filter, None, 10)
        .await
        .unwrap();
    assert_eq!(rows.len(), 3);
}

#[tokio::test]
async fn a_ban_is_there_after_a_start_and_at_other_nodes() {
    let engine = store::engine::MemoryEngine::new();
    let first = Server::over(engine.clone(), 1).await;
    first.core.set_bans(settings(3));
    offend(&first.core, CLIENT, 3);
    settled(&first.core).await;
    let second = Server::over(engine, 2).await;
    assert!(second.core.is_banned(ip(CLIENT)));
    let network = CLIENT.parse().unwrap();
    second.core.lift_ban(&operator(), network).await.unwrap();
    assert!(first.core.is_banned(ip(CLIENT)));
    first.core.look_at_bans().await.unwrap();
    assert!(!first.core.is_banned(ip(CLIENT)));
}

#[tokio::test]
async fn a_ban_that_could_not_be_written_down_is_lifted_and_forgotten_too() {
    let engine = FaultyEngine::new(FaultPlan::default());
    let server = Server::over(engine.clone(), 1).await;
    let core = &server.core;
    core.set_bans(settings(1));
    engine.set_plan(FaultPlan {
        commits_fail: 1000,
        ..FaultPlan::default()
    });
    let other = "192.0.2.8";
    for client in [CLIENT, other] {
        offend(core, client, 1);
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    engine.set_plan(FaultPlan::default());
    core.lift_ban(&operator(), "192.0.2.7/32".parse().unwrap())
        .await
        .unwrap();
    // It is read anew.
    offend(core, "192.0.2.9", 1);
    while core.bans.pending.lock().len() > 1 {
        tokio::task::yield_now().await;
    }
    core.look_at_bans().await.unwrap();
    assert!(!core.is_banned(ip(CLIENT)));
    assert!(core.is_banned(ip(other)));
    server.pass(1100);
    core.purge_bans().await.unwrap();
    assert!(core.bans.pending.lock().is_empty());
    assert!(core.bans.set.read().bans.is_empty());
    let page = Page::first(keys::all(keys::Subspace::Ban), 10);
    let rows = core.engine.scan(page).await;
    assert!(rows.unwrap().is_empty());
}

#[tokio::test]
async fn one_client_past_those_that_are_counted() {
    let server = server(2).await;
    let core = &server.core;
    for n in 0..super::COUNTED_MAX as u32 + 1000 {
        let client: IpAddr = std::net::Ipv4Addr::from(0x0b00_0000 + n).into();
        core.note_offence(client, BanRule::UnknownRecipients, "");
    }
    assert_eq!(core.metrics.bans.get(), 0);
    offend(core, CLIENT, 2);
    assert!(core.is_banned(ip(CLIENT)));
}

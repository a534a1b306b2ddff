//! Orders that aren't simple: refused ones, servers that are killed, and two servers that want the same.

use std::{
    thread,
    time::{Duration, Instant},
};

use e2e::{Home, Server, databases::TestStore, server::start_that_fails};

use crate::{
    look::{shown, wait_for, wait_up_to},
    orders::{NAME, ORDER_WAIT, orders},
    pebble::{Options, Site},
};

#[test]
fn what_can_not_be_proven_is_tried_ever_more_seldom() {
    let site = Site::start();
    let home = site.orders(Home::with_people(), &[NAME], "http-01");
    // Challenges come in where nobody answers.
    let options = Options {
        http: e2e::home::free_port(),
        ..Options::for_home(&home)
    };
    let _pebble = site.pebble(&options);
    let server = Server::start_in(home);
    let began = Instant::now();
    let problem = "could not be proven to be ours";
    wait_up_to(ORDER_WAIT, "the problem", || {
        server.home.cli(&["tls", "list"], "").contains(problem)
    });
    thread::sleep(Duration::from_secs(15));
    // 2 seconds, then 4, each up to a quarter less; and each order takes its time.
    let most = 2 + began.elapsed().as_secs() as usize / 3;
    let count = orders(&server);
    assert!(
        (2..=most).contains(&count),
        "{count} orders, {most} at most"
    );
    let listed = server.home.cli(&["tls", "list"], "");
    assert!(
        listed.contains("signed by itself") && listed.contains("orders without a certificate"),
        "{listed}"
    );
    // Somebody is shown something.
    shown(server.home.imaps, None, Some(NAME));
    server.home.check();
}

#[test]
fn a_server_that_is_killed_in_the_middle_of_an_order_goes_on() {
    let site = Site::start();
    let home = site.orders(
        Home::with_people(),
        &["example.org", "*.example.org"],
        "dns-01",
    );
    let slow = Options {
        slowness: 8,
        ..Options::for_home(&home)
    };
    let pebble = site.pebble(&slow);
    let mut server = Server::start_in(home);
    // The answers are in the DNS: the order is under way.
    let at = "_acme-challenge.example.org";
    wait_up_to(ORDER_WAIT, "answers in the DNS", || {
        site.texts(at).len() == 2
    });
    server.kill();
    let left = site.texts(at);
    assert_eq!(left.len(), 2);
    drop(pebble);
    let quick = Options {
        slowness: 0,
        ..slow
    };
    let pebble = site.pebble(&quick);
    server.restart();
    wait_up_to(ORDER_WAIT, "a certificate", || {
        pebble.is_trusted(server.home.imaps, None, "any.example.org")
    });
    // Also what the first order has left.
    wait_for("an empty name", || site.texts(at).is_empty());
    server.home.check();
}

#[test]
fn of_two_servers_one_orders_and_both_answer_and_show() {
    let site = Site::start();
    let first = Home::with_people_on(TestStore::Postgres);
    let second = first.beside();
    // The challenge comes in at the second one, which orders nothing.
    let options = Options::for_home(&second);
    let pebble = site.pebble(&options);
    let mut b = Server::start_in(second);
    let a = Server::start_in(site.orders(first, &[NAME], "http-01"));
    for server in [&a, &b] {
        let is_trusted = || pebble.is_trusted(server.home.imaps, None, NAME);
        wait_up_to(ORDER_WAIT, "a certificate", is_trusted);
    }
    let now = |server: &Server| shown(server.home.imaps, None, Some(NAME));
    assert_eq!(now(&a), now(&b));
    assert_eq!((orders(&a), orders(&b)), (1, 0));

    // Both order, and the next one is ordered once.
    b.stop();
    let config = a.home.config();
    let (_, acme) = config.split_once("[tls.acme]\n").expect("no section");
    let (acme, _) = acme.split_once("\n[").expect("no other section");
    b.home.change("tls.acme", acme);
    b.restart();
    thread::sleep(Duration::from_secs(5));
    assert_eq!((orders(&a), orders(&b)), (1, 0));
    let before = now(&a);
    a.home.cli(&["tls", "renew", NAME], "");
    for server in [&a, &b] {
        wait_up_to(ORDER_WAIT, "the next certificate", || now(server) != before);
    }
    thread::sleep(Duration::from_secs(5));
    assert_eq!(now(&a), now(&b));
    assert_eq!(
        orders(&a) + orders(&b),
        2,
        "{}\n{}",
        a.log_tail(),
        b.log_tail()
    );
    a.home.check();
}

#[test]
fn a_name_server_that_does_not_know_the_key_is_told_of() {
    let site = Site::start();
    let home = site.orders(Home::with_people(), &["example.org"], "dns-01");
    std::fs::write(
        site.key_file(),
        "b3RoZXIgb3RoZXIgb3RoZXIgb3RoZXIgb3RoZXI=\n",
    )
    .expect("not written");
    let pebble = site.pebble(&Options::for_home(&home));
    let server = Server::start_in(home);
    wait_up_to(ORDER_WAIT, "the problem", || {
        let listed = server.home.cli(&["tls", "list"], "");
        listed.contains("refuses to change _acme-challenge.example.org")
    });
    drop(pebble);
}

#[test]
fn nothing_is_ordered_with_a_secret_that_is_missing() {
    let site = Site::start();
    let home = site.orders(Home::with_people(), &[NAME], "dns-01");
    let home = home.set(
        "tls.acme",
        "external-account = \"a\"\nexternal-account-key-file = \"missing\"",
    );
    home.write_config();
    let failed = start_that_fails(&home);
    assert_eq!(failed.code, 1, "{}", failed.output);
    assert!(
        failed.output.contains("missing can't be read"),
        "{}",
        failed.output
    );
}
